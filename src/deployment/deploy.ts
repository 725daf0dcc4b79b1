/**
 * The drive: open, stage, run. The number of round trips does not grow with the number of files: a small bundle takes one for all of
 * it; a larger one takes one to open, and one for everything that is staged and the CALL after it. What is sent after the opening is in
 * `flight.ts`; how the CALL is followed to its end, in `run.ts`.
 */
import { type OpenedDeployment, openDeployment, type Run, readStatus, runMessages } from '../database/engine.ts';
import { problemOf } from '../database/engine_problems.ts';
import type { OwedCall } from '../database/owed.ts';
import type { Reply, Session } from '../database/session.ts';
import { stagingMessages } from '../database/staging.ts';
import { type Approval, isUnapproved, lacksApproval, type Protection } from '../domain/approval.ts';
import { type Deployment, type DeploymentState, isOver } from '../domain/deployment.ts';
import { type Artifact, chunkDigests, type Manifest } from '../domain/manifest.ts';
import { type SecretValues, secretsMissing } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import { answerOf, type Errand, Patience, persist } from './errand.ts';
import { Flight, type Following, follow } from './flight.ts';
import { type CallOnItsWay, runToEnd } from './run.ts';
import { sampleWaits } from './sample.ts';
import { type Chunks, Supply } from './stage.ts';

export interface Order {
  /** The signed bytes, as they came. */
  readonly request: Uint8Array;
  readonly manifest: Manifest;
  readonly caller: string;
  /** Null straight to a database. */
  readonly target: string | null;
  /** As the request says it; without it, everything is applied. */
  readonly mode?: 'apply' | 'rehearse' | 'baseline' | undefined;
  /** What proves the request, kept beside it: its signature, its identity token's mark, or the webhook that it was made for; null when nobody signed anything. */
  readonly signature: Readonly<Record<string, string>> | null;
  /** Values of the secret parameters that the request names, already proved. They are passed on with each CALL, and stored nowhere. */
  readonly secrets?: SecretValues | null;
  /** What the environment of the target requires of it; null or absent straight to a database, or if it requires nothing. */
  readonly protection?: Protection | null | undefined;
  /** Whom to tell how it ends, besides the caller. */
  readonly owed?: OwedCall | null | undefined;
}

export interface Opened {
  readonly id: string;
  readonly state: DeploymentState;
  /** The same request came before. */
  readonly repeated: boolean;
  /** Artifacts of which chunks are still missing; empty once staged. */
  readonly missing: readonly Artifact[];
  /** What a newer server than the tested ones earns: a sentence, or null. */
  readonly warning?: string | null;
  /** Whose approval it needs before it is run; null when it needs none. */
  readonly approval?: Approval | null;
  /** If the same request came before, and its deployment is over: one of the same bundle that has run since; null or absent if there is none. */
  readonly overtakenBy?: string | null;
}

export interface DeployOptions extends Errand {
  readonly order: Order;
  /** The bytes of the chunks that are wanted, each once, in any order. Without it, nothing can be staged. */
  readonly chunks?: Chunks | undefined;
  /** Whether `chunks` may be called again after a connection broke: a folder can be read twice, the body of a request cannot. */
  readonly chunksAgain?: boolean | undefined;
  /** Whose deployments may be run ahead of this one; without it, everybody's. */
  readonly callers?: readonly string[] | undefined;
}

/**
 * Deploys.
 * @returns opened: once everything is staged and the CALL was sent, or was found unnecessary. done: the deployment as it ended, or as
 * it is when the deadline passes, or when it waits for its approval. Both reject with a Problem when the database, the request or the chunks are not what they must be
 */
export function deploy(options: DeployOptions): { opened: Promise<Opened>; done: Promise<Deployment> } {
  const opened = Promise.withResolvers<Opened>();
  const done = drive(options, opened.resolve);
  done.catch(opened.reject);
  opened.promise.catch(() => undefined);
  return { opened: opened.promise, done };
}

