/** `weft.list_later(id)`: what came after a deployment, and has to be undone to go back to it, the newest first. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { send } from './support.ts';
import { deployWays, openUndo, packWays, undo, type Ways } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const table = (name: string) => ({ run: `create table ${name} (n int);`, undo: `drop table ${name};` });
const view = (as: string, undone = true) => ({
  run: `create or replace view v as select ${as};`,
  repeat: 'on-change' as const,
  ...(undone && { undo: 'drop view v;' }),
});
const deploy = (ways: Ways) => deployWays(database.url, ways);
const record = (ways: Ways) => {
  const packed = packWays([{ name: 'main', transaction: 'single', ways }]);
  const request = { ...JSON.parse(Buffer.from(packed.order.request).toString()), mode: 'baseline' };
  return send(database.url, { ...packed, order: { ...packed.order, request: Buffer.from(JSON.stringify(request)) } });
};
// biome-ignore lint/suspicious/noExplicitAny: the document
const listLater = async (id: string): Promise<any> => (await sql(database.url, 'select weft.list_later($1) as found', [id]))[0].found;
const idsAfter = async (id: string): Promise<string[]> => (await listLater(id)).later.map(({ deployment }: { deployment: string }) => deployment);

describe('after a deployment there came', () => {
  it('those of the same bundle of which something is in the database, the newest first, with what has no undo', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    const b = await deploy({ 'a.sql': table('a'), 'b.sql': table('b') });
    await send(database.url, packWays([{ name: 'main', transaction: 'single', ways: { 'x.sql': table('x') } }], { bundle: 'other' }));
    const nothing = await deploy({ 'a.sql': table('a'), 'b.sql': table('b') });
    const c = await deploy({ 'c.sql': { run: 'create table c (n int);' }, 'd.sql': table('d') });
    expect(await listLater(a.id)).toMatchObject({
      deployment: a.id,
      bundle: 'shop',
      state: 'succeeded',
      later: [
        { deployment: c.id, mode: 'apply', lacking: ['c.sql'], secrets: [] },
        { deployment: b.id, lacking: [] },
      ],
    });
    expect(await idsAfter(nothing.id)).toEqual([c.id]);
    expect(await idsAfter(c.id)).toEqual([]);
  });

  it('no other than those that can be undone one after another, in this order', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    for (const name of ['b', 'c', 'd']) await deploy({ [`${name}.sql`]: table(name) });
    for (const id of await idsAfter(a.id)) expect((await undo(database.url, `'${id}'`)).state).toBe('succeeded');
    expect(await idsAfter(a.id)).toEqual([]);
    expect(await sql(database.url, 'select path from weft.history')).toEqual([{ path: 'a.sql' }]);
  });

  it('also one whose files a newer one has all replaced: undone, that gives them back', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    const one = await deploy({ 'v.sql': view('1 as n') });
    const two = await deploy({ 'v.sql': view('2 as n') });
    const three = await deploy({ 'v.sql': view('3 as n') });
    expect(await idsAfter(a.id)).toEqual([three.id, two.id, one.id]);
    expect(await idsAfter(two.id)).toEqual([three.id]);
    for (const id of await idsAfter(a.id)) await undo(database.url, `'${id}'`);
    expect(await idsAfter(a.id)).toEqual([]);
    expect(await sql(database.url, `select to_regclass('v') as v`)).toEqual([{ v: null }]);
  });

  it('of such a file, new in one and replaced by a newer one, it says already that there is nothing to go back to', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    const one = await deploy({ 'v.sql': view('1 as n', false) });
    const two = await deploy({ 'v.sql': view('2 as n', false) });
    expect((await listLater(a.id)).later).toMatchObject([
      { deployment: two.id, lacking: [] },
      { deployment: one.id, lacking: ['v.sql'] },
    ]);
    await undo(database.url, `'${two.id}'`);
    expect((await sql(database.url, `select weft.plan_undo() as plan`))[0].plan).toMatchObject({ deployment: one.id, lacking: [{ path: 'v.sql' }] });
  });

  it('a half-done one too; and no baseline, unless it is a baseline that is named', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    await sql(database.url, 'create table b (n int)');
    const baseline = await record({ 'b.sql': table('b') });
    const half = await deployWays(database.url, { 'c.sql': { run: 'create table c (n int); select 1 / 0;', undo: 'drop table c;' } }, 'none');
    expect([baseline.mode, half.state]).toEqual(['baseline', 'failed']);
    expect(await idsAfter(a.id)).toEqual([half.id]);
    expect(await idsAfter(baseline.id)).toEqual([half.id]);
  });
});

describe('refused is what the database does not stand at, whatever is undone:', () => {
  it('a deployment that is not there, an undo, a rehearsal', async () => {
    const { id } = await deploy({ 'a.sql': table('a') });
    const rehearsal = await send(database.url, packWays([{ name: 'main', transaction: 'single', ways: { 'b.sql': table('b') } }], { mode: 'rehearse' }));
    await expect(listLater('0193b6a0-0000-7000-8000-000000000000')).rejects.toMatchObject({ code: 'WF002' });
    await expect(listLater(rehearsal.id)).rejects.toMatchObject({ code: 'WF070', message: expect.stringContaining('was a rehearsal') });
    const undone = await undo(database.url);
    await expect(listLater(undone.id)).rejects.toMatchObject({ code: 'WF070', message: expect.stringContaining(`itself an undo, of deployment ${id}`) });
  });

  it('one that was taken back, and one that is not over', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    const b = await deploy({ 'b.sql': table('b') });
    const open = await openUndo(database.url);
    expect(await idsAfter(b.id)).toEqual([]); // it is only asked for
    await sql(database.url, `call weft.run('${open}')`);
    await expect(listLater(b.id)).rejects.toMatchObject({ code: 'WF070', message: expect.stringContaining(`was taken back itself, by deployment ${open}`) });
    const [{ opened }] = await sql(database.url, 'select weft.open($1) as opened', [
      Buffer.from(packWays([{ name: 'main', transaction: 'single', ways: { 'c.sql': table('c') } }]).order.request),
    ]);
    await expect(listLater(opened.deployment)).rejects.toMatchObject({ code: 'WF071', message: expect.stringContaining('is not over') });
    expect(await idsAfter(a.id)).toEqual([]);
  });
});

describe('each undo meets what was said before the first one:', () => {
  type Told = { deployment: string; lacking: string[] };

  /** Takes one back after the other, as far as that goes. @returns what each was said to lack, and what its plan says when its turn has come */
  const goBack = async (id: string): Promise<{ said: Told[]; met: Told[] }> => {
    const { later } = await listLater(id);
    const met: Told[] = [];
    for (;;) {
      const [next] = (await listLater(id)).later;
      if (next === undefined) break;
      const [{ plan }] = await sql(database.url, 'select weft.plan_undo($1) as plan', [next.deployment]);
      met.push({ deployment: next.deployment, lacking: plan.lacking.map(({ path }: { path: string }) => path) });
      if (plan.lacking.length > 0) break;
      expect((await undo(database.url, `'${next.deployment}'`)).state).toBe('succeeded');
    }
    return { said: later.map(({ deployment, lacking }: Told) => ({ deployment, lacking })), met };
  };

  const expectMet = async (id: string, expected: readonly Told[]): Promise<void> => {
    const { said, met } = await goBack(id);
    expect(said).toEqual(expected);
    expect(met).toEqual(expected);
  };

  it('an undo file that came with newer bytes takes back those, and not the older ones', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    const one = await deploy({ 'v.sql': view('1 as n', false) });
    const two = await deploy({ 'v.sql': view('2 as n') });
    await expectMet(a.id, [
      { deployment: two.id, lacking: [] },
      { deployment: one.id, lacking: ['v.sql'] },
    ]);
  });

  it('of a file that was renamed before it was replaced', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    const one = await deploy({ 'v.sql': view('1 as n', false) });
    await deploy({ 'w.sql': view('1 as n', false) });
    const two = await deploy({ 'w.sql': view('2 as n', false) });
    await expectMet(a.id, [
      { deployment: two.id, lacking: [] },
      { deployment: one.id, lacking: ['v.sql'] },
    ]);
  });

  it('of a file that ran once before it ran again and again, nothing comes back', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    await deploy({ 'v.sql': { run: 'create view v as select 1 as n;' } });
    const two = await deploy({ 'v.sql': view('2 as n') });
    await expectMet(a.id, [{ deployment: two.id, lacking: [] }]);
  });

  it('of a file whose older bytes are not kept any more', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    await deploy({ 'v.sql': view('1 as n', false) });
    const two = await deploy({ 'v.sql': view('2 as n', false) });
    const three = await deploy({ 'v.sql': view('3 as n', false) });
    await sql(database.url, `select weft.change_setting('kept_artifacts_days', 0), weft.change_setting('kept_deployments_count', 1)`);
    await sql(database.url, `update weft._chunks set staged_at = staged_at - interval '2 days'`);
    await sql(database.url, 'call weft.sweep()');
    await expectMet(a.id, [
      { deployment: three.id, lacking: [] },
      { deployment: two.id, lacking: ['v.sql'] },
    ]);
  });

  it('of data that newer data has replaced', async () => {
    const load = (content: string) => {
      const parcel = packWays([{ name: 'main', transaction: 'single', ways: { 'd.csv': { run: content } } }]);
      const into = { kind: 'load', into: 'd', mode: 'sync', key: ['n'] };
      const manifest = JSON.parse(JSON.stringify(parcel.order.manifest));
      Object.assign(manifest.phases[0].steps[0], into);
      const request = { ...JSON.parse(Buffer.from(parcel.order.request).toString()), manifest };
      return send(database.url, { ...parcel, order: { ...parcel.order, manifest, request: Buffer.from(JSON.stringify(request)) } });
    };
    await sql(database.url, 'create table d (n int primary key)');
    const a = await deploy({ 'a.sql': table('a') });
    const one = await load('n\n1\n');
    const two = await load('n\n2\n');
    await expectMet(a.id, [
      { deployment: two.id, lacking: [] },
      { deployment: one.id, lacking: ['d.csv'] },
    ]);
  });

  it('what a baseline has replaced comes back when it is withdrawn, and what it has recorded half-done is half-done again', async () => {
    await sql(database.url, 'create table z (n int)');
    const before = await record({ 'z.sql': table('z') });
    const b = await deploy({ 'b.sql': table('b') });
    const half = await deployWays(database.url, { 'c.sql': { run: 'create table c (n int); select 1 / 0;', undo: 'drop table c;' } }, 'none');
    const reworded = { run: 'create table b (n integer);', undo: 'drop table b;' };
    const behind = await record({ 'b.sql': reworded, 'c.sql': { run: 'create table c (n int);', undo: 'drop table c;' } });
    expect([b.state, half.state, behind.state]).toEqual(['succeeded', 'failed', 'succeeded']);
    await expectMet(before.id, [
      { deployment: behind.id, lacking: [] },
      { deployment: half.id, lacking: [] },
      { deployment: b.id, lacking: [] },
    ]);
  });

  it('after one that was cancelled before it began', async () => {
    const a = await deploy({ 'a.sql': table('a') });
    const [{ opened }] = await sql(database.url, 'select weft.open($1) as opened', [
      Buffer.from(packWays([{ name: 'main', transaction: 'single', ways: { 'c.sql': table('c') } }]).order.request),
    ]);
    await sql(database.url, 'select weft.cancel($1)', [opened.deployment]);
    const b = await deploy({ 'b.sql': table('b') });
    await expectMet(opened.deployment, [{ deployment: b.id, lacking: [] }]);
    await expectMet(a.id, []);
  });
});
