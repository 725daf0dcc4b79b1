/**
 * Which undo file belongs to which file: for a path, a path; for a glob, a pattern with the same wildcards, which stand for the same
 * text in both (`schema/*.sql` and `undo/*.sql`: `undo/001_staff.sql` undoes `schema/001_staff.sql`).
 */
import { invalidAt } from './bundle_file.ts';
import { findNearest } from './order.ts';

export interface Pairing {
  /** Undo files by the paths of what they take back. */
  readonly undos: ReadonlyMap<string, string>;
  /** Files that have none, each with the path at which it was looked for. */
  readonly lacking: readonly { readonly path: string; readonly expected: string }[];
}

/** Wildcards that both patterns may hold. */
const WILDCARDS: readonly string[] = ['**/', '**', '*', '?'];
const TOKENS = /\*\*\/|\*\*|\*|\?|[^*?]+/g;

/**
 * @param paths all files of the bundle
 * @param glob of the step, and the files that it means
 * @param undo as weft.yaml has it
 * @param line in weft.yaml
 * @throws Problem invalid_bundle when the two do not fit together, or no file has an undo
 */
export function pairUndos(paths: readonly string[], glob: string, matched: readonly string[], undo: string, line: number): Pairing {
  const known = new Set(paths);
  if (matched.length === 1 && matched[0] === glob) {
    if (known.has(undo)) return { undos: new Map([[glob, undo]]), lacking: [] };
    const nearest = findNearest(undo, paths);
    throw invalidAt(line, `there is no file ${JSON.stringify(undo)} to undo "${glob}"${nearest === null ? '' : `; did you mean "${nearest}"?`}`);
  }
  const [from, to] = [tokensOf(glob), tokensOf(undo)];
  const wildcards = from.filter(isWildcard);
  if (/[[\]{}()!+@\\]/.test(glob + undo) || to.filter(isWildcard).join(' ') !== wildcards.join(' ')) {
    throw invalidAt(line, `undo: "${undo}" must hold the same wildcards as "${glob}", in the same order, and no others than *, ** and ?`);
  }
  const undos = new Map<string, string>();
  const lacking: { path: string; expected: string }[] = [];
  for (const path of matched) {
    const parts = capture(from, path);
    const expected = to.map((token) => (isWildcard(token) ? parts.shift() : token)).join('');
    if (known.has(expected)) undos.set(path, expected);
    else lacking.push({ path, expected });
  }
  if (undos.size === 0)
    throw invalidAt(line, `undo: "${undo}" is there for none of the files of "${glob}"; the first was looked for at "${lacking[0]?.expected}"`);
  return { undos, lacking };
}

function tokensOf(pattern: string): readonly string[] {
  return pattern.match(TOKENS) ?? [];
}

function isWildcard(token: string): boolean {
  return WILDCARDS.includes(token);
}

/** What each wildcard stands for: the first one for as much as it can, then the next. No place is tried twice for one token. */
function capture(tokens: readonly string[], path: string): string[] {
  const failed = new Set<number>();
  const walk = (index: number, at: number): string[] | null => {
    const token = tokens[index];
    if (token === undefined) return at === path.length ? [] : null;
    const key = index * (path.length + 1) + at;
    if (failed.has(key)) return null;
    for (const end of endsOf(token, path, at)) {
      const rest = walk(index + 1, end);
      if (rest !== null) return isWildcard(token) ? [path.slice(at, end), ...rest] : rest;
    }
    failed.add(key);
    return null;
  };
  return walk(0, 0) ?? [];
}

/** Where a token that begins there may end, the longest first. */
function* endsOf(token: string, path: string, at: number): Generator<number> {
  if (!isWildcard(token)) {
    if (path.startsWith(token, at)) yield at + token.length;
  } else if (token === '?') {
    if (at < path.length && path[at] !== '/') yield at + 1;
  } else {
    const slash = path.indexOf('/', at);
    const last = token === '*' && slash >= 0 ? slash : path.length;
    for (let end = last; end >= at; end -= 1) if (token !== '**/' || end === at || path[end - 1] === '/') yield end;
  }
}
