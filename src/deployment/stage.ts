/**
 * Artifacts on their way: where their bytes come from, and whether the database still takes them. The messages themselves are
 * made by database/staging.ts.
 */
import type { Chunk } from '../bundle/chunks.ts';
import type { Message } from '../database/session.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';

/** The bytes of the chunks that are wanted. */
export type Chunks = (wanted: ReadonlySet<string>) => AsyncIterable<Chunk>;

/** The bytes of a deployment: from a source that can be read again, or from one that cannot. */
export class Supply {
  readonly #chunks: Chunks | undefined;
  readonly #canAgain: boolean;
  #isTaken = false;

  constructor(options: { readonly chunks?: Chunks | undefined; readonly chunksAgain?: boolean | undefined }) {
    this.#chunks = options.chunks;
    this.#canAgain = options.chunksAgain === true;
  }

  /** Nothing more will come from it. */
  get isSpent(): boolean {
    return this.#chunks === undefined || (this.#isTaken && !this.#canAgain);
  }

  /** @throws Problem interrupted when the source was read before and cannot be read again */
  take(wanted: ReadonlySet<string>): AsyncIterable<Chunk> {
    if (this.#chunks === undefined || this.isSpent) {
      throw new Problem(
        'interrupted',
        `The connection to the database broke while the artifacts were on their way: ${wanted.size} chunks are missing. What has arrived is kept; deploy the same bundle again with the same id, and only the rest is sent.`,
      );
    }
    this.#isTaken = true;
    return this.#chunks(wanted);
  }
}

/** Messages as a session takes them, with an eye on who waits for whom. */
export class Staging implements AsyncIterable<Message> {
  readonly #messages: Iterable<Message> | AsyncIterable<Message>;
  #owedSince: number | null = Date.now();

  constructor(messages: Iterable<Message> | AsyncIterable<Message>) {
    this.#messages = messages;
  }

  /** Since when the database has taken nothing, in milliseconds since 1970; null while it is the source that is waited for. */
  get owedSince(): number | null {
    return this.#owedSince;
  }

  get isStuck(): boolean {
    return this.#owedSince !== null && Date.now() - this.#owedSince >= LIMITS.silence_seconds_max * 1000;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    this.#owedSince = null;
    for await (const message of this.#messages) {
      this.#owedSince = Date.now();
      yield message;
      this.#owedSince = null;
    }
    this.#owedSince = Date.now();
  }
}
