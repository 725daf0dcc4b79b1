/**
 * The public keys of issuers (JWKS, RFC 7517): fetched from the issuer's own host and from nowhere else, following no redirect, kept
 * for a while, and fetched again, not too often, when a token names an unknown key: issuers change theirs. Each isolate keeps its own.
 */
import { type CryptoKey, importJWK, type JWK } from 'jose';
import * as z from 'zod';
import type { Identity } from '../config/identities.ts';
import { parseStrictJson } from '../config/strict_json.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';

/** @returns the key by its name; null when the issuer has none of that name */
export type FindKey = (issuer: Identity, kid: string) => Promise<CryptoKey | null>;

export interface KeysOptions {
  /** Asks an address of the web. */
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Milliseconds since 1970. */
  now(): number;
}

interface Ring {
  keys: ReadonlyMap<string, CryptoKey>;
  /** Milliseconds since 1970: when they came, and when they were last asked for. */
  fetchedAt: number;
  triedAt: number;
  /** How many requests are asking right now. */
  asking: number;
}

/** Who comes first fetches; a crowd that comes at once does so a few times, since one request cannot wait for what another one has asked. */
const ASKING_COUNT_MAX = 4;

/** The pause between two of the first questions, when the first had no answer. */
const FIRST_PAUSE_MS = 3000;

const jwkSchema = z.looseObject({
  kty: z.string(),
  kid: z.string().optional(),
  use: z.string().optional(),
  alg: z.string().optional(),
  n: z.string().optional(),
});
const jwksSchema = z.looseObject({ keys: z.array(jwkSchema).max(LIMITS.identity_keys_count) });
const discoverySchema = z.looseObject({ issuer: z.string(), jwks_uri: z.string() });

/** The modulus of 2048 bits, in base64url. */
const MODULUS_CHARACTERS_MIN = 342;

/** @returns what finds a key; throws Problem issuer_unreachable if no key is recent enough, and no others can be had */
export function createIssuerKeys(options: KeysOptions): FindKey {
  const rings = new Map<string, Ring>();
  return async (issuer, kid) => {
    const ring = rings.get(issuer.issuer) ?? { keys: new Map(), fetchedAt: 0, triedAt: 0, asking: 0 };
    rings.set(issuer.issuer, ring);
    const isYoung = options.now() - ring.fetchedAt < LIMITS.identity_keys_seconds * 1000;
    const known = ring.keys.get(kid);
    if (known !== undefined && isYoung) return known;
    const failure = mayAsk(ring, options) ? await refresh(issuer, ring, options) : null;
    const key = ring.keys.get(kid);
    // Keys that are old are good for a while, when their issuer does not answer: but not for ever.
    const isTooOld = options.now() - ring.fetchedAt >= LIMITS.identity_keys_seconds_max * 1000;
    if (isTooOld || (key === undefined && failure !== null)) throw unreachable(issuer, failure);
    return key ?? null;
  };
}

/** An issuer is not asked by every stranger who names a key that is not known, nor again and again while it does not answer. */
function mayAsk(ring: Ring, { now }: KeysOptions): boolean {
  const since = now() - ring.triedAt;
  if (ring.fetchedAt > 0) return since >= LIMITS.identity_keys_pause_seconds * 1000;
  return ring.asking === 0 ? since >= FIRST_PAUSE_MS : ring.asking < ASKING_COUNT_MAX;
}

/** @returns what went wrong; null: nothing */
async function refresh(issuer: Identity, ring: Ring, options: KeysOptions): Promise<unknown> {
  ring.triedAt = options.now();
  ring.asking += 1;
  try {
    ring.keys = await fetchKeys(issuer, options);
    ring.fetchedAt = options.now();
    return null;
  } catch (error) {
    return error;
  } finally {
    ring.asking -= 1;
  }
}

function unreachable(issuer: Identity, cause: unknown): Problem {
  return new Problem(
    'issuer_unreachable',
    'The keys of the issuer of this token cannot be fetched right now, so nothing can be proved. No database was asked; send the same request again.',
    {},
    cause ?? new Error(`The keys of ${issuer.issuer} are not there, and it was asked a moment ago.`),
  );
}

async function fetchKeys(issuer: Identity, options: KeysOptions): Promise<ReadonlyMap<string, CryptoKey>> {
  const { keys } = jwksSchema.parse(await fetchJson(issuer.keys ?? (await discover(issuer, options)), options));
  const found = new Map<string, CryptoKey>();
  for (const jwk of keys) {
    const isFit = jwk.kty === 'RSA' && (jwk.use ?? 'sig') === 'sig' && (jwk.alg ?? 'RS256') === 'RS256' && (jwk.n?.length ?? 0) >= MODULUS_CHARACTERS_MIN;
    if (jwk.kid === undefined || !isFit) continue;
    const { kty, n, e } = jwk as JWK;
    found.set(jwk.kid, (await importJWK({ kty, n, e, alg: 'RS256' } as JWK, 'RS256')) as CryptoKey);
  }
  return found;
}

/** OpenID Connect Discovery 1.0, section 4: held to the issuer that was asked, and to its host. */
async function discover({ issuer }: Identity, options: KeysOptions): Promise<string> {
  const document = discoverySchema.parse(await fetchJson(`${issuer}/.well-known/openid-configuration`, options));
  if (document.issuer !== issuer) throw new Error(`The discovery document of ${issuer} is of another issuer.`);
  if (!URL.canParse(document.jwks_uri) || new URL(document.jwks_uri).origin !== new URL(issuer).origin) {
    throw new Error(`The discovery document of ${issuer} leads to another host.`);
  }
  return document.jwks_uri;
}

async function fetchJson(url: string, options: KeysOptions): Promise<unknown> {
  const signal = AbortSignal.timeout(LIMITS.identity_keys_wait_seconds * 1000);
  const response = await options.fetch(url, { redirect: 'manual', signal, headers: { accept: 'application/json' } });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${url} answered ${response.status}; redirects are not followed.`);
  }
  return parseStrictJson(await readBounded(response, url));
}

async function readBounded(response: Response, url: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of (response.body ?? new Blob([]).stream()) as unknown as AsyncIterable<Uint8Array>) {
    size += part.length;
    if (size > LIMITS.identity_keys_bytes) throw new Error(`${url} answered more than ${LIMITS.identity_keys_bytes} bytes (identity_keys_bytes).`);
    parts.push(part);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
