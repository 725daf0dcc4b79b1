/** `POST …/drift/accept` and `/history/forget`: signed documents that declare something about a database. They run nothing. */
import { Hono } from 'hono';
import { Problem } from '../../domain/problem.ts';
import type { RequestType, WeftRequest } from '../../domain/request.ts';
import { acceptSigned, readProof } from '../accept.ts';
import type { HttpContext, HttpEnv } from '../context.ts';
import type { Ports } from '../ports.ts';
import { withSession } from '../reading.ts';

export function wordRoutes(ports: Ports): Hono<HttpEnv> {
  return new Hono<HttpEnv>()
    .post('/drift/accept', async (c) => {
      const { caller, request, target } = await acceptWord(c, ports, 'accept_drift');
      return c.json(await withSession(ports, target, (session) => ports.acceptDrift(session, request.fingerprint, caller)));
    })
    .post('/history/forget', async (c) => {
      const { caller, request, target } = await acceptWord(c, ports, 'forget');
      return c.json(await withSession(ports, target, (session) => ports.forget(session, request, caller)));
    });
}

/** @throws Problem unsupported_media_type, and those of acceptSigned; no session has been opened by then */
async function acceptWord<T extends RequestType>(
  c: HttpContext,
  ports: Ports,
  type: T,
): Promise<{ readonly caller: string; readonly target: string; readonly request: Extract<WeftRequest, { type: T }> }> {
  const target = c.req.param('target') ?? '';
  c.var.notes.target = target;
  const proof = readProof(c.req.raw.headers);
  const mediaType = (c.req.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  if (mediaType !== 'application/json')
    throw new Problem('unsupported_media_type', `A request to ${type} is a signed document of Content-Type application/json.`, { content_type: mediaType });
  const body = await c.var.body.readAll('request_bytes', `A request to ${type} needs a few hundred.`);
  return { ...(await acceptSigned(c, ports, { body, proof, type, target })), target };
}
