/** Whoever watches a CALL from a second session asks for the whole document only where it can have changed, and knows it when the time is over. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Connect, Message, Session } from '../../src/database/session.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { Problem } from '../../src/domain/problem.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, makeOrder, shutGate } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(() => database.drop());

const FILES = {
  'weft.yaml': 'name: shop\nphases: [{ name: main, transaction: per-step, steps: [{ run: "*.sql" }] }]\n',
  '1.sql': 'create table journal (n int);',
  '2.sql': `select 1; ${AT_THE_GATE}`,
  '3.sql': 'insert into journal values (3);',
};

/** How often the engine was asked for the whole document, and for what changes. */
function counting(connect: Connect): { connect: Connect; asked: Record<'status' | 'glance', number> } {
  const asked = { status: 0, glance: 0 };
  const count = (text: string): void => {
    if (text.includes('weft.status(')) asked.status++;
    if (text.includes('weft.glance(')) asked.glance++;
  };
  const counted = (session: Session): Session => ({
    announcedPid: session.announcedPid,
    pipeline: (messages, onReply) => {
      if (Array.isArray(messages)) for (const message of messages as Message[]) if ('text' in message) count(message.text);
      return session.pipeline(messages, onReply);
    },
    query: (text, values) => {
      count(text);
      return session.query(text, values);
    },
    close: () => session.close(),
  });
  return { connect: async (...words) => counted(await connect(...words)), asked };
}

it('is told again and again who is at work, and reads the document once while nothing is committed', async () => {
  const gate = await shutGate(database.url);
  const { connect, asked } = counting(connectOver(database.url));
  const seen: Deployment[] = [];
  const { done } = deploy({ connect, ...(await makeOrder(FILES)), onStatus: (deployment) => seen.push(deployment), deadlineMs: 50_000 });
  await expect.poll(() => seen.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(3);
  expect(asked.status).toBe(1);
  expect(asked.glance).toBeGreaterThanOrEqual(3);
  expect(seen.map(({ state, live }) => [state, live?.path])).toEqual(seen.map(() => ['running', '2.sql']));
  expect(seen.at(-1)).toEqual({ ...seen[0], live: seen.at(-1)?.live });
  await gate.open();
  expect((await done).state).toBe('succeeded');
});

for (const how of ['full', 'silent'] as const)
  it(`at the deadline, what was seen is told also where the server is ${how} by then, and nobody has asked to be told meanwhile`, async () => {
    const gate = await shutGate(database.url);
    const real = connectOver(database.url);
    let connections = 0;
    const connect: Connect = async (...words) => {
      connections += 1;
      if (connections <= 2) return real(...words); // that of the CALL, and that of who watches it
      if (how === 'full') throw new Problem('no_free_connection', 'test');
      return new Promise(() => undefined);
    };
    const end = await deploy({ connect, ...(await makeOrder(FILES)), deadlineMs: 12_000 }).done;
    expect([end.state, end.live?.path]).toEqual(['running', '2.sql']);
    await gate.open();
  });

it('at the deadline, where nobody answers since the backend has died, it is said that the deployment had begun', async () => {
  const gate = await shutGate(database.url);
  const real = connectOver(database.url);
  const seen = Promise.withResolvers<void>();
  let isAway = false;
  const connect: Connect = async (...words) => {
    if (isAway) throw new Problem('database_unreachable', 'Nobody is there.');
    return real(...words);
  };
  const { done } = deploy({ connect, ...(await makeOrder(FILES)), onStatus: () => seen.resolve(), deadlineMs: 6_000 });
  done.catch(() => undefined);
  await seen.promise;
  isAway = true;
  await sql(database.url, 'select pg_terminate_backend(pid) from weft._lease');
  await expect(done).rejects.toMatchObject({
    slug: 'database_unreachable',
    message: 'Nobody is there. The deployment had begun by then: what it has committed stays, and if the server is there it may be going on.',
  });
  await gate.open();
});
