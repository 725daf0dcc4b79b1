/** Turns what the engine and the server say into problems: one switch over SQLSTATEs. Class WF is the engine's own. */
import { Problem } from '../domain/problem.ts';
import { absentDeployment } from './absent.ts';
import { SqlError } from './session.ts';

/** @throws what `work` throws, as the problem it means */
export async function asking<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw problemOf(error);
  }
}

/** A right on the schema alone is not enough: the guard, which knows the owner by name, has let such a role pass. */
const whoMayUseTheEngine =
  "What is in schema weft is for the role that owns it, and for its members: deploy as one of them, or let that role grant what is lacking. Who owns it: select nspowner::regrole from pg_namespace where nspname = 'weft'.";

const callCancelled = 'The CALL was cancelled on the server. What was committed stays; the deployment can be resumed.';

/** Class 53: insufficient resources. */
const whenThereIsRoom =
  'What was committed stays, and nothing needs to be cleaned up. When there is room again, send the same request once more (weft deploy with the same --id); if all of its files had arrived, "weft resume" is enough.';

/**
 * @param error what was thrown or replied
 * @param asked a CALL commits as it goes; a question is one transaction
 * @returns the Problem it means; a Problem stays itself, and what is no SqlError stays what it is
 */
export function problemOf(error: unknown, asked: 'call' | 'question' = 'question'): unknown {
  if (!(error instanceof SqlError)) return error;
  const said = error.hint ? `${endSentence(error.message)} ${error.hint}` : error.message;
  const facts = { sqlstate: error.sqlstate };
  switch (error.sqlstate) {
    case 'WF001':
      return new Problem('engine_newer', said, facts, error);
    case 'WF002':
      return absentDeployment(endSentence(error.message), facts, error);
    case 'WF004':
    case 'WF011':
      return new Problem('chunk_out_of_place', said, facts, error);
    case 'WF005':
      return new Problem('digest_mismatch', said, facts, error);
    case 'WF006':
    case 'WF050':
      return new Problem('invalid_request', said, facts, error);
    case 'WF007':
      return new Problem('deployment_not_staged', said, facts, error);
    case 'WF008':
      return new Problem('activity_hidden', said, facts, error);
    case 'WF009':
      return new Problem('role_without_rights', said, facts, error);
    case '42501':
      return new Problem('role_without_rights', error.hint ? said : `${endSentence(said)} ${whoMayUseTheEngine}`, facts, error);
    case 'WF024':
      return new Problem('engine_not_trusted', said, facts, error);
    case 'WF026':
      return new Problem('engine_replicated', said, facts, error);
    case 'WF010':
      return new Problem('transaction_pooler', said, facts, error);
    case 'WF040':
    case 'WF041':
    case 'WF042':
      return new Problem('invalid_parameters', said, facts, error);
    case 'WF017':
      return new Problem('copied_database', said, facts, error);
    case 'WF070':
      return new Problem('nothing_to_undo', said, facts, error);
    case 'WF071':
      return new Problem('undo_out_of_order', said, facts, error);
    case 'WF074':
      return new Problem('undo_ambiguous', said, facts, error);
    case 'WF075':
      return new Problem('undo_secrets_missing', said, facts, error);
    case 'WF072':
      return new Problem('undo_missing', said, facts, error);
    case 'WF088':
      return new Problem('drift_not_accepted', said, facts, error);
    case 'WF093':
      return new Problem('not_forgotten', said, facts, error);
    case 'WF094':
      return new Problem('own_approval', said, facts, error);
    case 'WF095':
      return new Problem('not_approved', said, facts, error);
    case 'WF096':
      return new Problem('rehearsal_missing', said, facts, error);
    case 'WF091':
      return new Problem('receipt_not_found', said, facts, error);
    case '25006':
      return new Problem('read_only_server', said, facts, error);
    case '3F000':
    case '42883':
    case '42P01':
      return new Problem('engine_missing', `Schema weft is not what this Weft expects: ${said}. Run \`weft install\`.`, facts, error);
    case '57014':
      return new Problem(
        'interrupted',
        asked === 'call' ? callCancelled : `The database ended this question: ${endSentence(said)} Nothing of it stays; ask again.`,
        facts,
        error,
      );
    default:
      if (error.sqlstate.startsWith('53')) return new Problem('server_exhausted', `${endSentence(said)} ${whenThereIsRoom}`, facts, error);
      return new Problem('statement_failed', said, facts, error);
  }
}

/** An error at the very COMMIT: nobody has taken the secrets out of it. Eight characters of one are enough to keep silent. */
export function hideSecrets(error: unknown, secrets: readonly string[]): unknown {
  if (!(error instanceof SqlError)) return error;
  const told = [error.message, error.detail, error.hint].join('\n').toLowerCase();
  const shows = secrets.some((secret) => {
    const width = Math.min(8, secret.length);
    for (let at = 0; width > 0 && at + width <= secret.length; at += 1) if (told.includes(secret.slice(at, at + width).toLowerCase())) return true;
    return false;
  });
  if (!shows) return error;
  return new SqlError({ sqlstate: error.sqlstate, message: 'The server’s words hold a secret parameter, and are not repeated here. Its log has them.' });
}

function endSentence(text: string): string {
  return /[.!?:]$/.test(text) ? text : `${text}.`;
}
