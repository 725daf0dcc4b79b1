/** A rehearsal beside others: whom it lets wait and for whom it waits, in line, cut, cancelled, and as the catalog founder of every lock. */
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, shutGate, until } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { type Parcel, send } from './support.ts';
import { type PhaseOfWays, packWays, type Ways } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

const pack = (ways: Ways, transaction: PhaseOfWays['transaction'] = 'single', more: PhaseOfWays['more'] = {}) =>
  packWays([{ name: 'main', transaction, ways, more }], { mode: 'rehearse' });

/** As the command line does it: with somebody who looks from a second session. */
function sendLooking(parcel: Parcel) {
  return deploy({
    connect: connectTo({ connectionString: database.url, transport: 'tcp', applicationName: 'weft' }),
    order: { ...parcel.order, mode: 'rehearse' },
    chunks: async function* (wanted) {
      for (const [digest, bytes] of parcel.chunks) if (wanted.has(digest)) yield { digest, bytes };
    },
    deadlineMs: 50_000,
  }).done;
}

async function client(applicationName: string): Promise<pg.Client> {
  const other = new pg.Client({ connectionString: database.url, application_name: applicationName });
  other.on('error', () => undefined);
  await other.connect();
  return other;
}

const looked = 'exists (select from weft._samplings)';

describe('from a second session', () => {
  it('is seen who waits because of a statement, for what and how long', async () => {
    await sql(database.url, 'create table t (n int)');
    const gate = await shutGate(database.url);
    const rehearsing = sendLooking(pack({ '1.sql': { run: `select 1;\nalter table t add m int;\n${AT_THE_GATE}` } }));
    await gate.reached();
    const reader = await client('reader');
    const reading = reader.query('select from t');
    await until(database.url, `exists (select from weft._samples where not is_runner and waits_for = 'public.t')`);
    await gate.open();
    await reading;
    await reader.end();
    const { rehearsal, state } = await rehearsing;
    expect(state).toBe('succeeded');
    expect(rehearsal?.waits).toContainEqual(
      expect.objectContaining({
        who: 'other',
        application: 'reader',
        query: 'select from t',
        waited_for: 'public.t',
        mode: 'AccessShareLock',
        because_of: { path: '1.sql', line: 2 },
      }),
    );
    expect(rehearsal?.waits?.find(({ who }) => who === 'other')?.milliseconds).toBeGreaterThan(0);
    expect(rehearsal?.sampled).toMatchObject({ looks: expect.any(Number), every_milliseconds: 100 });
    expect(rehearsal?.not_shown?.map(({ why }) => why)).not.toContain('waits');
    expect(await sql(database.url, 'select from weft._samples')).toEqual([]);
  });

  it('is seen for whom the rehearsal waits itself', async () => {
    await sql(database.url, 'create table t (n int)');
    const holder = await client('holder');
    await holder.query('begin; lock table t');
    const rehearsing = sendLooking(pack({ '1.sql': { run: 'insert into t values (1)' } }, 'single', { lock_timeout_ms: 60_000 }));
    await until(database.url, 'exists (select from weft._samples where is_runner)');
    await holder.query('rollback');
    await holder.end();
    const { rehearsal } = await rehearsing;
    expect(rehearsal?.waits).toContainEqual(
      expect.objectContaining({ who: 'rehearsal', waited_for: 'public.t', mode: 'RowExclusiveLock', during: { path: '1.sql', line: 1 } }),
    );
    expect(rehearsal?.waits?.[0]?.blocked_by).toEqual([expect.objectContaining({ application: 'holder' })]);
  });

  it('is borne as a deployment bears it: a row that goes to another partition meanwhile (40001) is met in another try', async () => {
    await sql(
      database.url,
      `create table parts (k int, n int) partition by list (k); create table parts_1 partition of parts for values in (1); create table parts_2 partition of parts for values in (2);
       insert into parts values (1, 0)`,
    );
    const holder = await client('holder');
    await holder.query('begin; update parts set k = 2');
    const rehearsing = sendLooking(pack({ '1.sql': { run: 'update parts set n = n + 1' } }, 'single', { lock_timeout_ms: 60_000 }));
    await until(database.url, 'exists (select from weft._samples where is_runner)');
    await holder.query('commit');
    await holder.end();
    expect(await rehearsing).toMatchObject({ state: 'succeeded', error: null });
    expect(await sql(database.url, 'select k, n from parts')).toEqual([{ k: 2, n: 0 }]);
  });

  it('that nobody looked is said', async () => {
    const { rehearsal } = await send(database.url, pack({ '1.sql': { run: 'select 1' } }));
    expect(rehearsal).toMatchObject({ waits: null, sampled: null });
    expect(rehearsal?.not_shown).toContainEqual(expect.objectContaining({ why: 'waits' }));
  });

  it('whoever looks goes when the rehearsal is over', async () => {
    const gate = await shutGate(database.url);
    const rehearsing = sendLooking(pack({ '1.sql': { run: AT_THE_GATE } }));
    await gate.reached();
    await until(database.url, looked);
    await gate.open();
    await rehearsing;
    await until(database.url, `not exists (select from pg_stat_activity where query like 'call weft.sample%')`);
  });
});

