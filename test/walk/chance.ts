/** What happens next, by chance: of what makes sense where the walk stands. A day follows from the seed, its number, and where the walk stands. */
import { randomOf } from '../chaos/plan.ts';
import { type File, isCode, isOnce, isRepeatable, isStuck, type Kind, type Values } from './files.ts';
import { editFolder, type FileEdit, isInUse } from './folder.ts';
import { DROPS } from './held.ts';
import type { Blow, ByHand, Day, Deed, Edit } from './history.ts';
import { recordable } from './recording.ts';
import type { State } from './state.ts';

type Random = () => number;

/** How often each kind is added, beside each other. */
const KINDS: Readonly<Record<Kind, number>> = {
  table: 3,
  list: 2,
  anew: 2,
  column: 5,
  index: 3,
  rows: 2,
  update: 2,
  retype: 2,
  enum: 1,
  view: 8,
  function: 3,
  trigger: 2,
  matview: 2,
  policy: 2,
  mindex: 2,
  key: 2,
  bound: 1,
  load: 2,
  batch: 2,
  apart: 2,
  check: 1,
  rights: 1,
  gindex: 1,
  gview: 2,
};

const NEW_FOLDER_FILES = 4;

/** What a team does more often than others do, by how much. Each walk is with one of them. */
const TEMPERS = [
  { code: 1, hand: 1, undo: 1, blow: 1, cut: 1, rename: 1, phase: 1, move: 1, record: 1, resume: 1, given: 1 },
  { code: 1, hand: 4, undo: 1.5, blow: 1, cut: 1, rename: 1, phase: 1, move: 1, record: 1, resume: 1, given: 1 },
  { code: 1, hand: 1, undo: 4, blow: 1, cut: 1, rename: 1, phase: 1, move: 1, record: 1, resume: 1, given: 1 },
  { code: 3, hand: 1, undo: 1.5, blow: 1, cut: 1, rename: 3, phase: 1, move: 1, record: 1, resume: 1, given: 1 },
  { code: 2, hand: 1, undo: 1.5, blow: 3, cut: 3, rename: 1, phase: 3, move: 1, record: 1, resume: 1, given: 1 },
  { code: 2, hand: 3, undo: 3, blow: 1, cut: 2, rename: 1, phase: 2, move: 3, record: 2, resume: 3, given: 3 },
] as const satisfies readonly Temper[];

export type Trait = 'code' | 'hand' | 'undo' | 'blow' | 'cut' | 'rename' | 'phase' | 'move' | 'record' | 'resume' | 'given';

type Temper = Readonly<Record<Trait, number>>;

/** @param often what is done more often than chance would have it */
export function makeDay(seed: number, number: number, state: State, often: Partial<Temper> = {}): Day {
  const random = randomOf(seed * 1_000_003 + number);
  const temper = { ...(pick(randomOf(seed), TEMPERS) ?? TEMPERS[0]), ...often };
  const edits: Edit[] = [];
  let { folder } = state;
  const count = folder.files.size === 0 ? NEW_FOLDER_FILES : 1 + Math.floor(random() * 5);
  for (let tries = 0; edits.length < count && tries < 60; tries += 1) {
    const edit = makeEdit(random, temper, { ...state, folder }, number, number * 10 + edits.length, number < 4 || edits.length > 0);
    if (edit === null) continue;
    const edited = editFolder(folder, edit, state);
    if (edited === folder && edit.do !== 'hand' && edit.do !== 'unhand' && edit.do !== 'open' && edit.do !== 'checkout') continue;
    folder = edit.do === 'checkout' ? (state.folders.get(edit.day) ?? folder) : edited;
    edits.push(edit);
  }
  return { number, edits, deed: makeDeed(random, temper, { ...state, folder }) };
}

