/**
 * `npm run build`: the published package in `dist/`: the command line as JavaScript, a package.json of its own, README, licence and
 * changes. Nothing of the Worker, of this folder, or of tests is in it, and nothing but what the command line needs at run time is
 * among its dependencies. `npm pack ./dist` makes the tarball.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { CHECKOUT } from './places.ts';

const DIST = join(CHECKOUT, 'dist');
const ENTRY = 'src/cli/main.ts';
const ENGINE_TEXT = 'src/database/assets/engine.json';
const BIN = `#!/usr/bin/env node
import { main } from './src/cli/main.js';
await main();
`;

/** tsc writes the entry and what it imports, one file each, and turns ".ts" in imports into ".js". */
function compile(): void {
  const folder = join(CHECKOUT, '.weft', 'build');
  mkdirSync(folder, { recursive: true });
  const config = {
    extends: join(CHECKOUT, 'tsconfig.json'),
    compilerOptions: { noEmit: false, rootDir: CHECKOUT, outDir: DIST, declaration: false, typeRoots: [join(CHECKOUT, 'node_modules', '@types')] },
    files: [join(CHECKOUT, ENTRY)],
    include: [join(CHECKOUT, 'src/**/*.d.ts')],
  };
  const file = join(folder, 'tsconfig.json');
  writeFileSync(file, JSON.stringify(config));
  const tsc = join(CHECKOUT, 'node_modules', 'typescript', 'bin', 'tsc');
  const run = spawnSync(process.execPath, [tsc, '-p', file], { stdio: 'inherit' });
  if (run.status !== 0) throw new Error('tsc refused; see above');
}

/** Names of the packages that the command line imports: esbuild reads the imports, and writes nothing. */
async function importedPackages(): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [join(CHECKOUT, ENTRY)],
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    write: false,
    metafile: true,
  });
  const specifiers = Object.values(metafile.outputs).flatMap(({ imports }) => imports.filter(({ external }) => external).map(({ path }) => path));
  const foreign = specifiers.filter((specifier) => !specifier.startsWith('node:') && !builtinModules.includes(specifier));
  return [...new Set(foreign.map((specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')))];
}

async function writePackageFile(): Promise<void> {
  const { name, version, description, license, type, engines, dependencies } = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  } & Record<string, unknown>;
  const wanted = await importedPackages();
  const missing = wanted.filter((one) => !(one in dependencies));
  if (missing.length > 0) throw new Error(`the command line imports what is not among the dependencies: ${missing.join(', ')}`);
  const needed = Object.fromEntries(Object.entries(dependencies).filter(([one]) => wanted.includes(one)));
  const file = {
    name,
    version,
    description,
    license,
    type,
    bin: { weft: 'weft.js' },
    files: ['weft.js', 'src', 'CHANGELOG.md'],
    imports: { '#engine-text': './src/database/engine_text_node.js' },
    engines,
    dependencies: needed,
  };
  writeFileSync(join(DIST, 'package.json'), `${JSON.stringify(file, null, 2)}\n`);
}

rmSync(DIST, { recursive: true, force: true });
compile();
await writePackageFile();
writeFileSync(join(DIST, 'weft.js'), BIN, { mode: 0o755 });
mkdirSync(dirname(join(DIST, ENGINE_TEXT)), { recursive: true });
copyFileSync(join(CHECKOUT, ENGINE_TEXT), join(DIST, ENGINE_TEXT));
for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md']) copyFileSync(join(CHECKOUT, name), join(DIST, name));
process.stdout.write('The package is in dist/. "npm pack ./dist" makes the tarball.\n');
