/**
 * What forges have reported, as messages of the queue, or at once if there is none. A message that has led to something new is replaced
 * by one that knows it; one that dies on the way comes again as it was, which costs a few questions and changes nothing. What is not
 * over then is owed to the forge, in the database, and reported by whoever sees it end.
 */
import type { Message, Queue } from '@cloudflare/workers-types';
import type { ForgeWork } from '../domain/change.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { describeError, type LogEntry } from '../http/log.ts';
import type { ChangeTaker } from '../http/ports.ts';
import { carryOut } from '../operations/change.ts';
import type { ChangeDesk, ChangeProgress } from '../operations/desk.ts';
import { tellOwed } from '../operations/tell_owed.ts';
import type { Caretaker } from './look_after.ts';

type Log = (entry: LogEntry) => void;

/** Without a queue it is tried again only as often and as soon as an isolate may be expected to be there. */
const TRIES_WITHOUT_QUEUE = 3;
const PAUSE_WITHOUT_QUEUE_SECONDS_MAX = 5;

/** Has somebody look at a deployment again, where there is a memory. Never rejects. */
export type LookAgain = (target: string, deployment: string, seconds: number) => Promise<void>;

/** @param desk asked for when it is needed */
export function createChangeTaker(
  queue: Pick<Queue<ForgeWork>, 'send'> | null,
  desk: () => ChangeDesk,
  log: Log,
  sleep: (milliseconds: number) => Promise<void>,
  lookAgain: LookAgain,
): ChangeTaker {
  return {
    ...(queue === null ? {} : { leave: async (work: ForgeWork) => void (await queue.send(work)) }),
    async takeUp(given) {
      let work = given;
      for (let tries = 1; ; tries++) {
        const progress = await carryOut({ ...desk(), isKept: false }, work, LIMITS.drive_seconds_max * 1000, { isLast: tries >= TRIES_WITHOUT_QUEUE });
        tell(log, 'request', progress);
        const { again_seconds, finding } = progress;
        work = progress.work;
        const { target, deployment } = work;
        if (again_seconds === null) return tellOthers(desk(), log, work, lookAgain);
        if (finding === 'waiting' && deployment !== null) return lookAgain(target, deployment, again_seconds);
        if (tries >= TRIES_WITHOUT_QUEUE || again_seconds > LIMITS.look_again_seconds_max) {
          const what = 'Without a queue nobody takes it up again by itself: how it ends is told by whoever comes to this target next, or by the schedule.';
          log({ level: 'error', message: 'change', by: 'request', target, deployment, what });
          return deployment === null ? undefined : lookAgain(target, deployment, again_seconds);
        }
        await sleep(Math.min(again_seconds, PAUSE_WITHOUT_QUEUE_SECONDS_MAX) * 1000);
      }
    },
    tellOwed: (target) => tellWhatIsOwed(desk(), log, target, lookAgain),
  };
}

/** What a review has approved somebody else may have opened, whose forge waits for its end. */
async function tellOthers(desk: ChangeDesk, log: Log, { mode, target, deployment }: ForgeWork, lookAgain: LookAgain): Promise<void> {
  if (mode === 'approve' && deployment !== null) await tellWhatIsOwed(desk, log, target, lookAgain);
}

/** @returns deployments that are to be looked at again, for a forge did not take it; never rejects */
export async function tellWhatIsOwed(desk: ChangeDesk, log: Log, target: string, lookAgain: LookAgain): Promise<ReadonlySet<string>> {
  const left = new Set<string>();
  try {
    for (const progress of await tellOwed(desk, target)) {
      tell(log, 'passing', progress);
      const { again_seconds, work } = progress;
      if (again_seconds === null || work.deployment === null) continue;
      left.add(work.deployment);
      await lookAgain(target, work.deployment, again_seconds);
    }
  } catch (error) {
    const isNew = error instanceof Problem && error.slug === 'engine_missing'; // nothing was ever deployed there
    if (!isNew)
      log({ level: 'error', message: 'change', by: 'passing', target, what: 'What forges are owed could not be read.', errors: describeError(error) });
  }
  return left;
}

/** Never rejects. */
export async function takeChangeMessage({ desk, queue, ports, lookAgain }: Caretaker, message: Message, work: ForgeWork): Promise<void> {
  // A message that comes again has been taken up before: its attempts count.
  const again = message.attempts - 1;
  const progress = await carryOut(desk, { ...work, looks: work.looks + again }, LIMITS.attend_seconds_max * 1000, { isRepeated: again > 0 });
  tell(ports.log, 'queue', progress);
  const { again_seconds } = progress;
  if (again_seconds === null) {
    await tellOthers(desk, ports.log, progress.work, lookAgain);
    return message.ack();
  }
  try {
    if (queue === null) return message.retry({ delaySeconds: again_seconds });
    await queue.send(progress.work, { delaySeconds: again_seconds });
    message.ack();
  } catch (error) {
    ports.log({ level: 'error', message: 'change', by: 'queue', target: work.target, errors: describeError(error) });
    message.retry({ delaySeconds: again_seconds });
  }
}

function tell(log: Log, by: 'queue' | 'request' | 'passing', { finding, work, again_seconds, state, stale, errors }: ChangeProgress): void {
  const { forge, change, proof, target, deployment, looks } = work;
  const facts = {
    by,
    forge,
    event: change.event,
    commit: change.commit,
    delivery: proof.delivery,
    target,
    deployment,
    looks,
    finding,
    state,
    stale,
    again_seconds,
  };
  if (errors.length === 0) log({ level: 'info', message: 'change', ...facts });
  else log({ level: 'error', message: 'change', ...facts, errors: errors.flatMap((error) => describeError(error)) });
}
