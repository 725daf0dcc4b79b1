/**
 * HMAC-SHA256 (RFC 2104) by WebCrypto, and a comparison that takes as long for a near miss as for a far one. What is signed,
 * and what it proves, is for others.
 */

/**
 * @param key the secret's bytes
 * @param message what is signed
 * @returns 32 bytes
 */
export async function makeHmac(key: Uint8Array<ArrayBuffer>, message: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.sign('HMAC', await importKey(key, 'sign'), message));
}

/** Compares two values without their difference showing in the time that takes. */
export type Compare = (expected: Uint8Array<ArrayBuffer>, given: Uint8Array<ArrayBuffer>) => Promise<boolean>;

/**
 * Makes a comparison for one verification. `crypto.subtle.verify` compares in constant time; it is asked under a key of the
 * moment, over the two short values, so that a long message need be hashed once per secret and not once per signature.
 */
export async function makeCompare(): Promise<Compare> {
  const raw = crypto.getRandomValues(new Uint8Array(32));
  const [signing, verifying] = await Promise.all([importKey(raw, 'sign'), importKey(raw, 'verify')]);
  return async (expected, given) => crypto.subtle.verify('HMAC', verifying, await crypto.subtle.sign('HMAC', signing, expected), given);
}

function importKey(raw: Uint8Array<ArrayBuffer>, usage: 'sign' | 'verify') {
  return crypto.subtle.importKey('raw', raw, { name: 'HMAC', hash: 'SHA-256' }, false, [usage]);
}
