/**
 * The catalog behind an undo that is not as it was: the journal and the document of the deployment name what differs, and hold no definition,
 * for a definition may hold a secret, and may be long. Who asks for definitions gets them from the catalogs, as long as those are kept.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { deployWays, undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const described = async (id: string) => (await sql(database.url, `select weft.describe_changes('${id}') as document`))[0].document.compared;

/** Deploys a file that drops what the one before it made, and undoes it with a file that does not bring it back. */
async function undoWithoutReturn(made: string, dropped: string): Promise<{ id: string; compared: unknown }> {
  await deployWays(database.url, { '1.sql': { run: made } });
  await deployWays(database.url, { '1.sql': { run: made }, '2.sql': { run: dropped, undo: 'select 1' } });
  return undo(database.url);
}

it('writes no secret down that a definition holds', async () => {
  const token = 'a-token-that-nobody-may-read';
  const bundle = (steps: object[]) =>
    JSON.stringify({ name: 'shop', parameters: { token: { type: 'text', secret: true } }, phases: [{ name: 'main', transaction: 'single', steps }] });
  const first = { '1.sql': "create function f() returns int language sql as 'select 1'; comment on function f() is :'token'" };
  const asked = { secrets: { token } };
  expect(await deployFiles(connectOver(database.url), { 'weft.yaml': bundle([{ run: '1.sql' }]), ...first }, asked)).toMatchObject({ state: 'succeeded' });
  const second = { ...first, '2.sql': 'drop function f()', 'undo.sql': 'select 1' };
  const steps = [{ run: '1.sql' }, { run: '2.sql', undo: 'undo.sql' }];
  expect(await deployFiles(connectOver(database.url), { 'weft.yaml': bundle(steps), ...second }, asked)).toMatchObject({ state: 'succeeded' });
  const back = await undo(database.url);
  const objects = [
    { change: 'missing', kind: 'comment', identity: 'function public.f()' },
    { change: 'missing', kind: 'function', identity: 'public.f()' },
  ];
  expect(back.compared).toEqual({ verdict: 'differs', count: 2, objects });
  expect(await sql(database.url, `select data from weft.events where kind = 'not_as_before'`)).toEqual([{ data: back.compared }]);
  expect(await sql(database.url, `select e from weft.events as e where e::text like '%${token}%'`)).toEqual([]);
  expect((await described(back.id)).objects).toMatchObject([
    { ...objects[0], before: expect.stringContaining(token), after: null },
    { before: expect.stringContaining('select 1') },
  ]);
});

it('grows with the number of objects up to its limit, never with their definitions', async () => {
  await setLimits(database.url, { drift_told_count_max: 2 });
  const functions = ['a', 'b', 'c'].map((name) => `create function ${name}() returns text language sql as $$ select '${'x'.repeat(100_000)}' $$`);
  const back = await undoWithoutReturn(functions.join(';\n'), 'drop function a(), b(), c()');
  expect(back.compared).toMatchObject({ verdict: 'differs', count: 3, objects: [{ identity: 'public.a()' }, { identity: 'public.b()' }] });
  expect(JSON.stringify(back.compared).length).toBeLessThan(500);
  expect((await described(back.id)).objects).toMatchObject(Array(3).fill({ before: expect.stringContaining('xxx'), after: null }));
});

describe('both definitions', () => {
  it('are shown by weft.describe_changes as long as the catalogs are kept, and then the names are', async () => {
    const back = await undoWithoutReturn('create view v as select 1 as a', 'create or replace view v as select 1 as a, 2 as b');
    const objects = [
      { change: 'changed', kind: 'view', identity: 'public.v', before: expect.not.stringContaining('AS b'), after: expect.stringContaining('AS b') },
    ];
    expect(await described(back.id)).toMatchObject({ verdict: 'differs', objects });
    await sql(database.url, 'delete from weft._snapshots');
    expect(await described(back.id)).toEqual(back.compared);
  });

  it('are of what the undo has left, not of what others have changed before it', async () => {
    await deployWays(database.url, { '1.sql': { run: 'create table a (n int); create table b (n int)', undo: 'drop table a' } });
    await sql(database.url, 'create table others (n int)');
    const back = await undo(database.url);
    expect(await described(back.id)).toMatchObject({ verdict: 'differs', count: 1, objects: [{ change: 'added', kind: 'table', identity: 'public.b' }] });
  });

  it('are null where the catalog is as it was', async () => {
    await deployWays(database.url, { '1.sql': { run: 'create table a (n int)', undo: 'drop table a' } });
    const back = await undo(database.url);
    expect(await described(back.id)).toEqual({ verdict: 'same', count: 0, objects: [] });
    expect(await described(back.undoes)).toBeNull();
  });
});

it('does not count what was made by hand before the deployment was opened again', async () => {
  const needed = { run: 'insert into need values (1)', undo: 'delete from need', on_error: 'continue' as const };
  const degraded = await deployWays(database.url, { '1.sql': { run: 'create table a (n int)', undo: 'drop table a' }, '2.sql': needed }, 'per-step');
  expect(degraded).toMatchObject({ state: 'degraded' });
  await sql(database.url, 'create table need (n int)');
  const opened = await resume({ connect: connectOver(database.url), id: degraded.id, target: null, deadlineMs: 30_000 });
  expect(opened).toMatchObject({ state: 'succeeded' });
  expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same', count: 0 } });
});
