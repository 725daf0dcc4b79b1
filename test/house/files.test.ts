/**
 * What is true of every file: it says what it is, it fits on a few screens, it promises nothing without a number, and it names no machine.
 */
import { expect, test } from 'vitest';
import { readEngineFiles } from '../../src/database/engine_files.ts';
import { renderEngine } from '../../src/dev/build_sql.ts';
import { filesIn, read } from './house.ts';

const LINES_COUNT_MAX = 400;
/** Larger ones, each with its own ceiling: a file here may shrink, and nothing may join it without a reason. */
const LARGER: Readonly<Record<string, number>> = {};

const SOURCES = filesIn('src').filter((file) => /\.(?:ts|js)$/.test(file));
const TEXTS = filesIn().filter((file) => !/\.(?:png|gz|tar)$/.test(file));

/** `path:line: text` for each line that matches. */
function linesThat(files: readonly string[], isWrong: (line: string) => boolean): string[] {
  return files.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, index) => (isWrong(line) ? [`${file}:${index + 1}: ${line.trim().slice(0, 120)}`] : [])),
  );
}

test('there are files to look at', () => {
  expect(SOURCES.length).toBeGreaterThan(80);
  expect(TEXTS).toEqual(expect.arrayContaining(['README.md', 'package-lock.json', '.ci/run', 'sql/00_schema.sql']));
});

test('every source opens with a comment that says what it is', () => {
  const opening = /^(?:#!.*\n)?(?:\/\*\*(?<block>[\s\S]*?)\*\/|(?<line>\/\/ .*)|(?<sql>(?:-- .*\n)+))/;
  const silent = [...SOURCES, ...filesIn('sql'), ...filesIn('bench').filter((file) => file.endsWith('.ts'))].filter((file) => {
    const { block = '', line = '', sql = '' } = opening.exec(read(file))?.groups ?? {};
    return (block + line + sql).replace(/[\s*/-]/g, '').length < 12;
  });
  expect(silent).toEqual([]);
});

test(`no source is longer than ${LINES_COUNT_MAX} lines`, () => {
  const long = SOURCES.filter((file) => read(file).split('\n').length - 1 > (LARGER[file] ?? LINES_COUNT_MAX));
  expect(long.map((file) => `${file}: split it`)).toEqual([]);
  expect(Object.keys(LARGER).filter((file) => read(file).split('\n').length - 1 <= LINES_COUNT_MAX)).toEqual([]);
});

test('what is left to do has the number of an issue', () => {
  const words = ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|'); // taken apart, so that this line is none
  const promise = new RegExp(`\\b(?:${words})\\b(?!.*(?:#|issue )\\d)`);
  expect(linesThat(TEXTS, (line) => promise.test(line))).toEqual([]);
});

test('no file names a folder of somebody’s machine, or a package registry', () => {
  const home = /(?:^|[\s"'`(=:,])(?:\/(?:home|Users|root|work|mnt|private)\/\w|[A-Z]:\\\\?Users)/;
  const registry = /\bregistry\.[a-z0-9-]+\.[a-z]|"resolved"|_authToken|^registry\s*=/;
  const isExample = (line: string): boolean => registry.source !== '' && /const (?:home|registry) = \//.test(line);
  expect(linesThat(TEXTS, (line) => (home.test(line) || registry.test(line)) && !isExample(line))).toEqual([]);
});

test('engine.json and engine_version.ts are what npm run build:sql makes of sql/', async () => {
  const { text, module } = await renderEngine();
  const isBuilt = read('src/database/assets/engine.json') === text && read('src/database/engine_version.ts') === module;
  expect(isBuilt, 'sql/ was changed: npm run build:sql').toBe(true);
  const { files, upgrades } = await readEngineFiles();
  const floors = filesIn('sql').filter((file) => !file.startsWith('sql/upgrades/'));
  expect(files.map(({ name }) => `sql/${name}`)).toEqual(floors);
  expect(upgrades.map(({ name }) => `sql/upgrades/${name}`)).toEqual(filesIn('sql').filter((file) => file.startsWith('sql/upgrades/')));
});

test('nothing but the engine is uploaded as an asset of the Worker', () => {
  expect(filesIn('src/database/assets')).toEqual(['src/database/assets/engine.json']);
});
