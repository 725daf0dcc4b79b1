/** Who signed, and whether they may: the room `trust` decides, with this Worker's keys, configuration and clock. */
import type { RequestType, WeftRequest } from '../domain/request.ts';
import { acceptRequest } from '../trust/request.ts';
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