function makeEdit(random: Random, temper: Temper, state: State, number: number, id: number, isEarly: boolean): Edit | null {
  const { folder, hands } = state;
  const files = [...folder.files.values()];
  const stuck = files.find((file) => isStuck(file) && !state.opened.has(file.id) && !(folder.isTolerant && random() < 0.5));
  if (stuck !== undefined && random() < 0.4) return { do: random() < 0.7 ? 'open' : 'change', id: stuck.id };
  const wounded = files.find(({ isBroken, isTampered }) => isBroken || isTampered);
  if (wounded !== undefined && random() < 0.5) return { do: wounded.isBroken ? 'mend' : 'restore', id: wounded.id };
  const of = (what: FileEdit, among: readonly File[]): Edit | null => {
    const file = pick(random, among);
    return file === undefined ? null : { do: what, id: file.id };
  };
  return weighed<() => Edit | null>(random, [
    [files.length === 0 ? 100 : 40, () => makeFile(random, temper, state, id)],
    [25 * temper.code, () => of('change', files.filter(isRepeatable))],
    [
      3 * (temper.resume - 1),
      () =>
        of(
          'change',
          files.filter((file) => isStuck({ ...file, version: file.version + 1 })),
        ),
    ],
    [4, () => of('reword', files)],
    [
      4 * temper.rename,
      () =>
        of(
          'rename',
          files.filter((file) => isOnce(file) || isRepeatable(file)),
        ),
    ],
    [
      4,
      () =>
        of(
          'remove',
          files.filter((file) => isCode(file) && !isInUse(folder, file.id)),
        ),
    ],
    [
      1,
      () =>
        of(
          'remove',
          files.filter((file) => !isInUse(folder, file.id)),
        ),
    ],
    [isEarly ? 0 : 2, () => ({ do: 'checkout', day: Math.max(1, number - 1 - Math.floor(random() * 5)) })],
    [10, () => of('break', files)],
    [4, () => of('tamper', files)],
    [3, () => ({ do: 'rule', rule: pick(random, ['single', 'per-step', 'auto'] as const) ?? 'single' })],
    [2 * temper.given, () => ({ do: 'set', values: makeValues(random) })],
    [temper.phase, () => ({ do: 'layout', layout: pick(random, ['one', 'apart', 'first', 'late', 'bare'] as const) ?? 'one' })],
    [temper.phase * temper.resume, () => ({ do: 'tolerate', isTolerant: temper.resume > 1 ? random() < 0.8 : !folder.isTolerant })],
    [4 * temper.hand, () => makeHand(random, state, id)],
    [hands.length === 0 ? 0 : 6 * temper.hand, () => ({ do: 'unhand', id: pick(random, hands)?.id ?? 0 })],
  ])();
}

const makeValues = (random: Random): Values => ({
  word: pick(random, ['none', 'one', 'two']) ?? 'none',
  count: 1 + Math.floor(random() * 3),
  gate: random() < 0.6 ? 'open' : 'shut',
});

function makeFile(random: Random, temper: Temper, { folder: { files }, held }: State, id: number): Edit | null {
  const all = [...files.values()];
  const kind = weighed(
    random,
    Object.entries(KINDS).map(([name, weight]) => [isCode({ kind: name as Kind }) ? weight * temper.code : weight, name as Kind] as const),
  );
  const one = (...kinds: Kind[]): number[] | null => {
    const found = pick(
      random,
      all.filter((file) => kinds.includes(file.kind)),
    );
    return found === undefined ? null : [found.id];
  };
  const add = (parents: readonly number[] | null): Edit | null => (parents === null ? null : { do: 'add', id, kind, parents });
  switch (kind) {
    case 'table':
    case 'list':
      return add([]);
    case 'rights':
      return held.areGiven || all.some((file) => file.kind === 'rights') ? null : add([]);
    case 'anew': {
      const kept = new Set([...all, ...held.ran].filter((file) => file.kind === 'load' && !isRepeatable(file)).map(({ parents }) => parents[0]?.id));
      const list = pick(
        random,
        all.filter((file) => file.kind === 'list' && !kept.has(file.id)),
      );
      return list === undefined ? null : add([list.id]);
    }
    case 'load': {
      const taken = new Set([...all, ...held.ran].filter((file) => file.kind === 'load').map(({ parents }) => parents[0]?.id));
      const list = pick(
        random,
        all.filter((file) => file.kind === 'list' && !taken.has(file.id)),
      );
      return list === undefined ? null : add([list.id]);
    }
    case 'view': {
      const over = one('table', 'table', 'view');
      const uses = random() < 0.4 ? one('function') : null;
      return add(over === null ? null : [...over, ...(uses ?? [])]);
    }
    case 'function':
      return add(random() < 0.5 ? [] : one('view'));
    case 'matview':
    case 'gview':
      return add(one('table', 'view'));
    case 'mindex':
      return add(one('matview'));
    case 'policy': {
      const over = one('table');
      const uses = random() < 0.5 ? one('function') : null;
      return add(over === null ? null : [...over, ...(uses ?? [])]);
    }
    case 'key': {
      const from = one('table');
      return add(from === null ? null : [...from, ...(one('table') ?? [])]);
    }
    case 'batch': {
      const taken = new Set([...all, ...held.ran].filter((file) => file.kind === 'batch').map(({ parents }) => parents[0]?.id));
      const column = pick(
        random,
        all.filter((file) => file.kind === 'column' && !taken.has(file.id)),
      );
      return column === undefined ? null : add([column.id]);
    }
    default:
      return add(one('table'));
  }
}

