/** An undo that leaves what has no undo: what stays, and what goes along with what it needs. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import type { Rule } from './support.ts';
import { deployWays, pathsIn, undo, type Ways } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

const schema = (rule: Rule, ways: Ways) => ({ name: 'schema', transaction: rule, ways });
const code = (rule: Rule, views: Readonly<Record<string, string>>) => ({
  name: 'code',
  transaction: rule,
  ways: Object.fromEntries(Object.entries(views).map(([path, run]) => [path, { run, repeat: 'on-change' as const }])),
});
const views = async () => (await sql(database.url, `select viewname from pg_views where schemaname = 'public' order by 1`)).map(({ viewname }) => viewname);

describe.each(['single', 'per-step', 'auto'] as const)('views without an undo, in a phase that is %s,', (rule) => {
  it('that go along with the table that they need leave the history, and what does not need it is made again', async () => {
    const bundle = [
      schema('single', { '1.sql': { run: 'create table t (n int)', undo: 'drop view if exists w; drop table t cascade' } }),
      code(rule, { 'v.sql': 'create or replace view v as select n from t', 'w.sql': 'create or replace view w as select 1 as a' }),
    ];
    const done = await deployWays(database.url, bundle);
    const rehearsed = await undo(database.url, 'p_partly => true, p_rehearse => true');
    expect(rehearsed, JSON.stringify(rehearsed.error)).toMatchObject({ state: 'degraded', error: null });
    expect(rehearsed.rehearsal.steps).toContainEqual(expect.objectContaining({ path: 'v.sql', state: 'tolerated' }));
    expect(await views()).toEqual(['v', 'w']);
    const back = await undo(database.url, 'p_partly => true');
    expect(back, JSON.stringify(back.error)).toMatchObject({ state: 'degraded', error: null });
    expect(await views()).toEqual(['w']);
    expect(await pathsIn(database.url)).toEqual(['w.sql']);
    const again = await deployWays(database.url, bundle);
    expect(again).toMatchObject({ state: 'succeeded' });
    expect(await views()).toEqual(['v', 'w']);
    expect(done.id).not.toBe(again.id);
  });

  it('that cannot be made again for another reason fail the undo, and stay in the history', async () => {
    await sql(database.url, 'create table divisor as select 1 as n');
    await deployWays(database.url, [
      schema('single', { '1.sql': { run: 'create table t (n int)', undo: 'drop view v; update divisor set n = 0' } }),
      code(rule, { 'v.sql': 'select 1 / n from divisor; create or replace view v as select 1 as a' }),
    ]);
    const back = await undo(database.url, 'p_partly => true');
    expect(back).toMatchObject({ state: 'failed', error: { path: 'v.sql', sqlstate: '22012' } });
    expect(await pathsIn(database.url)).toEqual(['v.sql']);
  });
});
