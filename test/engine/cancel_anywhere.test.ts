/**
 * One request to cancel, from any session, wherever a run is: at work, waiting for a lock, waiting for others, pausing, standing in line. Nothing here
 * comes to its end by itself, so what ends has seen the request. The client of the run is gone, which makes nothing easier; with one that is there:
 * cancel.test.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deploy } from '../../src/deployment/deploy.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { connectOver, deployFiles, makeOrder, type OrderOptions, stageFiles, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { expectNothingHalfMade, hold } from './cells.ts';

let database: TestDatabase;
let others: { end(): Promise<unknown> }[];

beforeEach(async () => {
  database = await freshDatabase();
  others = [];
  await sql(
    database.url,
    'create table journal (n int); create table wanted (n int); create table items (id int primary key, n int); insert into items select generate_series(1, 300)',
  );
});

afterEach(async () => {
  await Promise.all(others.map((other) => other.end()));
  await database.drop();
});

const hour_ms = 3_600_000;
const RUNNER = (of: string) => `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where ${of})`;
const SLEEPS = RUNNER(`a.wait_event = 'PgSleep'`);
const WAITS = RUNNER(`a.wait_event_type = 'Lock'`);

interface Place {
  readonly files: Readonly<Record<string, string>>;
  readonly options?: OrderOptions;
  /** What keeps it there. */
  readonly prepare?: () => Promise<unknown>;
  readonly isThere: string;
  /** What of journal is in the database then. */
  readonly left: readonly number[];
}

const lockWanted = async () => {
  const client = await database.client();
  others.push(client);
  await client.query('begin; lock table wanted');
};
const phases = (phase: object) => JSON.stringify({ name: 'shop', phases: [{ name: 'main', lock_timeout: '1h', ...phase }] });
/** Three rounds, of which each has a row in the journal. */
const batch = (words: object = {}, statement?: string) => ({
  'weft.yaml': phases({ steps: [{ batch: 'fill.sql', size: 100, ...words }] }),
  'fill.sql':
    statement ??
    'with touched as (update items set n = 1 where id in (select id from items where n is null order by id limit :size) returning id), noted as (insert into journal select count(*) from touched) select id from touched',
});

