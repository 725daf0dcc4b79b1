/** A file that failed half-way, outside of one transaction, goes on where it stopped, and never runs twice what is committed. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, makeOrder, type OrderOptions } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table journal (n int); create table t (a int)');
});

afterEach(() => database.drop());

const journal = async () => (await sql(database.url, 'select n from journal')).map(({ n }) => n);
const continued = async () =>
  (await sql(database.url, `select data -> 'statements_done_before' as n from weft.events where kind = 'continued'`)).map(({ n }) => n);

/** Five statements; the second one makes it a file that no transaction takes. */
const FILE = [
  'insert into journal values (1)',
  'create index concurrently t_a on t (a)',
  'insert into jurnal values (3)',
  'insert into journal values (4)',
  'insert into journal values (5)',
];
const REPAIRED = FILE.with(2, 'insert into journal values (3)');

describe.each(['auto', 'none'] as const)('transaction: %s', (transaction) => {
  const deployed = (statements: readonly string[], options: OrderOptions = {}) =>
    deployFiles(connectOver(database.url), { '1.sql': statements.join(';\n'), '2.sql': 'insert into journal values (6)' }, { transaction, ...options });

  /** What a plan says of the file, with its text or without. */
  const foreseen = async (statements: readonly string[], options: OrderOptions = {}, text = true) => {
    const content = statements.join(';\n');
    const { order } = await makeOrder({ '1.sql': content, '2.sql': 'insert into journal values (6)' }, { transaction, ...options });
    return (await sql(database.url, "select weft.plan($1, $2) -> 'halves' as halves", [order.manifest, text ? { '1.sql': content } : {}]))[0].halves;
  };

  beforeEach(async () => {
    expect(await deployed(FILE)).toMatchObject({ state: 'failed', error: { sqlstate: '42P01', line: 3 } });
    expect(await journal()).toEqual([1]);
  });

  it('what is before the statement that was repaired does not run again', async () => {
    expect(await deployed(REPAIRED)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ statements: 5 }, {}] }] });
    expect(await journal()).toEqual([1, 3, 4, 5, 6]);
    expect(await continued()).toEqual([2]);
    expect(await sql(database.url, `select from weft.events where kind = 'statement_sent'`)).toHaveLength(1);
    expect(await sql(database.url, 'select from weft._statements')).toEqual([]);
  });

  it('the same file once more goes on at the statement that failed', async () => {
    await sql(database.url, 'create table jurnal (n int)');
    expect(await deployed(FILE)).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 4, 5, 6]);
    expect(await continued()).toEqual([2]);
  });

  it.each([
    ['is edited', REPAIRED.with(0, 'insert into journal values (11)'), 1, 'something else stands in its place now, in line 1'],
    ['is edited, further on', REPAIRED.with(1, 'create index concurrently t_b on t (a)'), 2, 'something else stands in its place now, in line 2'],
    ['has another one before it', ['-- first\nset work_mem = 1024', ...REPAIRED], 1, 'something else stands in its place now, in line 2'],
    ['is taken out', FILE.slice(0, 1), 2, 'is missing in the file now'],
  ])('a statement that is committed, and %s, is refused before anything of the file runs', async (_, statements, number, what) => {
    const refused = await deployed(statements);
    expect(refused).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: 'WF021',
        path: '1.sql',
        message: `Statement ${number} of 1.sql is in the database already, and ${what}.`,
        detail: expect.stringContaining(FILE[number - 1] ?? ''),
        hint: expect.stringMatching(
          /^Nothing of the file was run now\. Put statements 1 to 2 back as they were .*weft baseline FOLDER --only 1\.sql\. Or take back by hand what has run, and say so: weft forget 1\.sql --why REASON; .*\(Under another name .*\)$/,
        ),
      },
    });
    expect(await foreseen(statements), 'as the plan has it').toMatchObject([{ goes_on: 'refused', refusal: refused.error }]);
    expect(await journal()).toEqual([1]);
    expect(await deployed(REPAIRED), 'put back, it goes on').toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 3, 4, 5, 6]);
  });

  it('comments and white space in front of a statement are no part of it', async () => {
    const commented = REPAIRED.map((statement) => `\n-- better\n/* and */ ${statement}\n`).with(1, `${REPAIRED[1]}  `);
    expect(await deployed(commented)).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 3, 4, 5, 6]);
    expect(await continued()).toEqual([2]);
  });

  it.each(['single', 'per-step'] as const)('its phase made %s, it is refused: all of it would run', async (changed) => {
    expect(await deployed(REPAIRED.toSpliced(1, 1), { transaction: changed })).toMatchObject({ state: 'failed', error: { sqlstate: 'WF021', path: '1.sql' } });
    expect(await journal()).toEqual([1]);
  });

  it('when the rest is taken out, nothing is left to do', async () => {
    expect(await deployed(FILE.slice(0, 2))).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 6]);
  });

  it('a plan says where it goes on; without its text only where it is the same, and of what no statement is done nothing', async () => {
    const goesOn = { path: '1.sql', statements: 2, runs_again: false, refusal: null };
    const commented = REPAIRED.map((statement) => `\n-- better\n${statement}`);
    expect(await foreseen(commented)).toEqual([{ ...goesOn, goes_on: 'behind', next_line: 9 }]);
    expect(await foreseen(['begin', ...REPAIRED.slice(0, 1), 'commit', ...REPAIRED.slice(1)])).toEqual([{ ...goesOn, goes_on: 'behind', next_line: 5 }]);
    expect(await foreseen(FILE.slice(0, 2))).toEqual([{ ...goesOn, goes_on: 'behind', next_line: null }]);
    expect(await foreseen(FILE, {}, false)).toEqual([{ ...goesOn, goes_on: 'behind', next_line: null }]);
    expect(await foreseen(REPAIRED, {}, false)).toEqual([{ ...goesOn, goes_on: 'unknown', next_line: null }]);
    expect(await foreseen(REPAIRED, { bundle: 'other' })).toEqual([]);
    expect(await foreseen(REPAIRED, { transaction: 'single' })).toMatchObject([{ goes_on: 'refused', refusal: { sqlstate: 'WF021', path: '1.sql' } }]);
    await deployed(REPAIRED);
    expect(await foreseen(REPAIRED)).toEqual([]);
  });

  it('that fails again further on goes on from there', async () => {
    expect(await deployed(REPAIRED.with(3, 'insert into jurnal values (4)'))).toMatchObject({ state: 'failed', error: { line: 4 } });
    expect(await deployed(REPAIRED)).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 3, 4, 5, 6]);
    expect(await continued()).toEqual([2, 3]);
  });

  it('another bundle knows nothing of it', async () => {
    expect(await deployed(REPAIRED, { bundle: 'other' })).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 1, 3, 4, 5, 6]);
  });

  it('the session is as the beginning had left it', async () => {
    const from = ['create schema s', 'set search_path = s, public', `set app.tenant = 'acme'`, `set work_mem = '5MB'`, 'vacuum public.t', 'select nothing'];
    expect(await deployed(from, { bundle: 'sets' })).toMatchObject({ state: 'failed' });
    const made = `create table seen as select current_setting('app.tenant') as tenant, current_setting('work_mem') as work_mem`;
    expect(await deployed(from.with(5, made), { bundle: 'sets' })).toMatchObject({ state: 'succeeded', error: null });
    expect(await sql(database.url, 'select * from s.seen')).toEqual([{ tenant: 'acme', work_mem: '5MB' }]);
  });
});
