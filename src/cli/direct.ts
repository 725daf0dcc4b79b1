/**
 * Straight to a database: makes the request that a Worker would have received, and hands it to deployment/'s drive, again and again
 * until the deadline if a connection is lost. The request names no audience and no target; the caller is "direct".
 */
import { type Bundle, wantedChunks } from '../bundle/source.ts';
import { connectTo } from '../database/connect.ts';
import type { Connect, Session } from '../database/session.ts';
import { approve } from '../deployment/approve.ts';
import { cancel } from '../deployment/cancel.ts';
import { deploy, type Opened } from '../deployment/deploy.ts';
import { Commits } from '../deployment/held.ts';
import { resume } from '../deployment/resume.ts';
import { undo } from '../deployment/undo.ts';
import type { Deployment } from '../domain/deployment.ts';
import type { SecretValues } from '../domain/parameters.ts';
import type { Problem } from '../domain/problem.ts';
import { type ApproveRequest, type DeployRequest, DIRECT_CALLER, type UndoRequest } from '../domain/request.ts';
import { HELD_BY_STANDBY } from '../words/waits.ts';
import type { DatabaseAddress } from './address.ts';
import { tellWhenHeld } from './held.ts';
import type { Io } from './io.ts';
import type { Assigned } from './parameters.ts';
import { FIRST_CONTACT_MS, persist } from './persist.ts';
import type { View } from './progress.ts';

const REQUEST_LIFE_SECONDS = 900;
/** How long one attempt may take to open a session: a compute wakes within that. */
const CONNECT_MS = 30_000;
/** How long it may take when the command's time is as good as over: a last look is due then. */
const LAST_CONNECT_MS = 2000;
/** How long opening a session may take without a word. */
const SILENCE_MS = 1000;

/** Which deployment is taken back, whether what has no undo may stay, and whether it is only rehearsed. */
export type UndoWish = Pick<UndoRequest, 'deployment' | 'partly' | 'mode'> & { readonly secrets: SecretValues | null };

export interface DirectErrand {
  readonly address: DatabaseAddress;
  /** Milliseconds since 1970. */
  readonly deadlineAtMs: number;
  readonly signal: AbortSignal;
  readonly onView: (change: Partial<View>) => void;
}

/**
 * Sessions of a command.
 * @param untilMs when the command's time is over, in milliseconds since 1970
 * @param onSilence called when there is none after a moment
 */
function connectToDatabase({ connectionString, transport }: DatabaseAddress, untilMs: number, onSilence: () => void): Connect {
  const deadlineMs = (): number => Math.min(CONNECT_MS, Math.max(LAST_CONNECT_MS, untilMs - Date.now()));
  const connect = connectTo({ connectionString, transport, applicationName: 'weft', deadlineMs });
  return async () => {
    const timer = setTimeout(onSilence, SILENCE_MS);
    try {
      return await connect();
    } finally {
      clearTimeout(timer);
    }
  };
}

function silenceUntil(milliseconds: number): string {
  const time = new Date(milliseconds).toTimeString().slice(0, 8);
  return `There is no connection yet: nobody listens at the address, or the database is waking. Trying until ${time}.`;
}

/** Sessions of an errand. Until the first is there, `persist` bears as long as this says. */
function connectFor(errand: DirectErrand): Connect {
  const untilMs = Math.min(errand.deadlineAtMs, Date.now() + FIRST_CONTACT_MS);
  let isFirst = true;
  const connect = connectToDatabase(errand.address, errand.deadlineAtMs, () => {
    if (isFirst) errand.onView({ note: silenceUntil(untilMs) });
  });
  return async () => {
    const session = await connect();
    if (isFirst) errand.onView({ note: null });
    isFirst = false;
    return session;
  };
}

/** One session for one reading. @param io where to say that nobody answers */
export async function withSession<T>(address: DatabaseAddress, io: Pick<Io, 'stderr'>, use: (session: Session) => Promise<T>): Promise<T> {
  const untilMs = Date.now() + CONNECT_MS;
  const session = await connectToDatabase(address, untilMs, () => io.stderr.write(`${silenceUntil(untilMs)}\n`))();
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}

/** The same for what may wait for a commit, which others can hold up. */
export async function withPatientSession<T>(address: DatabaseAddress, io: Pick<Io, 'stderr'>, use: (session: Session) => Promise<T>): Promise<T> {
  const connect = connectToDatabase(address, Number.POSITIVE_INFINITY, () => undefined);
  return withSession(address, io, async (session) => {
    const stopLooking = tellWhenHeld(connect, (words) => io.stderr.write(`${words}\n`));
    return use(session).finally(stopLooking);
  });
}

/**
 * Deploys a bundle.
 * @param id the same id is the same deployment
 * @param assigned values of its parameters
 * @returns the deployment as it ended, or as it is when the deadline comes
 * @throws Problem what the database refuses; what does not pass by itself
 */
