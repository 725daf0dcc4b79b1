/**
 * What an error leaves: an account that is whole, and a database as law 1 says. Under `single` nothing of the phase is there;
 * under `per-step` everything before the failed file, and nothing of it or behind it.
 */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyDatabase, freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles as rehearseFiles, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { deployFiles, type Files, failFiles, pack, passFiles, send, sha256 } from './support.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

/** Deploys a file that fails, between one that does not and one that is never reached, under both rules, and looks at what is left. */
async function failBoth(failing: string, setUp = 'select 1;'): Promise<Record<'single' | 'per-step', Awaited<ReturnType<typeof failFiles>>>> {
  await passFiles(database.url, { 'set_up.sql': setUp });
  const errors: Awaited<ReturnType<typeof failFiles>>[] = [];
  for (const rule of ['single', 'per-step'] as const) {
    const tag = rule.replace('-', '_');
    const files: Files = {
      [`${tag}/1.sql`]: `create table before_${tag} ();`,
      [`${tag}/2.sql`]: `create table of_${tag} ();\n${failing}`,
      [`${tag}/3.sql`]: `create table after_${tag} ();`,
    };
    const deployment = await deployFiles(database.url, files, rule);
    expect(deployment.state).toBe('failed');
    errors.push(deployment.error as Awaited<ReturnType<typeof failFiles>>);
    expect(deployment.phases.map((phase) => phase.state)).toEqual(['failed']);
    const tables = await sql(database.url, `select relname::text as name from pg_class where relname like '%\\_${tag}'`);
    expect(tables.map((row) => row.name)).toEqual(rule === 'single' ? [] : [`before_${tag}`]);
    const history = await sql(database.url, `select path from weft.history where path like '${tag}/%'`);
    expect(history.map((row) => row.path)).toEqual(rule === 'single' ? [] : [`${tag}/1.sql`]);
  }
  const [single, perStep] = errors;
  return { single: single as NonNullable<typeof single>, 'per-step': perStep as NonNullable<typeof perStep> };
}

/** An error as both rules tell it: the same but for the path. */
async function failAlike(failing: string, setUp?: string): Promise<Awaited<ReturnType<typeof failFiles>>> {
  const both = await failBoth(failing, setUp);
  expect(both.single).toMatchObject({ path: 'single/2.sql', phase: 'main' });
  expect(both['per-step']).toMatchObject({ path: 'per_step/2.sql', phase: 'main' });
  const { context: _, ...single } = both.single;
  expect({ ...both['per-step'], path: 'single/2.sql' }).toMatchObject(single);
  return both.single;
}

