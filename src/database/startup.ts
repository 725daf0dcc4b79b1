/**
 * The settings a session starts with. As startup parameters they cost no round trip, are armed before the first statement
 * (a statement_timeout inside a CALL comes too late for that CALL), outrank what ALTER ROLE and ALTER DATABASE say, and are
 * what RESET ALL brings back.
 */
import { LIMITS } from '../domain/limits.ts';

const { tcp_probe_after_seconds, tcp_probe_every_seconds, tcp_probes_count } = LIMITS;

const settings: Readonly<Record<string, string>> = {
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  lock_timeout: '0',
  // Above 0 it ends a run whose client has gone.
  client_connection_check_interval: '0',
  // Under repeatable read a runner would not see a cancel request.
  default_transaction_isolation: 'read committed',
  // An error would end the session, also one that the engine catches.
  exit_on_error: 'off',
  // A notice to a client that has gone ends the backend.
  client_min_messages: 'error',
  // So that a backend whose client the network has swallowed is over in minutes, not in hours. A run that is at work sends nothing, looks at no
  // socket, and so goes on: only what sits there and waits for a client ends, or what cannot get rid of its answer. A server that cannot do it
  // says so in its log, and goes on; over a socket of its own machine it has no meaning.
  tcp_keepalives_idle: String(tcp_probe_after_seconds),
  tcp_keepalives_interval: String(tcp_probe_every_seconds),
  tcp_keepalives_count: String(tcp_probes_count),
  // Probes are not sent while something is on its way: then the kernel would try for a quarter of an hour.
  tcp_user_timeout: String((tcp_probe_after_seconds + tcp_probe_every_seconds * tcp_probes_count) * 1000),
  // Text forms that do not depend on who asks.
  DateStyle: 'ISO',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
};
// Not here: transaction_timeout (servers before 17 refuse the connection), search_path, default_transaction_read_only.

/**
 * The startup parameter `options` (PostgreSQL manual, 55.7: a backslash escapes a space).
 * @param statementSecondsMax after which the server ends a statement of a session that only reads; a run has no limit
 */
export function startupOptions(statementSecondsMax = 0): string {
  return Object.entries({ ...settings, statement_timeout: String(statementSecondsMax * 1000) })
    .map(([name, value]) => `-c ${name}=${value.replace(/[\\ ]/g, '\\$&')}`)
    .join(' ');
}
