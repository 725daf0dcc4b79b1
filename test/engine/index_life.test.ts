/**
 * The whole life of an index that is built concurrently: what is there under its name when the statement comes, or comes back, decides. An
 * invalid one is never taken for done, a valid one only with the definition that is wanted, and nobody's work is disturbed.
 */
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase, testServer } from '../support/database.ts';
import { connectOver, deployFiles, stageFiles, until } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { expectNothingHalfMade, hold } from './cells.ts';

let database: TestDatabase;
let url: string;

beforeEach(async () => {
  database = await freshDatabase();
  url = database.url;
  await sql(url, `create table t (a int, b text); insert into t select n, 'row ' || n from generate_series(1, 100) as n`);
});

afterEach(() => database.drop());

const deployed = (statement: string) => deployFiles(connectOver(url), { '1.sql': statement }, { transaction: 'none' });
const event = async (kind: string) => (await sql(url, 'select data from weft.events where kind = $1 order by at', [kind])).map(({ data }) => data);
const definitions = async () =>
  (await sql(url, `select pg_get_indexdef(indexrelid) as definition, indisvalid from pg_index where indrelid = 't'::regclass order by 1`)).map(
    ({ definition, indisvalid }) => (indisvalid ? definition : `INVALID: ${definition}`),
  );

const BUILD = 'create index concurrently t_a on t (a)';
const BUILT = 'CREATE INDEX t_a ON public.t USING btree (a)';

interface Build {
  readonly pid: number;
  readonly over: Promise<unknown>;
  end(): Promise<void>;
}

/** A build by hand, which is at work until the holder ends. */
async function build(client: pg.Client, statement: string): Promise<Build> {
  const [{ pid }] = (await client.query('select pg_backend_pid() as pid')).rows;
  const over = client.query(statement).catch((error: Error) => error);
  await until(database.superuserUrl ?? url, `exists (select from pg_stat_activity where pid = ${pid} and wait_event_type = 'Lock')`, 'the build waits');
  return { pid, over, end: () => client.end() };
}

/** Leaves an invalid index that nobody builds. */
async function leaveOrphan(statement: string): Promise<void> {
  const holder = await hold(url, 'snapshot');
  const builder = await build(await database.client(), statement);
  await sql(url, `select pg_terminate_backend(${builder.pid}, 10000)`);
  await builder.over;
  await holder.end();
  expect(await definitions()).toEqual([expect.stringMatching(/^INVALID: /)]);
}

describe('an index is there already', () => {
  it.each([BUILD, 'create index concurrently if not exists t_a on t (a)', 'create index concurrently "t_a" on only public.t using btree (a asc nulls last)'])(
    'an equal one is adopted: %s',
    async (statement) => {
      await sql(url, 'create index t_a on t (a)');
      expect(await deployed(statement)).toMatchObject({ state: 'succeeded' });
      expect(await event('statement_found_done')).toHaveLength(1);
      expect(await event('statement_sent')).toEqual([]);
      expect(await definitions()).toEqual([BUILT]);
    },
  );

  it.each([
    { there: 'create index t_a on t (b)', statement: BUILD },
    { there: 'create index t_a on t (a)', statement: 'create index concurrently if not exists t_a on t (b)' },
    { there: 'create index t_a on t (a)', statement: 'create unique index concurrently if not exists t_a on t (a)' },
    { there: 'create index t_a on t (a)', statement: 'create index concurrently if not exists t_a on t (a) where a > 1' },
    { there: 'create index t_a on t (b)', statement: 'create index concurrently if not exists t_a on t (b collate "C")' },
    { there: 'create index t_a on t (a)', statement: 'create index concurrently if not exists t_a on t using hash (a)' },
  ])('one of another definition fails the step, which says both: $statement beside $there', async ({ there, statement }) => {
    await sql(url, there);
    const before = await definitions();
    const { state, error } = await deployed(statement);
    const strip = (text: string | undefined) => text?.replace(/^CREATE (UNIQUE )?INDEX t_a ON public.t /, '$1');
    expect({ state, error }).toMatchObject({ state: 'failed', error: { sqlstate: '42P07', message: expect.stringContaining('public.t_a') } });
    expect(error?.detail).toContain(`There: ${strip(before[0])}. Wanted: `);
    expect(error?.detail).toMatch(statement.includes('hash') ? /Wanted: USING hash/ : /Wanted: (UNIQUE )?USING btree/);
    expect(await definitions()).toEqual(before);
  });

  it.each([
    ['a table', 'create table t_a (n int)', 'table public.t_a'],
    ['a view', 'create view t_a as select 1 as n', 'view public.t_a'],
    ['an index of another table', 'create table u (a int); create index t_a on u (a)', 'index public.t_a'],
  ])('the name belongs to %s', async (_, there, name) => {
    await sql(url, there);
    for (const statement of [BUILD, 'create index concurrently if not exists t_a on t (a)']) {
      const { state, error } = await deployed(statement);
      expect({ state, error }).toMatchObject({ state: 'failed', error: { sqlstate: '42P07', message: expect.stringContaining(name) } });
    }
    expect(await definitions()).toEqual([]);
  });
});

