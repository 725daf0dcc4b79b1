/**
 * A run of the schedule: looks after what the memory knows to be unfinished and due, and after targets that the configuration calls
 * scheduled. Without either it opens nothing: a sleeping database is not woken to hear that there is nothing to do.
 */
import type { Target } from '../config/config.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { describeError } from '../http/log.ts';
import { mayBeRun } from '../trust/grants.ts';
import { tellWhatIsOwed } from './changes.ts';
import { type Caretaker, lookAfter, remember } from './look_after.ts';
import type { Remembered } from './unfinished_work.ts';

/** Never rejects. */
export async function runSchedule(caretaker: Caretaker): Promise<void> {
  const { ports } = caretaker;
  const due = await listDue(caretaker);
  const byTarget = Map.groupBy(due, ({ target }) => target);
  const scheduled = [...ports.config.targets.values()].filter((target) => target.scheduled === true);
  ports.log({ level: 'info', message: 'schedule', due: due.length, scheduled: scheduled.length });
  await Promise.all([
    // of one database one after another: whoever carries the first finishes what is ahead of it
    ...[...byTarget.values()].map(async (works) => {
      for (const work of works) await takeUp(caretaker, work);
    }),
    ...scheduled.filter(({ name }) => !byTarget.has(name)).map((target) => lookForAny(caretaker, target)),
  ]);
}

async function listDue({ memory, ports }: Caretaker): Promise<readonly Remembered[]> {
  try {
    return (await memory?.listDue(ports.now(), LIMITS.scheduled_looks_count_max)) ?? [];
  } catch (error) {
    ports.log({ level: 'error', message: 'schedule', what: 'The memory did not answer.', errors: describeError(error) });
    return [];
  }
}

async function takeUp(caretaker: Caretaker, { target, deployment, looks }: Remembered): Promise<void> {
  const work = { target, deployment, looks, sealed: null };
  const found = await lookAfter(caretaker, 'schedule', work);
  const left = await tellWhatIsOwed(caretaker.desk, caretaker.ports.log, target, caretaker.lookAgain);
  try {
    if (!left.has(deployment)) await remember(caretaker, 'schedule', work, found);
  } catch (error) {
    caretaker.ports.log({ level: 'error', message: 'schedule', target, deployment, errors: describeError(error) });
  }
}

/** Whatever is unfinished in a database that is always awake. */
async function lookForAny({ ports, attend, desk, lookAgain }: Caretaker, target: Target): Promise<void> {
  const { name } = target;
  try {
    const deadlineMs = LIMITS.attend_seconds_max * 1000;
    const { deployment } = await attend({ connect: ports.connect(target), id: null, target: name, callers: mayBeRun(ports.config, name), deadlineMs });
    ports.log({ level: 'info', message: 'look_after', by: 'schedule', target: name, deployment: deployment?.id ?? null, state: deployment?.state ?? null });
  } catch (error) {
    if (error instanceof Problem && error.slug === 'engine_missing') return; // nothing was ever deployed there
    ports.log({ level: 'error', message: 'look_after', by: 'schedule', target: name, errors: describeError(error) });
  }
  // What keeps one deployment from its end (a missing secret, a lease whose holder nobody can see) does not keep a forge from hearing about another.
  await tellWhatIsOwed(desk, ports.log, name, lookAgain);
}
