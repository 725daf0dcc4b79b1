/**
 * `weft init`: writes a bundle file into a folder, and a first SQL file with its undo where there is none. Overwrites nothing. What a
 * bundle file says is bundle/'s.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { readFolder } from '../../bundle/folder.ts';
import { isIgnored } from '../../bundle/resolve.ts';
import { renderBundleFile } from '../../bundle/starter.ts';
import { nameSchema } from '../../domain/manifest.ts';
import { Problem } from '../../domain/problem.ts';
import { harmless } from '../../words/text.ts';
import type { Call } from '../commands.ts';

const BUNDLE_FILE = 'weft.yaml';
const FIRST_FILE = 'schema/001_first.sql';
const FIRST_SQL = `-- Runs once in each database, in the order of its path among the others.
create table greetings (
  id bigint generated always as identity primary key,
  words text not null
);
`;
const UNDO_FILE = 'undo/001_first.sql';
const UNDO_SQL = `-- Takes schema/001_first.sql back. The database keeps it: going back needs no checkout.
drop table greetings;
`;

export async function init({ printer, positionals, values }: Call): Promise<number> {
  const shown = positionals[0] ?? '.';
  const folder = resolve(shown);
  const name = typeof values.name === 'string' ? values.name : await nameOf(folder);
  if (!nameSchema.safeParse(name).success) {
    throw new Problem('usage', `"${harmless(name)}" is no name for a bundle: letters, digits, ".", "_" and "-", 63 at most, beginning with a letter or digit.`);
  }
  const written: string[] = [];
  const put = async (path: string, content: string): Promise<void> => {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content, { flag: 'wx' }); // created, or not touched at all
    written.push(path);
  };
  try {
    const paths = await readdir(folder, { recursive: true }).catch(() => []); // no folder yet
    const isNew = !paths.some((path) => path.endsWith('.sql') && !isIgnored(path.replaceAll('\\', '/')));
    await put(BUNDLE_FILE, renderBundleFile(name, isNew));
    if (isNew) {
      await put(FIRST_FILE, FIRST_SQL);
      await put(UNDO_FILE, UNDO_SQL);
    }
  } catch (error) {
    throw refusal(error as NodeJS.ErrnoException, shown);
  }
  for (const path of written) printer.say(`wrote ${path}`);
  printer.say(`Next: weft check ${harmless(shown)}`);
  printer.document({ bundle: name, written });
  return 0;
}

function refusal(error: NodeJS.ErrnoException, shown: string): Error {
  const { code, syscall, path } = error;
  if (code === undefined) return error;
  if (code === 'EEXIST' && syscall === 'mkdir')
    return new Problem('set_up', `${harmless(path ?? shown)} is a file; a bundle needs a folder there. Nothing was overwritten.`, { path: shown }, error);
  const what = code === 'EEXIST' ? `${BUNDLE_FILE} is there already` : `it cannot be written to (${code})`;
  return new Problem('set_up', `In ${harmless(shown)}: ${what}. Nothing was overwritten.`, { path: shown }, error);
}

/** The name that the folder goes by without a bundle file: under another one its files would be new to every database. */
async function nameOf(folder: string): Promise<string> {
  try {
    return (await readFolder(folder)).manifest.bundle;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return nameFrom(folder); // it is no bundle yet
  }
}

/** The folder's name, as near as a bundle can be called. */
function nameFrom(folder: string): string {
  const name = basename(folder)
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '');
  return name.slice(0, 63) || 'bundle';
}
