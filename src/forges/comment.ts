/** A report as a comment in Markdown, as every forge shows it: with a mark by which it is found again. */
import type { Account } from '../domain/change.ts';

/** What every forge takes in one text. */
const TEXT_CHARACTERS = 60_000;

/** A line that is not shown. */
export function markOf({ name }: Account): string {
  return `<!-- ${nameOf(name)} -->`;
}

/** @returns what no HTML comment ends with */
export function nameOf(name: string): string {
  return name.replaceAll('--', '- -').slice(0, 200);
}

export function commentOf(account: Account, commit: string): string {
  return `${markOf(account)}\n**${literal(account.name)}**: ${literal(account.title)}\n\n${cutText(account.text)}\n\nAt ${commit}.`;
}

export function cutText(text: string): string {
  return text.length <= TEXT_CHARACTERS ? text : `${text.slice(0, TEXT_CHARACTERS)}\n\n… cut here`;
}

/** With nothing in it that is markup, a mention or a reference. */
function literal(text: string): string {
  return text.replace(/[\\`*_{}[\]<>()#!|@~&%$]/g, '\\$&');
}

/**
 * Two messages about one commit may be handled at once, and neither finds what the other is about to write. So this searches once more after
 * writing, and keeps the first of two comments: everybody finds the same one.
 * @returns the id of what stays
 */
export async function keepFirst<Id extends number | string>(
  made: Id,
  o: { find(): Promise<Id | null>; change(first: Id): Promise<boolean>; remove(made: Id): Promise<void> },
): Promise<Id> {
  const first = await o.find();
  if (first === null || first === made || !(await o.change(first))) return made;
  await o.remove(made);
  return first;
}

/** As many as both forges give at once. */
const PAGE_COUNT = 100;

/**
 * Looks through what was written, a page after the other, for what Weft has written itself.
 * @param pages how many at most
 * @param isOwn anybody may write our mark into a text, so the author counts
 */
export async function findOwn<Comment extends { readonly id: number }>(
  pages: number,
  read: (page: number) => Promise<readonly Comment[]>,
  isOwn: (comment: Comment) => boolean,
): Promise<number | null> {
  for (let page = 1; page <= pages; page++) {
    const comments = await read(page);
    const own = comments.find(isOwn);
    if (own !== undefined) return own.id;
    if (comments.length < PAGE_COUNT) return null;
  }
  return null;
}
