/**
 * The body of a request, read in one place: in large parts, never cancelled, and drained before a refusal goes out, because a
 * server that answers and closes while the sender still writes resets the connection, and the refusal never arrives
 * (RFC 9112, section 9.6). What the bytes mean is for the routes.
 */
import { LIMITS, type LimitName } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';

/** workerd's own reader: one read that waits until so many bytes are there. */
interface LargeReader extends ReadableStreamBYOBReader {
  readAtLeast?(minBytes: number, view: Uint8Array): Promise<{ done: boolean; value?: Uint8Array }>;
}

/** How much one read asks for. A default reader gets 4 KiB at a time in workerd, at ten times the CPU. */
const READ_BYTES = 1024 * 1024;

export class IncomingBody {
  /** What Content-Length announces, or null. */
  readonly announcedBytes: number | null;
  readonly #body: ReadableStream<Uint8Array> | null;
  #reader: { pull(): Promise<{ done: boolean; value?: Uint8Array | undefined }> } | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #arrivedBytes = 0;
  #ended: boolean;

  constructor(request: Request) {
    const announced = request.headers.get('content-length');
    this.announcedBytes = announced !== null && /^\d{1,15}$/.test(announced) ? Number(announced) : null;
    this.#body = request.body as ReadableStream<Uint8Array> | null;
    this.#ended = this.#body === null;
  }

  /** Whether all of it has been read. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * The whole body in memory.
   * @param limit the limit it must keep, by name
   * @param advice what a sender can do who has more
   * @throws Problem too_large, before reading when Content-Length already says so; interrupted when the sender stops
   */
  async readAll(limit: LimitName, advice: string): Promise<Uint8Array> {
    const limitBytes = LIMITS[limit];
    if (this.announcedBytes !== null && this.announcedBytes > limitBytes) throw tooLarge(`announced with ${this.announcedBytes} bytes`, limit, advice);
    const parts: Uint8Array[] = [];
    let size = 0;
    for (let part = await this.#pull(); part !== null; part = await this.#pull()) {
      size += part.length;
      if (size > limitBytes) throw tooLarge(`larger than ${limitBytes} bytes`, limit, advice);
      parts.push(part);
    }
    if (parts.length === 1 && parts[0] !== undefined) return parts[0];
    const whole = new Uint8Array(size);
    let offset = 0;
    for (const part of parts) {
      whole.set(part, offset);
      offset += part.length;
    }
    return whole;
  }

  /** The body as a stream that reads only when asked, and whose cancellation leaves the body itself alone. */
  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const part = await this.#pull();
          if (part === null) controller.close();
          else controller.enqueue(part);
        },
      },
      { highWaterMark: 0 },
    );
  }

  /**
   * Reads on and throws away, until the end, the limit or the signal. Never throws.
   * @param limitBytes how much, counted from here
   */
  async drain(limitBytes: number, signal: AbortSignal): Promise<void> {
    const stopped = new Promise<null>((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true }));
    let drained = 0;
    try {
      while (!this.#ended && drained < limitBytes && !signal.aborted) {
        const part = await Promise.race([this.#pull(), stopped]);
        if (part === null) return;
        drained += part.length;
      }
    } catch {
      // The sender is gone: nobody is left to hear the answer.
    }
  }

  /** One part, or null at the end. workerd allows one read at a time, so they queue here. */
  #pull(): Promise<Uint8Array | null> {
    const next = this.#last.then(
      () => this.#read(),
      () => this.#read(),
    );
    this.#last = next.catch(() => undefined);
    return next;
  }

  async #read(): Promise<Uint8Array | null> {
    while (!this.#ended && this.#body !== null) {
      this.#reader ??= openReader(this.#body);
      let result: { done: boolean; value?: Uint8Array | undefined };
      try {
        result = await this.#reader.pull();
      } catch (error) {
        this.#ended = true;
        throw new Problem(
          'interrupted',
          `The sender's connection ended after ${this.#arrivedBytes} bytes of the body. Send the same request again.`,
          {},
          error,
        );
      }
      if (result.done) this.#ended = true;
      if (result.value !== undefined && result.value.length > 0) {
        this.#arrivedBytes += result.value.length;
        return result.value;
      }
    }
    return null;
  }
}

function openReader(body: ReadableStream<Uint8Array>): { pull(): Promise<{ done: boolean; value?: Uint8Array | undefined }> } {
  let reader: LargeReader;
  try {
    reader = body.getReader({ mode: 'byob' });
  } catch {
    const plain = body.getReader(); // not a byte stream: a test's own, say
    return { pull: () => plain.read() };
  }
  return {
    pull() {
      const view = new Uint8Array(READ_BYTES);
      return reader.readAtLeast === undefined ? reader.read(view, { min: READ_BYTES }) : reader.readAtLeast(READ_BYTES, view);
    },
  };
}

function tooLarge(what: string, limit: LimitName, advice: string): Problem {
  return new Problem('too_large', `The body is ${what}; at most ${LIMITS[limit]} bytes (${limit}) are read here. ${advice}`, {
    limit,
    limit_bytes: LIMITS[limit],
  });
}
