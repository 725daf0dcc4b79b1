/**
 * Whose identity token it is, and what for: the callers of the configuration, each held to its claims by value, and the audience, which
 * says for which Worker the token was made and, if the job may choose it, for which request. Every refusal looks the same from outside;
 * the log has the reason.
 */
import type { Config } from '../config/config.ts';
import type { Identity } from '../config/identities.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { audienceOf, type Purpose } from './audience.ts';
import { type GenuineToken, quote, TokenRefusal, verifyIdentityToken } from './identity_token.ts';
import type { FindKey } from './issuer_keys.ts';

export interface ProvedIdentity {
  readonly caller: string;
  /** Of the token; for the memory. */
  readonly token: { readonly digest: string; readonly expires: number };
  /** What is kept of it in the database: who, from where, by which run. No token. */
  readonly evidence: Readonly<Record<string, string>>;
  /** The branch that the job runs for; null where the token proves none. */
  readonly branch: string | null;
}

export interface TokenProof {
  readonly config: Config;
  readonly findKey: FindKey;
  /** Since 1970. */
  readonly nowSeconds: number;
  readonly purpose: Purpose;
}

/** Claims that are kept beside those that are asked for: to find the run again. */
const KEPT_CLAIMS = [
  ...['sub', 'jti', 'sha', 'ref', 'environment', 'event_name', 'repository', 'repository_id', 'actor', 'actor_id', 'run_id', 'run_attempt', 'workflow_ref'],
  ...['project_path', 'project_id', 'pipeline_id', 'pipeline_source', 'job_id', 'user_login', 'user_id'],
];

/**
 * @param token as it came
 * @throws Problem identity_refused, with the reason as its cause; issuer_unreachable
 */
export async function proveIdentity(token: string, proof: TokenProof): Promise<ProvedIdentity> {
  return refusingAlike(async () => {
    const identities = [...proof.config.callers.values()].flatMap(({ name, secrets, identity }) =>
      identity === undefined ? [] : [{ name, secrets, identity }],
    );
    const genuine = await verifyIdentityToken(
      token,
      identities.map(({ identity }) => identity),
      proof.findKey,
      proof.nowSeconds,
    );
    checkAudience(genuine, proof);
    const ofIssuer = identities.filter(({ identity }) => identity.issuer === genuine.issuer.issuer);
    const fitting = ofIssuer.filter(({ identity }) => findMismatch(identity, genuine.claims) === null);
    const [caller] = fitting;
    if (caller === undefined || fitting.length > 1) throw refuseClaims(ofIssuer, genuine.claims);
    if (proof.purpose.kind === 'read' && caller.secrets.length > 0) {
      throw new TokenRefusal('signature missing', `The caller "${caller.name}" has a key too, and reads with a token made with it.`);
    }
    return {
      caller: caller.name,
      token: { digest: genuine.digest, expires: genuine.expires },
      evidence: makeEvidence(genuine),
      branch: branchOf(genuine),
    };
  });
}

/** Runs what may throw a TokenRefusal, and makes of any the one problem that a stranger sees. */
export async function refusingAlike<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof TokenRefusal) throw refusedFor(error);
    throw error;
  }
}

export function refusedFor(reason: TokenRefusal): Problem {
  return new Problem('identity_refused', "The identity token is not accepted here. The Worker's log says why.", {}, reason);
}

function checkAudience({ issuer, claims }: GenuineToken, { config, purpose }: TokenProof): void {
  // A token for several is one that each of the others can bring here.
  const audience = Array.isArray(claims.aud) && claims.aud.length === 1 ? claims.aud[0] : claims.aud;
  const wanted = wantedAudience(issuer, config.origin, purpose);
  if (audience !== wanted) throw new TokenRefusal('aud', `It was made for ${quote(claims.aud)}; here it has to be ${quote(wanted)}, and nothing beside it.`);
}

function wantedAudience({ kind, audience }: Identity, origin: string, purpose: Purpose): string {
  switch (kind) {
    case 'github':
      return audienceOf(origin, purpose);
    case 'gitlab':
      return origin;
    case 'azure':
      return audience ?? AZURE_AUDIENCE;
  }
}

/** Cannot be chosen: the same token opens doors at Entra. So a caller of this kind signs as well. */
const AZURE_AUDIENCE = 'api://AzureADTokenExchange';

/** @returns the first claim that is not as it must be */
function findMismatch(identity: Identity, claims: Readonly<Record<string, unknown>>): string | null {
  for (const [claim, values] of Object.entries(identity.claims)) {
    const value = Object.hasOwn(claims, claim) ? claims[claim] : undefined;
    if (typeof value !== 'string' || !values.includes(value)) return claim;
  }
  return null;
}

/** What keeps the token from being each caller that it might be meant for. */
function refuseClaims(callers: readonly { readonly name: string; readonly identity: Identity }[], claims: Readonly<Record<string, unknown>>): TokenRefusal {
  const mismatches = callers.map(({ name, identity }) => {
    const claim = findMismatch(identity, claims) ?? '';
    return { claim, text: `for "${name}" ${claim} is ${quote(claims[claim])}, and has to be ${identity.claims[claim]?.map(quote).join(' or ')}` };
  });
  const named = [...new Set(mismatches.map(({ claim }) => claim))];
  return new TokenRefusal(`claim ${named.join(', ')}`, `It is genuine, and no caller's: ${mismatches.map(({ text }) => text).join('; ')}.`);
}

function makeEvidence({ issuer, claims, digest }: GenuineToken): Record<string, string> {
  const evidence: Record<string, string> = { proof: 'identity', iss: issuer.issuer, token_sha256: digest };
  for (const claim of new Set([...KEPT_CLAIMS, ...Object.keys(issuer.claims)])) {
    const value = Object.hasOwn(claims, claim) ? claims[claim] : undefined;
    if (typeof value === 'string' && value !== '') evidence[claim] = value.slice(0, LIMITS.identity_evidence_characters);
  }
  return evidence;
}

/** Of GitLab's pipelines, those that run for the branch that they name. One for a merge request names the branch that it comes from, which may be a fork's. */
const BRANCH_SOURCES: readonly unknown[] = ['push', 'web', 'schedule', 'api', 'trigger', 'chat', 'pipeline'];

/** GitHub has the whole ref, and what kind it is; GitLab the name. Of a tag, or of a pull request that is merged for trial, there is none. */
function branchOf({ issuer, claims }: GenuineToken): string | null {
  const { ref, ref_type } = claims;
  if (typeof ref !== 'string' || ref_type !== 'branch') return null;
  if (issuer.kind === 'github') return ref.startsWith('refs/heads/') ? ref.slice('refs/heads/'.length) : null;
  return issuer.kind === 'gitlab' && isOfBranch(claims) ? ref : null;
}

/** Whose child a pipeline is, its token does not say: only that its branch is protected, which none of a fork's is. */
function isOfBranch({ pipeline_source, ref_protected }: GenuineToken['claims']): boolean {
  return BRANCH_SOURCES.includes(pipeline_source) || (pipeline_source === 'parent_pipeline' && ref_protected === 'true');
}