const PLACES: Record<string, Place> = {};
for (const transaction of ['single', 'per-step', 'none', 'auto'] as const) {
  const left = transaction === 'single' ? [] : [1];
  PLACES[`in a statement (${transaction})`] = {
    files: { '1.sql': 'insert into journal values (1);', '2.sql': 'select pg_sleep(3600);' },
    options: { transaction },
    isThere: SLEEPS,
    left,
  };
  PLACES[`waiting for a lock (${transaction})`] = {
    files: { '1.sql': 'insert into journal values (1);', '2.sql': 'insert into wanted values (1);' },
    options: { transaction },
    prepare: lockWanted,
    isThere: WAITS,
    left,
  };
  if (transaction === 'per-step' || transaction === 'auto') continue; // the same wait
  PLACES[`between two tries for a lock (${transaction})`] = {
    files: { '1.sql': 'insert into journal values (1);', '2.sql': 'insert into wanted values (1);' },
    options: { transaction, lockTimeout: '10ms' },
    prepare: async () => {
      await lockWanted();
      await setLimits(database.url, { lock_wait_between_ms: hour_ms, lock_wait_between_ms_max: hour_ms });
    },
    isThere: `${SLEEPS} and exists (select from weft.events where kind = 'lock_not_available')`,
    left,
  };
}
Object.assign(PLACES, {
  'in a load that waits for its table': {
    files: { 'weft.yaml': phases({ transaction: 'per-step', steps: [{ load: 'rows.csv', into: 'wanted' }] }), 'rows.csv': 'n\n1\n2\n' },
    prepare: lockWanted,
    isThere: WAITS,
    left: [],
  },
  'in a check, before the commit': {
    files: {
      'weft.yaml': phases({ transaction: 'single', steps: [{ run: '1.sql' }], checks: ['check.sql'] }),
      '1.sql': 'insert into journal values (1);',
      'check.sql': 'select 1 from pg_sleep(3600)',
    },
    isThere: SLEEPS,
    left: [],
  },
  'in the condition of a step': {
    files: {
      'weft.yaml': phases({ transaction: 'per-step', steps: [{ run: '1.sql' }, { run: '2.sql', when: '(select true from pg_sleep(3600))' }] }),
      '1.sql': 'insert into journal values (1);',
      '2.sql': 'insert into journal values (2);',
    },
    isThere: SLEEPS,
    left: [1],
  },
  'in a repeatable file that waits for a lock': {
    files: {
      'weft.yaml': phases({ transaction: 'single', steps: [{ run: '*.sql', repeat: 'on-change' }] }),
      '1.sql': 'create or replace view one as select 1 as one;',
      '2.sql': 'insert into journal values (1); insert into wanted values (1);',
    },
    prepare: lockWanted,
    isThere: WAITS,
    left: [],
  },
  'in a round of a batch that waits for a row': {
    files: batch(),
    prepare: async () => {
      const client = await database.client();
      others.push(client);
      await client.query('begin; update items set n = 7 where id = 150');
    },
    isThere: WAITS,
    left: [100],
  },
  'in the pause of a batch': { files: batch({ pause: '1h' }), isThere: `${SLEEPS} and (select rounds from weft.batches) = 1`, left: [100] },
  'in the pause behind a round for which others had to wait': {
    files: batch(),
    prepare: async () => {
      const [{ text }] = await sql(database.url, `select pg_get_functiondef('weft._list_waiting()'::regprocedure) as text`);
      await sql(
        database.url,
        text.replace(/AS \$function\$[\s\S]*\$function\$/, `AS $function$ select '[{"pid": 1}]'::jsonb $function$`).replace('LANGUAGE plpgsql', 'LANGUAGE sql'),
      );
      await setLimits(database.url, { batch_yield_ms: hour_ms });
    },
    isThere: `${SLEEPS} and (select rounds from weft.batches) = 1`,
    left: [100],
  },
  'in a batch that waits for a standby': {
    files: batch(),
    prepare: async () => {
      const [{ text }] = await sql(database.url, `select pg_get_functiondef('weft._find_lagging(integer)'::regprocedure) as text`);
      await sql(
        database.url,
        text
          .replace(/AS \$function\$[\s\S]*\$function\$/, `AS $function$ select '{"standby": "far away"}'::jsonb $function$`)
          .replace('LANGUAGE plpgsql', 'LANGUAGE sql'),
      );
      await setLimits(database.url, { batch_lag_wait_ms_max: hour_ms });
    },
    isThere: `${SLEEPS} and exists (select from weft.events where kind = 'batch_throttled')`,
    left: [100],
  },
  'in a batch whose done_when is not true yet': {
    files: batch({ done_when: 'false' }),
    prepare: () => setLimits(database.url, { lock_wait_between_ms: hour_ms, lock_wait_between_ms_max: hour_ms }),
    isThere: `${SLEEPS} and (select sweeps from weft._batches) = 1`,
    left: [0, 100, 100, 100],
  },
  'waiting for a stranger who builds the same index': {
    files: { '1.sql': 'create index concurrently if not exists items_n on items (n);' },
    options: { transaction: 'none' },
    prepare: async () => {
      others.push(await hold(database.url, 'snapshot'));
      const builder = await database.client();
      others.push({ end: () => builder.end() });
      builder.query('create index concurrently items_n on items (n)').catch(() => undefined);
      await until(database.url, `exists (select from pg_index where indexrelid::regclass::text = 'items_n')`);
    },
    isThere: `exists (select from weft.events where kind = 'waiting_for_others')`,
    left: [],
  },
  'in a rehearsal': {
    files: { '1.sql': 'insert into journal values (1);', '2.sql': 'select pg_sleep(3600);' },
    options: { mode: 'rehearse' },
    isThere: SLEEPS,
    left: [],
  },
} satisfies Record<string, Place>);

