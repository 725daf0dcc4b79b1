/** The laws, for what runs apart: who asks or comes second waits for no statement; names mean what they mean to the file; nothing is tied to Weft. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyDatabase, freshDatabase, type TestDatabase, testServer, withDatabase } from '../support/database.ts';
import { connectOver, deployFiles, stageFiles, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

const deployed = (files: Record<string, string>, options: Parameters<typeof deployFiles>[2] = {}) =>
  deployFiles(connectOver(database.url), files, { transaction: 'none', ...options });

it('while a statement runs, a request to cancel ends it and a second CALL attaches: neither waits for it', async () => {
  const id = await stageFiles(database.url, { '1.sql': 'select pg_sleep(600);' }, { transaction: 'none' });
  const client = await database.client();
  const running = client.query(`call weft.run('${id}')`).then(({ rows }) => rows[0].result);
  await until(database.url, `exists (select from pg_stat_activity where query like 'call weft.run%' and wait_event = 'PgSleep')`);
  expect((await sql(database.url, `call weft.run('${id}')`))[0].result).toMatchObject({ attached: { holder: 'alive' } });
  await sql(database.url, `select weft.cancel('${id}', 'somebody')`);
  expect(await running).toMatchObject({ state: 'cancelled' });
  await client.end();
});

describe('a name means what it means to the file', () => {
  it.each([
    ['a unique index over duplicates fails again, whoever is believed', 'create unique index concurrently if not exists ox on orders (x);', 'failed', '23505'],
    ['an index that only the file’s role can see is dropped', 'drop index concurrently if exists there;', 'succeeded', undefined],
  ])('under the role that the file has become: %s', async (_, statement, state, sqlstate) => {
    // A role of its own, for what belongs to one that inherits nothing concerns every database of the server.
    const { name, superuserUrl, drop } = await emptyDatabase();
    const [role, owner] = [`app_${name}`, `own_${name}`];
    const bySuperuser = (text: string) => sql(superuserUrl ?? '', text);
    try {
      await bySuperuser(
        `create role ${role}; create role ${owner} login noinherit password 'of-the-tests-only'; grant ${role} to ${owner};
         alter database ${name} owner to ${owner}; grant create on database ${name} to ${role}`,
      );
      const url = new URL(withDatabase(superuserUrl ?? '', name));
      [url.username, url.password] = [owner, 'of-the-tests-only'];
      const run = (files: Record<string, string>) => deployFiles(connectOver(url.href), files, { transaction: 'none' });
      await run({
        '0.sql': `set role ${role}; create schema hidden; create table hidden.orders (x int); insert into hidden.orders values (1), (1); create index there on hidden.orders (x);`,
      });
      const file = `set role ${role};\nset search_path = hidden;\n${statement}`;
      for (const path of ['1.sql', '2.sql']) expect(await run({ [path]: file })).toMatchObject({ state, ...(sqlstate && { error: { sqlstate } }) });
      expect(await bySuperuser(`select relname::text from pg_class where relkind = 'i' and relnamespace = 'hidden'::regnamespace`)).toEqual(
        state === 'failed' ? [{ relname: 'there' }] : [],
      );
    } finally {
      await drop();
      await sql((await testServer()).superuserUrl ?? '', `drop role if exists ${role}, ${owner}`);
    }
  });

  it('an index whose name is longer than PostgreSQL takes is found under the name that PostgreSQL gave it', async () => {
    const name = 'i'.repeat(80);
    const files = { '1.sql': `create table t (a int); create index concurrently ${name} on t (a);` };
    expect(await deployed(files)).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, `select relname::text from pg_class where relkind = 'i' and relname like 'iiii%'`)).toEqual([{ relname: 'i'.repeat(63) }]);
  });

  it('a done_when is read as it is written, whatever operators the file has in its search_path', async () => {
    const text = `create schema app; create table app.done (n int);
create function app.nothing(jsonb, text) returns text language sql as $$ select 'true' $$;
create operator app.->> (function = app.nothing, leftarg = jsonb, rightarg = text);
set search_path = app, pg_catalog;
do $$ begin insert into app.done values (1); commit; end $$;`;
    expect(await deployed({ '1.sql': text }, { doneWhen: 'exists (select from app.done)' })).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, 'select n from app.done')).toEqual([{ n: 1 }]);
  });

  it('strings of an old dump change nothing for the engine, and hold for the file', async () => {
    const text = `create table t (a text);\nset standard_conforming_strings = off;\nset escape_string_warning = off;\ninsert into t values ('a\\\\b');\ncreate index concurrently t_a on t (a);\ninsert into t values ('c\\\\d');`;
    expect(await deployed({ '1.sql': text })).toMatchObject({ state: 'succeeded', error: null });
    expect(await sql(database.url, 'select a from t order by a')).toEqual([{ a: 'a\\b' }, { a: 'c\\d' }]);
  });

  it('nor is the index another one than the file says, where a backslash stands in its predicate', async () => {
    const text = `create table t (a text);\nset standard_conforming_strings = off;\nset escape_string_warning = off;\ncreate index concurrently t_a on t (a) where a <> 'a\\\\b';\ninsert into t values ('a\\\\b');`;
    expect(await deployed({ '1.sql': text })).toMatchObject({ state: 'succeeded', error: null });
    expect(await sql(database.url, `select strpos(pg_get_indexdef('t_a'::regclass), '''a\\b''') > 0 as is_one`)).toEqual([{ is_one: true }]);
  });
});

/** The same words wherever it is found: the role is the file's there, which may ask nobody for them. */
const READ_ONLY = {
  message: 'The statement made the transaction read-only, so that nothing could be recorded.',
  hint: 'Take SET TRANSACTION READ ONLY, or default_transaction_read_only, out of the file.',
};

