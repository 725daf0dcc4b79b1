/** What a transaction owes until its end, what may fail in it, and what needs the commit of another one: a rehearsal ends as the deployment does. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Deployment } from '../../src/domain/deployment.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    `create table parent (id int primary key);
create table child (id int references parent deferrable initially deferred);
create type mood as enum ('sad')`,
  );
});

afterEach(() => database.drop());

const OWES = 'insert into child values (1);';
const PAYS = 'insert into parent values (1);';
const GROUP = { 'v/a.sql': 'create or replace view va as select id from vb;', 'v/b.sql': 'create or replace view vb as select id from child;' };
const views = { run: 'v/*.sql', repeat: 'on-change' };
const may_fail = { on_error: 'continue' };

interface Case {
  readonly what: string;
  readonly state: string;
  readonly steps: readonly object[];
  readonly files: Readonly<Record<string, string>>;
  readonly transaction?: string;
}

const CASES: readonly Case[] = [
  {
    what: 'data that refers to data behind it',
    state: 'succeeded',
    steps: [
      { load: 'child.csv', into: 'child' },
      { load: 'parent.csv', into: 'parent' },
    ],
    files: { 'child.csv': 'id\n1\n', 'parent.csv': 'id\n1\n' },
  },
  {
    what: 'data that refers to what never comes',
    state: 'failed',
    steps: [{ load: 'child.csv', into: 'child' }, { run: '1.sql' }],
    files: { 'child.csv': 'id\n1\n', '1.sql': 'select 1;' },
  },
  {
    what: 'data that refers to what comes in a later transaction',
    state: 'failed',
    steps: [{ load: 'child.csv', into: 'child' }, { run: '1.sql' }],
    files: { 'child.csv': 'id\n1\n', '1.sql': PAYS },
    transaction: 'per-step',
  },
  {
    what: 'data that may fail, and refers to what never comes',
    state: 'degraded',
    steps: [{ load: 'child.csv', into: 'child', ...may_fail }, { run: '1.sql' }],
    files: { 'child.csv': 'id\n1\n', '1.sql': 'select 1;' },
  },
  {
    what: 'a group whose order is searched while something is owed',
    state: 'succeeded',
    steps: [{ run: '1.sql' }, views, { run: '2.sql' }],
    files: { '1.sql': OWES, ...GROUP, '2.sql': PAYS },
  },
  {
    what: 'a group whose order is searched, and that owes something itself',
    state: 'succeeded',
    steps: [{ run: '1.sql' }, views, { run: '2.sql' }],
    files: { '1.sql': 'select 1;', ...GROUP, 'v/c.sql': OWES, '2.sql': PAYS },
  },
  {
    what: 'a group that owes something itself, and may fail',
    state: 'degraded',
    steps: [{ ...views, ...may_fail }, { run: '2.sql' }],
    files: { ...GROUP, 'v/c.sql': `select from va; ${OWES}`, '2.sql': 'select 1;' },
  },
  {
    what: 'a file that may fail, and owes what never comes',
    state: 'degraded',
    steps: [{ run: '1.sql' }, { run: '2.sql', ...may_fail }, { run: '3.sql' }],
    files: { '1.sql': 'select 1;', '2.sql': OWES, '3.sql': 'create table more (n int);' },
  },
  {
    what: 'a file that may fail between what owes and what pays',
    state: 'succeeded',
    steps: [{ run: '1.sql' }, { run: '2.sql', ...may_fail }, { run: '3.sql' }],
    files: { '1.sql': OWES, '2.sql': OWES, '3.sql': PAYS },
  },
  {
    what: 'a file that may fail, and would tie something to schema weft',
    state: 'degraded',
    steps: [{ run: '1.sql' }, { run: '2.sql', ...may_fail }],
    files: { '1.sql': 'select 1;', '2.sql': 'create view tied as select * from weft.history;' },
  },
  {
    what: 'a value of an enum that an earlier transaction has added',
    state: 'succeeded',
    steps: [{ run: '1.sql' }, { run: '2.sql' }],
    files: { '1.sql': `alter type mood add value 'glad';`, '2.sql': `create table t as select 'glad'::mood as m;` },
    transaction: 'per-step',
  },
  {
    what: 'a value of an enum that the same transaction has added',
    state: 'failed',
    steps: [{ run: '1.sql' }, { run: '2.sql' }],
    files: { '1.sql': `alter type mood add value 'glad';`, '2.sql': `create table t as select 'glad'::mood as m;` },
  },
  {
    what: 'a file that must not fail beside one that may',
    state: 'failed',
    steps: [{ run: '1.sql' }, { run: '2.sql', ...may_fail }],
    files: { '1.sql': OWES, '2.sql': 'select 1;' },
  },
];

const both = async (steps: readonly object[], files: Readonly<Record<string, string>>, transaction: string) => {
  const all = { 'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'main', transaction, steps }] }), ...files };
  const rehearsed = await deployFiles(connectOver(database.url), all, { mode: 'rehearse' });
  return { rehearsed, deployed: await deployFiles(connectOver(database.url), all) };
};

it.each(CASES)('$what', async ({ state, steps, files, transaction = 'single' }) => {
  const { rehearsed, deployed } = await both(steps, files, transaction);
  expect(deployed.state, JSON.stringify(deployed.error)).toBe(state);
  expect(rehearsed.state, JSON.stringify(rehearsed.error)).toBe(state);
  expect(rehearsed.error?.sqlstate).toBe(deployed.error?.sqlstate);
  if (state !== 'failed') expect(statesOf(rehearsed.rehearsal?.steps ?? [])).toEqual(statesOf(deployed.phases.flatMap((phase) => phase.steps)));
});

it.each(['single', 'per-step', 'auto'])('a group for which there is no order names the culprits, under transaction: %s', async (transaction) => {
  const views = {
    'v/0.sql': 'create view v0 as select from d',
    'v/c.sql': 'create view c as select 1 as n',
    'v/d.sql': 'create view d as select from nowhere',
  };
  const { rehearsed, deployed } = await both([{ run: 'v/*.sql', repeat: 'on-change' }], views, transaction);
  expect(deployed.error).toMatchObject({ path: 'v/d.sql', detail: expect.stringContaining('No order of the group works: 2 files are left.') });
  expect(rehearsed.error).toMatchObject({ path: deployed.error?.path, message: deployed.error?.message, detail: deployed.error?.detail });
});

const statesOf = (steps: readonly { readonly path: string; readonly state: Deployment['phases'][number]['steps'][number]['state'] | 'tolerated' }[]) =>
  Object.fromEntries(steps.map(({ path, state }) => [path, state === 'tolerated' ? 'failed' : state]));
