/** The folder of the team: the files that it holds, what an edit makes of them, and the bundle of it. */
import {
  dropsFirst,
  type File,
  hasUndo,
  isCode,
  isOnce,
  isRepeatable,
  isStuck,
  type Kind,
  LATE,
  loadMode,
  NO_VALUES,
  type Parent,
  pathOf,
  ROOMS,
  relationOf,
  textOf,
  undoPathOf,
  undoTextOf,
  type Values,
} from './files.ts';
import { type Held, lastRun, ranOnce } from './held.ts';
import type { Edit, Layout, Rule } from './history.ts';

export interface Folder {
  /** By id. */
  readonly files: ReadonlyMap<number, File>;
  readonly rule: Rule;
  readonly layout: Layout;
  /** Whether code may fail, and the rest goes on. */
  readonly isTolerant: boolean;
  readonly values: Values;
}

/** What the database has of it. */
export interface Known {
  readonly held: Held;
  /** Under which name the history has files: how often each was renamed. */
  readonly names: ReadonlyMap<number, number>;
}

export const EMPTY: Folder = { files: new Map(), rule: 'single', layout: 'one', isTolerant: false, values: NO_VALUES };

/** @returns the folder, the same one where the edit makes no sense in it */
export function editFolder(folder: Folder, edit: Edit, known: Known): Folder {
  if (edit.do === 'rule') return { ...folder, rule: edit.rule };
  if (edit.do === 'set') return { ...folder, values: edit.values };
  if (edit.do === 'layout') return { ...folder, layout: edit.layout };
  if (edit.do === 'tolerate') return { ...folder, isTolerant: edit.isTolerant };
  if (edit.do === 'hand' || edit.do === 'unhand' || edit.do === 'open' || edit.do === 'checkout') return folder;
  if (edit.do === 'add') return addFile(folder, edit);
  const file = folder.files.get(edit.id);
  if (file === undefined) return folder;
  if (edit.do === 'remove') return isInUse(folder, edit.id) ? folder : withFiles(folder, (files) => files.delete(edit.id));
  const edited = editFile(file, edit.do, known);
  return edited === null ? folder : withFiles(folder, (files) => files.set(edit.id, edited));
}

/** What is done to one file. */
export type FileEdit = Exclude<Edit['do'], 'add' | 'rule' | 'set' | 'layout' | 'tolerate' | 'hand' | 'unhand' | 'open' | 'checkout'>;

/** Null where it makes no sense. */
function editFile(file: File, what: Exclude<FileEdit, 'remove'>, { held, names }: Known): File | null {
  const isApplied = ranOnce(held).has(file.id);
  switch (what) {
    case 'change':
      // renamed and changed at once, it would be another file
      if (names.has(file.id) && names.get(file.id) !== file.renamed) return null;
      return isRepeatable(file) || file.kind === 'check' || file.kind === 'rights' ? { ...file, version: file.version + 1 } : null;
    case 'reword':
      return file.kind === 'load' || file.isTampered ? null : { ...file, reworded: file.reworded + 1 };
    case 'rename':
      if (isRepeatable(file) && (names.get(file.id) !== file.renamed || lastRun(held, file)?.version !== file.version)) return null;
      return file.isTampered || file.isBroken ? null : { ...file, renamed: file.renamed + 1 };
    case 'break':
      if (file.kind === 'rights' || file.kind === 'apart') return null;
      if (isCode(file) || file.kind === 'check') return { ...file, isBroken: true };
      return isApplied ? null : { ...file, isBroken: true };
    case 'mend':
      return file.isBroken ? { ...file, isBroken: false } : null;
    case 'tamper':
      return isOnce(file) && isApplied && !file.isTampered && names.get(file.id) === file.renamed ? { ...file, isTampered: true } : null;
    case 'restore':
      return file.isTampered ? { ...file, isTampered: false } : null;
  }
}

function addFile(folder: Folder, { id, kind, parents: ids }: Extract<Edit, { do: 'add' }>): Folder {
  const parents: Parent[] = [];
  for (const parent of ids) {
    const found = folder.files.get(parent);
    if (found === undefined) return folder;
    parents.push({ id: parent, kind: found.kind, of: found.parents[0]?.id });
  }
  const inTheWay = kind === 'retype' && ids[0] !== undefined ? viewsOver(folder, ids[0]) : [];
  if (kind === 'retype' && [...folder.files.values()].some((other) => other.kind === 'retype' && other.parents[0]?.id === ids[0])) return folder;
  const file: File = { id, kind, parents, version: 1, renamed: 0, reworded: 0, isBroken: false, isTampered: false, inTheWay };
  return withFiles(folder, (files) => files.set(id, file));
}

/** Views over a relation, and over those. */
function viewsOver({ files }: Folder, id: number): number[] {
  const found: number[] = [];
  const look = (on: number): void => {
    for (const file of files.values()) {
      if (!file.parents.some((parent) => parent.id === on) || !isCode(file) || found.includes(file.id)) continue;
      if (file.kind === 'view') found.push(file.id);
      look(file.id);
    }
  };
  look(id);
  return found;
}

/** An older folder, with those views as they are in the database that cannot be replaced by what they were: columns would go. */
export function withNewerViews(folder: Folder, { code, lost }: Held): Folder {
  return withFiles(folder, (files) => {
    for (const [id, file] of files) {
      const version = (code.get(id) ?? lost.get(id))?.version ?? 0;
      if (file.kind === 'view' && !dropsFirst(file) && file.version < version) files.set(id, { ...file, version });
    }
  });
}

