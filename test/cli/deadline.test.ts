/** What --deadline promises: an answer by then, whatever it is that is waited for, and what is to be said of the deployment. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterEach, expect, it, vi } from 'vitest';
import type { ConnectOptions } from '../../src/database/connect.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { freshDatabase } from '../support/database.ts';
import { makeFolder } from './folder.ts';
import { run } from './run.ts';

const connected: ConnectOptions[] = [];
vi.mock('../../src/database/connect.ts', async (original) => {
  const { connectTo } = await original<typeof import('../../src/database/connect.ts')>();
  return {
    connectTo: (options: ConnectOptions) => {
      connected.push(options);
      return connectTo(options);
    },
  };
});

afterEach(() => {
  vi.useRealTimers();
  connected.length = 0;
});

const UNANSWERED =
  'The time was over before there was an answer. If everything has arrived in the database, it goes on there; if not, nothing runs. To attach again, or go on where this stopped, repeat it with --id run-1: it is the same deployment. To look: weft status.';

const folder = () => makeFolder({ '1.sql': 'select 1;' });

it.each([
  ['a small bundle', () => folder()],
  ['a large one, which is asked about first', () => makeFolder({ '1.sql': `select 1;${' '.repeat(7_000_000)}` })],
])('ends the waiting for a Worker that takes a request and does not answer, and says how to go on: %s', async (_, bundle) => {
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const env = { WEFT_URL: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`, WEFT_TARGET: 'shop', WEFT_SECRET: generateSecret() };
  const ended = await run(['deploy', bundle(), '--deadline', '1', '--id', 'run-1', '--json'], { env });
  silent.close();
  silent.closeAllConnections();
  expect([ended.code, ended.json().problem]).toEqual([3, expect.objectContaining({ type: 'urn:weft:problem:interrupted', id: 'run-1', detail: UNANSWERED })]);
});

it('ends the waiting for a database that is connected and does not answer, with the same words', async () => {
  const database = await freshDatabase();
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  await holder.query('begin; lock table weft._deployments in access exclusive mode');
  const ended = await run(['deploy', folder(), '--deadline', '1', '--id', 'run-1', '--json'], { env: { DATABASE_URL: database.url } });
  await holder.end();
  await database.drop();
  expect([ended.code, ended.json().problem.detail]).toEqual([3, UNANSWERED]);
});

it('is what all attempts to connect share, a last look at its end apart', async () => {
  const begunMs = Date.now();
  await run(['deploy', folder(), '--deadline', '20'], { env: { DATABASE_URL: 'postgres://u:p@127.0.0.1:1/d' }, signal: AbortSignal.abort() });
  const [{ deadlineMs } = {}] = connected;
  const leftAt = (seconds: number): unknown => {
    vi.useFakeTimers({ toFake: ['Date'], now: begunMs + seconds * 1000 });
    return typeof deadlineMs === 'function' ? Math.floor(deadlineMs() / 1000) : deadlineMs;
  };
  expect([10, 19, 40].map(leftAt)).toEqual([10, 2, 2]);
});
