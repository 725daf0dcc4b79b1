/**
 * Before an answer goes out: a message in the queue, a line in the memory. An isolate may end at any moment behind its answer, so it is then
 * too late. What cannot be left is said to the log; the deployment itself goes on, and the next request finds it.
 */
import { LIMITS } from '../domain/limits.ts';
import type { SecretValues } from '../domain/parameters.ts';
import type { Unfinished } from '../domain/unfinished.ts';
import { describeError, type LogEntry } from '../http/log.ts';
import type { Aftercare } from '../http/ports.ts';
import { sealSecrets } from '../trust/seal.ts';
import type { Bindings, Memory } from './bindings.ts';

export interface AftercareOptions extends Bindings {
  readonly sealingKey: string | null;
  readonly log: (entry: LogEntry) => void;
  now(): number;
}

/** @returns undefined where there is neither queue nor memory */
export function createAftercare(options: AftercareOptions): Aftercare | undefined {
  const { queue, memory, log } = options;
  if (queue === null && memory === null) return undefined;
  const trying = async (work: Promise<unknown>, what: string, target: string, deployment: string): Promise<void> => {
    try {
      await work;
    } catch (error) {
      log({ level: 'error', message: 'aftercare', target, deployment, what, errors: describeError(error) });
    }
  };
  return {
    async handOn(target, deployment, secrets) {
      const delaySeconds = LIMITS.look_again_seconds_first;
      const send = async (): Promise<void> => {
        const sealed = await sealIfPossible(options, target, deployment, secrets);
        await queue?.send({ target, deployment, looks: 0, sealed }, { delaySeconds });
      };
      await Promise.all([
        trying(send(), 'No message could be left in the queue.', target, deployment),
        trying(noteNext(options, { target, deployment, looks: 0 }, delaySeconds), 'The memory did not take it.', target, deployment),
      ]);
    },
    async strikeOut(target, deployment) {
      await trying(memory?.strikeOut(target, deployment) ?? Promise.resolve(), 'The memory keeps what is over.', target, deployment);
    },
  };
}

/** @returns what has the schedule look at a deployment in so many seconds, where there is a memory; never rejects */
export function createLookAgain(options: Omit<AftercareOptions, 'sealingKey'>): (target: string, deployment: string, seconds: number) => Promise<void> {
  return async (target, deployment, seconds) => {
    try {
      await noteNext({ ...options, queue: null }, { target, deployment, looks: 0 }, seconds);
    } catch (error) {
      options.log({ level: 'error', message: 'aftercare', target, deployment, what: 'The memory did not take it.', errors: describeError(error) });
    }
  };
}

/** Remembers when to look next. Where there is a queue, that is its business, and the memory is for messages that went astray. */
export async function noteNext(
  { queue, memory, now }: { readonly queue: unknown; readonly memory: Memory | null; now(): number },
  { target, deployment, looks }: Omit<Unfinished, 'sealed'>,
  delay_seconds: number,
): Promise<void> {
  const slack_seconds = queue === null ? 0 : LIMITS.schedule_slack_seconds;
  await memory?.note({ target, deployment, looks, lookAt: now() + (delay_seconds + slack_seconds) * 1000 });
}

async function sealIfPossible({ sealingKey, log }: AftercareOptions, target: string, deployment: string, secrets: SecretValues | null): Promise<string | null> {
  if (secrets === null || sealingKey === null || Object.keys(secrets).length === 0) return null;
  const sealed = await sealSecrets(secrets, sealingKey, { target, deployment });
  if (sealed.length <= LIMITS.sealed_characters) return sealed;
  const what = `Its secrets are too long for a message of the queue (sealed_characters, ${LIMITS.sealed_characters}); whoever goes on with it brings them again.`;
  log({ level: 'error', message: 'aftercare', target, deployment, what });
  return null;
}
