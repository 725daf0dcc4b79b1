/** Sessions inside workerd: the drivers find other sockets there, which fail in other ways. What is said has to be the same. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { through, until, ways } from './ways.ts';

let database: TestDatabase;
let relay: Relay;
let worker: LocalWorker;
const logged: string[] = [];

beforeAll(async () => {
  database = await emptyDatabase();
  const { hostname, port } = new URL(database.url);
  relay = await startRelay({ to: { host: hostname, port: Number(port || 5432) } });
  worker = await startWorker({
    config: {},
    secrets: {},
    entry: fileURLToPath(new URL('session_worker.ts', import.meta.url)),
    onLog: (line) => logged.push(line),
  });
});

afterAll(async () => {
  await worker?.stop();
  await relay?.stop();
  await database?.drop();
});

describe.each(ways)('in workerd a session over %s', (way) => {
  const run = async (deed: string, url = database.url): Promise<unknown> => {
    const response = await worker.fetch(`/${deed}`, { method: 'POST', body: JSON.stringify(through(relay, way, url)) });
    const text = await response.text();
    if (response.status !== 200) throw new Error(text);
    const answer: unknown = JSON.parse(text);
    for (const secret of ['127.0.0.1', 'localhost', new URL(url).password]) expect(text).not.toContain(secret);
    return answer;
  };

  test('gives rows, NULLs and bytes as in Node', async () => {
    expect(await run('rows')).toEqual([
      { kind: 'rows', rows: [{ n: '42', b: '\\x0001ff', none: null }] },
      { kind: 'rows', rows: [{ two: '2' }] },
    ]);
  });

  test('goes on after an error of the server', async () => {
    expect(await run('error')).toEqual(['22012', { kind: 'skipped' }, { kind: 'rows', rows: [{ three: '3' }] }]);
  });

  test('moves 40 MB under the window', async () => {
    const answer = (await run('upload')) as { largestUnderWayBytes: number };
    expect(answer).toMatchObject({ count: '40', bytes: String(40 * 1024 * 1024) });
    expect(answer.largestUnderWayBytes).toBeLessThan(LIMITS.staging_window_bytes + 1024 * 1024 + 1024);
  });

  test('is lost when its backend ends, with the last words of the server', async () => {
    expect(await run('suicide')).toMatchObject({ problem: 'session_lost', sqlstate: '57P01' });
  });

  test('is lost when the network cuts it', async () => {
    relay.forget();
    const answer = run('sleep');
    await until(() => (relay.connections[0]?.toServer.messages ?? 0) > 5);
    await new Promise((resolve) => setTimeout(resolve, 50));
    relay.cutAll();
    expect(await answer).toMatchObject({ problem: 'session_lost' });
  });

  test('is lost when the server hangs up without a word', async () => {
    const hangUp = relay.plan({ direction: 'to-client', afterMessages: 60, extraBytes: 3, how: 'half-close' });
    expect(await run('many')).toMatchObject({ problem: 'session_lost' });
    await hangUp.fired;
  });

  test('is closed when the source of its messages fails', async () => {
    expect(await run('broken')).toEqual({ thrown: 'RangeError: the upload was cut', later: 'session_lost' });
  });

  test('is not opened with a wrong password', async () => {
    const wrong = new URL(database.url);
    wrong.password = 'not-the-password';
    expect(await run('rows', wrong.href)).toMatchObject({ problem: 'database_authentication', sqlstate: '28P01', attempts: 1 });
  });
});

test('nothing fails in workerd behind the back of a session', () => {
  expect(logged).toEqual([]);
});
