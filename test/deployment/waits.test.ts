/** Waits on the network: how often the client of the session that carries a deployment idles until the server answers. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { through, type Way, ways } from '../database/ways.ts';
import { freshDatabase, type TestDatabase, testServer } from '../support/database.ts';
import { makeOrder, type OrderOptions, stageFiles } from '../support/orders.ts';

let relay: Relay;

beforeAll(async () => {
  const { hostname, port } = new URL((await testServer()).url);
  // Latency, so that what is sent behind an answer is seen to be behind it.
  relay = await startRelay({ to: { host: hostname, port: Number(port) }, delayMs: 5 });
});

afterAll(() => relay.stop());

const BYTES_COUNT = 250_000;

/** So many files, of the same size all together. */
function files(count: number): Record<string, string> {
  const made: Record<string, string> = {};
  for (let n = 0; n < count; n++) {
    const path = `${String(n).padStart(3, '0')}.sql`;
    made[path] = `create table t_${n} (n int);`.padEnd(BYTES_COUNT / count, '-');
  }
  return made;
}

describe.each(ways)('over %s', (way) => {
  beforeEach(() => relay.forget());

  async function waitsOf(database: TestDatabase, count: number, options: OrderOptions, answerWhenStaged: boolean): Promise<number> {
    const { order, chunks } = await makeOrder(files(count), options);
    relay.forget();
    const deadlineMs = 50_000;
    const { done } = deploy({ connect: connectTo(through(relay, way as Way, database.url)), order, chunks, answerWhenStaged, deadlineMs });
    expect(await done).toMatchObject({ state: 'succeeded', error: null });
    const [session] = relay.connections;
    expect(session?.startup.application_name).toBe('weft');
    return session?.waits ?? 0;
  }

  it.each([
    { transaction: 'single', answerWhenStaged: false, waits: 2 },
    { transaction: 'per-step', answerWhenStaged: false, waits: 2 },
    { transaction: 'single', answerWhenStaged: true, waits: 3 },
  ] as const)(
    '$transaction: as many for 500 files as for 5 of the same total size: $waits behind the connect',
    async ({ transaction, answerWhenStaged, waits }) => {
      const counts: number[] = [];
      for (const count of [5, 500]) {
        const database = await freshDatabase();
        await stageFiles(database.url, { 'installs.sql': '' }, { bundle: 'other' });
        counts.push(await waitsOf(database, count, { transaction }, answerWhenStaged));
        await database.drop();
      }
      const toConnect = 3; // start-up, and two messages of SCRAM
      expect(counts).toEqual([toConnect + waits, toConnect + waits]);
    },
  );

  it('a request that is repeated waits no more often than at first', async () => {
    const database = await freshDatabase();
    await stageFiles(database.url, { 'installs.sql': '' }, { bundle: 'other' });
    const first = await waitsOf(database, 5, { id: 'same' }, true);
    expect(await waitsOf(database, 5, { id: 'same' }, true)).toBeLessThanOrEqual(first);
    await database.drop();
  });
});
