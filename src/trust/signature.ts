/**
 * Standard Webhooks (specification of 2026-08-17), symmetric signatures `v1`: HMAC-SHA256 over `id.timestamp.body`, the body as the
 * bytes that came. Says who signed, and when; what the body means is not known here. Until a signature is proved, the answers tell a
 * stranger nothing else.
 */

import { decodeBase64, encodeBase64 } from '../config/base64.ts';
import type { CallerKeys } from '../config/secrets.ts';
import { decodeWebhookSecret, WEBHOOK_SECRET_FORM } from '../config/webhook_secret.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { requestIdSchema } from '../domain/request.ts';
import { findCaller } from './find_caller.ts';
import { makeCompare, makeHmac } from './hmac.ts';

/** The three headers, each of the right form, as they came: they are part of what is signed. */
export interface SignedHeaders {
  readonly id: string;
  /** Seconds since 1970, in decimal. */
  readonly timestamp: string;
  /** One or more `v1,<base64>`, separated by spaces; other versions may stand among them. */
  readonly signature: string;
}

/**
 * @param headers of an HTTP request; a header that came twice reads as "a, b" and has no right form
 * @throws Problem unsigned, when one is missing or malformed
 */
export function readSignedHeaders(headers: Headers): SignedHeaders {
  return {
    id: readHeader(headers, 'webhook-id', (text) => requestIdSchema.safeParse(text).success, 'letters, digits, "_", ":" and "-", 128 at most'),
    timestamp: readHeader(headers, 'webhook-timestamp', (text) => /^[1-9][0-9]{0,11}$/.test(text), 'whole seconds since 1970'),
    signature: readHeader(
      headers,
      'webhook-signature',
      isSignatureList,
      `"v1,<base64>", ${LIMITS.signatures_count} at most with one space between (signatures_count)`,
    ),
  };
}

function readHeader(headers: Headers, name: string, isRight: (text: string) => boolean, form: string): string {
  const text = headers.get(name);
  if (text === null) {
    throw new Problem(
      'unsigned',
      `The header ${name} is missing. A request is signed as Standard Webhooks say: webhook-id, webhook-timestamp, webhook-signature.`,
      {
        header: name,
      },
    );
  }
  if (!isRight(text)) throw new Problem('unsigned', `The header ${name} must come once and hold ${form}.`, { header: name });
  return text;
}

function isSignatureList(text: string): boolean {
  const entries = text.split(' ');
  return entries.length <= LIMITS.signatures_count && entries.every((entry) => /^[A-Za-z0-9]+,[A-Za-z0-9+/_=-]+$/.test(entry));
}

/**
 * @param body the bytes that will be sent
 * @param secret `whsec_…`
 * @param id becomes webhook-id
 * @param nowSeconds since 1970; becomes webhook-timestamp
 * @throws Problem invalid_request when the id or the secret does not have the right form
 */
export async function signRequest(body: Uint8Array, secret: string, id: string, nowSeconds: number): Promise<SignedHeaders> {
  const key = decodeWebhookSecret(secret);
  if (key === null) throw new Problem('invalid_request', `The secret to sign with is not ${WEBHOOK_SECRET_FORM}.`);
  if (!requestIdSchema.safeParse(id).success)
    throw new Problem('invalid_request', 'The id to sign is not made of letters, digits, "_", ":" and "-", 128 at most.');
  const timestamp = String(Math.floor(nowSeconds));
  return { id, timestamp, signature: `v1,${encodeBase64(await makeHmac(key, signedBytes(id, timestamp, body)))}` };
}

/**
 * Finds who signed. Every secret of every caller is tried on every signature of the list, whichever has matched before:
 * neither the answer nor the time it takes says who is known here.
 * @param body the bytes that came
 * @param signed from readSignedHeaders
 * @param callers all of them
 * @param nowSeconds since 1970
 * @throws Problem signature_mismatch; stale when the signature is right, and made more than signature_tolerance_seconds from now
 */
export async function verifySignature(
  body: Uint8Array,
  signed: SignedHeaders,
  callers: readonly CallerKeys[],
  nowSeconds: number,
): Promise<{ caller: string }> {
  const message = signedBytes(signed.id, signed.timestamp, body);
  const given = signed.signature.split(' ').flatMap(readSignature);
  const isSame = await makeCompare();
  const caller = await findCaller(callers, async (secret, name) => {
    const expected = await makeHmac(decodeWebhookSecret(secret) ?? unreadable(name), message);
    let isOne = false;
    for (const signature of given) if (await isSame(expected, signature)) isOne = true;
    return isOne;
  });
  if (caller === null) {
    throw new Problem(
      'signature_mismatch',
      'None of the v1 signatures in webhook-signature was made by a secret known here over webhook-id, webhook-timestamp and these bytes. Check the secret, and that the body is sent exactly as it was signed.',
    );
  }
  const seconds = Math.floor(nowSeconds) - Number(signed.timestamp);
  if (Math.abs(seconds) > LIMITS.signature_tolerance_seconds) {
    throw new Problem(
      'stale',
      `The signature was made ${Math.abs(seconds)} s ${seconds > 0 ? 'ago' : 'in the future'}; ${LIMITS.signature_tolerance_seconds} s either way are allowed (signature_tolerance_seconds). Sign again, and check the clock of the machine that signs.`,
      { seconds, limit: 'signature_tolerance_seconds' },
    );
  }
  return { caller };
}

function unreadable(caller: string): never {
  throw new Problem('invalid_configuration', `A secret of the caller "${caller}" is not ${WEBHOOK_SECRET_FORM}.`);
}

/** Other versions are for other receivers; a v1 that is no base64 matches nothing. */
function readSignature(entry: string): Uint8Array<ArrayBuffer>[] {
  const bytes = entry.startsWith('v1,') ? decodeBase64(entry.slice(3)) : null;
  return bytes === null ? [] : [bytes];
}

function signedBytes(id: string, timestamp: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head);
  bytes.set(body, head.length);
  return bytes;
}
