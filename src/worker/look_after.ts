/**
 * One look at a deployment whose request has had its answer: attach, continue it if nobody is at work, and say what was found and when
 * to look again. The queue and the schedule both end here. Looking once too often is harmless: the engine lets no second runner begin.
 */
import type { Attended, AttendOptions } from '../deployment/attend.ts';
import { isUnapproved } from '../domain/approval.ts';
import { isOver } from '../domain/deployment.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem, type ProblemSlug } from '../domain/problem.ts';
import type { Finding, Unfinished } from '../domain/unfinished.ts';
import { describeError } from '../http/log.ts';
import type { Ports } from '../http/ports.ts';
import { findTarget } from '../http/targets.ts';
import type { ChangeDesk } from '../operations/desk.ts';
import { mayBeRun } from '../trust/grants.ts';
import { openSealed } from '../trust/seal.ts';
import { noteNext } from './aftercare.ts';
import type { Bindings } from './bindings.ts';
import type { LookAgain } from './changes.ts';

export interface Caretaker extends Bindings {
  readonly ports: Pick<Ports, 'config' | 'connect' | 'log' | 'now'>;
  /** For what forges have told of. */
  readonly desk: ChangeDesk;
  readonly sealingKey: string | null;
  readonly lookAgain: LookAgain;
  attend(options: AttendOptions): Promise<Attended>;
}

export interface Found {
  readonly finding: Finding;
  /** Until the next look; nothing when there is no use in one. */
  readonly again_seconds: number | null;
  /** For one that waits for its approval: until its time is over, and it is cancelled. A message of the queue does not wait that long. */
  readonly overdue_seconds?: number;
}

/** Clocks differ. */
const OVERDUE_SLACK_SECONDS = 60;

/** What no further look would change: there is no such thing, or somebody has to bring something. */
const HOPELESS: readonly ProblemSlug[] = ['unknown_target', 'deployment_not_found', 'deployment_not_staged', 'engine_missing', 'secrets_missing'];

/**
 * @param by who looks; for the log
 * @returns what was found; never rejects
 */
export async function lookAfter(caretaker: Caretaker, by: 'queue' | 'schedule', work: Unfinished): Promise<Found> {
  const { ports } = caretaker;
  const { target, deployment, looks } = work;
  try {
    const secrets = await openSecrets(caretaker, work);
    const attended = await caretaker.attend({
      connect: ports.connect(findTarget(ports, target)),
      id: deployment,
      target,
      callers: mayBeRun(ports.config, target),
      secrets,
      deadlineMs: LIMITS.attend_seconds_max * 1000,
    });
    const state = attended.deployment?.state ?? null;
    const finding = findingOf(attended);
    const again_seconds = pauseAfter(finding, looks);
    const until = finding === 'unapproved' ? Date.parse(attended.deployment?.approval?.until ?? '') : Number.NaN;
    ports.log({ level: 'info', message: 'look_after', by, target, deployment, looks, finding, state, again_seconds });
    return Number.isNaN(until)
      ? { finding, again_seconds }
      : { finding, again_seconds, overdue_seconds: Math.max(0, (until - ports.now()) / 1000) + OVERDUE_SLACK_SECONDS };
  } catch (error) {
    const finding = error instanceof Problem && HOPELESS.includes(error.slug) ? 'lost' : 'unreachable';
    const again_seconds = pauseAfter(finding, looks);
    ports.log({ level: 'error', message: 'look_after', by, target, deployment, looks, finding, again_seconds, errors: describeError(error) });
    return { finding, again_seconds };
  }
}

function findingOf({ deployment, isAtWork }: Attended): Finding {
  if (deployment === null || isOver(deployment.state)) return 'over';
  if (isUnapproved(deployment)) return 'unapproved';
  return isAtWork ? 'at_work' : 'waiting';
}

/** Tells the memory what a look came to: when to look again, or that there is no use in it. @param by who looks: the queue leaves a message for the next look */
export async function remember(
  { queue, memory, ports }: Caretaker,
  by: 'queue' | 'schedule',
  { target, deployment, looks }: Unfinished,
  found: Found,
): Promise<void> {
  const seconds = found.again_seconds ?? found.overdue_seconds ?? null;
  if (seconds === null) await memory?.strikeOut(target, deployment);
  else await noteNext({ queue, memory, now: ports.now }, { target, deployment, looks: looks + 1 }, seconds, by === 'queue' && found.again_seconds !== null);
}

/** @returns seconds, twice as many after each look; null when there is nothing to come */
export function pauseAfter(finding: Finding, looks: number): number | null {
  const longest: Readonly<Record<Finding, number | null>> = {
    over: null,
    lost: null,
    unapproved: null,
    at_work: LIMITS.look_again_seconds_max,
    waiting: LIMITS.look_again_waiting_seconds_max,
    unreachable: LIMITS.look_again_unreachable_seconds_max,
  };
  const most = longest[finding];
  return most === null ? null : Math.min(LIMITS.look_again_seconds_first * 2 ** Math.min(looks, 30), most);
}

async function openSecrets({ sealingKey, ports }: Caretaker, { sealed, target, deployment }: Unfinished) {
  if (sealed === null) return null;
  const secrets = sealingKey === null ? null : await openSealed(sealed, sealingKey, { target, deployment });
  if (secrets === null) {
    const what = 'Its secrets were sealed with another key than this Worker has now; whoever goes on with it brings them again.';
    ports.log({ level: 'error', message: 'look_after', target, deployment, what });
  }
  return secrets;
}
