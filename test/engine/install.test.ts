/**
 * How the engine comes into a database, grows there, and leaves: in one transaction, whoever else is at it, and never under a
 * runner.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { queryEngine } from '../../src/database/guard.ts';
import { type Engine, installEngine, readEngine, renderInstallation, renderInstallScript } from '../../src/database/install.ts';
import type { Session } from '../../src/database/session.ts';
import { Problem } from '../../src/domain/problem.ts';
import { dropDatabase, emptyDatabase, type TestDatabase } from '../support/database.ts';
import { nextEngine } from '../support/next_engine.ts';
import { stageFiles } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql, sqlAnew } from '../support/sql.ts';
import { deployFiles, pack, passFiles, send } from './support.ts';

const ENGINE = await readEngine();

let database: TestDatabase;
let sessions: Session[] = [];
let roles: string[] = [];

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(async () => {
  await Promise.all(sessions.map((session) => session.close()));
  sessions = [];
  const postgres = new URL(database.url);
  postgres.pathname = '/postgres';
  await database.drop();
  for (const role of roles) await sql(postgres.href, `drop role if exists ${role}`);
  roles = [];
});

async function connect(url = database.url): Promise<Session> {
  const session = await connectTo({ connectionString: url, transport: 'tcp' })();
  sessions.push(session);
  return session;
}

/** A role that may connect, and its address. */
async function makeLogin(): Promise<{ role: string; url: string }> {
  const role = `weft_test_login_${process.pid}_${Date.now().toString(36)}`;
  await sql(database.url, `create role ${role} login password 'of-tests'`);
  roles.push(role);
  const url = new URL(database.url);
  url.username = role;
  url.password = 'of-tests';
  return { role, url: url.href };
}

/** The Problem that something is refused with. */
async function refusal(work: Promise<unknown>): Promise<Problem> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof Problem)) throw new Error('no Problem was thrown', { cause: thrown });
  return thrown;
}

