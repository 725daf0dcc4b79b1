/**
 * Which deployment a review at a forge approves: one that waits with the files that were reviewed, and that somebody else has opened.
 */
import type { Waiting } from '../database/words.ts';
import type { Manifest } from '../domain/manifest.ts';
import { checkParameters } from '../domain/parameters.ts';

/**
 * @param given the plain parameters of the source; secrets come with whoever opens a deployment, and neither here nor in what waits is more than their names
 * @throws Problem invalid_parameters
 */
export function checkReviewed({ parameters = [] }: Manifest, given: Readonly<Record<string, unknown>>): void {
  const secrets = parameters.flatMap(({ name, secret }) => (secret ? [name] : []));
  checkParameters(parameters, given, secrets);
}

/**
 * @param waiting with just these files and parameters, the newest first
 * @param forge the caller that would approve it
 * @param reviewers who have approved it there; none of them is who has opened it here, as far as a token has said who that was
 */
export function chooseWaiting(waiting: readonly Waiting[], forge: string, reviewers: readonly string[]): Waiting | { readonly why: string } {
  const byOthers = waiting.find(({ caller, actor }) => caller !== forge && reviewers.some((reviewer) => reviewer !== actor));
  if (byOthers !== undefined) return byOthers;
  return {
    why:
      waiting.length === 0
        ? 'Nothing that waits for an approval there has these files and parameters.'
        : 'What waits there with these files was opened by who approves it now.',
  };
}
