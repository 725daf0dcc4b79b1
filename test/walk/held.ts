/** What the database holds, as far as the walk knows: what ran, in its order. Of that, plain SQL makes the same database again. */
import { bodyText, dropsFirst, type File, isCode, type Kind, loadMode, type Parent, ranText, relationOf, textOf } from './files.ts';
import type { ByHand } from './history.ts';

export interface Held {
  /** What ran once, data and batches, in the order in which it ran. */
  readonly ran: readonly File[];
  /** What runs again, as it ran last; also what is gone from the folder since. */
  readonly code: ReadonlyMap<number, File>;
  /** What was dropped of that, and nobody has made again: the history has it all the same, as it ran last. */
  readonly lost: ReadonlyMap<number, File>;
  /** What ran once and went with its table, and is in the history still: an undo has left it there. */
  readonly ghosts: ReadonlySet<number>;
  /** Relations that everybody may read. */
  readonly readable: ReadonlySet<string>;
  /** Whether the file has run that gives these rights. */
  readonly areGiven: boolean;
}

export interface Hand {
  readonly id: number;
  readonly what: ByHand;
  readonly on: number;
  /** What had run once when a column was added: it stands behind that, and in front of what came later. */
  readonly behind?: readonly number[] | undefined;
  /** What somebody has dropped: the files that made it. */
  readonly along?: readonly number[] | undefined;
}

/** What somebody gives to that which runs again: it comes back with what went along, and goes with what its own file drops. */
export const isMark = ({ what }: Pick<Hand, 'what'>): boolean => what === 'say' || what === 'give';

export const NOTHING: Held = { ran: [], code: new Map(), lost: new Map(), ghosts: new Set(), readable: new Set(), areGiven: false };

export const ranOnce = ({ ran, ghosts }: Held): ReadonlySet<number> => new Set([...ran.map(({ id }) => id), ...ghosts]);

/** How a file that runs again ran last. */
export function lastRun({ ran, code }: Held, { id }: File): File | undefined {
  return code.get(id) ?? ran.findLast((file) => file.id === id);
}

/** What goes along with what these files drop before they make it anew: views, functions and the like, by the files that made them. */
export function dropAlong({ code }: Held, ran: readonly File[]): ReadonlySet<number> {
  const along = new Set<number>();
  const drop = (id: number): void => {
    for (const user of code.values()) {
      if (!user.parents.some((parent) => parent.id === id) || along.has(user.id)) continue;
      along.add(user.id);
      drop(user.id);
    }
  };
  for (const file of ran) {
    for (const view of file.inTheWay) {
      if (code.has(view)) along.add(view);
      drop(view);
    }
    if (isCode(file) && code.has(file.id) && dropsFirst(file)) drop(file.id);
  }
  return along;
}

/** Without what went along. */
export function withoutAlong(held: Held, along: ReadonlySet<number>): Held {
  const gone = [...held.code].filter(([id]) => along.has(id));
  return { ...held, code: new Map([...held.code].filter(([id]) => !along.has(id))), lost: new Map([...held.lost, ...gone]) };
}

/** Without what somebody drops of that which runs again, and with it what uses it. */
export function withoutCode(held: Held, id: number): { readonly held: Held; readonly along: readonly number[] } {
  const file = held.code.get(id);
  const along = new Set(file === undefined ? [] : [id, ...dropAlong(held, [{ ...file, inTheWay: [id] }])]);
  return { held: withoutAlong(held, along), along: [...along] };
}

/** What can be dropped by hand, with what uses it. */
export const DROPS: Partial<Readonly<Record<Kind, (id: number) => string>>> = {
  view: (id) => `drop view v${id} cascade`,
  matview: (id) => `drop materialized view m${id} cascade`,
  function: (id) => `drop function f${id} cascade`,
  trigger: (id) => `drop function g${id} cascade`,
  mindex: (id) => `drop index y${id}`,
};

/** Behind a step that has succeeded. */
export function holdMore(held: Held, file: File): Held {
  if (file.kind === 'check') return held;
  if (file.kind === 'rights') return giveRights(held);
  if (isCode(file)) return { ...held, code: new Map(held.code).set(file.id, file), lost: new Map([...held.lost].filter(([id]) => id !== file.id)) };
  const readable = file.kind === 'anew' ? withoutMadeAnew(held.readable, [file]) : held.readable;
  return { ...held, ran: [...held.ran, file], readable };
}

/** What is made anew has no rights any more. */
export function withoutMadeAnew(readable: ReadonlySet<string>, ran: readonly File[]): ReadonlySet<string> {
  const anew = new Set(ran.flatMap(({ kind, parents: [list] }) => (kind === 'anew' && list !== undefined ? [relationOf(list)] : [])));
  return new Set([...readable].filter((name) => !anew.has(name)));
}

