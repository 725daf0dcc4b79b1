/**
 * The body of a request, read in one place: in large parts, never cancelled, and drained before a refusal goes out, because a
 * server that answers and closes while the sender still writes resets the connection, and the refusal never arrives
 * (RFC 9112, section 9.6). What the bytes mean is for the routes.
 */
import { LIMITS, type LimitName } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { type Share, tooSlow } from './unproved.ts';

/**
 * What one read asks for: by default workerd hands out 4 KiB at a time, at ten times the CPU. The first one asks for less, and each that was
 * filled lets the next ask for more: so a sender who stops holds only a few times as much memory as it has sent.
 */
const READ_BYTES_FIRST = 16 * 1024;
const READ_BYTES_MAX = 1024 * 1024;
const READ_GROWTH = 4;
/** The most that is asked for while nobody knows who sends, and of what is thrown away. */
const READ_BYTES_UNPROVED = 64 * 1024;

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
  /** What counts of it among the unproved; null when its sender is proved. */
  #share: Share | null;
  #clock: Clock | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #ended: boolean;

  /** @param share null: nobody counts what is held of it */
  constructor(request: Request, share: Share | null = null) {
    this.#share = share;
    const announced = request.headers.get('content-length');
    this.announcedBytes = announced !== null && /^\d{1,15}$/.test(announced) ? Number(announced) : null;
    this.#ended = request.body === null;
    this.#source = new Source(request.body);
  }

  /** Its sender is proved: what is held of it no longer counts, and it may take its time. */
  admit(): void {
    this.#share?.close();
    this.#share = null;
    this.#clock?.stop();
  }

  /** Before memory is taken for what is made of the body while its sender is not proved. @throws Problem busy */
  hold(bytes: number): void {
    this.#share?.take(bytes);
  }

  /** Whether all of it has been read. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * The whole body in memory.
   * @param limit the limit it must keep, by name
   * @param advice what a sender can do who has more
   * @throws Problem too_large, before reading when Content-Length already says so; interrupted when the sender stops; busy and too_slow before the sender is proved
   */
  async readAll(limit: LimitName, advice: string): Promise<Uint8Array> {
    const limitBytes = LIMITS[limit];
    if (this.announcedBytes !== null && this.announcedBytes > limitBytes) throw tooLarge(`announced with ${this.announcedBytes} bytes`, limit, advice);
    const parts: Uint8Array[] = [];
    let size = 0;
    for (let part = await this.#pullInTime(); part !== null; part = await this.#pullInTime()) {
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
    let handedOn = 0;
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          this.#share?.give(handedOn);
          const part = await this.#pullInTime();
          handedOn = part?.length ?? 0;
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
    this.admit();
    this.#source.most = READ_BYTES_UNPROVED;
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

  /** The same as #pull, as long as there is time. @throws Problem too_slow */
  #pullInTime(): Promise<Uint8Array | null> {
    if (this.#share === null) return this.#pull();
    this.#clock ??= new Clock();
    return Promise.race([this.#pull(), this.#clock.over]);
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
        part = await this.#source.read(this.#share);
      } catch (error) {
        if (error instanceof Problem) throw error;
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
  /** The most that one read asks for. */
  most = READ_BYTES_MAX;

  constructor(body: ReadableStream<Uint8Array> | null) {
    this.#body = body;
  }

  /** @param share counts what is read, and before that what is taken to read into @throws Problem busy */
  async read(share: Share | null): Promise<Part> {
    this.#open();
    if (this.#filling === null) {
      const part: Part = (await this.#plain?.read()) ?? { done: true };
      share?.take(part.value?.length ?? 0);
      return part;
    }
    const bytes = Math.min(this.#readBytes, share === null ? this.most : READ_BYTES_UNPROVED);
    share?.take(bytes);
    const part = await this.#filling.readAtLeast(bytes, new Uint8Array(bytes));
    share?.give(bytes - (part.value?.length ?? 0));
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

/** How long a sender may stay unproved. */
class Clock {
  readonly over: Promise<never>;
  readonly #timer: ReturnType<typeof setTimeout>;

  constructor() {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined);
    this.over = promise;
    this.#timer = setTimeout(() => reject(tooSlow()), LIMITS.unproved_seconds_max * 1000);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function tooLarge(what: string, limit: LimitName, advice: string): Problem {
  return new Problem('too_large', `The body is ${what}; at most ${LIMITS[limit]} bytes (${limit}) are read here. ${advice}`, {
    limit,
    limit_bytes: LIMITS[limit],
  });
}
