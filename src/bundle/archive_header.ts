/**
 * The headers of an archive of a repository, as `git archive` and its relatives write them: long names in the prefix field or in pax
 * attributes, folders and links beside files. What they mean for a bundle is for `archive.ts`.
 */
import { checkHeader, isZeros, latin1, malformed, OTHER_KINDS, readOctal, readPaxRecords } from './tar_header.ts';
import type { TarForm } from './tar_reader.ts';

export interface ArchiveEntry {
  /** `pax` never comes out of a reader. */
  readonly kind: 'file' | 'folder' | 'other' | 'pax';
  /** Its path, a character for each byte, without a "/" at its end. */
  readonly name: string;
  readonly size: number;
  /** What an entry of the kind `other` is, as a phrase. */
  readonly what: string;
  /** For a pax entry: whether its attributes apply to everything that follows. */
  readonly isGlobal: boolean;
}

/** Reads the headers of one archive. Pax attributes apply to the entry after them (POSIX.1-2024, pax, "pax Header Block"). */
export class ArchiveForm implements TarForm<ArchiveEntry> {
  /** What `git archive` writes there: the commit it is of; null when it is of none. */
  commit: string | null = null;
  #path: string | null = null;
  #size: string | null = null;

  parse(block: Uint8Array): ArchiveEntry | null {
    if (isZeros(block)) return null;
    const isPosix = checkHeader(block) === 'ustar\0';
    const type = latin1(block.subarray(156, 157));
    const isPax = type === 'x' || type === 'g';
    const own = textOf(block.subarray(0, 100));
    const prefix = isPosix ? textOf(block.subarray(345, 500)) : '';
    const name = (isPax ? null : this.#path) ?? (prefix === '' ? own : `${prefix}/${own}`);
    const shown = JSON.stringify(name.slice(0, 200));
    const size = !isPax && this.#size !== null ? numberOf(this.#size) : readOctal(block.subarray(124, 136));
    if (size === null) throw malformed(`the size of the entry ${shown} is no octal number`);
    if (isPax) return { kind: 'pax', name, size, what: '', isGlobal: type === 'g' };
    this.#path = null;
    this.#size = null;
    const isFile = type === '0' || type === '\0' || type === '7';
    const kind = isFile && !name.endsWith('/') ? 'file' : isFile || type === '5' ? 'folder' : 'other';
    if (kind !== 'file' && size !== 0 && type !== '1' && type !== '2') throw malformed(`the entry ${shown}, which is no file, has a body`);
    return { kind, name: name.replace(/\/+$/, ''), size: kind === 'file' ? size : 0, what: OTHER_KINDS[type] ?? 'of an unknown type', isGlobal: false };
  }

  takePax(body: Uint8Array, { isGlobal }: ArchiveEntry): void {
    for (const [key, value] of readPaxRecords(body)) {
      if (key.startsWith('GNU.sparse.') || (isGlobal && (key === 'path' || key === 'size')))
        throw malformed(`a pax header sets ${JSON.stringify(key)}, which is not read here`);
      if (key === 'path') this.#path = value;
      if (key === 'size') this.#size = value;
      if (isGlobal && key === 'comment') this.commit = value;
    }
  }
}

/** A field up to its first NUL. */
function textOf(field: Uint8Array): string {
  const end = field.indexOf(0);
  return latin1(end < 0 ? field : field.subarray(0, end));
}

function numberOf(digits: string): number | null {
  return /^\d{1,15}$/.test(digits) ? Number(digits) : null;
}