async function drive(options: DeployOptions, tellOpened: (opened: Opened) => void): Promise<Deployment> {
  const { order, callers = null } = options;
  const patience = new Patience(options);
  const supply = new Supply(options, order.manifest);
  await supply.hold(patience);
  const begun = await persist(options, patience, (session) => begin(session, options, patience, supply, tellOpened));
  if (begun.call === null) return begun.deployment;
  const stopSampling = order.mode === 'rehearse' ? sampleWaits(options.connect, begun.id) : null;
  const run = { id: begun.id, target: order.target, callers, secrets: order.secrets };
  const deployment = await runToEnd(options, patience, run, begun.call).finally(() => stopSampling?.());
  if (deployment !== null) return deployment;
  throw new Problem('internal', `The engine said nothing of deployment ${begun.id}. \`weft status\` shows what the database knows.`);
}

type Begun = { readonly call: null; readonly deployment: Deployment } | { readonly call: CallOnItsWay; readonly id: string };

/** Opens, stages, and sends the CALL, unless there is no need to. The same request twice is one deployment: so it can be tried again. */
async function begin(session: Session, options: DeployOptions, patience: Patience, supply: Supply, tellOpened: (opened: Opened) => void): Promise<Begun> {
  const { order, callers = null } = options;
  const run = { target: order.target, callers, secrets: order.secrets };
  const flight = supply.isWhole ? new Flight(session, run, (id) => stagingMessages(id, supply.takeAll())) : undefined;
  const call = { ...order, signature: order.signature === null ? null : { ...order.signature } };
  const found = await answerOf(session, openDeployment(session, call, flight?.send), patience);
  const { id } = found;
  const missing = missingArtifacts(order.manifest, found);
  if (isOver(found.state) || (missing.length > 0 && options.chunks === undefined)) {
    const deployment = await answerOf(session, readStatus(session, id), patience);
    tellOpened(describe(found, found.state, missing));
    await session.close();
    return { call: null, deployment };
  }
  // The running CALL has them already.
  if (missing.length === 0 && found.lacking.length > 0 && found.state !== 'running' && !isUnapproved(found)) throw secretsMissing(found.lacking, id);
  const { staging, staged, called } = flight?.of(id) ?? sendMissing(session, found, run, supply);
  checkStaged(await answerOf(session, staged, patience, () => staging.owedSince));
  supply.checkTaken(new Set(found.missing));
  tellOpened(describe(found, stagedOr(found), []));
  return { id, call: { session, backend: found.backend, reply: called } };
}

/** Sends what the database lacks, and the CALL. */
function sendMissing(session: Session, { id, missing, backend }: OpenedDeployment, run: Omit<Run, 'id'>, supply: Supply): Following {
  const messages = missing.length > 0 ? stagingMessages(id, supply.take(new Set(missing))) : [];
  return follow(session, messages, runMessages({ ...run, id }, backend));
}

/** @throws Problem the engine's error about the first chunk that it did not take */
function checkStaged(replies: readonly Reply[]): void {
  for (const reply of replies) {
    if (reply.kind === 'error') throw problemOf(reply.error);
  }
}

function missingArtifacts(manifest: Manifest, { missing }: OpenedDeployment): Artifact[] {
  const wanted = new Set(missing);
  return manifest.artifacts.filter((artifact) => chunkDigests(artifact).some((digest) => wanted.has(digest)));
}

/** What an open deployment has become once everything was taken: one that somebody has to approve stays what it is. */
function stagedOr(found: OpenedDeployment): DeploymentState {
  return found.state === 'open' && !lacksApproval(found) ? 'staged' : found.state;
}

function describe(found: OpenedDeployment, state: DeploymentState, missing: readonly Artifact[]): Opened {
  return { id: found.id, state, repeated: found.repeated, missing, warning: found.server.warning, approval: found.approval, overtakenBy: found.overtakenBy };
}
