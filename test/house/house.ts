/** The house as files: what is in it, without what npm, tests and builds put there. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT } from '../../src/dev/places.ts';

/** Folders that .gitignore names, and git's own. */
const FOREIGN: ReadonlySet<string> = new Set([
  '.git',
  ...read('.gitignore')
    .split('\n')
    .map((line) => line.replace(/\/$/, '')),
]);

/** @param path from the checkout */
export function read(path: string): string {
  return readFileSync(join(CHECKOUT, path), 'utf8');
}

/** Every file below a folder, as sorted paths from the checkout, with "/" between their parts. */
export function filesIn(folder = ''): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(join(CHECKOUT, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (FOREIGN.has(entry.name) || entry.name.endsWith('.tgz')) continue;
    if (entry.isDirectory()) found.push(...filesIn(path));
    else if (entry.isFile()) found.push(path);
  }
  return found.sort();
}
