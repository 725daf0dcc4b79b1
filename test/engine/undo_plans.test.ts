/** What is said of an undo before it runs: which deployment is meant, which secrets it needs, and what it would fail with, in the words in which it then fails. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { send } from './support.ts';
import { deployWays, openUndo, type PhaseOfWays, packWays, undo, type Way, type Ways } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

// biome-ignore lint/suspicious/noExplicitAny: rows of whatever is asked
const ask = (text: string): Promise<any[]> => sql(database.url, text);
const again = (run: string): Way => ({ run, repeat: 'on-change' });
const v1 = again('create or replace view v as select 1 as a');
const v2 = again('create or replace view v as select 1 as a, 2 as b');
const w = again('create or replace view w as select a from v');
const planned = async (what = '') => (await ask(`select weft.plan_undo(${what}) as plan`))[0].plan;
const fingerprint = async (): Promise<string> => (await ask('select weft.fingerprint() as print'))[0].print;

async function deployed(ways: Ways, bundle = 'shop'): Promise<string> {
  const end = await send(database.url, packWays([{ name: 'main', transaction: 'single', ways }], { bundle }));
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end.id;
}

describe('what would be lost with a view that has to be dropped', () => {
  const tf = 'create function tf() returns trigger language plpgsql as $$ begin return new; end $$;';

  it.each([
    ['a comment', `comment on view v is 'kept'`],
    ['a comment on a column', `comment on column v.a is 'kept'`],
    ['a trigger', `${tf} create trigger tr instead of insert on v for each row execute function tf()`],
    ['a rule', 'create rule r as on insert to v do instead nothing'],
    ['a default', 'alter view v alter column a set default 7'],
    ['an option', 'alter view v set (security_barrier = true)'],
  ])('%s is in the plan, in the words of the refusal', async (_what, statement) => {
    await deployed({ 'v.sql': v1, 'w.sql': w });
    await deployed({ 'v.sql': v2, 'w.sql': w });
    expect((await planned()).foreseen).toEqual([]);
    await ask(statement);
    const { foreseen } = await planned();
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'failed', error: { sqlstate: 'WF073', path: 'v.sql' } });
    const { sqlstate, message, hint } = back.error;
    expect(foreseen).toEqual([{ phase: 'main', path: 'v.sql', sqlstate, message, hint, if: 'dropped', unless_made_again: true }]);
    expect(back.error.detail).toBeUndefined(); // it would say the same once more
  });

  it('of a view that depends on it, too', async () => {
    await deployed({ 'v.sql': v1, 'w.sql': w });
    await deployed({ 'v.sql': v2, 'w.sql': w });
    await ask(`comment on view w is 'kept'`);
    expect((await planned()).foreseen).toMatchObject([
      { path: 'v.sql', message: expect.stringMatching(/public\.w .* by w\.sql, .*lose: comment on view public\.w$/) },
    ]);
  });
});

it('what depends on it and nobody makes again is in the plan, in the words of the refusal', async () => {
  await deployed({ 'v.sql': v1, 'w.sql': w });
  await deployed({ 'v.sql': v2, 'w.sql': w });
  await ask('create view report as select b from v; create function takes(v) returns int language sql as $$ select 1 $$');
  const { foreseen } = await planned();
  const back = await undo(database.url);
  expect(back).toMatchObject({ state: 'failed', error: { sqlstate: '2BP01', path: 'v.sql' } });
  const { sqlstate, message, hint, detail } = back.error;
  expect(foreseen).toMatchObject([{ phase: 'main', path: 'v.sql', sqlstate, message, hint, if: 'dropped' }]);
  expect(foreseen[0].detail.split('\n').sort()).toEqual(detail.split('\n').sort());
  expect(detail).toContain('view public.report depends on view public.v');
});

it('another owner is in the plan, in the words of the refusal', async () => {
  await ask('do $$ begin create role weft_plans_low; exception when duplicate_object then null; end $$');
  await ask('grant weft_plans_low to current_user; grant usage, create on schema public to weft_plans_low');
  await deployed({ 'v.sql': v1 });
  await deployed({ 'v.sql': v2 });
  await ask('alter view v owner to weft_plans_low');
  const { foreseen } = await planned();
  expect(foreseen).toMatchObject([{ sqlstate: 'WF073', message: expect.stringMatching(/lose: its owner: view public\.v belongs to weft_plans_low/) }]);
  const back = await undo(database.url);
  expect(back).toMatchObject({ state: 'failed' });
  expect(back.error.detail).toContain(foreseen[0].message);
  await ask('drop owned by weft_plans_low');
});

it('a role that is gone is in the plan, and the undo is refused before it begins', async () => {
  await ask('do $$ begin create role weft_plans_gone; exception when duplicate_object then null; end $$; grant weft_plans_gone to current_user');
  const way: Way = { run: 'select 1', undo: 'select 2' };
  await deployWays(database.url, [
    { name: 'first', transaction: 'single', more: { role: 'weft_plans_gone' }, ways: { '1.sql': way } },
    { name: 'second', transaction: 'single', ways: { '2.sql': way } },
  ]);
  expect((await planned()).foreseen).toEqual([]);
  await ask('drop role weft_plans_gone');
  const { foreseen } = await planned();
  expect(foreseen).toMatchObject([{ phase: 'first', sqlstate: 'WF009', message: expect.stringContaining('"weft_plans_gone", and there is no such role') }]);
  await expect(openUndo(database.url)).rejects.toMatchObject({ code: 'WF009', message: `${foreseen[0].message} Nothing was undone.` });
});

describe('without an id', () => {
  const way: Way = { run: 'select 1', undo: 'select 2' };

  it('the newest deployment of the only bundle is meant', async () => {
    await deployed({ '1.sql': way });
    const newest = await deployed({ '1.sql': way, '2.sql': way });
    expect(await planned()).toMatchObject({ deployment: newest });
  });

  it('of several bundles none is chosen: each is named, with its command', async () => {
    const shop = await deployed({ '1.sql': way });
    const other = await deployed({ '1.sql': way }, 'other');
    for (const call of ['weft.plan_undo()', 'weft.undo()']) {
      const refusal = expect.stringMatching(
        new RegExp(`weft undo --bundle other \\(deployment ${other}[^\\n]*\\nweft undo --bundle shop \\(deployment ${shop}, `),
      );
      await expect(ask(`select ${call}`)).rejects.toMatchObject({ code: 'WF074', hint: refusal });
    }
    expect(await ask('select count(*)::int as n from weft.deployments')).toEqual([{ n: 2 }]);
  });

  it('of the bundle that is named the newest is meant, and no other one when nothing of it is there', async () => {
    const shop = await deployed({ '1.sql': way });
    await deployed({ '1.sql': way }, 'other');
    expect(await planned(`p_bundle => 'shop'`)).toMatchObject({ deployment: shop, bundle: 'shop' });
    expect(await undo(database.url, `p_bundle => 'shop'`)).toMatchObject({ state: 'succeeded', undoes: shop });
    await expect(openUndo(database.url, `p_bundle => 'shop'`)).rejects.toMatchObject({ code: 'WF070', hint: expect.stringContaining('--bundle other') });
    expect(await planned()).toMatchObject({ bundle: 'other' }); // the only one that is left
  });
});

it('a file that is new and stays is named as having no undo, and not as standing by as well', async () => {
  await deployed({ 'a.sql': again('create or replace view a as select 1 as a'), '1.sql': { run: 'select 1', undo: 'select 2' } });
  await deployed({
    'a.sql': again('create or replace view a as select 1 as a'),
    'b.sql': again('create or replace view b as select 1 as b'),
    '1.sql': { run: 'select 1', undo: 'select 2' },
    '2.sql': { run: 'select 1', undo: 'select 2' },
  });
  expect(await planned()).toMatchObject({ lacking: [{ path: 'b.sql', stands_by: true }], stand_by: ['a.sql'] });
});

it('of an undo that failed only what was undone counts as done, and no file that stands by', async () => {
  const x = again('create or replace view x as select 1 as c');
  await deployed({ '1.sql': { run: 'create table t (a int)' }, 'v.sql': v1, 'w.sql': w, 'x.sql': x });
  await deployWays(database.url, [
    {
      name: 'main',
      transaction: 'per-step',
      ways: { '1.sql': { run: 'create table t (a int)' }, '2.sql': { run: 'select 1', undo: 'select 1 / 0' }, 'v.sql': v2, 'w.sql': w, 'x.sql': x },
    },
    { name: 'more', transaction: 'single', ways: { '3.sql': { run: 'select 1', undo: 'select 1' } } },
  ]);
  const back = await undo(database.url);
  expect(back).toMatchObject({ state: 'failed', error: { path: 'undo/2.sql' } });
  // 3.sql and v.sql are undone, w.sql was called back, 2.sql failed; x.sql stands by
  expect(await ask(`select steps::int, steps_done::int from weft.deployments where id = '${back.id}'`)).toEqual([{ steps: 4, steps_done: 3 }]);
});

describe('secrets', () => {
  const TOKEN = 'only-for-the-tests';
  const FILES = {
    'weft.yaml': JSON.stringify({
      name: 'shop',
      parameters: { token: { type: 'text', secret: true }, other: { type: 'integer', secret: true } },
      phases: [{ name: 'main', transaction: 'single', steps: [{ run: '*.sql', undo: 'undo/*.sql' }] }],
    }),
    '1.sql': 'create table t (a int)',
    'undo/1.sql': `do $$ begin if weft.parameter('token') <> '${TOKEN}' then raise exception 'no'; end if; end $$; drop table t;`,
  };
  const deployIt = () => deployFiles(connectOver(database.url), FILES, { secrets: { token: TOKEN, other: '1234' } });
  const open = async (given: object, what = '') =>
    (await ask(`select set_config('weft.secrets', '${JSON.stringify(given)}', false); select weft.undo(${what}) ->> 'deployment' as id`))[0].id;

  it('that files of the undo name are in the plan, wherever they stand in them; others are not asked for', async () => {
    await deployIt();
    expect((await planned()).secrets).toEqual([{ name: 'token', paths: ['undo/1.sql'] }]);
  });

  it('that only the rows of a sync are chosen by are asked for too', async () => {
    await sql(database.url, 'create table goods (k int primary key, tenant text)');
    const files = (rows: string) => ({
      'weft.yaml': JSON.stringify({
        name: 'shop',
        parameters: { token: { type: 'text', secret: true } },
        phases: [
          {
            name: 'main',
            transaction: 'single',
            steps: [{ load: 'd.csv', into: 'goods', key: ['k'], mode: 'sync', where: "tenant is distinct from weft.parameter('token')" }],
          },
        ],
      }),
      'd.csv': `k,tenant\n${rows}`,
    });
    await deployFiles(connectOver(database.url), files('1,x\n'), { secrets: { token: TOKEN } });
    await deployFiles(connectOver(database.url), files('1,x\n2,y\n'), { secrets: { token: TOKEN } });
    expect((await planned()).secrets).toEqual([{ name: 'token', paths: ['d.csv'] }]);
    await expect(open({})).rejects.toMatchObject({ code: 'WF075' });
  });

  it.each([
    ['one that is lacking', {}, 'WF075', 'lacks the secret "token", which is named in undo/1.sql'],
    ['one of another name', { token: TOKEN, surprise: TOKEN }, 'WF040', 'has no secret parameter "surprise"'],
    ['one that has not its type', { token: TOKEN, other: 'no number' }, 'WF041', 'The parameter "other" is no integer'],
  ])('%s is refused before anything is opened', async (_what, given, code, message) => {
    await deployIt();
    await expect(open(given)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(await ask('select count(*)::int as n from weft.deployments')).toEqual([{ n: 1 }]);
    expect(await ask('select count(*)::int as n from t')).toEqual([{ n: 0 }]);
  });

  it('go with each run of the undo, and are stored nowhere', async () => {
    await deployIt();
    const id = await open({ token: TOKEN });
    const run = { connect: connectOver(database.url), id, target: null, deadlineMs: 30_000 };
    await expect(resume(run)).rejects.toMatchObject({ slug: 'secrets_missing' });
    expect(await resume({ ...run, secrets: { token: TOKEN } })).toMatchObject({
      state: 'succeeded',
      parameters: [{ name: 'token', secret: true, given: true, value: null }],
    });
    const rows = await ask(`select string_agg(d::text, '') as text from weft._deployments as d where undoes is not null`);
    expect(rows[0].text).not.toContain(TOKEN);
    expect(await ask(`select to_regclass('t') as t`)).toEqual([{ t: null }]);
  });
});

it('a file with repeat: always is in the plan where it runs: behind all others, in a phase of its own', async () => {
  const phases = (n: number): PhaseOfWays[] => [
    { name: 'tables', transaction: 'single', ways: { [`t${n}.sql`]: { run: `create table t${n} (a int)`, undo: `drop table t${n}` } } },
    { name: 'code', transaction: 'single', ways: { 'v.sql': again(`drop view if exists v; create view v as select ${n} as a`) } },
    { name: 'rights', transaction: 'per-step', ways: { 'rights.sql': { run: 'grant select on v to public', repeat: 'always' } } },
  ];
  for (const n of [1, 2]) expect((await send(database.url, packWays(phases(n)))).state).toBe('succeeded');
  const { phases: shown } = await planned();
  expect(shown.map(({ name, steps }: { name: string; steps: { path: string }[] }) => [name, ...steps.map(({ path }) => path)])).toEqual([
    ['code', 'v.sql'],
    ['tables', 't2.sql'],
    ['rights (again)', 'rights.sql'],
  ]);
  const back = await undo(database.url);
  expect(back.state, JSON.stringify(back.error)).toBe('succeeded');
  const ran = back.phases.filter(({ steps }: { steps: { state: string }[] }) => steps.some(({ state }) => state === 'succeeded'));
  expect(ran.map(({ name }: { name: string }) => name)).toEqual(shown.map(({ name }: { name: string }) => name));
});

it('the plan changes nothing', async () => {
  await deployed({ 'v.sql': v1 });
  await deployed({ 'v.sql': v2 });
  const before = await fingerprint();
  await planned();
  expect(await fingerprint()).toBe(before);
});
