/**
 * Turns `sql/` into what is shipped with Weft: `src/database/assets/engine.json`, the engine's text, which Node reads from the disk and
 * a Worker from its static assets, and `src/database/engine_version.ts`, which identifies it without its text. A test holds both equal
 * to the files. Run it with `npm run build:sql` after every change in `sql/`.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';

const SQL = new URL('../../sql/', import.meta.url);
const TEXT = new URL('../database/assets/engine.json', import.meta.url);
const MODULE = new URL('../database/engine_version.ts', import.meta.url);

interface Floor {
  readonly name: string;
  readonly sql: string;
}

async function readFloors(folder: URL): Promise<Floor[]> {
  const names = (await readdir(folder)).filter((name) => /^\d+_[a-z_]+\.sql$/.test(name)).sort();
  return Promise.all(names.map(async (name) => ({ name, sql: await readFile(new URL(name, folder), 'utf8') })));
}

function readVersion(floors: readonly Floor[]): number {
  for (const { sql } of floors) {
    const found = /function weft\.version\(\)[\s\S]*?\$\$ select (\d+) \$\$/.exec(sql);
    if (found?.[1] !== undefined) return Number(found[1]);
  }
  throw new Error('sql/ defines no weft.version()');
}

/** @returns what must stand in `engine.json`, one line a floor, and in `engine_version.ts` */
export async function renderEngine(): Promise<{ text: string; module: string }> {
  const files = await readFloors(SQL);
  const upgrades = await readFloors(new URL('upgrades/', SQL)).catch(() => []);
  const list = (floors: readonly Floor[]) => (floors.length === 0 ? '[]' : `[\n${floors.map((floor) => JSON.stringify(floor)).join(',\n')}\n]`);
  const text = `{ "files": ${list(files)}, "upgrades": ${list(upgrades)} }\n`;
  const module = `// Made by \`npm run build:sql\` from sql/. Change the files there.

/** What \`weft.version()\` answers once this engine is laid. */
export const ENGINE_VERSION = ${readVersion(files)};

/** SHA-256 of \`assets/engine.json\`, in hex. */
export const ENGINE_DIGEST = '${createHash('sha256').update(text).digest('hex')}';
`;
  return { text, module };
}

if (import.meta.main) {
  const { text, module } = await renderEngine();
  await mkdir(new URL('.', TEXT), { recursive: true });
  await Promise.all([writeFile(TEXT, text), writeFile(MODULE, module)]);
}
