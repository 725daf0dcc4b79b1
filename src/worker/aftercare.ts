/**
 * Before an answer goes out: a message into the queue, an entry into the memory. An isolate may end at any moment after its answer, so
 * then it would be too late. What cannot be left is logged; the deployment itself goes on, and the next request finds it. Each message
 * is followed by another until the deployment is over: so a repeated request, or a webhook that is delivered again and again, leaves
 * none beside one that is due soon.
 */
import { LIMITS } from '../domain/limits.ts';
import type { SecretValues } from '../domain/parameters.ts';
import type { Unfinished } from '../domain/unfinished.ts';
import { describeError, type LogEntry } from '../http/log.ts';
import type { Aftercare } from '../http/ports.ts';
import { sealSecrets } from '../trust/seal.ts';
import type { Bindings, Memory } from './bindings.ts';
import type { Remembered } from './unfinished_work.ts';

export interface AftercareOptions extends Bindings {
  readonly sealingKey: string | null;
  readonly log: (entry: LogEntry) => void;
  now(): number;
}

/** @returns undefined where there is neither queue nor memory */
export function createAftercare(options: AftercareOptions): Aftercare | undefined {
  const { queue, memory, log } = options;
  if (queue === null && memory === null) return undefined;
  /** @returns undefined where it failed */
  const trying = async <T>(work: Promise<T>, what: string, target: string, deployment: string): Promise<T | undefined> => {
    try {
      return await work;
    } catch (error) {
      log({ level: 'error', message: 'aftercare', target, deployment, what, errors: describeError(error) });
      return undefined;
    }
  };
  const forgetful = 'The memory did not take it.';
  return {
    async handOn(target, deployment, secrets) {
      const delaySeconds = LIMITS.look_again_seconds_first;
      const work = rememberedOf(options, { target, deployment, looks: 0 }, delaySeconds, queue !== null);
      if (queue === null) return void (await trying(Promise.resolve(memory?.note(work)), forgetful, target, deployment));
      const sealed = await sealIfPossible(options, target, deployment, secrets);
      const soon = work.lookAt + (LIMITS.look_again_seconds_max - delaySeconds) * 1000;
      // What brings secrets has a message of its own: the other one may have none.
      const noting = sealed === null ? memory?.noteUnlessQueued(work, options.now(), soon) : memory?.note(work).then(() => false);
      const isQueued = await trying(Promise.resolve(noting), forgetful, target, deployment);
      if (isQueued === true) return;
      const sending = queue.send({ target, deployment, looks: 0, sealed }, { delaySeconds }).then(() => true);
      if (await trying(sending, 'No message could be left in the queue.', target, deployment)) return;
      if (isQueued === false) await trying(Promise.resolve(memory?.note({ ...work, isQueued: false })), forgetful, target, deployment);
    },
    async strikeOut(target, deployment) {
      await trying(memory?.strikeOut(target, deployment) ?? Promise.resolve(), 'The memory keeps what is over.', target, deployment);
    },
  };
}

/** @returns a function that makes the schedule look at a deployment in this many seconds, if there is a memory; never rejects */
export function createLookAgain(options: Omit<AftercareOptions, 'sealingKey'>): (target: string, deployment: string, seconds: number) => Promise<void> {
  return async (target, deployment, seconds) => {
    try {
      await noteNext({ ...options, queue: null }, { target, deployment, looks: 0 }, seconds, false);
    } catch (error) {
      options.log({ level: 'error', message: 'aftercare', target, deployment, what: 'The memory did not take it.', errors: describeError(error) });
    }
  };
}

interface Surroundings {
  readonly queue: unknown;
  readonly memory: Memory | null;
  now(): number;
}

/** Remembers when to look next. @param isQueued whether a message of the queue comes before that */
export async function noteNext(surroundings: Surroundings, work: Omit<Unfinished, 'sealed'>, delay_seconds: number, isQueued: boolean): Promise<void> {
  await surroundings.memory?.note(rememberedOf(surroundings, work, delay_seconds, isQueued));
}

/** Where there is a queue, to look is its business, and the memory is for messages that went astray. */
function rememberedOf(
  { queue, now }: Omit<Surroundings, 'memory'>,
  { target, deployment, looks }: Omit<Unfinished, 'sealed'>,
  delay_seconds: number,
  isQueued: boolean,
): Remembered {
  const slack_seconds = queue === null ? 0 : LIMITS.schedule_slack_seconds;
  return { target, deployment, looks, lookAt: now() + (delay_seconds + slack_seconds) * 1000, isQueued };
}

async function sealIfPossible({ sealingKey, log }: AftercareOptions, target: string, deployment: string, secrets: SecretValues | null): Promise<string | null> {
  if (secrets === null || sealingKey === null || Object.keys(secrets).length === 0) return null;
  const sealed = await sealSecrets(secrets, sealingKey, { target, deployment });
  if (sealed.length <= LIMITS.sealed_characters) return sealed;
  const what = `Its secrets are too long for a message of the queue (sealed_characters, ${LIMITS.sealed_characters}); whoever goes on with it brings them again.`;
  log({ level: 'error', message: 'aftercare', target, deployment, what });
  return null;
}
