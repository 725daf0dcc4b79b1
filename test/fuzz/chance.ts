/** What is left to chance, from a seed: numbers, texts, and a value that is bent in some places. */
export type Random = () => number;

/** What chance is asked for. */
export class Chance {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** A whole number from 0 to below. */
  number(below: number): number {
    return Math.floor(this.#random() * below);
  }

  pick<T>(values: readonly T[]): T {
    return values[this.number(values.length)] as T;
  }

  happens(probability: number): boolean {
    return this.#random() < probability;
  }

  text(most: number): string {
    return Array.from({ length: this.number(most) }, () => this.pick(CHARACTERS)).join('');
  }

  bytes(most: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: this.number(most) }, () => this.number(256));
  }
}

const CHARACTERS = [...'abcXYZ019 _-./\\\'"`$:;,(){}[]<>%&=+*?#@!~^|\n\r\t\u0000\u001b\u0085\u2028äß€𝄞\ud800\ufeff'];
export const LEAVES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1e308,
  2 ** 53,
  0.1,
  '',
  '\u0000',
  '\ud800',
  [],
  {},
  [[]],
  { a: { b: {} } },
  'a'.repeat(300),
];

/** The same value with changes in so many places. */
export function bend(chance: Chance, value: unknown, times: number): unknown {
  let bent = structuredClone(value);
  for (let n = 0; n < times; n += 1) bent = bendOnce(chance, bent);
  return bent;
}

function bendOnce(chance: Chance, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || chance.happens(0.15)) return chance.happens(0.5) ? chance.pick(LEAVES) : chance.text(60);
  if (chance.happens(0.03)) return nested(chance.number(2000));
  if (Array.isArray(value)) {
    if (value.length === 0 || chance.happens(0.2)) return [...value, chance.pick(LEAVES), ...value];
    const at = chance.number(value.length);
    return value.map((one, index) => (index === at ? bendOnce(chance, one) : one));
  }
  const names = Object.keys(value);
  if (names.length === 0 || chance.happens(0.15))
    return { ...value, [chance.pick(['__proto__', 'constructor', 'toString', chance.text(10)])]: chance.pick(LEAVES) };
  const name = chance.pick(names);
  if (chance.happens(0.15)) return Object.fromEntries(Object.entries(value).filter(([key]) => key !== name));
  return { ...value, [name]: bendOnce(chance, (value as Record<string, unknown>)[name]) };
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let n = 0; n < depth; n += 1) value = [value];
  return value;
}
