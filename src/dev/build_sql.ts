/**
 * Writes `src/database/engine_sql.ts` from `sql/`: one generated module is how the engine reaches workerd and Node alike. A test
 * holds it equal to the files. Run it with `npm run build:sql` after every change in `sql/`.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';

const SQL = new URL('../../sql/', import.meta.url);
const MODULE = new URL('../database/engine_sql.ts', import.meta.url);

async function readFloor(folder: URL): Promise<{ name: string; sql: string }[]> {
  const names = (await readdir(folder)).filter((name) => /^\d+_[a-z_]+\.sql$/.test(name)).sort();
  return Promise.all(names.map(async (name) => ({ name, sql: await readFile(new URL(name, folder), 'utf8') })));
}

/** @returns the text that the generated module must have */
export async function renderEngineModule(): Promise<string> {
  const files = await readFloor(SQL);
  const upgrades = await readFloor(new URL('upgrades/', SQL)).catch(() => []);
  const list = (entries: readonly { name: string; sql: string }[]) =>
    entries.map(({ name, sql }) => `  { name: ${JSON.stringify(name)}, sql: ${JSON.stringify(sql)} },\n`).join('');
  return `// Made by \`npm run build:sql\` from sql/. Change the files there.

export interface EngineFile {
  readonly name: string;
  readonly sql: string;
}

/** The floors of the engine, in the order in which they are laid. */
export const ENGINE_FILES: readonly EngineFile[] = [
${list(files)}];

/** Upgrades of a live engine, by the number of the version that each leads to. */
export const ENGINE_UPGRADES: readonly EngineFile[] = [
${list(upgrades)}];
`;
}

if (import.meta.main) {
  await writeFile(MODULE, await renderEngineModule());
}
