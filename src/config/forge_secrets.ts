/**
 * The secrets of callers that are forges, checked for form: what proves a webhook, and what Weft proves itself with there. No part of a value is
 * ever repeated.
 */
import { LIMITS } from '../domain/limits.ts';
import type { Forge } from './forges.ts';
import { decodeWebhookSecret, isSigningToken, WEBHOOK_SECRET_FORM } from './webhook_secret.ts';

export interface ForgeSecrets {
  /** Any of them may prove a webhook. */
  readonly webhooks: readonly string[];
  /** What is sent along to the API; null where an App signs for itself. */
  readonly token: string | null;
  /** Of a GitHub App: PEM of a key in PKCS#8, or in PKCS#1; null without one. */
  readonly privateKey: string | null;
}

/** @param read one secret by its name and its place, or null when it is not there, which is told already */
export function readForgeSecrets(
  name: string,
  forge: Forge,
  read: (secret: string, where: string) => string | null,
): { readonly secrets: ForgeSecrets; readonly faults: readonly string[] } {
  const faults: string[] = [];
  const where = `callers.${name}.forge`;
  const webhooks = forge.webhook_secrets.flatMap((secret, position) => {
    const place = `${where}.webhook_secrets[${position}]`;
    const value = read(secret, place);
    if (value === null) return [];
    if (value.length < LIMITS.forge_secret_characters_min || /\s/.test(value)) {
      faults.push(
        `the secret ${secret} (${place}) is shorter than ${LIMITS.forge_secret_characters_min} characters (forge_secret_characters_min), or holds a blank`,
      );
    }
    if (forge.kind === 'gitlab' && isSigningToken(value) && decodeWebhookSecret(value) === null) {
      faults.push(
        `the secret ${secret} (${place}) begins as a signing token does, and is none: that is ${WEBHOOK_SECRET_FORM}, as GitLab makes it. A secret token of your own begins otherwise`,
      );
    }
    return [value];
  });
  const token = forge.token === undefined ? null : read(forge.token, `${where}.token`);
  if (token !== null && !/^[\x21-\x7e]+$/.test(token))
    faults.push(`the secret ${forge.token} (${where}.token) holds a blank, a line break or a letter that no token has`);
  const privateKey = forge.app === undefined ? null : read(forge.app.private_key, `${where}.app.private_key`);
  if (privateKey !== null && !/^-----BEGIN ((?:RSA )?PRIVATE KEY)-----\s[A-Za-z0-9+/=\s]+-----END \1-----\s*$/.test(privateKey)) {
    faults.push(
      `the secret ${forge.app?.private_key} (${where}.app.private_key) is no private key in PEM, as GitHub gives it ("-----BEGIN RSA PRIVATE KEY-----") or in PKCS#8 ("-----BEGIN PRIVATE KEY-----")`,
    );
  }
  return { secrets: { webhooks, token, privateKey }, faults };
}
