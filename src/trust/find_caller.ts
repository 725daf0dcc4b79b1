/** Which of the callers a proof comes from. */
import type { CallerKeys } from '../config/secrets.ts';
import { makeCompare, makeHmac } from './hmac.ts';

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

/**
 * The same for a secret that is sent, and signs nothing. What is compared is of one length, whatever came.
 * @param given what came
 * @param write how a secret is sent
 * @returns the caller's name, or null
 */
export async function findCallerByToken(callers: readonly CallerKeys[], given: string, write = (secret: string) => secret): Promise<string | null> {
  const isSame = await makeCompare();
  const digest = (text: string) => makeHmac(new Uint8Array(32), new TextEncoder().encode(text));
  const came = await digest(given);
  return findCaller(callers, async (secret) => isSame(await digest(write(secret)), came));
}
