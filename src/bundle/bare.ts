/**
 * Whether a SQL file contains nothing that runs: only blanks, comments and semicolons. It is looked at part by part, up to the first
 * character of a statement, and no further than most comments are long.
 */

const [TAB, CARRIAGE_RETURN, LINE_FEED, BLANK, SEMICOLON, DASH, SLASH, STAR] = [9, 13, 10, 32, 59, 45, 47, 42] as const;
const LOOKED_AT_BYTES = 64 * 1024;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** Looks at one file, in order: `push` each part. */
export class BareCheck {
  #isBare = true;
  #isInLine = false;
  /** How deep in comments of the other kind, which stand in each other. */
  #depth = 0;
  /** A dash, a slash or a star whose second character is still to come; 0 for none. */
  #before = 0;
  #offset = 0;

  get isBare(): boolean {
    return this.#isBare && this.#before === 0 && this.#depth === 0;
  }

  push(part: Uint8Array): void {
    for (const byte of part) {
      if (this.#offset >= LOOKED_AT_BYTES) this.#isBare = false;
      if (!this.#isBare) return;
      if (byte !== BYTE_ORDER_MARK[this.#offset++]) this.#take(byte);
    }
  }

  #take(byte: number): void {
    if (this.#isInLine) {
      this.#isInLine = byte !== LINE_FEED && byte !== CARRIAGE_RETURN;
      return;
    }
    const before = this.#before;
    this.#before = 0;
    if (before === SLASH && byte === STAR) this.#depth += 1;
    else if (this.#depth > 0 && before === STAR && byte === SLASH) this.#depth -= 1;
    else if (this.#depth > 0) this.#before = byte === SLASH || byte === STAR ? byte : 0;
    else if (before === DASH && byte === DASH) this.#isInLine = true;
    else if (before !== 0) this.#isBare = false;
    else if (byte === DASH || byte === SLASH) this.#before = byte;
    else this.#isBare = byte === BLANK || byte === SEMICOLON || (byte >= TAB && byte <= CARRIAGE_RETURN);
  }
}
