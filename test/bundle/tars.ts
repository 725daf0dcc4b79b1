/** Tars made by hand, so that each can be wrong in exactly one way; and streams of each kind to read them from. */
import { cut } from './support.ts';

export interface EntryShape {
  readonly name?: string | Uint8Array;
  readonly body?: Uint8Array | string;
  /** The type flag; '0' is a plain file. */
  readonly type?: string;
  /** Overrides the size field. */
  readonly size?: string;
  readonly prefix?: string;
  readonly magic?: string;
  /** Spoils the checksum. */
  readonly spoilt?: boolean;
}

const BLOCK = 512;

/** One entry: header, body, padding (POSIX.1-2024, ustar). */
export function entry(shape: EntryShape): Buffer {
  const body = Buffer.from(shape.body ?? '');
  const header = Buffer.alloc(BLOCK);
  Buffer.from(shape.name ?? 'x').copy(header, 0, 0, 100);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(shape.size ?? `${body.length.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  header.write('00000000000\0', 136);
  header.write(shape.type ?? '0', 156);
  header.write(shape.magic ?? 'ustar\x0000', 257);
  header.write(shape.prefix ?? '', 345);
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, shape.spoilt ? 1 : 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, body, Buffer.alloc(-body.length & (BLOCK - 1))]);
}

export const END = Buffer.alloc(2 * BLOCK);

/** A record of a pax header. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return `${length}${rest}`;
}

/** A stream of the bytes in parts of these sizes, made only when asked for; `cancelled` tells whether somebody did that to it. */
export function streamOf(
  bytes: Uint8Array,
  o: { sizes?: readonly number[]; byob?: boolean; failure?: Error } = {},
): ReadableStream<Uint8Array> & { cancelled: boolean } {
  const parts = cut(bytes, o.sizes ?? [65_536]);
  const state = { cancelled: false };
  const source = {
    async pull(controller: ReadableStreamDefaultController<Uint8Array> | ReadableByteStreamController) {
      const { done, value } = await parts.next();
      if (!done) return controller.enqueue(value.slice());
      if (o.failure !== undefined) return controller.error(o.failure);
      controller.close();
      (controller as ReadableByteStreamController).byobRequest?.respond(0);
    },
    cancel() {
      state.cancelled = true;
    },
  };
  const stream = o.byob ? new ReadableStream({ ...source, type: 'bytes' }) : new ReadableStream(source, { highWaterMark: 0 });
  return Object.defineProperty(stream as ReadableStream<Uint8Array>, 'cancelled', { get: () => state.cancelled }) as ReadableStream<Uint8Array> & {
    cancelled: boolean;
  };
}
