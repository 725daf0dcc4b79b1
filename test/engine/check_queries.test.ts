/**
 * What is wrong with the query of a check, or with words of weft.yaml, is told as of any other file: where, and what to do.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { renderRehearsal } from '../../src/words/rehearsal.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(() => database.drop());

const deployPhases = (phases: readonly object[], files: Readonly<Record<string, string>>, more: object = {}) =>
  deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: 'shop', ...more, phases }), ...files });

const CHECKED = [{ name: 'main', transaction: 'single', steps: [{ run: '1.sql' }], checks: ['c.sql'] }];
const TABLE = { '1.sql': 'create table goods (id int, price int); insert into goods values (1, 5);' };

describe('the query of a check', () => {
  it.each([
    ['a column that is not there', '-- prices\nselect id,\n  nope\nfrom goods', '42703', 'column "nope" does not exist', 3, 3],
    ['a word at the wrong place', 'select id\nfrom goods wher price < 0', '42601', 'syntax error at or near "price"', 2, 17],
    ['an end too early', 'select id\nfrom', '42601', 'syntax error at end of input', 2, 5],
  ])('has its error told with its place: %s', async (_, query, sqlstate, message, line, character) => {
    const end = await deployPhases(CHECKED, { ...TABLE, 'c.sql': query });
    expect(end).toMatchObject({ state: 'failed', error: { path: 'c.sql', sqlstate, message, line, character } });
  });

  it.each([
    ['a setting shown', '-- how much\nshow work_mem', 2],
    ['a plan', 'explain select 1', 1],
    ['rows that are deleted', 'delete from goods where id = 1 returning id', 1],
    ['a table made', 'create table more (n int)', 1],
  ])('is told apart from another statement: %s', async (_, statement, line) => {
    const end = await deployPhases(CHECKED, { ...TABLE, 'c.sql': statement });
    expect(end).toMatchObject({
      state: 'failed',
      error: { path: 'c.sql', sqlstate: 'WF023', line, message: 'A check is one query (select, values, table, with), and this is another statement.' },
    });
    expect(await sql(database.url, `select to_regclass('goods') as goods`)).toEqual([{ goods: null }]);
  });

  it.each([
    ['a union of different widths', 'select id from goods union select 1, 2', 'each UNION query must have the same number of columns'],
    ['two columns for one', 'select id from goods where id = (select 1, 2)', 'subquery must return only one column'],
    ['a star of nothing', 'select * ', 'SELECT * with no tables specified is not valid'],
    ['a function that builds a query', 'select f()', 'syntax error at or near "selec"'],
  ])('that is one has what the server says of it told, no sentence about other statements: %s', async (_, query, message) => {
    await sql(database.url, `create function f() returns setof int language plpgsql as $$ begin return query execute 'selec 1'; end $$`);
    const end = await deployPhases(CHECKED, { ...TABLE, 'c.sql': `-- prices\n${query}` });
    expect(end).toMatchObject({ state: 'failed', error: { path: 'c.sql', sqlstate: '42601', message, line: 2 } });
  });

  it.each(['commit', 'ROLLBACK', 'end', 'abort work'])('may stand between BEGIN and %s, as tools that verify write it', async (last) => {
    const query = `-- Verify\nBEGIN;\n\nselect id from goods where price < 10;\n\n${last};\n`;
    const end = await deployPhases(CHECKED, { ...TABLE, 'c.sql': query });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'WF022', check: { offenders: [{ id: 1 }] } } });
    expect((await deployPhases(CHECKED, { ...TABLE, 'c.sql': query.replace('< 10', '< 0') })).state).toBe('succeeded');
    expect(await deployPhases(CHECKED, { ...TABLE, 'c.sql': query.replace('< 10', '< nope') })).toMatchObject({ error: { line: 4, character: 36 } });
  });
});

describe('a phase that only looks', () => {
  const phases = [
    { name: 'before', checks: ['c.sql'] },
    { name: 'main', steps: [{ run: '1.sql' }] },
  ];

  it('vetoes what stands behind it', async () => {
    await sql(database.url, "create table locked (why text); insert into locked values ('audit')");
    const files = { ...TABLE, 'c.sql': 'table locked' };
    expect(await deployPhases(phases, files)).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF022', phase: 'before', check: { offenders: [{ why: 'audit' }] } },
    });
    expect(await sql(database.url, `select to_regclass('goods') as goods`)).toEqual([{ goods: null }]);
    await sql(database.url, 'truncate locked');
    expect((await deployPhases(phases, files)).state).toBe('succeeded');
    expect((await deployPhases(phases, files)).state).toBe('succeeded');
  });
});

it('shows the rows that a rehearsed check warns of', async () => {
  const phases = [{ name: 'main', steps: [{ run: '1.sql' }], checks: [{ check: 'c.sql', severity: 'warn' }] }];
  const files = { 'weft.yaml': JSON.stringify({ name: 'shop', phases }), ...TABLE, 'c.sql': 'select id, price from goods' };
  const summary = renderRehearsal(await deployFiles(connectOver(database.url), files, { mode: 'rehearse' }), UNCOLOURED);
  expect(summary).toMatch(/c\.sql {2}.*1 row breaks the rule\n {2}\| id {2}price\n {2}\| 1 {3}5\n/);
});

describe('a mistake in words of weft.yaml is told as one', () => {
  const load = (words: object, phase: object = {}) => [
    { name: 'main', steps: [{ run: '1.sql' }] },
    { name: 'data', ...phase, steps: [{ load: 'a.csv', into: 'goods', key: ['id'], mode: 'sync', ...words }] },
  ];
  const files = { ...TABLE, 'a.csv': 'id,price\n1,6\n' };

  it.each([
    ['a word too many', 'price 5', 'syntax error at or near "5"'],
    ['a column that is not there', 'nope > 1', 'column "nope" does not exist'],
  ])('the where of a sync: %s', async (_, where, message) => {
    const end = await deployPhases(load({ where }), files);
    expect(end.error).toMatchObject({ message: `The "where" of the load cannot be evaluated: ${message}`, path: 'a.csv', statement: where });
    expect(renderSummary(end, UNCOLOURED)).toContain('Next: correct weft.yaml (or what it names) and deploy again');
    expect((await deployPhases(load({ where: 'price < 10' }), files)).state).toBe('succeeded');
  });

  it.each([
    ['settings, of a load', load({}, { settings: { work_mem: 'zz' } }), {}],
    ['a role, of a load', load({}, { role: 'nobody_knows' }), {}],
    ['settings, of a check', [{ name: 'look', settings: { work_mem: 'zz' }, checks: ['c.sql'] }], { 'c.sql': 'select 1 where false' }],
    ['settings, of a file', [{ name: 'main', settings: { work_mem: 'zz' }, steps: [{ run: '1.sql' }] }], {}],
  ])('%s', async (_, phases, more) => {
    const used = Object.fromEntries(Object.entries({ ...files, ...more }).filter(([path]) => JSON.stringify(phases).includes(path)));
    const end = await deployPhases(phases, used);
    expect(end.error?.message).toMatch(/^The file cannot begin with the role and settings of its phase: /);
    expect(renderSummary(end, UNCOLOURED)).toContain('Next: correct weft.yaml (or what it names) and deploy again');
  });

  it('a condition', async () => {
    const end = await deployPhases([{ name: 'main', steps: [{ run: '1.sql', when: 'nope = 1' }] }], TABLE);
    expect(end.error?.message).toBe('The condition (when) cannot be evaluated: column "nope" does not exist');
    expect(renderSummary(end, UNCOLOURED)).toContain('Next: correct weft.yaml (or what it names) and deploy again');
  });
});
