/**
 * Words of the configuration that are read and checked already, but that this Weft does not act upon yet. A rule that nobody enforces
 * is worse than none: so whoever writes one of them is told, and nothing is silently ignored.
 */

/** Where the word stands, `*` for any one key; and what it waits for. */
export type LaterWord = readonly [path: string, what: string];

export const LATER_WORDS: readonly LaterWord[] = [];

/**
 * @param value the configuration as it came
 * @param words those that are refused
 * @returns a sentence part for each that it holds, by its key
 */
export function findLater(value: unknown, words: readonly LaterWord[]): string[] {
  return words.flatMap(([path, what]) => find(value, path.split('.'), '').map((where) => `${where}: ${what} is not there yet in this Weft; take it out`));
}

/** An object has keys, a list positions; of a list of texts its texts are its keys, and so is a text. */
function find(value: unknown, [first, ...rest]: readonly string[], where: string): string[] {
  if (first === undefined) return [where];
  if (typeof value !== 'object' || value === null) return value === first && rest.length === 0 ? [where] : [];
  if (Array.isArray(value)) {
    if (first !== '*') return value.flatMap((item, index) => (item === first && rest.length === 0 ? [`${where}[${index}]`] : []));
    return value.flatMap((item, index) => find(item, rest, `${where}[${index}]`));
  }
  return Object.entries(value).flatMap(([key, item]) =>
    (first === '*' || first === key) && item !== undefined && item !== false ? find(item, rest, where === '' ? key : `${where}.${key}`) : [],
  );
}
