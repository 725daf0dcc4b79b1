/** Sessions whose client has disappeared without a word: what is running may wait for them. */
import { asking } from './engine_problems.ts';
import { queryEngine } from './guard.ts';
import type { Session } from './session.ts';

/**
 * Ends those of this role that are in the middle of what they asked Weft for.
 * @throws Problem engine_missing, session_lost
 */
export async function endLostSessions(session: Session): Promise<void> {
  await asking(() => queryEngine(session, 'select weft.end_lost_sessions()'));
}