describe('an invalid index that nobody builds', () => {
  it('of the same definition is rebuilt', async () => {
    await leaveOrphan(BUILD);
    expect(await deployed('create index concurrently if not exists t_a on t (a)')).toMatchObject({ state: 'succeeded' });
    expect((await event('statement_repaired')).map(({ sent }) => sent)).toEqual(['reindex index concurrently public.t_a']);
    expect(await event('statement_sent')).toEqual([]);
    expect(await definitions()).toEqual([BUILT]);
    await expectNothingHalfMade(url);
  });

  it('of another definition is dropped, and the wanted one built', async () => {
    await leaveOrphan('create index concurrently t_a on t (b)');
    expect(await deployed(BUILD)).toMatchObject({ state: 'succeeded' });
    expect((await event('statement_repaired')).map(({ sent }) => sent)).toEqual(['drop index concurrently public.t_a']);
    expect(await event('statement_sent')).toHaveLength(1);
    expect(await definitions()).toEqual([BUILT]);
  });

  it('and which has left another one when its repair was interrupted too: both are gone in the end', async () => {
    const name = `t_${'a'.repeat(61)}`;
    const statement = `create index concurrently ${name} on t (a)`;
    await leaveOrphan(statement);
    const holder = await hold(url, 'snapshot');
    const builder = await build(await database.client(), `reindex index concurrently ${name}`);
    await sql(url, `select pg_terminate_backend(${builder.pid}, 10000)`);
    await holder.end();
    expect(await definitions()).toEqual([expect.stringContaining('INVALID'), expect.stringContaining('INVALID')]);
    expect(await deployed(statement)).toMatchObject({ state: 'succeeded' });
    expect(await definitions()).toEqual([`CREATE INDEX ${name} ON public.t USING btree (a)`]);
  });

  it('of an earlier deployment that came to no end is repaired by the next', async () => {
    const holder = await hold(url, 'snapshot');
    const id = await stageFiles(url, { '1.sql': BUILD }, { transaction: 'none' });
    const runner = await database.client();
    const { directive } = (await runner.query(`call weft.run('${id}')`)).rows[0].result;
    const builder = await build(runner, directive.statement);
    await sql(url, `select pg_terminate_backend(${builder.pid}, 10000)`);
    await sql(url, `update weft._deployments set state = 'failed', finished_at = now(), error = '{"sqlstate": "WF018", "message": "given up"}'`);
    await holder.end();
    expect(await deployed(`${BUILD};\n-- repaired`)).toMatchObject({ state: 'succeeded' });
    expect(await definitions()).toEqual([BUILT]);
  });
});

