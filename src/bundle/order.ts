/**
 * Order and similarity of names: the order in which files run, where a reader would expect another one, and which known word somebody
 * probably meant. Nothing here knows of bundles.
 */
import { Buffer } from 'node:buffer';

const DIGITS = '0123456789';

/** Compares by the bytes of UTF-8: the order in which files run. (JavaScript's own order differs above U+FFFF.) */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * The first neighbours of a list in byte order that stand the other way round when numbers count as numbers: V10 before V2, V2.1 before V2.
 * @param paths sorted by `compareBytes`
 * @returns the two, as they stand; null when both orders agree
 */
export function findNumericInversion(paths: readonly string[]): readonly [string, string] | null {
  for (const [index, path] of paths.entries()) {
    const next = paths[index + 1];
    if (next !== undefined && compareNumerically(path, next) > 0) return [path, next];
  }
  return null;
}

/** The known word that is nearest, if one is near enough to be meant: at most a third of its letters differ. */
export function findNearest(word: string, known: Iterable<string>): string | null {
  let nearest: string | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least && distance <= Math.max(1, Math.floor(candidate.length / 3))) {
      nearest = candidate;
      least = distance;
    }
  }
  return nearest;
}

/** Whether one name has a version of more parts than the other: 2.1 and 2. */
export function isOfMoreParts(a: string, b: string): boolean {
  const [one, other] = versionsOf(a, b);
  return one !== null && other !== null && one.length !== other.length && one[0] === other[0];
}

/** The numbers at the place where two names begin to differ: those that a dot parts, or in a name of Flyway's form (`V2_1__x`) an underscore. */
function versionsOf(a: string, b: string): readonly [readonly bigint[] | null, readonly bigint[] | null] {
  let end = 0;
  while (end < a.length && a[end] === b[end]) end += 1;
  const readFrom = (start: number) => [readVersion(a.slice(start)), readVersion(b.slice(start))] as const;
  let start = walkBack(a, end, `${DIGITS}._`);
  while (start < end && !DIGITS.includes(a.charAt(start))) start += 1;
  const whole = readFrom(start);
  // where the whole version is the same as far as it is read, only the number at which they differ is left
  return String(whole[0]) === String(whole[1]) ? readFrom(walkBack(a, end, DIGITS)) : whole;
}

/** Where the run of these characters begins that ends at `end`. (An expression that ends in `$` would start again at each of them.) */
function walkBack(text: string, end: number, characters: string): number {
  let start = end;
  while (start > 0 && characters.includes(text.charAt(start - 1))) start -= 1;
  return start;
}

function readVersion(text: string): readonly bigint[] | null {
  const found = /^\d+(?:[._]\d+)*(?=__)/.exec(text) ?? /^\d+(?:\.\d+)*/.exec(text);
  return found === null ? null : found[0].split(/[._]/).map(BigInt);
}

/** As `compareBytes`, except that where two versions begin at the same place, the first difference is between numbers, and 2 comes before 2.1. */
function compareNumerically(a: string, b: string): number {
  const [one, other] = versionsOf(a, b);
  if (one === null || other === null) return compareBytes(a, b);
  for (const [place, number] of one.entries()) {
    const counterpart = other[place];
    if (counterpart === undefined) return 1;
    if (number !== counterpart) return compareNumbers(String(number), String(counterpart));
  }
  return one.length < other.length ? -1 : compareBytes(a, b);
}

/** A day, or that with a time: dates of both kinds beside each other are in the order of their digits. */
const DATE = /^(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d\d){0,3}$/;

function compareNumbers(a: string, b: string): number {
  if (a.length !== b.length && !(DATE.test(a) && DATE.test(b))) return a.length - b.length;
  return compareBytes(a, b);
}

/** Levenshtein's distance, where two neighbours that changed places count once. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min((above[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, (above[column - 1] ?? 0) + (same ? 0 : 1));
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) cost = Math.min(cost, (before[column - 2] ?? 0) + 1);
      current.push(cost);
    }
    before = above;
    above = current;
  }
  return above[b.length] ?? 0;
}
