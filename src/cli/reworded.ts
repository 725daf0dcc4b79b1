/**
 * Files that were applied with these bytes and run all the same: because the words of weft.yaml have changed, or because another file
 * came after them. Pure.
 */
import type { Foresight } from '../domain/foresight.ts';
import { listSome, oneLine } from '../words/text.ts';

const OBJECTS_SHOWN = 3;

type Finding = Foresight['findings'][number];

function wordOf(value: unknown): string {
  return value === null || value === undefined ? 'not said' : oneLine(Array.isArray(value) ? value.join(', ') : String(value));
}

/** `into a then`: what the words were that are others now. */
function wordsThen(words: unknown): string {
  return Object.entries((words ?? {}) as Readonly<Record<string, readonly unknown[]>>)
    .map(([word, [before]]) => `${word} ${wordOf(before)}`)
    .join(', ');
}

/** What follows a file's line in a plan. */
export function remarkOnWords(finding: Finding | undefined): string {
  if (finding === undefined) return '';
  const { does, words, table, table_before: before } = finding.data;
  const then = wordsThen(words);
  switch (does) {
    case 'follows':
      return `into the same table, whose name has changed: ${then} when it was applied`;
    case 'looks':
      return `unless that is ${wordOf(before)} by another name: it was loaded into that`;
    case 'runs':
      return table === undefined ? `when it was applied: ${then}` : `it was loaded into ${wordOf(before)}, whose rows stay`;
    case 'refused':
      return `when it was applied: ${then}`;
    default:
      return `when it was applied: ${then}; what it has done is not done again`;
  }
}

/** For a file whose objects another one has made anew since. */
export function remarkOnLater(data: Finding['data'] | undefined): string {
  if (data === undefined) return '';
  const names = (data.objects as readonly { readonly name: string }[]).map(({ name }) => oneLine(name));
  return `${listSome(names, OBJECTS_SHOWN)} ${names.length === 1 ? 'is' : 'are'} as ${oneLine(String(data.by))} has left ${names.length === 1 ? 'it' : 'them'}, which is gone from the bundle`;
}
