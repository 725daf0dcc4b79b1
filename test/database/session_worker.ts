/**
 * A Worker for `session_workerd.test.ts`: each path is one thing to do with a session, and the answer is what came out, or the
 * problem in all that a log would show of it.
 */
import { inspect } from 'node:util';
import { type ConnectOptions, connectTo } from '../../src/database/connect.ts';
import type { Message, Value } from '../../src/database/session.ts';
import type { WireSession } from '../../src/database/wire_session.ts';
import { Problem } from '../../src/domain/problem.ts';

const mebibyte = 1024 * 1024;
const statement = (text: string, ...values: Value[]): Message => ({ kind: 'statement', text, values });

// Of a rejection that nobody handles workerd itself only tells its inspector.
declare function addEventListener(type: 'unhandledrejection', listener: (event: { readonly reason: unknown }) => void): void;
addEventListener('unhandledrejection', (event) => console.error('unhandled', event.reason));

const deeds: Record<string, (session: WireSession) => Promise<unknown>> = {
  rows: (session) =>
    session.pipeline([
      statement('select $1::int + 1 as n, $2::bytea as b, $3::text as none', '41', Uint8Array.of(0, 1, 255), null),
      { kind: 'simple', text: 'select 2 as two' },
    ]),
  error: async (session) => {
    const replies = await session.pipeline([statement('select 1 / 0'), statement('select 1'), { kind: 'sync' }, statement('select 3 as three')]);
    return replies.map((reply) => (reply.kind === 'error' ? reply.error.sqlstate : reply));
  },
  upload: async (session) => {
    await session.query('create temporary table part (bytes bytea)');
    async function* parts(): AsyncGenerator<Message> {
      for (let count = 0; count < 40; count++) yield statement('insert into part values ($1)', new Uint8Array(mebibyte).fill(count));
    }
    await session.pipeline(parts());
    const [sum] = await session.query('select count(*), sum(length(bytes)) as bytes from part');
    return { ...sum, largestUnderWayBytes: session.largestUnderWayBytes };
  },
  suicide: (session) => session.query('select pg_terminate_backend(pg_backend_pid()), pg_sleep(10)'),
  sleep: (session) => session.query('select pg_sleep(60)'),
  many: (session) => session.pipeline(Array.from({ length: 200 }, (_, index) => statement('select $1::int as n', String(index)))),
  broken: async (session) => {
    async function* messages(): AsyncGenerator<Message> {
      yield statement('select 1');
      throw new RangeError('the upload was cut');
    }
    const thrown: unknown = await session.pipeline(messages()).catch((error: unknown) => error);
    return { thrown: String(thrown), later: await session.query('select 1').catch((error: unknown) => error instanceof Problem && error.slug) };
  },
};

export default {
  async fetch(request: Request): Promise<Response> {
    const deed = deeds[new URL(request.url).pathname.slice(1)];
    try {
      const session = (await connectTo((await request.json()) as ConnectOptions)()) as WireSession;
      try {
        return Response.json((await deed?.(session)) ?? null);
      } finally {
        await session.close();
        await session.close();
      }
    } catch (error) {
      if (error instanceof Problem) return Response.json({ problem: error.slug, ...error.facts, shown: inspect(error, { depth: 10 }) });
      return new Response(String(error), { status: 500 });
    }
  },
};
