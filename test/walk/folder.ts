/** The folder of the team: the files that it holds, what an edit makes of them, and the bundle of it. */
import {
  dropsFirst,
  type File,
  isCode,
  isOnce,
  isRepeatable,
  loadMode,
  type Parent,
  pathOf,
  ROOMS,
  relationOf,
  textOf,
  undoPathOf,
  undoTextOf,
} from './files.ts';
import type { Held } from './held.ts';
import type { Edit, Rule } from './history.ts';

export interface Folder {
  /** By id. */
  readonly files: ReadonlyMap<number, File>;
  readonly rule: Rule;
}

export const EMPTY: Folder = { files: new Map(), rule: 'single' };

/** @param applied the files that run once and are in the database @returns the folder, the same one where the edit makes no sense in it */
export function editFolder(folder: Folder, edit: Edit, applied: ReadonlySet<number>): Folder {
  if (edit.do === 'rule') return { ...folder, rule: edit.rule };
  if (edit.do === 'hand' || edit.do === 'unhand' || edit.do === 'checkout') return folder;
  if (edit.do === 'add') return addFile(folder, edit);
  const file = folder.files.get(edit.id);
  if (file === undefined) return folder;
  if (edit.do === 'remove') return isInUse(folder, edit.id) ? folder : withFiles(folder, (files) => files.delete(edit.id));
  const edited = editFile(file, edit.do, applied.has(edit.id));
  return edited === null ? folder : withFiles(folder, (files) => files.set(edit.id, edited));
}

/** Null where it makes no sense. */
function editFile(file: File, what: Exclude<Edit['do'], 'add' | 'rule' | 'hand' | 'unhand' | 'checkout' | 'remove'>, isApplied: boolean): File | null {
  switch (what) {
    case 'change':
      return isRepeatable(file) || file.kind === 'check' || file.kind === 'rights' ? { ...file, version: file.version + 1 } : null;
    case 'reword':
      return file.kind === 'load' || file.isTampered ? null : { ...file, reworded: file.reworded + 1 };
    case 'rename':
      return file.isTampered || file.isBroken ? null : { ...file, renamed: file.renamed + 1 };
    case 'break':
      if (file.kind === 'rights' || file.kind === 'apart') return null;
      if (isCode(file) || file.kind === 'check') return { ...file, isBroken: true };
      return isApplied ? null : { ...file, isBroken: true };
    case 'mend':
      return file.isBroken ? { ...file, isBroken: false } : null;
    case 'tamper':
      return isOnce(file) && isApplied && !file.isTampered ? { ...file, isTampered: true } : null;
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
export function withNewerViews(folder: Folder, { code }: Held): Folder {
  return withFiles(folder, (files) => {
    for (const [id, file] of files) {
      const version = code.get(id)?.version ?? 0;
      if (file.kind === 'view' && !dropsFirst(file) && file.version < version) files.set(id, { ...file, version });
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

/** The folder as a bundle: text by path. Entries of which there is no file are left out, for a glob that matches nothing is refused. */
export function bundleOf({ files, rule }: Folder): Record<string, string> {
  const all = [...files.values()].sort((a, b) => a.id - b.id);
  const texts: Record<string, string> = {};
  for (const file of all) {
    texts[pathOf(file)] = textOf(file);
    const undo = undoTextOf(file);
    if (undo !== null) texts[undoPathOf(file)] = undo;
  }
  const has = (room: string): boolean => all.some(({ kind }) => ROOMS[kind] === room);
  const run = (room: string, more: object = {}): object[] => (has(room) ? [{ run: `${room}/*.sql`, undo: `undo/${room}/*.sql`, ...more }] : []);
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
  const phase = (name: string, transaction: string, steps: object[], more: object = {}): object[] =>
    steps.length === 0 ? [] : [{ name, transaction, steps, ...more }];
  const phases = [
    ...phase('schema', rule, [...run('schema'), ...loads, ...run('code', { repeat: 'on-change' })], has('checks') ? { checks: ['checks/*.sql'] } : {}),
    ...phase('fill', 'per-step', has('fill') ? [{ batch: 'fill/*.sql', undo: 'undo/fill/*.sql', size: 3 }] : []),
    ...phase('apart', 'none', run('apart')),
    ...phase('rights', 'per-step', run('rights', { repeat: 'always' })),
  ];
  return { ...texts, 'weft.yaml': JSON.stringify({ name: 'walk', phases }) };
}
