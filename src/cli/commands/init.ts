/**
 * `weft init`: writes a bundle file that fits the folder: a phase for each folder that holds SQL files, in name order; or a
 * first file, where there is none. Overwrites nothing. What a bundle file may say is bundle/'s; this only writes one.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { Problem } from '../../domain/problem.ts';
import type { Call } from '../commands.ts';
import { harmless } from '../text.ts';

const FIRST_FILE = 'schema/001_first.sql';
const FIRST_SQL = `-- Runs once, in this database, in the order of its name among its neighbours.
create table if not exists greeting (
  id bigint generated always as identity primary key,
  words text not null
);
`;

export async function init({ printer, positionals, values }: Call): Promise<number> {
  const folder = resolve(positionals[0] ?? '.');
  const shown = harmless(positionals[0] ?? '.');
  const name = typeof values['name'] === 'string' ? values['name'] : nameFrom(folder);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) {
    throw new Problem('usage', `"${harmless(name)}" is no name for a bundle: letters, digits, ".", "_" and "-", 63 at most, beginning with a letter or digit.`);
  }
  await mkdir(folder, { recursive: true }).catch((error: unknown) => refuse(shown, error));
  const globs = await findGlobs(folder).catch((error: unknown) => refuse(shown, error));
  const written: string[] = [];
  const put = async (path: string, content: string): Promise<void> => {
    // "wx": made anew, or not at all.
    await writeFile(join(folder, path), content, { flag: 'wx' }).catch((error: unknown) => refuse(`${shown}/${path}`, error));
    written.push(path);
  };
  await put('weft.yaml', bundleFile(name, globs.length === 0 ? ['schema/*.sql'] : globs));
  if (globs.length === 0) {
    await mkdir(join(folder, 'schema'), { recursive: true });
    await put(FIRST_FILE, FIRST_SQL);
  }
  for (const path of written) printer.say(`wrote ${path}`);
  printer.say(`Next: weft check ${shown}`);
  printer.document({ bundle: name, written });
  return 0;
}

/** The folders of SQL files, as globs, the deeper after the shallower, in name order. */
async function findGlobs(folder: string): Promise<string[]> {
  const globs: string[] = [];
  const visit = async (prefix: string, depth: number): Promise<void> => {
    const entries = (await readdir(join(folder, prefix), { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1));
    if (entries.some((entry) => entry.isFile() && entry.name.endsWith('.sql'))) globs.push(`${prefix}*.sql`);
    for (const entry of entries) {
      if (entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules' && depth < DEPTH_MAX) {
        await visit(`${prefix}${entry.name}/`, depth + 1);
      }
    }
  };
  await visit('', 0);
  return globs;
}

const DEPTH_MAX = 8;

function bundleFile(name: string, globs: readonly string[]): string {
  const taken = new Set<string>();
  const phases = globs.map((glob) => {
    const wish = glob === '*.sql' ? 'main' : glob.slice(0, -'/*.sql'.length).replaceAll('/', '-').replace(/[^A-Za-z0-9._-]/g, '_').replace(/^[^A-Za-z0-9]+/, '').slice(0, 55) || 'phase';
    let phase = wish;
    for (let n = 2; taken.has(phase); n += 1) phase = `${wish}-${n}`;
    taken.add(phase);
    return `  - name: ${quoted(phase)}
    transaction: single            # all or nothing; or: per-step, auto
    steps:
      - run: ${quoted(glob)}       # each file once, in name order
`;
  });
  return `# What Weft deploys, and in which order. "weft check" validates it, "weft plan" shows what would run.
name: ${quoted(name)}
phases:
${phases.join('')}`;
}

/** A YAML scalar: plain where that is safe, else in double quotes, which take JSON's escapes. */
function quoted(text: string): string {
  return /^[A-Za-z][A-Za-z0-9._/-]*(\/\*\.sql)?$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text) ? text : JSON.stringify(text);
}

function nameFrom(folder: string): string {
  return basename(folder).replace(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '').slice(0, 63) || 'bundle';
}

async function refuse(where: string, error: unknown): Promise<never> {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'EEXIST') throw new Problem('usage', `${where} is there already; init overwrites nothing. To begin anew, move it away first.`, { path: where });
  throw new Problem('usage', `${where} could not be written or read (${code}).`, { path: where }, error);
}
