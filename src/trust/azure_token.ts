/**
 * What proves a service hook of Azure DevOps, which has no signature: a header of our own, `X-Weft-Token`, or Basic authentication (RFC
 * 7617) as the user `weft` (learn.microsoft.com, "Webhooks", "HTTP headers", "Basic authentication"). Either proves who sent it, but
 * not what was sent.
 */
import { encodeBase64 } from '../config/base64.ts';
import type { CallerKeys } from '../config/secrets.ts';
import { Problem } from '../domain/problem.ts';
import { findCallerByToken } from './find_caller.ts';

export const AZURE_HEADER = 'X-Weft-Token';
export const AZURE_USER = 'weft';

/** @property given what came; @property by how the service hook is set up to prove itself */
export interface AzureProof {
  readonly by: 'Basic' | typeof AZURE_HEADER;
  readonly given: string;
}

const CHARACTERS_MAX = 2048;

/**
 * Exactly one of the two: a service hook that sends both is not set up as intended.
 * @throws Problem unsigned
 */
export function readAzureProof(headers: Headers): AzureProof {
  const [token, authorization] = [headers.get(AZURE_HEADER), headers.get('authorization')];
  if (token !== null && authorization !== null) throw unsigned(`There are both ${AZURE_HEADER} and Authorization. Let the service hook send one of them`);
  if (token !== null && token !== '' && token.length <= CHARACTERS_MAX) return { by: AZURE_HEADER, given: token };
  const basic = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization?.slice(0, CHARACTERS_MAX) ?? '')?.[1];
  if (basic !== undefined) return { by: 'Basic', given: basic };
  throw unsigned(`There is neither the header ${AZURE_HEADER} nor Basic authentication. Give the service hook one of them`);
}

/**
 * Finds who sent. What came is compared with what each secret would have sent, as it is written.
 * @throws Problem signature_mismatch
 */
export async function verifyAzureProof({ by, given }: AzureProof, callers: readonly CallerKeys[]): Promise<{ caller: string; signature: string }> {
  const caller = await findCallerByToken(callers, given, (secret) => writeProof(by, secret));
  if (caller !== null) return { caller, signature: by };
  const what = by === 'Basic' ? `The user and password of the service hook are not "${AZURE_USER}" and` : `${AZURE_HEADER} is not`;
  throw new Problem('signature_mismatch', `${what} a secret that is known here. Check the service hook at the forge.`);
}

function writeProof(by: AzureProof['by'], secret: string): string {
  return by === 'Basic' ? encodeBase64(new TextEncoder().encode(`${AZURE_USER}:${secret}`)) : secret;
}

function unsigned(why: string): Problem {
  return new Problem('unsigned', `${why}, and let the configuration name the secret. Without it a webhook proves nothing.`);
}