describe('an error is kept whole:', () => {
  it('a unique violation, with schema, table and constraint', async () => {
    const error = await failAlike(
      `insert into s.t values (1), (2);\ninsert\n into s.t values (2);`,
      'create schema s; create table s.t (n int constraint n_is_one_only primary key);',
    );
    expect(error).toMatchObject({
      sqlstate: '23505',
      message: expect.stringContaining('n_is_one_only'),
      detail: 'Key (n)=(2) already exists.',
      schema: 's',
      table: 't',
      constraint: 'n_is_one_only',
      line: 3,
      statement: 'insert\n into s.t values (2)',
    });
  });

  it('a violation of NOT NULL, with its column', async () => {
    const error = await failAlike('insert into t values (null);', 'create table t (n int not null);');
    expect(error).toMatchObject({ sqlstate: '23502', table: 't', column: 'n', detail: 'Failing row contains (null).' });
  });

  it('a violation of a domain, with its type', async () => {
    const error = await failAlike(`select 'x'::d;`, `create domain d as text constraint short check (length(value) = 0);`);
    expect(error).toMatchObject({ sqlstate: '23514', datatype: 'd', constraint: 'short' });
  });

  it('a table that is not there, at the line behind the comments', async () => {
    const error = await failAlike('-- one\n/* two\n three */\n\n  -- four\nselect * from nowhere;');
    expect(error).toMatchObject({ sqlstate: '42P01', message: 'relation "nowhere" does not exist', line: 7 });
    expect(error.statement).toMatch(/select \* from nowhere$/);
  });

  it('RAISE with a code and a hint of its own, from a function, with its context', async () => {
    const error = await failAlike(
      'select outer_one();',
      `create function inner_one() returns void language plpgsql as $$ begin
         raise exception 'no % today', 'bread' using errcode = 'BK001', hint = 'Come tomorrow.', detail = 'The oven is cold.', table = 'oven';
       end $$;
       create function outer_one() returns void language plpgsql as $$ begin perform inner_one(); end $$;`,
    );
    expect(error).toMatchObject({ sqlstate: 'BK001', message: 'no bread today', hint: 'Come tomorrow.', detail: 'The oven is cold.', table: 'oven', line: 2 });
    expect(error.context).toMatch(/PL\/pgSQL function inner_one\(\) line 2 at RAISE\n.*\n?PL\/pgSQL function outer_one\(\) line 1 at PERFORM/s);
    expect(error.context).not.toContain('weft');
  });

  it('ASSERT, which WHEN OTHERS does not catch', async () => {
    const error = await failAlike(`do $$ begin assert 1 = 2, 'arithmetic is broken'; end $$;`);
    expect(error).toMatchObject({ sqlstate: 'P0004', message: 'arithmetic is broken', line: 2 });
  });

  it('a division by zero in a function', async () => {
    const error = await failAlike('select f(0);', 'create function f(n int) returns int language sql as $$ select 1 / n $$;');
    expect(error).toMatchObject({ sqlstate: '22012', statement: 'select f(0)', context: expect.stringContaining('SQL function "f"') });
  });

  it('a statement of thousands of characters, of which the beginning is shown', async () => {
    const error = await failAlike(`select 1/0, '${'x'.repeat(10_000)}';`);
    expect(error.statement).toHaveLength(2000);
    expect(String(error.context ?? '').length).toBeLessThanOrEqual(2000);
  });

  it('an error without a statement: a file whose bytes are no UTF-8', async () => {
    const error = await failFiles(database.url, { '1.sql': Buffer.from([0x73, 0xff, 0xfe]) });
    expect(error).toMatchObject({ sqlstate: '22021', path: '1.sql' });
    expect(error.statement ?? null).toBeNull();
  });

  it('a character that is no letter of SQL, even where it looks like a space', async () => {
    const error = await failFiles(database.url, { '1.sql': 'select 1;\n\u00a0;\nselect 2' });
    expect(error).toMatchObject({ sqlstate: '42601', path: '1.sql', line: 2 });
  });
});

describe('a deferred constraint is looked at before the commit, where it can be told:', () => {
  const late = 'create table late (n int, constraint only_once unique (n) deferrable initially deferred);';

  it('the phase fails when all or nothing was asked for', async () => {
    await passFiles(database.url, { 'late.sql': late });
    const deployment = await deployFiles(database.url, {
      '1.sql': 'insert into late values (1);',
      '2.sql': 'insert into late values (1);',
      '3.sql': 'create table after ();',
    });
    expect(deployment).toMatchObject({ state: 'failed', error: { sqlstate: '23505', constraint: 'only_once', table: 'late', phase: 'main' } });
    expect(deployment.phases[0]?.steps.map((step) => step.state)).toEqual(['pending', 'pending', 'pending']);
    expect(await sql(database.url, `select (select count(*)::int from late) as rows, to_regclass('after') as after`)).toEqual([{ rows: 0, after: null }]);
  });

  it('the file fails that runs by itself, under its own search_path', async () => {
    await passFiles(database.url, { 'late.sql': late });
    const deployment = await deployFiles(
      database.url,
      { '1.sql': 'insert into late values (1);', '2.sql': 'insert into late values (1);', '3.sql': 'create table after ();' },
      'per-step',
    );
    expect(deployment).toMatchObject({ state: 'failed', error: { sqlstate: '23505', constraint: 'only_once', path: '2.sql', phase: 'main' } });
    expect(deployment.phases[0]?.steps.map((step) => step.state)).toEqual(['succeeded', 'failed', 'pending']);
    expect(await sql(database.url, `select (select count(*)::int from late) as rows, to_regclass('after') as after`)).toEqual([{ rows: 1, after: null }]);
  });

  it('a trigger that waits for the commit fires in the path of its file', async () => {
    await passFiles(
      database.url,
      {
        '1.sql': `create schema s; set search_path = s; create table t (n int); create table noted (n int);
          create function note() returns trigger language plpgsql as $$ begin insert into noted values (new.n); return null; end $$;
          create constraint trigger later after insert on t deferrable initially deferred for each row execute function note();
          insert into t values (1);`,
      },
      'per-step',
    );
    expect(await sql(database.url, 'select n from s.noted')).toEqual([{ n: 1 }]);
  });

  it('a foreign key waits no longer for a row than the phase waits for a lock', async () => {
    await passFiles(database.url, {
      'set_up.sql': 'create table p (n int primary key); insert into p values (1); create table c (n int references p deferrable initially deferred);',
    });
    const other = await database.client();
    try {
      await other.query('begin; delete from p');
      const deployed = deployFiles(database.url, { '1.sql': 'insert into c values (1);' }, 'single', 100);
      await untilEvents(1, 'lock_not_available');
      await other.query('rollback');
      expect((await deployed).state).toBe('succeeded');
    } finally {
      await other.end();
    }
  });
});