export async function deployStraight(
  errand: DirectErrand,
  bundle: Bundle,
  id: string,
  assigned: Assigned,
  mode: DeployRequest['mode'] = 'apply',
  claims: Pick<DeployRequest, 'fingerprint' | 'verify'> = {},
): Promise<Deployment> {
  const { parameters, secrets } = assigned;
  const secretNames = Object.keys(secrets);
  const openSession = connectFor(errand);
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
      expires_at: expiry(),
      mode,
      ...claims,
      ...(Object.keys(parameters).length > 0 && { parameters }),
      // Nobody signs, so there is no key under which a digest would tell nothing.
      ...(secretNames.length > 0 && { secrets: Object.fromEntries(secretNames.map((name) => [name, null])) }),
      manifest: bundle.manifest,
    };
    const order = {
      request: new TextEncoder().encode(JSON.stringify(request)),
      manifest: bundle.manifest,
      caller: DIRECT_CALLER,
      target: null,
      mode,
      signature: null,
      secrets: secretNames.length > 0 ? secrets : null,
    };
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
export async function resumeStraight(errand: DirectErrand, id: string, secrets: SecretValues | null): Promise<Deployment> {
  const connect = connectFor(errand);
  return attend(errand, (leftMs, onStatus) =>
    resume({ connect, id, target: null, secrets, onStatus, onTrouble: tellTrouble(errand), deadlineMs: leftMs, signal: errand.signal }),
  );
}

/**
 * @param isPatient whether to wait until the errand's deadline; else as long as the drive thinks fit
 * @returns the deployment, cancelled, or as it was when it ended before; or as far as it is, when the time is over
 */
export async function cancelStraight(errand: DirectErrand, id: string, isPatient: boolean): Promise<Deployment> {
  const connect = connectFor(errand);
  return attend(errand, (leftMs, onStatus) => cancel({ connect, id, caller: null, target: null, onStatus, deadlineMs: isPatient ? leftMs : undefined }));
}

/** Approves a deployment in the name of the session's role, and has it run. */
export async function approveStraight(errand: DirectErrand, { deployment, digest }: Pick<ApproveRequest, 'deployment' | 'digest'>): Promise<Deployment> {
  const connect = connectFor(errand);
  const word = { deployment, digest, caller: null, request: null, signature: null };
  return attend(errand, (leftMs, onStatus) =>
    approve({ connect, ...word, target: null, onStatus, onTrouble: tellTrouble(errand), deadlineMs: leftMs, signal: errand.signal }),
  );
}

/**
 * Takes a deployment back.
 * @param wish which one, and how
 * @param id the same id is the same undo
 */
export async function undoStraight(errand: DirectErrand, { secrets, ...wish }: UndoWish, id: string): Promise<Deployment> {
  const names = Object.keys(secrets ?? {});
  const connect = connectFor(errand);
  return attend(errand, (leftMs, onStatus, onContact) => {
    const request: UndoRequest = {
      type: 'undo',
      id,
      audience: null,
      target: null,
      expires_at: expiry(),
      ...wish,
      ...(names.length > 0 && { secrets: Object.fromEntries(names.map((name) => [name, null])) }),
    };
    const order = {
      request: new TextEncoder().encode(JSON.stringify(request)),
      caller: DIRECT_CALLER,
      target: null,
      mode: wish.mode,
      signature: null,
      secrets: names.length > 0 ? secrets : null,
    };
    return undo({ connect, order, onOpened: onContact, onStatus, onTrouble: tellTrouble(errand), deadlineMs: leftMs, signal: errand.signal });
  });
}

function expiry(): string {
  return new Date(Date.now() + REQUEST_LIFE_SECONDS * 1000).toISOString();
}

/** The drive tries again by itself; whoever looks on is told. */
function tellTrouble({ onView }: DirectErrand): (problem: Problem) => void {
  return ({ title }) => onView({ activity: 'attaching', note: `${title} Trying again.` });
}

async function attend(
  errand: DirectErrand,
  attempt: (leftMs: number, onStatus: (deployment: Deployment) => void, onContact: (opened: Opened) => void) => Promise<Deployment>,
): Promise<Deployment> {
  errand.onView({ session: 'ours' });
  let hasContact = false;
  const stopLooking = tellWhenHeld(
    connectToDatabase(errand.address, errand.deadlineAtMs, () => undefined),
    (held) => errand.onView({ held, note: held }),
  );
  const learn = (more: Partial<View>): void => {
    hasContact = true;
    stopLooking();
    errand.onView({ activity: 'following', held: null, ...more });
  };
  const onContact = ({ id, state, warning }: Opened): void => {
    learn({ id, state, note: warning ?? null });
  };
  const commits = new Commits();
  const onStatus = (deployment: Deployment): void => {
    const held = commits.areHeld(deployment.live, Date.now()) ? HELD_BY_STANDBY : null;
    learn({ id: deployment.id, deployment, note: held, held });
  };
  return persist(() => attempt(Math.max(1, errand.deadlineAtMs - Date.now()), onStatus, onContact), {
    deadlineAtMs: errand.deadlineAtMs,
    signal: errand.signal,
    hasContact: () => hasContact,
    onPause: (note) => errand.onView({ activity: 'attaching', note }),
  }).finally(stopLooking);
}
