/**
 * Turns what the drivers throw into what Weft says: two drivers and two runtimes fail in a dozen shapes (errors with a code,
 * ErrorEvents without a message, bare closes), and their messages contain hosts and addresses. Whether a connect is worth repeating is
 * decided here too; how often and how long is for `connect.ts`.
 */
import { Problem, type ProblemFacts, type ProblemSlug } from '../domain/problem.ts';
import type { ServerMessage } from './internals.ts';
import { SqlError } from './session.ts';

/** The last words of the server, or how the transport failed. Holds no host, no address and no password. */
export interface Cause {
  readonly sqlstate: string | null;
  /** The code of the system or of TLS, such as ECONNRESET. */
  readonly code: string | null;
  /** A sentence without its full stop. */
  readonly text: string;
  /** The server's words alone. */
  readonly said?: string;
}

/** What went wrong with one attempt to connect. */
export interface ConnectFailure {
  readonly slug: ProblemSlug;
  readonly again: boolean;
  readonly cause: Cause;
}

/** An error of the server as it goes into a reply. */
export function sqlErrorOf(message: ServerMessage): SqlError {
  return new SqlError({
    sqlstate: message.code ?? 'XX000',
    message: message.message ?? '',
    detail: message.detail,
    hint: message.hint,
    context: message.where,
  });
}

/**
 * Whether the server ends the session with this error: FATAL and PANIC. The severity may be translated, so the class
 * "operator intervention" counts by its SQLSTATE (manual, appendix A): shutdown, crash, start-up, dropped database, idle time-out.
 */
export function endsSession(message: ServerMessage): boolean {
  return message.severity === 'FATAL' || message.severity === 'PANIC' || /^57P0[1-5]$/.test(message.code ?? '');
}

/**
 * Reads whatever was thrown or emitted.
 * @param thrown an Error, a DatabaseError of either driver, an ErrorEvent, or nothing at all (a bare close)
 * @param secrets texts that must not show: host, password
 */
export function causeOf(thrown: unknown, secrets: readonly string[]): Cause {
  const fields = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Record<string, unknown>;
  const code = typeof fields.code === 'string' && fields.code !== '' ? fields.code : null;
  const message = typeof fields.message === 'string' ? fields.message : '';
  if (code !== null && /^[0-9A-Z]{5}$/.test(code) && 'severity' in fields) {
    const said = withoutSecrets(message, secrets);
    return { sqlstate: code, code: null, text: `the server said: ${said} (${code})`, said };
  }
  if (code !== null) return { sqlstate: null, code, text: transportWords[code] ?? `the connection failed with ${code}` };
  // Several addresses of one name were tried (AggregateError), or an event or error wraps what happened.
  const inner = Array.isArray(fields.errors) ? fields.errors[0] : (fields.error ?? fields.cause);
  if (inner !== undefined && inner !== null) {
    const cause = causeOf(inner, secrets);
    if (cause.sqlstate !== null || cause.code !== null) return cause;
  }
  if (/SASL|password must be a/i.test(message))
    return { sqlstate: null, code: 'SASL', text: `the password could not be proved (${withoutSecrets(message, secrets)})` };
  if (/does not support SSL/.test(message)) return { sqlstate: null, code: 'TLS_NOT_OFFERED', text: 'the server offers no TLS' };
  if (fields.type === 'error') return { sqlstate: null, code: null, text: 'the WebSocket did not open, or broke, and gave no reason' };
  return { sqlstate: null, code: null, text: 'the connection was closed without a word' };
}

const transportWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused (ECONNREFUSED)',
  ECONNRESET: 'the connection was reset (ECONNRESET)',
  EPIPE: 'the connection was reset (EPIPE)',
  ETIMEDOUT: 'nobody answered (ETIMEDOUT)',
  ENOTFOUND: 'the host has no address (ENOTFOUND)',
};