async function untilEvents(count: number, kind: string): Promise<void> {
  for (;;) {
    const [row] = await sql(database.url, 'select count(*)::int from weft.events where kind = $1', [kind]);
    if (row.count >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('a lock that is not to be had', () => {
  let holder: pg.Client;

  beforeEach(async () => {
    await passFiles(database.url, { 'set_up.sql': 'create table held (n int); create table other (n int);' });
    holder = await database.client();
    await holder.query('begin; lock table held');
  });

  afterEach(async () => {
    await holder.end();
  });

  it.each(['single', 'per-step', 'none'] as const)('shows which try it is, and who holds it: %s', async (rule) => {
    await holder.query("set application_name = 'the holder'");
    const [{ pid, role }] = (await holder.query('select pg_backend_pid() as pid, current_user as role')).rows;
    const deployed = deployFiles(database.url, { '1.sql': 'alter table held add b int;' }, rule, 300);
    await untilEvents(2, 'lock_not_available');
    const live = async () => (await sql(database.url, `select weft.status(id) -> 'live' as live from weft._deployments order by place desc limit 1`))[0].live;
    await expect.poll(live, { interval: 20, timeout: 20_000 }).toMatchObject({
      waiting_for: 'Lock: relation',
      waiting_on: { mode: 'AccessExclusiveLock', object: 'public.held' },
      blocked_by: [pid],
      blockers: [{ pid, application: 'the holder', role }],
      attempt: { of: 10 },
    });
    // looked at in one statement: the tries go on
    const [{ count, number }] = await sql(
      database.url,
      `select (select count(*)::int from weft.events where kind = 'lock_not_available') as count, (weft.status(id) #>> '{live,attempt,number}')::int as number
       from weft._deployments order by place desc limit 1`,
    );
    expect([count, count + 1]).toContain(number);
    await holder.query('rollback');
    expect((await deployed).state).toBe('succeeded');
  });

  it('shows on what it waits, whatever that is: a row, the place behind others at a row, a schema, and what has no name', async () => {
    const wanted = async (pid: number) => (await sql(database.url, 'select weft._describe_wanted($1) as wanted', [pid]))[0].wanted;
    await holder.query('rollback');
    await sql(database.url, 'insert into held values (1); create schema "a ""b"');
    const waiters = [await database.client(), await database.client()];
    const pids: number[] = [];
    for (const waiter of waiters) pids.push((await waiter.query('select pg_backend_pid() as pid')).rows[0].pid);
    try {
      await holder.query('begin; update held set n = 2; select pg_advisory_xact_lock(4711)');
      const first = waiters[0]?.query('update held set n = 3');
      await expect.poll(() => wanted(pids[0] ?? 0)).toEqual({ mode: 'ShareLock', object: 'a row of public.held' });
      const second = waiters[1]?.query('update held set n = 4');
      await expect.poll(() => wanted(pids[1] ?? 0)).toEqual({ mode: 'ExclusiveLock', object: 'a row of public.held' });
      await holder.query('rollback');
      await Promise.all([first, second]);
      expect(await wanted(pids[0] ?? 0)).toBeNull();

      await holder.query('begin; create table "a ""b".t (n int); select pg_advisory_xact_lock(4711)');
      const drop = waiters[0]?.query('drop schema "a ""b" cascade');
      await expect.poll(() => wanted(pids[0] ?? 0)).toEqual({ mode: 'AccessExclusiveLock', object: 'schema "a ""b"' });
      const advice = waiters[1]?.query('select pg_advisory_lock(4711)');
      await expect.poll(() => wanted(pids[1] ?? 0)).toEqual({ mode: 'ExclusiveLock', object: null });
      await holder.query('rollback');
      await Promise.all([drop, advice]);
    } finally {
      await Promise.all(waiters.map((waiter) => waiter.end()));
    }
  });

  it.each(['single', 'per-step'] as const)('is tried again, holding nothing meanwhile, until it is there: %s', async (rule) => {
    const deployed = deployFiles(database.url, { '1.sql': 'alter table other add a int;', '2.sql': 'alter table held add b int;' }, rule, 50);
    await untilEvents(2, 'lock_not_available');
    await sql(database.url, `begin; set local lock_timeout = '20s'; lock table other in access share mode; commit`);
    await holder.query('rollback');
    const deployment = await deployed;
    expect(deployment.state).toBe('succeeded');
    const [event] = await sql(database.url, `select path, data ->> 'sqlstate' as sqlstate from weft.events where kind = 'lock_not_available' limit 1`);
    expect(event).toEqual({ path: '2.sql', sqlstate: '55P03' });
  });

  it('fails the deployment after lock_attempts_count tries, with what to do', async () => {
    await sql(
      database.url,
      `create or replace function weft._limit(p_name text) returns integer immutable parallel safe set search_path = pg_catalog, pg_temp language sql as $$
      select case p_name when 'lock_attempts_count' then 3 when 'lock_wait_between_ms' then 1 when 'lock_wait_between_ms_max' then 1
        when 'attempts_without_progress_count' then 5 when 'lock_table_percent_max' then 90 when 'steps_between_lock_counts' then 64
        when 'whole_file_bytes' then 1048576 when 'statement_bytes' then 67108864 when 'statement_shown_characters' then 2000 when 'lock_timeout_ms_default' then 5000 end $$`,
    );
    const error = await failFiles(database.url, { '1.sql': 'create table a ();', '2.sql': '\nalter table held add b int;' }, 'single', 20);
    expect(error).toMatchObject({
      sqlstate: '55P03',
      path: '2.sql',
      line: 2,
      statement: 'alter table held add b int',
      hint: expect.stringContaining('lock_timeout'),
    });
    expect(await sql(database.url, `select to_regclass('a') as a, (select count(*)::int from weft.events where kind = 'lock_not_available') as tries`)).toEqual(
      [{ a: null, tries: 2 }],
    );
  });

  it('in a deadlock is tried again too', async () => {
    await holder.query('rollback');
    await holder.query(`begin; set local deadlock_timeout = '100s'; lock table held`).catch(() => holder.query('rollback; begin; lock table held'));
    const deployed = deployFiles(database.url, { '1.sql': 'lock table other; alter table held add b int;' }, 'single', 20_000);
    for (;;) {
      const waiting = await sql(database.url, `select from pg_locks where not granted and relation = 'held'::regclass`);
      if (waiting.length > 0) break;
    }
    // the server ends whichever of the two notices first
    await holder.query('lock table other; rollback').catch(() => holder.query('rollback'));
    expect((await deployed).state).toBe('succeeded');
  });

  it.each([
    ['in a transaction', ''],
    ['statement by statement', 'vacuum parts;\n'],
  ])('that goes with its row to another partition meanwhile (40001) is tried again too: %s', async (_, before) => {
    await holder.query('rollback');
    await sql(
      database.url,
      `create table parts (k int, n int) partition by list (k); create table parts_1 partition of parts for values in (1); create table parts_2 partition of parts for values in (2);
       insert into parts values (1, 0)`,
    );
    await holder.query('begin; update parts set k = 2');
    const deployed = deployFiles(database.url, { '1.sql': `${before}update parts set n = n + 1;` }, 'auto', 20_000);
    await until(
      database.url,
      `exists (select from pg_locks as l join pg_stat_activity as a using (pid) where not l.granted and a.query ~ 'weft.run' and a.datname = current_database())`,
    );
    await holder.query('commit');
    expect((await deployed).state).toBe('succeeded');
    expect(await sql(database.url, 'select k, n from parts')).toEqual([{ k: 2, n: 1 }]);
    expect(await sql(database.url, `select data ->> 'sqlstate' as sqlstate from weft.events where kind = 'lock_not_available'`)).toEqual([
      { sqlstate: '40001' },
    ]);
  });
});

it.each([
  ['in a transaction', ''],
  ['statement by statement', 'vacuum t;\n'],
])('what another session changes in the catalog at the same time is tried again, as a lock is: %s', async (_, before) => {
  await sql(database.url, `create table t (n int); create function f() returns int language sql as 'select 1'`);
  const other = await database.client();
  try {
    await other.query('begin; revoke execute on function f() from public');
    const deployed = deployFiles(database.url, { '1.sql': `${before}alter function f() volatile cost 7;` }, 'auto', 20_000);
    await until(
      database.url,
      `exists (select from pg_locks as l join pg_stat_activity as a using (pid) where not l.granted and a.query ~ 'weft.run' and a.datname = current_database())`,
    );
    await other.query('commit');
    expect((await deployed).state).toBe('succeeded');
    expect(await sql(database.url, `select data ->> 'sqlstate' as sqlstate from weft.events where kind = 'lock_not_available'`)).toEqual([
      { sqlstate: 'XX000' },
    ]);
  } finally {
    await other.end();
  }
});

it.each([
  ['a placeholder', `create table \${schema}.t (n int)`, 2, /^A placeholder .* is a parameter/],
  ['one of a template', 'create table {{ .Schema }}.t (n int)', 2, /^A placeholder .* is a parameter/],
  ['a line that ends a statement', 'create table t (n int)\n/\ncreate table u (n int)', 3, /semicolon.* "\/"/],
])('what only another tool understands fails with what to write instead: %s', async (_, text, line, hint) => {
  expect(await failAlike(text)).toMatchObject({ sqlstate: '42601', line, hint: expect.stringMatching(hint) });
});

it('what is there already, in a database of which the history knows nothing, fails with a hint at baseline; behind a first deployment without', async () => {
  await sql(database.url, 'create table t (n int)');
  const deploy = (files: Record<string, string>) => deployFiles(database.url, files, 'per-step', 20_000);
  expect((await deploy({ '1.sql': 'create table t (n int);' })).error).toMatchObject({ sqlstate: '42P07', hint: expect.stringContaining('weft baseline') });
  const second = await deploy({ '0.sql': 'select 1;', '1.sql': 'create table t (n int);' });
  expect(second.error).toMatchObject({ sqlstate: '42P07', path: '1.sql' });
  expect(second.error?.hint).toBeUndefined();
});

describe('REASSIGN OWNED, which gives away schema weft too,', () => {
  const statement = '-- all\nreassign owned by current_user to heir';

  it('fails with a hint that is about it', async () => {
    const [{ told }] = await sql(database.url, 'select weft._describe_error($1, null, $2, 1, $3) as told', [
      { sqlstate: '42501', message: 'permission denied for schema weft' },
      '1.sql',
      statement,
    ]);
    expect(told.hint).toMatch(/^REASSIGN OWNED gives away .* schema weft/);
  });

  // The server goes through what the role owns as it finds it. Once the schema has been given away, its functions may be.
  it('gives away all of the engine, or nothing', async () => {
    // A role of its own: the tests' role owns the databases of all other tests, which would be given away as well.
    const giver = `weft_test_giver_${randomBytes(4).toString('hex')}`;
    const heir = `${giver}_heir`;
    const own = await emptyDatabase();
    try {
      await sql(
        own.url,
        `create role ${heir}; create role ${giver} login password 'of-tests' in role ${heir}; grant create on database ${own.name} to ${giver}`,
      );
      const url = Object.assign(new URL(own.url), { username: giver, password: 'of-tests' }).href;
      const end = await deployFiles(url, { '1.sql': statement.replace('heir', `${heir};`) }, 'per-step', 20_000);
      if (end.state !== 'succeeded')
        expect(end.error).toMatchObject({ sqlstate: '42501', message: 'permission denied for schema weft', hint: expect.stringMatching(/^REASSIGN OWNED/) });
      const owners = await sql(
        url,
        `select distinct pg_get_userbyid(o.owner)::text as owner
         from (select relowner from pg_class where relnamespace = 'weft'::regnamespace union select proowner from pg_proc where pronamespace = 'weft'::regnamespace
               union select nspowner from pg_namespace where nspname = 'weft') as o (owner)`,
      );
      expect(owners).toEqual([{ owner: end.state === 'succeeded' ? heir : giver }]);
    } finally {
      await own.drop();
      await sql(database.url, `drop role if exists ${giver}, ${heir}`);
    }
  });
});

describe('what PostgreSQL runs in no function is refused with just that reason:', () => {
  it.each([
    ['SET TRANSACTION', 'set transaction isolation level serializable;', '25001', /lock what must not change meanwhile/],
    [
      'SET TRANSACTION, said in another language',
      `do $$ begin raise exception 'команда SET TRANSACTION ISOLATION LEVEL должна вызываться до любых запросов' using errcode = '25001'; end $$;`,
      '25001',
      /lock what must not change meanwhile/,
    ],
    ['BEGIN at another level', 'begin isolation level serializable; select 1; commit;', '0A000', /Weft's transactions are read committed/],
    ['BEGIN', 'begin;', '0A000', /cut the file in two/],
    ['COMMIT', 'commit;', '0A000', /cut the file in two/],
    ['SAVEPOINT', 'savepoint s;', '0A000', /on_error: continue/],
    ['ROLLBACK TO', 'rollback work to s;', '0A000', /on_error: continue/],
    ['COPY FROM STDIN without the semicolon behind which its rows stand', 'copy t from stdin', '0A000', /lines behind/],
    ['COPY TO STDOUT', 'copy t to stdout;', '0A000', /client/],
    ['VACUUM', 'vacuum t;', '25001', /in no transaction/],
    ['CREATE INDEX CONCURRENTLY', 'create index concurrently on t (n);', '25001', /in no transaction/],
    ['a DO block that commits', 'do $$ begin insert into t values (1); commit; end $$;', '2D000', /commit/i],
    ['a procedure that commits', 'call commits();', '2D000', /commit/i],
  ])('%s', async (_, text, sqlstate, hint) => {
    const error = await failAlike(text, 'create table t (n int); create procedure commits() language plpgsql as $$ begin commit; end $$;');
    expect(error).toMatchObject({ sqlstate, line: 2, hint: expect.stringMatching(hint) });
    expect(await sql(database.url, 'select count(*)::int from t')).toEqual([{ count: 0 }]);
  });

  it('a new value of an enum that is used too early', async () => {
    await passFiles(database.url, { 'set_up.sql': `create type mood as enum ('sad'); create table t (m mood);` });
    const error = await failFiles(database.url, { '1.sql': `alter type mood add value 'glad';`, '2.sql': `insert into t values ('glad');` });
    expect(error).toMatchObject({ sqlstate: '55P04', path: '2.sql', line: 1, hint: expect.stringContaining('later phase') });
    const perStep = await deployFiles(database.url, { '1.sql': `alter type mood add value 'glad';`, '2.sql': `insert into t values ('glad');` }, 'per-step');
    expect(perStep.state).toBe('succeeded');
  });

  it('SET TRANSACTION READ ONLY, which would leave nothing to be recorded', async () => {
    const error = await failAlike('set transaction read only;');
    expect(error).toMatchObject({ sqlstate: 'WF014', line: 2, hint: expect.stringContaining('READ ONLY') });
  });

  it.each([
    ['a view', 'create view v as select * from weft.history;', /view public\.v/],
    [
      'a function that is parsed',
      'create function f() returns bigint language sql begin atomic select count(*) from weft.events; end;',
      /function public\.f\(\)/,
    ],
    ['a foreign key', 'create table t (id uuid references weft._deployments);', /constraint .* on table public\.t/],
    ['a default', 'create table t (n int default weft.version());', /default value for column n of table public\.t/],
    ['a column', 'create table t (state weft.deployment_state);', /column state of table public\.t/],
    ['a policy', 'create table t (); create policy p on t using (weft.version() = 1);', /policy p on table public\.t/],
    ['an index', 'create table t (n int); create index i on t ((n + weft.version()));', /index public\.i/],
    ['a table', 'create table weft.mine (n int);', /schema weft would hold something else/],
    ['a function', 'create function weft.mine() returns int language sql as $$ select 1 $$;', /schema weft would hold something else/],
    ['the loss of a view', 'drop view weft.events;', /schema weft would hold something else/],
  ])('%s that would depend on the schema weft, or change what it holds (law 11)', async (_, text, named) => {
    await passFiles(database.url, { 'set_up.sql': 'select 1;' });
    const deployment = await deployFiles(database.url, { '1.sql': text }, 'per-step');
    expect(deployment).toMatchObject({ state: 'failed', error: { sqlstate: 'WF016', message: expect.stringMatching(named), path: '1.sql' } });
    await sql(database.url, 'drop schema weft cascade');
  });

  it('a transaction that would fill the lock table of the server', async () => {
    await passFiles(database.url, { 'set_up.sql': 'select 1;' });
    const [{ places }] = await sql(
      database.url,
      `select current_setting('max_locks_per_transaction')::int * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) as places`,
    );
    const files: Record<string, string> = {};
    for (let n = 0; n < 70; n++)
      files[`${n + 100}.sql`] = `select pg_advisory_xact_lock(${n}, i) from generate_series(1, ${Math.ceil((places * 0.92) / 64)}) as i;`;
    const error = await failFiles(database.url, files);
    expect(error).toMatchObject({ sqlstate: 'WF015', path: '163.sql', hint: expect.stringContaining('per-step') });
    expect((await deployFiles(database.url, files, 'per-step')).state).toBe('succeeded');
    const rehearsed = (transaction: 'single' | 'per-step') =>
      rehearseFiles(connectOver(database.url), files, { mode: 'rehearse', bundle: transaction, transaction });
    expect(JSON.stringify((await rehearsed('single')).rehearsal)).toMatch(/WF015.*Use .+per-step/);
    expect(JSON.stringify((await rehearsed('per-step')).rehearsal)).toMatch(/WF015.*need not come to this/);
  });
});

describe('single is all or nothing, per-step keeps what was before', () => {
  it('over several phases: what was committed stays, the next ones are not begun', async () => {
    const parcel = pack([
      { name: 'first', transaction: 'single', files: { 'a/1.sql': 'create table a1 ();', 'a/2.sql': 'create table a2 ();' } },
      { name: 'second', transaction: 'single', files: { 'b/1.sql': 'create table b1 ();', 'b/2.sql': 'select 1/0;' } },
      { name: 'third', transaction: 'per-step', files: { 'c/1.sql': 'create table c1 ();' } },
    ]);
    const deployment = await send(database.url, parcel);
    expect(deployment.state).toBe('failed');
    expect(deployment.phases.map((phase) => [phase.name, phase.state])).toEqual([
      ['first', 'succeeded'],
      ['second', 'failed'],
      ['third', 'pending'],
    ]);
    const tables = await sql(database.url, `select relname::text as name from pg_class where relname in ('a1', 'a2', 'b1', 'c1') order by 1`);
    expect(tables.map((row) => row.name)).toEqual(['a1', 'a2']);

    const again = await send(
      database.url,
      pack([
        { name: 'first', transaction: 'single', files: { 'a/1.sql': 'create table a1 ();', 'a/2.sql': 'create table a2 ();' } },
        { name: 'second', transaction: 'single', files: { 'b/1.sql': 'create table b1 ();', 'b/2.sql': 'select 1/1;' } },
        { name: 'third', transaction: 'per-step', files: { 'c/1.sql': 'create table c1 ();' } },
      ]),
    );
    expect(again.state).toBe('succeeded');
    expect(again.phases.map((phase) => phase.steps.map((step) => step.state))).toEqual([['skipped', 'skipped'], ['succeeded', 'succeeded'], ['succeeded']]);
  });

  it('a sequence may have gaps, a table may not have rows', async () => {
    await passFiles(database.url, { 'set_up.sql': 'create table t (id serial, n int);' });
    await failFiles(database.url, { '1.sql': 'insert into t (n) select 1 from generate_series(1, 1000);', '2.sql': 'select 1/0;' });
    expect(await sql(database.url, 'select count(*)::int from t')).toEqual([{ count: 0 }]);
  });
});

describe('what was applied', () => {
  it('with the same bytes is skipped, also in another order and phase', async () => {
    await passFiles(database.url, { '1.sql': 'create table a ();', '2.sql': 'create table b ();' });
    const deployment = await passFiles(
      database.url,
      { '2.sql': 'create table b ();', '3.sql': 'create table c ();', '1.sql': 'create table a ();' },
      'per-step',
    );
    expect(deployment.phases[0]?.steps.map((step) => [step.path, step.state])).toEqual([
      ['2.sql', 'skipped'],
      ['3.sql', 'succeeded'],
      ['1.sql', 'skipped'],
    ]);
  });

  it('with other bytes is refused before anything runs', async () => {
    await passFiles(database.url, { '1.sql': 'create table a ();', '2.sql': 'create table b ();' });
    const deployment = await deployFiles(
      database.url,
      { '0.sql': 'create table zero ();', '1.sql': 'create table a (n int);', '2.sql': 'create table b (n int);' },
      'per-step',
    );
    expect(deployment).toMatchObject({ state: 'failed', error: { sqlstate: 'WF013', path: '1.sql', message: expect.stringContaining('1.sql, 2.sql') } });
    expect(await sql(database.url, `select to_regclass('zero') as zero`)).toEqual([{ zero: null }]);
    expect(await sql(database.url, `select encode(digest, 'hex') as digest from weft._history where path = '1.sql'`)).toEqual([
      { digest: sha256('create table a ();') },
    ]);
  });
});

describe('a receipt', () => {
  it('holds digest and line of every statement, and counts the rows', async () => {
    const deployment = await passFiles(database.url, {
      '1.sql': '-- one\ncreate table t (n int);\ninsert into t select generate_series(1, 10);\nupdate t set n = n where n > 5;\n\ndelete from t where n < 3',
    });
    expect(deployment.phases[0]?.steps[0]).toMatchObject({ statements: 4, rows: 17 });
    const [step] = await sql(
      database.url,
      `select statement_lines as lines, (select array_agg(encode(d, 'hex')) from unnest(statement_digests) as d) as digests from weft._steps`,
    );
    expect(step.digests).toEqual(
      [
        '-- one\ncreate table t (n int)',
        '\ninsert into t select generate_series(1, 10)',
        '\nupdate t set n = n where n > 5',
        '\n\ndelete from t where n < 3',
      ].map((text) => sha256(text)),
    );
    expect(step.lines).toEqual([1, 2, 3, 4]);
  });

  it('holds the signed bytes as they came, WAL and fingerprint before and after', async () => {
    const parcel = pack([{ name: 'main', transaction: 'single', files: { '1.sql': 'create table t ();' } }]);
    const deployment = await send(database.url, parcel);
    const [row] = await sql(
      database.url,
      'select request, wal_before < wal_after as wal, fingerprint_before <> fingerprint_after as differs, engine_version, server_version from weft._deployments',
    );
    expect(Buffer.compare(row.request, Buffer.from(parcel.order.request))).toBe(0);
    expect(row).toMatchObject({ wal: true, differs: true, engine_version: 1, server_version: expect.stringMatching(/^\d+/) });
    expect(deployment.fingerprint.after).toMatch(/^\d+:\d+:[0-9a-f]{64}$/);
  });

  it('tells its story in events without gaps, in the order of commits', async () => {
    const deployment = await deployFiles(database.url, { '1.sql': 'select 1;', '2.sql': 'select 1/0;' }, 'per-step');
    const events = await sql(database.url, 'select number, kind, path from weft.events where deployment_id = $1 order by number', [deployment.id]);
    expect(events.map((event) => event.number)).toEqual(events.map((_, index) => index + 1));
    expect(events.map((event) => event.kind)).toEqual(['opened', 'staged', 'started', 'phase_started', 'step_succeeded', 'step_failed', 'failed']);
  });
});

it.each([
  ['a command of psql', '42601', 'Syntaxfehler bei »\\«', '\\i other.sql', /a step of its own/],
  ['a command of psql, with spaces in the quotes', '42601', 'erreur de syntaxe sur ou près de «\u00a0\\\u00a0»', '\\i other.sql', /a step of its own/],
  ['a BEGIN', '0A000', 'nicht unterstützter Transaktionsbefehl in PL/pgSQL', '-- here\nbegin', /"transaction: auto" or "none"/],
  ['a SAVEPOINT', '0A000', 'commande de transaction non supportée dans PL/pgSQL', 'savepoint s', /"on_error: continue"/],
])('a server whose messages are in another language gives the same advice: %s', async (_, sqlstate, message, statement, hint) => {
  const [{ told }] = await sql(database.url, 'select weft._describe_error($1, null, $2, 1, $3) as told', [
    JSON.stringify({ sqlstate, message, context: '' }),
    '1.sql',
    statement,
  ]);
  expect(told.hint).toMatch(hint);
});
