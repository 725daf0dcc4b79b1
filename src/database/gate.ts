/**
 * Limits the number of sessions to one database: further ones wait here, and not on the database's connections, which others need as
 * well. Only this isolate's sessions are counted, and nobody waits for ever: it spares the database a burst, and nothing relies on it.
 * Those who would stay for long may be sent away instead.
 */
import type { Connect, Session } from './session.ts';

/** A holder that has shown no sign of life for so long is gone, with the request that it belonged to. */
const heartbeat_milliseconds = 1_000;
const gone_after_milliseconds = 5_000;
const look_every_milliseconds = 25;
/** Whoever wakes so much too late was held up, and with them all the signs of life of others. */
const late_after_milliseconds = 1_000;

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
  /** When this isolate was held up, it cannot tell who is gone until all have had the time for a sign of life. */
  #tellsAgainAt = 0;

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
    let hasSlept = false; // who has just come does not know what was before
    while (!this.#isNext(me, hasSlept) && Date.now() < endAt) {
      const sleptAt = Date.now();
      await new Promise((resolve) => setTimeout(resolve, look_every_milliseconds * (0.5 + Math.random())));
      me.seenAt = Date.now();
      hasSlept = true;
      if (me.seenAt - sleptAt >= late_after_milliseconds) this.#tellsAgainAt = me.seenAt + 2 * heartbeat_milliseconds;
    }
    const isIn = this.#options.refuse === undefined || this.#isNext(me, true);
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

  /** @param mayTell whether those without a sign of life are taken for gone */
  #isNext(me: Holder, mayTell: boolean): boolean {
    for (const crowd of mayTell && Date.now() >= this.#tellsAgainAt ? [this.#holders, this.#waiting] : []) {
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
