/**
 * `GET …/deployments/{id}/events`: a deployment followed as server-sent events (HTML standard, section 9.2). Committed rows are
 * read from a session of its own, so following disturbs nothing and ends without a trace.
 *
 * - one event per row of the engine's journal: `id:` its number, `event:` its kind
 * - `status`, without an id, when what goes on right now has changed
 * - `end`, without an id, with the whole document, when the deployment is over; then the stream closes
 * - a stream that closes without `end` is to be opened again, with `Last-Event-ID`
 */
import { Hono } from 'hono';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import type { Session } from '../../database/session.ts';
import { Commits } from '../../deployment/held.ts';
import { isOver } from '../../domain/deployment.ts';
import { LIMITS } from '../../domain/limits.ts';
import { Problem } from '../../domain/problem.ts';
import { HELD_BY_STANDBY } from '../../words/waits.ts';
import type { HttpContext, HttpEnv } from '../context.ts';
import { describeError } from '../log.ts';
import type { Ports } from '../ports.ts';
import { acceptReader } from '../reading.ts';
import { findTarget } from '../targets.ts';

export function eventRoutes(ports: Ports): Hono<HttpEnv> {
  return new Hono<HttpEnv>().get('/deployments/:id/events', (c) => getEvents(c, ports));
}

async function getEvents(c: HttpContext, ports: Ports): Promise<Response> {
  const { target, deployment: id = '' } = await acceptReader(c, ports);
  const after = readLastEventId(c.req.header('last-event-id'));
  const session = await ports.connect(findTarget(ports, target), 'follow')();
  const closed = Promise.withResolvers<void>();
  c.executionCtx.waitUntil(closed.promise);
  const close = async () => {
    await session.close();
    closed.resolve();
  };
  try {
    await ports.readGlance(session, id); // what does not exist is a problem document, not a stream
  } catch (error) {
    await close();
    throw error;
  }
  if (c.req.method === 'HEAD') {
    await close();
    return c.body(null, 200, { 'content-type': 'text/event-stream' });
  }
  const { reference } = c.var.notes;
  // workerd tells of a client that has left by the request's signal; others cancel the stream.
  const gone = new AbortController();
  const { signal } = c.req.raw;
  signal.addEventListener('abort', () => gone.abort(), { once: true });
  if (signal.aborted) gone.abort(); // while the session was opened: no event comes any more
  return streamSSE(c, async (stream) => {
    stream.onAbort(() => gone.abort());
    try {
      await follow(stream, ports, session, id, after, gone.signal);
    } catch (error) {
      // The client opens the stream again and is told then, if it is still so.
      ports.log({ level: 'error', message: 'follow', reference, deployment: id, errors: describeError(error) });
    } finally {
      await close();
    }
  });
}

async function follow(stream: SSEStreamingApi, ports: Ports, session: Session, id: string, lastEventId: number, gone: AbortSignal): Promise<void> {
  const endsAt = ports.now() + LIMITS.follow_seconds_max * 1000;
  let after = lastEventId;
  const commits = new Commits();
  let shown = '';
  let spokeAt = ports.now();
  // A client that stays and does not read holds its connection to the database no longer than any other.
  const inTime = async (writing: Promise<unknown>): Promise<void> => {
    const written = new AbortController();
    const done = writing.finally(() => written.abort());
    await Promise.race([done, ports.sleep(Math.max(0, endsAt - ports.now()), AbortSignal.any([written.signal, gone]))]);
  };
  while (!gone.aborted && ports.now() < endsAt) {
    // Status before events: when it says that all is over, the last event is there to be read.
    const { event: newest, mark: _, ...live } = await ports.readGlance(session, id);
    const events = newest > after ? await ports.readEvents(session, id, after) : [];
    for (const event of events) {
      await inTime(stream.writeSSE({ id: String(event.number), event: event.kind, data: JSON.stringify(event) }));
      after = event.number;
      if (gone.aborted || ports.now() >= endsAt) return;
    }
    if (isOver(live.state)) {
      await inTime(stream.writeSSE({ event: 'end', data: JSON.stringify(await ports.readStatus(session, id)) }));
      return;
    }
    const held = commits.areHeld(live.live, ports.now()) ? { held: HELD_BY_STANDBY } : {};
    const status = JSON.stringify({ ...live, ...held });
    if (status !== shown) {
      await inTime(stream.writeSSE({ event: 'status', data: status }));
    } else if (events.length === 0 && ports.now() - spokeAt >= LIMITS.follow_keep_alive_seconds * 1000) {
      await inTime(stream.write(': still here\n\n'));
    } else if (events.length === 0) {
      await ports.sleep(LIMITS.follow_poll_milliseconds, gone);
      continue;
    }
    shown = status;
    spokeAt = ports.now();
    await ports.sleep(LIMITS.follow_poll_milliseconds, gone);
  }
}

function readLastEventId(text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Problem('invalid_request', `Last-Event-ID is the number of an event, not "${text.slice(0, 40)}".`, { path: 'Last-Event-ID' });
}
