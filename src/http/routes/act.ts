/** `POST …/deployments/{id}/resume`, `/cancel`, `/undo` and `/approve`: signed documents about a deployment that exists. */
import { Hono } from 'hono';
import { readTar } from '../../bundle/tar.ts';
import type { Opened } from '../../deployment/deploy.ts';
import { isUnapproved } from '../../domain/approval.ts';
import { type Deployment, isOver } from '../../domain/deployment.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { SecretValues } from '../../domain/parameters.ts';
import { Problem } from '../../domain/problem.ts';
import type { UndoRequest } from '../../domain/request.ts';
import { mayBeRun } from '../../trust/grants.ts';
import { protectionOf, requireApprovable } from '../../trust/rules.ts';
import { proveSecrets } from '../../trust/secrets.ts';
import { acceptSecrets, acceptSigned, type Evidence, keysOf, readProof } from '../accept.ts';
import { answerDeployment, handOn, type Outcome, setLocation, stayWith, toOutcome, waitFor } from '../answers.ts';
import type { HttpContext, HttpEnv } from '../context.ts';
import { orHeld } from '../held.ts';
import type { Ports } from '../ports.ts';
import { readWait } from '../prefer.ts';
import { findTarget } from '../targets.ts';

/** A signed document that was accepted. */
interface Act {
  readonly caller: string;
  readonly target: string;
  /** The id of the deployment that it is about. */
  readonly id: string;
  readonly body: Uint8Array;
  /** How the caller was proved, to be kept. */
  readonly evidence: Evidence;
  /** Proved; null when none came along. */
  readonly secrets: SecretValues | null;
  /** For an undo. */
  readonly mode?: UndoRequest['mode'];
  /** For an approval. */
  readonly digest?: string;
}

export function actRoutes(ports: Ports): Hono<HttpEnv> {
  return new Hono<HttpEnv>()
    .post('/deployments/:id/resume', (c) => postResume(c, ports))
    .post('/deployments/:id/cancel', (c) => postCancel(c, ports))
    .post('/deployments/:id/undo', (c) => postUndo(c, ports))
    .post('/deployments/:id/approve', (c) => postApprove(c, ports));
}

async function postResume(c: HttpContext, ports: Ports): Promise<Response> {
  const { caller, target, id, secrets } = await acceptAct(c, ports, 'resume');
  const wait = readWait(c.req.header('prefer'));
  let latest: Deployment | undefined;
  const seen = Promise.withResolvers<null>();
  const outcome = toOutcome(
    ports.resume({
      connect: ports.connect(findTarget(ports, target)),
      id,
      target,
      caller,
      onStatus: (deployment) => {
        latest = deployment;
        seen.resolve(null);
      },
      callers: mayBeRun(ports.config, target),
      secrets,
      proveSecrets: (deployment) => proveSecretsOf(ports, deployment, secrets),
      deadlineMs: LIMITS.drive_seconds_max * 1000,
    }),
  );
  // The first status says that the deployment exists and was taken up.
  return answerTakenUp(c, ports, { caller, target, id, secrets }, { outcome, isTakenUp: seen.promise, latest: () => latest, wait });
}

async function postCancel(c: HttpContext, ports: Ports): Promise<Response> {
  const { caller, target, id } = await acceptAct(c, ports, 'cancel');
  const wait = readWait(c.req.header('prefer'));
  let latest: Deployment | undefined;
  const seen = Promise.withResolvers<null>();
  const onStatus = (deployment: Deployment): void => {
    latest = deployment;
    seen.resolve(null);
  };
  const outcome = toOutcome(ports.cancel({ connect: ports.connect(findTarget(ports, target)), id, caller, target, onStatus }));
  // A client that says how long to wait is answered then; any clean-up happens after the answer.
  if (wait !== null) {
    stayWith(c, ports, outcome);
    c.header('preference-applied', `wait=${wait}`);
  }
  const first = orHeld(c, ports, target, wait === null ? outcome : Promise.race([outcome, seen.promise]));
  const end = (await first) ?? (await waitFor(ports, outcome, wait));
  if (end === null || ('deployment' in end && !isOver(end.deployment.state))) await handOn(c, ports, outcome, { target, id, secrets: null });
  else c.executionCtx.waitUntil(ports.changes.tellOwed(target));
  await setLocation(c, ports, caller, target, id);
  if (end !== null && 'error' in end) throw end.error;
  const deployment = end?.deployment ?? latest;
  if (deployment === undefined) throw new Error('a cancel without an end showed a status before, so it is known');
  return answerDeployment(c, deployment);
}

/** An undo is a deployment of its own: answered as one, and to be read at an address of its own. */
async function postUndo(c: HttpContext, ports: Ports): Promise<Response> {
  const { caller, target, body, evidence, secrets, mode } = await acceptAct(c, ports, 'undo');
  const wait = readWait(c.req.header('prefer'));
  const opened = Promise.withResolvers<Opened>();
  let latest: Deployment | undefined;
  const outcome = toOutcome(
    ports.undo({
      connect: ports.connect(findTarget(ports, target)),
      order: { request: body, caller, target, signature: evidence, secrets, mode, protection: protectionOf(ports.config, target) },
      onOpened: opened.resolve,
      onStatus: (deployment) => {
        latest = deployment;
      },
      callers: mayBeRun(ports.config, target),
      deadlineMs: LIMITS.drive_seconds_max * 1000,
    }),
  );
  stayWith(c, ports, outcome);
  const early = await orHeld(c, ports, target, Promise.race([outcome, opened.promise.then(() => null)]));
  if (early !== null && 'error' in early) throw early.error;
  const { id, state, repeated, approval = null } = await opened.promise;
  await setLocation(c, ports, caller, target, id);
  const isStill = isOver(state) || isUnapproved({ approval });
  const handedOn = early !== null || isStill ? null : handOn(c, ports, outcome, { target, id, secrets });
  const end = early ?? (isStill ? await outcome : await waitFor(ports, outcome, wait));
  await handedOn;
  if (wait !== null) c.header('preference-applied', `wait=${wait}`);
  if (end !== null && 'error' in end) throw end.error;
  const deployment = end?.deployment ?? (wait === null ? undefined : latest);
  return deployment === undefined ? c.json({ id, state, target, repeated }, 202) : answerDeployment(c, deployment, { repeated });
}

