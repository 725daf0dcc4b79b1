/** Which of the callers a proof comes from. */
import type { CallerKeys } from '../config/secrets.ts';

/**
 * Every secret of every caller is tried, whichever has matched before: how long that takes says nothing of who it is.
 * @param isProvedBy whether this secret, of that caller, has made what came
 * @returns the caller's name, or null
 */
export async function findCaller(callers: readonly CallerKeys[], isProvedBy: (secret: string, caller: string) => Promise<boolean>): Promise<string | null> {
  let found: string | null = null;
  for (const { name, secrets } of callers) {
    for (const secret of secrets) if (await isProvedBy(secret, name)) found = name;
  }
  return found;
}
