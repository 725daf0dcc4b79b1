/**
 * Proves what the Worker leaves in a database for whoever comes after it and acts on it at a forge: by a secret of that forge's, for
 * that target. Whoever may write into the database cannot write one that counts; and one that came along with a copy of a database is
 * of no use there.
 */
import { decodeBase64, encodeBase64 } from '../config/base64.ts';
import { makeCompare, makeHmac } from './hmac.ts';

/** No webhook begins so: what a forge signs with the same secret proves no errand, and the other way round. */
const PURPOSE = 'weft errand v1';

/** @param secrets of the forge's webhooks; the first one proves */
export async function proveErrand(errand: string, target: string, [secret]: readonly string[]): Promise<string> {
  if (secret === undefined) throw new Error('a forge without a secret is none');
  return encodeBase64(await makeProof(errand, target, secret));
}

/** @returns whether one of the secrets proves it, for this target */
export async function isErrandProved(errand: string, target: string, proof: string, secrets: readonly string[]): Promise<boolean> {
  const given = decodeBase64(proof);
  if (given === null) return false;
  const isSame = await makeCompare();
  const verdicts = await Promise.all(secrets.map(async (secret) => isSame(await makeProof(errand, target, secret), given)));
  return verdicts.includes(true);
}

function makeProof(errand: string, target: string, secret: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder();
  return makeHmac(bytes.encode(secret), bytes.encode([PURPOSE, target, errand].join('\n')));
}