/** An approval starts the run: what follows is the same as for a resume. The approval stays, whatever becomes of the run after it. */
async function postApprove(c: HttpContext, ports: Ports): Promise<Response> {
  const { caller, target, id, body, evidence, digest = '' } = await acceptAct(c, ports, 'approve');
  const wait = readWait(c.req.header('prefer'));
  let latest: Deployment | undefined;
  const approved = Promise.withResolvers<null>();
  const outcome = toOutcome(
    ports.approve({
      connect: ports.connect(findTarget(ports, target)),
      deployment: id,
      digest,
      caller,
      target,
      request: body,
      signature: evidence,
      judge: (deployment) => requireApprovable(ports.config, target, deployment, Math.floor(ports.now() / 1000)),
      onStatus: (deployment) => {
        latest = deployment;
        approved.resolve(null);
      },
      callers: mayBeRun(ports.config, target),
      deadlineMs: LIMITS.drive_seconds_max * 1000,
    }),
  );
  return answerTakenUp(c, ports, { caller, target, id, secrets: null }, { outcome, isTakenUp: approved.promise, latest: () => latest, wait });
}

/** Answers when it is known that the deployment was taken up, or later where somebody waits for its end; and hands it on where it is not over by then. */
async function answerTakenUp(
  c: HttpContext,
  ports: Ports,
  { caller, target, id, secrets }: Pick<Act, 'caller' | 'target' | 'id' | 'secrets'>,
  o: { outcome: Promise<Outcome>; isTakenUp: Promise<null>; latest: () => Deployment | undefined; wait: number | null },
): Promise<Response> {
  const { outcome, wait } = o;
  stayWith(c, ports, outcome);
  const early = await orHeld(c, ports, target, Promise.race([outcome, o.isTakenUp]));
  const handedOn = early === null ? handOn(c, ports, outcome, { target, id, secrets }) : null;
  if (early !== null) c.executionCtx.waitUntil(ports.changes.tellOwed(target));
  const end = early ?? (await waitFor(ports, outcome, wait));
  await handedOn;
  await setLocation(c, ports, caller, target, id);
  if (wait !== null) c.header('preference-applied', `wait=${wait}`);
  if (end !== null && 'error' in end) throw end.error;
  const deployment = end?.deployment ?? o.latest();
  if (deployment === undefined) throw new Error('a drive without an end showed a status before, so it is known');
  return answerDeployment(c, deployment);
}

/** @throws Problem wrong_deployment when the address names another deployment than the signed document; and those of acceptRequest and acceptSecrets */
async function acceptAct(c: HttpContext, ports: Ports, type: 'resume' | 'cancel' | 'undo' | 'approve'): Promise<Act> {
  const target = c.req.param('target') ?? '';
  const id = c.req.param('id') ?? '';
  c.var.notes.target = target;
  const proof = readProof(c.req.raw.headers);
  const mediaType = (c.req.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase();
  const mayHaveSecrets = type === 'resume' || type === 'undo';
  const isTar = mayHaveSecrets && mediaType === 'application/x-tar';
  if (mediaType !== 'application/json' && !isTar) {
    const more = mayHaveSecrets ? '; with secrets, a tar of it and secrets.json, of Content-Type application/x-tar' : '';
    throw new Problem('unsupported_media_type', `A ${type} is a signed document of Content-Type application/json${more}.`, { content_type: mediaType ?? '' });
  }
  const tar = isTar ? await readTar(c.var.body.stream(), 'identity', (bytes) => c.var.body.hold(bytes)) : null;
  const body = tar?.request ?? (await c.var.body.readAll('request_bytes', `A ${type} needs a few hundred.`));
  const { caller, request, evidence } = await acceptSigned(c, ports, { body, proof, type, target });
  if (request.deployment.toLowerCase() !== id.toLowerCase()) {
    throw new Problem('wrong_deployment', `The address names deployment "${id}", the signed document ${request.deployment}. No database was asked.`, {
      deployment: request.deployment,
    });
  }
  const secrets = request.type === 'cancel' || request.type === 'approve' ? null : await acceptSecrets(ports, caller, request, (await tar?.secrets()) ?? null);
  return {
    caller,
    target,
    id: request.deployment.toLowerCase(),
    body,
    evidence,
    secrets,
    ...(request.type === 'undo' && { mode: request.mode }),
    ...(request.type === 'approve' && { digest: request.digest }),
  };
}

/** What is brought again must be what the deployment was signed with, by whoever signed it. */
async function proveSecretsOf(ports: Ports, { caller, request_id, target, parameters }: Deployment, secrets: SecretValues | null): Promise<void> {
  const digests = (parameters ?? []).filter(({ secret, given, digest }) => secret && given && digest).map(({ name, digest }) => [name, digest ?? null]);
  // What was opened straight in the database nobody signed.
  if (digests.length > 0) await proveSecrets(Object.fromEntries(digests), secrets, keysOf(ports, caller), { id: request_id, target });
}
