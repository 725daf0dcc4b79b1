/**
 * What is at the other end of a session: version, standby or not, read-only or not, and whether the session is what Weft needs. It is
 * asked together with the first call of the engine, so it costs no round trip of its own.
 */
import { Problem } from '../domain/problem.ts';
import { guardMessages } from './guard.ts';
import type { Message, Reply, Row } from './session.ts';
import { SqlError } from './session.ts';

export interface ServerFacts {
  /** As server_version_num has it: 180004. */
  readonly versionNumber: number;
  readonly version: string;
  readonly backend: number;
  /** The engine's version; null when it is not installed. */
  readonly engine: number | null;
  /** What a newer server than the tested ones earns: a sentence, or null. */
  readonly warning: string | null;
}

const oldest_version_number = 140000;
const newest_tested_version_number = 189999;

const setting = (name: string): string => `pg_catalog.current_setting('${name}')`;

const question = `select ${setting('server_version_num')} as version_number, ${setting('server_version')} as version,
  pg_catalog.pg_backend_pid() as backend, pg_catalog.pg_is_in_recovery() as is_standby, ${setting('transaction_read_only')} as is_read_only,
  ${setting('statement_timeout')} as statement_timeout, ${setting('client_min_messages')} as client_min_messages,
  ${setting('track_activities')} as track_activities, pg_catalog.set_config('weft.met', $1, false) as met,
  case when ${setting('server_version_num')}::integer operator(pg_catalog.>=) 170000
    then pg_catalog.set_config('transaction_timeout', '0', false) end as transaction_timeout`;

const question_of_engine = `select weft.version() as engine, pg_catalog.pg_backend_pid() as backend,
  pg_catalog.set_config('weft.met', pg_catalog.current_setting('weft.met', true) operator(pg_catalog.||) ' again', false) as met`;

/**
 * The messages that ask; their replies go to `judgeServer`.
 * @param mark leaves its trace in the session, so that what is sent along can see that it meets the same one: see `fitCondition`
 */
export function serverQuestions(mark: string): Message[] {
  return [
    { kind: 'statement', text: question, values: [mark] },
    { kind: 'sync' },
    ...guardMessages(),
    { kind: 'statement', text: question_of_engine, values: [] },
    { kind: 'sync' },
  ];
}

/**
 * A condition in SQL for what is sent along with the questions and must do nothing where `judgeServer` refuses: at an engine of another
 * version, with settings or a backend that are not those of the questions. Standbys, read-only sessions and hidden activities the engine refuses.
 * @param mark an expression for it, `$1` say
 */
export function fitCondition(mark: string, engine: number): string {
  const equals = 'operator(pg_catalog.=)';
  return `${setting('server_version_num')}::integer operator(pg_catalog.>=) ${oldest_version_number}
  and ${setting('statement_timeout')} ${equals} '0' and ${setting('client_min_messages')} ${equals} 'error'
  and pg_catalog.current_setting('weft.met', true) ${equals} (${mark} operator(pg_catalog.||) ' again') and weft.version() ${equals} ${engine}`;
}

/** How many replies belong to the questions. */
export const SERVER_REPLIES_COUNT = 5;

/**
 * @param replies the first replies of the pipeline, those to `serverQuestions`
 * @returns with no engine, the session is left in a transaction that has failed
 * @throws Problem server_too_old, standby_server, read_only_server, transaction_pooler, activity_hidden; SqlError, also for a schema that is not to be trusted
 */
export function judgeServer(replies: readonly (Reply | undefined)[]): ServerFacts {
  const [asked, begun, guarded, , answered] = replies;
  const row = onlyRow(asked);
  const versionNumber = Number(row.version_number);
  if (versionNumber < oldest_version_number) {
    throw new Problem('server_too_old', `The server is PostgreSQL ${row.version}; Weft needs 14 or newer. Nothing was changed.`);
  }
  if (row.is_standby === 't') {
    throw new Problem('standby_server', 'The address leads to a standby in recovery. Nothing was changed. Use the address of the primary.');
  }
  if (row.is_read_only === 'on') {
    throw new Problem(
      'read_only_server',
      'Transactions are read-only here (default_transaction_read_only). Nothing was changed. Use the read-write endpoint, or a role without that setting.',
    );
  }
  // The one can come from the server's own configuration, the other comes only from us.
  if (row.statement_timeout !== '0' || row.client_min_messages !== 'error') {
    throw new Problem(
      'transaction_pooler',
      'The session does not have the settings it was opened with: a pooler in between has dropped them. Nothing was changed. Use the direct address of the database.',
    );
  }
  if (row.track_activities !== 'on') {
    throw new Problem(
      'activity_hidden',
      'track_activities is off on the server: nobody could tell a live runner from a dead one. Nothing was changed. As a superuser: alter database … set track_activities = on.',
    );
  }
  const engine = readEngine([begun, guarded].find((reply) => reply?.kind === 'error') ?? answered);
  assertSameBackend(row.backend, engine?.backend);
  return {
    versionNumber,
    version: row.version ?? '',
    backend: Number(row.backend),
    engine: engine === null ? null : Number(engine.engine),
    warning: versionNumber > newest_tested_version_number ? `PostgreSQL ${row.version} is newer than this Weft was tested with (14 to 18). It goes on.` : null,
  };
}

/** The one row of a reply. @throws SqlError what the server said instead */
export function onlyRow(reply: Reply | undefined): Row {
  if (reply?.kind === 'error') throw reply.error;
  const row = reply?.kind === 'rows' ? reply.rows[0] : undefined;
  if (row === undefined) throw new SqlError({ sqlstate: 'P0002', message: 'the server answered without a row' });
  return row;
}

/**
 * Two transactions of one session must have met the same backend.
 * @param first @param second pids; what is not known speaks neither for nor against
 * @throws Problem transaction_pooler
 */
export function assertSameBackend(first: string | number | null | undefined, second: string | number | null | undefined): void {
  if (first === null || first === undefined || second === null || second === undefined || Number(first) === Number(second)) return;
  throw new Problem(
    'transaction_pooler',
    `The connection does not keep its backend: it was at backend ${first}, and a transaction later at ${second}. A pooler in transaction mode is in between. Nothing was run. Use the direct address of the database.`,
  );
}

function readEngine(reply: Reply | undefined): Row | null {
  // no schema, or a schema of that name without our function
  if (reply?.kind === 'error' && ['3F000', '42883'].includes(reply.error.sqlstate)) return null;
  return onlyRow(reply);
}