describe('an index that a live backend builds', () => {
  const waits = () => until(url, `exists (select from weft.events where kind = 'waiting_for_others')`, 'it waits for others');

  it("a stranger's of the same role is waited for, and adopted", async () => {
    const holder = await hold(url, 'snapshot');
    const builder = await build(await database.client(), BUILD);
    const deployment = deployed('create index concurrently if not exists t_a on t (a)');
    await waits();
    expect(await event('waiting_for_others')).toEqual([{ table: 'public.t', pids: [builder.pid] }]);
    await holder.end();
    expect(await builder.over).not.toBeInstanceOf(Error);
    expect(await deployment).toMatchObject({ state: 'succeeded' });
    expect(await event('statement_sent')).toEqual([]);
    expect(await event('waiting_for_others')).toHaveLength(1);
    expect(await definitions()).toEqual([BUILT]);
    await builder.end();
  });

  it("a stranger's of another definition is waited for, and then said to be another", async () => {
    const holder = await hold(url, 'snapshot');
    const builder = await build(await database.client(), 'create index concurrently t_a on t (b)');
    const deployment = deployed(BUILD);
    await waits();
    await holder.end();
    expect(await builder.over).not.toBeInstanceOf(Error);
    expect(await deployment).toMatchObject({ state: 'failed', error: { sqlstate: '42P07' } });
    await builder.end();
  });

  it("a stranger's that dies is taken over", async () => {
    const holder = await hold(url, 'snapshot');
    const builder = await build(await database.client(), BUILD);
    const deployment = deployed(BUILD);
    await waits();
    await sql(url, `select pg_terminate_backend(${builder.pid})`);
    await builder.over;
    await holder.end();
    expect(await deployment).toMatchObject({ state: 'succeeded' });
    expect(await definitions()).toEqual([BUILT]);
  });

  it.runIf(offers('a superuser'))("another role's, of which only the pid can be seen, is waited for", async () => {
    if (database.superuserUrl === null) throw new Error('there is no superuser');
    const role = `${database.name}_other`;
    await sql(database.superuserUrl, `create role ${role} login password 'other' in role weft_test`);
    const other = new URL(url);
    other.username = role;
    other.password = 'other';
    const holder = await hold(url, 'snapshot');
    const client = new pg.Client({ connectionString: other.href });
    await client.connect();
    const builder = await build(client, BUILD);
    expect(await sql(url, `select state from pg_stat_activity where pid = ${builder.pid}`)).toEqual([{ state: null }]);
    const deployment = deployed(BUILD);
    await waits();
    expect(await event('waiting_for_others')).toMatchObject([{ pids: [builder.pid] }]);
    await holder.end();
    expect(await builder.over).not.toBeInstanceOf(Error);
    expect(await deployment).toMatchObject({ state: 'succeeded' });
    await builder.end();
    expect(await definitions()).toEqual([BUILT]);
    await sql(database.superuserUrl, `drop role ${role}`);
  });

  it('ours, of a session that is lost, is attached to', async () => {
    const holder = await hold(url, 'snapshot');
    const id = await stageFiles(url, { '1.sql': BUILD }, { transaction: 'none' });
    const runner = await database.client();
    const { directive } = (await runner.query(`call weft.run('${id}')`)).rows[0].result;
    const builder = await build(runner, directive.statement);
    const [{ result }] = await sql(url, `call weft.run('${id}')`);
    expect(result).toMatchObject({ state: 'running', attached: { holder: 'alive', pid: builder.pid } });
    await holder.end();
    await builder.over;
    await builder.end();
    await until(url, `not exists (select from pg_stat_activity where pid = ${builder.pid})`);
    expect((await sql(url, `call weft.run('${id}')`))[0].result).toMatchObject({ state: 'succeeded' });
    expect(await event('statement_sent')).toHaveLength(1);
  });

  it('somebody who only sweeps the table is waited for as well, and then the orphan is repaired', async () => {
    await leaveOrphan(BUILD);
    const sweeper = await hold(url, 'lock table t in share update exclusive mode');
    const deployment = deployed(BUILD);
    await waits();
    await sweeper.end();
    expect(await deployment).toMatchObject({ state: 'succeeded' });
    expect(await definitions()).toEqual([BUILT]);
  });
});

