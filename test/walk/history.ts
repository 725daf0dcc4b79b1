/**
 * What happens on the days of a walk: what is edited, by whom, and what is done with it. A day says what it is about by number, so that it can still be played, or does
 * nothing, when other days are taken out.
 */
import type { Parent } from './files.ts';

export type Edit =
  /** Files of the bundle. */
  | { readonly do: 'add'; readonly id: number; readonly kind: Parent['kind']; readonly parents: readonly number[] }
  | { readonly do: 'change' | 'reword' | 'rename' | 'remove' | 'break' | 'mend' | 'tamper' | 'restore'; readonly id: number }
  /** The folder as it was behind an earlier day. */
  | { readonly do: 'checkout'; readonly day: number }
  /** The transaction rule of the phases with schema and code. */
  | { readonly do: 'rule'; readonly rule: Rule }
  /** The database, by hand. */
  | { readonly do: 'hand'; readonly id: number; readonly what: 'table' | 'index' | 'comment' | 'default' | 'drop'; readonly on: number }
  | { readonly do: 'unhand'; readonly id: number };

export type Rule = 'single' | 'per-step' | 'auto';

export type Deed =
  | { readonly do: 'nothing' | 'rehearse' | 'accept' }
  | {
      readonly do: 'deploy';
      /** No further than this share of the steps. */
      readonly upTo?: number | undefined;
      readonly blow?: Blow | undefined;
      readonly isRehearsed: boolean;
      /** Whether it is deployed once more behind it. */
      readonly isRepeated: boolean;
    }
  | { readonly do: 'undo'; readonly blow?: Blow | undefined };

/** What meets a deployment, so many milliseconds behind its beginning. */
export interface Blow {
  readonly kind: 'kill' | 'cancel';
  readonly afterMs: number;
}

export interface Day {
  readonly number: number;
  readonly edits: readonly Edit[];
  readonly deed: Deed;
}

/** A day in words. */
export function describeDay({ number, edits, deed }: Day): string {
  return `day ${number}: ${[...edits.map(describeEdit), describeDeed(deed)].join('; ')}`;
}

function describeEdit(edit: Edit): string {
  switch (edit.do) {
    case 'add':
      return `add ${edit.kind} ${edit.id}${edit.parents.length > 0 ? ` on ${edit.parents.join(', ')}` : ''}`;
    case 'rule':
      return `transaction: ${edit.rule}`;
    case 'checkout':
      return `the folder as on day ${edit.day}`;
    case 'hand':
      return `by hand: ${edit.what} ${edit.id}${edit.what === 'table' ? '' : ` on ${edit.on}`}`;
    case 'unhand':
      return `by hand: ${edit.id} taken back`;
    default:
      return `${edit.do} ${edit.id}`;
  }
}

function describeDeed(deed: Deed): string {
  if (deed.do === 'deploy')
    return `deploy${deed.isRehearsed ? ', rehearsed' : ''}${deed.isRepeated ? ', and again' : ''}${deed.upTo === undefined ? '' : `, up to ${deed.upTo}`}${describeBlow(deed.blow)}`;
  if (deed.do === 'undo') return `undo${describeBlow(deed.blow)}`;
  return deed.do;
}

const describeBlow = (blow: Blow | undefined): string => (blow === undefined ? '' : `, ${blow.kind} after ${blow.afterMs} ms`);
