/** Which undo file of a file is run: the one that came last, of what has come to something. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { deployWays, packWays, pathsIn, stageWays, undo, type Way } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

const keep = (undo: string): Way => ({ run: 'create table keep (n int); insert into keep values (1)', undo });
const table = (name: string): Way => ({ run: `create table ${name} (n int)`, undo: `drop table ${name}` });
const plan = async () => (await sql(database.url, 'select weft.plan_undo() as plan'))[0].plan;
const rows = async () => (await sql(database.url, 'select n from keep')).map(({ n }) => n);

describe('an undo file that came with a deployment', () => {
  it('that the history has refused is never run', async () => {
    await deployWays(database.url, { '0.sql': keep('select 1'), '1.sql': table('r') });
    const refused = await deployWays(database.url, {
      '0.sql': keep('drop table keep'),
      '1.sql': { run: 'create table r (n bigint)', undo: 'drop table r' },
    });
    expect(refused).toMatchObject({ state: 'failed', error: { sqlstate: 'WF013' } });
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await rows()).toEqual([1]);
  });

  it('that was rolled back as a whole is never run', async () => {
    await deployWays(database.url, { '0.sql': keep('select 1') });
    const failed = await deployWays(database.url, { '0.sql': keep('drop table keep'), '1.sql': table('r'), '2.sql': { run: 'select 1 / 0' } });
    expect(failed).toMatchObject({ state: 'failed', error: { sqlstate: '22012' } });
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await rows()).toEqual([1]);
  });

  it('that was cancelled before it began, or has not begun, is never run', async () => {
    await deployWays(database.url, { '0.sql': keep('select 1') });
    const cancelled = await stageWays(database.url, packWays([{ name: 'main', transaction: 'single', ways: { '0.sql': keep('drop table keep') } }]));
    await sql(database.url, `select weft.cancel('${cancelled}')`);
    await stageWays(database.url, packWays([{ name: 'main', transaction: 'single', ways: { '0.sql': keep('drop table keep; select 1') } }]));
    expect((await plan()).phases[0].steps[0]).toMatchObject({ path: '0.sql', given_by: null, size: 'select 1'.length });
  });

  it('of which a part was committed counts, and so does one that tolerates a failure', async () => {
    await deployWays(database.url, { '0.sql': keep('select 1') });
    const half = await deployWays(
      database.url,
      { '0.sql': keep('insert into keep values (2)'), '1.sql': table('r'), '2.sql': { run: 'select 1 / 0' } },
      'per-step',
    );
    expect(half).toMatchObject({ state: 'failed' });
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', undoes: half.id });
    expect((await plan()).phases[0].steps[0]).toMatchObject({ path: '0.sql', given_by: half.id });
    const degraded = await deployWays(database.url, { '0.sql': keep('insert into keep values (3)'), '2.sql': { run: 'select 1 / 0', on_error: 'continue' } });
    expect(degraded).toMatchObject({ state: 'degraded' });
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await rows()).toEqual([1, 3]);
  });

  it('in which the file has another name, and its undo with it, is the one that counts', async () => {
    await deployWays(database.url, { '1.sql': { run: 'create table a (n int)', undo: 'drop table wrong' }, '2.sql': table('b') });
    await deployWays(database.url, { '01.sql': table('a'), '2.sql': table('b') });
    expect(await pathsIn(database.url)).toEqual(['01.sql', '2.sql']);
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'succeeded' });
    expect(back.phases[0].steps.map(({ path }: { path: string }) => path)).toEqual(['undo/2.sql', 'undo/01.sql']);
    expect(await pathsIn(database.url)).toEqual([]);
  });

  it('in which two files have exchanged the names of their undo files counts for both', async () => {
    const ways = (first: string, second: string) => ({
      'weft.yaml': `name: shop\nphases: [{ name: main, steps: [{ run: 1.sql, undo: ${first} }, { run: 2.sql, undo: ${second} }] }]`,
      '1.sql': 'create table a (n int);',
      '2.sql': 'create table b (n int);',
    });
    await deployFiles(connectOver(database.url), { ...ways('u/x.sql', 'u/y.sql'), 'u/x.sql': 'drop table wrong;', 'u/y.sql': 'drop table b;' });
    const { id } = await deployFiles(connectOver(database.url), {
      ...ways('u/y.sql', 'u/x.sql'),
      'u/y.sql': 'drop table a;',
      'u/x.sql': 'drop table b; select 1;',
    });
    expect((await plan()).phases[0].steps).toMatchObject([
      { path: '2.sql', undo: 'u/x.sql', given_by: id },
      { path: '1.sql', undo: 'u/y.sql', given_by: id },
    ]);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await pathsIn(database.url)).toEqual([]);
  });

  it('in which one undo file is another file’s, which that deployment does not hold, does not count: it would run twice', async () => {
    await deployWays(database.url, { '1.sql': { run: 'create table a (n int)', undo: 'drop table a' }, '2.sql': table('b') });
    await deployFiles(connectOver(database.url), {
      'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: 1.sql, undo: undo/2.sql }] }]',
      '1.sql': 'create table a (n int)',
      'undo/2.sql': 'drop table a; select 2',
    });
    expect((await plan()).phases[0].steps.map(({ path, undo }: { path: string; undo: string }) => [path, undo])).toEqual([
      ['2.sql', 'undo/2.sql'],
      ['1.sql', 'undo/1.sql'],
    ]);
  });
});