describe('a build that fails', () => {
  it('unique with duplicates: with 23505, and no invalid index is left', async () => {
    await sql(url, 'insert into t values (1), (1)');
    const { state, error } = await deployed('create unique index concurrently t_a on t (a)');
    expect({ state, error }).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: '23505',
        path: '1.sql',
        line: 1,
        statement: 'create unique index concurrently t_a on t (a)',
        detail: expect.stringContaining('(a)=(1)'),
      },
    });
    expect((await event('remains_being_dropped')).map(({ sent }) => sent)).toEqual(['drop index concurrently public.t_a']);
    expect(await definitions()).toEqual([]);
  });

  it('unique with duplicates over an orphan: what was there before is there still, and nothing else', async () => {
    await leaveOrphan('create unique index concurrently t_a on t (a)');
    await sql(url, 'alter table t disable trigger all; create table u (like t)');
    await sql(url, 'drop index t_a; insert into t values (1), (1)');
    await sql(url, 'create unique index concurrently t_a on t (a)').catch((error) => expect(error.code).toBe('23505'));
    expect(await deployed('create unique index concurrently t_a on t (a)')).toMatchObject({ state: 'failed', error: { sqlstate: '23505' } });
    expect(await definitions()).toEqual([expect.stringMatching(/^INVALID: CREATE UNIQUE INDEX t_a /)]);
  });

  it.each([
    ['an expression that cannot be evaluated', 'create index concurrently t_a on t ((1 / (a - 1)))', '22012'],
    ['a table that is not there', 'create index concurrently t_a on nowhere (a)', '42P01'],
    ['a column that is not there', 'create index concurrently t_a on t (nowhere)', '42703'],
  ])('%s: as the server says it, and no invalid index is left', async (_, statement, sqlstate) => {
    expect(await deployed(statement)).toMatchObject({ state: 'failed', error: { sqlstate, line: 1 } });
    expect(await definitions()).toEqual([]);
  });

  it('of a partitioned table: as the server says it', async () => {
    await sql(url, 'create table p (a int) partition by range (a)');
    expect(await deployed('create index concurrently p_a on p (a)')).toMatchObject({ state: 'failed', error: { sqlstate: '0A000' } });
  });

  it.each([
    ['create index concurrently on t (a)', 't_a_idx'],
    ['create unique index concurrently on public.t (a, lower(b))', 't_a_lower_idx'],
  ])('without a name it is refused before it runs, with the name to write: %s', async (statement, name) => {
    const { state, error } = await deployed(statement);
    expect({ state, error }).toMatchObject({ state: 'failed', error: { sqlstate: 'WF020', hint: expect.stringContaining(` ${name} on`) } });
    expect(await event('statement_sent')).toEqual([]);
    expect(await definitions()).toEqual([]);
  });
});

describe('while it is built', () => {
  it('what it will wait for was said when it was sent: whose snapshots, and since when', async () => {
    const holder = await hold(url, 'snapshot');
    const [{ pid }] = (await holder.query('select pg_backend_pid() as pid')).rows;
    const deployment = deployed(BUILD);
    await until(url, `exists (select from weft.events where kind = 'statement_sent')`);
    expect(await event('statement_sent')).toMatchObject([
      {
        statement: 1,
        line: 1,
        attempt: 1,
        sent: BUILD,
        waits_for: [{ pid, application: 'the holder', state: 'idle in transaction', transaction_seconds: expect.any(Number) }],
      },
    ]);
    await holder.end();
    expect(await deployment).toMatchObject({ state: 'succeeded' });
  });

  it('its phase and progress are shown like any other', async () => {
    const holder = await hold(url, 'snapshot');
    const [{ pid }] = (await holder.query('select pg_backend_pid() as pid')).rows;
    const deployment = deployed(BUILD);
    // looked at from another database: whoever looks in this one has a snapshot that the build waits for
    const { url: elsewhere } = await testServer();
    await until(elsewhere, `exists (select from pg_stat_progress_create_index where datname = '${database.name}' and phase = 'waiting for old snapshots')`);
    const [{ live }] = await sql(url, `select weft.status(id) -> 'live' as live from weft._deployments`);
    expect(live).toMatchObject({
      path: '1.sql',
      step: 1,
      waiting_for: 'Lock: virtualxid',
      blocked_by: [pid],
      build: {
        command: 'CREATE INDEX CONCURRENTLY',
        table: 'public.t',
        phase: 'waiting for old snapshots',
        done: expect.any(Number),
        total: expect.any(Number),
        unit: 'sessions',
      }, // who looks counts too
    });
    await holder.end();
    expect(await deployment).toMatchObject({ state: 'succeeded', live: null });
  });
});
