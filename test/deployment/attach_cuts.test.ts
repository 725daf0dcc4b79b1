/** A deployment that is cut behind each of its messages, the installation of the engine among them, comes to its end by itself, once. */
import { describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { startRelay } from '../../src/dev/relay.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { through } from '../database/ways.ts';
import { emptyDatabase } from '../support/database.ts';
import { makeOrder } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

describe('cut after any message', () => {
  it.each([
    { direction: 'to-server', bytes: 100 },
    { direction: 'to-client', bytes: 100 },
    { direction: 'to-server', bytes: LIMITS.chunk_bytes + 1 },
    { direction: 'to-client', bytes: LIMITS.chunk_bytes + 1 },
  ] as const)('$direction, one deploy of $bytes bytes comes to the end, and each effect is there once', async ({ direction, bytes }) => {
    // What takes long is that each one waits before it comes back: so six walk abreast, each with a database and a relay of its own.
    let next = 0;
    let isOver = false;
    const walk = async (): Promise<void> => {
      const its = await emptyDatabase();
      const { hostname, port } = new URL(its.url);
      const itsRelay = await startRelay({ to: { host: hostname, port: Number(port) } });
      let count = 0;
      try {
        while (!isOver) {
          const k = next++;
          const text = `create table journal_${k} (n int); insert into journal_${k} values (1);`;
          const order = await makeOrder({ [`${k}.sql`]: text.padEnd(bytes) }, { bundle: `b${k}` });
          itsRelay.forget();
          let happened = false;
          const fault = itsRelay.plan({ direction, afterMessages: k, how: 'reset', where: ({ number }) => number === itsRelay.connections[0]?.number });
          void fault.fired.then(() => {
            happened = true;
          });
          const { state } = await deploy({
            ...order,
            connect: connectTo(through(itsRelay, 'tcp', its.url)),
            chunksAgain: bytes > LIMITS.chunk_bytes,
            deadlineMs: 50_000,
          }).done;
          fault.cancel();
          count += 1;
          if (!happened) isOver = true;
          expect(state, `cut after ${k} messages`).toBe('succeeded');
          expect(await sql(its.url, `select n from journal_${k}`), `cut after ${k} messages`).toEqual([{ n: 1 }]);
        }
        expect(await sql(its.url, 'select count(*)::int as deployments from weft.deployments')).toEqual([{ deployments: count }]);
      } finally {
        await itsRelay.stop();
        await its.drop();
      }
    };
    await Promise.all(Array.from({ length: 6 }, walk));
    expect(next, 'messages of one deployment').toBeGreaterThan(17);
  });
});
