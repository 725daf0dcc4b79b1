/**
 * What one file does to its session, the next one must not see, and the engine neither. Each file here is deployed to a real
 * server; what it saw, it writes into a table.
 */
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyDatabase, freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { deployFiles, failFiles, pack, passFiles, type Rule, send } from './support.ts';

let database: TestDatabase;
const roles: string[] = [];

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  const gone = roles.splice(0);
  if (gone.length > 0) await sql(database.url, gone.map((role) => `drop owned by ${role} cascade`).join(';')).catch(() => undefined);
  await database.drop();
  for (const role of gone) await sql(withoutDatabase(database.url), `drop role if exists ${role}`);
});

function withoutDatabase(url: string): string {
  const changed = new URL(url);
  changed.pathname = '/postgres';
  return changed.href;
}

/** A role that the owner of the database may become, and that has no rights. */
async function makeRole(options = 'nologin'): Promise<string> {
  const name = `weft_test_role_${process.pid}_${Date.now().toString(36)}_${roles.length}`;
  await sql(database.url, `create role ${name} ${options}`);
  const [{ me }] = await sql(database.url, 'select current_user as me');
  const [{ version }] = await sql(database.url, `select current_setting('server_version_num')::int as version`);
  const given = `grant ${name} to ${me}${version >= 160000 ? ' with set true, inherit true' : ''}`;
  await sql(database.superuserUrl ?? database.url, given);
  roles.push(name);
  return name;
}

const SEEN = 'create table public.seen (what text, value text);';

describe.each<Rule>(['single', 'per-step'])('under transaction: %s, the next file does not see', (rule) => {
  it.each([
    ['search_path', `create schema other; set search_path = other;`],
    ['search_path', `create schema other; select set_config('search_path', 'other', false);`],
    ['search_path', `create schema other; set local search_path = other;`],
    ['DateStyle', `set DateStyle = 'German';`],
    ['TimeZone', `set time zone 'Asia/Tokyo';`],
    ['client_min_messages', `set client_min_messages = notice;`],
    ['statement_timeout', `set statement_timeout = '1s';`],
    ['lock_timeout', `set lock_timeout = '77ms';`],
    ['idle_in_transaction_session_timeout', `set idle_in_transaction_session_timeout = '77s';`],
    ['client_connection_check_interval', `set client_connection_check_interval = '7s';`],
    ['exit_on_error', 'set exit_on_error = on;'],
    ['default_transaction_isolation', `set default_transaction_isolation = 'serializable';`],
    ['standard_conforming_strings', `set standard_conforming_strings = off;`],
    ['check_function_bodies', `set check_function_bodies = off;`],
    ['bytea_output', `create function f() returns void language sql as $$ select set_config('bytea_output', 'escape', false) $$; select f();`],
    ['row_security', `set row_security = off;`],
  ])('the setting %s: %s', async (name, change) => {
    const look = (what: string) => `insert into public.seen values ('${what}', current_setting('${name}'));`;
    await passFiles(database.url, { '1.sql': SEEN + look('before'), '2.sql': change, '3.sql': look('after') }, rule);
    const [before, after] = await sql(database.url, 'select what, value from seen order by what desc');
    expect(before.what).toBe('before');
    expect(after.value).toBe(before.value);
  });

  it('a setting of its own making', async () => {
    await passFiles(
      database.url,
      {
        '1.sql': `${SEEN} set my.secret = 'x'; select set_config('my.other', 'y', false);`,
        '2.sql': `insert into seen values ('my.secret', current_setting('my.secret', true)), ('my.other', current_setting('my.other', true));`,
      },
      rule,
    );
    expect(await sql(database.url, `select value from seen where value <> ''`)).toEqual([]);
  });

  it('the role that a file has become', async () => {
    const role = await makeRole();
    const look = `insert into public.seen values ('role', current_user || ' ' || current_setting('role'));`;
    await passFiles(database.url, { '1.sql': `${SEEN} set role ${role};`, '2.sql': look, '3.sql': `set local role ${role};`, '4.sql': look }, rule);
    const [{ me }] = await sql(database.url, 'select current_user as me');
    expect(await sql(database.url, 'select distinct value from seen')).toEqual([{ value: `${me} none` }]);
  });

  it('temporary tables', async () => {
    await passFiles(
      database.url,
      {
        '1.sql': `${SEEN} create temp table t (n int); insert into t values (1);`,
        '2.sql': `insert into seen values ('t', to_regclass('pg_temp.t')::text); create temp table t (other text);`,
      },
      rule,
    );
    expect(await sql(database.url, 'select value from seen')).toEqual([{ value: null }]);
  });

  it('prepared statements', async () => {
    await passFiles(database.url, { '1.sql': 'prepare p as select 1;', '2.sql': 'prepare p as select 2; execute p;' }, rule);
  });

  it('cursors', async () => {
    await passFiles(
      database.url,
      {
        '1.sql': 'declare c cursor for select 1; declare h cursor with hold for select 1;',
        '2.sql': `${SEEN} insert into seen select 'cursor', name from pg_cursors where name in ('c', 'h'); declare c cursor for select 2;`,
      },
      rule,
    );
    expect(await sql(database.url, 'select value from seen')).toEqual([]);
  });

  it('what it listens to', async () => {
    await passFiles(database.url, { '1.sql': `${SEEN} listen channel;`, '2.sql': `insert into seen select 'channel', pg_listening_channels();` }, rule);
    expect(await sql(database.url, 'select value from seen')).toEqual([]);
  });

  it('the last value of a sequence', async () => {
    await passFiles(
      database.url,
      {
        '1.sql': `${SEEN} create sequence s; select nextval('s');`,
        '2.sql': `do $$ begin perform currval('s'); insert into seen values ('currval', 'seen'); exception when object_not_in_prerequisite_state then null; end $$;
          do $$ begin perform lastval(); insert into seen values ('lastval', 'seen'); exception when object_not_in_prerequisite_state then null; end $$;`,
      },
      rule,
    );
    expect(await sql(database.url, 'select what from seen')).toEqual([]);
  });
});

