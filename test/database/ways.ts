/** The two ways into one server, both through a relay that counts and cuts: what holds for one has to hold for the other. */
import { inspect } from 'node:util';
import { expect } from 'vitest';
import { type ConnectOptions, connectTo } from '../../src/database/connect.ts';
import type { Message, Reply, Value } from '../../src/database/session.ts';
import type { WireSession } from '../../src/database/wire_session.ts';
import type { Relay } from '../../src/dev/relay.ts';
import { Problem } from '../../src/domain/problem.ts';

export type Way = 'websocket' | 'tcp';
export const ways: readonly Way[] = ['websocket', 'tcp'];

/** Options of `connectTo` that lead through the relay. */
export function through(relay: Relay, way: Way, connectionString: string, more: Partial<ConnectOptions> = {}): ConnectOptions {
  const url = new URL(connectionString);
  if (way === 'tcp') url.port = String(relay.tcpPort);
  return { connectionString: url.href, transport: way, proxy: `127.0.0.1:${relay.port}/v1`, insecure: true, deadlineMs: 10_000, ...more };
}

/** Opens a session through the relay, as the class, whose counters tests may read. */
export async function open(relay: Relay, way: Way, connectionString: string): Promise<WireSession> {
  return (await connectTo(through(relay, way, connectionString))()) as WireSession;
}

export const statement = (text: string, ...values: Value[]): Message => ({ kind: 'statement', text, values });
export const simple = (text: string): Message => ({ kind: 'simple', text });
export const sync: Message = { kind: 'sync' };

/** Replies, shortened: rows, or the SQLSTATE, or "skipped". */
export function short(replies: readonly Reply[]): unknown[] {
  return replies.map((reply) => (reply.kind === 'rows' ? reply.rows : reply.kind === 'error' ? reply.error.sqlstate : reply.kind));
}

/** The problem that a promise rejects with; fails if it does not, if it is another, or if it shows what nobody may see. */
export async function problemOf(promise: Promise<unknown>, slug: string, secrets: readonly string[] = []): Promise<Problem> {
  const thrown: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof Problem)) throw new Error('no Problem was thrown', { cause: thrown });
  expect(thrown.slug, thrown.message).toBe(slug);
  const shown = `${inspect(thrown, { depth: 10, showHidden: true })}\n${JSON.stringify(thrown)}`;
  for (const secret of ['127.0.0.1', 'localhost', ...secrets]) expect(shown).not.toContain(secret);
  return thrown;
}

/** Waits until a condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}
