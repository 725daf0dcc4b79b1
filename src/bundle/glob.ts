/**
 * Which paths a glob means: `*`, `**`, `?`, `{a,b}` and `[abc]`, in a time that grows with path and glob. As a regular expression, a glob of
 * twenty `*` would keep a Worker computing for hours, with all other work in it.
 */
import { LIMITS } from '../domain/limits.ts';

/** What one place of a name may hold; null: any run of characters. */
type Token = ((character: string) => boolean) | null;
/** Null: any number of folders. */
type Part = readonly Token[] | null;

/** Whether anything in it is a wildcard, or braces with alternatives. */
export function isGlob(text: string): boolean {
  return /[*?]|\[[^\]]+\]|\{[^{}]*,[^{}]*\}/.test(text);
}

/** @returns whether a path matches; null when its braces come to too many alternatives */
export function makeGlob(glob: string): ((path: string) => boolean) | null {
  const patterns = expandBraces(glob)?.map((pattern) => pattern.split('/').map((part): Part => (part === '**' ? null : tokensOf(part))));
  if (patterns === undefined) return null;
  return (path) => {
    const names = path.split('/');
    return patterns.some((parts) => matches(parts, names, (part, name) => matches(part, name, (token, character) => token(character))));
  };
}

/** The earliest place for what stands between two wildcards leaves the most for what follows, so only the last wildcard is ever tried again. */
function matches<One>(pattern: readonly (One | null)[], text: ArrayLike<string>, isOne: (one: One, item: string) => boolean): boolean {
  let [at, place, star, from] = [0, 0, -1, 0];
  while (place < text.length) {
    const one = pattern[at];
    if (one === null) [star, from, at] = [at, place, at + 1];
    else if (one !== undefined && isOne(one, text[place] ?? '')) [at, place] = [at + 1, place + 1];
    else if (star >= 0) [at, from, place] = [star + 1, from + 1, from + 1];
    else return false;
  }
  return pattern.slice(at).every((one) => one === null);
}

function tokensOf(part: string): Token[] {
  return (part.match(/\*+|\[\^?\]?[^\]]+\]|[\s\S]/g) ?? []).map((token) => {
    if (token.startsWith('*')) return null;
    if (token === '?') return () => true;
    if (token.length === 1) return (character) => character === token;
    const set = token.slice(1, -1).replace(/[\\\]]/g, '\\$&');
    const form = formOf(set);
    return (character) => form?.test(character) ?? false;
  });
}

/** @returns null for a range that ends before it begins */
function formOf(set: string): RegExp | null {
  try {
    return new RegExp(`[${set}]`);
  } catch {
    return null;
  }
}

/** The innermost braces first. */
function expandBraces(glob: string): string[] | undefined {
  const done: string[] = [];
  const open = [glob];
  for (let pattern = open.pop(); pattern !== undefined; pattern = open.pop()) {
    const found = /\{([^{}]*,[^{}]*)\}/.exec(pattern);
    if (found === null) done.push(pattern);
    else for (const one of (found[1] ?? '').split(',')) open.push(pattern.slice(0, found.index) + one + pattern.slice(found.index + found[0].length));
    if (open.length + done.length > LIMITS.glob_alternatives_count) return undefined;
  }
  return done;
}
