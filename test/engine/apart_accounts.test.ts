/** What is said of a file that was run statement by statement and did not come to its end: by the document, by the view, and by whoever reads them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Deployment, deploymentSchema } from '../../src/domain/deployment.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, type OrderOptions, shutGate, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const FILE = [
  'create schema a',
  'create table a.t (x int)',
  'insert into a.t values (1)',
  'create index concurrently a_x on a.t (x)',
  'insert into a.t values (2)',
  'creat index a_y on a.t (x)',
];
const STAYS =
  'Statements 1 to 5 of 01.sql stay in the database (the 6th, line 6, failed). A corrected file goes on there, if what stands before is as it was, but for comments and white space; "weft plan" says whether it is.';

const deployed = (file: readonly string[], options: OrderOptions) => deployFiles(connectOver(database.url), { '01.sql': file.join(';\n') }, options);
const statusOf = async ({ id }: Deployment) => deploymentSchema.parse((await sql(database.url, 'select weft.status($1) as status', [id]))[0].status);

describe.each(['auto', 'none'] as const)('transaction: %s, a file that failed at its sixth statement', (transaction) => {
  it('says what of it stays, in the document, in the view and in the summary', async () => {
    const failed = await deployed(FILE, { transaction });
    expect(failed).toMatchObject({ state: 'failed', phases: [{ steps: [{ state: 'failed', statements: 5, account: STAYS, runs_again: false }] }] });
    expect(await sql(database.url, 'select statements, account from weft.steps')).toEqual([{ statements: 5, account: STAYS }]);
    const summary = renderSummary(failed, UNCOLOURED);
    expect(summary).toContain('committed: 0 of 1 step, and a part of 01.sql');
    expect(summary).toContain(`\n  ${STAYS}\n`);
    expect(summary).not.toContain('rolled back');
  });

  it('says the same when a later deployment has gone on with it', async () => {
    const failed = await deployed(FILE, { transaction });
    expect(await deployed(FILE.with(5, 'select 1'), { transaction })).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{ statements: 6, account: null }] }],
    });
    expect(await statusOf(failed)).toMatchObject({ phases: [{ steps: [{ statements: 5, account: STAYS }] }] });
  });

  it('says of one that failed at its first statement that nothing of it is there', async () => {
    const failed = await deployed(['vacuum nowhere', 'select 1'], { transaction });
    expect(failed).toMatchObject({ state: 'failed', phases: [{ steps: [{ state: 'failed', statements: 0, account: null }] }] });
    expect(renderSummary(failed, UNCOLOURED)).toContain('committed: 0 of 1 step; the step that failed is rolled back');
  });
});

it('a deployment that was cancelled in the middle of a file says what of it stays', async () => {
  await sql(database.url, 'create table journal (n int)');
  const gate = await shutGate(database.url);
  const ending = deployed(['insert into journal values (1)', 'vacuum journal', `insert into journal values (3)`, AT_THE_GATE], { transaction: 'none' });
  await gate.reached();
  await sql(database.url, 'select weft.cancel(id) from weft.deployments');
  await gate.open();
  const cancelled = await ending;
  const account = 'Statements 1 to 3 of 01.sql stay in the database. Deploy it again and it goes on behind them.';
  expect(cancelled).toMatchObject({ state: 'cancelled', phases: [{ steps: [{ state: 'pending', statements: 3, account }] }] });
  expect(renderSummary(cancelled, UNCOLOURED)).toContain(`committed: 0 of 1 step, and a part of 01.sql\n\n  ${account}\n`);
});

it('a file that ran in one transaction leaves nothing, and no account', async () => {
  const failed = await deployed(['create table t ()', 'creat table u ()'], { transaction: 'auto' });
  expect(failed).toMatchObject({ phases: [{ steps: [{ state: 'failed', statements: null, account: null }] }] });
});

describe('a statement that commits by itself, and a done_when that stays false', () => {
  const DO = 'do $$ begin insert into journal values (1); commit; end $$';
  const options = { transaction: 'auto', doneWhen: 'false' } as const;
  const RUNS_AGAIN =
    'Statement 1, line 1, ran outside of a transaction: what it has committed is in the database, and the next deployment runs it again as long as its done_when is not true. So it must do no harm when it runs twice.';

  beforeEach(() => sql(database.url, 'create table journal (n int)'));

  it('ran, and will run again: that is said, and so it is', async () => {
    const failed = await deployed([DO], options);
    expect(failed).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF020' },
      phases: [{ steps: [{ statements: 0, runs_again: true, account: RUNS_AGAIN }] }],
    });
    const summary = renderSummary(failed, UNCOLOURED);
    expect(summary).toContain(RUNS_AGAIN);
    expect(summary).not.toMatch(/rolled back|not run twice/);
    await deployed([DO], options);
    expect(await sql(database.url, 'select n from journal')).toEqual([{ n: 1 }, { n: 1 }]);
    expect(await statusOf(failed)).toMatchObject({ phases: [{ steps: [{ statements: 0, runs_again: true, account: RUNS_AGAIN }] }] });
  });

  it('behind others: both are said', async () => {
    const failed = await deployed(['insert into journal values (0)', DO], options);
    expect(failed.phases[0]?.steps[0]?.account).toBe(
      `Statement 1 of 01.sql stays in the database. Statement 2, line 2, ran${RUNS_AGAIN.slice('Statement 1, line 1, ran'.length)}`,
    );
  });
});

describe('a step that succeeded', () => {
  const stepOf = async (files: Record<string, string>, options: OrderOptions) =>
    (await deployFiles(connectOver(database.url), files, options)).phases[0]?.steps.at(-1);

  it('says how many of its statements were there already', async () => {
    await sql(database.url, 'create table t (x int); create index t_x on t (x)');
    const file = { '1.sql': 'create index concurrently t_x on t (x);' };
    expect(await stepOf(file, { transaction: 'auto' })).toMatchObject({ state: 'succeeded', statements: 1, found_done: 1 });
    expect(await stepOf({ '2.sql': 'create index concurrently t_y on t (x);' }, { transaction: 'auto' })).toMatchObject({ found_done: 0, tries: 1 });
  });

  it.each(['per-step', 'none'] as const)('that had to wait for a lock: says whether its time is all of it, or of the last try: %s', async (transaction) => {
    await sql(database.url, 'create table t (x int)');
    const holder = await database.client();
    await holder.query('begin; lock table t');
    const step = stepOf({ '1.sql': 'select 1', '2.sql': 'alter table t add y int' }, { transaction, lockTimeout: '100ms' });
    const refusals = `select count(*)::int from weft.events where kind = 'lock_not_available'`;
    await until(database.url, `(${refusals}) >= 2`);
    const [{ ms }] = await sql(
      database.url,
      `select extract(epoch from max(at) - min(at))::float8 * 1000 as ms from weft.events where kind = 'lock_not_available'`,
    );
    await holder.query('rollback');
    const { tries, milliseconds } = (await step) ?? {};
    const [{ count }] = await sql(database.url, refusals);
    await holder.end();
    if (transaction === 'per-step') expect(tries).toBe(1 + count);
    else expect([tries, (milliseconds ?? 0) >= ms]).toEqual([1, true]);
  });
});
