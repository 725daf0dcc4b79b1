/** Files that run once, were applied, and are not in the bundle any more: what that may mean, for plan and summary alike. Pure. */
import type { Deployment } from '../domain/deployment.ts';
import type { Style } from './io.ts';
import { listSome, oneLine } from './text.ts';

const FILES_SHOWN = 5;

/** @param total of them all; @param paths the first of them */
export function tellGone(total: number, paths: readonly string[]): string {
  const names = listSome(
    paths.map((path) => oneLine(path)),
    FILES_SHOWN,
  );
  const [what, them] = total === 1 ? ['1 file was applied to this database, and is', 'it'] : [`${total} files were applied to this database, and are`, 'them'];
  return `${what} not in this bundle: ${names}. An older checkout, or one that lacks a merge? If ${them === 'it' ? 'it was' : 'they were'} taken out on purpose, nothing is to be done: what ${them === 'it' ? 'it' : 'they'} brought stays.`;
}

/** Of a deployment that is over. */
export function goneLines({ files_gone, undoes }: Deployment, style: Style): string[] {
  if (!files_gone || undoes) return [];
  return ['', `  ${style.yellow('Gone:')} ${tellGone(files_gone.count, files_gone.paths)}`];
}
