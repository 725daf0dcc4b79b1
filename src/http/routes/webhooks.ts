/**
 * `POST /webhooks/{forge}`: what a forge tells. Proved over its raw bytes, read, compared with the sources of the configuration, and
 * put into the queue: the forge has its answer in a moment, and nobody was asked anything until then. Without a queue it is handled at
 * once, after the answer. An event that nothing follows from is no error: forges disable webhooks that are answered with one.
 */
import { Hono } from 'hono';
import { sha256 } from '../../bundle/chunks.ts';
import { type Change, type ForgeWork, forgeKindSchema } from '../../domain/change.ts';
import { Problem } from '../../domain/problem.ts';
import { DIALECTS } from '../../forges/connect.ts';
import { findSources } from '../../operations/sources.ts';
import type { HttpContext, HttpEnv } from '../context.ts';
import { describeError } from '../log.ts';
import type { Ports } from '../ports.ts';
import { requireRate } from '../rates.ts';

export function webhookRoutes(ports: Ports): Hono<HttpEnv> {
  return new Hono<HttpEnv>().post('/:forge', (c) => postWebhook(c, ports));
}

async function postWebhook(c: HttpContext, ports: Ports): Promise<Response> {
  const kind = forgeKindSchema.safeParse(c.req.param('forge')).data;
  const callers = [...ports.forges.values()].filter((forge) => forge.kind === kind).map(({ name, webhooks }) => ({ name, secrets: webhooks }));
  if (kind === undefined || callers.length === 0)
    throw new Problem('not_found', 'No caller of this Worker’s configuration is such a forge. No database was asked.');
  const dialect = DIALECTS[kind];
  const { headers } = c.req.raw;
  const byHeaders = await dialect.proveByHeaders(headers, callers);
  if (byHeaders !== null) await requireRate(c, ports.rates, byHeaders.caller);
  const body = (await c.var.body.readAll('webhook_bytes', 'No forge sends more.')) as Uint8Array<ArrayBuffer>;
  const delivery = { headers, body };
  const { caller, signature } = byHeaders ?? (await dialect.prove(delivery, callers, Math.floor(ports.now() / 1000)));
  if (byHeaders === null) await requireRate(c, ports.rates, caller);
  const heard = dialect.read(delivery);
  const key = await sha256(body);
  if ('ignored' in heard) return ignore(c, ports, key, heard.ignored);
  const { changes } = heard;
  const works = changes.flatMap((change) =>
    findSources(ports.config.sources, caller, change).map(({ target, folder }): ForgeWork => {
      const proof = { delivery: key, signature };
      return { kind: 'change', forge: caller, change, proof, folder, target, deployment: null, reports: {}, account: null, looks: 0 };
    }),
  );
  if (works.length === 0) return ignore(c, ports, key, changes.map(describeUnfollowed).join(' '));
  const isQueued = await Promise.all(works.map((work) => leaveOrTakeUp(c, ports, work)));
  const deployments = works.map(({ target, folder, change }, index) => ({ target, folder, commit: change.commit, queued: isQueued[index] }));
  return c.json({ outcome: 'accepted', delivery: key, deployments }, 202);
}

function describeUnfollowed({ event, repository, branch, environment, workflow }: Change): string {
  const told = [branch, environment, workflow].filter((word) => word !== null).join(', ');
  return `No source follows "${event}" of the repository ${repository.id} (${repository.name}) with ${told}.`;
}

/** @returns whether it lies in the queue; if not, it is being worked at */
async function leaveOrTakeUp(c: HttpContext, { changes, log }: Ports, work: ForgeWork): Promise<boolean> {
  const { reference } = c.var.notes;
  const { forge, target, change, proof } = work;
  try {
    if (changes.leave !== undefined) {
      await changes.leave(work);
      log({ level: 'info', message: 'webhook', reference, forge, event: change.event, commit: change.commit, target, delivery: proof.delivery, queued: true });
      return true;
    }
  } catch (error) {
    log({
      level: 'error',
      message: 'webhook',
      reference,
      forge,
      target,
      what: 'The queue did not take it: it is taken up at once.',
      errors: describeError(error),
    });
  }
  log({ level: 'info', message: 'webhook', reference, forge, event: change.event, commit: change.commit, target, delivery: proof.delivery, queued: false });
  c.executionCtx.waitUntil(changes.takeUp(work));
  return false;
}

function ignore(c: HttpContext, { log }: Ports, delivery: string, reason: string): Response {
  log({ level: 'info', message: 'webhook', reference: c.var.notes.reference, forge: c.var.notes.caller ?? null, delivery, ignored: reason });
  return c.json({ outcome: 'ignored', delivery, reason });
}
