/** Loads and batches whose table was made anew: what ran once for the earlier table has not run again. Pure. */
import type { Deployment } from '../domain/deployment.ts';
import type { Style } from './style.ts';
import { andMore, columns, oneLine } from './text.ts';

const FILES_SHOWN = 10;

function listed(files: NonNullable<Deployment['made_anew']>): string[] {
  const rows = files.slice(0, FILES_SHOWN).map(({ path, kind, table }) => [oneLine(path), kind === 'batch' ? 'batch' : 'data', oneLine(table)]);
  return [...columns(rows, '  '), ...andMore(files.length - FILES_SHOWN).map((more) => `  ${more}`)];
}

/** For a deployment that is over. What an undo already names among files without an undo is not named twice. */
export function madeAnewLines({ made_anew: all, without_undo: lacking }: Deployment, style: Style): string[] {
  const left = (all ?? []).filter(({ runs_again: again }) => !again);
  const again = (all ?? []).filter(({ path, runs_again: runs }) => runs && !lacking?.some((file) => file.path === path));
  const has = (kind: string) => left.some((file) => (file.kind === 'batch' ? 'batch' : 'load') === kind);
  return [
    ...(left.length === 0
      ? []
      : [
          '',
          style.yellow('The table of these was made anew. They run once, so they have not run again; in a new database they would.'),
          ...listed(left),
          [
            'If the rows were moved along, nothing needs to be done.',
            has('load') ? 'Data runs again with a key and "mode: upsert".' : '',
            has('batch') ? 'A batch runs again as a copy under another name.' : '',
          ]
            .filter((words) => words !== '')
            .join(' '),
        ]),
    ...(again.length === 0 ? [] : ['', style.yellow('Removed from the history with their table: the next deployment runs them again.'), ...listed(again)]),
  ];
}
