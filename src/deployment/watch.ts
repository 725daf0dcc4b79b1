/**
 * Watches a CALL from a second session: the first one is silent until the CALL ends, and a network that swallows everything looks just
 * the same. The watcher shows progress, and says when waiting has become pointless.
 */
import { readDeployments, readGlance, readStatus } from '../database/engine.ts';
import { endLostSessions } from '../database/lost_sessions.ts';
import type { Session } from '../database/session.ts';
import { type Deployment, type Glance, isOver } from '../domain/deployment.ts';
import { answerOf, type Errand, type Patience } from './errand.ts';

/** Most CALLs are over before anybody needs a second session. */
const watch_after_milliseconds = 1_000;
const look_every_milliseconds = 500;
const look_milliseconds_max = 10_000;
/** Looks in a row that find the deployment over, or nobody running it, while the CALL has not been answered. */
const lost_after_looks_count = 6;
/** For a CALL for everything that is unfinished. */
const looked_at_deployments_count = 5;

/** What can be seen from outside. */
export interface Sight {
  /** Null if there is none. For a CALL for everything that is unfinished: the running one, or the newest. */
  readonly deployment: Deployment | null;
  /** Whether somebody is running it, or one of those before it in line. */
  readonly isAtWork: boolean;
  /** Whether something was begun that is not over. */
  readonly isBegun: boolean;
}

/**
 * Looks at a deployment, or without an id at whatever is unfinished. One wait, or two.
 * @throws Problem deployment_not_found, engine_missing, session_lost, interrupted
 */
export async function look(session: Session, id: string | null, patience: Patience): Promise<Sight> {
  if (id === null) {
    const all = await ask(session, patience, readDeployments(session, looked_at_deployments_count));
    const atWork = all.find(({ live }) => live !== null);
    return { deployment: atWork ?? all[0] ?? null, isAtWork: atWork !== undefined, isBegun: all.some(({ state }) => state === 'running') };
  }
  const deployment = await ask(session, patience, readStatus(session, id));
  return { deployment, ...(await lookAhead(session, deployment, patience)) };
}

/** No look takes longer than that. */
function ask<T>(session: Session, patience: Patience, work: Promise<T>): Promise<T> {
  return answerOf(session, work, patience, undefined, look_milliseconds_max);
}

/** For a deployment and those before it in line: whether somebody is running one, and whether any was begun and is not over. */
async function lookAhead(session: Session, { state, live, ahead }: Pick<Glance, 'state' | 'live' | 'ahead'>, patience: Patience) {
  const [first] = ahead;
  const before = first === undefined ? null : await ask(session, patience, readGlance(session, first));
  return { isAtWork: live !== null || (before !== null && before.live !== null), isBegun: state === 'running' || before?.state === 'running' };
}

type Seen = Pick<Sight, 'deployment' | 'isAtWork'> & { readonly isEnded: boolean };

/**
 * Who looks at one deployment again and again asks for what changes while it runs, and for all of it only when something was committed: of thousands
 * of steps that is a long document.
 */
class Watch {
  readonly #id: string;
  readonly #patience: Patience;
  #known: { readonly mark: string; readonly deployment: Deployment } | null = null;

  constructor(id: string, patience: Patience) {
    this.#id = id;
    this.#patience = patience;
  }

  async look(session: Session): Promise<Seen> {
    const glance = await ask(session, this.#patience, readGlance(session, this.#id));
    const deployment = await this.#learn(session, glance);
    const { isAtWork } = await lookAhead(session, glance, this.#patience);
    return { deployment, isAtWork, isEnded: isOver(glance.state) };
  }

  async #learn(session: Session, { mark, state, live, ahead }: Glance): Promise<Deployment> {
    const known = this.#known;
    const deployment = known?.mark === mark ? { ...known.deployment, state, live, ahead } : await ask(session, this.#patience, readStatus(session, this.#id));
    this.#known = { mark, deployment }; // read after its mark, so that what was committed in between is read again
    return deployment;
  }
}

/**
 * @param id null: whatever is unfinished
 * @param call what the first session waits for
 * @returns true when the answer to the call will not come any more, or the errand's time is over; false when it has come
 */
export async function watchCall(errand: Errand, id: string | null, call: Promise<unknown>, patience: Patience): Promise<boolean> {
  const stop = new AbortController();
  const answered = call.then(
    () => stop.abort(),
    () => stop.abort(),
  );
  const watcher = watch(errand, id, patience, stop.signal).catch(() => false);
  const timeIsOver = patience.rest(Number.POSITIVE_INFINITY, stop.signal).then(() => !stop.signal.aborted);
  const lost = await Promise.race([watcher, answered.then(() => false), timeIsOver]);
  stop.abort();
  return lost;
}

async function watch(errand: Errand, id: string | null, patience: Patience, stop: AbortSignal): Promise<boolean> {
  await patience.rest(watch_after_milliseconds, stop);
  let session: Session | null = null;
  const at = id === null ? null : new Watch(id, patience);
  let fruitless = 0;
  try {
    while (!stop.aborted && !patience.isExhausted) {
      try {
        session ??= await errand.connect();
        await ask(session, patience, endLostSessions(session));
        const { deployment, isAtWork, isEnded } = at === null ? { ...(await look(session, null, patience)), isEnded: false } : await at.look(session);
        if (stop.aborted) return false;
        if (deployment !== null) errand.onStatus?.(deployment);
        fruitless = isAtWork && !isEnded ? 0 : fruitless + 1;
        if (fruitless >= lost_after_looks_count) return true;
      } catch {
        // a watcher that cannot look changes nothing: it tries again
        await session?.close();
        session = null;
      }
      await patience.rest(look_every_milliseconds, stop);
    }
    return !stop.aborted;
  } finally {
    await session?.close();
  }
}
