/** What happens next, by chance: of what makes sense where the walk stands. A day follows from the seed, its number, and where the walk stands. */
import { randomOf } from '../chaos/plan.ts';
import { type File, isCode, isOnce, isRepeatable, type Kind } from './files.ts';
import { editFolder, isInUse } from './folder.ts';
import { type Hand, ranOnce } from './held.ts';
import type { Blow, Day, Deed, Edit } from './history.ts';
import type { State } from './state.ts';

type Random = () => number;

/** How often each kind is added, beside each other. */
const KINDS: Readonly<Record<Kind, number>> = {
  table: 3,
  list: 1,
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
  load: 2,
  batch: 2,
  apart: 2,
  check: 1,
  rights: 1,
};

const NEW_FOLDER_FILES = 4;

export function makeDay(seed: number, number: number, state: State): Day {
  const random = randomOf(seed * 1_000_003 + number);
  const edits: Edit[] = [];
  let { folder } = state;
  const applied = ranOnce(state.held);
  const count = folder.files.size === 0 ? NEW_FOLDER_FILES : 1 + Math.floor(random() * 5);
  for (let tries = 0; edits.length < count && tries < 60; tries += 1) {
    const edit = makeEdit(random, { ...state, folder }, number, number * 10 + edits.length, number < 4 || edits.length > 0);
    if (edit === null) continue;
    const edited = editFolder(folder, edit, applied);
    if (edited === folder && edit.do !== 'hand' && edit.do !== 'unhand' && edit.do !== 'checkout') continue;
    folder = edit.do === 'checkout' ? (state.folders.get(edit.day) ?? folder) : edited;
    edits.push(edit);
  }
  return { number, edits, deed: makeDeed(random, state) };
}

function makeEdit(random: Random, state: State, number: number, id: number, isEarly: boolean): Edit | null {
  const { folder, hands } = state;
  const files = [...folder.files.values()];
  const wounded = files.find(({ isBroken, isTampered }) => isBroken || isTampered);
  if (wounded !== undefined && random() < 0.5) return { do: wounded.isBroken ? 'mend' : 'restore', id: wounded.id };
  const of = (what: Exclude<Edit['do'], 'add' | 'rule' | 'hand' | 'unhand' | 'checkout'>, among: readonly File[]): Edit | null => {
    const file = pick(random, among);
    return file === undefined ? null : { do: what, id: file.id };
  };
  return weighed<() => Edit | null>(random, [
    [files.length === 0 ? 100 : 40, () => makeFile(random, state, id)],
    [25, () => of('change', files.filter(isRepeatable))],
    [4, () => of('reword', files)],
    [4, () => of('rename', files.filter(isOnce))],
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
    [4, () => makeHand(random, state, id)],
    [hands.length === 0 ? 0 : 6, () => ({ do: 'unhand', id: pick(random, hands)?.id ?? 0 })],
  ])();
}

function makeFile(random: Random, { folder: { files }, held }: State, id: number): Edit | null {
  const all = [...files.values()];
  const kind = weighed(
    random,
    Object.entries(KINDS).map(([name, weight]) => [weight, name as Kind] as const),
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
      return all.some((file) => file.kind === 'rights') ? null : add([]);
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
      return add(one('table', 'view'));
    case 'batch':
      return add(one('column'));
    default:
      return add(one('table'));
  }
}

function makeHand(random: Random, { held }: State, id: number): Edit | null {
  const what = pick(random, ['table', 'index', 'comment', 'default', 'drop'] as const) as Hand['what'];
  const view = pick(
    random,
    [...held.code.values()].filter(({ kind }) => kind === 'view'),
  );
  if (what === 'drop') return view === undefined ? null : { do: 'hand', id, what, on: view.id };
  if (what === 'table') return { do: 'hand', id, what, on: 0 };
  const table = pick(
    random,
    held.ran.filter(({ kind }) => kind === 'table'),
  );
  return table === undefined ? null : { do: 'hand', id, what, on: table.id };
}

function makeDeed(random: Random, state: State): Deed {
  const deploys = (): Deed => ({
    do: 'deploy',
    isRehearsed: random() < 0.4,
    isRepeated: random() < 0.3,
    ...(random() < 0.1 && { upTo: Math.round(random() * 100) / 100 }),
    ...blowOf(random),
  });
  if (state.isHalfWay) return { do: 'deploy', isRehearsed: false, isRepeated: false };
  return weighed<() => Deed>(random, [
    [70, deploys],
    [18, () => ({ do: 'undo', ...blowOf(random) })],
    [4, () => ({ do: 'rehearse' })],
    [4, () => ({ do: 'accept' })],
    [4, () => ({ do: 'nothing' })],
  ])();
}

function blowOf(random: Random): { blow?: Blow } {
  const roll = random();
  const afterMs = Math.round(random() * 120);
  if (roll < 0.12) return { blow: { kind: 'kill', afterMs } };
  return roll < 0.17 ? { blow: { kind: 'cancel', afterMs } } : {};
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