it.each([
  ['in a transaction of several files', 'single', 'apply'],
  ['by itself', 'per-step', 'apply'],
  ['in a rehearsal', 'single', 'rehearse'],
] as const)('a statement that makes its transaction read-only fails, and says so: %s', async (_, transaction, mode) => {
  const files = { '1.sql': 'select 1;', '2.sql': 'select 2;\nset transaction read only;\nselect 3;' };
  const end = await deployFiles(connectOver(database.url), files, { transaction, mode });
  const error = end.error ?? end.rehearsal?.steps.find(({ path }) => path === '2.sql')?.error;
  expect(error).toMatchObject({ sqlstate: 'WF014', line: 2, ...READ_ONLY });
});

it('a round of a batch that makes its transaction read-only fails, and says so', async () => {
  await sql(database.url, 'create table t (n int primary key); insert into t values (1)');
  const phases = [{ name: 'main', transaction: 'per-step', steps: [{ batch: 'b.sql' }] }];
  const text = "update t set n = n where n in (select n from t order by n limit :size) and set_config('transaction_read_only', 'on', true) = 'on';";
  const files = { 'weft.yaml': JSON.stringify({ name: 'shop', phases }), 'b.sql': text };
  expect(await deployFiles(connectOver(database.url), files)).toMatchObject({ state: 'failed', error: { sqlstate: 'WF014', ...READ_ONLY } });
});

it('a statement that makes every next transaction read-only fails, and says so', async () => {
  const done = await deployed({ '1.sql': 'create table t (a int);\nset default_transaction_read_only = on;\nselect 1;' });
  expect(done).toMatchObject({ state: 'failed', error: { sqlstate: 'WF014', line: 2, ...READ_ONLY } });
});

it.each([
  ['an index over a function of Weft', 'create index concurrently t_a on t ((a + weft.version()))'],
  ['an index on a table of Weft', 'create index concurrently events_kind on weft._events (kind)'],
])('%s fails the step, which says what is to be dropped', async (_, statement) => {
  const done = await deployed({ '1.sql': `create table t (a int);\n${statement};` });
  expect(done).toMatchObject({ state: 'failed', error: { sqlstate: 'WF016', line: 2, hint: expect.stringContaining('Drop it') } });
});

it('a file whose split is wrong, and that is right as a whole, runs in one piece', async () => {
  await sql(database.url, 'create table told (what text)');
  const odd = `create function odd() returns int language sql begin atomic select 1 as end; select 2; end;\ninsert into told values ('odd');`;
  expect(await deployed({ '1.sql': odd })).toMatchObject({ state: 'succeeded', error: null });
  expect(await sql(database.url, 'select odd(), (select array_agg(what) from told) as told')).toEqual([{ odd: 2, told: ['odd'] }]);
});

it('nothing of a session goes from one deployment to the next behind it', async () => {
  await stageFiles(
    database.url,
    { '1.sql': `set timezone = 'Asia/Tokyo'; create temp table left_behind (); select 1/0;` },
    { transaction: 'none', bundle: 'a' },
  );
  const next = await deployed(
    { '1.sql': `create table seen as select current_setting('timezone') = 'Asia/Tokyo' as leaks, to_regclass('pg_temp.left_behind')::text as temp;` },
    { bundle: 'b' },
  );
  expect(next).toMatchObject({ state: 'succeeded' });
  expect(await sql(database.url, 'select leaks, temp from seen')).toEqual([{ leaks: false, temp: null }]);
});
