/** Which undo file of a file is run: the one that came last, of what has come to something. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
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

describe.each(['single', 'per-step', 'none'])('an undo file that came later, under transaction: %s', (transaction) => {
  const files = (parameters: object, undone: string, more: Record<string, string> = {}) => ({
    'weft.yaml': JSON.stringify({
      name: 'shop',
      parameters,
      phases: [{ name: 'main', transaction, steps: [{ run: 's/*.sql', undo: 'u/*.sql' }] }],
    }),
    's/1.sql': `create table log (t text)`,
    's/2.sql': `insert into log values (:'a')`,
    'u/2.sql': undone,
    ...more,
  });
  const a = { type: 'text', default: 'one' };
  const b = { type: 'text', default: 'two' };
  const log = async () => (await sql(database.url, 'select t from log')).map(({ t }) => t);
  const send = async (what: Record<string, string>, options: object = {}) => {
    const end = await deployFiles(connectOver(database.url), what, options);
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    return end;
  };
  const taken = async (state: string) => {
    for (const what of ['p_partly => true, p_rehearse => true', 'p_partly => true']) {
      const end = await undo(database.url, what);
      expect(end.state, JSON.stringify(end.error)).toBe(state);
    }
  };

  it('has the parameters that are new in its deployment, and of those that both have the value with which the file ran', async () => {
    await send(files({ a }, 'select 1 / 0'), { parameters: { a: 'given' } });
    await send(files({ a, b }, `insert into log values (:'b' || weft.parameter('b') || :'a')`));
    await taken('succeeded');
    expect(await log()).toEqual(['given', 'twotwogiven']);
  });

  it('has them where the deployment that is undone had none', async () => {
    const first = { ...files({}, 'select 1 / 0'), 's/2.sql': 'insert into log values (1)' };
    await send({ ...first, 'weft.yaml': first['weft.yaml'].replace('"parameters":{},', '') });
    await send({ ...first, ...files({ b }, `insert into log values (:'b')`), 's/2.sql': first['s/2.sql'] });
    await taken('succeeded');
    expect(await log()).toEqual(['1', 'two']);
  });

  it('alone has them: one that came with its file has what that deployment had', async () => {
    const first = { 's/0.sql': 'select 0', 'u/0.sql': `insert into log values ('x')` };
    const own = { 'u/1.sql': `insert into log select coalesce(nullif(current_setting('weft.values', true), ''), '{}')` };
    await send(files({ a }, 'select 1 / 0', { ...first, ...own }), { parameters: { a: 'given' } });
    await send(files({ a, b }, `insert into log values (:'b')`, first));
    await taken('succeeded');
    expect(await log()).toEqual(['given', 'two', '{"a": "given"}', 'x']);
  });

  it('is given a secret that is new in it, and is not run without', async () => {
    await send(files({ a }, 'select 1 / 0'));
    await send(files({ a, token: { type: 'text', secret: true } }, `insert into log values (upper(:'token'))`));
    expect((await plan()).secrets).toEqual([{ name: 'token', paths: ['u/2.sql'] }]);
    await expect(undo(database.url, 'p_partly => true')).rejects.toMatchObject({ code: 'WF075' });
    const secrets = { token: 'hush-hush' };
    const [{ id }] = await sql(
      database.url,
      `select set_config('weft.secrets', '${JSON.stringify(secrets)}', false); select weft.undo(p_partly => true) ->> 'deployment' as id`,
    );
    const end = await resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 50_000, secrets });
    expect(end, JSON.stringify(end?.error)).toMatchObject({ state: 'succeeded' });
    expect(await log()).toEqual(['one', 'HUSH-HUSH']);
    expect(await sql(database.url, `select name, is_given, value from weft._parameters where deployment_id = '${id}' and is_secret`)).toEqual([
      { name: 'token', is_given: true, value: null },
    ]);
  });
});
