/**
 * Orders and likenesses of names: the order in which files run, where a reader would expect another one, and which known
 * word somebody probably meant. Nothing here knows of bundles.
 */
import { Buffer } from 'node:buffer';

/** Compares by the bytes of UTF-8: the order in which files run. (JavaScript's own order differs above U+FFFF.) */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * The first neighbours of a list in byte order that stand the other way round when numbers count as numbers: V10 before V2.
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

/** As `compareBytes`, except that where two digit runs begin at the same place, the first difference is between numbers. */
function compareNumerically(a: string, b: string): number {
  let start = 0;
  while (start < a.length && a[start] === b[start]) start += 1;
  while (start > 0 && /\d/.test(a[start - 1] ?? '')) start -= 1;
  const one = /^\d+/.exec(a.slice(start))?.[0];
  const other = /^\d+/.exec(b.slice(start))?.[0];
  if (one === undefined || other === undefined || BigInt(one) === BigInt(other)) return compareBytes(a, b);
  return BigInt(one) < BigInt(other) ? -1 : 1;
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