/** Data that is brought in line comes back into a table that was made anew in front of it. */
export function isEmptied({ ran }: Held, { kind, parents: [list] }: File): boolean {
  const last = ran.findLast((file) => (file.kind === 'load' || file.kind === 'anew') && file.parents[0]?.id === list?.id);
  return kind === 'load' && last?.kind === 'anew';
}

/** Everybody may read what is there. */
export const giveRights = (held: Held): Held => ({ ...held, readable: new Set(relationsOf(held)), areGiven: true });

function relationsOf({ ran, code }: Held): string[] {
  return [...ran, ...code.values()].filter(({ kind }) => ['table', 'list', 'view', 'matview', 'gview'].includes(kind)).map(relationOf);
}

/** The SQL that makes it again, each text in a transaction of its own. */
export function remake(held: Held, hands: readonly Hand[]): string[] {
  const columns = hands.filter(({ what }) => what === 'column');
  const inFront = (id: number): string[] => {
    const first = columns.filter(({ behind }) => behind?.includes(id) !== true);
    for (const hand of first) columns.splice(columns.indexOf(hand), 1);
    return first.map((hand) => handText(hand, held));
  };
  const texts = held.ran.flatMap((file) => [
    ...inFront(file.id),
    file.kind === 'load' ? loadText(file) : file.kind === 'batch' ? batchText(file) : ranText(file),
  ]);
  const grants = relationsOf(held)
    .filter((name) => held.readable.has(name))
    .map((name) => `grant select on ${name} to public;`);
  const behind = hands.filter((hand) => hand.what !== 'column' || columns.includes(hand)).map((hand) => handText(hand, held));
  return [...texts, ...inOrder(held.code).map(ranText), ...grants, ...behind];
}

/** What uses others comes behind them, which have smaller numbers. */
const inOrder = (code: Held['code']): File[] => [...code.values()].sort((a, b) => a.id - b.id);

function loadText(file: File): string {
  const into = relationOf(file.parents[0] as Parent);
  const rows = textOf(file).trim().split('\n').slice(1);
  const values = rows.map((row) => row.split(',')).map(([code, n]) => `('${code}', ${n})`);
  return `${loadMode(file) === 'sync' ? `delete from ${into}; ` : ''}insert into ${into} (code, n) values ${values.join(', ')};`;
}

const batchText = (file: File): string => ranText(file).replace(/ limit :size/, '');

export function handText({ id, what, on }: Hand, { code }: Held): string {
  switch (what) {
    case 'table':
      return `create schema hand${id}; create table hand${id}.h (n int);`;
    case 'index':
      return `create index h${id} on t${on} (b);`;
    case 'comment':
      return `comment on table t${on} is 'by hand ${id}';`;
    case 'default':
      return `alter table t${on} alter column b set default 'by hand ${id}';`;
    case 'column':
      return `alter table t${on} add column h${id} int;`;
    case 'grant':
      return `grant insert on t${on} to public;`;
    case 'say':
      return `comment on ${code.get(on)?.kind === 'view' ? 'view' : 'materialized view'} ${relationOf(code.get(on) as File)} is 'by hand ${id}';`;
    case 'give':
      return `grant update on v${on} to public;`;
    case 'noindex':
      return `drop index i${on};`;
    case 'body':
      return bodyText(code.get(on) as File, `(x - ${id})`);
    case 'drop':
      return '';
  }
}

export function unhandText({ id, what, on }: Hand, { ran, code }: Held): string {
  switch (what) {
    case 'table':
      return `drop schema hand${id} cascade;`;
    case 'index':
      return `drop index h${id};`;
    case 'comment':
      return `comment on table t${on} is null;`;
    case 'default':
      return `alter table t${on} alter column b drop default;`;
    case 'column':
      return `alter table t${on} drop column h${id};`;
    case 'grant':
      return `revoke insert on t${on} from public;`;
    case 'say':
      return `comment on ${code.get(on)?.kind === 'view' ? 'view' : 'materialized view'} ${relationOf(code.get(on) as File)} is null;`;
    case 'give':
      return `revoke update on v${on} from public;`;
    case 'noindex':
      return textOf(ran.find((file) => file.id === on) as File);
    case 'body':
      return bodyText(code.get(on) as File, `(x + ${code.get(on)?.version})`);
    case 'drop':
      return '';
  }
}

/** Whether what it hangs on is there, or what was dropped is not. */
export function isHandThere({ what, on, along }: Hand, { ran, code }: Held): boolean {
  if (what === 'drop') return along?.some((id) => !code.has(id)) === true;
  if (what === 'body' || isMark({ what })) return code.has(on);
  return what === 'table' || ran.some(({ id }) => id === on);
}

/** What of it is there still, behind what was run. */
export function handsBehind(hands: readonly Hand[], held: Held, ran: ReadonlySet<number>): readonly Hand[] {
  return hands.filter((hand) => isHandThere(hand, held) && !(hand.what === 'body' && ran.has(hand.on)));
}
