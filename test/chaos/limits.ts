/** What waits for minutes in life waits for a second here, and no patience with bad luck ends. */
import { LIMITS as OF_THE_CLIENT } from '../../src/domain/limits.ts';

/** The engine's. */
export const LIMITS = {
  directive_silence_seconds: 1,
  client_silence_seconds: 1,
  look_again_ms: 50,
  lock_wait_between_ms: 20,
  lock_wait_between_ms_max: 100,
  attempts_without_progress_count: 1000,
  directive_attempts_count: 1000,
  lock_attempts_count: 1000,
};

/** How soon the server's machine notices that nothing comes from a client's any more, for a session that wants it to look. */
export const noticed_after_ms = 1_500;

/** A client that stays bears a silence for two seconds, in this whole process. */
export function shortenSilence(): void {
  Object.assign(OF_THE_CLIENT, { silence_seconds_max: 2 });
}
