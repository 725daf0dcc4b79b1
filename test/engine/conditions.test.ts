/**
 * `when`: a condition is asked in the transaction of what it is about, at the moment when that would begin, and what it came to is
 * recorded with it. What is left out is in no history: the next deployment asks again.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { linesBetween } from '../../src/cli/progress.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, shutGate } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table journal (n int)');
});

afterEach(() => database.drop());

interface Phase {
  readonly name?: string;
  readonly transaction?: string;
  readonly lock_timeout?: string;
  readonly when?: string;
  readonly steps: readonly { readonly run: string; readonly when?: string }[];
}

const TRANSACTIONS = ['single', 'per-step', 'auto', 'none'] as const;

/** Each file writes its number into the journal, unless it is given. */
function deployPhases(phases: readonly Phase[], files: Readonly<Record<string, string>> = {}) {
  const paths = phases.flatMap(({ steps }) => steps.map(({ run }) => run));
  const written = Object.fromEntries(paths.map((path) => [path, `insert into journal values (${Number.parseInt(path, 10)});`]));
  const named = phases.map((phase, index) => ({ name: `p${index + 1}`, ...phase }));
  return deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: 'shop', phases: named }), ...written, ...files });
}

const journal = async () => (await sql(database.url, 'select n from journal order by n')).map(({ n }) => n);
const eventsOf = async (...kinds: string[]) => sql(database.url, 'select kind, path, data from weft.events where kind = any ($1) order by at, number', [kinds]);

describe.each(TRANSACTIONS)('transaction: %s, the condition of a step', (transaction) => {
  const one = (when: string, files?: Record<string, string>) =>
    deployPhases([{ transaction, steps: [{ run: '1.sql' }, { run: '2.sql', when }, { run: '3.sql' }] }], files);

  it('is true: it runs, and the record says so', async () => {
    const end = await one('(select count(*) from journal) = 1');
    expect(end).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{ when: null, is_wanted: null }, { state: 'succeeded', when: '(select count(*) from journal) = 1', is_wanted: true }, {}] }],
    });
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it.each(['false', 'null', '(select count(*) from journal) <> 1 -- seen by then'])('is %s: it is left out, and the rest runs', async (when) => {
    const end = await one(when);
    expect(end).toMatchObject({
      state: 'succeeded',
      phases: [{ state: 'succeeded', steps: [{}, { state: 'skipped', is_wanted: false, statements: null, rows: null }, { state: 'succeeded' }] }],
    });
    expect(await journal()).toEqual([1, 3]);
    expect(await eventsOf('step_left_out')).toEqual([{ kind: 'step_left_out', path: '2.sql', data: { step: 2, when } }]);
    expect(await sql(database.url, 'select path, condition, is_wanted from weft.steps where is_wanted is not null')).toEqual([
      { path: '2.sql', condition: when, is_wanted: false },
    ]);
  });

  it('is asked again by the next deployment, which runs what was left out', async () => {
    const when = '(select count(*) from journal) = 2';
    await one(when);
    expect(await journal()).toEqual([1, 3]);
    const end = await one(when);
    expect(end).toMatchObject({ phases: [{ steps: [{ state: 'skipped', is_wanted: null }, { state: 'succeeded', is_wanted: true }, { state: 'skipped' }] }] });
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it('cannot be evaluated: the step fails, and the account names the condition', async () => {
    const end = await one('nowhere.f()');
    expect(end).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: '3F000',
        message: expect.stringMatching(/^The condition \(when\) cannot be evaluated: .*nowhere/),
        path: '2.sql',
        statement: 'nowhere.f()',
        hint: expect.stringContaining('weft.yaml, with the step'),
      },
    });
    expect(end.error?.line ?? null).toBeNull();
    expect(await journal()).toEqual(transaction === 'single' ? [] : [1]);
  });

  it.each([
    ['is no boolean', 'current_date', '42846'],
    ['is several rows', 'generate_series(1, 2) > 0', 'P0003'],
    ['is no SQL', 'when this', '42601'],
  ])('%s: the step fails', async (_, when, sqlstate) => {
    expect(await one(when)).toMatchObject({ state: 'failed', error: { sqlstate, path: '2.sql', statement: when } });
  });

  it('stands in a session as the file would: its settings go with it, and the search_path is the role’s', async () => {
    await sql(database.url, 'create schema home; create table home.only_here (n int)');
    await sql(database.url, `alter role current_user in database ${database.name} set search_path = home, public`);
    const when = `set_config('work_mem', '77MB', false) is not null and set_config('search_path', 'nowhere', false) is not null`;
    const end = await deployPhases(
      [
        {
          transaction,
          steps: [
            { run: '1.sql', when: 'exists (select from only_here) or true' },
            { run: '2.sql', when },
          ],
        },
      ],
      {
        '2.sql': `insert into journal select 2 where current_setting('work_mem') <> '77MB'`,
      },
    );
    await sql(database.url, `alter role current_user in database ${database.name} reset search_path`);
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 2]);
  });

  it('waits for a lock no longer than the phase allows, and is asked again', async () => {
    await sql(database.url, 'create table held ()');
    const holder = await database.client();
    await holder.query('begin; lock table held');
    const steps = [{ run: '1.sql', when: 'not exists (select from held)' }];
    const ending = deployPhases([{ transaction, lock_timeout: '50ms', steps }]);
    await expect.poll(async () => (await eventsOf('lock_not_available').catch(() => [])).length, { timeout: 20_000 }).toBeGreaterThan(0);
    await holder.end();
    expect(await ending).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1]);
  });

  it('a request to cancel finds it', async () => {
    const gate = await shutGate(database.url);
    await sql(
      database.url,
      `create function gate() returns boolean language plpgsql as $$ begin ${AT_THE_GATE.replace('select', 'perform')} return true; end $$`,
    );
    const ending = deployPhases([{ transaction, lock_timeout: '1h', steps: [{ run: '1.sql', when: 'gate()' }] }]);
    await gate.reached();
    await sql(database.url, 'select weft.cancel(id) from weft.deployments');
    expect(await ending).toMatchObject({ state: 'cancelled' });
    await gate.open();
    expect(await journal()).toEqual([]);
  });
});