describe('like any deployment', () => {
  it('a lock that is not to be had in time is let go of, with all others, and tried again', async () => {
    await sql(database.url, 'create table t (n int); create table u (n int)');
    const holder = await client('holder');
    await holder.query('begin; lock table t');
    const rehearsing = send(database.url, pack({ '1.sql': { run: 'insert into u values (1); insert into t values (1)' } }, 'single', { lock_timeout_ms: 50 }));
    await until(database.url, `exists (select from weft.events where kind = 'lock_not_available')`);
    await holder.query('rollback');
    await holder.end();
    expect(await rehearsing).toMatchObject({ state: 'succeeded', rehearsal: { passes: 1 } });
  });

  it('it stands in line, and what is behind it waits', async () => {
    const gate = await shutGate(database.url);
    const rehearsing = send(database.url, pack({ '1.sql': { run: `create table t (n int); ${AT_THE_GATE}` } }));
    await gate.reached();
    const deploying = send(database.url, packWays([{ name: 'main', transaction: 'single', ways: { '1.sql': { run: 'create table t (n int)' } } }]));
    await until(database.url, `exists (select from weft.deployments where mode = 'apply' and state = 'staged')`);
    await gate.open();
    expect(await rehearsing).toMatchObject({ state: 'succeeded' });
    expect(await deploying).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ state: 'succeeded' }] }] });
  });

  it('it is cancelled in the middle of a statement, and leaves nothing', async () => {
    const gate = await shutGate(database.url);
    const rehearsing = send(database.url, pack({ '1.sql': { run: `create table t (n int); ${AT_THE_GATE}` } }));
    await gate.reached();
    await sql(database.url, `select weft.cancel(id) from weft.deployments`);
    expect(await rehearsing).toMatchObject({ state: 'cancelled' });
    await gate.open();
    expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
  });

  it.runIf(offers('a superuser'))('its backend is killed, and the next call rehearses from the beginning', async () => {
    const gate = await shutGate(database.url);
    const rehearsing = send(database.url, pack({ '1.sql': { run: 'create table t (n int)' }, '2.sql': { run: AT_THE_GATE } }));
    await gate.reached();
    await sql(database.url, 'select pg_terminate_backend(pid, 5000) from weft._lease');
    await gate.open();
    const done = await rehearsing;
    expect(done).toMatchObject({ state: 'succeeded' });
    expect(done.rehearsal?.steps).toHaveLength(2);
    expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
  });

  it('the same request is the same rehearsal', async () => {
    const parcel = pack({ '1.sql': { run: 'select 1' } });
    const [first, again] = [await send(database.url, parcel), await send(database.url, parcel)];
    expect(again.id).toBe(first.id);
    expect(again.rehearsal).toEqual(first.rehearsal);
  });

  it('it is no part of what an undo goes back over, and cannot be undone', async () => {
    await send(database.url, packWays([{ name: 'main', transaction: 'single', ways: { '1.sql': { run: 'create table t (n int)', undo: 'drop table t' } } }]));
    const { id } = await send(database.url, pack({ '1.sql': { run: 'create table t (n int)', undo: 'drop table t' }, '2.sql': { run: 'select 1' } }));
    await expect(sql(database.url, `select weft.undo('${id}')`)).rejects.toMatchObject({ code: 'WF070' });
    const [{ id: undo }] = await sql(database.url, `select weft.undo() ->> 'deployment' as id`);
    expect((await sql(database.url, `call weft.run('${undo}')`))[0].result).toMatchObject({ state: 'succeeded' });
  });
});