/** Everything in schema weft, as `weft.snapshot()` would show it if it did not leave it out. */
async function snapshotOfWeft(url = database.url): Promise<unknown[]> {
  const ours = ENGINE.files
    .filter(({ name }) => /^6[0-4]_/.test(name))
    .map((file) => file.sql)
    .join('\n')
    .replaceAll("n.nspname <> 'weft' and", "n.nspname = 'weft' and")
    .replaceAll("n.refobjid = 'weft'::regnamespace", 'n.refobjid = 0')
    .replaceAll(/comment on function [^;]*?;$/gm, '')
    .replaceAll(/\bweft\.(?=\w+\()/g, 'pg_temp.');
  return sql(url, `${ours}; select * from pg_temp.snapshot() order by kind, identity, definition`);
}

describe('installing', () => {
  it('answers whether it had to be done', async () => {
    const session = await connect();
    expect(await ensureEngine(session)).toMatchObject({ changed: true, server: { engine: ENGINE.version } });
    expect(await ensureEngine(session)).toMatchObject({ changed: false, server: { engine: ENGINE.version } });
    expect(await sql(database.url, 'select version, installed_by = current_user as by_us from weft._installations')).toEqual([
      { version: ENGINE.version, by_us: true },
    ]);
  });

  it('by twenty callers at once is done by one of them, and all go on', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => connect()));
    const results = await Promise.all(all.map((session) => ensureEngine(session)));
    expect(results.filter(({ changed }) => changed)).toHaveLength(1);
    expect(await sql(database.url, 'select count(*)::int from weft._installations')).toEqual([{ count: 1 }]);
  });

  it('by twenty deployments at once in a new database ends with all of them done', async () => {
    const deployments = await Promise.all(Array.from({ length: 20 }, (_, n) => deployFiles(database.url, { [`${n}.sql`]: `create table t${n} ();` })));
    expect(new Set(deployments.map((deployment) => deployment.state))).toEqual(new Set(['succeeded']));
    expect(await sql(database.url, `select count(*)::int from pg_class where relname ~ '^t\\d+$'`)).toEqual([{ count: 20 }]);
  });

  it.each([
    ['an empty one', 'create schema weft'],
    ['with tables', 'create schema weft; create table weft._installations (version int)'],
    ['with a function of the same name and other parameters', `create schema weft; create function weft.version(int) returns int language sql as 'select 1'`],
  ])("beside a schema named weft that is not Weft's is refused, and changes nothing: %s", async (_, text) => {
    await sql(database.url, text);
    const before = await snapshotOfNames();
    const problem = await refusal(ensureEngine(await connect()));
    expect(problem).toMatchObject({
      slug: 'role_without_rights',
      message: expect.stringMatching(/schema named "weft" that is not Weft's.*Nothing was changed/),
    });
    expect(await snapshotOfNames()).toEqual(before);
  });

  it('where the role may not look into a schema named weft is refused in words', async ({ skip }) => {
    if (database.superuserUrl === null) return skip();
    await sql(database.superuserUrl, 'create schema weft');
    const problem = await refusal(ensureEngine(await connect()));
    expect(problem).toMatchObject({ slug: 'role_without_rights', message: expect.stringMatching(/schema weft/) });
  });

  it('by a role that may not create is refused, and says what to grant', async () => {
    const { url } = await makeLogin();
    const problem = await refusal(ensureEngine(await connect(url)));
    expect(problem).toMatchObject({
      slug: 'role_without_rights',
      message: expect.stringMatching(/permission denied for database.*Nothing was changed.*Grant the role CREATE/s),
    });
    expect(await sql(database.url, `select to_regnamespace('weft') as schema`)).toEqual([{ schema: null }]);
  });

  it('gives no right to anybody else', async () => {
    await ensureEngine(await connect());
    const { role } = await makeLogin();
    const [row] = await sql(
      database.url,
      `select has_schema_privilege($1, 'weft', 'usage') as schema, (select bool_or(has_table_privilege($1, c.oid, 'select, insert, update, delete')) from pg_class as c where relnamespace = 'weft'::regnamespace and relkind in ('r', 'v')) as tables`,
      [role],
    );
    expect(row).toEqual({ schema: false, tables: false });
  });

  it('gives none by default privileges of the role either, and an upgrade leaves alone what was granted since', async () => {
    const { role } = await makeLogin();
    for (const [rights, on] of [
      ['all', 'tables'],
      ['all', 'sequences'],
      ['execute', 'functions'],
      ['usage', 'types'],
      ['usage, create', 'schemas'],
    ])
      await sql(database.url, `alter default privileges grant ${rights} on ${on} to ${role}`);
    const granted = () =>
      sql(
        database.url,
        `select o.name from (
          select n.nspname::text as name, n.nspacl as acl from pg_namespace as n where n.nspname = 'weft'
          union all select c.oid::regclass::text, c.relacl from pg_class as c where c.relnamespace = 'weft'::regnamespace
          union all select p.oid::regprocedure::text, p.proacl from pg_proc as p where p.pronamespace = 'weft'::regnamespace
          union all select t.oid::regtype::text, t.typacl from pg_type as t where t.typnamespace = 'weft'::regnamespace
        ) as o cross join lateral aclexplode(o.acl) as a where a.grantee = $1::regrole order by 1`,
        [role],
      );
    await installEngine(await connect(), null, ENGINE);
    expect(await granted()).toEqual([]);
    await sql(database.url, `grant select on weft.history to ${role}; grant usage on schema weft to ${role}`);
    await installEngine(await connect(), 1, nextEngine('create table weft._notes (n int);'));
    expect(await granted()).toEqual([{ name: 'weft' }, { name: 'weft.history' }]);
    await sql(database.url, `drop owned by ${role}`).catch(() => undefined);
    for (const on of ['tables', 'sequences', 'functions', 'types', 'schemas'])
      await sql(database.url, `alter default privileges revoke all on ${on} from ${role}`);
  });

  it('does not depend on the settings of the role', async () => {
    await sql(
      database.url,
      `alter database ${database.name} set search_path = ''; alter database ${database.name} set check_function_bodies = off; alter database ${database.name} set DateStyle = 'German'; alter database ${database.name} set quote_all_identifiers = on`,
    );
    await passFiles(database.url, { '1.sql': 'create table public.t ();' });
    await sql(database.url, `alter database ${database.name} reset all`);
    const here = await snapshotOfWeft();
    const other = await emptyDatabase();
    try {
      await passFiles(other.url, { '1.sql': 'create table public.t ();' });
      expect(here).toEqual(await snapshotOfWeft(other.url));
    } finally {
      await other.drop();
    }
  });

  it('by the script for psql does the same', async () => {
    await sql(database.url, renderInstallScript(ENGINE));
    expect(await ensureEngine(await connect())).toMatchObject({ changed: false });
    await passFiles(database.url, { '1.sql': 'create table t ();' });
  });

  it('that fails in the middle leaves nothing', async () => {
    const broken: Engine = { ...ENGINE, files: [...ENGINE.files, { name: '99_zz.sql', sql: 'select 1/0;' }] };
    await expect(installEngine(await connect(), null, broken)).rejects.toMatchObject({ slug: 'statement_failed', facts: { sqlstate: '22012' } });
    expect(await sql(database.url, `select to_regnamespace('weft') as schema`)).toEqual([{ schema: null }]);
  });
});

