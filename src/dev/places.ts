/**
 * Where the local PostgreSQL may live, and as which user of the operating system. PostgreSQL refuses to run as root, so root hands
 * it to the user `postgres`, who cannot enter a `mktemp -d` folder or root's home: binaries and data then go to a cache under the
 * folder for temporary files, which nobody else may write. An ordinary user runs it as himself.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, lstatSync, mkdirSync, statfsSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { Problem } from '../domain/problem.ts';

export interface OsUser {
  readonly uid: number;
  readonly gid: number;
}

/** Where Linux has a file system in memory, and how statfs(2) calls such a one. */
const MEMORY = '/dev/shm';
const TMPFS_MAGIC = 0x01021994;
const MEMORY_BYTES_MIN = 3 * 1024 ** 3;

/** The checkout that this file belongs to. */
export const CHECKOUT = resolve(import.meta.dirname, '..', '..');

/**
 * The user that runs PostgreSQL: `postgres` when we are root (made, if the machine has none), else null: ourselves.
 * @throws Problem invalid_configuration when root can neither find nor make that user
 */
export function serverUser(): OsUser | null {
  if (process.getuid?.() !== 0) return null;
  const found = lookUp('postgres');
  if (found !== null) return found;
  spawnSync('groupadd', ['--system', 'postgres'], { stdio: 'ignore' });
  spawnSync('useradd', ['--system', '--no-create-home', '--gid', 'postgres', 'postgres'], { stdio: 'ignore' });
  const made = lookUp('postgres');
  if (made !== null) return made;
  throw new Problem(
    'invalid_configuration',
    'PostgreSQL does not run as root, and the user "postgres" could not be made. Make it, or start as an ordinary user.',
  );
}

/** What to give to spawn so that the child runs as that user. */
export function asUser(user: OsUser | null): { uid?: number; gid?: number } {
  return user === null ? {} : { uid: user.uid, gid: user.gid };
}

/** Whether that user can enter and read a folder: asked of the operating system itself, as that user. */
export function canEnter(user: OsUser | null, folder: string): boolean {
  return spawnSync('/bin/sh', ['-c', 'test -r "$1" && test -x "$1"', 'sh', folder], { cwd: '/', stdio: 'ignore', ...asUser(user) }).status === 0;
}

/**
 * A folder for temporary files that belongs to us, that nobody else may write, and that the server's user can pass through.
 * @throws Problem invalid_configuration when every candidate belongs to somebody else
 */
export function cacheFolder(user: OsUser | null): string {
  const refused: string[] = [];
  for (const parent of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    const found = ownFolder(parent, user);
    if (found.folder !== null) return found.folder;
    if (found.refused !== null) refused.push(found.refused);
  }
  throw new Problem(
    'invalid_configuration',
    `There is no folder for temporary files that is ours alone and that PostgreSQL can enter${refused.length > 0 ? ` (${refused.join(', ')}: not ours)` : ''}. Set TMPDIR to one.`,
  );
}

/**
 * The same in memory: a file system that forgets, where thousands of small files come and go at next to no cost.
 * @returns null where there is none, or less than 3 GiB of it free
 */
export function memoryFolder(user: OsUser | null): string | null {
  try {
    const { type, bavail, bsize } = statfsSync(MEMORY);
    if (type !== TMPFS_MAGIC || bavail * bsize < MEMORY_BYTES_MIN || process.availableMemory() < MEMORY_BYTES_MIN) return null;
  } catch {
    return null;
  }
  return ownFolder(MEMORY, user).folder;
}

/** `weft-UID` in that folder, if it is ours and the server's user can enter it; and its name when somebody else was there first. */
function ownFolder(parent: string, user: OsUser | null): { folder: string | null; refused: string | null } {
  const folder = join(parent, `weft-${userInfo().uid}`);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return { folder: null, refused: null };
  }
  if (!isOurs(folder)) return { folder: null, refused: folder };
  chmodSync(folder, user === null ? 0o700 : 0o755);
  return { folder: user === null || canEnter(user, folder) ? folder : null, refused: null };
}

/** Makes a folder below one that is ours, with just this mode whatever the umask says. */
export function makeFolder(folder: string, mode: number): string {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, mode);
  return folder;
}

function isOurs(folder: string): boolean {
  const entry = lstatSync(folder);
  return entry.isDirectory() && (process.getuid === undefined || entry.uid === process.getuid());
}

function lookUp(name: string): OsUser | null {
  try {
    const id = (flag: string): number => Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return null;
  }
}
