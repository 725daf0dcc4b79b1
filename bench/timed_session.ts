/**
 * A session with a clock: how long each of its pipelines waited, and when the last answer came. Everything else it hands on.
 */
import type { Session } from '../src/database/session.ts';

export class TimedSession implements Session {
  readonly announcedPid: number | null;
  readonly waitsMs: number[] = [];
  /** When the last answer came. */
  answeredMs = Number.NaN;
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
    this.announcedPid = session.announcedPid;
  }

  async pipeline(messages: Parameters<Session['pipeline']>[0]): ReturnType<Session['pipeline']> {
    const startMs = performance.now();
    const replies = await this.#session.pipeline(messages);
    this.answeredMs = performance.now();
    this.waitsMs.push(this.answeredMs - startMs);
    return replies;
  }

  query(...question: Parameters<Session['query']>): ReturnType<Session['query']> {
    return this.#session.query(...question);
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}
