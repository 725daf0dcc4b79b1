/**
 * Secret parameters in what the Worker leaves for itself: encrypted with AES-256-GCM under a key of the Worker's own (its secret, through
 * HKDF), and bound to the deployment they are for. Whoever reads the queue learns their length.
 */
import { decodeBase64, encodeBase64 } from '../config/base64.ts';
import { decodeWebhookSecret, WEBHOOK_SECRET_FORM } from '../config/webhook_secret.ts';
import { type SecretValues, secretValuesSchema } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';

/** A key for this and nothing else, whatever else the secret may be used for. */
const PURPOSE = 'weft seal v1';
/** NIST SP 800-38D, section 8.2.2: random, 96 bits. */
const iv_bytes = 12;

/** What sealed secrets are bound to. */
export interface SealPlace {
  readonly target: string;
  readonly deployment: string;
}

/**
 * @param secret `whsec_…`, of the Worker
 * @throws Problem invalid_configuration when the secret does not have the right form
 */
export async function sealSecrets(values: SecretValues, secret: string, place: SealPlace): Promise<string> {
  const key = await deriveKey(secret);
  const iv = crypto.getRandomValues(new Uint8Array(iv_bytes));
  const plain = new TextEncoder().encode(JSON.stringify(values));
  const sealed = new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData: bindTo(place) }, key, plain));
  const all = new Uint8Array(iv.length + sealed.length);
  all.set(iv);
  all.set(sealed, iv.length);
  return encodeBase64(all);
}

/**
 * @param sealed from sealSecrets
 * @returns the values; null when they were sealed with another key or for another deployment, or are damaged
 * @throws Problem invalid_configuration when the secret does not have the right form
 */
export async function openSealed(sealed: string, secret: string, place: SealPlace): Promise<SecretValues | null> {
  const key = await deriveKey(secret);
  const all = decodeBase64(sealed);
  if (all === null || all.length <= iv_bytes) return null;
  try {
    const algorithm = { name: 'AES-GCM', iv: all.subarray(0, iv_bytes), additionalData: bindTo(place) };
    const plain = await crypto.subtle.decrypt(algorithm, key, all.subarray(iv_bytes));
    return secretValuesSchema.parse(JSON.parse(new TextDecoder().decode(plain)));
  } catch {
    return null;
  }
}

function bindTo({ target, deployment }: SealPlace): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode([PURPOSE, target, deployment].join('\n'));
}

async function deriveKey(secret: string) {
  const bytes = decodeWebhookSecret(secret);
  if (bytes === null) throw new Problem('invalid_configuration', `The secret to seal with is not ${WEBHOOK_SECRET_FORM}.`);
  const base = await crypto.subtle.importKey('raw', bytes, 'HKDF', false, ['deriveKey']);
  const derivation = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info: new TextEncoder().encode(PURPOSE) };
  return crypto.subtle.deriveKey(derivation, base, { name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);
}
