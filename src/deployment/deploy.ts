/**
 * The drive: open, stage, run. Waits on the network do not grow with the number of files: one to open, one for everything
 * that is staged and the CALL behind it. How the CALL is followed to its end is `run.ts`.
 */
import type { Chunk } from '../bundle/chunks.ts';
import { type OpenedDeployment, openDeployment, readStatus, runMessage } from '../database/engine.ts';
import { problemOf } from '../database/engine_problems.ts';
import type { Message, Reply, Session } from '../database/session.ts';
import { stagingMessages } from '../database/staging.ts';
import { type Deployment, type DeploymentState, isOver } from '../domain/deployment.ts';
import { type Artifact, chunkDigests, type Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import type { Errand } from './errand.ts';
import { type CallOnItsWay, runToEnd } from './run.ts';

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
  /** The bytes of the chunks that are wanted, each once, in any order; called once at most. Without it, nothing is staged that is not there. */
  readonly chunks?: ((wanted: ReadonlySet<string>) => AsyncIterable<Chunk>) | undefined;
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
  const { order, chunks, connect } = options;
  const session = await connect();
  let call: CallOnItsWay | undefined;
  let id: string;
  try {
    const found = await openDeployment(session, { ...order, signature: order.signature === null ? null : { ...order.signature } });
    id = found.id;
    const missing = missingArtifacts(order.manifest, found);
    if (isOver(found.state) || (missing.length > 0 && chunks === undefined)) {
      tellOpened(describe(found, found.state, missing));
      return await readAndClose(session, id);
    }
    const staging = missing.length > 0 && chunks !== undefined ? stagingMessages(id, chunks(new Set(found.missing))) : [];
    if (options.answerWhenStaged) {
      checkStaged(await session.pipeline(staging));
      call = { session, reply: session.pipeline([runMessage(id, order.target, found.backend)]).then((replies) => replies[0]) };
      tellOpened(describe(found, stagedOr(found.state), []));
    } else {
      const replies = session.pipeline(followedBy(staging, runMessage(id, order.target, found.backend)));
      const reply = replies.then((all) => {
        checkStaged(all.slice(0, -1));
        tellOpened(describe(found, stagedOr(found.state), []));
        return all.at(-1);
      });
      call = { session, reply };
    }
  } catch (error) {
    await session.close();
    throw error;
  }
  const deployment = await runToEnd(options, id, order.target, call);
  if (deployment === null) throw new Problem('internal', `The engine said nothing of deployment ${id}. \`weft status\` shows what the database knows.`);
  return deployment;
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

async function readAndClose(session: Session, id: string): Promise<Deployment> {
  const deployment = await readStatus(session, id);
  await session.close();
  return deployment;
}
