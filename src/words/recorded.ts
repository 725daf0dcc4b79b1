/** What is said after a baseline. Pure. */
import type { Deployment } from '../domain/deployment.ts';
import type { Style } from './style.ts';
import { count, listSome, oneLine } from './text.ts';

const FILES_SHOWN = 10;

/** What a baseline was verified by, what nobody has looked at, and what it has kept from being run. */
export function baselineLines({ id, baseline }: Deployment, style: Style): string[] {
  if (!baseline) return [];
  const { by, objects_found = 0, not_looked_at: unseen = [], gone_again: gone = [], too_large: large = [] } = baseline.verified;
  const verified =
    by === 'fingerprint'
      ? 'The catalog has the fingerprint that was asked for.'
      : by === 'catalog'
        ? `Looked for in the catalog by name: ${count(objects_found, 'object')}, all there.`
        : 'Nothing was checked.';
  const why = (words: string, paths: readonly string[]) =>
    paths.length === 0
      ? ''
      : ` ${words}: ${listSome(
          paths.map((path) => oneLine(path)),
          FILES_SHOWN,
        )}.`;
  const unnamed = why(
    'Not checked, because they create nothing that can be looked for by name',
    unseen.filter((path) => !gone.includes(path) && !large.includes(path)),
  );
  const unread = why('Not read, because larger than 1 MiB (compared_bytes)', large);
  const taken = why(
    'Not checked, because later statements drop, rename or move what they create',
    unseen.filter((path) => gone.includes(path)),
  );
  const replaced = (baseline.replaced ?? []).map((path) => oneLine(path));
  return [
    '',
    `  ${count(baseline.files, 'file')} recorded. ${verified}${unread}${unnamed}${taken}`,
    ...(replaced.length === 0
      ? []
      : [
          `  ${style.yellow('Warning:')} applied before with other content, and now recorded as it is in the folder, which was not run: ${listSome(replaced, FILES_SHOWN)}.`,
          `  What of it is not in the database will not come with a later deployment either. If that was not intended: weft undo ${id}`,
        ]),
  ];
}
