/**
 * A tar as entries, pulled one after the other: blocks, bodies, padding, and the end. What a header may say is for whoever reads it:
 * `tar_header.ts` for uploads, `archive_header.ts` for what a forge packs.
 */
import { LIMITS } from '../domain/limits.ts';
import type { ByteReader } from './byte_reader.ts';
import { isZeros, malformed, TAR_BLOCK_BYTES } from './tar_header.ts';

/** What a reader must know about a header. The kind `pax` has extended attributes of the next entry in its body. */
interface AnyHeader {
  readonly kind: string;
  /** Bytes of the body, without the padding to a whole block. */
  readonly size: number;
}

/** How headers are read. */
export interface TarForm<Header extends AnyHeader> {
  /** @returns null for a block of zeros: the end begins */
  parse(block: Uint8Array): Header | null;
  /** Takes the body of a `pax` entry. */
  takePax(body: Uint8Array, header: Header): void;
}

export class TarReader<Header extends AnyHeader> {
  readonly #input: ByteReader;
  readonly #form: TarForm<Header>;
  /** What was read and not used yet: a piece of the input's own memory. */
  #rest: Uint8Array = new Uint8Array(0);
  /** Bytes left in the body of the current entry. */
  #unread = 0;
  #padding = 0;
  #ended = false;
  #next: Header | null = null;

  constructor(input: ByteReader, form: TarForm<Header>) {
    this.#input = input;
    this.#form = form;
  }

  release(): void {
    this.#input.release();
  }

  /** Lets the next call of `nextEntry` come to this entry again, of which no byte was read. */
  putBack(entry: Header): void {
    this.#next = entry;
  }

  /** The next entry's header, after what is left of the one before; null once the tar has ended as it should. */
  async nextEntry(): Promise<Header | null> {
    if (this.#ended) return null;
    const next = this.#next;
    this.#next = null;
    if (next !== null) return next;
    for (let pax_bytes = 0; ; ) {
      await this.#skipBody();
      const header = this.#form.parse(await this.#take(TAR_BLOCK_BYTES, 'without the two blocks of zeros that end a tar'));
      if (header === null) {
        await this.#readEnd();
        return null;
      }
      this.#unread = header.size;
      this.#padding = -header.size & (TAR_BLOCK_BYTES - 1);
      if (header.kind !== 'pax') return header;
      pax_bytes += TAR_BLOCK_BYTES + header.size;
      if (pax_bytes > LIMITS.tar_pax_bytes)
        throw malformed(`the pax headers before an entry are larger than ${LIMITS.tar_pax_bytes} bytes (tar_pax_bytes)`, 'tar_pax_bytes');
      this.#unread = 0;
      this.#form.takePax(await this.#take(header.size, 'inside a pax header'), header);
    }
  }

  /** The body of the current entry; each part is good until the next is asked for. */
  async *body(): AsyncGenerator<Uint8Array> {
    while (this.#unread > 0) {
      const part = await this.#some(this.#unread, 'inside an entry');
      this.#unread -= part.length;
      yield part;
    }
  }

  async #skipBody(): Promise<void> {
    for (let left = this.#unread + this.#padding; left > 0; ) left -= (await this.#some(left, 'inside an entry')).length;
    this.#unread = 0;
    this.#padding = 0;
  }

  /** A second block of zeros, and then nothing but zeros: a record is filled up with them. */
  async #readEnd(): Promise<void> {
    this.#ended = true;
    if (!isZeros(await this.#take(TAR_BLOCK_BYTES, 'after one of the two blocks of zeros that end a tar'))) throw malformed('one block of zeros stands alone');
    let padding = 0;
    for (let part: Uint8Array | null = this.#rest; part !== null; part = await this.#input.read()) {
      padding += part.length;
      if (!isZeros(part)) throw malformed('something follows its end');
      if (padding > LIMITS.tar_padding_bytes)
        throw malformed(`more than ${LIMITS.tar_padding_bytes} zeros (tar_padding_bytes) follow its end`, 'tar_padding_bytes');
    }
  }

  /** One byte or more, `most` at most. */
  async #some(most: number, where: string): Promise<Uint8Array> {
    if (this.#rest.length === 0) {
      const part = await this.#input.read();
      if (part === null) throw malformed(`it ends ${where}`);
      this.#rest = part;
    }
    const some = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(some.length);
    return some;
  }

  /** Exactly this many bytes, copied. */
  async #take(count: number, where: string): Promise<Uint8Array> {
    const taken = new Uint8Array(count);
    let used = 0;
    while (used < count) {
      const part = await this.#some(count - used, where);
      taken.set(part, used);
      used += part.length;
    }
    return taken;
  }
}
