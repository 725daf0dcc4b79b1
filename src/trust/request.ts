/**
 * The door for signed requests: raw bytes, signature, JSON, form, and then whether it was meant for this Worker, this target
 * and this action, by someone who may. Whatever passes here is proved, and no database has been touched (law 8).
 */
import type { Config } from '../config/config.ts';
import { describeIssues, joinIssues, SHOWN_ISSUES_COUNT } from '../config/issues.ts';
import type { CallerKeys } from '../config/secrets.ts';
import { parseStrictJson } from '../config/strict_json.ts';
import { LIMITS, type LimitName } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { type RequestType, requestSchema, type WeftRequest } from '../domain/request.ts';
import { requireGrant } from './grants.ts';
import { type ProvedIdentity, refusedFor } from './identity.ts';
import { TokenRefusal } from './identity_token.ts';
import { type SignedHeaders, verifySignature } from './signature.ts';

export interface ArrivedRequest {
  /** The signed document, exactly as it came. */
  readonly body: Uint8Array;
  /** null: no signature came, and a token has to say who it is. */
  readonly signed: SignedHeaders | null;
  /** Whose identity token came along, made for this very document; null or absent: none did. */
  readonly identity?: Pick<ProvedIdentity, 'caller'> | null;
  readonly callers: readonly CallerKeys[];
  readonly config: Config;
  /** What the address asks for. */
  readonly type: RequestType;
  /** The target in the address. */
  readonly target: string;
  /** Since 1970. */
  readonly nowSeconds: number;
  /** Told the caller as soon as it is proved, whatever is refused after that. */
  readonly onCaller?: (caller: string) => void;
}

/**
 * @returns who signed, and what
 * @throws Problem before the caller is proved: too_large, unsigned, signature_mismatch, stale, identity_refused. After it, in this order: malformed_json,
 *   invalid_request or invalid_manifest, invalid_request (id), wrong_audience, wrong_type, wrong_target, expired or invalid_request
 *   (expiry too far away), unknown_target, no_grant
 */
export async function acceptRequest(arrived: ArrivedRequest): Promise<{ caller: string; request: WeftRequest }> {
  const { body, signed, config, type, target, nowSeconds } = arrived;
  if (body.length > LIMITS.request_bytes) {
    throw new Problem('too_large', `The signed request has ${body.length} bytes, more than ${LIMITS.request_bytes} (request_bytes).`, {
      limit: 'request_bytes',
    });
  }
  const caller = await findCaller(arrived);
  arrived.onCaller?.(caller);
  const request = checkRequest(parseStrictJson(body));

  if (signed !== null && request.id !== signed.id) {
    throw new Problem('invalid_request', `The request has the id "${request.id}", but the header webhook-id says "${signed.id}". They must be equal.`);
  }
  if (request.audience !== config.origin) {
    throw new Problem('wrong_audience', `The request was signed for ${request.audience ?? 'no Worker (audience null)'}; this Worker is ${config.origin}.`);
  }
  if (request.type !== type) {
    throw new Problem('wrong_type', `The request was signed to ${request.type}, and sent to an address that is there to ${type}.`);
  }
  if (request.target !== target) {
    throw new Problem(
      'wrong_target',
      `The request was signed for ${request.target === null ? 'no target' : `the target "${request.target}"`}, and sent to "${target}".`,
    );
  }
  checkExpiry(request.expires_at, nowSeconds);
  // To say what a database holds is more than to change it.
  requireGrant(config, caller, request.type === 'deploy' && request.mode === 'baseline' ? 'baseline' : type, target);
  return { caller, request };
}