/** A problem of a session that was open. */
export function sessionLost(cause: Cause): Problem {
  return new Problem(
    'session_lost',
    `The connection to the database was lost: ${cause.text}. What was committed stays; what was not is rolled back; a CALL that was running may still be running. Nothing needs to be cleaned up: connect again and look.`,
    factsOf(cause),
    new Error(cause.said ?? cause.text),
  );
}

/** Judges one failed attempt to connect. */
export function connectFailure(cause: Cause): ConnectFailure {
  const { sqlstate, code } = cause;
  const failure = (slug: ProblemSlug, again: boolean): ConnectFailure => ({ slug, again, cause });
  if (sqlstate !== null) {
    if (sqlstate === '53300') return failure('no_free_connection', true);
    if (sqlstate.startsWith('28')) return failure('database_authentication', false);
    if (sqlstate === '3D000') return failure('database_missing', false);
    if (sqlstate === '42501') return failure('role_without_rights', false);
    // A server that lacks one of our startup parameters is older than the youngest of them, and that is 14.
    if (sqlstate === '42704') return failure('server_too_old', false);
    if (sqlstate === '08P01' && /startup parameter/.test(cause.text)) return failure('transaction_pooler', false);
    // Connection trouble, out of resources, starting or stopping, and what proxies say while a compute wakes.
    return failure('database_unreachable', /^(08|53|57|58|XX)/.test(sqlstate));
  }
  if (code === 'SASL') return failure('database_authentication', false);
  if (code === 'TLS_NOT_OFFERED' || isCertificateCode(code)) return failure('connection_string_invalid', false);
  return failure('database_unreachable', code !== 'ENOTFOUND');
}

/** The problem of a connect that is given up, for a reader at 2 AM. */
export function connectProblem(failure: ConnectFailure, attempts: number, seconds: number): Problem {
  const { slug, cause } = failure;
  const tries = attempts === 1 ? 'once' : `${attempts} times in ${seconds} s`;
  return new Problem(slug, `${connectDetail(failure, tries)} Nothing was changed in the database.`, { ...factsOf(cause), attempts }, new Error(cause.text));
}

function connectDetail({ slug, cause }: ConnectFailure, tries: string): string {
  switch (slug) {
    case 'no_free_connection':
      return `All connections of the database are taken (tried ${tries}): ${cause.text}. Try again, or raise max_connections or the role's limit.`;
    case 'database_authentication':
      return `The database let nobody in: ${cause.text}. Look at user and password of the connection string.`;
    case 'database_missing':
      return `There is a server, but ${cause.text}. Correct the database name of the connection string, or create the database.`;
    case 'role_without_rights':
      return `The role may not connect: ${cause.text}. Grant it CONNECT on the database.`;
    case 'server_too_old':
      return `The server does not know a setting that PostgreSQL has since version 14: ${cause.text}. Weft needs 14 or newer.`;
    case 'transaction_pooler':
      return `A pooler answered and refused the settings of the session: ${cause.text}. A deployment needs a connection that keeps its backend: use the direct host.`;
    case 'connection_string_invalid':
      return `Its sslmode asks for TLS with a certificate that can be verified, but ${cause.text}. Correct the server, or write sslmode=disable if the way there is private.`;
    default:
      if (cause.sqlstate?.startsWith('53')) return `The server is there and let nobody in (tried ${tries}): ${cause.text}. When it has room again, try again.`;
      return `The database could not be reached (tried ${tries}): ${cause.text}. Look whether the server runs and the host and port of the connection string (and of the proxy, where there is one) are right, then try again.`;
  }
}

function isCertificateCode(code: string | null): boolean {
  return code !== null && /CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO/.test(code);
}

function factsOf(cause: Cause): ProblemFacts {
  return { ...(cause.sqlstate === null ? {} : { sqlstate: cause.sqlstate }), ...(cause.code === null ? {} : { code: cause.code }) };
}

/** Short texts are left: a password of two letters would black out words, and the server repeats neither. */
function withoutSecrets(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) if (secret.length > 3) clean = clean.replaceAll(secret, '…');
  return clean;
}
