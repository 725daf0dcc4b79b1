/**
 * The whole way: the Worker in workerd, a relay that counts and disturbs, and databases of its own on a real server: staging over
 * WebSocket, staging-tcp over TCP, and production, of which there is only the address.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { type LocalWorker, startWorker, type WorkerOptions } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { makeRequests, type Requests } from '../http/requests.ts';
import { emptyDatabase, type TestDatabase, withDatabase } from '../support/database.ts';

export interface World {
  readonly worker: LocalWorker;
  readonly relay: Relay;
  readonly database: TestDatabase;
  /** A plain session in staging, to look at what came of it. */
  readonly client: pg.Client;
  /** Requests that this Worker understands. */
  readonly requests: Requests;
  /** Of its callers, by their names. */
  readonly secrets: Readonly<Record<'ci' | 'watcher' | 'reader' | 'stranger', string>>;
  /** What the Worker has written to its console. */
  readonly lines: string[];
  /** Ends workerd with all that it holds, and starts another one at the same address. */
  replaceWorker(): Promise<void>;
  send(path: string, init: RequestInit): Promise<{ answer: Response; document: AnyDocument }>;
  /** The number of rows. */
  count(table: string): Promise<number>;
  /** How many sessions the Worker holds open. */
  openSessions(): number;
  stop(): Promise<void>;
}

// biome-ignore lint/suspicious/noExplicitAny: a test looks into documents freely
export type AnyDocument = any;

export interface WorldOptions extends Pick<WorkerOptions, 'aftercare' | 'entry' | 'engine' | 'rates'> {
  /** More bindings. */
  readonly variables?: WorkerOptions['secrets'];
  /** Whether the Worker has a key to encrypt secret parameters with. */
  readonly seals?: boolean;
  /** More callers and grants, and the environments of the targets staging and staging-tcp. */
  readonly more?: {
    readonly callers?: object;
    readonly grants?: readonly object[];
    readonly environment?: object;
    readonly environmentOfTcp?: object;
  };
  /** Whether the schedule looks at staging each time. */
  readonly scheduled?: boolean;
}

export async function openWorld({ variables = {}, seals = false, scheduled = false, more = {}, ...options }: WorldOptions = {}): Promise<World> {
  const [database, tcpDatabase] = await Promise.all([emptyDatabase(), emptyDatabase()]);
  const { hostname: host, port } = new URL(database.url);
  const relay = await startRelay({ to: { host, port: Number(port) } });
  const overTcp = new URL(tcpDatabase.url);
  overTcp.host = `127.0.0.1:${relay.tcpPort}`;
  const websocket = { transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true };
  const secrets = { ci: generateSecret(), watcher: generateSecret(), reader: generateSecret(), stranger: generateSecret() };
  const lines: string[] = [];
  const workerOptions: WorkerOptions = {
    config: {
      targets: {
        staging: { database: 'STAGING_URL', ...websocket, ...(scheduled ? { scheduled } : {}), ...(more.environment && { environment: 'live' }) },
        'staging-tcp': { database: 'STAGING_TCP_URL', transport: 'tcp', ...(more.environmentOfTcp && { environment: 'guarded' }) },
        production: { database: 'PRODUCTION_URL', ...websocket },
      },
      environments: { ...(more.environment && { live: more.environment }), ...(more.environmentOfTcp && { guarded: more.environmentOfTcp }) },
      callers: { ...more.callers, ci: { secrets: ['CI_SECRET'] }, watcher: { secrets: ['WATCHER_SECRET'] }, reader: { secrets: ['READER_SECRET'] } },
      grants: [
        { caller: 'ci', targets: ['staging*'], actions: ['deploy', 'baseline', 'accept_drift', 'forget', 'resume', 'cancel', 'undo', 'read'] },
        { caller: 'watcher', targets: ['*'], actions: ['deploy'] },
        { caller: 'reader', targets: ['*'], actions: ['read'] },
        ...(more.grants ?? []),
      ],
      ...(seals ? { sealing_key: 'SEALING_KEY' } : {}),
    },
    secrets: {
      STAGING_URL: database.url,
      STAGING_TCP_URL: overTcp.href,
      PRODUCTION_URL: withDatabase(database.url, 'weft_test_production'),
      CI_SECRET: secrets.ci,
      WATCHER_SECRET: secrets.watcher,
      READER_SECRET: secrets.reader,
      SEALING_KEY: generateSecret(),
      ...variables,
    },
    onLog: (line) => lines.push(line),
    ...options,
  };
  let worker = await startWorker(workerOptions);
  const client = await database.client();
  return {
    get worker() {
      return worker;
    },
    async replaceWorker() {
      await worker.stop();
      worker = await startWorker({ ...workerOptions, port: Number(new URL(worker.origin).port) });
    },
    relay,
    database,
    client,
    requests: makeRequests({ origin: worker.origin, secrets, now: () => Date.now(), makeId: randomUUID }),
    secrets,
    lines,
    async send(path, init) {
      const answer = await worker.fetch(path, init);
      return { answer, document: await answer.json() };
    },
    count: async (table) => Number((await client.query(`select count(*) as count from ${table}`)).rows[0].count),
    openSessions: () => relay.connections.filter(({ open }) => open).length,
    async stop() {
      await worker.stop();
      await client.end();
      await relay.stop();
      await Promise.all([database.drop(), tcpDatabase.drop()]);
    },
  };
}

/**
 * Counts sessions of the database of staging that come from now on, again and again, until it is stopped.
 * @param milliseconds for which it counts at most
 * @returns the most that there were at once
 */
export function watchBackends({ client }: Pick<World, 'client'>, milliseconds = Number.POSITIVE_INFINITY): () => Promise<number> {
  const endAt = Date.now() + milliseconds;
  let isStopped = false;
  let most = 0;
  const watching = (async () => {
    // What the test itself has closed just before may not have gone yet, and autovacuum comes and goes.
    const [{ now }] = (await client.query('select clock_timestamp()::text as now')).rows;
    const ofOthers = `select count(*)::int as count from pg_stat_activity
      where datname = current_database() and backend_type = 'client backend' and backend_start > $1::timestamptz and pid <> pg_backend_pid()`;
    while (!isStopped && Date.now() < endAt) {
      const { rows } = await client.query(ofOthers, [now]);
      most = Math.max(most, rows[0].count);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  return async () => {
    isStopped = true;
    await watching;
    return most;
  };
}
