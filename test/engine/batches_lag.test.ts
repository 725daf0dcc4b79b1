/** A batch and a standby that lags: a client that takes the WAL as a standby does, and says late, or never again, that it has replayed it. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { setLimits } from '../support/limits.ts';
import { stageFiles, until } from '../support/orders.ts';
import { type OwnServer, startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

interface WireOfClient {
  readonly connection: {
    readonly stream: { destroy(): void };
    query(text: string): void;
    sendCopyFromChunk(chunk: Buffer): void;
    on(event: string, listener: (message: unknown) => void): void;
    once(event: string, listener: (message: unknown) => void): void;
  };
}

/** Takes the WAL from here on. @returns how it says that all of that is replayed, and how it goes */
async function startStandby(url: string): Promise<{ replayed(): Promise<void>; stop(): void }> {
  const client = new pg.Client({ connectionString: url, replication: 'true', application_name: 'the standby' } as pg.ClientConfig);
  client.on('error', () => undefined);
  await client.connect();
  const { connection } = client as unknown as WireOfClient;
  const [{ lsn }] = await sql(url, 'select pg_current_wal_flush_lsn()::text as lsn');
  const started = new Promise((resolve) => connection.once('replicationStart', resolve));
  connection.on('copyData', () => undefined);
  connection.query(`START_REPLICATION PHYSICAL ${lsn}`);
  await started;
  return {
    replayed: async () => {
      const [row] = await sql(url, `select pg_current_wal_flush_lsn() - '0/0'::pg_lsn as bytes`);
      // a standby status update (PostgreSQL manual, 54.4): written, flushed and replayed up to here
      const message = Buffer.alloc(34);
      message.write('r');
      for (const at of [1, 9, 17]) message.writeBigInt64BE(BigInt(row.bytes), at);
      connection.sendCopyFromChunk(message);
    },
    stop: () => connection.stream.destroy(),
  };
}

describe.runIf(offers('servers to kill'))('while a standby lags', () => {
  let server: OwnServer;
  beforeAll(async () => {
    server = await startOwnServer({ wal_sender_timeout: '0' });
  });
  afterAll(() => server?.postgres.stop());

  it('the next round waits for it, so long and no longer; and that is told once', async () => {
    const url = await server.createDatabase();
    await sql(server.postgres.url, 'grant pg_monitor to weft_test');
    await sql(url, 'create table t (id int primary key, n int); insert into t select generate_series(1, 300)');
    const files = {
      'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'p', steps: [{ batch: '1.sql', size: 100, max_lag: '200ms' }] }] }),
      '1.sql': 'update t set n = 1 where id in (select id from t where n is null order by id limit :size)',
    };
    const id = await stageFiles(url, files);
    await setLimits(url, { batch_lag_wait_ms_max: 1500 });
    const standby = await startStandby(server.postgres.url);
    await sql(url, 'create table some_wal as select generate_series(1, 1000)');
    await sleep(800);
    await standby.replayed();
    await until(url, `(select replay_lag from pg_stat_replication) > interval '500 ms'`);
    const [{ result }] = await sql(url, `call weft.run('${id}')`);
    standby.stop();
    expect(result).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 300, batch: { rounds: 3 } }] }] });
    const told = await sql(url, `select kind, data from weft.events where kind like 'batch_%throttled'`);
    expect(told).toMatchObject([{ kind: 'batch_throttled', data: { why: 'a standby lags', standby: 'the standby', max_lag_ms: 200, rounds: 1 } }]);
    expect(result.phases[0].steps[0].batch.paused_ms, 'two seconds behind each of three rounds').toBe(6000);
    await sql(server.postgres.url, 'revoke pg_monitor from weft_test');
  });

  it('a role that may not see the lag waits for nobody', async () => {
    const url = await server.createDatabase();
    const standby = await startStandby(server.postgres.url);
    await sql(url, 'create table some_wal as select generate_series(1, 1000)');
    await sleep(300);
    await standby.replayed();
    const id = await stageFiles(url, { '1.sql': 'select 1' });
    await until(server.postgres.url, `(select replay_lag from pg_stat_replication) is not null`);
    expect(await sql(url, 'select weft._find_lagging(1) as lagging')).toEqual([{ lagging: null }]);
    expect(id).toEqual(expect.any(String));
    standby.stop();
  });
});
