/**
 * Patterns over names: `*` stands for any run of characters, everything else for itself. Grants name targets with them.
 */

import * as z from 'zod';

const BRANCH = 'must be the name of a branch, or a pattern with "*"; without "refs/heads/"';

/** Of branches. */
export const branchSchema = z
  .string()
  .max(255)
  .refine((text) => /^[^\s~^:?[\\]+$/.test(text) && !text.startsWith('refs/'), BRANCH);

/** @returns whether a name can match both */
export function patternsMeet(one: string, other: string): boolean {
  // meets[j]: whether what is left of the first pattern, and of the second from j on, can be the same.
  let meets: boolean[] = [];
  for (let i = one.length; i >= 0; i--) {
    const next: boolean[] = [];
    for (let j = other.length; j >= 0; j--) {
      const [a, b] = [one[i], other[j]];
      const skips = (a === '*' && meets[j] === true) || (b === '*' && next[j + 1] === true);
      const takes = (a === '*' && b !== undefined && next[j + 1] === true) || (b === '*' && a !== undefined && meets[j] === true);
      next[j] = (a === undefined && b === undefined) || skips || takes || (a !== undefined && a === b && meets[j + 1] === true);
    }
    meets = next;
  }
  return meets[0] === true;
}

/**
 * @param pattern such as `shop`, `preview-*`, `*`
 * @param name the whole of which must match
 */
export function matchesPattern(pattern: string, name: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return pattern === name;
  if (!name.startsWith(first)) return false;
  // The earliest place for each part leaves the most for the parts after it, so no other place need be tried.
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - at >= last.length && name.endsWith(last);
}
