/**
 * Whether bytes are text that PostgreSQL can take: UTF-8 without NUL, looked at part by part, so that a character may be cut
 * between two parts. Says where the first bad byte is. A byte order mark is text like any other; what it means is for the engine.
 */
import { isUtf8 } from 'node:buffer';
import { Problem } from '../domain/problem.ts';

/** Looks at one file, in order: `push` each part, then `end` once. */
export class TextCheck {
  readonly #path: string;
  /** Where in the file the next unseen byte is. */
  #offset = 0;
  /** The beginning of a character whose rest is still to come: three bytes at most. */
  #begun: Uint8Array = new Uint8Array(0);

  /** @param path of the file, as its bundle calls it; for the problem */
  constructor(path: string) {
    this.#path = path;
  }

  /** @throws Problem not_utf8 with the path and the offset of the first byte that is not UTF-8, or is NUL */
  push(part: Uint8Array): void {
    const bytes = this.#begun.length === 0 ? part : join(this.#begun, part);
    const start = this.#offset - this.#begun.length;
    const whole = bytes.subarray(0, bytes.length - begunBytes(bytes));
    const nul = whole.indexOf(0);
    const bad = isUtf8(whole) ? -1 : findBadByte(whole);
    if (bad >= 0 && (nul < 0 || bad < nul)) throw this.#notText(start + bad, whole[bad] ?? 0, start === 0 ? whole : null);
    if (nul >= 0) throw this.#notText(start + nul, 0, start === 0 ? whole : null);
    this.#offset += part.length;
    this.#begun = new Uint8Array(bytes.subarray(whole.length));
  }

  /** @throws Problem not_utf8 when the file ends inside a character */
  end(): void {
    if (this.#begun.length > 0) throw this.#notText(this.#offset - this.#begun.length, this.#begun[0] ?? 0, null);
  }

  #notText(offset: number, byte: number, head: Uint8Array | null): Problem {
    const hex = `0x${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    const utf16 = head !== null && head.length > 1 && ((head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff));
    const what = utf16 ? 'it begins like UTF-16' : byte === 0 ? 'PostgreSQL takes no NUL in text' : `the byte ${hex} belongs to no character there`;
    return new Problem('not_utf8', `"${this.#path}" is not UTF-8 text: at byte ${offset} (counted from 0) ${what}. Save the file as UTF-8.`, {
      path: this.#path,
      byte: offset,
    });
  }
}

/** How many bytes at the end begin a character that is not complete yet. */
function begunBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

/** The index of the first byte that begins no well-formed sequence (Unicode 16, table 3-7); -1 when there is none. */
function findBadByte(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length === 0) return at;
    at += length;
  }
  return -1;
}

function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  // No over-long forms, no surrogates, nothing above U+10FFFF: the second byte has a narrower range after these four.
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  const second = bytes[at + 1] ?? 0;
  if (second < low || second > high) return 0;
  for (let next = 2; next < length; next++) {
    if (((bytes[at + next] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return length;
}

function join(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const joined = new Uint8Array(head.length + tail.length);
  joined.set(head);
  joined.set(tail, head.length);
  return joined;
}