/** What stands in a schema named weft. */
async function snapshotOfNames(): Promise<unknown[]> {
  return sql(
    database.url,
    `select 'table' as kind, relname::text as name from pg_class where relnamespace = 'weft'::regnamespace union all select 'function', proname::text from pg_proc where pronamespace = 'weft'::regnamespace order by 1, 2`,
  );
}

describe('upgrading', () => {
  it('an older engine makes the same of it as installing the new one', async () => {
    await installEngine(await connect(), null);
    await passFiles(database.url, { '1.sql': 'create table t ();' });
    expect(await installEngine(await connect(), 1, nextEngine())).toBe(true);
    const other = await emptyDatabase();
    try {
      const session = await connect(other.url);
      await installEngine(session, null, nextEngine());
      const [upgraded, fresh] = [await snapshotOfWeft(), await snapshotOfWeft(other.url)];
      expect(upgraded).toEqual(fresh);
      expect(fresh.length).toBeGreaterThan(100);
      expect(JSON.stringify(fresh)).toContain('weft.greet()');
      expect(JSON.stringify(fresh)).not.toContain('weft.list_history');
      await session.close();
    } finally {
      await other.drop();
    }
    expect(await sql(database.url, 'select version from weft._installations order by 1')).toEqual([{ version: 1 }, { version: 2 }]);
    expect(await sql(database.url, 'select path, note from weft._history')).toEqual([{ path: '1.sql', note: null }]);
  });

  it('by ten callers at once is done by one of them', async () => {
    await installEngine(await connect(), null);
    const all = await Promise.all(Array.from({ length: 10 }, () => connect()));
    const results = await Promise.all(all.map((session) => installEngine(session, 1, nextEngine())));
    expect(results.filter(Boolean)).toHaveLength(1);
    expect(await sql(database.url, 'select weft.version() as version, (select count(*)::int from weft._installations) as installations')).toEqual([
      { version: 2, installations: 2 },
    ]);
  });

  it('passes no upgrade over, and repeats none', async () => {
    await installEngine(await connect(), null);
    const third: Engine = {
      version: 3,
      files: nextEngine().files.map((file) => ({ ...file, sql: file.sql.replace('as $$ select 2 $$', () => 'as $$ select 3 $$') })),
      upgrades: [...nextEngine().upgrades, { name: '3_more.sql', sql: 'alter table weft._history add column more text;' }],
    };
    await installEngine(await connect(), 1, third);
    const columns = await sql(
      database.url,
      `select attname::text as name from pg_attribute where attrelid = 'weft._history'::regclass and attname in ('note', 'more') order by 1`,
    );
    expect(columns.map((row) => row.name)).toEqual(['more', 'note']);
    expect(await installEngine(await connect(), 3, third)).toBe(false);
  });

  it('that fails leaves the older engine as it was, and it works', async () => {
    await installEngine(await connect(), null);
    const before = await snapshotOfWeft();
    await expect(installEngine(await connect(), 1, nextEngine('select 1/0;'))).rejects.toMatchObject({
      slug: 'statement_failed',
      facts: { sqlstate: '22012' },
    });
    expect(await snapshotOfWeft()).toEqual(before);
    await passFiles(database.url, { '1.sql': 'create table t ();' });
  });

  it('while a runner is at work is refused in words and changes nothing; afterwards it is done', async () => {
    await passFiles(database.url, { '0.sql': 'create table gate ();' });
    const before = await snapshotOfWeft();
    const blocker = await database.client();
    try {
      await blocker.query('begin; lock table gate');
      const deployed = deployFiles(database.url, { '1.sql': 'create table t ();', '2.sql': 'alter table gate add n int;' }, 'single', 20_000);
      while ((await sql(database.url, `select from pg_locks where not granted and relation = 'gate'::regclass`)).length === 0);
      const problem = await refusal(installEngine(await connect(), 1, nextEngine()));
      expect(problem).toMatchObject({ slug: 'interrupted', message: expect.stringMatching(/A deployment is running.*The database is as it was/) });
      expect(await snapshotOfWeft()).toEqual(before);
      await blocker.query('commit');
      expect((await deployed).state).toBe('succeeded');
    } finally {
      await blocker.end();
    }
    expect(await installEngine(await connect(), 1, nextEngine())).toBe(true);
    const [lease] = await sql(database.url, 'select pid, deployment_id from weft._lease');
    expect(lease).toEqual({ pid: null, deployment_id: null });
  });
});

