/**
 * A caller's secret as Standard Webhooks writes it: `whsec_` and base64 of 24 to 64 random bytes.
 */
import { LIMITS } from '../domain/limits.ts';
import { decodeBase64, encodeBase64 } from './base64.ts';

const PREFIX = 'whsec_';

/** What a secret looks like, for details that must not show one. */
export const WEBHOOK_SECRET_FORM = `"${PREFIX}" followed by base64 of ${LIMITS.webhook_secret_bytes_min} to ${LIMITS.webhook_secret_bytes_max} bytes`;

/** Whether a text is meant as such a secret, whatever its form. */
export function isSigningToken(secret: string): boolean {
  return secret.startsWith(PREFIX);
}

/**
 * @param secret the text
 * @returns the key, or null when the text has another form
 */
export function decodeWebhookSecret(secret: string): Uint8Array<ArrayBuffer> | null {
  if (!isSigningToken(secret)) return null;
  const key = decodeBase64(secret.slice(PREFIX.length));
  return key !== null && key.length >= LIMITS.webhook_secret_bytes_min && key.length <= LIMITS.webhook_secret_bytes_max ? key : null;
}

/** @param key 24 to 64 bytes */
export function encodeWebhookSecret(key: Uint8Array): string {
  return PREFIX + encodeBase64(key);
}
