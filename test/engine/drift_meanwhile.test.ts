/**
 * What somebody changes by hand while a deployment runs, or between its end and its being tried again: it is drift as long as the deployment
 * has committed nothing of its own, and never taken over without a word.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles as deployBundle, shutGate } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { deployFiles, passFiles, type Rule } from './support.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const drift = () => sql(database.url, 'select change, kind, identity from weft.drift()');
const BY_HAND = 'alter table goods add by_hand int';
const MADE_BY_HAND = { change: 'added', kind: 'column', identity: 'public.goods.by_hand' };

/** Deploys a file that waits at a gate, and changes something by hand meanwhile. */
async function deployAndChange(files: Readonly<Record<string, string>>, transaction: Rule, byHand = BY_HAND) {
  const gate = await shutGate(database.url);
  const deploying = deployFiles(database.url, files, transaction);
  await gate.reached();
  await sql(database.url, byHand);
  await gate.open();
  return deploying;
}

describe('what is changed by hand while a deployment runs', () => {
  it.each(['single', 'per-step', 'auto', 'none'] as const)('is drift behind it when it has committed nothing (%s)', async (transaction) => {
    const { id } = await passFiles(database.url, { '1.sql': 'create table goods (id int)' });
    const rolledBack = await deployAndChange({ '2.sql': `do $$ begin perform ${AT_THE_GATE.slice('select '.length)} perform 1/0; end $$` }, transaction);
    expect(rolledBack).toMatchObject({ state: 'failed', has_committed: false });
    expect(await drift()).toEqual([MADE_BY_HAND]);
    expect(await passFiles(database.url, { '3.sql': 'select 1' })).toMatchObject({ drift_found: { since: id, count: 1, objects: [MADE_BY_HAND] } });
    expect(await drift()).toEqual([]);
  });

  it('counts as left by a deployment that has run something: who did it, no catalog tells', async () => {
    await passFiles(database.url, { '1.sql': 'create table goods (id int)' });
    expect(await deployAndChange({ '2.sql': AT_THE_GATE }, 'single')).toMatchObject({ state: 'succeeded', has_committed: true });
    expect(await drift()).toEqual([]);
  });

  it('counts as left by a deployment that has committed a statement of a file that failed', async () => {
    await passFiles(database.url, { '1.sql': 'create table goods (id int)' });
    const half = await deployFiles(database.url, { '2.sql': 'create table two (n int); select 1/0' }, 'none');
    expect(half).toMatchObject({ state: 'failed', has_committed: true });
    expect(await drift()).toEqual([]);
  });

  it('counts as left by a deployment that has handed out a statement, if the catalog is another: nobody can say what that came to', async () => {
    await passFiles(database.url, { '1.sql': 'create table goods (id int); insert into goods values (1), (1)' });
    const file = { '2.sql': 'create unique index concurrently on goods (id)' };
    expect(await deployFiles(database.url, file, 'none')).toMatchObject({ state: 'failed', has_committed: false });
    await sql(database.url, 'create procedure make_half() language plpgsql as $$ begin create table half (); commit; perform 1/0; end $$');
    const steps = [{ run: '3.sql', done_when: "to_regclass('public.whole') is not null" }];
    const half = await deployBundle(connectOver(database.url), {
      'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'main', transaction: 'none', steps }] }),
      '3.sql': 'call make_half()',
    });
    expect(half).toMatchObject({ state: 'failed', has_committed: true, error: { sqlstate: '22012' } });
    expect(await drift()).toEqual([]);
  });

  it('is drift behind a batch that has committed no round, and counts as left by one that has', async () => {
    await passFiles(database.url, { '1.sql': 'create table goods (id int); insert into goods select n from generate_series(1, 30) as n' });
    const deployBatch = (bad: number) =>
      deployBundle(connectOver(database.url), {
        'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'fill', steps: [{ batch: 'fill.sql', size: 10, cursor: 0 }] }] }),
        'fill.sql': `update goods set id = id + 0 / (id - ${bad}) where id in (select id from goods where id > :'cursor' order by id limit :size) returning id as cursor;`,
      });
    expect(await deployBatch(5)).toMatchObject({ state: 'failed', has_committed: false });
    expect(await deployBatch(15)).toMatchObject({ state: 'failed', has_committed: true });
  });
});
