/** An account as a comment in Markdown, as every forge shows it: with a mark, by which it is found again. */
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
