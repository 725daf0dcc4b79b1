/** What it can mean that a database does not have a deployment: nothing in Weft removes one. */
import { Problem } from '../domain/problem.ts';

const whatItCanMean =
  'Weft removes none, so it is another target\'s, or this database was taken back to an earlier state (a failover without its last commits, a restore, point-in-time recovery) or made anew. Then what that deployment had committed since is gone too: send the same request again, and it is opened anew. "weft status" lists the newest.';

/** @param said a sentence that names it */
export function absentDeployment(said: string, facts: Problem['facts'] = {}, cause?: unknown): Problem {
  return new Problem('deployment_not_found', `${said} ${whatItCanMean}`, facts, cause);
}
