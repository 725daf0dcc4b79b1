/** What PostgreSQL runs in no transaction and no catalog tells of: refused before it runs, or believed by what its author says. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, type OrderOptions } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { kindsOf } from './cells.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table work (n int); create procedure work() language plpgsql as $$ begin insert into work values (1); commit; end $$');
});

afterEach(() => database.drop());

const deployed = (file: string, options: OrderOptions = {}) => deployFiles(connectOver(database.url), { '1.sql': file }, { transaction: 'none', ...options });
const worked = async () => (await sql(database.url, 'select count(*)::int from work'))[0].count;
const DO = 'do $$ begin insert into work values (1); commit; end $$';

describe.each(['auto', 'none'] as const)('transaction: %s, without done_when', (transaction) => {
  it.each([
    ['a DO block that commits', DO, '2D000'],
    ['a procedure that commits', 'call work()', '2D000'],
    ['a procedure that rolls back', `do $$ begin insert into work values (1); rollback; end $$`, '2D000'],
    ['a statement of which no catalog tells', 'discard all', '25001'],
    ['the same inside a DO block', `do $$ begin execute 'vacuum work'; end $$`, '25001'],
  ])('%s is refused before it runs, with what to do', async (_, statement, sqlstate) => {
    const { state, error } = await deployed(`select 1;\n${statement};`, { transaction });
    expect({ state, error }).toMatchObject({ state: 'failed', error: { sqlstate, line: 2, hint: expect.stringMatching(/Give the step a done_when/) } });
    expect(await worked()).toBe(0);
    expect(await kindsOf(database.url)).not.toContain('statement_sent');
  });
});

describe.each(['single', 'per-step'] as const)('transaction: %s', (transaction) => {
  it.each([
    ['create index concurrently work_n on work (n)', '25001', /"transaction: auto" or "transaction: none"/],
    [DO, '2D000', /done_when/],
  ])('%s is refused, with the phase that it belongs into', async (statement, sqlstate, hint) => {
    const { state, error } = await deployed(statement, { transaction, doneWhen: 'true' });
    expect({ state, error }).toMatchObject({ state: 'failed', error: { sqlstate, hint: expect.stringMatching(hint) } });
    expect(await worked()).toBe(0);
  });
});

describe('done_when', () => {
  const ONCE = 'exists (select from work)';

  it('lets it run, and is asked afterwards', async () => {
    expect(await deployed(DO, { doneWhen: ONCE })).toMatchObject({ state: 'succeeded' });
    expect(await worked()).toBe(1);
    expect(await kindsOf(database.url)).toContain('statement_done');
  });

  it('is asked before too: what is done already does not run', async () => {
    await sql(database.url, 'insert into work values (0)');
    expect(await deployed(DO, { doneWhen: ONCE })).toMatchObject({ state: 'succeeded' });
    expect(await worked()).toBe(1);
    expect(await kindsOf(database.url)).toContain('statement_found_done');
  });

  it('speaks under the search_path of the file', async () => {
    await sql(database.url, 'create schema s; create table s.mark (n int)');
    const file = `set search_path = s, public;\ndo $$ begin insert into mark values (1); commit; end $$;\ninsert into mark values (2);`;
    expect(await deployed(file, { doneWhen: 'exists (select from mark)' })).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, 'select n from s.mark order by n')).toEqual([{ n: 1 }, { n: 2 }]);
  });

  it.each([
    ['false', 'exists (select from work where n = 2)', /done_when is false/],
    ['null', '(select n = 1 from work where n = 2)', /done_when is null/],
  ])('that is %s still when the statement has run fails the step, and says so', async (_, doneWhen, message) => {
    const { state, error } = await deployed(DO, { doneWhen });
    expect({ state, error }).toMatchObject({ state: 'failed', error: { message: expect.stringMatching(message) } });
    expect(await worked()).toBe(1);
  });

  it('that cannot be evaluated fails the step before the statement runs', async () => {
    const { state, error } = await deployed(DO, { doneWhen: 'nowhere.nothing()' });
    expect({ state, error }).toMatchObject({
      state: 'failed',
      error: { message: expect.stringContaining('done_when cannot be evaluated'), detail: 'nowhere.nothing()' },
    });
    expect(await worked()).toBe(0);
  });

  it('tells of one statement: a second one is refused, which would be taken for done', async () => {
    const { state, error } = await deployed(`${DO};\nselect 1;\ncall work();`, { doneWhen: ONCE });
    expect({ state, error }).toMatchObject({ state: 'failed', error: { sqlstate: '2D000', line: 3, hint: expect.stringMatching(/line 1.*file of its own/) } });
    expect(await worked()).toBe(1);
  });

  it('judges nothing that the catalog can judge', async () => {
    expect(await deployed('create index concurrently work_n on work (n)', { doneWhen: 'false' })).toMatchObject({ state: 'succeeded' });
  });

  it('the error of the server itself is what is told', async () => {
    const { state, error } = await deployed('do $$ begin insert into work values (1); commit; perform 1 / 0; end $$', { doneWhen: 'false' });
    expect({ state, error }).toMatchObject({ state: 'failed', error: { sqlstate: '22012' } });
    expect(await worked()).toBe(1);
  });
});
