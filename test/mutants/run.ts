/**
 * `npm run mutants`: breaks each guard on purpose, in a copy of this checkout, and runs the test that protects it, which must fail. Says which guard
 * which test protects. Exits with 0 only if every test passes on the whole house, and fails on the broken one.
 *
 *   --only N       just the N-th
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CHECKOUT } from '../../src/dev/places.ts';
import { MUTANTS, type Mutant } from './mutants.ts';

const COPIED = ['src', 'sql', 'test', 'bench', 'examples', 'package.json', 'tsconfig.json', 'vitest.config.ts', 'wrangler.toml', 'README.md'];

const { values } = parseArgs({ options: { only: { type: 'string' } } });
const chosen = MUTANTS.filter((_, index) => values.only === undefined || index + 1 === Number(values.only));
const copy = mkdtempSync(join(tmpdir(), 'weft-mutants-'));
let alive = 0;
try {
  for (const name of COPIED) cpSync(join(CHECKOUT, name), join(copy, name), { recursive: true });
  for (const name of ['node_modules', '.weft']) symlinkSync(join(CHECKOUT, name), join(copy, name));
  console.log(`${chosen.length} guards, each broken in a copy of this checkout`);
  for (const mutant of chosen) {
    const verdict = judge(mutant);
    if (verdict !== null) alive += 1;
    console.log(`${verdict === null ? '✓' : '✗'} ${mutant.guard}\n    ${mutant.test}: ${mutant.named}${verdict === null ? '' : `\n    ${verdict}`}`);
  }
} finally {
  rmSync(copy, { recursive: true });
}
console.log(alive === 0 ? 'Each of these tests fails when its guard is broken.' : `${alive} FAILED`);
process.exitCode = alive === 0 ? 0 : 1;

/** @returns null when the test passes on the whole house and fails on the broken one; else what is wrong */
function judge({ file, find, replace, test, named }: Mutant): string | null {
  if (!passes(test, named)) return 'the test fails although nothing is broken';
  const path = join(copy, file);
  const whole = readFileSync(path, 'utf8');
  writeFileSync(
    path,
    whole.replace(find, () => replace),
  );
  build();
  try {
    return passes(test, named) ? 'THE TEST PASSES ALTHOUGH THE GUARD IS BROKEN' : null;
  } finally {
    writeFileSync(path, whole);
    build();
  }
}

function build(): void {
  const { status, stderr } = spawnSync(process.execPath, ['src/dev/build_sql.ts'], { cwd: copy, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the engine could not be built: ${stderr}`);
}

function passes(test: string, named: string): boolean {
  const pattern = named.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const vitest = join(CHECKOUT, 'node_modules', 'vitest', 'vitest.mjs');
  const said = join(copy, 'report.json');
  rmSync(said, { force: true });
  const { status, stderr } = spawnSync(process.execPath, [vitest, 'run', test, '-t', pattern, '--reporter=json', `--outputFile=${said}`], {
    cwd: copy,
    encoding: 'utf8',
  });
  if (!existsSync(said)) throw new Error(`vitest came to no end: ${stderr}`);
  const report = JSON.parse(readFileSync(said, 'utf8')) as { numPassedTests: number; numFailedTests: number };
  if (report.numPassedTests + report.numFailedTests === 0) throw new Error(`no test of ${test} is called "${named}"`);
  return status === 0;
}
