/**
 * A network that swallows everything, before a CALL is there that a watcher could watch: the drive bears the silence for a while
 * (silence_seconds_max, here a second), and tries again.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';

vi.mock('../../src/domain/limits.ts', async (importOriginal) => {
  const { LIMITS } = await importOriginal<typeof import('../../src/domain/limits.ts')>();
  return { LIMITS: { ...LIMITS, silence_seconds_max: 1 } };
});

import { connectTo } from '../../src/database/connect.ts';
import { cancel } from '../../src/deployment/cancel.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { resume } from '../../src/deployment/resume.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { problemOf, through } from '../database/ways.ts';
import { emptyDatabase, type TestDatabase, testServer } from '../support/database.ts';
import { makeOrder, stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let relay: Relay;

beforeAll(async () => {
  const { hostname, port } = new URL((await testServer()).url);
  relay = await startRelay({ to: { host: hostname, port: Number(port) } });
});

afterAll(() => relay.stop());

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(async () => {
  relay.cutAll();
  relay.forget();
  await database.drop();
});

const FILES = { '1.sql': 'create table journal (n int); insert into journal values (1);' };
const connect = () => connectTo(through(relay, 'tcp', database.url));
const journal = () => sql(database.url, 'select n from journal');

// Three messages open the connection; then come the questions, and with them the order.
it.each([
  { where: 'in which the order is swallowed', direction: 'to-server', afterMessages: 3 },
  { where: 'in which the answer to it is swallowed', direction: 'to-client', afterMessages: 30 },
  { where: 'that begins in the middle of a chunk', direction: 'to-server', afterMessages: 19 },
  { where: 'that begins between two chunks', direction: 'to-server', afterMessages: 23 },
] as const)('a silence $where is ended, and the request is sent again', async ({ direction, afterMessages }) => {
  await stageFiles(database.url, { 'installs.sql': '' }, { bundle: 'other' });
  const fault = relay.plan({ direction, afterMessages, extraBytes: 1, how: 'silence' });
  const troubles: string[] = [];
  const { order, chunks } = await makeOrder({ ...FILES, '2.sql': `-- ${'x'.repeat(3_000_000)}` });
  const onTrouble = ({ message }: Error) => troubles.push(message);
  const { done } = deploy({ connect: connect(), order, chunks, chunksAgain: true, deadlineMs: 40_000, onTrouble });
  expect(await done).toMatchObject({ state: 'succeeded' });
  await fault.fired;
  expect(troubles).toEqual([expect.stringContaining('has not answered for 1 s')]);
  expect(await journal()).toEqual([{ n: 1 }]);
  expect(await sql(database.url, `select count(*)::int from weft.deployments where bundle = 'shop'`)).toEqual([{ count: 1 }]);
});

// Older servers say less when they connect, so that fewer messages come in all.
// Of a small bundle everything goes out in one breath: the questions, the order from the 14th message on, the chunks from the 19th, the CALL.
it.each([
  { where: 'in which all of it is swallowed', direction: 'to-server', afterMessages: 3 },
  { where: 'that begins in the order', direction: 'to-server', afterMessages: 15 },
  { where: 'that begins in the chunks', direction: 'to-server', afterMessages: 20 },
  { where: 'that begins in the CALL', direction: 'to-server', afterMessages: 23 },
  { where: 'that begins before it is answered', direction: 'to-client', afterMessages: 30 },
  { where: 'that begins among the answers', direction: 'to-client', afterMessages: 42 },
  { where: 'that begins among the last answers', direction: 'to-client', afterMessages: 45 },
] as const)('a silence $where is ended, and a small bundle comes to its end', async ({ direction, afterMessages }) => {
  await stageFiles(database.url, { 'installs.sql': '' }, { bundle: 'other' });
  const fault = relay.plan({ direction, afterMessages, extraBytes: 1, how: 'silence' });
  const { order, chunks } = await makeOrder(FILES);
  const { done } = deploy({ connect: connect(), order, chunks, deadlineMs: 50_000 });
  expect(await done).toMatchObject({ state: 'succeeded' });
  await fault.fired;
  expect(await journal()).toEqual([{ n: 1 }]);
  expect(await sql(database.url, `select count(*)::int from weft.deployments where bundle = 'shop'`)).toEqual([{ count: 1 }]);
});

it('a silence that begins between a chunk and its commit leaves a session that the repeated request ends', async () => {
  await stageFiles(database.url, { 'installs.sql': '' }, { bundle: 'other' });
  // behind Parse, Bind, Describe and Execute of the first chunk: its Sync is swallowed
  const fault = relay.plan({ direction: 'to-server', afterMessages: 22, extraBytes: 1, how: 'silence' });
  const { order, chunks } = await makeOrder(FILES);
  const { done } = deploy({ connect: connect(), order, chunks, chunksAgain: true, deadlineMs: 50_000 });
  expect(await done).toMatchObject({ state: 'succeeded' });
  await fault.fired;
  const lost = `select count(*)::int as count from pg_stat_activity where datname = current_database() and backend_xid is not null`;
  expect(await sql(database.url, lost)).toEqual([{ count: 0 }]);
});

it('a silence at a resume is ended, and it is tried again', async () => {
  const id = await stageFiles(database.url, FILES);
  const fault = relay.plan({ direction: 'to-server', afterMessages: 3, extraBytes: 1, how: 'silence' });
  expect(await resume({ connect: connect(), id, target: null, deadlineMs: 40_000 })).toMatchObject({ state: 'succeeded' });
  await fault.fired;
});

it('a silence at a cancel is ended, and said', async () => {
  const id = await stageFiles(database.url, FILES);
  relay.plan({ direction: 'to-server', afterMessages: 3, extraBytes: 1, how: 'silence' });
  await problemOf(cancel({ connect: connect(), id, caller: 'somebody', target: null }), 'session_lost');
});

it.each([0, LIMITS.chunk_bytes])('a source of artifacts that is silent for longer is no silence of the network (%d bytes more)', async (bytes) => {
  await stageFiles(database.url, { 'installs.sql': '' }, { bundle: 'other' });
  const { order, chunks } = await makeOrder({ ...FILES, '2.sql': ''.padEnd(bytes, '-') });
  const slow: typeof chunks = async function* (wanted) {
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    yield* chunks(wanted);
  };
  const { done } = deploy({ connect: connect(), order, chunks: slow, deadlineMs: 40_000 });
  expect(await done).toMatchObject({ state: 'succeeded' });
  expect(relay.connections).toHaveLength(1);
});