/** A CALL from a client of its own, in the middle of which the client may go. */
async function call(id: string): Promise<{ over: Promise<unknown>; lose(): void }> {
  const client = await database.client();
  client.on('error', () => undefined);
  const over = client.query(`call weft.run('${id}')`).then(
    ({ rows }) => rows[0].result,
    () => undefined,
  );
  others.push({ end: () => client.end().catch(() => undefined) });
  return { over, lose: () => (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy() };
}

const isCancelled = (id: string) => `(select state = 'cancelled' from weft.deployments where id = '${id}')`;
const isFree = 'not exists (select from weft._lease as l join pg_stat_activity as a using (pid) where l.pid is not null and a.backend_start = l.backend_start)';
const CANCELLED = { state: 'cancelled', error: { sqlstate: '57014', message: 'Cancelled by somebody.' } };

describe('a deployment whose client is gone is cancelled by one request', () => {
  it.each(Object.entries(PLACES))('%s', async (_where, { files, options, prepare, isThere, left }) => {
    const id = await stageFiles(database.url, files, options);
    await prepare?.();
    const { lose } = await call(id);
    await until(database.url, isThere, 'it is there');
    lose();
    await sql(database.url, `select weft.cancel('${id}', 'somebody')`);
    await until(database.url, `${isCancelled(id)} and ${isFree}`, 'it is cancelled, and nobody at work');
    expect((await sql(database.url, 'select n from journal order by n')).map(({ n }) => n)).toEqual(left);
    for (const other of others.splice(0)) await other.end();
    // a stranger's build goes on without its client, now that nobody stands in its way
    await until(database.url, 'not exists (select from pg_stat_progress_create_index where datname = current_database())', 'no stranger builds any more');
    await expectNothingHalfMade(database.url);
  });
});

describe('an undo', () => {
  it('is cancelled in the middle, and what it was to take back is there', async () => {
    const yaml = phases({ transaction: 'single', steps: [{ run: '1.sql', undo: 'undo.sql' }] });
    const done = await deployFiles(connectOver(database.url), {
      'weft.yaml': yaml,
      '1.sql': 'create table made ();',
      'undo.sql': 'drop table made; select pg_sleep(3600);',
    });
    const [{ id }] = await sql(database.url, `select weft.undo('${done.id}') ->> 'deployment' as id`);
    const { over } = await call(id);
    await until(database.url, SLEEPS);
    await sql(database.url, `select weft.cancel('${id}', 'somebody')`);
    expect(await over).toMatchObject(CANCELLED);
    expect(await sql(database.url, `select to_regclass('made') is not null as made, (select count(*)::int from weft.history) as files`)).toEqual([
      { made: true, files: 1 },
    ]);
  });
});

describe('in line behind another one, whose CALL runs both', () => {
  const ahead = { '1.sql': 'insert into journal values (1); select pg_sleep(3600);' };

  it('the second is cancelled at once, and the first goes on', async () => {
    const first = await stageFiles(database.url, ahead, { bundle: 'first' });
    const second = await stageFiles(database.url, { '1.sql': 'insert into journal values (2);' }, { bundle: 'second' });
    const { over } = await call(second);
    await until(database.url, SLEEPS);
    expect((await sql(database.url, `select weft.cancel('${second}', 'somebody') as answer`))[0].answer).toMatchObject(CANCELLED);
    await until(database.url, SLEEPS, 'the first is at work still');
    await sql(database.url, `select weft.cancel('${first}', 'somebody')`);
    expect(await over).toMatchObject({ id: second, ...CANCELLED });
    expect(await sql(database.url, 'select n from journal')).toEqual([]);
  });

  it('the first is cancelled, and the second goes on', async () => {
    const first = await stageFiles(database.url, ahead, { bundle: 'first' });
    const second = await stageFiles(database.url, { '1.sql': 'insert into journal values (2);' }, { bundle: 'second' });
    const { over } = await call(second);
    await until(database.url, SLEEPS);
    await sql(database.url, `select weft.cancel('${first}', 'somebody')`);
    expect(await over).toMatchObject({ id: second, state: 'succeeded' });
    expect(await sql(database.url, 'select n from journal')).toEqual([{ n: 2 }]);
  });
});

describe('while its files are on their way', () => {
  it('a deployment is cancelled, and whoever sends it is told when the next of them arrives', async () => {
    const big = `-- ${'x'.repeat(LIMITS.chunk_bytes)}\n`;
    const { order, chunks } = await makeOrder({ '1.sql': big, '2.sql': 'insert into journal values (1);' });
    let goOn: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const slow = async function* (wanted: ReadonlySet<string>) {
      let count = 0;
      for await (const chunk of chunks(wanted)) {
        if (count++ === 1) await gate;
        yield chunk;
      }
    };
    const { done } = deploy({ connect: connectOver(database.url), order, chunks: slow, deadlineMs: 50_000 });
    await until(database.url, `(select count(*) from weft._deployments where state = 'open') = 1`);
    const [{ id }] = await sql(database.url, 'select id from weft.deployments');
    expect((await sql(database.url, `select weft.cancel('${id}', 'somebody') as answer`))[0].answer).toMatchObject(CANCELLED);
    goOn();
    expect(await done).toMatchObject({ id, ...CANCELLED });
    expect(await sql(database.url, 'select n from journal')).toEqual([]);
  });
});
