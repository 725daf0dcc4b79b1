/**
 * `npm run two-am`, as README says it: what it prints is what README shows, line for line but for what chance decides, and it ends with 0.
 * (Every line with a "✓" is computed by the command itself, which ends with another code if one does not hold.)
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readFolder } from '../../src/bundle/folder.ts';
import { CHECKOUT } from '../../src/dev/places.ts';
import { goesOn, type Progress, type Sight } from '../../src/dev/witness.ts';
import { runShell, snippet, withoutChance } from '../readme/snippets.ts';

/** Process ids, how far the build was, how many connections there were, and a hash that depends on the time zone. */
function withoutTheNight(text: string): string {
  return withoutChance(text)
    .replace(/\b\d+ connections? reset/g, 'N connections reset')
    .replace(/backend \d+/g, 'backend PID')
    .replace(/\d+ active:/g, 'PID active:')
    .replace(/\([0-9a-f]{15}…\)/g, '(HASH)')
    .replace(/pg_stat_progress .*/g, 'pg_stat_progress PHASE')
    .replace(/nobody: building index.*, [1-9]\d % when the connection broke, \S.* now$/gm, 'nobody: PHASE when the connection broke, PHASE now');
}

test('two o’clock ends as if nothing had happened, in the words of README, with exit code 0', async () => {
  const { code, stdout, stderr, all } = await runShell(snippet('README.md', 'two-am').replace('npm run', 'npm run --silent'), { cwd: CHECKOUT });
  expect(code, all).toBe(0);
  expect(withoutTheNight(stdout)).toBe(withoutTheNight(snippet('README.md', 'two-am', 'output')));
  expect(stdout).not.toContain('\u001b');
  expect(stderr.replace(/^npm warn .*\n/gm, '')).toBe('');
}, 240_000);

test.each<[string, boolean, Partial<Progress>, object]>([
  ['further in the same part', true, { percent: 15 }, {}],
  ['in a later part, at a lower percentage', true, { part: [2, 5], percent: 2 }, {}],
  ['in a later phase', true, { part: [6, 0], percent: null }, {}],
  ['all of the part', true, { percent: null }, {}],
  ['behind in the same part', false, { percent: 2 }, {}],
  ['in an earlier part', false, { part: [2, 1], percent: 99 }, {}],
  ['at another statement', false, { percent: 15 }, { queryStart: 'later' }],
  ['another backend of that number', false, { percent: 15 }, { backendStart: 'later' }],
  ['idle', false, { percent: 15 }, { state: 'idle' }],
])('a build goes on or not: %s: %s', (_, expected, progress, builder) => {
  const before: Sight = {
    steps: 52,
    done: 46,
    next: '047',
    index: null,
    builder: { pid: 1, state: 'active', statement: '', backendStart: 'b', queryStart: 'q' },
    progress: { phase: 'building index', part: [2, 3], percent: 14 },
  };
  expect(
    goesOn(before, { ...before, builder: { ...before.builder, ...builder } as Sight['builder'], progress: { ...before.progress, ...progress } as Progress }),
  ).toBe(expected);
});

test('its bundle is a plain folder of 52 small files without a warning', async () => {
  const { manifest, warnings } = await readFolder(join(CHECKOUT, 'examples', 'two-am'));
  expect(warnings).toEqual([]);
  expect(manifest.phases.map(({ transaction, steps }) => [transaction, steps.length])).toEqual([['auto', 52]]);
  expect(manifest.artifacts.filter(({ size }) => size > 1024)).toEqual([]);
});