/** What runs again and comes with other content has the name that the history knows: under another one it would be another file (docs/BUNDLES.md, once by name). */
export function withKnownNames(folder: Folder, { held, names }: Known): Folder {
  return withFiles(folder, (files) => {
    for (const [id, file] of files) {
      const last = lastRun(held, file) ?? held.lost.get(id);
      if (isRepeatable(file) && file.version !== last?.version) files.set(id, { ...file, renamed: names.get(id) ?? file.renamed });
    }
  });
}

export function isInUse({ files }: Folder, id: number): boolean {
  return [...files.values()].some((file) => file.parents.some((parent) => parent.id === id) || file.inTheWay.includes(id));
}

function withFiles(folder: Folder, change: (files: Map<number, File>) => void): Folder {
  const files = new Map(folder.files);
  change(files);
  return { ...folder, files };
}

const PARAMETERS = {
  word: { type: 'text', default: NO_VALUES.word },
  count: { type: 'integer', default: NO_VALUES.count },
  gate: { type: 'text', default: NO_VALUES.gate },
};

/** The folder as a bundle: text by path. Entries of which there is no file are left out, for a glob that matches nothing is refused. */
function bundleOf({ files, rule, layout, isTolerant }: Folder): Record<string, string> {
  const all = [...files.values()].sort((a, b) => a.id - b.id);
  const texts: Record<string, string> = {};
  for (const file of all) {
    texts[pathOf(file)] = textOf(file);
    const undo = undoTextOf(file);
    if (undo !== null) texts[undoPathOf(file)] = undo;
  }
  const has = (room: string): boolean => all.some(({ kind }) => ROOMS[kind] === room);
  const withUndo = (pattern: string, among: readonly File[]): object => (among.some(hasUndo) ? { undo: pattern } : {});
  const inRoom = (room: string): File[] => all.filter(({ kind }) => ROOMS[kind] === room);
  const run = (room: string, more: object = {}): object[] =>
    has(room) ? [{ run: `${room}/*.sql`, ...withUndo(`undo/${room}/*.sql`, inRoom(room)), ...more }] : [];
  const loads = all.flatMap((file) =>
    file.kind !== 'load' || file.parents[0] === undefined
      ? []
      : [
          {
            load: pathOf(file),
            into: relationOf(file.parents[0]),
            undo: undoPathOf(file),
            ...(loadMode(file) === 'sync' ? { mode: 'sync', key: ['code'] } : {}),
          },
        ],
  );
  const again = { repeat: 'on-change', ...(isTolerant && { on_error: 'continue' }) };
  const runKinds = (kinds: readonly Kind[]): object[] =>
    kinds.flatMap((kind) =>
      all.some((file) => file.kind === kind)
        ? [
            {
              run: `code/*_${kind}*.sql`,
              ...withUndo(
                `undo/code/*_${kind}*.sql`,
                all.filter((file) => file.kind === kind),
              ),
              ...again,
            },
          ]
        : [],
    );
  const isOpen = { when: "weft.parameter('gate') = 'open'" };
  const code = [...run('code', again), ...run('gcode', { ...again, ...isOpen })];
  const schema = [...run('schema'), ...run('gated', isOpen)];
  const phase = (name: string, transaction: string, steps: object[], more: object = {}): object[] =>
    steps.length === 0 ? [] : [{ name, transaction, lock_timeout: '200ms', steps, ...more }];
  const checks = has('checks') ? { checks: ['checks/*.sql'] } : {};
  // there a file that fails leaves what it has run, and what goes along with something else is made again by the next deployment alone
  const bare = all.some((file) => LATE.includes(file.kind) && (file.isBroken || isStuck(file) || file.parents.some(isCode))) ? rule : 'none';
  const layouts: Readonly<Record<Layout, () => object[]>> = {
    one: () => phase('schema', rule, [...schema, ...loads, ...code], checks),
    first: () => phase('schema', rule, [...schema, ...code, ...loads], checks),
    apart: () => [...phase('schema', rule, schema, checks), ...phase('data', 'per-step', loads), ...phase('code', rule, code)],
    late: () => [
      ...phase('schema', rule, [...schema, ...loads, ...runKinds(['function', 'view']), ...run('gcode', { ...again, ...isOpen })], checks),
      ...phase('late', rule, runKinds(LATE)),
    ],
    bare: () => [
      ...phase('schema', rule, [...schema, ...loads, ...runKinds(['function', 'view']), ...run('gcode', { ...again, ...isOpen })], checks),
      ...phase('late', bare, runKinds(LATE)),
    ],
  };
  const phases = [
    ...layouts[layout](),
    ...phase('fill', 'per-step', has('fill') ? [{ batch: 'fill/*.sql', ...withUndo('undo/fill/*.sql', inRoom('fill')), size: 3 }] : []),
    ...phase('apart', 'none', run('apart')),
    ...phase('rights', 'per-step', run('rights', { repeat: 'always' })),
  ];
  return { ...texts, 'weft.yaml': JSON.stringify({ name: 'walk', parameters: PARAMETERS, phases }) };
}

/** The folder as it is deployed, with the values that it is given. */
export const orderOf = (folder: Folder) => ({ files: bundleOf(folder), values: folder.values });
