/**
 * A connection that is lost is no end: the drive attaches again by itself, within its deadline, wherever it was lost and whoever
 * notices. Each time the same journal, each line once. Behind every single message: attach_cuts.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Chunk } from '../../src/bundle/chunks.ts';
import { connectTo } from '../../src/database/connect.ts';
import type { Connect } from '../../src/database/session.ts';
import { type DeployOptions, deploy } from '../../src/deployment/deploy.ts';
import { resume } from '../../src/deployment/resume.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { problemOf, through, type Way, ways } from '../database/ways.ts';
import { freshDatabase, type TestDatabase, testServer } from '../support/database.ts';
import { startServerThatSays } from '../support/impostors.ts';
import { AT_THE_GATE, makeOrder, shutGate, stageFiles, type TestOrder } from '../support/orders.ts';
import { startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let relay: Relay;

beforeAll(async () => {
  const { hostname, port } = new URL((await testServer()).url);
  relay = await startRelay({ to: { host: hostname, port: Number(port) } });
});

afterAll(() => relay.stop());

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  relay.endSilence();
  relay.cutAll();
  relay.forget();
  await database.drop();
});

const files = (gate = ''): Record<string, string> => ({
  '1.sql': 'create table journal (n int); insert into journal values (1);',
  '2.sql': `insert into journal values (2); ${gate}`,
  '3.sql': 'insert into journal values (3);',
});

const journal = async (url = database.url) => (await sql(url, 'select n from journal order by n')).map(({ n }) => n);

const connect = (way: Way = 'tcp', more: Parameters<typeof through>[3] = {}): Connect => connectTo(through(relay, way, database.url, more));

function drive({ order, chunks }: TestOrder, more: Partial<DeployOptions> = {}): { opened: Promise<unknown>; done: Promise<Deployment> } {
  const driving = deploy({ connect: connect(), order, chunks, chunksAgain: true, deadlineMs: 50_000, ...more });
  driving.done.catch(() => undefined);
  return driving;
}

describe('lost while a statement runs', () => {
  it.each(ways)('over %s, the drive follows the run that goes on, and brings its end', async (way) => {
    const gate = await shutGate(database.url);
    const troubles: string[] = [];
    const { done } = drive(await makeOrder(files(AT_THE_GATE)), { connect: connect(way), onTrouble: ({ slug }) => troubles.push(slug) });
    await gate.reached();
    const pids = 'select distinct pid from weft._attempts';
    const [before] = await sql(database.url, pids);
    relay.cutAll();
    await relay.plan({ direction: 'to-client', afterMessages: 6, how: 'half-close' }).fired; // it has come back, and is lost once more
    await gate.open();
    expect(await done).toMatchObject({ state: 'succeeded' });
    expect(troubles).toContain('session_lost');
    expect(await sql(database.url, pids), 'the run was never interrupted').toEqual([before]);
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it('when its backend is terminated, the drive sends the CALL again, and it goes on where the last commit left off', async () => {
    const gate = await shutGate(database.url);
    const { done } = drive(await makeOrder(files(AT_THE_GATE)));
    await gate.reached();
    await sql(database.url, 'select pg_terminate_backend(pid) from weft._lease');
    await gate.reached();
    await gate.open();
    const end = await done;
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ attempts: 2 }] });
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it.runIf(offers('servers to kill'))('when the server is killed, the drive waits for it and goes on', async () => {
    const server = await startOwnServer();
    try {
      const url = await server.createDatabase();
      const gate = await shutGate(url);
      const { done } = drive(await makeOrder(files(AT_THE_GATE)), { connect: connectTo({ connectionString: url, transport: 'tcp' }) });
      await gate.reached();
      await server.postgres.kill9();
      await server.postgres.restart();
      expect(await done).toMatchObject({ state: 'succeeded' });
      expect(await journal(url)).toEqual([1, 2, 3]);
    } finally {
      await server.postgres.stop();
    }
  });

  describe('and the address leads to a standby then', () => {
    const toStandby = async (isPromoted: () => boolean) => {
      const standby = await startServerThatSays(database.url, { is_standby: 't', is_read_only: 'on' });
      let calls = 0;
      const connect = () => connectTo({ connectionString: calls++ === 0 || isPromoted() ? database.url : standby.url, transport: 'tcp' })();
      return { standby, connect };
    };
    const endRunner = () => sql(database.url, 'select pg_terminate_backend(pid, 10000) from weft._lease');

    it('the drive waits until that is promoted, and goes on where the last commit left off', async () => {
      const gate = await shutGate(database.url);
      const told: string[] = [];
      const { standby, connect } = await toStandby(() => told.some((detail) => detail.includes('standby')));
      try {
        const { done } = drive(await makeOrder(files(AT_THE_GATE)), { connect, onTrouble: ({ message }) => told.push(message) });
        await gate.reached();
        await endRunner();
        await gate.reached();
        await gate.open();
        expect(await done).toMatchObject({ state: 'succeeded' });
        expect(await journal()).toEqual([1, 2, 3]);
        expect(told.some((detail) => detail.includes('when the standby is promoted'))).toBe(true);
      } finally {
        await standby.stop();
      }
    });

    it('and is that for longer than there is time: the deployment can be resumed, and nothing is said of it that is not so', async () => {
      const gate = await shutGate(database.url);
      const { standby, connect } = await toStandby(() => false);
      try {
        const { done } = drive(await makeOrder(files(AT_THE_GATE)), { connect, deadlineMs: 3_000 });
        await gate.reached();
        await endRunner();
        const { message } = await problemOf(done, 'session_lost');
        expect(message).toContain('leads to a standby in recovery now');
        expect(message).not.toContain('Nothing was changed');
      } finally {
        await standby.stop();
        await gate.open();
      }
    });
  });

  /** Lets a deployment be seen at work, ends its backend, and leads whoever comes back to another address. */
  async function comeBackTo(url: string): Promise<{ readonly done: Promise<Deployment>; readonly gate: Awaited<ReturnType<typeof shutGate>> }> {
    const gate = await shutGate(database.url);
    const seen = Promise.withResolvers<void>();
    let isLost = false;
    const there = () => connectTo({ connectionString: isLost ? url : database.url, transport: 'tcp' })();
    const { done } = drive(await makeOrder(files(AT_THE_GATE)), { connect: there, onStatus: ({ state }) => state === 'running' && seen.resolve() });
    await gate.reached();
    await seen.promise;
    isLost = true;
    await sql(database.url, 'select pg_terminate_backend(pid, 10000) from weft._lease');
    return { done, gate };
  }

  it('and the database has lost the deployment, as a standby may that is promoted: that is said, and the same request opens it anew', async () => {
    const promoted = await freshDatabase();
    const { done, gate } = await comeBackTo(promoted.url);
    const { message } = await problemOf(done, 'interrupted');
    expect(message).toContain('has lost what was committed last');
    await gate.open();
    await promoted.drop();
  });

  it('and its password is another one by then: what is said of the connection is not said of the deployment', async () => {
    const { done, gate } = await comeBackTo(database.url.replace(/:[^:@]*@/, ':another-one@'));
    const { message, exit } = await problemOf(done, 'database_authentication');
    expect(message).toContain('The deployment had begun by then: what it has committed stays');
    expect(message).not.toContain('Nothing was changed');
    expect(exit, 'it is not over, and can be resumed').toBe(3);
    await gate.open();
  });

  it('and it takes no writes by then: neither is that', async () => {
    const readOnly = await startServerThatSays(database.url, { is_read_only: 'on' });
    const { done, gate } = await comeBackTo(readOnly.url);
    const { message, exit, facts } = await problemOf(done, 'read_only_server');
    expect(message).toMatch(/read-only here \(default_transaction_read_only\)\. Use .*The deployment had begun by then: what it has committed stays/);
    expect({ exit, facts }).toEqual({ exit: 3, facts: { begun: true } });
    await gate.open();
    await readOnly.stop();
  });

  it('a CALL whose lease was taken attaches to whoever took it', async () => {
    const gate = await shutGate(database.url);
    const { done } = drive(await makeOrder(files(AT_THE_GATE)));
    await gate.reached();
    await sql(database.url, 'update weft._lease set fence = fence + 1, pid = null, backend_start = null, query_start = null');
    await gate.open();
    expect(await done).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 2, 3]);
  });
});

