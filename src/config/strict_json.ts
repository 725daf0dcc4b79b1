/**
 * JSON (RFC 8259) read so that every reader sees the same document. `JSON.parse` keeps the last of two equal keys where another reader
 * keeps the first, and a signature would be valid for both; here a duplicate key is an error, and so are bytes that are not UTF-8, lone
 * surrogates, `__proto__`, and unlimited nesting. Errors name line and column. What the document means is for others.
 */
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';

/**
 * @param input the document, as bytes or as text
 * @param what it is, as a problem calls it
 * @returns the value
 * @throws Problem malformed_json, with line and column counted from 1, or the byte, counted from 0, of the first sequence that is not UTF-8
 */
export function parseStrictJson(input: Uint8Array | string, what?: string): unknown {
  const text = typeof input === 'string' ? input : decodeUtf8(input);
  new Checker(text, what).check();
  return JSON.parse(text);
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    // ignoreBOM keeps a byte order mark in the text, where it is then no JSON (RFC 8259, section 8.1).
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const byte = firstBadByte(bytes);
    throw new Problem('malformed_json', `The document is not UTF-8: it goes wrong at byte ${byte}.`, { byte });
  }
}

/** Where the first sequence begins that is not UTF-8, found by halving. */
function firstBadByte(bytes: Uint8Array): number {
  const readable = (length: number) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, length), { stream: true });
  let good = 0;
  let bad = bytes.length;
  while (good + 1 < bad) {
    const middle = (good + bad) >> 1;
    try {
      readable(middle);
      good = middle;
    } catch {
      bad = middle;
    }
  }
  // The last sequence of the good part may be an unfinished one; the text holds the finished ones.
  return new TextEncoder().encode(readable(good)).length;
}

const SCALAR = /^(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)$/;

/** Walks the grammar once, without recursion, and builds nothing but the keys of the objects that are open. */
class Checker {
  readonly #text: string;
  readonly #what: string | undefined;
  #at = 0;
  #values = 0;
  /** Innermost last: the keys met so far of an object, null for an array. */
  readonly #open: (Set<string> | null)[] = [];

  constructor(text: string, what?: string) {
    this.#text = text;
    this.#what = what;
  }

  check(): void {
    let expected: 'value' | 'value or ]' | 'key' | 'key or }' | 'more' = 'value';
    while (true) {
      const character = this.#next();
      if (expected === 'more') {
        const keys = this.#open.at(-1);
        if (keys === undefined) {
          if (character !== '') this.#fail('the document is over here, and something follows');
          return;
        }
        const closer = keys === null ? ']' : '}';
        if (character === ',') expected = keys === null ? 'value' : 'key';
        else if (character === closer) this.#open.pop();
        else this.#fail(`"," or "${closer}" is expected here`);
        this.#at += 1;
      } else if ((expected === 'value or ]' && character === ']') || (expected === 'key or }' && character === '}')) {
        this.#open.pop();
        this.#at += 1;
        expected = 'more';
      } else if (expected === 'key' || expected === 'key or }') {
        this.#key(character);
        expected = 'value';
      } else if (++this.#values > LIMITS.json_values_count) {
        this.#fail(`more than ${LIMITS.json_values_count} values stand in the document (json_values_count)`);
      } else if (character === '{' || character === '[') {
        if (this.#open.length === LIMITS.json_depth) this.#fail(`objects and arrays stand more than ${LIMITS.json_depth} deep in each other here (json_depth)`);
        this.#open.push(character === '{' ? new Set() : null);
        this.#at += 1;
        expected = character === '{' ? 'key or }' : 'value or ]';
      } else {
        if (character === '"') this.#string();
        else this.#scalar();
        expected = 'more';
      }
    }
  }

  /** Skips white space; the character there, '' at the end. */
  #next(): string {
    while (true) {
      const character = this.#text.charAt(this.#at);
      if (character !== ' ' && character !== '\n' && character !== '\r' && character !== '\t') return character;
      this.#at += 1;
    }
  }

  #key(character: string): void {
    if (character !== '"') this.#fail('a key in double quotes is expected here');
    const from = this.#at;
    const key = this.#string();
    const keys = this.#open.at(-1);
    if (keys?.has(key)) this.#fail(`the key ${JSON.stringify(key.slice(0, 64))} stands in its object a second time here`, from);
    if (key === '__proto__') this.#fail('the key "__proto__" is not read', from);
    keys?.add(key);
    if (this.#next() !== ':') this.#fail('":" is expected here');
    this.#at += 1;
  }

  /** Skips a string, from its opening quote to after its closing one. */
  #string(): string {
    const from = this.#at;
    let escapes = false;
    for (let at = from + 1; at < this.#text.length; at += 1) {
      const code = this.#text.charCodeAt(at);
      if (code === 0x22) {
        this.#at = at + 1;
        return this.#content(from, at, escapes);
      }
      if (code < 0x20) this.#fail('a control character must be escaped', at);
      if (code === 0x5c) {
        escapes = true;
        const sequence = /^\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.exec(this.#text.slice(at, at + 6));
        if (sequence === null) this.#fail('this is no escape that JSON has', at);
        at += sequence[0].length - 1;
      }
    }
    return this.#fail('the string that begins here does not end', from);
  }

  #content(from: number, to: number, escapes: boolean): string {
    const content = escapes ? (JSON.parse(this.#text.slice(from, to + 1)) as string) : this.#text.slice(from + 1, to);
    if (!content.isWellFormed()) this.#fail('this string holds half of a surrogate pair, which is no text', from);
    return content;
  }

  #scalar(): void {
    const word = /^[-+.0-9A-Za-z]*/.exec(this.#text.slice(this.#at, this.#at + 64))?.[0] ?? '';
    if (!SCALAR.test(word)) this.#fail('a value is expected here');
    this.#at += word.length;
  }

  #fail(what: string, at = this.#at): never {
    const before = this.#text.slice(0, at);
    const line = before.split('\n').length;
    const column = at - before.lastIndexOf('\n');
    throw new Problem('malformed_json', `${this.#what === undefined ? 'Line' : `${this.#what}, line`} ${line}, column ${column}: ${what}.`, { line, column });
  }
}
