/** Sessions inside workerd: the drivers find other sockets there, which fail in other ways. What is said has to be the same. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { through, until, ways } from './ways.ts';

/** Each path is one thing to do with a session; the answer is what came out, or the problem. */
const WORKER = `
  import { inspect } from 'node:util';
  import { connectTo } from '../../src/database/connect.ts';
  import { Problem } from '../../src/domain/problem.ts';

  const statement = (text, ...values) => ({ kind: 'statement', text, values });
  const mebibyte = 1024 * 1024;

  const deeds = {
    async rows(session) {
      const bytes = Uint8Array.of(0, 1, 255);
      return session.pipeline([statement('select $1::int + 1 as n, $2::bytea as b, $3::text as none', '41', bytes, null), { kind: 'simple', text: 'select 2 as two' }]);
    },
    async error(session) {
      const replies = await session.pipeline([statement('select 1 / 0'), statement('select 1'), { kind: 'sync' }, statement('select 3 as three')]);
      return replies.map((reply) => (reply.kind === 'error' ? reply.error.sqlstate : reply));
    },
    async upload(session) {
      await session.query('create temporary table part (bytes bytea)');
      async function* parts() {
        for (let count = 0; count < 40; count++) yield statement('insert into part values ($1)', new Uint8Array(mebibyte).fill(count));
      }
      await session.pipeline(parts());
      const [sum] = await session.query('select count(*), sum(length(bytes)) as bytes from part');
      return { ...sum, largestUnderWayBytes: session.largestUnderWayBytes };
    },
    async suicide(session) {
      await session.query('select pg_terminate_backend(pg_backend_pid()), pg_sleep(10)');
    },
    async cut(session) {
      await session.query('select pg_sleep(60)');
    },
    async many(session) {
      return session.pipeline(Array.from({ length: 200 }, (_, index) => statement('select $1::int as n', String(index))));
    },
    async broken(session) {
      async function* messages() {
        yield statement('select 1');
        throw new RangeError('the upload was cut');
      }
      const thrown = await session.pipeline(messages()).catch((error) => error);
      return { thrown: String(thrown), later: await session.query('select 1').catch((error) => error.slug) };
    },
  };

  export default {
    async fetch(request) {
      const [, deed] = new URL(request.url).pathname.split('/');
      try {
        const session = await connectTo(await request.json())();
        try {
          return Response.json(await deeds[deed](session) ?? null);
        } finally {
          await session.close();
          await session.close();
        }
      } catch (error) {
        if (error instanceof Problem) return Response.json({ problem: error.slug, ...error.facts, shown: inspect(error, { depth: 10 }) });
        return new Response(String(error.stack), { status: 500 });
      }
    },
  };
`;

let database: TestDatabase;
let relay: Relay;
let worker: Miniflare;

beforeAll(async () => {
  database = await freshDatabase();
  const { hostname, port } = new URL(database.url);
  relay = await startRelay({ to: { host: hostname, port: Number(port || 5432) } });
  const built = await build({
    stdin: { contents: WORKER, resolveDir: fileURLToPath(new URL('.', import.meta.url)), loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'es2024',
    conditions: ['workerd', 'worker'],
    external: ['cloudflare:sockets', 'pg-native'],
    // The drivers are CommonJS and require Node's modules, which workerd has.
    banner: { js: `import { createRequire } from 'node:module'; const require = createRequire('/worker.mjs');` },
  });
  const contents = built.outputFiles[0]?.text ?? '';
  worker = new Miniflare({
    workers: [
      {
        config: {
          name: 'sessions',
          compatibilityDate: '2026-08-04',
          compatibilityFlags: ['nodejs_compat'],
          manifest: { mainModule: 'worker.mjs', modulesRoot: '/', modules: { 'worker.mjs': { type: 'esm', contents } } },
        },
      },
    ],
  });
  await worker.ready;
});

afterAll(async () => {
  await worker?.dispose();
  await relay?.stop();
  await database?.drop();
});

describe.each(ways)('in workerd a session over %s', (way) => {
  const run = async (deed: string, url = database.url): Promise<unknown> => {
    const response = await worker.dispatchFetch(`http://localhost/${deed}`, { method: 'POST', body: JSON.stringify(through(relay, way, url)) });
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
    const answer = run('cut');
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
