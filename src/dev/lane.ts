/**
 * One direction of a relayed connection: bytes come in, wait for as long as the latency says, and go out in order. As on a real
 * line, latency costs no throughput: what comes in together goes out together, later. A lane can fall silent (what it holds, it
 * keeps) and can end, at a point of the stream that is fixed when the bytes come in. Knows nothing of messages.
 */

/** What a lane may hold before it stops reading from its source. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;

export interface LaneEnds {
  /** Writes to the far end; resolves, or returns undefined at once, when more may come. */
  write(bytes: Uint8Array): Promise<void> | undefined;
  pauseSource(): void;
  resumeSource(): void;
  /** Latency now, in milliseconds. */
  delayMs(): number;
  isSilent(): boolean;
}

interface Held {
  readonly due: number;
  readonly bytes: Uint8Array;
  readonly after: (() => void) | undefined;
}

export class Lane {
  readonly #ends: LaneEnds;
  #queue: Held[] = [];
  #heldBytes = 0;
  #paused = false;
  #busy = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(ends: LaneEnds) {
    this.#ends = ends;
  }

  /**
   * Takes bytes in.
   * @param after called when just these bytes have gone out
   * @param laterMs in milliseconds: so much later than the latency says, and what comes behind them not before
   */
  push(bytes: Uint8Array, after?: () => void, laterMs = 0): void {
    if (this.#closed) return;
    this.#queue.push({ due: performance.now() + this.#ends.delayMs() + laterMs, bytes, after });
    this.#heldBytes += bytes.length;
    if (!this.#paused && this.#heldBytes > HELD_BYTES_MAX) {
      this.#paused = true;
      this.#ends.pauseSource();
    }
    this.poke();
  }

  /** Sends what is due. To be called when a silence ends, too. */
  poke(): void {
    if (!this.#busy && this.#timer === undefined) void this.#run();
  }

  /** Throws away what is held; nothing comes out any more. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    this.#busy = true;
    for (let head = this.#queue[0]; head !== undefined && !this.#ends.isSilent(); head = this.#queue[0]) {
      const early = head.due - performance.now();
      if (early > 0.2) {
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.poke();
        }, Math.ceil(early));
        break;
      }
      this.#queue.shift();
      this.#heldBytes -= head.bytes.length;
      const written = head.bytes.length > 0 ? this.#ends.write(head.bytes) : undefined;
      head.after?.();
      if (written !== undefined) await written;
      if (this.#paused && this.#heldBytes < HELD_BYTES_MAX / 2) {
        this.#paused = false;
        this.#ends.resumeSource();
      }
    }
    this.#busy = false;
  }
}
