/**
 * A small zip in memory (PKWARE APPNOTE 6.3), read by its central directory, which has the sizes that a streaming writer leaves out of
 * the headers in front of the files. What the files must be is for the caller: names and checksums of a zip are not believed here.
 */
import { Buffer } from 'node:buffer';
import { inflateRawSync } from 'node:zlib';
import { Problem } from '../domain/problem.ts';

export interface ZipEntry {
  /** A character for each byte. */
  readonly name: string;
  /** Bytes unpacked, as the zip says. */
  readonly size: number;
  /** @throws Problem forge_refused if it does not unpack to exactly this size; not a byte more is unpacked */
  read(): Uint8Array;
}

const END_BYTES = 22;
const COMMENT_BYTES_MAX = 65_535;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;
const SIGNATURES = { end: 0x06054b50, central: 0x02014b50, local: 0x04034b50 } as const;
const STORED = 0;
const DEFLATED = 8;

/** @throws Problem forge_refused for what is no such zip: encrypted, of several parts, of more than 4 GiB, packed by another method, cut or damaged */
export function readZip(zip: Uint8Array): ZipEntry[] {
  const bytes = Buffer.from(zip.buffer, zip.byteOffset, zip.byteLength);
  const end = findEnd(bytes);
  const count = bytes.readUInt16LE(end + 10);
  const directoryBytes = bytes.readUInt32LE(end + 12);
  const start = bytes.readUInt32LE(end + 16);
  if (bytes.readUInt32LE(end + 4) !== 0 || bytes.readUInt16LE(end + 8) !== count) throw malformed('it is one of several parts');
  if (start + directoryBytes !== end) throw malformed('its directory is not where its end says');
  const entries: ZipEntry[] = [];
  let at = start;
  for (let index = 0; index < count; index++) {
    if (at + CENTRAL_BYTES > end || bytes.readUInt32LE(at) !== SIGNATURES.central) throw malformed('its directory is damaged');
    const nameEnd = at + CENTRAL_BYTES + bytes.readUInt16LE(at + 28);
    const next = nameEnd + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
    if (next > end) throw malformed('its directory is damaged');
    entries.push(entryAt(bytes, start, at, bytes.toString('latin1', at + CENTRAL_BYTES, nameEnd)));
    at = next;
  }
  if (at !== end) throw malformed('its directory has more than its end says');
  return entries;
}

function findEnd(bytes: Buffer): number {
  for (let at = bytes.length - END_BYTES; at >= Math.max(0, bytes.length - END_BYTES - COMMENT_BYTES_MAX); at--) {
    if (bytes.readUInt32LE(at) === SIGNATURES.end && at + END_BYTES + bytes.readUInt16LE(at + 20) === bytes.length) return at;
  }
  throw malformed('it has no end');
}

/** @param directory where the central directory begins: all bodies end before */
function entryAt(bytes: Buffer, directory: number, at: number, name: string): ZipEntry {
  const [flags, method] = [bytes.readUInt16LE(at + 8), bytes.readUInt16LE(at + 10)];
  const [packed, size, local] = [bytes.readUInt32LE(at + 20), bytes.readUInt32LE(at + 24), bytes.readUInt32LE(at + 42)];
  if ((flags & 1) !== 0 || (method !== STORED && method !== DEFLATED)) throw malformed(`it holds a file that is encrypted, or packed by method ${method}`);
  if (local + LOCAL_BYTES > directory || bytes.readUInt32LE(local) !== SIGNATURES.local) throw malformed('a file is not where its directory says');
  const body = local + LOCAL_BYTES + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
  if (body + packed > directory) throw malformed('a file is not where its directory says');
  return {
    name,
    size,
    read() {
      const content = bytes.subarray(body, body + packed);
      const unpacked = method === STORED ? content : inflate(content, size);
      if (unpacked.length !== size) throw malformed('a file is not of the size that its directory says');
      return unpacked;
    },
  };
}

function inflate(content: Buffer, size: number): Buffer {
  try {
    // It stops at the first byte too much.
    return inflateRawSync(content, { maxOutputLength: Math.max(1, size) });
  } catch (error) {
    throw malformed('a file does not unpack to the size that its directory says', error);
  }
}

function malformed(why: string, cause?: unknown): Problem {
  return new Problem('forge_refused', `The zip that the forge has sent cannot be read: ${why}. Nothing was run.`, {}, cause);
}
