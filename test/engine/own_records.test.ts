/**
 * Steps of all kinds share a block, and each has a record of its own: nothing of the step before it.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const steps = [
  { run: 'tables.sql' },
  { load: 'rates.csv', into: 'rates' },
  { run: 'rows.sql' },
  { run: 'not_wanted.sql', when: 'false' },
  { run: 'view.sql', repeat: 'on-change' },
  { run: 'empty.sql' },
  { run: 'behind.sql' },
];
const FILES = {
  'tables.sql': 'create table rates (code text primary key, rate int);\ncreate table notes (n int);',
  'rates.csv': 'code,rate\nEUR,1\nUSD,2\n',
  'rows.sql': 'insert into notes values (1), (2), (3); update notes set n = 0; select 1;',
  'not_wanted.sql': 'insert into notes values (4); select 2; select 3;',
  'view.sql': 'create or replace view seen as select n from notes;',
  'empty.sql': '-- nothing',
  'behind.sql': 'insert into notes values (5);',
};

it.each(['single', 'per-step', 'auto'])('transaction: %s', async (transaction) => {
  const phases = [{ name: 'main', transaction, steps, checks: [{ check: 'none.sql' }] }];
  const { state, phases: done } = await deployFiles(connectOver(database.url), {
    'weft.yaml': JSON.stringify({ name: 'shop', phases }),
    ...FILES,
    'none.sql': 'select 1 where false',
  });
  expect(state).toBe('succeeded');
  expect(done[0]?.steps.map(({ path, state, statements, rows, result }) => [path, state, statements, rows, result])).toEqual([
    ['tables.sql', 'succeeded', 2, 0, null],
    ['rates.csv', 'succeeded', 0, 2, { inserted: 2, updated: 0, deleted: 0, unchanged: 0 }],
    ['rows.sql', 'succeeded', 3, 7, null],
    ['not_wanted.sql', 'skipped', null, null, null],
    ['view.sql', 'succeeded', 1, 0, { made: [{ kind: 'relation', name: 'public.seen' }] }],
    ['empty.sql', 'succeeded', 0, 0, null],
    ['behind.sql', 'succeeded', 1, 1, null],
    ['none.sql', 'succeeded', 0, 0, { severity: 'error', offenders: [], offenders_count: 0 }],
  ]);
});
