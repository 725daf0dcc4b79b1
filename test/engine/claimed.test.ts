/**
 * What a repeatable file has not made, because it was there already: what it replaces is its own from then on, and what a baseline finds of it too.
 * So it is called back, and an undo makes room for its older content.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, type OrderOptions } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table t (id int, a int)');
});

afterEach(() => database.drop());

const FILES = {
  'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'code', transaction: 'single', steps: [{ run: 'v/*.sql', repeat: 'on-change' }] }] }),
  'v/a.sql': 'create or replace view va as select id from t;',
  'v/b.sql': 'create or replace function fb() returns int language sql as $$ select 1 $$; create or replace view vb as select id, fb() as n from va;',
};
const WIDER = { ...FILES, 'v/a.sql': 'create or replace view va as select id, a from t;' };
const fingerprint = async () => (await sql(database.url, 'select weft.fingerprint() as print'))[0].print;
const made = async () =>
  Object.fromEntries(
    (
      await sql(
        database.url,
        `select path, array(select o ->> 'name' from jsonb_array_elements(made) as o order by 1) as names from weft._history order by path`,
      )
    ).map(({ path, names }) => [path, names]),
  );

async function deployed(files: Record<string, string>, options: OrderOptions = {}) {
  const end = await deployFiles(connectOver(database.url), files, options);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end;
}

async function undone() {
  const end = await undo(database.url);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  expect(end).toMatchObject({ compared: { verdict: 'same' } });
}

const MADE = { 'v/a.sql': ['public.va'], 'v/b.sql': ['public.fb()', 'public.vb'] };

describe.each([
  ['a baseline has found', 'baseline'],
  ['a file has replaced', 'apply'],
] as const)('what %s', (_, mode) => {
  beforeEach(async () => {
    await sql(database.url, `${FILES['v/a.sql']} ${FILES['v/b.sql']} grant select on va to public; comment on view vb is 'kept'`);
    await deployed(FILES, { mode });
  });

  it('is noted as the file’s own', async () => {
    expect(await made()).toEqual(MADE);
  });

  it('is dropped by an undo to make it again, and has what it had', async () => {
    await sql(database.url, 'comment on view vb is null');
    const before = await fingerprint();
    await deployed(WIDER);
    await undone();
    expect(await fingerprint()).toBe(before);
    expect(await made()).toEqual(MADE);
    expect(await sql(database.url, `select has_table_privilege('public', 'va', 'select') as is_open`)).toEqual([{ is_open: true }]);
  });

  it('is called back when it is gone, though its file has not changed', async () => {
    await sql(database.url, 'drop function fb() cascade');
    await deployed(FILES);
    expect(await sql(database.url, 'select * from vb')).toEqual([]);
    expect(await sql(database.url, `select path, data -> 'missing' #> '{0}' ->> 'name' as missing from weft.events where kind = 'called_back'`)).toEqual([
      { path: 'v/b.sql', missing: 'public.fb()' },
    ]);
  });
});

it('of a name that several have, a baseline takes nothing for the file’s', async () => {
  await sql(database.url, `create schema other; create view other.va as select 1 as x; ${FILES['v/a.sql']} ${FILES['v/b.sql']}`);
  await deployed(FILES, { mode: 'baseline' });
  expect(await made()).toEqual({ ...MADE, 'v/a.sql': [] });
});

it('a baseline that is withdrawn gives back what was known to be the file’s', async () => {
  await deployed(FILES);
  const changed = { ...FILES, 'v/a.sql': 'create or replace view va as select id, 1 as x from t; create table if not exists more (n int)' };
  await sql(database.url, `create or replace view va as select id, 1 as x from t; create table more (n int)`);
  await deployed(changed, { mode: 'baseline' });
  expect(await made()).toEqual({ ...MADE, 'v/a.sql': ['public.more', 'public.va'] });
  const [{ id }] = await sql(database.url, `select id from weft.deployments where mode = 'baseline'`);
  expect(await undo(database.url, `'${id}'`)).toMatchObject({ state: 'succeeded' });
  expect(await made()).toEqual(MADE);
});

it('a file that was renamed and edited is called back as it would be under its old name', async () => {
  await deployed(FILES);
  const { 'v/b.sql': old, ...rest } = FILES;
  const renamed = { ...rest, 'v/9.sql': old.replace('fb() as n', 'fb() as n, 1 as k') };
  await deployed(renamed);
  await deployed({ ...renamed, 'v/a.sql': 'drop view if exists va cascade; create view va as select id, a from t;' });
  expect(await sql(database.url, 'select k from vb')).toEqual([]);
});

it('where nothing is known to be the file’s, the undo says that, and what to do', async () => {
  const hidden = (columns: string) => ({
    ...FILES,
    'v/a.sql': `do $do$ begin execute 'create or replace view va as select ${columns} from t'; end $do$;`,
    'v/b.sql': 'select 1;',
  });
  await sql(database.url, 'create view va as select id from t');
  await deployed(hidden('id'));
  const before = await fingerprint();
  await deployed(hidden('id, a'));
  const failed = await undo(database.url);
  expect(failed).toMatchObject({
    state: 'failed',
    error: {
      sqlstate: '42P16',
      path: 'v/a.sql',
      hint: expect.stringContaining('Nothing that is in the way is known to be made by v/a.sql, so nothing was dropped for it. Drop it yourself'),
    },
  });
  await sql(database.url, 'drop view va');
  await undone();
  expect(await fingerprint()).toBe(before);
});

describe('a file that ran once, and runs again and again from now on', () => {
  const phase = (steps: readonly object[]) => JSON.stringify({ name: 'shop', phases: [{ name: 'code', transaction: 'single', steps }] });
  const once = { 'm/1.sql': 'select 1', 'v/a.sql': FILES['v/a.sql'], 'v/b.sql': FILES['v/b.sql'] };
  const steps = [{ run: 'm/*.sql' }, { run: 'v/*.sql', repeat: 'on-change' }];

  it.each([
    ['in its place', 'v/'],
    ['in another folder', 'r/'],
  ])('is called back when what it has made goes, with the rights that that had, though it has not changed: %s', async (_, folder) => {
    await deployed({ ...once, 'weft.yaml': phase([{ run: '{m,v}/*.sql' }]) });
    await sql(database.url, 'grant select on va to public');
    const moved = Object.fromEntries(Object.entries(once).map(([path, text]) => [path.replace('v/', folder), text]));
    const bundle = { ...moved, 'weft.yaml': phase(steps).replace('v/*', `${folder}*`) };
    await deployed(bundle);
    expect(Object.values(await made())).toEqual(expect.arrayContaining([['public.va'], ['public.fb()', 'public.vb']]));
    await deployed({ ...bundle, 'm/2.sql': 'alter table t drop column id cascade; alter table t add id bigint' });
    expect(await sql(database.url, "select has_table_privilege('public', 'va', 'select') as may, (select count(*)::int from vb) as there")).toEqual([
      { may: true, there: 0 },
    ]);
  });
});
