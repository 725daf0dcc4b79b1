/**
 * Bytes pulled out of a stream, at the reader's pace: plain, or through gzip. The stream itself is never cancelled, so that
 * whoever owns it can drain it after a refusal; the lock on it is given back whenever nobody reads. Works in Node and workerd.
 */
import { Problem } from '../domain/problem.ts';

/**
 * One read: what a byte stream is asked to fill before it answers. By default workerd hands out 4 KiB at a time, which costs ten times the CPU.
 * The first asks for less, and each that was filled lets the next ask for more, so that nobody holds memory for bytes that do not come.
 */
const READ_BYTES_FIRST = 16 * 1024;
const READ_BYTES_MAX = 1024 * 1024;
const READ_GROWTH = 4;

/**
 * What the decompressor is given at a time. Deflate shrinks 1032 to 1 at most, and workerd's DecompressionStream expands all it
 * is given at once, whether somebody reads or not: this bounds what a hostile gzip can make it hold to 17 MB.
 */
const GZIP_SLICE_BYTES = 16 * 1024;

export interface ByteReader {
  /**
   * @returns at least one byte, in memory that may be used again at the next read; null at the end
   * @throws Problem interrupted when the sender was cut off; malformed_gzip; a Problem that the stream itself fails with
   */
  read(): Promise<Uint8Array | null>;
  /** Gives the lock on the stream back. The next read takes it again. Not to be called while a read is under way. */
  release(): void;
}

/**
 * Reads a stream as it is: in large pieces when it is a byte stream, else in the parts it comes in.
 * @param explain what it means that the stream fails; without it, that a sender was cut off
 */
export function readPlain(stream: ReadableStream<Uint8Array>, explain: (error: unknown) => Problem = senderCutOff): ByteReader {
  return new StreamReader(stream, explain);
}

function senderCutOff(error: unknown): Problem {
  const detail = 'The body broke off before its end: the sender was cut off. What has arrived of the artifacts is kept; send the same request again.';
  return new Problem('interrupted', detail, {}, error);
}

/** Reads what a gzip stream holds (RFC 1952, one member). */
export function readGzip(stream: ReadableStream<Uint8Array>): ByteReader {
  return expandGzip(readPlain(stream));
}

/** The same of what somebody else reads. */
export function expandGzip(input: ByteReader): ByteReader {
  return new GzipReader(input);
}

class StreamReader implements ByteReader {
  /** Null once it has failed. The error that workerd's stream then keeps remembers who was reading, and whoever remembers the stream too keeps both for ever. */
  #stream: ReadableStream<Uint8Array> | null;
  #failure: Problem | null = null;
  readonly #explain: (error: unknown) => Problem;
  #buffer = new ArrayBuffer(0);
  #readBytes = READ_BYTES_FIRST;
  #ended = false;
  #byob: ReadableStreamBYOBReader | null = null;
  #plain: ReadableStreamDefaultReader<Uint8Array> | null = null;

  constructor(stream: ReadableStream<Uint8Array>, explain: (error: unknown) => Problem) {
    this.#stream = stream;
    this.#explain = explain;
  }

  async read(): Promise<Uint8Array | null> {
    while (!this.#ended) {
      if (this.#stream === null) throw this.#failure;
      this.#lock(this.#stream);
      const part = await (this.#byob === null ? this.#readPart() : this.#readInto(this.#byob)).catch((error: unknown) => this.#fail(error));
      if (part.length > 0) return part;
    }
    return null;
  }

  #fail(error: unknown): never {
    this.release();
    this.#stream = null;
    this.#failure = error instanceof Problem ? error : this.#explain(error);
    throw this.#failure;
  }

  release(): void {
    this.#byob?.releaseLock();
    this.#plain?.releaseLock();
    this.#byob = null;
    this.#plain = null;
  }

  #lock(stream: ReadableStream<Uint8Array>): void {
    if (this.#byob !== null || this.#plain !== null) return;
    try {
      this.#byob = stream.getReader({ mode: 'byob' });
    } catch {
      // Not a byte stream (Streams Standard, 4.2.4): those can only hand out their own parts.
      this.#plain = stream.getReader();
    }
  }

  async #readPart(): Promise<Uint8Array> {
    const { done, value } = (await this.#plain?.read()) ?? { done: true, value: undefined };
    this.#ended = done;
    return value ?? new Uint8Array(0);
  }

  async #readInto(reader: ReadableStreamBYOBReader): Promise<Uint8Array> {
    const bytes = this.#readBytes;
    const buffer = this.#buffer.byteLength < bytes ? new ArrayBuffer(bytes) : this.#buffer;
    const { done, value } = await reader.read(new Uint8Array(buffer), { min: bytes });
    this.#readBytes = Math.min(bytes * READ_GROWTH, READ_BYTES_MAX);
    // Reading moves the memory: what went in is detached, what comes back is the same bytes under a new object.
    this.#buffer = value?.buffer ?? new ArrayBuffer(0);
    this.#ended = done;
    return value ?? new Uint8Array(0);
  }
}

/**
 * Feeds the decompressor only while a read of its output is pending and unanswered: that, and not the streams' own
 * backpressure (which workerd's decompressor does not have), keeps what it holds small.
 */
class GzipReader implements ByteReader {
  readonly #input: ByteReader;
  readonly #output: ByteReader;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);
  #writing = false;
  #closed = false;

  constructor(input: ByteReader) {
    const gunzip = new DecompressionStream('gzip');
    this.#input = input;
    this.#writer = (gunzip.writable as WritableStream<Uint8Array>).getWriter();
    this.#writer.closed.catch(ignore);
    this.#output = new StreamReader(gunzip.readable as ReadableStream<Uint8Array>, (error) => {
      const detail = 'The body is not one whole gzip member: it does not begin as one, is damaged, ends too early, or something follows it.';
      return new Problem('malformed_gzip', detail, {}, error);
    });
  }

  async read(): Promise<Uint8Array | null> {
    let answered = false;
    const answer = this.#output.read().finally(() => {
      answered = true;
    });
    answer.catch(ignore);
    for (;;) {
      // A whole turn of the event loop: the answer comes through it, and not before.
      await turn();
      if (answered || this.#closed) return answer;
      if (!this.#writing) await this.#feed();
    }
  }

  release(): void {
    this.#input.release();
  }

  /** Gives the decompressor its next slice, or the end. Its errors come out where its output is read. */
  async #feed(): Promise<void> {
    if (this.#rest.length === 0) {
      const part = await this.#input.read();
      if (part === null) {
        this.#closed = true;
        this.#writer.close().catch(ignore);
        return;
      }
      this.#rest = part;
    }
    // Copied (a Buffer's slice would not be): Node's decompressor may keep what it was given after it has said that it took it.
    const slice = new Uint8Array(this.#rest.subarray(0, GZIP_SLICE_BYTES));
    this.#rest = this.#rest.subarray(slice.length);
    this.#writing = true;
    const written = this.#writer.write(slice).catch(ignore);
    written.then(() => {
      this.#writing = false;
    });
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function ignore(): void {}
