/**
 * Artifacts on their way: where their bytes come from, and whether the database still accepts them. The messages themselves are made by
 * database/staging.ts.
 */
import type { Chunk } from '../bundle/chunks.ts';
import type { Message, Messages } from '../database/session.ts';
import { LIMITS } from '../domain/limits.ts';
import { chunkDigests, type Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { inTime, type Patience } from './errand.ts';

/** The bytes of the chunks that are wanted. */
export type Chunks = (wanted: ReadonlySet<string>) => AsyncIterable<Chunk>;

/** The bytes of a deployment: of a small bundle held in memory, else from a source that can be read again, or from one that cannot. */
export class Supply {
  readonly #chunks: Chunks | undefined;
  readonly #canAgain: boolean;
  /** By digest, in the order of the manifest. */
  readonly #sizes: ReadonlyMap<string, number>;
  #isTaken = false;
  /** By digest: what was read before anything was asked for. */
  #held: Map<string, Chunk> | null = null;
  /** Why not everything is held. */
  #lack: Problem | null = null;

  constructor(options: { readonly chunks?: Chunks | undefined; readonly chunksAgain?: boolean | undefined }, manifest: Manifest) {
    this.#chunks = options.chunks;
    this.#canAgain = options.chunksAgain === true;
    this.#sizes = chunkSizes(manifest);
  }

  /**
   * Reads a small bundle into memory; leaves a larger one where it is.
   * @throws whatever the source throws; but that it has only some of the artifacts matters only if the others turn out to be missing
   */
  async hold(patience: Patience): Promise<void> {
    const bytes = [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
    if (this.#chunks === undefined || bytes > LIMITS.chunk_bytes) return;
    const held = new Map<string, Chunk>();
    const source = this.#chunks(new Set(this.#sizes.keys()))[Symbol.asyncIterator]();
    const reading = (async () => {
      for (let next = await source.next(); next.done !== true; next = await source.next()) held.set(next.value.digest, next.value);
    })();
    try {
      await inTime(reading, patience);
    } catch (error) {
      void source.return?.().catch(() => undefined);
      if (!(error instanceof Problem && error.slug === 'artifact_missing')) throw error;
      this.#lack = error;
    }
    this.#held = held;
  }

  /** Whether it holds all that the bundle may need. */
  get isWhole(): boolean {
    return this.#held !== null && this.#lack === null && this.#held.size > 0;
  }

  /** All chunks that are held. */
  takeAll(): Iterable<Chunk> {
    return this.#held?.values() ?? [];
  }

  /**
   * @returns what is wanted; of what is held, so much of it as there is
   * @throws Problem interrupted when the source was read before and cannot be read again
   */
  take(wanted: ReadonlySet<string>): Iterable<Chunk> | AsyncIterable<Chunk> {
    if (this.#held !== null) return [...this.#held.values()].filter(({ digest }) => wanted.has(digest));
    if (this.#chunks === undefined || (this.#isTaken && !this.#canAgain)) {
      throw new Problem(
        'interrupted',
        `The connection to the database broke while the artifacts were on their way: ${wanted.size} chunks are missing. What has arrived is kept; deploy the same bundle again with the same id, and only the rest is sent.`,
      );
    }
    this.#isTaken = true;
    return this.#chunks(wanted);
  }

  /** @throws Problem artifact_missing when something was wanted that a source of only some artifacts did not have */
  checkTaken(wanted: ReadonlySet<string>): void {
    const held = this.#held;
    if (this.#lack !== null && [...wanted].some((digest) => !held?.has(digest))) throw this.#lack;
  }
}

/** The size of each chunk, in bytes; if the manifest gives it several, the largest. */
function chunkSizes(manifest: Manifest): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const artifact of manifest.artifacts) {
    for (const [index, digest] of chunkDigests(artifact).entries()) {
      const size = Math.min(artifact.size - index * LIMITS.chunk_bytes, LIMITS.chunk_bytes);
      sizes.set(digest, Math.max(size, sizes.get(digest) ?? 0));
    }
  }
  return sizes;
}

/** Messages as a session takes them, with an eye on who waits for whom. */
export class Staging implements AsyncIterable<Message> {
  readonly #messages: Messages;
  #owedSince: number | null = Date.now();

  constructor(messages: Messages) {
    this.#messages = messages;
  }

  /** Since when the database has taken nothing, in milliseconds since 1970; null while it is the source that is waited for. */
  get owedSince(): number | null {
    return this.#owedSince;
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