describe('a newer engine', () => {
  beforeEach(async () => {
    await installEngine(await connect(), null, { ...nextEngine(), version: 2 });
  });

  it('is not taken back by an older Weft', async () => {
    const problem = await refusal(ensureEngine(await connect()));
    expect(problem).toMatchObject({ slug: 'engine_newer', message: expect.stringMatching(/version 2.*version 1.*Update Weft/s) });
  });

  it('opens no deployment for an older Weft', async () => {
    const problem = await refusal(send(database.url, pack([{ name: 'main', transaction: 'single', files: { '1.sql': 'select 1;' } }])));
    expect(problem).toMatchObject({ slug: 'engine_newer' });
    expect(await sql(database.url, 'select count(*)::int from weft._deployments')).toEqual([{ count: 0 }]);
  });

  it('says so itself when it is asked for less', async () => {
    const { order } = pack([{ name: 'main', transaction: 'single', files: { '1.sql': 'select 1;' } }]);
    await expect(sql(database.url, 'select weft.open(p_request => $1, p_engine => 1)', [Buffer.from(order.request)])).rejects.toMatchObject({ code: 'WF001' });
    await sql(database.url, 'select weft.open(p_request => $1, p_engine => 2)', [Buffer.from(order.request)]);
  });
});

describe('leaving', () => {
  it("drop schema weft cascade touches nothing of the user's", async () => {
    await passFiles(database.url, {
      '1.sql': `create table t (n int primary key, s text default 'x'); create view v as select n from t; create function f() returns int language sql as 'select 1'; create type mood as enum ('glad'); insert into t values (1);`,
    });
    const catalog = 'select kind, identity, definition from weft.snapshot() order by 1, 2, 3';
    const before = await sql(database.url, catalog);
    await sql(database.url, 'drop schema weft cascade');
    expect(await sql(database.url, 'select n, s from t')).toEqual([{ n: 1, s: 'x' }]);
    await ensureEngine(await connect());
    expect(await sql(database.url, catalog)).toEqual(before);
  });

  it('leaves a database into which the engine can come again', async () => {
    await passFiles(database.url, { '1.sql': 'create table t ();' });
    await sql(database.url, 'drop schema weft cascade');
    await passFiles(database.url, { '2.sql': 'create table u ();' });
    expect(await sql(database.url, 'select path from weft.history')).toEqual([{ path: '2.sql' }]);
  });

  it('drops nothing but what is in the schema', async () => {
    const count = `select (select count(*)::int from pg_class) as classes, (select count(*)::int from pg_proc) as functions, (select count(*)::int from pg_type) as types, (select count(*)::int from pg_depend) as dependencies`;
    const before = await sql(database.url, count);
    await ensureEngine(await connect());
    await sql(database.url, 'drop schema weft cascade');
    expect(await sql(database.url, count)).toEqual(before);
  });
});

it('the script is one transaction without BEGIN, and ends nothing of its own', () => {
  const words = renderInstallation(null, ENGINE).replace(/\$\w*\$[\s\S]*?\$\w*\$/g, '');
  expect(/^\s*(begin|commit|rollback)\s*;/im.test(words)).toBe(false);
});

