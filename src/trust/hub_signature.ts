/**
 * The signature of GitHub's webhooks, `X-Hub-Signature-256`: HMAC-SHA256 in lower-case hexadecimal over the bytes of the body, and over
 * nothing else (docs.github.com, "Validating webhook deliveries"). It covers neither the event's name nor a time.
 */
import type { CallerKeys } from '../config/secrets.ts';
import { Problem } from '../domain/problem.ts';
import { findCaller } from './find_caller.ts';
import { makeCompare, makeHmac } from './hmac.ts';

/** @returns the header @throws Problem unsigned when there is none, or not one such signature */
export function readHubSignature(headers: Headers): string {
  const header = headers.get('x-hub-signature-256');
  if (header !== null && /^sha256=[0-9a-f]{64}$/.test(header)) return header;
  const why =
    header === null ? 'There is no header X-Hub-Signature-256' : 'The header X-Hub-Signature-256 is not "sha256=" and 64 lower-case hexadecimal digits';
  throw new Problem('unsigned', `${why}. A webhook without a secret proves nothing: set one at the forge, and let the configuration name it.`);
}

/**
 * Finds who signed.
 * @param body the bytes that came
 * @param signature from readHubSignature
 * @throws Problem signature_mismatch
 */
export async function verifyHubSignature(body: Uint8Array<ArrayBuffer>, signature: string, callers: readonly CallerKeys[]): Promise<{ caller: string }> {
  const given = Uint8Array.from(signature.slice('sha256='.length).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  const isSame = await makeCompare();
  const caller = await findCaller(callers, async (secret) => isSame(await makeHmac(new TextEncoder().encode(secret), body), given));
  if (caller !== null) return { caller };
  throw new Problem('signature_mismatch', 'No secret known here made X-Hub-Signature-256 over these bytes. Check the secret of the webhook at the forge.');
}
