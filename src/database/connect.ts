/**
 * Opens sessions: one address, one transport, again and again until a deadline while a compute wakes or all connections are taken. What
 * a failure means is judged in `errors.ts`.
 */
import { parseConnectionString } from '../config/connection_string.ts';
import { type Cause, type ConnectFailure, connectFailure, connectProblem } from './errors.ts';
import type { DriverClient } from './internals.ts';
import type { Connect } from './session.ts';
import { startupOptions } from './startup.ts';
import { tcpClient } from './tcp.ts';
import { webSocketClient } from './websocket.ts';
import { WireSession } from './wire_session.ts';

const deadline_milliseconds_default = 30_000;
const attempt_milliseconds_max = 15_000;
const pause_milliseconds_first = 100;
const pause_milliseconds_max = 2_000;

export interface ConnectOptions {
  readonly connectionString: string;
  readonly transport: 'websocket' | 'tcp';
  /** WebSocket only: `host:port/path` of a proxy that takes `?address=host:port`. */
  readonly proxy?: string;
  /** WebSocket only: `ws` instead of `wss`. */
  readonly insecure?: boolean;
  readonly applicationName?: string;
  /** After how many seconds the server ends a statement; without it never. For sessions that only read. */
  readonly statementSecondsMax?: number;
  /** How long to try, in milliseconds; a function is called again for each session. */
  readonly deadlineMs?: number | (() => number);
}

/**
 * @returns a function that opens a session, ready to be called again when one is lost. It throws Problem
 * no_free_connection or database_unreachable at the deadline, and database_authentication, database_missing,
 * role_without_rights, server_too_old, transaction_pooler or connection_string_invalid at once
 * @throws Problem connection_string_invalid or transaction_pooler for what the string itself says
 */
export function connectTo(options: ConnectOptions): Connect {
  const parts = parseConnectionString(options.connectionString);
  const name = options.applicationName ?? 'weft';
  const { deadlineMs = deadline_milliseconds_default } = options;
  const secrets = [parts.password ?? '', parts.host, parts.host.split('.')[0] ?? ''];
  const settings = startupOptions(options.statementSecondsMax);
  const makeClient = (): DriverClient =>
    options.transport === 'tcp' ? tcpClient(parts, name, settings) : webSocketClient(parts, name, settings, options.proxy, options.insecure ?? false);

  return async () => {
    const start = Date.now();
    const deadline = typeof deadlineMs === 'function' ? deadlineMs() : deadlineMs;
    for (let attempt = 1; ; attempt += 1) {
      const left = Math.max(1, deadline - (Date.now() - start));
      try {
        return await WireSession.open(makeClient(), secrets, Math.min(left, attempt_milliseconds_max));
      } catch (cause) {
        const failure: ConnectFailure = connectFailure(cause as Cause);
        const spent = Date.now() - start;
        const pause = pauseBefore(attempt);
        if (!failure.again || spent + pause >= deadline) throw connectProblem(failure, attempt, Math.round(spent / 1000));
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  };
}

/** Doubling, with half of it left to chance, so that a crowd that was refused together does not come back together. */
function pauseBefore(attempt: number): number {
  const pause = Math.min(pause_milliseconds_max, pause_milliseconds_first * 2 ** (attempt - 1));
  return pause * (0.5 + Math.random() / 2);
}
