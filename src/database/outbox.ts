/**
 * What goes out: joins small parts into one write and hands large ones on uncopied, in slices that fit a WebSocket frame.
 * It never waits: how much may be under way is decided by whoever fills it (`pipeline.ts`).
 */
import { Buffer } from 'node:buffer';

/** From here on a part is written by itself instead of being copied next to others. */
const joined_part_bytes_max = 16 * 1024;
/** When so much is joined, it is written. */
const joined_bytes_max = 64 * 1024;
/** workerd and proxies limit the size of one WebSocket frame. */
const write_bytes_max = 1024 * 1024;

export class Outbox {
  readonly #write: (bytes: Uint8Array) => void;
  #joined: Uint8Array[] = [];
  #joinedBytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  /**
   * Takes parts of messages, in order. They are written at the latest in the next turn of the event loop.
   * @returns how many bytes that is
   */
  put(parts: readonly Uint8Array[]): number {
    let bytes = 0;
    for (const part of parts) {
      bytes += part.length;
      if (part.length > joined_part_bytes_max) {
        this.flush();
        for (let start = 0; start < part.length; start += write_bytes_max) this.#write(part.subarray(start, start + write_bytes_max));
      } else {
        this.#joined.push(part);
        this.#joinedBytes += part.length;
        if (this.#joinedBytes >= joined_bytes_max) this.flush();
      }
    }
    if (this.#joinedBytes > 0) this.#timer ??= setTimeout(() => this.flush(), 0);
    return bytes;
  }

  /** Writes what is joined, now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#joinedBytes === 0) return;
    const joined = Buffer.concat(this.#joined, this.#joinedBytes);
    this.discard();
    this.#write(joined);
  }

  /** Forgets what is joined. */
  discard(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#joined = [];
    this.#joinedBytes = 0;
  }
}
