/**
 * Identity tokens (OpenID Connect, as JWT: RFC 7519, signed as RFC 7515 says): whether one is genuine. The issuer is looked up in the
 * list of those that the configuration names; nothing that the token says is believed before its signature is proved by a key of that
 * issuer. Whose token it is, and what for, is for identity.ts.
 */
import { compactVerify, decodeProtectedHeader, errors } from 'jose';
import { decodeBase64Url } from '../config/base64.ts';
import type { Identity } from '../config/identities.ts';
import { parseStrictJson } from '../config/strict_json.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import type { FindKey } from './issuer_keys.ts';

/** What a token claims, and its issuer has signed. */
export interface GenuineToken {
  readonly issuer: Identity;
  readonly claims: Readonly<Record<string, unknown>>;
  /** Seconds since 1970. */
  readonly expires: number;
  /** SHA-256 of what the issuer has signed, in hexadecimal: names this token, and is of no use to whoever reads it. */
  readonly digest: string;
}

/** Why a token is not taken; for the log alone. */
export class TokenRefusal extends Error {
  override readonly name = 'TokenRefusal';
  readonly reason: string;

  /** @param reason in few words, the same each time · @param message the same for whoever reads the log, with what was found */
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** One algorithm, that of all three issuers: none is taken from the token. */
const ALGORITHM = 'RS256';

/** Whether a bearer token is meant to be one of these: three parts, of which the first begins as `{"` does in base64url. */
export function looksLikeIdentityToken(token: string): boolean {
  return token.startsWith('eyJ');
}

/**
 * @param token as it came
 * @param issuers those that the configuration names
 * @param nowSeconds since 1970
 * @throws TokenRefusal; Problem issuer_unreachable if its keys cannot be had
 */
export async function verifyIdentityToken(token: string, issuers: readonly Identity[], findKey: FindKey, nowSeconds: number): Promise<GenuineToken> {
  if (token.length > LIMITS.identity_token_characters) {
    throw new TokenRefusal('too long', `The token has ${token.length} characters, more than ${LIMITS.identity_token_characters} (identity_token_characters).`);
  }
  const [head, body = '', , ...more] = token.split('.');
  const payload = decodeBase64Url(body);
  if (head === undefined || payload === null || more.length > 0) throw new TokenRefusal('no token', 'It is not three parts of base64url.');
  const claims = readClaims(payload);
  const issuer = issuers.find((one) => one.issuer === claims.iss);
  if (issuer === undefined) throw new TokenRefusal('issuer', `No caller has an identity of the issuer ${quote(claims.iss)}.`);
  const { alg, kid } = readHeader(token);
  if (alg !== ALGORITHM) throw new TokenRefusal('algorithm', `The token says that it is signed by ${quote(alg)}; only ${ALGORITHM} is taken.`);
  if (typeof kid !== 'string') throw new TokenRefusal('key', 'The token names no key (kid).');
  const key = await findKey(issuer, kid);
  if (key === null) throw new TokenRefusal('key', `The issuer ${issuer.issuer} has no key ${quote(kid)}.`);
  try {
    await compactVerify(token, key, { algorithms: [ALGORITHM] });
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error;
    throw new TokenRefusal('signature', `Its signature does not hold (${error.code}).`);
  }
  return { issuer, claims, expires: checkTimes(claims, nowSeconds), digest: await digestOf(`${head}.${body}`) };
}

function readClaims(payload: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value = parseStrictJson(payload);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
  throw new TokenRefusal('no token', 'Its claims are no JSON object that every reader reads alike.');
}

function readHeader(token: string): Readonly<Record<string, unknown>> {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw new TokenRefusal('no token', 'Its header cannot be read.');
  }
}

/** @returns when it expires */
function checkTimes({ exp, nbf, iat }: Readonly<Record<string, unknown>>, nowSeconds: number): number {
  const slack = LIMITS.identity_clock_seconds;
  if (!isTime(exp)) throw new TokenRefusal('exp', 'It does not say when it expires (exp).');
  if (!isTime(iat)) throw new TokenRefusal('iat', 'It does not say when it was made (iat).');
  if (exp + slack <= nowSeconds) throw new TokenRefusal('exp', `It expired at ${shown(exp)}; it is ${shown(nowSeconds)} here.`);
  if (iat - slack > nowSeconds) throw new TokenRefusal('iat', `It was made at ${shown(iat)}; it is ${shown(nowSeconds)} here.`);
  if (nbf !== undefined && (!isTime(nbf) || nbf - slack > nowSeconds))
    throw new TokenRefusal('nbf', `It does not hold yet (nbf); it is ${shown(nowSeconds)} here.`);
  if (exp - iat > LIMITS.identity_token_seconds_max) {
    throw new TokenRefusal('exp', `It lives ${exp - iat} s, longer than ${LIMITS.identity_token_seconds_max} s (identity_token_seconds_max).`);
  }
  return exp;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 && value < 1e11;
}

function shown(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

async function digestOf(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** What a stranger wrote, for a log line: short, and of one line. */
export function quote(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 200);
}
