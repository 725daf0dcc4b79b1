/**
 * What zod found, in sentences for people: where (a key path) and what. Never the value that was found there: it may be
 * a secret in the wrong place.
 */
import type * as z from 'zod';

type Issue = z.core.$ZodIssue;

/** How many are told; whoever repairs them learns of the rest. */
export const SHOWN_ISSUES_COUNT = 8;

/**
 * @param path keys and positions from the root
 * @returns such as `grants[0].actions`; `the document` for the root itself
 */
export function keyPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? shorten(String(key)) : `.${shorten(String(key))}`;
  }
  return text === '' ? 'the document' : text;
}

/** @returns one sentence part for each issue: `targets.shop.transport: expected one of "websocket"|"tcp"` */
export function describeIssues(issues: readonly Issue[]): string[] {
  return issues.flatMap((issue) => describe(issue, []));
}

/** @returns the first few in one line, and how many more there are */
export function joinIssues(descriptions: readonly string[]): string {
  const more = descriptions.length - SHOWN_ISSUES_COUNT;
  return `${descriptions.slice(0, SHOWN_ISSUES_COUNT).join('; ')}${more > 0 ? `; and ${more} more` : ''}.`;
}

function describe(issue: Issue, above: readonly PropertyKey[]): string[] {
  const path = [...above, ...issue.path];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => `${keyPath([...path, key])}: no such key is known`);
    case 'invalid_key':
      return [`${keyPath(path)}: ${issue.issues.map((inner) => plain(inner.message)).join(', ')}`];
    case 'invalid_union': {
      const [closest] = [...issue.errors].sort((left, right) => left.length - right.length);
      return closest === undefined ? [`${keyPath(path)}: ${plain(issue.message)}`] : closest.flatMap((inner) => describe(inner, path));
    }
    case 'invalid_type':
      return [`${keyPath(path)}: ${issue.message.endsWith('received undefined') ? `is missing (${issue.expected})` : plain(issue.message)}`];
    default:
      return [`${keyPath(path)}: ${plain(issue.message)}`];
  }
}

/** Schemas say what they want, as "a name" or "an id"; zod says what it expected. */
function plain(message: string): string {
  const text = message.replace(/^Invalid (?:input|option|discriminator value)[:.] /, '').replace(/^Expected/, 'expected');
  return /^an? /.test(text) ? `must be ${text}` : text;
}

function shorten(text: string): string {
  return text.length > 64 ? `${text.slice(0, 63)}…` : text;
}
