/**
 * Files that run once, were applied, and are no longer in the bundle, or were applied by a bundle of another name: what that may mean.
 * Pure.
 */
import type { Deployment } from '../domain/deployment.ts';
import type { Style } from './style.ts';
import { listSome, oneLine } from './text.ts';

const FILES_SHOWN = 5;

/** @param total of them all; @param paths the first of them */
export function tellGone(total: number, paths: readonly string[]): string {
  const [what, them] = total === 1 ? ['1 file was applied to this database, and is', 'it'] : [`${total} files were applied to this database, and are`, 'them'];
  return `${what} not in this bundle: ${namesOf(total, paths)}. An older checkout, or one that lacks a merge? If ${them === 'it' ? 'it was' : 'they were'} taken out on purpose, nothing needs to be done: what ${them === 'it' ? 'it' : 'they'} brought stays.`;
}

const namesOf = (total: number, paths: readonly string[]): string =>
  listSome(
    paths.map((path) => oneLine(path)),
    FILES_SHOWN,
    total,
  );

/** A bundle that was renamed is another one. @param total of the files that another one has brought; @param paths the first of them */
export function tellElsewhere(name: string, other: string, total: number, paths: readonly string[]): string {
  return `nothing of a bundle "${oneLine(name)}" was applied to this database, and of the bundle "${oneLine(other)}" ${total === 1 ? 'a file was' : `${total} files were`}, with the same paths and bytes: ${namesOf(total, paths)}. Under another name they run again. If it is the same bundle, give it back its name (name: ${oneLine(other)}, in weft.yaml); or, to keep the new one, record what is there: weft baseline FOLDER.`;
}

/** For a deployment that is over. */
export function goneLines({ files_gone, undoes }: Deployment, style: Style): string[] {
  if (!files_gone || undoes) return [];
  return ['', `  ${style.yellow('Gone:')} ${tellGone(files_gone.count, files_gone.paths)}`];
}
