/**
 * Straight to a database: makes the request that a Worker would have received, and hands it to deployment/'s drive, again
 * and again until the deadline when a connection is lost. The request names no audience and no target; the caller is "direct".
 */
import { type Bundle, wantedChunks } from '../bundle/source.ts';
import { connectTo } from '../database/connect.ts';
import type { Connect, Session } from '../database/session.ts';
import { cancel } from '../deployment/cancel.ts';
import { deploy, type Opened } from '../deployment/deploy.ts';
import { resume } from '../deployment/resume.ts';
import type { Deployment } from '../domain/deployment.ts';
import type { Problem } from '../domain/problem.ts';
import type { DeployRequest } from '../domain/request.ts';
import type { DatabaseAddress } from './address.ts';
import { persist } from './persist.ts';
import type { View } from './progress.ts';

const CALLER = 'direct';
const REQUEST_LIFE_SECONDS = 900;
/** How long one attempt may take to open a session: a compute wakes within that. */
const CONNECT_MS = 30_000;

export interface DirectErrand {
  readonly address: DatabaseAddress;
  /** Milliseconds since 1970. */
  readonly deadlineAtMs: number;
  readonly signal: AbortSignal;
  readonly onView: (change: Partial<View>) => void;
}

/** Sessions of a command. @param deadlineMs how long to try */
export function connectToDatabase({ connectionString, transport }: DatabaseAddress, deadlineMs: number): Connect {
  return connectTo({ connectionString, transport, applicationName: 'weft', deadlineMs: Math.min(deadlineMs, CONNECT_MS) });
}

/** One session for one reading. */
export async function withSession<T>(address: DatabaseAddress, use: (session: Session) => Promise<T>): Promise<T> {
  const session = await connectToDatabase(address, CONNECT_MS)();
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}

/**
 * Deploys a bundle.
 * @param id the same id is the same deployment
 * @returns the deployment as it ended, or as it is when the deadline comes
 * @throws Problem what the database refuses; what does not pass by itself
 */
export async function deployStraight(errand: DirectErrand, bundle: Bundle, id: string): Promise<Deployment> {
  const openSession = connectToDatabase(errand.address, errand.deadlineAtMs - Date.now());
  let isConnected = false;
  const connect: Connect = async () => {
    const session = await openSession();
    isConnected = true;
    return session;
  };
  let sentBytes = 0;
  async function* chunks(wanted: ReadonlySet<string>): ReturnType<typeof wantedChunks> {
    for await (const chunk of wantedChunks(bundle, wanted)) {
      sentBytes += chunk.bytes.length;
      if (isConnected) errand.onView({ activity: 'sending', sentBytes }); // a small bundle is read before
      yield chunk;
    }
  }
  return attend(errand, async (leftMs, onStatus, onContact) => {
    const request: DeployRequest = {
      type: 'deploy',
      id,
      audience: null,
      target: null,
      expires_at: new Date(Date.now() + REQUEST_LIFE_SECONDS * 1000).toISOString(),
      mode: 'apply',
      manifest: bundle.manifest,
    };
    const order = { request: new TextEncoder().encode(JSON.stringify(request)), manifest: bundle.manifest, caller: CALLER, target: null, signature: null };
    const drive = deploy({
      connect,
      order,
      chunks,
      chunksAgain: true,
      onStatus,
      onTrouble: tellTrouble(errand),
      deadlineMs: leftMs,
      signal: errand.signal,
    });
    drive.opened.then(onContact).catch(() => undefined); // the error comes out of `done`
    return drive.done;
  });
}

/** Continues a deployment, or attaches to it. */
export async function resumeStraight(errand: DirectErrand, id: string): Promise<Deployment> {
  const connect = connectToDatabase(errand.address, errand.deadlineAtMs - Date.now());
  return attend(errand, (leftMs, onStatus) =>
    resume({ connect, id, target: null, onStatus, onTrouble: tellTrouble(errand), deadlineMs: leftMs, signal: errand.signal }),
  );
}

/** @returns the deployment, cancelled, or as it was when it ended before */
export async function cancelStraight(errand: DirectErrand, id: string): Promise<Deployment> {
  const connect = connectToDatabase(errand.address, errand.deadlineAtMs - Date.now());
  return attend(errand, () => cancel({ connect, id, caller: CALLER, target: null }));
}

/** The drive tries again by itself; whoever looks on is told. */
function tellTrouble({ onView }: DirectErrand): (problem: Problem) => void {
  return ({ title }) => onView({ activity: 'attaching', note: `${title} Trying again.` });
}

async function attend(
  errand: DirectErrand,
  attempt: (leftMs: number, onStatus: (deployment: Deployment) => void, onContact: (opened: Opened) => void) => Promise<Deployment>,
): Promise<Deployment> {
  let hasContact = false;
  const onContact = ({ id, state, warning }: Opened): void => {
    hasContact = true;
    errand.onView({ id, state, activity: 'following', note: warning ?? null });
  };
  const onStatus = (deployment: Deployment): void => {
    hasContact = true;
    errand.onView({ id: deployment.id, deployment, activity: 'following', note: null });
  };
  return persist(() => attempt(Math.max(1, errand.deadlineAtMs - Date.now()), onStatus, onContact), {
    deadlineAtMs: errand.deadlineAtMs,
    signal: errand.signal,
    hasContact: () => hasContact,
    onPause: (note) => errand.onView({ activity: 'attaching', note }),
  });
}
