/**
 * How requests to a Worker prove who asks: signed with the caller's secret, or with the identity token of the job that this runs in, or with both.
 */
import { createHash } from 'node:crypto';
import { Problem } from '../domain/problem.ts';
import type { WeftRequest } from '../domain/request.ts';
import { audienceOf } from '../trust/audience.ts';
import { makeReadToken } from '../trust/read_token.ts';
import { encodeRequest, signedHeadersOf } from '../trust/sign.ts';
import { signRequest } from '../trust/signature.ts';
import { readName, type WorkerAddress } from './address.ts';
import { describeToken, expiryOf } from './identity.ts';

export interface Proved {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
  /** What went along; null: none did. */
  readonly token: string | null;
}

const REQUEST_LIFE_MS = 900_000;
const READ_TOKEN_SECONDS = 600;
/** A new token is requested when the current one expires within this time. */
const SPARE_MS = 60_000;

/** When a request that is made now should expire. With a fixed token, together with it, so that the bytes for which the token counts stay the same. */
export async function expiryFor({ identity }: WorkerAddress, signal: AbortSignal): Promise<string> {
  const now = Date.now();
  const token = identity?.isFixed === true ? await identity.makeToken('', signal) : null;
  return new Date(token === null ? now + REQUEST_LIFE_MS : (expiryOf(token) ?? 0)).toISOString();
}

/** @throws Problem invalid_request; set_up or worker_unreachable if no token can be had */
export async function proveRequest(address: WorkerAddress, request: WeftRequest, signal: AbortSignal): Promise<Proved> {
  const { origin, secret, identity } = address;
  const body = encodeRequest(request);
  const signed = secret === null ? {} : signedHeadersOf(await signRequest(body, secret, request.id, Math.floor(Date.now() / 1000)));
  if (identity === null) return { body, headers: { ...signed }, token: null };
  const token = await identity.makeToken(audienceOf(origin, { kind: 'request', digest: createHash('sha256').update(body).digest('hex') }), signal);
  return { body, headers: { ...signed, authorization: `Bearer ${token}` }, token };
}

const readTokens = new WeakMap<WorkerAddress, string>();

/** The header with which to read: with the secret where there is one, else with a token, which is kept until it is about to expire. */
export async function proveReading(address: WorkerAddress, signal: AbortSignal): Promise<Record<string, string>> {
  const { origin, target, secret, identity } = address;
  if (secret !== null) {
    const caller = readName(address.caller, 'caller', 'WEFT_CALLER');
    const expires = Math.floor(Date.now() / 1000) + READ_TOKEN_SECONDS;
    return { authorization: `Bearer ${await makeReadToken({ caller, target, expires }, secret)}` };
  }
  if (identity === null) throw new Error('an address of a Worker has a secret, or an identity');
  const kept = readTokens.get(address);
  const token =
    kept !== undefined && (expiryOf(kept) ?? 0) - SPARE_MS > Date.now() ? kept : await identity.makeToken(audienceOf(origin, { kind: 'read' }), signal);
  readTokens.set(address, token);
  return { authorization: `Bearer ${token}` };
}

/** @throws Problem set_up where there is no secret to bind others with */
export function requireSecret({ secret }: WorkerAddress): string {
  if (secret !== null) return secret;
  throw new Problem(
    'set_up',
    'Secret parameters are bound with WEFT_SECRET, and an identity token alone cannot do that. Give the caller a secret too, and set it.',
  );
}

/** The same problem with what the token says, when it was that: the Worker answers every stranger alike. */
export function explainRefusal(error: unknown, token: string | null): unknown {
  if (!(error instanceof Problem) || error.slug !== 'identity_refused' || token === null) return error;
  return new Problem(error.slug, `${error.message} This job's token says: ${describeToken(token)}.`, error.facts, error);
}
