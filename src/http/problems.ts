/**
 * Errors, rich inside and spare outside: whatever a route throws becomes one problem document (RFC 9457). What only we can
 * act on goes to the log under a reference that the answer names.
 */
import { SqlError } from '../database/session.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem, type ProblemSlug } from '../domain/problem.ts';
import { TokenRefusal } from '../trust/identity_token.ts';
import type { HttpContext } from './context.ts';
import { describeError, type LogEntry } from './log.ts';

/** Seconds after which trying again makes sense, for what passes by itself. */
const RETRY_AFTER_SECONDS = 5;

/**
 * What the server said, where the rooms below have not put it into words: by SQLSTATE (PostgreSQL manual, appendix A), whole or
 * by its class.
 */
const SQLSTATES: Readonly<Record<string, readonly [ProblemSlug, string]>> = {
  '53300': ['no_free_connection', 'All connections that the database allows are taken. Nothing was changed; try again in a moment.'],
  '53': [
    'server_exhausted',
    'The database server has no room (disk, memory or a limit). What was committed stays. When there is room again, send the same request once more.',
  ],
  '25006': ['read_only_server', 'The database takes no writes. Nothing was changed.'],
  '42501': ['role_without_rights', "The role of the target's connection string lacks a right. See the documentation on the rights that Weft needs."],
  '3F000': ['engine_missing', 'The schema weft is not in this database. The first deployment installs it, and so does "weft install".'],
  '28': ['database_authentication', "The database refused the role or password of the target's connection string."],
  '57': ['session_lost', 'The server ended the session. What runs goes on or can be resumed; send the same request again.'],
  '08': ['session_lost', 'The connection to the database failed. What runs goes on or can be resumed; send the same request again.'],
};

/** Any error as a Problem. What is not understood becomes `internal`, or `statement_failed` without the text of any statement. */
export function toProblem(error: unknown, reference: string): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof SqlError) {
    const known = SQLSTATES[error.sqlstate] ?? SQLSTATES[error.sqlstate.slice(0, 2)];
    if (known !== undefined) return new Problem(known[0], known[1], { sqlstate: error.sqlstate }, error);
    const detail = `The database refused a statement of Weft's own, with SQLSTATE ${error.sqlstate}. The Worker's log has the rest under reference ${reference}.`;
    return new Problem('statement_failed', detail, { sqlstate: error.sqlstate, reference }, error);
  }
  return new Problem('internal', `The Worker's log has the reason under reference ${reference}. The same request can be sent again.`, { reference }, error);
}

/** Answers with the problem, and logs what is ours to repair (5xx) with its causes. */
export function answerProblem(c: HttpContext, error: unknown, log: (entry: LogEntry) => void): Response {
  const { notes } = c.var;
  const problem = toProblem(error, notes.reference);
  notes.problem = problem.slug;
  if (problem.status >= 500) {
    log({ level: 'error', message: 'problem', reference: notes.reference, problem: problem.slug, errors: describeError(error) });
  }
  if (problem.cause instanceof TokenRefusal) {
    const { reason, message } = problem.cause;
    log({ level: 'info', message: 'identity_refused', reference: notes.reference, target: notes.target ?? null, reason, what: message });
  }
  const challenge = challengeOf(problem.slug);
  if (challenge !== null) c.header('www-authenticate', challenge);
  if (problem.status === 503) c.header('retry-after', String(RETRY_AFTER_SECONDS));
  if (problem.status === 429) c.header('retry-after', String(LIMITS.rate_seconds));
  c.header('content-type', 'application/problem+json');
  return c.body(JSON.stringify(problem), problem.status as 400);
}

/** The challenge that a 401 must carry (RFC 9110, section 11.6.1; for bearer tokens RFC 6750, section 3). */
function challengeOf(slug: ProblemSlug): string | null {
  switch (slug) {
    case 'read_token_required':
      return 'Bearer realm="weft"';
    case 'read_token_invalid':
    case 'identity_refused':
      return 'Bearer realm="weft", error="invalid_token"';
    case 'unsigned':
    case 'signature_mismatch':
    case 'stale':
    case 'expired':
      return 'Webhook realm="weft"';
    default:
      return null;
  }
}