it.each(['LATIN1', 'SQL_ASCII'])('a database in %s takes the engine and files of its characters; one that it has not fails with its file', async (encoding) => {
  const name = `${database.name}_${encoding.toLowerCase()}`;
  await sql(database.url, `create database ${name} encoding '${encoding}' lc_collate 'C' lc_ctype 'C' template template0`);
  const url = new URL(database.url);
  url.pathname = `/${name}`;
  try {
    await passFiles(url.href, {
      '1.sql': `create table t (x text); insert into t values ('a;'), (E'it\\'s;'), ($a$;$a$);`,
      '2.sql': `insert into t values ('ä'), (U&'\\0041;');`,
    });
    expect(await sql(url.href, 'select count(*)::int from t')).toEqual([{ count: 5 }]);
    const deployment = await deployFiles(url.href, { '3.sql': `insert into t values ('🎉');` });
    if (encoding === 'LATIN1') expect(deployment).toMatchObject({ state: 'failed', error: { sqlstate: '22P05', path: '3.sql' } });
  } finally {
    await dropDatabase(database.url, name);
  }
});

it('a transaction_timeout of the database, shorter than an installation takes, ends nothing of the engine', async () => {
  const [{ version }] = await sql(database.url, `select current_setting('server_version_num')::int as version`);
  if (version < 170000) return; // there is no such setting
  await sql(database.url, `alter database ${database.name} set transaction_timeout = '20ms'`);
  await passFiles(database.url, { '1.sql': 'select pg_sleep(0.1);' });
  await queryEngine(await connect(), 'select pg_sleep(0.1)'); // nor what is only read
});

it('exit_on_error of the database, which would end the session at each error, does not keep a step from failing with its error', async () => {
  await sql(database.url, `alter database ${database.name} set exit_on_error = on`);
  expect(await deployFiles(database.url, { '1.sql': 'select 1 / 0;' })).toMatchObject({ state: 'failed', error: { sqlstate: '22012', path: '1.sql' } });
  await stageFiles(database.url, { '2.sql': 'select 1 / 0;' });
  await sqlAnew(database.url, 'call weft.run()'); // as psql would, in a session that has it
  expect(await sqlAnew(database.url, 'select state::text from weft.deployments order by created_at desc limit 1')).toEqual([{ state: 'failed' }]);
});

it.runIf(offers('a superuser'))('an installation for which the server has too little of something says what it takes; the database is as it was', async () => {
  const empty = await emptyDatabase();
  try {
    await sql(
      empty.superuserUrl as string,
      `create function fill_up() returns event_trigger language plpgsql
         as $$ begin raise 'out of shared memory' using errcode = '53200', hint = 'You might need to increase "max_locks_per_transaction".'; end $$;
       create event trigger fill_up on ddl_command_end execute function fill_up();`,
    );
    await expect(deployFiles(empty.url, { '1.sql': 'select 1;' })).rejects.toMatchObject({
      slug: 'statement_failed',
      message: expect.stringMatching(
        /^The engine was not installed: .* 53200: out of shared memory\. Hint: You might need to increase "max_locks_per_transaction"\. .*Nothing was changed\. The script is .* 1100 places/,
      ),
    });
    expect(await sql(empty.url, `select to_regnamespace('weft') as there`)).toEqual([{ there: null }]);
  } finally {
    await empty.drop();
  }
});

it.runIf(offers('a superuser'))('an installation that an event trigger refuses says so, and what it said; the database is as it was', async () => {
  const empty = await emptyDatabase();
  try {
    await sql(
      empty.superuserUrl as string,
      `create function audit() returns event_trigger language plpgsql as $$ begin insert into audit_log values (1); end $$;
       create event trigger audit on ddl_command_end execute function audit();`,
    );
    const refused = deployFiles(empty.url, { '1.sql': 'select 1;' });
    await expect(refused).rejects.toMatchObject({
      slug: 'statement_failed',
      message: expect.stringMatching(
        /^The engine was not installed: .* 42P01: relation "audit_log" does not exist\. Where: .*audit\(\).*Nothing was changed\. Where an event trigger/,
      ),
    });
    expect(await sql(empty.url, `select to_regnamespace('weft') as there`)).toEqual([{ there: null }]);
  } finally {
    await empty.drop();
  }
});
