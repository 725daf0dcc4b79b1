/** An undo rehearsed: it goes the way that the undo goes, says what that says, and leaves everything as it was. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import type { Rule } from './support.ts';
import { deployWays, openUndo, type PhaseOfWays, pathsIn, undo, type Way, type Ways } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

// biome-ignore lint/suspicious/noExplicitAny: rows of whatever is asked
const ask = (text: string): Promise<any[]> => sql(database.url, text);
const again = (run: string, undoing?: string): Way => ({ run, repeat: 'on-change', ...(undoing === undefined ? {} : { undo: undoing }) });
const fingerprint = async (): Promise<string> => (await ask('select weft.fingerprint() as print'))[0].print;
type Ran = { path: string; state: string };
/** What ran, in its order; not what was put off, or has not been called. */
const ranIn = (steps: readonly Ran[]) => steps.filter(({ state }) => state !== 'skipped').map(({ path, state }) => [path, state]);
const allSteps = ({ phases }: { phases: { steps: Ran[] }[] }) => phases.flatMap(({ steps }) => steps);
const kept = async () => JSON.stringify([await fingerprint(), await ask('select * from weft.history order by path')]);
const rehearse = () => undo(database.url, 'p_rehearse => true');

async function deployed(what: Ways | readonly PhaseOfWays[], rule: Rule = 'single'): Promise<string> {
  const end = await deployWays(database.url, what, rule);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end.id;
}

it('runs all of it in one transaction that is rolled back, with a report; and is no undo of the deployment', async () => {
  const id = await deployed({ '1.sql': { run: 'create table t (a int); insert into t values (1)', undo: 'drop table t' } });
  const before = await kept();
  const rehearsed = await rehearse();
  expect(rehearsed).toMatchObject({ state: 'succeeded', mode: 'rehearse', undoes: id, compared: null });
  expect(rehearsed.rehearsal.steps).toMatchObject([
    { path: 'undo/1.sql', state: 'succeeded', statements: [{ locks: [{ mode: 'AccessExclusiveLock', object: 'public.t' }] }] },
  ]);
  expect(rehearsed.rehearsal.catalog.objects ?? rehearsed.rehearsal.catalog).toContainEqual(
    expect.objectContaining({ change: 'removed', identity: 'public.t' }),
  );
  expect(await kept()).toBe(before);
  expect(await ask(`select weft.status('${id}') -> 'undone' as undone`)).toEqual([{ undone: null }]);
  expect(await undo(database.url)).toMatchObject({ state: 'succeeded', undoes: id });
});

it('refuses what the undo refuses', async () => {
  await deployed({ '1.sql': { run: 'select 1' } });
  await expect(openUndo(database.url, 'p_rehearse => true')).rejects.toMatchObject({ code: 'WF072' });
});

const v1 = again('create or replace view v as select 1 as a');
const v2 = again('create or replace view v as select 1 as a, 2 as b');
const w = again('create or replace view w as select a from v');
const table: Way = { run: 'create table t (a int, z int)' };
/** The view needs a column that is undone behind it. */
const columns = (column: string, more: Ways): readonly PhaseOfWays[] => [
  { name: 'schema', transaction: 'single', ways: { '1.sql': table, ...more } },
  { name: 'code', transaction: 'per-step', ways: { 'v.sql': again(`create or replace view v as select ${column} as n from t`) } },
];
const more: Ways = { '2.sql': { run: 'alter table t add y int; alter table t drop z cascade', undo: 'alter table t add z int; alter table t drop y' } };