describe('session advisory locks', () => {
  it('of one transaction are gone in the next', async () => {
    await passFiles(
      database.url,
      {
        '1.sql': `${SEEN} select pg_advisory_lock(4711);`,
        '2.sql': `insert into seen select locktype, objid::text from pg_locks where locktype = 'advisory' and objid = 4711;`,
      },
      'per-step',
    );
    expect(await sql(database.url, 'select * from seen')).toEqual([]);
  });

  it.each<[string, string]>([
    ['done', 'select pg_advisory_lock(4711);'],
    ['failed', 'select pg_advisory_lock(4711); select 1/0;'],
  ])('are gone when the deployment is over and the session stays: %s', async (_, text) => {
    const client = await database.client();
    try {
      await passFiles(database.url, { '0.sql': 'select 1;' });
      const id = await stageOnly({ '1.sql': text });
      await client.query(`call weft.run('${id}')`);
      const { rows } = await client.query(
        `select objid from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
      );
      expect(rows).toEqual([]);
    } finally {
      await client.end();
    }
  });
});

/** Opens and stages in plain SQL; somebody else runs it. */
async function stageOnly(files: Record<string, string>, rule: Rule = 'single'): Promise<string> {
  const { order, chunks } = pack([{ name: 'main', transaction: rule, files }]);
  const [{ opened }] = await sql(database.url, 'select weft.open($1) as opened', [Buffer.from(order.request)]);
  const all = [...chunks];
  await sql(database.url, 'select weft.stage($1, $2, $3, $4)', [
    opened.deployment,
    all.map(([digest]) => digest),
    all.map(([, bytes]) => bytes.length),
    Buffer.concat(all.map(([, bytes]) => bytes)),
  ]);
  return opened.deployment;
}

describe('a file cannot lead the engine astray', () => {
  it('with a temporary table called pg_stat_activity', async () => {
    const blind = 'create temp table pg_stat_activity (pid int); create temp table pg_locks (pid int); set search_path = pg_temp, pg_catalog;';
    await passFiles(database.url, { '1.sql': `${blind} create table public.a ();`, '2.sql': `${blind} create table public.b ();` });
    expect(await sql(database.url, `select to_regclass('public.a') is not null and to_regclass('public.b') is not null as both`)).toEqual([{ both: true }]);
  });

  it('with operators and functions of its own before those of pg_catalog', async () => {
    const traps = `
      create function public.trap(text, text) returns boolean language plpgsql as $$ begin raise exception 'trapped'; end $$;
      create operator public.= (leftarg = text, rightarg = text, procedure = public.trap);
      create function public.trap(integer, integer) returns boolean language plpgsql as $$ begin raise exception 'trapped'; end $$;
      create operator public.= (leftarg = integer, rightarg = integer, procedure = public.trap);
      create operator public.> (leftarg = integer, rightarg = integer, procedure = public.trap);
      create function public.trapped(integer, integer) returns integer language plpgsql as $$ begin raise exception 'trapped'; end $$;
      create operator public.+ (leftarg = integer, rightarg = integer, procedure = public.trapped);
      create function public.current_setting(text) returns text language sql as $$ select 'on' $$;
      create function public.set_config(text, text, boolean) returns text language sql as $$ select 'trapped' $$;
      create function public.clock_timestamp() returns timestamptz language sql as $$ select '-infinity'::timestamptz $$;
      create function public.sha256(bytea) returns bytea language sql as $$ select ''::bytea $$;
      create function public.cardinality(bytea[]) returns integer language sql as $$ select 0 $$;
      create domain public.text as integer;
      set search_path = 'public', 'pg_catalog';
      select pg_catalog.now();`;
    await passFiles(database.url, {
      '1.sql': traps,
      '2.sql': 'select 1; set search_path = public, pg_catalog; select pg_catalog.now(); select pg_catalog.now();',
    });
    const [step] = await sql(
      database.url,
      `select statements, statement_lines, (select count(*)::int from unnest(statement_digests) as d where length(d) = 32) as digests from weft._steps where path = '2.sql'`,
    );
    expect(step).toMatchObject({ statements: 4, digests: 4 });
  });

  it('by ending as a role that has no rights on Weft', async () => {
    const role = await makeRole();
    await passFiles(database.url, { '1.sql': `set role ${role};`, '2.sql': 'create table a ();', '3.sql': `set role ${role}; select 1;` });
    expect(await sql(database.url, `select path, state::text from weft._steps order by path`)).toEqual(
      ['1.sql', '2.sql', '3.sql'].map((path) => ({ path, state: 'succeeded' })),
    );
  });

  it('by becoming a role that has no rights on Weft while chunks of it are still to be read', async () => {
    const role = await makeRole();
    await sql(database.url, `create schema own; grant all on schema own to ${role}`);
    const insert = `insert into own.t values ('${'x'.repeat(2000)}');\n`;
    await passFiles(database.url, { '1.sql': `set role ${role};\ncreate table own.t (x text);\n${insert.repeat(1600)}`, '2.sql': 'create table public.a ();' });
    expect(
      await sql(
        database.url,
        `select count(*)::int, (select tableowner from pg_tables where tablename = 't') as owner, (select tableowner from pg_tables where tablename = 'a') = current_user as back from own.t`,
      ),
    ).toEqual([{ count: 1600, owner: role, back: true }]);
  });

  it('by another session authorization, also while chunks of it are still to be read', async ({ skip }) => {
    if (database.superuserUrl === null) return skip();
    const role = await makeRole();
    await sql(database.superuserUrl, `create schema own; grant all on schema own to ${role}`);
    const insert = `insert into own.t values ('${'x'.repeat(2000)}');\n`;
    await passFiles(database.superuserUrl, {
      '1.sql': `set session authorization ${role};\ncreate table own.t (x text);\n${insert.repeat(1000)}`,
      '2.sql': 'create table public.a ();',
    });
    expect(
      await sql(
        database.superuserUrl,
        `select count(*)::int, (select tableowner from pg_tables where tablename = 't') as owner, (select tableowner from pg_tables where tablename = 'a') = current_user as back from own.t`,
      ),
    ).toEqual([{ count: 1000, owner: role, back: true }]);
  });

  it('by closing all cursors, deallocating, discarding plans', async () => {
    await passFiles(database.url, {
      '1.sql': 'close all; deallocate all; discard plans; discard temp; discard sequences; reset all;',
      '2.sql': 'create table a ();',
    });
  });

  it('by a role of the name "weft" whose "$user" is the schema of the engine', async () => {
    await database.drop();
    database = await emptyDatabase(); // the role shall own the engine
    await sql(database.url, `do $$ begin create role weft login password 'weft-of-tests'; exception when duplicate_object then null; end $$`);
    await sql(
      database.url,
      `do $$ begin execute format('grant create on database %I to weft', current_database()); end $$; grant create on schema public to weft`,
    );
    const url = new URL(database.url);
    url.username = 'weft';
    url.password = 'weft-of-tests';
    try {
      await passFiles(url.href, { '1.sql': 'create table a (); create table "$user" ();', '2.sql': 'set search_path to "$user", public; create table b ();' });
      expect(
        await sql(url.href, `select relname::text, relnamespace::regnamespace::text as schema from pg_class where relname in ('a', 'b', '$user') order by 1`),
      ).toEqual([
        { relname: '$user', schema: 'public' },
        { relname: 'a', schema: 'public' },
        { relname: 'b', schema: 'public' },
      ]);
    } finally {
      await database.drop();
      await sql(withoutDatabase(database.url), 'drop role weft');
    }
  });
});

describe('while a file runs', () => {
  it('nothing that it raises reaches the wire: a flood of notices ends nobody', async () => {
    await passFiles(database.url, { '0.sql': 'select 1;' });
    const id = await stageOnly({
      '1.sql': `do $$ begin for i in 1 .. 10000 loop raise notice 'notice %', i; raise warning 'warning %', i; end loop; end $$;
                set client_min_messages = notice;
                do $$ begin raise notice 'after a SET'; end $$;
                select set_config('client_min_messages', 'notice', false);
                do $$ begin raise notice 'after set_config'; end $$;
                drop table if exists nothing_of_this_name;`,
    });
    const client = await database.client();
    const heard: unknown[] = [];
    client.on('notice', (notice) => heard.push(notice.message));
    try {
      const { rows } = await client.query(`call weft.run('${id}')`);
      expect(rows[0].result.state).toBe('succeeded');
      expect(heard).toEqual([]);
    } finally {
      await client.end();
    }
  });

  it('application_name tells other sessions at which step an uncommitted phase is', async () => {
    const blocker = await database.client();
    try {
      await passFiles(database.url, { '0.sql': 'create table gate ();' });
      await blocker.query('begin; lock table gate');
      const files: Record<string, string> = {};
      for (const n of [1, 2, 3, 4, 5]) files[`${n}.sql`] = n === 3 ? 'lock table gate' : `create table t${n} ()`;
      const deployed = deployFiles(database.url, files, 'single', 20_000);
      const look = `select application_name as name, weft.status(d.id) -> 'live' as live, (select count(*)::int from pg_class where relname in ('t1', 't2')) as committed
        from pg_stat_activity as a join weft.deployments as d on d.state = 'running' where datname = current_database() and application_name like 'weft 3/5 %'`;
      let seen: pg.QueryResultRow[] = [];
      while (seen.length === 0) seen = await sql(database.url, look);
      await blocker.query('commit');
      expect(seen[0]).toMatchObject({ name: 'weft 3/5 main', committed: 0, live: { step: 3, steps: 5, phase: 'main', path: '3.sql' } });
      expect((await deployed).state).toBe('succeeded');
    } finally {
      await blocker.end();
    }
  });
});

describe('a file may hold what is plain SQL elsewhere', () => {
  it.each([
    ['SELECT INTO', 'select 1 as n into made;', 'select n from made', [{ n: 1 }]],
    ['SELECT INTO behind a comment and in capitals', '-- why\n  SELECT 1 AS n INTO TABLE made;', 'select n from made', [{ n: 1 }]],
    ['a procedure that is called', 'create procedure p() language sql as $$ create table made (n int) $$; call p();', 'select n from made', []],
    [
      'rows that nobody reads',
      'create table made (n int); insert into made values (1) returning n; select * from made; table made; values (1), (2);',
      'select n from made',
      [{ n: 1 }],
    ],
    ['EXPLAIN ANALYZE', 'create table made (n int); explain (analyze) insert into made values (7);', 'select n from made', [{ n: 7 }]],
    ['a cursor that is read', `create table made (n int); declare c cursor for select 1; fetch all from c; close c;`, 'select n from made', []],
    ['no statement at all', `-- nothing\n;;/* ; */;\n`, 'select 1 as one', [{ one: 1 }]],
    ['nothing', '', 'select 1 as one', [{ one: 1 }]],
    ['a byte-order mark', '\ufeffcreate table made (n int);', 'select n from made', []],
  ])('%s', async (_, text, question, answer) => {
    await passFiles(database.url, { '1.sql': text });
    expect(await sql(database.url, question)).toEqual(answer);
  });
});

it('the owner is told which rights it lacks when it may not become a role', async () => {
  const error = await failFiles(database.url, { '1.sql': 'set role postgres_of_nobody;' });
  expect(error).toMatchObject({ sqlstate: '22023', path: '1.sql', line: 1, statement: 'set role postgres_of_nobody' });
});

it('deployments of two bundles share a database, each with a history of its own', async () => {
  await send(database.url, pack([{ name: 'main', transaction: 'single', files: { '1.sql': 'create table a ();' } }], 'one', { bundle: 'one' }));
  const second = await send(database.url, pack([{ name: 'main', transaction: 'single', files: { '1.sql': 'create table b ();' } }], 'two', { bundle: 'two' }));
  expect(second.state).toBe('succeeded');
  expect(await sql(database.url, 'select bundle, path from weft.history order by bundle')).toEqual([
    { bundle: 'one', path: '1.sql' },
    { bundle: 'two', path: '1.sql' },
  ]);
});
