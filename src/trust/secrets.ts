/**
 * Secrets beside a request. The request holds of each only a digest, HMAC-SHA256 under the secret of the caller who signs: it binds
 * the value to this request, and is of no use to whoever reads it in the database, because a short secret (a PIN, a word) cannot be
 * found by trying without that key. Request and target are part of what is digested, so that equal secrets do not look alike.
 */
import { parseStrictJson } from '../config/strict_json.ts';
import { decodeWebhookSecret, WEBHOOK_SECRET_FORM } from '../config/webhook_secret.ts';
import { LIMITS } from '../domain/limits.ts';
import { type SecretDigests, type SecretValues, secretsMissing, secretValuesSchema } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import { makeCompare, makeHmac } from './hmac.ts';

/** First of what is digested. It holds a blank, which no webhook-id does, and no reading token: neither's signature can pass for this, nor this for theirs. */
const DOMAIN = 'weft secret v1';

/** What a secret is bound to. */
export interface SecretPlace {
  /** The id of the request. */
  readonly id: string;
  readonly target: string | null;
}

/**
 * @param key `whsec_…`, the secret of the caller who signs
 * @returns for each value its digest: over the lines `weft secret v1`, id, target, name, and the value's bytes
 * @throws Problem invalid_request when the key does not have the right form
 */
export async function digestSecrets(values: SecretValues, key: string, place: SecretPlace): Promise<Record<string, string>> {
  const bytes = decodeWebhookSecret(key);
  if (bytes === null) throw new Problem('invalid_request', `The secret to sign with is not ${WEBHOOK_SECRET_FORM}.`);
  const digests: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) digests[name] = toHex(await makeHmac(bytes, digestedBytes(name, value, place)));
  return digests;
}

/**
 * Holds secrets to the digests of a request.
 * @param digests as they were signed
 * @param values as they came beside it; null when nothing came
 * @param keys all secrets of the caller who signed
 * @throws Problem invalid_request for a digest that is none; invalid_parameters for a value that no digest is for; secrets_missing for
 * a digest without its value, when other values came; secret_mismatch
 */
export async function proveSecrets(digests: SecretDigests, values: SecretValues | null, keys: readonly string[], place: SecretPlace): Promise<void> {
  const unsigned = Object.keys(digests).find((name) => digests[name] === null);
  if (unsigned !== undefined) {
    throw new Problem('invalid_request', `secrets.${unsigned}: must be an HMAC-SHA256 in lower-case hexadecimal; null is for requests that nobody signs.`);
  }
  if (values === null) return;
  const unnamed = Object.keys(values).find((name) => !Object.hasOwn(digests, name));
  if (unnamed !== undefined) {
    throw new Problem(
      'invalid_parameters',
      `A value came for "${unnamed}", and the signed request has no digest of it under "secrets". No database was asked.`,
      {
        parameter: unnamed,
      },
    );
  }
  const missing = Object.keys(digests).filter((name) => !Object.hasOwn(values, name));
  if (missing.length > 0) throw secretsMissing(missing, null);
  for (const [name, value] of Object.entries(values)) {
    if (!(await isProved(digests[name] ?? '', name, value, keys, place))) {
      throw new Problem(
        'secret_mismatch',
        `The value that came for "${name}" is not the one that the request was signed with. If it is the right one, the caller's signing secret has changed since. Nothing was run.`,
        { parameter: name },
      );
    }
  }
}

/** Every key is tried, whichever has matched before. */
async function isProved(digest: string, name: string, value: string, keys: readonly string[], place: SecretPlace): Promise<boolean> {
  const isSame = await makeCompare();
  const given = fromHex(digest);
  let proved = false;
  for (const key of keys) {
    const bytes = decodeWebhookSecret(key);
    if (bytes !== null && (await isSame(await makeHmac(bytes, digestedBytes(name, value, place)), given))) proved = true;
  }
  return proved;
}

/**
 * Reads the document that holds the secrets.
 * @throws Problem too_large (secrets_bytes); malformed_json; invalid_parameters: never with a value in it
 */
export function readSecretValues(bytes: Uint8Array): SecretValues {
  if (bytes.length > LIMITS.secrets_bytes) {
    throw new Problem('too_large', `The secrets have ${bytes.length} bytes, more than ${LIMITS.secrets_bytes} (secrets_bytes).`, { limit: 'secrets_bytes' });
  }
  const parsed = secretValuesSchema.safeParse(parseStrictJson(bytes, 'The document with the secrets'));
  if (parsed.success) return parsed.data;
  const form = `a JSON object of names and texts, such as {"token": "…"}, each of at most ${LIMITS.parameter_characters} characters (parameter_characters)`;
  throw new Problem('invalid_parameters', `The secrets beside the request are not ${form}. No database was asked.`);
}

function digestedBytes(name: string, value: string, { id, target }: SecretPlace): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode([DOMAIN, id, target ?? '', name, value].join('\n'));
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function fromHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