describe.each(TRANSACTIONS)('transaction: %s, the condition of a phase', (transaction) => {
  const steps = [{ run: '1.sql' }, { run: '2.sql' }];
  const two = (when: string, more: Partial<Phase> = {}) => deployPhases([{ transaction, when, steps, ...more }, { steps: [{ run: '9.sql' }] }]);

  it('is true: the phase runs; it is asked once, before its first step', async () => {
    expect(await two('not exists (select from journal)')).toMatchObject({
      state: 'succeeded',
      phases: [{ state: 'succeeded', when: 'not exists (select from journal)', is_wanted: true }, { is_wanted: null }],
    });
    expect(await journal()).toEqual([1, 2, 9]);
  });

  it('is not true: nothing of the phase runs, the next one does, and the next deployment asks again', async () => {
    const when = 'exists (select from journal)';
    const end = await two(when);
    expect(end).toMatchObject({
      state: 'succeeded',
      phases: [{ state: 'skipped', is_wanted: false, steps: [{ state: 'skipped' }, { state: 'skipped' }] }, { state: 'succeeded' }],
    });
    expect(await journal()).toEqual([9]);
    expect(await eventsOf('phase_left_out', 'phase_succeeded')).toMatchObject([{ kind: 'phase_left_out', data: { when } }, { kind: 'phase_succeeded' }]);
    expect(await two(when)).toMatchObject({ phases: [{ state: 'succeeded', is_wanted: true }, {}] });
    expect(await journal()).toEqual([1, 2, 9]);
  });

  it('is no SQL: the phase fails, and nothing of it has run', async () => {
    expect(await two('when this')).toMatchObject({
      state: 'failed',
      error: { sqlstate: '42601', phase: 'p1', statement: 'when this', message: expect.stringContaining('condition') },
      phases: [{ state: 'failed' }, { state: 'pending' }],
    });
    expect(await journal()).toEqual([]);
  });

  it('goes together with those of its steps', async () => {
    const end = await two('true', { steps: [{ run: '1.sql', when: 'false' }, { run: '2.sql' }] });
    expect(end).toMatchObject({ phases: [{ is_wanted: true, steps: [{ state: 'skipped', is_wanted: false }, { state: 'succeeded' }] }, {}] });
    expect(await journal()).toEqual([2, 9]);
  });
});

describe('a condition and what is committed', () => {
  it('of a phase whose first step fails is asked again: nothing of its transaction is there', async () => {
    const phases = [{ transaction: 'per-step', when: 'not exists (select from journal)', steps: [{ run: '1.sql' }] }];
    const failed = await deployPhases(phases, { '1.sql': 'insert into journal values (1); select 1 / 0' });
    expect(failed).toMatchObject({ state: 'failed', phases: [{ is_wanted: null }] });
  });

  it('of a phase that has begun holds for the rest of it, whatever comes between', async () => {
    const gate = await shutGate(database.url);
    const when = 'not exists (select from journal)';
    const ending = deployPhases([{ transaction: 'per-step', lock_timeout: '1h', when, steps: [{ run: '1.sql' }, { run: '2.sql' }] }], {
      '2.sql': `${AT_THE_GATE} insert into journal values (2)`,
    });
    await gate.reached();
    await sql(database.url, 'select pg_terminate_backend(pid) from weft._lease');
    await gate.open();
    expect(await ending).toMatchObject({ state: 'succeeded', phases: [{ is_wanted: true, attempts: 2 }] });
    expect(await journal()).toEqual([1, 2]);
  });

  it('deferred constraints are looked at although the last step is left out', async () => {
    await sql(database.url, 'create table parent (n int primary key); create table child (n int references parent initially deferred)');
    const end = await deployPhases([{ transaction: 'single', steps: [{ run: '1.sql' }, { run: '2.sql', when: 'false' }] }], {
      '1.sql': 'insert into child values (1)',
    });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: '23503' } });
  });
});

describe('people are told', () => {
  it('what was left out, and because of what', async () => {
    const end = await deployPhases([{ steps: [{ run: '1.sql' }, { run: '2.sql', when: '1 > 2' }] }, { when: 'false', steps: [{ run: '3.sql' }] }]);
    const lines = linesBetween(null, end);
    expect(lines).toContainEqual('2/3 p1: 2.sql: left out, not 1 > 2');
    expect(lines).toContainEqual('3/3 p2: 3.sql: left out with its phase, not false');
    const summary = renderSummary(end, UNCOLOURED);
    expect(summary).toMatch(/p1 .*committed: 1 step, 1 left out by a condition, /);
    expect(summary).toMatch(/p2 .*left out: not false/);
  });
});