describe('kinds of steps', () => {
  it('a check says in a rehearsal what it says in the deployment, before anything else has seen the data', async () => {
    const step = (path: string) => ({ kind: 'check' as const, path });
    const parcel = pack({
      '1.sql': { run: 'create table t (n int); insert into t values (1), (-1), (-2)' },
      'check.sql': { run: 'select n from t where n < 0' },
    });
    const [phase] = parcel.order.manifest.phases;
    if (phase === undefined) throw new Error('there is one');
    const asCheck = (severity: 'error' | 'warn'): Parcel => {
      const manifest = {
        ...parcel.order.manifest,
        phases: [{ ...phase, steps: phase.steps.map((one) => (one.path === 'check.sql' ? { ...step(one.path), severity } : one)) }],
      };
      const request = { ...JSON.parse(Buffer.from(parcel.order.request).toString()), manifest, id: `check-${severity}` };
      return { ...parcel, order: { ...parcel.order, manifest, request: Buffer.from(JSON.stringify(request)) } };
    };
    const warned = await send(database.url, asCheck('warn'));
    expect(warned.rehearsal?.steps[1]).toMatchObject({ kind: 'check', state: 'succeeded', result: { offenders_count: 2 } });
    const vetoed = await send(database.url, asCheck('error'));
    expect(vetoed).toMatchObject({ state: 'failed', error: { sqlstate: 'WF022', path: 'check.sql' } });
  });

  it('a step that may fail is taken back by itself, and named', async () => {
    const ways = {
      '1.sql': { run: 'create table a (n int)' },
      '2.sql': { run: 'create table b (n int); select 1 / 0' },
      '3.sql': { run: `select 'b'::regclass` },
    };
    const parcel = pack({ ...ways, '3.sql': { run: `do $$ begin assert to_regclass('a') is not null and to_regclass('b') is null; end $$` } });
    const [phase] = parcel.order.manifest.phases;
    if (phase === undefined) throw new Error('there is one');
    const manifest = {
      ...parcel.order.manifest,
      phases: [{ ...phase, steps: phase.steps.map((one) => (one.path === '2.sql' ? { ...one, on_error: 'continue' as const } : one)) }],
    };
    const request = { ...JSON.parse(Buffer.from(parcel.order.request).toString()), manifest };
    const done = await send(database.url, {
      ...parcel,
      order: { ...parcel.order, manifest: manifest as never, request: Buffer.from(JSON.stringify(request)) },
    });
    expect(done).toMatchObject({ state: 'degraded', error: null });
    expect(done.rehearsal?.steps.map(({ path, state }) => [path, state])).toEqual([
      ['1.sql', 'succeeded'],
      ['2.sql', 'tolerated'],
      ['3.sql', 'succeeded'],
    ]);
    expect(done.rehearsal?.steps[1]?.error).toMatchObject({ sqlstate: '22012' });
  });

  it('files that need each other are rehearsed in an order that is found, as the deployment finds one', async () => {
    const views = (n: number): Ways => ({
      'a.sql': { run: `create or replace view a as select n + ${n} as n from b`, repeat: 'on-change' },
      'b.sql': { run: `create or replace view b as select ${n} as n from c`, repeat: 'on-change' },
      'c.sql': { run: `create or replace view c as select ${n} as n`, repeat: 'on-change' },
    });
    const first = await send(database.url, pack(views(1)));
    expect(first).toMatchObject({ state: 'succeeded', error: null });
    expect(first.rehearsal?.steps.map(({ path, state }) => `${path} ${state}`).toSorted()).toEqual(['a.sql succeeded', 'b.sql succeeded', 'c.sql succeeded']);
    const stuck = await send(database.url, pack({ 'a.sql': { run: 'create or replace view a as select n from nowhere', repeat: 'on-change' } }));
    expect(stuck).toMatchObject({ state: 'failed', error: { sqlstate: '42P01', path: 'a.sql' } });
    await send(database.url, packWays([{ name: 'main', transaction: 'single', ways: views(1) }]));
    const ways = { '0.sql': { run: 'drop view c cascade; create view c as select 5 as n' }, ...views(1) };
    const again = await send(database.url, pack(ways));
    expect(again).toMatchObject({ state: 'succeeded', error: null });
    expect(again.rehearsal?.steps.filter(({ state }) => state === 'succeeded').map(({ path }) => path)).toEqual(
      expect.arrayContaining(['0.sql', 'a.sql', 'b.sql']),
    );
    expect(await sql(database.url, 'select n from a')).toEqual([{ n: 2 }]);
  });

  it('a file with rows behind a COPY is rehearsed as a whole', async () => {
    const ways = { '1.sql': { run: 'create table t (n int);\ncopy t (n) from stdin;\n1\n2\n\\.\nselect 1;\n' }, '2.sql': { run: 'insert into t values (3)' } };
    for (const transaction of ['single', 'auto'] as const) {
      const done = await send(database.url, pack(ways, transaction));
      expect(done).toMatchObject({ state: 'succeeded', error: null });
      expect(done.rehearsal?.steps.map(({ path, state }) => [path, state])).toEqual([
        ['1.sql', 'succeeded'],
        ['2.sql', 'succeeded'],
      ]);
    }
    expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
  });

  it('a file that an earlier deployment has run half-way goes on there, and its half stays remembered', async () => {
    const half = { '1.sql': { run: 'create table h (n int); insert into h values (1); select 1 / (select count(*) from ready)' } };
    await sql(database.url, 'create table ready ()');
    await send(database.url, packWays([{ name: 'main', transaction: 'none', ways: half }]));
    const failed = await send(database.url, pack(half, 'none'));
    expect(failed).toMatchObject({ state: 'failed', error: { sqlstate: '22012', path: '1.sql' } });
    await sql(database.url, 'alter table ready add n int; insert into ready values (1)');
    const done = await send(database.url, pack(half, 'none'));
    expect(done).toMatchObject({ state: 'succeeded' });
    expect(done.rehearsal?.steps[0]?.statements?.map(({ number }) => number)).toEqual([3]);
    expect(await sql(database.url, 'select count(*)::int from h')).toEqual([{ count: 1 }]);
    expect(await send(database.url, packWays([{ name: 'main', transaction: 'none', ways: half }]))).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, 'select count(*)::int from h')).toEqual([{ count: 1 }]);
  });
});