describe.each([
  ['nothing in the way', [{ 'v.sql': v1 }, { 'v.sql': again('create or replace view v as select 2 as a') }], ''],
  [
    'a view that is dropped and made again, with what depends on it',
    [
      { 'v.sql': v1, 'w.sql': w },
      { 'v.sql': v2, 'w.sql': w },
    ],
    '',
  ],
  ['a view that waits for what is undone behind it', [columns('z', {}), columns('y', more)], ''],
  [
    'a view that an undo file drops along',
    [
      { '1.sql': table, 'v.sql': v1, 'w.sql': w },
      { '1.sql': table, '2.sql': { run: 'select 1', undo: 'drop view v cascade' }, 'v.sql': v1, 'w.sql': w },
    ],
    '',
  ],
  ['a new file with an undo', [{ 'v.sql': v1 }, { 'v.sql': v1, 'w.sql': again(w.run, 'drop view w') }], ''],
  ['a comment that would be lost', [{ 'v.sql': v1 }, { 'v.sql': v2 }], `comment on view v is 'kept'`],
  ['a view of somebody else that depends on it', [{ 'v.sql': v1 }, { 'v.sql': v2 }], 'create view report as select b from v'],
  ['an undo file that fails', [{ '1.sql': table }, { '1.sql': table, '2.sql': { run: 'select 1', undo: 'select 1 / 0' } }], ''],
] as const)('with %s', (_what, [first, second], between) => {
  it.each(['single', 'per-step', 'auto'] as const)('it ends as the undo ends, with the same error, where the phase is %s', async (rule) => {
    await deployed(first as Ways, rule);
    await deployed(second as Ways, rule);
    if (between !== '') await ask(between);
    const before = await kept();
    const rehearsed = await rehearse();
    expect(await kept()).toBe(before);
    const undone = await undo(database.url);
    if (undone.state === 'succeeded') expect(ranIn(rehearsed.rehearsal.steps)).toEqual(ranIn(allSteps(undone)));
    expect([rehearsed.state, rehearsed.error?.sqlstate, rehearsed.error?.message, rehearsed.error?.detail, rehearsed.error?.path]).toEqual([
      undone.state,
      undone.error?.sqlstate,
      undone.error?.message,
      undone.error?.detail,
      undone.error?.path,
    ]);
  });
});

it('names in its report each file that was put off or called back, with its phase, also where that is one of its own', async () => {
  const [old, now] = ['select id, a from t', 'select id, b as a from t'];
  const bundle = (view: string, more: Ways): readonly PhaseOfWays[] => [
    { name: 'schema', transaction: 'single', ways: { '1.sql': { run: 'create table t (id int, a int)', undo: 'drop table t cascade' }, ...more } },
    { name: 'code', transaction: 'per-step', ways: { 'v.sql': again(`create or replace view v as ${view}`) } },
  ];
  await deployed(bundle(old, {}));
  await deployed(bundle(now, { '2.sql': { run: 'alter table t rename a to b', undo: 'alter table t rename b to a' } }));
  const rehearsed = await rehearse();
  expect(rehearsed).toMatchObject({ state: 'succeeded' });
  expect(rehearsed.rehearsal.steps.map(({ phase, path, kind, state }: Record<string, string>) => [phase, path, kind, state])).toEqual([
    ['code', 'v.sql', 'run', 'skipped'],
    ['schema', 'undo/2.sql', 'run', 'succeeded'],
    ['code (again)', 'v.sql', 'run', 'succeeded'],
  ]);
});

it('leaves what was deployed to be undone by somebody else meanwhile', async () => {
  await deployed({ '1.sql': { run: 'create table t (a int)', undo: 'drop table t' } });
  const rehearsal = await openUndo(database.url, 'p_rehearse => true');
  const real = await openUndo(database.url);
  await ask('call weft.run()');
  expect(await ask(`select id, state from weft.deployments where id in ('${rehearsal}', '${real}') order by place`)).toEqual([
    { id: rehearsal, state: 'succeeded' },
    { id: real, state: 'succeeded' },
  ]);
  expect(await pathsIn(database.url)).toEqual([]);
});

it.each(['single', 'per-step', 'auto'] as const)(
  'calls back a view that made room (%s) before it looks whether it has the rights that it had',
  async (transaction) => {
    const files = (columns: string): Ways => ({
      'a.sql': again(`create or replace view a as select ${columns}`),
      'b.sql': again('create or replace view b as select n from a'),
    });
    await deployed(files('1 as n'), transaction);
    await sql(database.url, 'grant select on b to public');
    await deployed(files('1 as n, 2 as m'), transaction);
    expect(await rehearse()).toMatchObject({ state: 'succeeded' });
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await ask("select has_table_privilege('public', 'b', 'select') as may")).toEqual([{ may: true }]);
  },
);
