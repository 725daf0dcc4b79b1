/**
 * The drive: open, stage, run. Waits on the network do not grow with the number of files: one to open, one for everything
 * that is staged and the CALL behind it. How the CALL is followed to its end is `run.ts`.
 */
import { type OpenedDeployment, openDeployment, readStatus, runMessage } from '../database/engine.ts';
import { problemOf } from '../database/engine_problems.ts';
import type { Message, Reply, Session } from '../database/session.ts';
import { stagingMessages } from '../database/staging.ts';
import { type Deployment, type DeploymentState, isOver } from '../domain/deployment.ts';
import { type Artifact, chunkDigests, type Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { answerOf, type Errand, Patience, persist } from './errand.ts';
import { type CallOnItsWay, runToEnd, sendCall } from './run.ts';
import { type Chunks, Staging, Supply } from './stage.ts';

export interface Order {
  /** The signed bytes, as they came. */
  readonly request: Uint8Array;
  readonly manifest: Manifest;
  readonly caller: string;
  /** Null straight to a database. */
  readonly target: string | null;
  /** Kept beside the request; null when nobody signed it. */
  readonly signature: { readonly id: string; readonly timestamp: string; readonly signature: string } | null;
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
}

export interface DeployOptions extends Errand {
  readonly order: Order;
  /** The bytes of the chunks that are wanted, each once, in any order. Without it, nothing is staged that is not there. */
  readonly chunks?: Chunks | undefined;
  /** Whether `chunks` may be called again after a connection broke: a folder can be read twice, the body of a request cannot. */
  readonly chunksAgain?: boolean | undefined;
  /** Whether `opened` shall not wait for the CALL. It costs one wait on the network more. */
  readonly answerWhenStaged?: boolean | undefined;
}

/**
 * Deploys.
 * @returns opened: once everything is staged and the CALL is on its way, or was found not to be needed. done: the deployment as it ended, or as
 * it is when the deadline passes. Both reject with a Problem when the database, the request or the chunks are not what they must be
 */
export function deploy(options: DeployOptions): { opened: Promise<Opened>; done: Promise<Deployment> } {
  const opened = Promise.withResolvers<Opened>();
  const done = drive(options, opened.resolve);
  done.catch(opened.reject);
  opened.promise.catch(() => undefined);
  return { opened: opened.promise, done };
}

async function drive(options: DeployOptions, tellOpened: (opened: Opened) => void): Promise<Deployment> {
  const patience = new Patience(options);
  const supply = new Supply(options);
  for (;;) {
    const begun = await persist(options, patience, (session) => begin(session, options, patience, supply, tellOpened));
    if (begun.call === null) return begun.deployment;
    try {
      const deployment = await runToEnd(options, patience, begun.id, options.order.target, begun.call);
      if (deployment !== null) {
        tellOpened(begun.opened); // what was to tell it may have been lost with the first connection
        return deployment;
      }
      throw new Problem('internal', `The engine said nothing of deployment ${begun.id}. \`weft status\` shows what the database knows.`);
    } catch (error) {
      // the connection broke while the artifacts were on their way: what has arrived is kept, the rest is sent once more
      if (!(error instanceof Problem && error.slug === 'deployment_not_staged') || supply.isSpent || patience.isOver) throw error;
    }
  }
}

type Begun = { readonly call: null; readonly deployment: Deployment } | { readonly call: CallOnItsWay; readonly id: string; readonly opened: Opened };

/** Opens, stages, and sends the CALL, unless there is no need to. The same request twice is one deployment: so it can be tried again. */
async function begin(session: Session, options: DeployOptions, patience: Patience, supply: Supply, tellOpened: (opened: Opened) => void): Promise<Begun> {
  const { order } = options;
  const found = await answerOf(session, openDeployment(session, { ...order, signature: order.signature === null ? null : { ...order.signature } }), patience);
  const { id, backend } = found;
  const missing = missingArtifacts(order.manifest, found);
  if (isOver(found.state) || (missing.length > 0 && options.chunks === undefined)) {
    const deployment = await answerOf(session, readStatus(session, id), patience);
    tellOpened(describe(found, found.state, missing));
    await session.close();
    return { call: null, deployment };
  }
  const staging = new Staging(missing.length > 0 ? stagingMessages(id, supply.take(new Set(found.missing))) : []);
  const opened = describe(found, stagedOr(found.state), []);
  if (options.answerWhenStaged) {
    checkStaged(await answerOf(session, session.pipeline(staging), patience, () => staging.owedSince));
    tellOpened(opened);
    return { id, opened, call: sendCall(session, id, order.target, backend) };
  }
  const reply = session.pipeline(followedBy(staging, runMessage(id, order.target, backend))).then((replies) => {
    checkStaged(replies.slice(0, -1));
    tellOpened(opened);
    return replies.at(-1);
  });
  return { id, opened, call: { session, reply, isStaging: () => !staging.isStuck } };
}

async function* followedBy(messages: Iterable<Message> | AsyncIterable<Message>, last: Message): AsyncGenerator<Message> {
  yield* messages;
  yield last;
}

/** @throws Problem what the engine said of the first chunk that it did not take */
function checkStaged(replies: readonly (Reply | undefined)[]): void {
  for (const reply of replies) {
    if (reply?.kind === 'error') throw problemOf(reply.error);
  }
}

function missingArtifacts(manifest: Manifest, { missing }: OpenedDeployment): Artifact[] {
  const wanted = new Set(missing);
  return manifest.artifacts.filter((artifact) => chunkDigests(artifact).some((digest) => wanted.has(digest)));
}

/** What an open deployment has become once everything was taken. */
function stagedOr(state: DeploymentState): DeploymentState {
  return state === 'open' ? 'staged' : state;
}

function describe(found: OpenedDeployment, state: DeploymentState, missing: readonly Artifact[]): Opened {
  return { id: found.id, state, repeated: found.repeated, missing, warning: found.server.warning };
}
