/** Going back over data that a table was brought in line with, where the table is another one by now: older rows wait for what is undone behind them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
type Rule = 'single' | 'per-step' | 'auto' | 'none';

const schema = { run: 'schema/*.sql', undo: 'undo/*.sql' };
const load = (name: string) => ({ load: `data/${name}.csv`, into: name, mode: 'sync', key: ['code'] });
const bundle = (phases: readonly object[], files: Files): Files => ({ ...files, 'weft.yaml': JSON.stringify({ name: 'shop', phases }) });
const rows = async (table: string) => (await sql(database.url, `select t::text as row from ${table} as t order by 1`)).map(({ row }) => row);
const fingerprint = async () => (await sql(database.url, 'select weft.fingerprint() as print'))[0].print;
const events = async (deployment: string, kind: string) =>
  sql(database.url, `select phase, path, data #>> '{because,sqlstate}' as because from weft.events where deployment_id = $1 and kind = $2 order by number`, [
    deployment,
    kind,
  ]);
const plan = async () => (await sql(database.url, 'select weft.plan_undo() as plan'))[0].plan;

async function deployed(files: Files): Promise<string> {
  const end = await deployFiles(connectOver(database.url), files);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end.id;
}

/** Rehearses the undo, and then does it: the catalog is as it was, and so is the history. */
async function thereAndBack(one: Files, other: Files, tables: readonly string[]) {
  await deployed(one);
  const look = async () =>
    JSON.stringify([
      await fingerprint(),
      await Promise.all(tables.map(rows)),
      await sql(database.url, 'select path, digest::text, deployment_id from weft._history order by path'),
    ]);
  const before = await look();
  await deployed(other);
  const after = await look();
  const rehearsed = await undo(database.url, 'p_rehearse => true');
  expect(rehearsed.state, JSON.stringify(rehearsed.error)).toBe('succeeded');
  expect(await look()).toBe(after);
  const back = await undo(database.url);
  expect(back.state, JSON.stringify(back.error)).toBe('succeeded');
  expect(await look()).toBe(before);
  return back;
}

const FIRST: Files = {
  'schema/1.sql': 'create table cur (code text primary key, name text, symbol text)',
  'undo/1.sql': 'drop table cur',
  'data/cur.csv': 'code,name,symbol\nEUR,Euro,E\nUSD,Dollar,S\n',
};

describe.each(['single', 'per-step', 'auto', 'none'] as const)('transaction: %s', (transaction: Rule) => {
  const one = (files: Files) => bundle([{ name: 'main', transaction, steps: [schema, load('cur')] }], files);
  const two = (files: Files) =>
    bundle(
      [
        { name: 'schema', transaction, steps: [schema] },
        { name: 'data', transaction, steps: [load('cur')] },
      ],
      files,
    );

  it.each([
    ['in its phase', one, 'main'],
    ['in a phase of its own', two, 'data (again)'],
  ] as const)('older rows with a column that is gone come back behind the undo file that brings it back, %s', async (_, of, phase) => {
    const back = await thereAndBack(
      of(FIRST),
      of({
        ...FIRST,
        'schema/2.sql': 'alter table cur drop column symbol',
        'undo/2.sql': 'alter table cur add column symbol text',
        'data/cur.csv': 'code,name\nEUR,Euro\nGBP,Pound\n',
      }),
      ['cur'],
    );
    expect(await events(back.id, 'put_off')).toEqual([{ phase: phase.replace(' (again)', ''), path: 'data/cur.csv', because: 'WF032' }]);
    expect(await rows('cur')).toEqual(['(EUR,Euro,E)', '(USD,Dollar,S)']);
    const last = back.phases.find(({ name }: { name: string }) => name === phase);
    expect(last.steps.at(-1)).toMatchObject({ path: 'data/cur.csv', state: 'succeeded', rows: 3 });
  });
});

const main = (files: Files) => bundle([{ name: 'main', transaction: 'single', steps: [schema, load('cur')] }], files);

it.each([
  ['another name of a column', 'alter table cur rename name to label', 'alter table cur rename label to name', 'code,label,symbol\nEUR,Euro,E\n', 'WF032'],
  ['another type of a column', 'alter table cur alter name type int using 1', 'alter table cur alter name type text', 'code,name,symbol\nEUR,1,E\n', 'WF030'],
  [
    'a constraint',
    'alter table cur add check (length(symbol) > 1) not valid',
    'alter table cur drop constraint cur_symbol_check',
    'code,name,symbol\nEUR,Euro,EE\n',
    '23514',
  ],
])('older rows wait for the undo of %s', async (_, change, undoing, csv, because) => {
  await deployed(main(FIRST));
  await deployed(main({ ...FIRST, 'schema/2.sql': change, 'undo/2.sql': undoing, 'data/cur.csv': csv }));
  const back = await undo(database.url);
  expect(back.state, JSON.stringify(back.error)).toBe('succeeded');
  expect(await rows('cur')).toEqual(['(EUR,Euro,E)', '(USD,Dollar,S)']);
  expect(await events(back.id, 'put_off')).toMatchObject([{ because }]);
});

it('older rows wait for the older rows of a table that they refer to', async () => {
  const files = (parents: string, children: string): Files =>
    bundle([{ name: 'main', transaction: 'single', steps: [schema, load('parent'), load('child')] }], {
      'schema/1.sql': 'create table parent (code int primary key); create table child (code int primary key, of int references parent)',
      'undo/1.sql': 'drop table child, parent',
      'data/parent.csv': `code\n${parents}`,
      'data/child.csv': `code,of\n${children}`,
    });
  await deployed(files('1\n2\n', '1,1\n2,2\n'));
  await sql(database.url, 'delete from child');
  await deployed(files('2\n', '2,2\n'));
  expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
  expect(await rows('child')).toEqual(['(1,1)', '(2,2)']);
});

it('what is wrong with the rows themselves is told where their turn is, and behind all that is undone where it is not known before', async () => {
  await deployed(main(FIRST));
  const id = await deployed(
    main({
      ...FIRST,
      'schema/2.sql': 'alter table cur add check (symbol <> $$S$$) not valid',
      'undo/2.sql': 'select 1',
      'data/cur.csv': 'code,name,symbol\nEUR,Euro,E\n',
    }),
  );
  expect(await plan()).toMatchObject({
    phases: [
      {
        steps: [
          { undo: 'data/cur.csv', restores: true, may_wait: true },
          { undo: 'undo/2.sql', restores: false, may_wait: false },
        ],
      },
    ],
  });
  const back = await undo(database.url);
  expect(back).toMatchObject({ state: 'failed', undoes: id, error: { sqlstate: '23514', path: 'data/cur.csv', line: 3 } });
  expect(await rows('cur')).toEqual(['(EUR,Euro,E)']);
  await sql(database.url, 'alter table cur drop constraint cur_symbol_check');
  expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
  expect(await rows('cur')).toEqual(['(EUR,Euro,E)', '(USD,Dollar,S)']);
});