/** By signature, by token, or by both where the caller has both. */
async function findCaller({ body, signed, identity = null, callers, config, nowSeconds }: ArrivedRequest): Promise<string> {
  if (signed === null && identity === null) throw new Problem('unsigned', UNSIGNED);
  const signer = signed === null ? null : (await verifySignature(body, signed, callers, nowSeconds)).caller;
  if (identity === null) {
    if (config.callers.get(signer ?? '')?.identity !== undefined) {
      throw refusedFor(new TokenRefusal('token missing', `The caller "${signer}" proves itself by an identity token too, and none came.`));
    }
    return signer ?? '';
  }
  const { caller } = identity;
  if (signer === null && (config.callers.get(caller)?.secrets.length ?? 0) > 0) {
    throw refusedFor(new TokenRefusal('signature missing', `The caller "${caller}" proves itself by a signature too, and none came.`));
  }
  if (signer !== null && signer !== caller) {
    throw refusedFor(new TokenRefusal('two callers', `The signature is of "${signer}", the token of "${caller}".`));
  }
  return caller;
}

const UNSIGNED =
  'Neither a signature (webhook-id, webhook-timestamp, webhook-signature, as Standard Webhooks say) nor an identity token ("Authorization: Bearer …") came along.';

/**
 * @param value a parsed document
 * @throws Problem invalid_manifest when all that is wrong lies under `manifest`, invalid_request otherwise; both name key paths
 */
export function checkRequest(value: unknown): WeftRequest {
  refuseCrowds(value);
  const parsed = requestSchema.safeParse(value);
  if (!parsed.success) {
    const issues = describeIssues(parsed.error.issues);
    const isManifest = parsed.error.issues.every((issue) => issue.path[0] === 'manifest');
    throw new Problem(isManifest ? 'invalid_manifest' : 'invalid_request', joinIssues(issues), { issues: issues.slice(0, SHOWN_ISSUES_COUNT) });
  }
  const request = parsed.data;
  if (request.type === 'deploy' && request.manifest === undefined && request.files === undefined) {
    throw new Problem('invalid_request', 'A deploy request needs a manifest, or files from which one can be made.');
  }
  return request;
}

/**
 * Lists are counted before their items are looked at: a million wrong ones are not a million things to say.
 * @throws Problem too_large, which names the limit
 */
function refuseCrowds(value: unknown): void {
  const { files, manifest, parameters, secrets } = membersOf(value);
  const { artifacts, phases, unwatched } = membersOf(manifest);
  const steps = Array.isArray(phases) && phases.length <= LIMITS.phases_count ? phases.map((phase) => countOf(membersOf(phase).steps)) : [];
  const crowds: readonly (readonly [what: string, count: number, limit: LimitName])[] = [
    ['files', countOf(files), 'artifacts_count'],
    ['manifest.artifacts', countOf(artifacts), 'artifacts_count'],
    ['manifest.phases', countOf(phases), 'phases_count'],
    ['manifest.unwatched', countOf(unwatched), 'ignored_count'],
    ['steps of the manifest', steps.reduce((sum, count) => sum + count, 0), 'steps_count'],
    ['parameters', Object.keys(membersOf(parameters)).length, 'parameters_count'],
    ['secrets', Object.keys(membersOf(secrets)).length, 'parameters_count'],
  ];
  for (const [what, count, limit] of crowds) {
    if (count > LIMITS[limit])
      throw new Problem('too_large', `There are ${count} ${what}, more than ${LIMITS[limit]} (${limit}).`, { limit, limit_count: LIMITS[limit] });
  }
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function countOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}

function checkExpiry(expiresAt: string, nowSeconds: number): void {
  const seconds = Date.parse(expiresAt) / 1000 - nowSeconds;
  // Negated, so that a time that is no number is refused too.
  if (!(seconds > 0)) {
    throw new Problem(
      'expired',
      `The request expired at ${expiresAt}; it is ${new Date(nowSeconds * 1000).toISOString()} here. Sign it again: the same id is still the same request.`,
      {
        expires_at: expiresAt,
      },
    );
  }
  if (seconds > LIMITS.request_life_seconds_max) {
    throw new Problem(
      'invalid_request',
      `expires_at: ${expiresAt} is more than ${LIMITS.request_life_seconds_max} s from now (request_life_seconds_max); it is ${new Date(nowSeconds * 1000).toISOString()} here.`,
      { limit: 'request_life_seconds_max' },
    );
  }
}
