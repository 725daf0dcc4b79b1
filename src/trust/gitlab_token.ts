/**
 * What proves GitLab's webhooks: a signing token, which is Standard Webhooks, or in older ones `X-Gitlab-Token`, the secret itself
 * (docs.gitlab.com, "Webhooks", "Validate payloads"). The latter proves who sent it, but not what was sent.
 */
import type { CallerKeys } from '../config/secrets.ts';
import { isSigningToken } from '../config/webhook_secret.ts';
import { Problem } from '../domain/problem.ts';
import { findCallerByToken } from './find_caller.ts';
import { readSignedHeaders, type SignedHeaders, verifySignature } from './signature.ts';

export type GitLabProof = { readonly signed: SignedHeaders } | { readonly token: string };

/**
 * What came to prove it. Where there is a part of a signature, nothing but a whole one counts.
 * @throws Problem unsigned
 */
export function readGitLabProof(headers: Headers): GitLabProof {
  if (['webhook-id', 'webhook-timestamp', 'webhook-signature'].some((name) => headers.has(name))) return { signed: readSignedHeaders(headers) };
  const token = headers.get('x-gitlab-token');
  if (token !== null && token.length > 0 && token.length <= 1024) return { token };
  throw new Problem(
    'unsigned',
    'There is neither a signature of Standard Webhooks nor the header X-Gitlab-Token. A webhook without either proves nothing: give it a signing token, or a secret token, and let the configuration name it.',
  );
}

/**
 * Finds who sent.
 * @param nowSeconds since 1970; a signature has a time, a token has none
 * @throws Problem signature_mismatch; stale
 */
export async function verifyGitLabProof(
  body: Uint8Array<ArrayBuffer>,
  proof: GitLabProof,
  callers: readonly CallerKeys[],
  nowSeconds: number,
): Promise<{ caller: string; signature: string }> {
  if ('token' in proof) return verifyGitLabToken(proof.token, callers);
  const { caller } = await verifySignature(body, proof.signed, having(true, callers), nowSeconds);
  const { id, timestamp, signature } = proof.signed;
  return { caller, signature: `${id}.${timestamp} ${signature}`.slice(0, 1024) };
}

/** A secret of the form of Standard Webhooks signs, and is never sent. */
function having(isSigning: boolean, callers: readonly CallerKeys[]): CallerKeys[] {
  return callers.map(({ name, secrets }) => ({ name, secrets: secrets.filter((one) => isSigningToken(one) === isSigning) }));
}

/** The same by `X-Gitlab-Token`, which needs no body. @throws Problem signature_mismatch */
export async function verifyGitLabToken(token: string, callers: readonly CallerKeys[]): Promise<{ caller: string; signature: string }> {
  const caller = await findCallerByToken(having(false, callers), token);
  if (caller !== null) return { caller, signature: 'X-Gitlab-Token' };
  throw new Problem('signature_mismatch', 'X-Gitlab-Token is no secret that is known here. Check the secret token of the webhook at the forge.');
}
