/**
 * What is met on coming back to a deployment that was there before: another server at the address, or one that has forgotten. It says nothing of
 * what the deployment has done until then, and neither do the words for whoever comes for the first time.
 */
import { Problem } from '../domain/problem.ts';

/** Where a primary was a moment ago, a standby waits to be promoted, or the address to be led elsewhere: that passes, and what was run is not undone by it. */
export function primaryGone(error: unknown): unknown {
  if (!(error instanceof Problem && error.slug === 'standby_server')) return error;
  return new Problem(
    'session_lost',
    'The address led to the primary, and leads to a standby in recovery now. What was committed and has reached the standby stays, and nothing needs to be cleaned up: when the standby is promoted, or the address leads to the primary again, the deployment goes on from there.',
    {},
    error,
  );
}

/** What ends the errand, in words for whoever has seen the deployment. */
export function metAgain(error: unknown): unknown {
  if (!(error instanceof Problem) || error.facts.begun === true) return error;
  const { slug, message, facts, cause } = error;
  switch (slug) {
    case 'deployment_not_found':
      return new Problem(
        'interrupted',
        `${firstSentence(message)} It was there before: so this database has lost what was committed last, as a standby has that was promoted and had not received it, or one that was restored from a backup. What the deployment has committed since it was opened is gone with it. Send the same request again: it is opened anew.`,
        facts,
        cause,
      );
    case 'database_authentication':
    case 'database_missing':
    case 'role_without_rights':
    case 'server_too_old':
    case 'read_only_server':
    case 'activity_hidden':
    case 'transaction_pooler':
    case 'engine_replicated':
      return begun(error, 'when this is put right the same request goes on from there.');
    case 'database_unreachable':
    case 'no_free_connection':
      return begun(error, 'if the server is there it may be going on.');
    default:
      return error;
  }
}

/** Without what that can mean: who has seen it there knows. */
function firstSentence(message: string): string {
  return `${message.split(/\.(?: |$)/, 1)[0]}.`;
}

/** Leaves out what is only true for the last try, and not for the deployment. */
function begun({ slug, message, facts, cause }: Problem, whatIsNext: string): Problem {
  const words = message.replace(/ Nothing was (?:changed(?: in the database)?|run)\./, '');
  return new Problem(slug, `${words} The deployment had begun by then: what it has committed stays, and ${whatIsNext}`, { ...facts, begun: true }, cause);
}
