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
