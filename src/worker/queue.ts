/**
 * A message of the queue: looks after the deployment that it names, and leaves another message if that is not over. A message that was
 * taken is acknowledged in every case except one: if a database does not answer or refuses, the queue counts the tries, up to its dead
 * letters. What a forge has reported comes the same way (`changes.ts`).
 */
import type { Message, MessageBatch } from '@cloudflare/workers-types';
import { forgeWorkSchema } from '../domain/change.ts';
import { type Unfinished, unfinishedSchema } from '../domain/unfinished.ts';
import { describeError } from '../http/log.ts';
import { takeChangeMessage, tellWhatIsOwed } from './changes.ts';
import { type Caretaker, lookAfter, pauseAfter, remember } from './look_after.ts';

const NOTHING: ReadonlySet<string> = new Set();

/** Takes a batch, all of it at once, and what is in it twice but once. Never rejects. */
export async function takeBatch(caretaker: Caretaker, batch: Pick<MessageBatch, 'messages'>): Promise<void> {
  const seen = new Set<string>();
  await Promise.all(
    batch.messages.map(async (message) => {
      const change = forgeWorkSchema.safeParse(message.body);
      if (change.success) return takeChangeMessage(caretaker, message, change.data);
      const parsed = unfinishedSchema.safeParse(message.body);
      if (!parsed.success) {
        caretaker.ports.log({ level: 'error', message: 'look_after', by: 'queue', what: 'A message of the queue is none of ours; it was dropped.' });
        return message.ack();
      }
      const key = `${parsed.data.target} ${parsed.data.deployment}`;
      if (seen.has(key)) return message.ack();
      seen.add(key);
      await takeMessage(caretaker, message, parsed.data);
    }),
  );
}

async function takeMessage(caretaker: Caretaker, message: Message, work: Unfinished): Promise<void> {
  const { queue, ports } = caretaker;
  // A message that comes again has been looked at before: its attempts count.
  const looks = work.looks + message.attempts - 1;
  const looked = { ...work, looks };
  const found = await lookAfter(caretaker, 'queue', looked);
  const { finding, again_seconds } = found;
  const left = finding === 'over' ? await tellWhatIsOwed(caretaker.desk, ports.log, work.target, caretaker.lookAgain) : NOTHING;
  try {
    if (!left.has(work.deployment)) await remember(caretaker, 'queue', looked, found);
    if (finding === 'unreachable') return message.retry({ delaySeconds: again_seconds ?? 0 });
    if (again_seconds !== null) {
      if (queue === null) return message.retry({ delaySeconds: again_seconds });
      await queue.send({ ...work, looks: looks + 1 }, { delaySeconds: again_seconds });
    }
    message.ack();
  } catch (error) {
    ports.log({ level: 'error', message: 'look_after', by: 'queue', target: work.target, deployment: work.deployment, errors: describeError(error) });
    message.retry({ delaySeconds: pauseAfter('unreachable', looks) ?? 0 });
  }
}
