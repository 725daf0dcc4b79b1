/**
 * One pipeline in legs: everything is sent at once, and whoever waits for a part of it learns of that part as soon as its answer is
 * there. What the legs say is for others.
 */
import type { Message, Messages, Reply, Session } from './session.ts';

class Leg {
  readonly replies: Promise<Reply[]>;
  readonly #messages: Messages;
  readonly #came: Reply[] = [];
  readonly #resolve: (replies: Reply[]) => void;
  #owedCount = 0;
  #isSent = false;

  constructor(messages: Messages, pipeline: Promise<unknown>) {
    this.#messages = messages;
    const { promise, resolve, reject } = Promise.withResolvers<Reply[]>();
    this.replies = promise;
    this.#resolve = resolve;
    pipeline.catch(reject);
    promise.catch(() => undefined); // not everybody waits for every leg
  }

  async *send(): AsyncGenerator<Message> {
    for await (const message of this.#messages) {
      if (message.kind !== 'sync') this.#owedCount += 1;
      yield message;
    }
    yield { kind: 'sync' };
    this.#isSent = true;
    this.#look();
  }

  /** @returns false when all of its replies have come before */
  take(reply: Reply): boolean {
    if (this.#came.length === this.#owedCount) return false;
    this.#came.push(reply);
    this.#look();
    return true;
  }

  #look(): void {
    if (this.#isSent && this.#came.length === this.#owedCount) this.#resolve(this.#came);
  }
}

/**
 * Sends all legs in one pipeline. Each is a transaction of its own, or several.
 * @returns for each leg its replies, as soon as nothing can change them any more; rejects, if they have not come by then, with what
 * the pipeline rejects with
 */
export function sendInLegs<const L extends readonly Messages[]>(session: Session, legs: L): { [K in keyof L]: Promise<Reply[]> } {
  const pipeline = Promise.withResolvers<unknown>();
  const made = legs.map((messages) => new Leg(messages, pipeline.promise));
  async function* messages(): AsyncGenerator<Message> {
    for (const leg of made) yield* leg.send();
  }
  // Replies come in the order of what was sent, and only for what was sent: the first leg that is owed one takes it.
  const sending = session.pipeline(messages(), (reply) => void made.some((leg) => leg.take(reply)));
  pipeline.resolve(sending);
  return made.map(({ replies }) => replies) as { [K in keyof L]: Promise<Reply[]> };
}
