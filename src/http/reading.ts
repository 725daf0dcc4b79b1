/**
 * Reading: a bearer token first (RFC 6750), from the header or from `?token=`, as `Location` has it; then, and only then,
 * a session, which is closed when the reading is done.
 */
import { type Session, SqlError } from '../database/session.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { deploymentIdSchema } from '../domain/request.ts';
import { requireGrant } from '../trust/grants.ts';
import { proveIdentity } from '../trust/identity.ts';
import { looksLikeIdentityToken } from '../trust/identity_token.ts';
import { acceptReadToken, readBearerToken } from '../trust/read_token.ts';
import type { HttpContext } from './context.ts';
import type { Ports } from './ports.ts';
import { requireRate } from './rates.ts';
import { findTarget } from './targets.ts';

export interface Reader {
  readonly target: string;
  /** The deployment that the address names, if it does. */
  readonly deployment: string | undefined;
}

/**
 * Proves that the caller may read what the address names.
 * @throws Problem read_token_required, read_token_invalid, identity_refused, no_grant, unknown_target, deployment_not_found (the address holds no id); no session has been opened by then
 */
export async function acceptReader(c: HttpContext, ports: Ports): Promise<Reader> {
  const target = c.req.param('target') ?? '';
  const id = c.req.param('id')?.toLowerCase();
  c.var.notes.target = target;
  const token = readToken(c);
  const { config, callers } = ports;
  const nowSeconds = Math.floor(ports.now() / 1000);
  const { caller } = looksLikeIdentityToken(token)
    ? await acceptIdentity(token, ports, target, nowSeconds)
    : await acceptReadToken(token, { callers, config, target, ...(id === undefined ? {} : { deployment: id }), nowSeconds });
  await requireRate(c, ports.rates, caller);
  findTarget(ports, target);
  if (id !== undefined) {
    if (!deploymentIdSchema.safeParse(id).success)
      throw new Problem('deployment_not_found', `"${id}" is not the id of a deployment: ids are UUIDs.`, { deployment: id });
    c.var.notes.deployment = id;
  }
  return { target, deployment: id };
}

/** An identity token reads whatever its caller may. */
async function acceptIdentity(token: string, { config, findKey }: Ports, target: string, nowSeconds: number): Promise<{ caller: string }> {
  const { caller } = await proveIdentity(token, { config, findKey, nowSeconds, purpose: { kind: 'read' } });
  requireGrant(config, caller, 'read', target);
  return { caller };
}

/** Opens a session on the reader's target, for as long as `read` takes; among many, when it is its turn. */
export async function withSession<T>(ports: Ports, target: string, read: (session: Session) => Promise<T>): Promise<T> {
  const session = await ports.connect(findTarget(ports, target), 'read')();
  try {
    return await read(session);
  } catch (error) {
    throw isCancelled(error) ? tookTooLong(error) : error;
  } finally {
    await session.close();
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof Problem && error.slug === 'interrupted' && error.cause instanceof SqlError && error.cause.sqlstate === '57014';
}

function tookTooLong(cause: unknown): Problem {
  const detail = `The database ended this question: it took more than ${LIMITS.reading_seconds_max} seconds (reading_seconds_max), or somebody cancelled it there. It has changed nothing; ask again, or for less.`;
  return new Problem('interrupted', detail, { limit: 'reading_seconds_max' }, cause);
}

/** The header goes before the address. */
function readToken(c: HttpContext): string {
  const token = c.req.query('token');
  return c.req.header('authorization') === undefined && token !== undefined ? token : readBearerToken(c.req.raw.headers);
}
