/**
 * So many sessions at a time and no more: a crowd before one database waits here, and not on its connections, which others need as well. Only this
 * isolate's are counted, and nobody waits for ever: it spares the database a burst, and nothing relies on it. Who would stay for long may be sent
 * away in place of that.
 */
import type { Connect, Session } from './session.ts';

/** A holder that has shown no sign of life for so long is gone, with the request that it belonged to. */
const heartbeat_milliseconds = 1_000;
const gone_after_milliseconds = 5_000;
const look_every_milliseconds = 25;

export interface GateOptions {
  readonly sessions_max: number;
  /** How long somebody waits before they come in all the same. */
  readonly wait_milliseconds_max: number;
  /** What they are told who do not come in then; without it they do. */
  readonly refuse?: () => Error;
}

interface Holder {
  seenAt: number;
}

/** Before one database. */
export class Gate {
  readonly #options: GateOptions;
  readonly #holders = new Set<Holder>();
  /** In the order in which they came; who is gone shows no sign of life either. */
  readonly #waiting = new Set<Holder>();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** The same way to a database, through the gate. */
  limit(connect: Connect): Connect {
    return async () => {
      const leave = await this.#enter();
      try {
        return leaveAtClose(await connect(), leave);
      } catch (error) {
        leave();
        throw error;
      }
    };
  }

  /** @returns gives the place up; the second time it does nothing */
  async #enter(): Promise<() => void> {
    const me: Holder = { seenAt: Date.now() };
    const endAt = me.seenAt + this.#options.wait_milliseconds_max;
    this.#waiting.add(me);
    while (!this.#isNext(me) && Date.now() < endAt) {
      await new Promise((resolve) => setTimeout(resolve, look_every_milliseconds * (0.5 + Math.random())));
      me.seenAt = Date.now();
    }
    const isIn = this.#options.refuse === undefined || this.#isNext(me);
    this.#waiting.delete(me);
    if (!isIn && this.#options.refuse !== undefined) throw this.#options.refuse();
    this.#holders.add(me);
    const heart = setInterval(() => {
      me.seenAt = Date.now();
    }, heartbeat_milliseconds);
    return () => {
      clearInterval(heart);
      this.#holders.delete(me);
    };
  }

  #isNext(me: Holder): boolean {
    for (const crowd of [this.#holders, this.#waiting]) {
      for (const one of crowd) if (Date.now() - one.seenAt > gone_after_milliseconds) crowd.delete(one);
    }
    const free = this.#options.sessions_max - this.#holders.size;
    let before = 0;
    for (const one of this.#waiting) {
      if (one === me) break;
      before += 1;
    }
    return before < free;
  }
}

function leaveAtClose(session: Session, leave: () => void): Session {
  const close = session.close.bind(session);
  session.close = async () => {
    try {
      await close();
    } finally {
      leave(); // not before: until then the connection is taken
    }
  };
  return session;
}
