/** Waits on the network: how often the client of the session that carries a deployment idles until the server answers. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { through, type Way, ways } from '../database/ways.ts';
import { emptyDatabase, type TestDatabase, testServer } from '../support/database.ts';
import { makeOrder, type OrderOptions, stageFiles } from '../support/orders.ts';

let relay: Relay;

beforeAll(async () => {
  const { hostname, port } = new URL((await testServer()).url);
  // Latency, so that what is sent behind an answer is seen to be behind it.
  relay = await startRelay({ to: { host: hostname, port: Number(port) }, delayMs: 5 });
});

afterAll(() => relay.stop());

/** So many files, of so many bytes all together. */
function files(count: number, bytes: number): Record<string, string> {
  const made: Record<string, string> = {};
  for (let n = 0; n < count; n++) {
    const path = `${String(n).padStart(3, '0')}.sql`;
    made[path] = `create table t_${n} (n int);`.padEnd(bytes / count, '-');
  }
  return made;
}

describe.each(ways)('over %s', (way) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await emptyDatabase();
  });

  afterEach(() => database.drop());

  async function waitsOf(named: Readonly<Record<string, string>>, options: OrderOptions): Promise<number> {
    const { order, chunks } = await makeOrder(named, options);
    relay.forget();
    const { done } = deploy({ connect: connectTo(through(relay, way as Way, database.url)), order, chunks, deadlineMs: 50_000 });
    expect(await done).toMatchObject({ state: 'succeeded', error: null });
    const [session] = relay.connections;
    expect(session?.startup.application_name).toBe('weft');
    const toConnect = 3; // start-up, and two messages of SCRAM
    return (session?.waits ?? 0) - toConnect;
  }

  const small = LIMITS.chunk_bytes;
  const large = LIMITS.chunk_bytes + 500;

  it.each([
    { transaction: 'single', bytes: small, engine: true, waits: 1 },
    { transaction: 'per-step', bytes: small, engine: true, waits: 1 },
    { transaction: 'single', bytes: large, engine: true, waits: 2 },
    { transaction: 'single', bytes: small, engine: false, waits: 3 },
    { transaction: 'single', bytes: large, engine: false, waits: 4 },
  ] as const)(
    '$transaction, $bytes bytes, engine installed: $engine: $waits behind the connect, for 5 files as for 500',
    async ({ transaction, bytes, engine, waits }) => {
      const counts: number[] = [];
      for (const count of [5, 500]) {
        await database.drop();
        database = await emptyDatabase();
        if (engine) await stageFiles(database.url, { 'installs.sql': '' }, { bundle: 'other' });
        counts.push(await waitsOf(files(count, bytes), { transaction }));
      }
      expect(counts).toEqual([waits, waits]);
    },
  );

  it('a request that is repeated waits once to learn so, and once for the answer', async () => {
    await stageFiles(database.url, { 'installs.sql': '' }, { bundle: 'other' });
    expect(await waitsOf(files(5, small), { id: 'same' })).toBe(1);
    expect(await waitsOf(files(5, small), { id: 'same' })).toBe(2);
  });
});
