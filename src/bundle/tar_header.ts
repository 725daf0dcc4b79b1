/**
 * The header of a tar entry: one block of 512 bytes (POSIX.1-2024, pax, "ustar Interchange Format"), read strictly. Only
 * what Weft's own uploads need is accepted: plain files with short plain names. Everything else is named and refused.
 */
import { Problem } from '../domain/problem.ts';

export const TAR_BLOCK_BYTES = 512;

export interface TarHeader {
  /** `file`, or `pax`: extended attributes of what follows, in the body. */
  readonly kind: 'file' | 'pax';
  readonly name: string;
  /** Bytes of the body, without the padding to a whole block. */
  readonly size: number;
}

/** What else an entry can be. */
export const OTHER_KINDS: Readonly<Record<string, string>> = {
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a device',
  '4': 'a device',
  '5': 'a folder',
  '6': 'a pipe',
  L: 'a long name (GNU)',
  K: 'a long link name (GNU)',
  S: 'a sparse file (GNU)',
};

/**
 * Reads a header.
 * @param block of 512 bytes
 * @returns null for a block of zeros: the end begins
 * @throws Problem malformed_tar when it is none (magic, checksum, numbers); forbidden_entry for links, folders, devices, extensions,
 * and for names that go on after a NUL or in the prefix field
 */
export function parseTarHeader(block: Uint8Array): TarHeader | null {
  if (isZeros(block)) return null;
  const magic = checkHeader(block);
  const field = block.subarray(0, 100);
  const end = field.indexOf(0);
  const name = latin1(end < 0 ? field : field.subarray(0, end));
  const shown = JSON.stringify(name);
  if (end >= 0 && !isZeros(field.subarray(end))) throw forbidden(name, `The name ${shown} of an entry goes on after a NUL.`);
  // In GNU's variant the prefix field holds other things; its long names come as entries of their own.
  if (magic === 'ustar\0' && block[345] !== 0) throw forbidden(name, `The entry ${shown} has a second part of its name in the prefix field.`);

  const type = latin1(block.subarray(156, 157));
  const isFile = type === '0' || type === '\0';
  if (!isFile && type !== 'x' && type !== 'g') {
    const kind = OTHER_KINDS[type] ?? `of the unknown type ${JSON.stringify(type)}`;
    throw forbidden(name, `The entry ${shown} is ${kind}; only plain files are taken.`);
  }
  const size = readOctal(block.subarray(124, 136));
  if (size === null) throw malformed(`the size of the entry ${shown} is no octal number`);
  return { kind: isFile ? 'file' : 'pax', name, size };
}

/**
 * Refuses pax attributes (POSIX.1-2024, pax, "pax Extended Header") that would change what a header says: the others (times,
 * owners, comments) are passed over.
 * @param body of a pax entry
 * @throws Problem forbidden_entry for names, links and sizes; malformed_tar
 */
export function checkPaxAttributes(body: Uint8Array): void {
  for (const [key] of readPaxRecords(body)) {
    if (/^(path|linkpath|size|hdrcharset|GNU\.sparse\..*)$/.test(key)) {
      throw forbidden(key, `A pax header sets "${key}" of an entry; names and sizes stand in the entry's own header.`);
    }
  }
}

/**
 * The records of a pax header, keys and values by their bytes, one character each.
 * @throws Problem malformed_tar
 */
export function* readPaxRecords(body: Uint8Array): Generator<readonly [key: string, value: string]> {
  const text = latin1(body);
  const form = /(\d{1,6}) ([^=]{1,240})=/y;
  for (let at = 0; at < text.length; ) {
    form.lastIndex = at;
    const record = form.exec(text);
    const length = Number(record?.[1]);
    if (!(length > 0) || at + length > text.length || form.lastIndex >= at + length || text[at + length - 1] !== '\n')
      throw malformed('a pax header is not a list of records');
    yield [record?.[2] ?? '', text.slice(form.lastIndex, at + length - 1)];
    at += length;
  }
}

/** Magic and checksum of a header. @returns the magic @throws Problem malformed_tar */
export function checkHeader(block: Uint8Array): string {
  const magic = latin1(block.subarray(257, 263));
  if (magic !== 'ustar\0' && magic !== 'ustar ') throw malformed('an entry does not have a ustar header');
  if (readOctal(block.subarray(148, 156)) !== checksum(block)) throw malformed('the checksum of a header is wrong');
  return magic;
}

/** @param limit the name of the limit that it goes beyond, if that is what is wrong */
export function malformed(what: string, limit?: string): Problem {
  return new Problem('malformed_tar', `The tar cannot be read: ${what}.`, limit === undefined ? {} : { limit });
}

export function forbidden(entry: string, what: string): Problem {
  const form = 'A tar for Weft holds request.json first, then secrets.json if there are secrets, then plain files named by their SHA-256, nothing else.';
  return new Problem('forbidden_entry', `${what} ${form}`, { entry });
}

export function isZeros(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** An octal number in ASCII, ended by a space or NUL; null when it is none (GNU's base-256 is for sizes above every limit). */
export function readOctal(field: Uint8Array): number | null {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(latin1(field))?.[1];
  return digits === undefined ? null : Number.parseInt(digits, 8);
}

/** The sum of all bytes, those of the checksum itself counted as spaces. */
function checksum(block: Uint8Array): number {
  return block.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 0x20 : byte), 0);
}

/** A character for each byte. */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}
