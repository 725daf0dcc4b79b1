/**
 * The body of a request, read in one place: in large parts, never cancelled, and drained before a refusal goes out, because a
 * server that answers and closes while the sender still writes resets the connection, and the refusal never arrives
 * (RFC 9112, section 9.6). What the bytes mean is for the routes.
 */
import { LIMITS, type LimitName } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';

/**
 * What one read asks for: by default workerd hands out 4 KiB at a time, at ten times the CPU. The first one asks for less, and each that was
 * filled lets the next ask for more: so a sender who stops holds no more memory than a few times what has come of him.
 */
const READ_BYTES_FIRST = 16 * 1024;
const READ_BYTES_MAX = 1024 * 1024;
const READ_GROWTH = 4;

interface Part {
  readonly done: boolean;
  readonly value?: Uint8Array | undefined;
}

/** workerd's own way to fill a whole buffer; the standard's `min` fails in Node where fewer bytes are left. */
interface WorkerdReader {
  readAtLeast(minBytes: number, view: Uint8Array): Promise<Part>;
}

export class IncomingBody {
  /** What Content-Length announces, or null. */
  readonly announcedBytes: number | null;
  readonly #source: Source;
  #last: Promise<unknown> = Promise.resolve();
  #ended: boolean;

  constructor(request: Request) {
    const announced = request.headers.get('content-length');
    this.announcedBytes = announced !== null && /^\d{1,15}$/.test(announced) ? Number(announced) : null;
    this.#ended = request.body === null;
    this.#source = new Source(request.body);
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

  /** One part, or null at the end. A route that was given up may still be reading when its body is drained: so reads queue here. */
  #pull(): Promise<Uint8Array | null> {
    const next = this.#last.then(() => this.#readPart());
    this.#last = next.catch(() => undefined);
    return next;
  }

  async #readPart(): Promise<Uint8Array | null> {
    while (!this.#ended) {
      let part: Part;
      try {
        part = await this.#source.read();
      } catch (error) {
        this.#ended = true;
        this.#source.forget();
        throw new Problem('interrupted', 'The body broke off before its end: the sender was cut off. Send the same request again.', {}, error);
      }
      this.#ended = part.done;
      if (part.value !== undefined && part.value.length > 0) return part.value;
    }
    return null;
  }
}

/** Reads a stream that it opens at the first read, so that a body that nobody reads stays as it is. */
class Source {
  #body: ReadableStream<Uint8Array> | null;
  #filling: WorkerdReader | null = null;
  #plain: ReadableStreamDefaultReader<Uint8Array> | null = null;
  #readBytes = READ_BYTES_FIRST;

  constructor(body: ReadableStream<Uint8Array> | null) {
    this.#body = body;
  }

  async read(): Promise<Part> {
    this.#open();
    if (this.#filling === null) return (await this.#plain?.read()) ?? { done: true };
    const bytes = this.#readBytes;
    const part = await this.#filling.readAtLeast(bytes, new Uint8Array(bytes));
    this.#readBytes = Math.min(bytes * READ_GROWTH, READ_BYTES_MAX);
    return part;
  }

  /** After an error: workerd's stream keeps it, and it remembers who was reading. Whoever remembers the stream too would keep both for ever. */
  forget(): void {
    this.#filling = null;
    this.#plain = null;
  }

  #open(): void {
    if (this.#body === null) return;
    if ('ReadableStreamBYOBReader' in globalThis && 'readAtLeast' in ReadableStreamBYOBReader.prototype)
      this.#filling = this.#body.getReader({ mode: 'byob' }) as unknown as WorkerdReader;
    else this.#plain = this.#body.getReader();
    this.#body = null;
  }
}

function tooLarge(what: string, limit: LimitName, advice: string): Problem {
  return new Problem('too_large', `The body is ${what}; at most ${LIMITS[limit]} bytes (${limit}) are read here. ${advice}`, {
    limit,
    limit_bytes: LIMITS[limit],
  });
}
