/**
 * What somebody changes by hand while a deployment runs, which is drift as long as that has committed nothing of its own, or between its end
 * and its being tried again, which stays drift.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles as deployBundle, shutGate, stageFiles } from '../support/orders.ts';
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
    expect(await passFiles(database.url, { '3.sql': 'select 1' })).toMatchObject({
      drift_found: [{ since: id, reopened: false, count: 1, objects: [MADE_BY_HAND] }],
    });
    expect(await drift()).toEqual([MADE_BY_HAND]);
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
    expect(await drift()).toEqual([{ change: 'added', kind: 'procedure', identity: 'public.make_half()' }]); // not the table
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

describe('what is changed by hand between the end of a degraded deployment and its being tried again', () => {
  const degrade = (step = 'select * from missing') =>
    deployBundle(connectOver(database.url), {
      'weft.yaml': JSON.stringify({
        name: 'shop',
        phases: [{ name: 'main', transaction: 'per-step', steps: [{ run: '1.sql' }, { run: '2.sql', on_error: 'continue' }] }],
      }),
      '1.sql': 'create table goods (id int); create index by_id on goods (id)',
      '2.sql': step,
    });
  const reopen = async (id: string, key = 'a') => (await sql(database.url, `call weft.run('${id}', p_reopen => '{"key": "${key}"}')`))[0].result;
  const GONE = { change: 'missing', kind: 'index', identity: 'public.by_id' };
  const MADE = { change: 'added', kind: 'table', identity: 'public.missing' };
  const OLDER = { change: 'missing', kind: 'table', identity: 'public.older' };

  it('is told by it when it is opened again, with both definitions as long as the catalogs are kept', async () => {
    const { id, fingerprint } = await degrade();
    await sql(database.url, 'drop index by_id; create table missing ()');
    expect(await drift()).toEqual([GONE, MADE]);
    const end = await reopen(id);
    expect(end).toMatchObject({
      state: 'succeeded',
      drift_found: [{ since: id, reopened: true, fingerprint: { before: fingerprint.after, after: expect.any(String) }, count: 2, objects: [GONE, MADE] }],
    });
    expect(await sql(database.url, `select kind from weft.events where kind in ('degraded', 'reopened', 'drift_found', 'succeeded') order by number`)).toEqual(
      ['degraded', 'reopened', 'drift_found', 'succeeded'].map((kind) => ({ kind })),
    );
    expect(await drift()).toEqual([GONE, MADE]);
    const [{ found }] = await sql(database.url, `select weft.describe_changes('${id}') -> 'drift_found' as found`);
    expect(found).toMatchObject([{ since: id, objects: [{ ...GONE, before: expect.stringMatching(/^CREATE INDEX by_id/), after: null }, MADE] }]);
  });

  it('is told each time with what is drift still, and of the same two catalogs once', async () => {
    const { id: first } = await passFiles(database.url, { '0.sql': 'create table older (id int)' });
    await sql(database.url, 'drop table older');
    const { id } = await degrade();
    await reopen(id, 'a');
    await sql(database.url, 'drop index by_id');
    await reopen(id, 'b');
    await reopen(id, 'b'); // the same wish
    await sql(database.url, 'create table missing ()');
    const end = await reopen(id, 'c');
    expect(end).toMatchObject({
      state: 'succeeded',
      drift_found: [
        { since: first, reopened: false, objects: [OLDER] },
        { since: id, reopened: true, objects: [OLDER] },
        { since: id, reopened: true, objects: [GONE, OLDER] },
        { since: id, reopened: true, objects: [GONE, MADE, OLDER] },
      ],
    });
  });

  it('is told since the deployment that ended last, if another one has come in between', async () => {
    const { id } = await degrade();
    const { id: between } = await passFiles(database.url, { '9.sql': 'create table missing ()' });
    await sql(database.url, 'drop index by_id');
    expect((await reopen(id)).drift_found).toMatchObject([{ since: between, reopened: true, objects: [GONE] }]);
  });

  it('is not what a deployment has changed that is at work', async () => {
    const { id } = await degrade();
    const other = await stageFiles(database.url, {
      'weft.yaml': JSON.stringify({ name: 'other', phases: [{ name: 'main', transaction: 'per-step', steps: [{ run: '*.sql' }] }] }),
      '1.sql': 'create table missing ()',
      '2.sql': AT_THE_GATE,
    });
    const gate = await shutGate(database.url);
    const running = sql(database.url, `call weft.run('${other}')`);
    await gate.reached();
    await reopen(id);
    await gate.open();
    await running;
    expect((await reopen(id)).drift_found).toEqual([]);
  });
});

describe('one that passes another that is half-way', () => {
  it('takes for no drift what that one has changed so far', async () => {
    await passFiles(database.url, { '0.sql': 'create table goods (id int)' });
    const files = { '1.sql': 'create table half ()', '2.sql': 'create index concurrently by_id on goods (id)' };
    const first = await stageFiles(database.url, files, { bundle: 'first', caller: 'first', transaction: 'auto' });
    const [{ result }] = await sql(database.url, `call weft.run('${first}')`);
    expect(result).toMatchObject({ directive: { path: '2.sql' } }); // and its session is gone
    const second = await stageFiles(database.url, { '1.sql': 'create table other ()' }, { bundle: 'second', caller: 'second' });
    const [{ result: passed }] = await sql(database.url, `call weft.run('${second}', p_callers => '{second}')`);
    expect(passed).toMatchObject({ state: 'succeeded', drift_found: [] });
  });
});
