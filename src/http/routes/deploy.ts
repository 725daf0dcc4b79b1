/**
 * `POST /v1/targets/{target}/deployments`: a signed request, and what it brings along, becomes a deployment. It is answered as
 * soon as everything is staged and the run is on its way, or with `Prefer: wait` when it is over.
 */
import { Hono } from 'hono';
import { lacksApproval } from '../../domain/approval.ts';
import { type Deployment, isOver } from '../../domain/deployment.ts';
import { LIMITS } from '../../domain/limits.ts';
import { Problem } from '../../domain/problem.ts';
import { mayBeRun } from '../../trust/grants.ts';
import { protectionOf } from '../../trust/rules.ts';
import { readProof } from '../accept.ts';
import { answerDeployment, handOn, type Outcome, setLocation, stayWith, toOutcome, waitFor } from '../answers.ts';
import type { HttpContext, HttpEnv } from '../context.ts';
import { orHeld } from '../held.ts';
import type { Ports } from '../ports.ts';
import { readWait } from '../prefer.ts';
import { findTarget } from '../targets.ts';
import { acceptUpload } from '../upload.ts';

/** The engine says at once that it waits; meanwhile the answer does. */
const ASKED_SECONDS = 5;

export function deployRoutes(ports: Ports): Hono<HttpEnv> {
  return new Hono<HttpEnv>().post('/deployments', (c) => postDeployment(c, ports));
}

async function postDeployment(c: HttpContext, ports: Ports): Promise<Response> {
  const target = c.req.param('target') ?? '';
  c.var.notes.target = target;
  const proof = readProof(c.req.raw.headers);
  const wait = readWait(c.req.header('prefer'));
  const upload = await acceptUpload(c, ports, proof, target);

  let latest: Deployment | undefined;
  const drive = ports.deploy({
    connect: ports.connect(findTarget(ports, target)),
    order: {
      request: upload.request,
      manifest: upload.manifest,
      mode: upload.mode,
      caller: upload.caller,
      target,
      signature: upload.evidence,
      secrets: upload.secrets,
      protection: protectionOf(ports.config, target),
    },
    ...(upload.chunks === undefined ? {} : { chunks: upload.chunks }),
    onStatus: (deployment) => {
      latest = deployment;
    },
    callers: mayBeRun(ports.config, target),
    deadlineMs: LIMITS.drive_seconds_max * 1000,
  });
  const outcome = toOutcome(drive.done);
  stayWith(c, ports, outcome);

  const opened = await orHeld(c, ports, target, drive.opened);
  await setLocation(c, ports, upload.caller, target, opened.id);
  const missing = opened.missing.map(({ digest, path, size }) => ({ digest, path, size }));
  const more = { repeated: opened.repeated, missing };
  const brief = {
    id: opened.id,
    state: opened.state,
    target,
    bundle: upload.manifest.bundle,
    ...more,
    ...(opened.approval ? { approval: opened.approval } : {}),
  };
  if (missing.length > 0) return c.json(brief, 202);

  // A repeat of what is over is answered with its end, which is there already. What has to be approved goes nowhere until then: who approves it hands it on.
  const isAsking = lacksApproval(opened);
  const handedOn = isOver(opened.state) || isAsking ? null : handOn(c, ports, outcome, { target, id: opened.id, secrets: upload.secrets });
  const end: Outcome | null = isOver(opened.state) ? await outcome : await waitFor(ports, outcome, isAsking ? Math.max(wait ?? 0, ASKED_SECONDS) : wait);
  await handedOn;
  if (wait !== null) c.header('preference-applied', `wait=${wait}`);
  if (end === null) return latest === undefined || wait === null ? c.json(brief, 202) : answerDeployment(c, latest, more);
  if ('deployment' in end) return answerDeployment(c, end.deployment, more);
  throw withDeployment(end.error, opened.id);
}

/** The same problem, naming the deployment that exists in spite of it. */
function withDeployment(error: unknown, id: string): unknown {
  if (!(error instanceof Problem)) return error;
  return new Problem(error.slug, error.message, { ...error.facts, deployment: id }, error.cause ?? error);
}
