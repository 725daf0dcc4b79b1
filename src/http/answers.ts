/**
 * How a deployment is answered: 200 with the document when it is over, 202 with what is known when it is not, and always
 * with the address where the rest can be read.
 */
import type { Deployment } from '../domain/deployment.ts';
import { isOver } from '../domain/deployment.ts';
import { LIMITS } from '../domain/limits.ts';
import type { SecretValues } from '../domain/parameters.ts';
import { mayDo } from '../trust/grants.ts';
import { makeReadToken } from '../trust/read_token.ts';
import type { HttpContext } from './context.ts';
import { describeError } from './log.ts';
import type { Ports } from './ports.ts';

/** How a promise ended; never rejects. */
export type Outcome = { readonly deployment: Deployment } | { readonly error: unknown };

/** Turns the end of a drive into a value, so that nobody has to be there when it comes. */
export function toOutcome(done: Promise<Deployment>): Promise<Outcome> {
  return done.then(
    (deployment) => ({ deployment }),
    (error: unknown) => ({ error }),
  );
}

/**
 * Points to the deployment, with a token that reads it and nothing else, for a caller who may read at all.
 * The token is the caller's own: made with its first secret.
 */
export async function setLocation(c: HttpContext, ports: Ports, caller: string, target: string, id: string): Promise<void> {
  c.var.notes.deployment = id;
  const path = `/v1/targets/${encodeURIComponent(target)}/deployments/${id}`;
  const secret = ports.callers.find(({ name }) => name === caller)?.secrets[0];
  if (secret === undefined || !mayDo(ports.config, caller, 'read', target)) {
    c.header('location', path);
    return;
  }
  const expires = Math.floor(ports.now() / 1000) + LIMITS.location_token_seconds;
  const token = await makeReadToken({ caller, target, expires, deployment: id }, secret);
  c.header('location', `${path}?token=${encodeURIComponent(token)}`);
}

/** 200 when it is over, else 202. */
export function answerDeployment(c: HttpContext, deployment: Deployment, more: Record<string, unknown> = {}): Response {
  return c.json({ ...deployment, ...more }, isOver(deployment.state) ? 200 : 202);
}

/**
 * Waits for a drive, for so long.
 * @param seconds null or 0: not at all
 * @returns how it ended, or null when it has not
 */
export async function waitFor(ports: Ports, outcome: Promise<Outcome>, seconds: number | null): Promise<Outcome | null> {
  if (seconds === null || seconds === 0) return null;
  const timer = new AbortController();
  const first = await Promise.race([outcome, ports.sleep(seconds * 1000, timer.signal).then(() => null)]);
  timer.abort();
  return first;
}

/** Keeps the isolate with a drive after its answer has gone out, and logs how it ends. */
export function stayWith(c: HttpContext, ports: Ports, outcome: Promise<Outcome>): void {
  const { reference } = c.var.notes;
  const logged = outcome.then((end) => {
    const id = c.var.notes.deployment ?? null;
    if ('error' in end) ports.log({ level: 'error', message: 'drive', reference, deployment: id, errors: describeError(end.error) });
    else ports.log({ level: 'info', message: 'drive', reference, deployment: end.deployment.id, state: end.deployment.state });
  });
  c.executionCtx.waitUntil(logged);
}

/**
 * Sees that somebody looks after a deployment when this Worker is gone, however suddenly; and when it is over before, tells the forges that wait
 * for that, and lets those who would look know.
 * @returns resolves when that is so, and no answer should go out before; never rejects
 */
export function handOn(
  c: HttpContext,
  { aftercare, changes }: Ports,
  outcome: Promise<Outcome>,
  work: { readonly target: string; readonly id: string; readonly secrets: SecretValues | null },
): Promise<void> {
  const handedOn = aftercare?.handOn(work.target, work.id, work.secrets) ?? Promise.resolve();
  c.executionCtx.waitUntil(
    Promise.all([outcome, handedOn]).then(async ([end]) => {
      const left = await changes.tellOwed(work.target); // also when it is not: what stood before it may be over
      if ('deployment' in end && isOver(end.deployment.state) && !left.has(work.id)) await aftercare?.strikeOut(work.target, work.id);
    }),
  );
  return handedOn;
}
