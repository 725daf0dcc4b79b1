/** Who signed, and whether they may: the room `trust` decides, with this Worker's keys, configuration and clock. */
import type { SecretValues } from '../domain/parameters.ts';
import type { DeployRequest, RequestType, ResumeRequest, UndoRequest, WeftRequest } from '../domain/request.ts';
import { acceptRequest } from '../trust/request.ts';
import { proveSecrets, readSecretValues } from '../trust/secrets.ts';
import type { SignedHeaders } from '../trust/signature.ts';
import type { HttpContext } from './context.ts';
import type { Ports } from './ports.ts';

/**
 * Proves a signed document, and notes its caller for the log.
 * @throws Problem as acceptRequest does; no session has been opened by then
 */
export async function acceptSigned<T extends RequestType>(
  c: HttpContext,
  ports: Ports,
  o: { readonly body: Uint8Array; readonly signed: SignedHeaders; readonly type: T; readonly target: string },
): Promise<{ caller: string; request: Extract<WeftRequest, { type: T }> }> {
  const accepted = await acceptRequest({ ...o, callers: ports.callers, config: ports.config, nowSeconds: Math.floor(ports.now() / 1000) });
  c.var.notes.caller = accepted.caller;
  return { caller: accepted.caller, request: accepted.request as Extract<WeftRequest, { type: T }> };
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
  await proveSecrets(request.secrets ?? {}, values, keysOf(ports, caller), request);
  return values;
}

/** The secrets with which a caller signs. */
export function keysOf(ports: Ports, caller: string): readonly string[] {
  return ports.callers.find(({ name }) => name === caller)?.secrets ?? [];
}
