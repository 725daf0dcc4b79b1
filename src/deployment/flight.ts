/**
 * What follows the opening of a deployment: its artifacts, and the CALL right after them. For a small bundle they are sent together
 * with the opening (a flight), before anything is known of the database: they only have an effect if that opened the deployment under
 * the id that it proposed. What has become of them is judged in `deploy.ts`.
 */
import { BACKEND_OF_OPENING, type Run, runMessages, type SendOpening } from '../database/engine.ts';
import { sendInLegs } from '../database/legs.ts';
import type { Messages, Reply, Session } from '../database/session.ts';
import { Staging } from './stage.ts';

/** Artifacts on their way, followed by the CALL. */
export interface Following {
  readonly staging: Staging;
  /** The answer about the artifacts, once they are committed. */
  readonly staged: Promise<readonly Reply[]>;
  /** What the CALL said. */
  readonly called: Promise<Reply | undefined>;
}

/** Sends artifacts and CALL once it is known what is missing. @param messages none if nothing is @param call whose last reply is the CALL's */
export function follow(session: Session, messages: Messages, call: Messages): Following {
  const staging = new Staging(messages);
  const [staged, called] = sendInLegs(session, [staging, call]);
  return { staging, staged, called: lastReply(called) };
}

export class Flight {
  readonly #session: Session;
  readonly #run: Omit<Run, 'id'>;
  readonly #stagingOf: (id: string) => Messages;
  readonly #followings = new Map<string, Following>();

  /** @param stagingOf all artifacts as messages, for a deployment of this id */
  constructor(session: Session, run: Omit<Run, 'id'>, stagingOf: (id: string) => Messages) {
    this.#session = session;
    this.#run = run;
    this.#stagingOf = stagingOf;
  }

  readonly send: SendOpening = (opening, id) => {
    const staging = new Staging(this.#stagingOf(id));
    const [opened, staged, called] = sendInLegs(this.#session, [opening, staging, runMessages({ ...this.#run, id }, BACKEND_OF_OPENING)]);
    this.#followings.set(id, { staging, staged, called: lastReply(called) });
    return opened;
  };

  /** What was sent after the opening that opened this deployment; undefined if none of this flight did. */
  of(id: string): Following | undefined {
    return this.#followings.get(id);
  }
}

function lastReply(replies: Promise<readonly Reply[]>): Promise<Reply | undefined> {
  const reply = replies.then((all) => all.at(-1));
  reply.catch(() => undefined); // nobody may come to wait for it
  return reply;
}