describe('lost while the artifacts are on their way', () => {
  const bytes_count = 24 * 1024 * 1024;
  /** Three files of 8 MiB, no two chunks alike; of white space, which takes the engine least time to read. */
  const large = () => {
    const line = () => `${Array.from(randomBytes(1000), (byte) => (byte & 1 ? ' ' : '\t')).join('')}\n`;
    const text = (n: number) =>
      `${n === 1 ? 'create table journal (n int); ' : ''}insert into journal values (${n});\n${Array.from({ length: 8300 }, line).join('')}`;
    return makeOrder({ '1.sql': text(1), '2.sql': text(2), '3.sql': text(3) });
  };
  /** Counts what is taken from it, and cuts the connection once, when so much was taken that the first of it must have been committed. */
  const counting = (chunks: TestOrder['chunks'], counted: { bytes: number; calls: number; isCut: boolean }): TestOrder['chunks'] =>
    async function* (wanted): AsyncGenerator<Chunk> {
      counted.calls += 1;
      for await (const chunk of chunks(wanted)) {
        counted.bytes += chunk.bytes.length;
        if (!counted.isCut && counted.bytes > bytes_count - 2 * LIMITS.chunk_bytes) {
          counted.isCut = true;
          relay.cutAll();
        }
        yield chunk;
      }
    };

  it('a folder is read again, and only what had not arrived', async () => {
    const order = await large();
    const counted = { bytes: 0, calls: 0, isCut: false };
    const { done } = drive({ ...order, chunks: counting(order.chunks, counted) });
    expect(await done).toMatchObject({ state: 'succeeded' });
    expect(counted.calls).toBe(2);
    expect(counted.bytes).toBeLessThan(2 * bytes_count - LIMITS.staging_window_bytes);
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it('a body cannot be read again: the drive says so, and the same request goes on from there', async () => {
    const order = await large();
    const counted = { bytes: 0, calls: 0, isCut: false };
    const { opened, done } = drive({ ...order, chunks: counting(order.chunks, counted) }, { chunksAgain: false });
    const problem = await problemOf(done, 'interrupted');
    expect(problem).toMatchObject({ exit: 3, status: 503 });
    expect(problem.message).toMatch(/\d+ chunks are missing\. What has arrived is kept/);
    await expect(opened).rejects.toBe(problem);
    expect(counted.calls).toBe(1);

    counted.bytes = 0;
    const again = drive({ ...order, chunks: counting(order.chunks, counted) }, { chunksAgain: false });
    expect(await again.opened).toMatchObject({ repeated: true });
    expect(await again.done).toMatchObject({ state: 'succeeded' });
    expect(counted.bytes).toBeLessThan(bytes_count - LIMITS.staging_window_bytes);
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it.each([100, LIMITS.chunk_bytes + 1])('a source that is slow is waited for (%d bytes)', async (bytes) => {
    const order = await makeOrder({ ...files(), '4.sql': ''.padEnd(bytes) });
    const slow: TestOrder['chunks'] = async function* (wanted) {
      for await (const chunk of order.chunks(wanted)) {
        await new Promise((resolve) => setTimeout(resolve, 1_600));
        yield chunk;
      }
    };
    const { done } = drive({ ...order, chunks: slow }, { chunksAgain: false });
    expect(await done).toMatchObject({ state: 'succeeded' });
  });
});

describe('silence of the network', () => {
  it('in which the answer to the CALL is swallowed is noticed through the watcher', async () => {
    const gate = await shutGate(database.url);
    const { done } = drive(await makeOrder(files(AT_THE_GATE)));
    await gate.reached();
    // The connection of the CALL, and the first one of the watcher: from now on nothing passes, and nobody is told.
    relay.plan({ direction: 'to-client', afterMessages: 0, how: 'silence', where: ({ number }) => number === relay.connections[0]?.number });
    await gate.open();
    const end = await done;
    expect(end.state).toBe('succeeded');
    expect(relay.connections[0]?.toClient.bytes).toBeGreaterThan(0);
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it('in which the CALL itself is swallowed is noticed too, and the CALL is sent again', async () => {
    const id = await stageFiles(database.url, files());
    // start-up, two messages of SCRAM, the questions to the server and the guard with their three Syncs: what comes next is the CALL
    const fault = relay.plan({ direction: 'to-server', afterMessages: 26, extraBytes: 1, how: 'silence' });
    const deployment = await resume({ connect: connect(), id, target: null, deadlineMs: 50_000 });
    expect((await fault.fired).toServer.messages).toBe(26);
    expect(deployment).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it('in which the CALL for one that waits in line is swallowed is noticed too', async () => {
    await stageFiles(database.url, files());
    const id = await stageFiles(database.url, { '4.sql': 'insert into journal values (4)' }, { bundle: 'other' });
    const fault = relay.plan({ direction: 'to-server', afterMessages: 26, extraBytes: 1, how: 'silence' });
    const deployment = await resume({ connect: connect(), id, target: null, deadlineMs: 50_000 });
    expect((await fault.fired).toServer.messages).toBe(26);
    expect(deployment).toMatchObject({ id, state: 'succeeded' });
    expect(await journal()).toEqual([1, 2, 3, 4]);
  });

  it('in which the CALL for whatever is unfinished is swallowed is noticed too', async () => {
    const id = await stageFiles(database.url, files());
    const fault = relay.plan({ direction: 'to-server', afterMessages: 26, extraBytes: 1, how: 'silence' });
    const deployment = await resume({ connect: connect(), id: null, target: null, deadlineMs: 50_000 });
    expect((await fault.fired).toServer.messages).toBe(26);
    expect(deployment).toMatchObject({ id, state: 'succeeded' });
  });

  it('around the watcher as well ends with the watcher looking from a new connection', async () => {
    const gate = await shutGate(database.url);
    const { done } = drive(await makeOrder(files(AT_THE_GATE)));
    await gate.reached();
    while (relay.connections.length < 2 || (relay.connections[1]?.waits ?? 0) < 4) await new Promise((resolve) => setTimeout(resolve, 20));
    const [first, second] = relay.connections.map(({ number }) => number);
    relay.plan({ direction: 'to-client', afterMessages: 0, how: 'silence', times: 2, where: ({ number }) => number === first || number === second });
    await gate.open();
    expect(await done).toMatchObject({ state: 'succeeded' });
    expect(relay.connections.length).toBeGreaterThan(2);
  });
});

describe('a holder under another role', () => {
  it.runIf(offers('a superuser'))('is waited for as long as there is time, and then named; when it is gone, the drive goes on', async () => {
    const gate = await shutGate(database.url);
    const order = await makeOrder(files(AT_THE_GATE), { id: 'the-request' });
    const id = await stageFiles(database.url, files(AT_THE_GATE), { id: 'the-request' });
    const other = sql(database.superuserUrl ?? '', `call weft.run('${id}')`);
    other.catch(() => undefined);
    await gate.reached();
    const problem = await problemOf(drive(order, { deadlineMs: 1_500 }).done, 'holder_unknown');
    expect(problem.message).toMatch(/backend \d+, which belongs to a role that this one may not look at/);
    expect(problem).toMatchObject({ exit: 3, status: 503 });
    const waiting = resume({ connect: connect(), id, target: null, deadlineMs: 50_000 });
    await gate.open();
    expect((await other)[0].result).toMatchObject({ state: 'succeeded' });
    expect(await waiting).toMatchObject({ state: 'succeeded', phases: [{ attempts: 1 }] });
  });
});

describe('the time of an errand', () => {
  it.each([700, 2_500])('is over after %d ms while a statement runs: the deployment as it is, and the run goes on', async (deadlineMs) => {
    const gate = await shutGate(database.url);
    const order = await makeOrder(files(AT_THE_GATE));
    const { done } = drive(order, { deadlineMs });
    await gate.reached();
    expect(await done).toMatchObject({ state: 'running', live: { step: 2, steps: 3 } });
    await gate.open();
    expect(await drive(order).done).toMatchObject({ state: 'succeeded', phases: [{ attempts: 1 }] });
  });

  it('is over while another CALL is at work: the deployment as it is', async () => {
    const gate = await shutGate(database.url);
    const order = await makeOrder(files(AT_THE_GATE));
    const first = drive(order);
    await gate.reached();
    expect(await drive(order, { deadlineMs: 1_500 }).done).toMatchObject({ state: 'running', live: { step: 2, steps: 3 } });
    await gate.open();
    expect(await first.done).toMatchObject({ state: 'succeeded' });
  });

  it.each([true, false])('ends with its signal, and the run goes on (with an id: %s)', async (withId) => {
    const gate = await shutGate(database.url);
    const id = await stageFiles(database.url, files(AT_THE_GATE));
    const controller = new AbortController();
    const following = resume({ connect: connect(), id: withId ? id : null, target: null, deadlineMs: 50_000, signal: controller.signal });
    following.catch(() => undefined);
    await gate.reached();
    controller.abort();
    await problemOf(following, 'interrupted');
    await gate.open();
    expect(await resume({ connect: connect(), id, target: null, deadlineMs: 50_000 })).toMatchObject({ state: 'succeeded', phases: [{ attempts: 1 }] });
  });

  it.each([
    { bytes: 100, left: null },
    { bytes: LIMITS.chunk_bytes + 1, left: 'open' },
  ])('ends with its signal while artifacts are read, and the source is told ($bytes bytes)', async ({ bytes, left }) => {
    const controller = new AbortController();
    const order = await makeOrder({ ...files(), '4.sql': ''.padEnd(bytes) });
    let isTold = false;
    const endless: TestOrder['chunks'] = async function* (wanted) {
      try {
        for await (const chunk of order.chunks(wanted)) {
          yield chunk;
          controller.abort();
          await new Promise((resolve) => setTimeout(resolve, 500));
        }
      } finally {
        isTold = true;
      }
    };
    await problemOf(drive({ ...order, chunks: endless }, { signal: controller.signal }).done, 'interrupted');
    await expect.poll(() => isTold, { timeout: 10_000 }).toBe(true);
    expect(await sql(database.url, 'select state from weft.deployments')).toEqual(left === null ? [] : [{ state: left }]);
  });

  it('is over while a small bundle is still being read: nothing is opened', async () => {
    const { order } = await makeOrder(files());
    const never: TestOrder['chunks'] = async function* () {
      await new Promise((resolve) => setTimeout(resolve, 3_000));
    };
    await problemOf(drive({ order, chunks: never }, { deadlineMs: 300 }).done, 'interrupted');
    expect(relay.connections).toEqual([]);
  });
});
