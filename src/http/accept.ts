/** Who signed, and whether they may: the room `trust` decides, with this Worker's keys, configuration and clock. */
import { sha256 } from '../bundle/chunks.ts';
import type { SecretValues } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import type { DeployRequest, RequestType, ResumeRequest, UndoRequest, WeftRequest } from '../domain/request.ts';
import { proveIdentity, refusedFor } from '../trust/identity.ts';
import { looksLikeIdentityToken, TokenRefusal } from '../trust/identity_token.ts';
import { acceptRequest } from '../trust/request.ts';
import { requireRules } from '../trust/rules.ts';
import { proveSecrets, readSecretValues } from '../trust/secrets.ts';
import { readSignedHeaders, type SignedHeaders } from '../trust/signature.ts';
import type { HttpContext } from './context.ts';
import type { Ports } from './ports.ts';
import { noteCaller, requireRate } from './rates.ts';

/** What came to prove who asks. At least one of them is there. */
export interface Proof {
  readonly signed: SignedHeaders | null;
  /** An identity token, as it came. */
  readonly token: string | null;
}

/** What is kept in the database of how the caller was proved: the headers of a signature, what a token said, or both. */
export type Evidence = Readonly<Record<string, string>>;

/**
 * @param headers of an HTTP request
 * @throws Problem unsigned when there is neither a signature nor a token, or a part of one
 */
export function readProof(headers: Headers): Proof {
  const bearer = /^Bearer +([^ ]+)$/i.exec(headers.get('authorization') ?? '')?.[1];
  const token = bearer !== undefined && looksLikeIdentityToken(bearer) ? bearer : null;
  const isSigned = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].some((name) => headers.has(name));
  return { signed: token !== null && !isSigned ? null : readSignedHeaders(headers), token };
}

/**
 * Proves a signed document, and notes its caller for the log.
 * @throws Problem as acceptRequest and proveIdentity do, and environment_rule; no session has been opened by then
 */
export async function acceptSigned<T extends RequestType>(
  c: HttpContext,
  ports: Ports,
  o: { readonly body: Uint8Array; readonly proof: Proof; readonly type: T; readonly target: string },
): Promise<{ caller: string; request: Extract<WeftRequest, { type: T }>; evidence: Evidence }> {
  const { body, type, target } = o;
  const { signed, token } = o.proof;
  const { config, callers } = ports;
  const nowSeconds = Math.floor(ports.now() / 1000);
  const digest = token === null ? '' : await sha256(body);
  const identity = token === null ? null : await proveIdentity(token, { config, findKey: ports.findKey, nowSeconds, purpose: { kind: 'request', digest } });
  const { caller, request } = await acceptRequest({
    body,
    signed,
    identity,
    callers,
    config,
    type,
    target,
    nowSeconds,
    onCaller: (name) => noteCaller(c, name),
  });
  await requireRate(c, ports.rates, caller);
  requireRules(config, request, { branch: identity?.branch ?? null, nowSeconds });
  if (identity !== null && !(await ports.tokens.claim(identity.token.digest, digest, identity.token.expires))) {
    throw refusedFor(new TokenRefusal('used', `The token was used for another request before; it counts for one. Token ${identity.token.digest}.`));
  }
  const evidence: Evidence = { ...signed, ...identity?.evidence };
  return { caller, request: request as Extract<WeftRequest, { type: T }>, evidence };
}

/**
 * Holds the secrets that came beside a request to the digests in it.
 * @param bytes of secrets.json; null when none came
 * @throws Problem as readSecretValues and proveSecrets do; no session has been opened by then
 */
export async function acceptSecrets(
  ports: Ports,
  caller: string,
  request: Pick<DeployRequest | ResumeRequest | UndoRequest, 'id' | 'target' | 'secrets'>,
  bytes: Uint8Array | null,
): Promise<SecretValues | null> {
  const values = bytes === null ? null : readSecretValues(bytes);
  const keys = keysOf(ports, caller);
  if (keys.length === 0 && (values !== null || Object.keys(request.secrets ?? {}).length > 0)) {
    throw new Problem(
      'invalid_request',
      `secrets: the caller "${caller}" proves itself by an identity token alone, so that there is no key to bind secrets with. Give it "secrets" too, and sign as well; or let another caller bring them.`,
      { path: 'secrets' },
    );
  }
  await proveSecrets(request.secrets ?? {}, values, keys, request);
  return values;
}

/** The secrets with which a caller signs. */
export function keysOf(ports: Ports, caller: string): readonly string[] {
  return ports.callers.find(({ name }) => name === caller)?.secrets ?? [];
}
