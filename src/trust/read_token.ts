/**
 * Reading tokens: `weft_read.<claims>.<HMAC>`, both parts in base64url. Made by whoever holds a caller's secret (the caller,
 * or the Worker for the `Location` it answers with), good for reading one target, or one deployment on it, until they
 * expire. The signed bytes are none that a webhook can have, so neither signature can ever pass for the other.
 */
import { decodeBase64Url, encodeBase64Url } from '../config/base64.ts';
import type { Config } from '../config/config.ts';
import type { CallerKeys } from '../config/secrets.ts';
import { parseStrictJson } from '../config/strict_json.ts';
import { decodeWebhookSecret, encodeWebhookSecret, WEBHOOK_SECRET_FORM } from '../config/webhook_secret.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { type ReadClaims, readClaimsSchema } from '../domain/request.ts';
import { requireGrant } from './grants.ts';
import { makeCompare, makeHmac } from './hmac.ts';

const PREFIX = 'weft_read';

/** What the caller's secret signs: this and the claims as they stand in the token. One "." in all, where a webhook's bytes have at least two. */
const DOMAIN = 'weft-read-v1.';

/**
 * @param claims `expires` at most read_token_seconds_max from now, or nobody will accept it
 * @param secret `whsec_…`, one of the caller's
 * @throws Problem invalid_request when claims or secret do not have the right form
 */
export async function makeReadToken(claims: ReadClaims, secret: string): Promise<string> {
  const checked = readClaimsSchema.safeParse(claims);
  const key = decodeWebhookSecret(secret);
  if (!checked.success)
    throw new Problem('invalid_request', 'The claims of a reading token are caller, target, expires (seconds since 1970) and perhaps deployment.');
  if (key === null) throw new Problem('invalid_request', `The secret to sign with is not ${WEBHOOK_SECRET_FORM}.`);
  const payload = encodeBase64Url(new TextEncoder().encode(JSON.stringify(checked.data)));
  return `${PREFIX}.${payload}.${encodeBase64Url(await makeHmac(key, signedBytes(payload)))}`;
}

/**
 * @param headers of an HTTP request
 * @returns the token of `Authorization: Bearer …` (RFC 6750, section 2.1)
 * @throws Problem read_token_required
 */
export function readBearerToken(headers: Headers): string {
  const token = /^Bearer +([^ ]+)$/i.exec(headers.get('authorization') ?? '')?.[1];
  if (token === undefined) {
    throw new Problem(
      'read_token_required',
      'Reading needs the header "Authorization: Bearer weft_read.…". The Location of a deployment carries such a token; "weft sign --read" makes one.',
    );
  }
  return token;
}

/**
 * @param token as it came
 * @param o.target what is read; `o.deployment` too when it is one deployment, and not what the whole target has
 * @param o.nowSeconds since 1970
 * @returns whose token it is
 * @throws Problem read_token_invalid; once the token is proved, unknown_target or no_grant as well
 */
export async function acceptReadToken(
  token: string,
  o: { callers: readonly CallerKeys[]; config: Config; target: string; deployment?: string; nowSeconds: number },
): Promise<{ caller: string }> {
  const { claims, payload, mac } = readToken(token);
  if (!(await isProved(claims.caller, payload, mac, o.callers))) refuseUnproved();

  const seconds = claims.expires - o.nowSeconds;
  if (seconds <= 0) refuse(`it expired at ${new Date(claims.expires * 1000).toISOString()}`);
  if (seconds > LIMITS.read_token_seconds_max) refuse(`it would live longer than ${LIMITS.read_token_seconds_max} s (read_token_seconds_max)`);
  if (claims.target !== o.target) refuse(`it is for the target "${claims.target}"`);
  if (claims.deployment !== undefined && claims.deployment !== o.deployment) refuse(`it is for the deployment ${claims.deployment} alone`);
  requireGrant(o.config, claims.caller, 'read', o.target);
  return { caller: claims.caller };
}

interface ReadToken {
  readonly claims: ReadClaims;
  readonly payload: string;
  readonly mac: Uint8Array<ArrayBuffer>;
}

function readToken(token: string): ReadToken {
  if (token.length > LIMITS.read_token_characters) refuseUnproved();
  const [prefix, payload = '', last = '', ...more] = token.split('.');
  const bytes = decodeBase64Url(payload);
  const mac = decodeBase64Url(last);
  if (prefix !== PREFIX || more.length > 0 || bytes === null || mac === null) return refuseUnproved();
  return { claims: readClaims(bytes), payload, mac };
}

function readClaims(bytes: Uint8Array): ReadClaims {
  let value: unknown;
  try {
    value = parseStrictJson(bytes);
  } catch {
    refuseUnproved();
  }
  const claims = readClaimsSchema.safeParse(value);
  return claims.success ? claims.data : refuseUnproved();
}

/** Tries every secret of the caller; for a caller that is not known a key of the moment, so that the time says nothing. */
async function isProved(caller: string, payload: string, mac: Uint8Array<ArrayBuffer>, callers: readonly CallerKeys[]): Promise<boolean> {
  const secrets = callers.find(({ name }) => name === caller)?.secrets ?? [encodeWebhookSecret(crypto.getRandomValues(new Uint8Array(32)))];
  const isSame = await makeCompare();
  let proved = false;
  for (const secret of secrets) {
    const key = decodeWebhookSecret(secret);
    if (key === null) throw new Problem('invalid_configuration', `A secret of the caller "${caller}" is not ${WEBHOOK_SECRET_FORM}.`);
    if (await isSame(await makeHmac(key, signedBytes(payload)), mac)) proved = true;
  }
  return proved;
}

function signedBytes(payload: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(DOMAIN + payload);
}

function refuseUnproved(): never {
  throw new Problem('read_token_invalid', 'The bearer token was not made by a secret known here, or is damaged.');
}

function refuse(reason: string): never {
  throw new Problem('read_token_invalid', `The bearer token is genuine, but ${reason}. "weft sign --read" makes another.`);
}
