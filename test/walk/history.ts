/**
 * What happens on the days of a walk: what is edited, by whom, and what is done with it. A day says what it is about by number, so that it can still be played, or does
 * nothing, when other days are taken out.
 */
import type { Parent, Values } from './files.ts';

export type Edit =
  /** Files of the bundle. */
  | { readonly do: 'add'; readonly id: number; readonly kind: Parent['kind']; readonly parents: readonly number[] }
  | { readonly do: 'change' | 'reword' | 'rename' | 'remove' | 'break' | 'mend' | 'tamper' | 'restore'; readonly id: number }
  /** The folder as it was behind an earlier day. */
  | { readonly do: 'checkout'; readonly day: number }
  /** The transaction rule of the phases with schema and code, which phases those are, and whether code may fail. */
  | { readonly do: 'rule'; readonly rule: Rule }
  | { readonly do: 'set'; readonly values: Values }
  | { readonly do: 'layout'; readonly layout: Layout }
  | { readonly do: 'tolerate'; readonly isTolerant: boolean }
  /** The database, by hand. */
  | { readonly do: 'hand'; readonly id: number; readonly what: ByHand; readonly on: number }
  | { readonly do: 'unhand'; readonly id: number }
  /** The way for a file that is stuck. */
  | { readonly do: 'open'; readonly id: number };

/**
 * What somebody makes: a table in a schema of its own; on a table an index, a comment, a default, a column, a right; on a view a comment, a right. Or takes away: what
 * runs again and again, an index. Or writes otherwise: a function.
 */
export type ByHand = 'table' | 'index' | 'comment' | 'default' | 'column' | 'grant' | 'say' | 'give' | 'drop' | 'noindex' | 'body';

/** All of it in one phase; data and code in phases of their own; code in front of data; what nothing else uses in a phase behind, also without transactions. */
export type Layout = 'one' | 'apart' | 'first' | 'late' | 'bare';

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
      /** Whether another bundle goes to the same database at the same time. */
      readonly isBeside?: boolean | undefined;
      /** Whether it is sent twice at the same time. */
      readonly isTwice?: boolean | undefined;
    }
  /** What a file does is done by hand, and recorded as applied. */
  | { readonly do: 'baseline'; readonly id: number }
  /** The newest baseline is withdrawn; or one is recorded and withdrawn at once. */
  | { readonly do: 'withdraw' }
  | { readonly do: 'mistake'; readonly id: number }
  /** A bundle of its own, which shares no more than the database. */
  | { readonly do: 'other'; readonly what: 'deploy' | 'undo' }
  /** What failed in a degraded deployment is tried again: in the newest of them, or in one of so many before it. */
  | { readonly do: 'resume'; readonly back: number; readonly blow?: Blow | undefined }
  /** The database becomes another one: a copy of its files, or what a dump brings; with a deployment under way for so long. */
  | { readonly do: 'move'; readonly how: 'copy' | 'dump'; readonly amidMs?: number | undefined }
  /** Also where something has no undo: that stays. */
  | { readonly do: 'undo'; readonly isPartly?: boolean | undefined; readonly blow?: Blow | undefined };

/** What meets a deployment, so many milliseconds behind its beginning. A lock is on all tables, and is held for a while. */
export type Blow = { readonly kind: 'kill' | 'cancel'; readonly afterMs: number } | { readonly kind: 'lock'; readonly afterMs: number; readonly forMs: number };

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
    case 'set':
      return `--set ${Object.entries(edit.values)
        .map(([name, value]) => `${name}=${value}`)
        .join(' ')}`;
    case 'layout':
      return `layout: ${edit.layout}`;
    case 'tolerate':
      return edit.isTolerant ? 'code may fail' : 'code may not fail';
    case 'checkout':
      return `the folder as on day ${edit.day}`;
    case 'hand':
      return `by hand: ${edit.what} ${edit.id}${edit.what === 'table' ? '' : ` on ${edit.on}`}`;
    case 'open':
      return `by hand: the way for ${edit.id} opened`;
    case 'unhand':
      return `by hand: ${edit.id} taken back`;
    default:
      return `${edit.do} ${edit.id}`;
  }
}

function describeDeed(deed: Deed): string {
  if (deed.do === 'deploy')
    return `deploy${deed.isRehearsed ? ', rehearsed' : ''}${deed.isRepeated ? ', and again' : ''}${deed.upTo === undefined ? '' : `, up to ${deed.upTo}`}${deed.isBeside === true ? ', beside another' : ''}${deed.isTwice === true ? ', twice at once' : ''}${describeBlow(deed.blow)}`;
  if (deed.do === 'resume') return `resume${deed.back === 0 ? '' : ` the degraded one ${deed.back} before the newest`}${describeBlow(deed.blow)}`;
  if (deed.do === 'undo') return `undo${deed.isPartly === true ? ', partly' : ''}${describeBlow(deed.blow)}`;
  if (deed.do === 'baseline') return `baseline ${deed.id}`;
  if (deed.do === 'move') return `move by ${deed.how}${deed.amidMs === undefined ? '' : `, ${deed.amidMs} ms behind the beginning of a deployment`}`;
  if (deed.do === 'mistake') return `baseline ${deed.id} by mistake, and withdrawn`;
  if (deed.do === 'other') return `${deed.what} another bundle`;
  return deed.do;
}

const describeBlow = (blow: Blow | undefined): string =>
  blow === undefined ? '' : `, ${blow.kind} after ${blow.afterMs} ms${blow.kind === 'lock' ? ` for ${blow.forMs} ms` : ''}`;
