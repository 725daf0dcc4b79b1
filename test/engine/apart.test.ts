/** Steps that the server runs in no transaction: statement by statement, and at top level what is handed out. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { deploymentSchema } from '../../src/domain/deployment.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { dropDatabase, freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, stageFiles, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { expectNothingHalfMade, hold } from './cells.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

const deployed = (files: Record<string, string>, options: Parameters<typeof deployFiles>[2] = {}) => deployFiles(connectOver(database.url), files, options);
const kinds = async () => (await sql(database.url, 'select kind from weft.events order by at, number')).map(({ kind }) => kind);

describe.each(['auto', 'none'] as const)('transaction: %s', (transaction) => {
  it('builds an index concurrently, in its place between other statements', async () => {
    const done = await deployed(
      {
        'a.sql': 'create table t (a int);\ninsert into t select generate_series(1, 100);\ncreate index concurrently t_a on t (a);\ninsert into t values (101);',
      },
      { transaction },
    );
    expect(done).toMatchObject({ state: 'succeeded', error: null });
    expect(await sql(database.url, `select indisvalid from pg_index where indexrelid = 't_a'::regclass`)).toEqual([{ indisvalid: true }]);
    expect(await sql(database.url, 'select count(*)::int from t')).toEqual([{ count: 101 }]);
    expect(done.phases[0]?.steps[0]).toMatchObject({ state: 'succeeded', statements: 4 });
    expect(await kinds()).toContain('statement_sent');
    expect(await sql(database.url, 'select from weft._statements')).toEqual([]);
  });
});

describe('transaction: auto', () => {
  it.each([
    `create type mood as enum ('calm'); create table moods (m mood); alter type mood add value 'glad'; insert into moods values ('glad');`,
    `alter type mood add value 'glad'; alter table moods alter column m set default 'glad'; insert into moods default values;`,
  ])('a new value of an enum is used in the file that adds it: a commit comes in between', async (file) => {
    if (!file.startsWith('create')) await sql(database.url, `create type mood as enum ('calm'); create table moods (m mood)`);
    expect(await deployed({ '1.sql': file, '2.sql': `insert into moods values ('glad')` }, { transaction: 'auto' })).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, 'select m from moods')).toEqual([{ m: 'glad' }, { m: 'glad' }]);
    expect(await kinds()).toContain('run_apart');
    expect(await kinds()).not.toContain('statement_sent');
  });

  it('a file that the server takes in a transaction stays in one', async () => {
    const files = { '1.sql': 'create table t (a int); insert into t values (1); select 1 / 0;', '2.sql': 'select 1' };
    expect(await deployed(files, { transaction: 'auto' })).toMatchObject({ state: 'failed', error: { sqlstate: '22012', line: 1 } });
    expect(await sql(database.url, `select to_regclass('t')`)).toEqual([{ to_regclass: null }]);
    expect(await kinds()).not.toContain('run_apart');
  });
});

it('what is no text in the encoding of the database fails with its file, in whatever way it runs', async () => {
  const name = `${database.name}_latin1`;
  await sql(database.url, `create database ${name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0`);
  const url = new URL(database.url);
  url.pathname = `/${name}`;
  const files = { '1.sql': 'create table t (a int)', '2.sql': `insert into t values (1); select '€'` };
  const deployment = await deployFiles(connectOver(url.href), files, { transaction: 'none' });
  expect(deployment).toMatchObject({ state: 'failed', error: { sqlstate: '22P05', path: '2.sql' } });
  expect(await sql(url.href, 'select from t')).toEqual([]);
  await dropDatabase(database.url, name);
});

describe('by hand, with psql', () => {
  it('the statement, its report, and the CALL again: and so to the end', async () => {
    const id = await stageFiles(
      database.url,
      { '1.sql': 'create table t (a int);\ncreate index concurrently t_a on t (a);\nvacuum t;\nselect 1;' },
      { transaction: 'none' },
    );
    const client = await database.client();
    const call = async () => (await client.query(`call weft.run('${id}')`)).rows[0].result;
    let result = await call();
    let directives = 0;
    for (; result.directive; directives++) {
      expect(result).toMatchObject({ id, state: 'running' });
      await client.query(result.directive.statement);
      await client.query(result.directive.report);
      await client.query('reset session authorization; reset role');
      result = await call();
    }
    expect(result).toMatchObject({ state: 'succeeded' });
    expect(directives).toBe(2);
    await client.end();
  });

  it('a statement that was handed out is shown until the next CALL knows what became of it, also when its session is gone', async () => {
    const id = await stageFiles(database.url, { '1.sql': 'create table t (a int);\nvacuum t;\nselect 1;' }, { transaction: 'none' });
    const client = await database.client();
    const { directive } = (await client.query(`call weft.run('${id}')`)).rows[0].result;
    await client.query(directive.statement);
    await client.end();
    await until(database.url, 'not exists (select from pg_stat_activity join weft._lease using (pid))');
    const [{ status }] = await sql(database.url, `select weft.status('${id}') as status`);
    const deployment = deploymentSchema.parse(status);
    expect(deployment).toMatchObject({
      state: 'running',
      live: null,
      handed_out: { path: '1.sql', number: 2, line: 2, statement: 'vacuum t' },
      phases: [{ steps: [{ account: 'Statement 1 of 1.sql stays in the database.' }] }],
    });
    expect(renderSummary(deployment, UNCOLOURED)).toContain('The next call finds out what became of that');
    expect(await resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 60_000 })).toMatchObject({ state: 'succeeded', handed_out: null });
  });

  it('who does not report is asked, and who does not know what the server said gets the statement again', async () => {
    const id = await stageFiles(database.url, { '1.sql': 'vacuum' }, { transaction: 'none' });
    const client = await database.client();
    const call = async () => (await client.query(`call weft.run('${id}')`)).rows[0].result;
    expect(await call()).toMatchObject({ directive: { statement: 'vacuum' } });
    expect(await call()).toMatchObject({ report: true });
    const { directive } = await call();
    expect(directive).toMatchObject({ statement: 'vacuum', attempt: 2 });
    await client.query(directive.statement);
    await client.query(directive.report);
    expect(await call()).toMatchObject({ state: 'succeeded' });
    await client.end();
  });
});

it('leftovers in TOAST, which this role may not drop, are named as long as they are there, and stop nothing', async () => {
  await sql(database.url, `create table t (a int primary key, b text)`);
  for (const _ of ['once', 'twice']) {
    const holder = await hold(database.url, 'snapshot');
    const rebuild = await database.client();
    const rebuilding = rebuild.query('reindex table concurrently t').catch((error) => error.code);
    await until(database.url, `exists (select from pg_stat_activity where query ~ '^reindex' and wait_event_type = 'Lock')`);
    await sql(database.url, `select pg_terminate_backend(pid, 10000) from pg_stat_activity where query ~ '^reindex' and datname = current_database()`);
    expect(await rebuilding).toBe('57P01');
    await holder.end();
  }
  const deployment = await deployed({ '1.sql': 'reindex table concurrently t' }, { transaction: 'none' });
  expect(deployment).toMatchObject({ state: 'succeeded' });
  const events = await sql(database.url, `select kind, data ->> 'index' as index from weft.events where kind in ('leftover_out_of_reach', 'statement_done')`);
  expect(events).toEqual([
    { kind: 'statement_done', index: null },
    { kind: 'leftover_out_of_reach', index: expect.stringMatching(/^pg_toast\.pg_toast_\d+_index_ccnew$/) },
    { kind: 'leftover_out_of_reach', index: expect.stringMatching(/^pg_toast\.pg_toast_\d+_index_ccnew1$/) },
  ]);
  const statements = events.slice(1).map(({ index }) => `drop index concurrently ${index}`);
  expect(deployment.leftovers?.map(({ statement }) => statement)).toEqual(statements);
  expect(renderSummary(deployment, UNCOLOURED)).toContain(
    `\n2 invalid indexes are left by a REINDEX that was interrupted, in TOAST, where only a superuser may drop them:\n  ${statements.join(';\n  ')};\n`,
  );
  if (database.superuserUrl !== null) {
    await sql(database.superuserUrl, statements[0] ?? '');
    const [{ status }] = await sql(database.url, 'select weft.status($1) as status', [deployment.id]);
    expect(status.leftovers).toEqual([{ index: events[2]?.index, path: '1.sql', statement: statements[1] }]);
  }
  await expectNothingHalfMade(database.url);
});

it.each([
  ['detach partition p_1 concurrently', 1],
  ['detach partition p_1 finalize', 0],
])('a partition that somebody left half-way out is brought out by: %s', async (action, handedOut) => {
  await sql(database.url, 'create table p (a int) partition by range (a); create table p_1 partition of p for values from (0) to (9)');
  const holder = await hold(database.url, 'select * from p');
  const client = await database.client();
  const detaching = client.query('alter table p detach partition p_1 concurrently').catch((error) => error.code);
  await until(database.url, `exists (select from pg_stat_activity where query ~ '^alter table p' and wait_event_type = 'Lock')`);
  await sql(database.url, `select pg_terminate_backend(pid, 10000) from pg_stat_activity where query ~ '^alter table p' and datname = current_database()`);
  expect(await detaching).toBe('57P01');
  await holder.end();
  expect(await sql(database.url, 'select inhdetachpending from pg_inherits')).toEqual([{ inhdetachpending: true }]);
  expect(await deployed({ '1.sql': `alter table p ${action}` }, { transaction: 'none' })).toMatchObject({ state: 'succeeded' });
  expect(await sql(database.url, 'select from pg_inherits')).toEqual([]);
  expect((await kinds()).filter((kind) => kind === 'statement_repaired')).toHaveLength(handedOut);
});