function makeHand(random: Random, { held }: State, id: number): Edit | null {
  const what = pick(random, [
    'table',
    'index',
    'comment',
    'default',
    'column',
    'grant',
    'say',
    'give',
    'say',
    'give',
    'drop',
    'drop',
    'noindex',
    'body',
  ] as const) as ByHand;
  if (what === 'table') return { do: 'hand', id, what, on: 0 };
  const code = [...held.code.values()];
  const among =
    what === 'drop'
      ? code.filter(({ kind }) => DROPS[kind] !== undefined)
      : what === 'say' || what === 'give'
        ? code.filter(({ kind }) => kind === 'view' || (kind === 'matview' && what === 'say'))
        : what === 'body'
          ? code.filter(({ kind, parents }) => kind === 'function' && parents.length === 0)
          : held.ran.filter(({ kind }) => kind === (what === 'noindex' ? 'index' : 'table'));
  const on = pick(random, among);
  return on === undefined ? null : { do: 'hand', id, what, on: on.id };
}

function makeDeed(random: Random, temper: Temper, state: State): Deed {
  const deploys = (): Deed => ({
    do: 'deploy',
    isRehearsed: random() < 0.4,
    isRepeated: random() < 0.3,
    ...(random() < 0.05 && { isBeside: true }),
    ...(random() < 0.1 * temper.cut && { upTo: Math.round(random() * 100) / 100 }),
    ...(random() < 0.06 ? { isTwice: true } : blowOf(random, temper)),
  });
  if (state.isHalfWay) return { do: 'deploy', isRehearsed: false, isRepeated: false };
  return weighed<() => Deed>(random, [
    [70, deploys],
    [
      18 * temper.undo,
      () => {
        const isPartly = random() < 0.5;
        return { do: 'undo', ...(isPartly && { isPartly }), ...blowOf(random, temper) };
      },
    ],
    [
      recordable(state.folder, state).length === 0 ? 0 : 8 * temper.record,
      () => ({ do: 'baseline', id: pick(random, recordable(state.folder, state))?.id ?? 0 }),
    ],
    [state.recorded.length === 0 ? 0 : 6 * temper.record, () => ({ do: 'withdraw' })],
    [2 * temper.record, () => ({ do: 'mistake', id: pick(random, [...state.folder.files.values()])?.id ?? 0 })],
    [
      state.deployed.some(({ failed }) => failed.size > 0) ? 12 * temper.resume : 0,
      () => ({ do: 'resume', back: random() < 0.7 ? 0 : Math.floor(random() * 3), ...blowOf(random, temper) }),
    ],
    [3, () => ({ do: 'other', what: random() < 0.7 ? 'deploy' : 'undo' })],
    [temper.move, () => ({ do: 'move', how: random() < 0.5 ? 'copy' : 'dump', ...(random() < 0.5 && { amidMs: Math.round(random() * 200) }) })],
    [4, () => ({ do: 'rehearse' })],
    [4, () => ({ do: 'accept' })],
    [4, () => ({ do: 'nothing' })],
  ])();
}

function blowOf(random: Random, { blow }: Temper): { blow?: Blow } {
  const roll = random() / blow;
  const afterMs = Math.round(random() * 120);
  if (roll < 0.12) return { blow: { kind: 'kill', afterMs } };
  if (roll < 0.15) return { blow: { kind: 'lock', afterMs, forMs: 200 + Math.round(random() * 600) } };
  return roll < 0.2 ? { blow: { kind: 'cancel', afterMs } } : {};
}

function pick<T>(random: Random, among: readonly T[]): T | undefined {
  return among[Math.floor(random() * among.length)];
}

function weighed<T>(random: Random, among: readonly (readonly [weight: number, what: T])[]): T {
  const total = among.reduce((sum, [weight]) => sum + weight, 0);
  let at = random() * total;
  for (const [weight, what] of among) {
    at -= weight;
    if (at < 0) return what;
  }
  return (among.at(-1) as readonly [number, T])[1];
}
