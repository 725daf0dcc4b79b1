/** docs/SECURITY.md: each promise names a test by its file and its exact name, and the case where the test goes through a list. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CHECKOUT } from '../../src/dev/places.ts';
import { read } from './house.ts';

const HEAD = '| what is promised | how | shown in |\n|---|---|---|\n';
const GROUPS = ['Who asks', 'What is asked', 'What reaches a database', 'What is kept and shown', 'Inside the database', 'Outgoing requests', 'Supply chain'];

interface Shown {
  readonly what: string;
  readonly file: string;
  readonly name: string;
  readonly cases: readonly string[];
}

/** `file`: "name" (case), "name"; `file`: "name" */
const FILE = /^`(test\/[\w/]+\.test\.ts)`: (.+)$/;
const NAME = /"([^"]+)"((?: \([^()]+(?:\(\)[^()]*)?\))*)/g;

const page = read('docs/SECURITY.md');
const [, promised = ''] = /^## What is promised$([\s\S]*?)^## /m.exec(page) ?? [];
const sections = promised.split(/^### /m).slice(1);
const titles = sections.map((section) => section.split('\n', 1)[0]);
const rows = sections.flatMap((section) =>
  (section.split(HEAD)[1] ?? '')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.slice(2, -2).split(' | ')),
);
const shown: Shown[] = rows.flatMap(([what = '', , cell = '']) =>
  cell.split('; `').flatMap((one, index) => {
    const [, file = '', names = ''] = FILE.exec(index === 0 ? one : `\`${one}`) ?? [];
    const found = [...names.matchAll(NAME)];
    return found.map(([, name = '', cases = '']) => ({ what, file, name, cases: cases.split(/^ \(|\) \(|\)$/).filter((one) => one !== '') }));
  }),
);

/** Names of tests and of groups of them: a text in front of a function, as a file writes it. */
function namesIn(file: string): string[] {
  const calls = /\(\s*(['"`])((?:\\.|(?!\1)[^\n])+)\1,\s*(?:\{[^{}]*\},\s*)?(?:async\b|\(|\w+ =>)/g;
  return [...read(file).matchAll(calls)].map(([, , name = '']) => name.replace(/\\(.)/g, '$1'));
}

describe('docs/SECURITY.md', () => {
  test('promises something in each of its groups', () => {
    expect(titles).toEqual(GROUPS);
    expect(sections.filter((section) => !section.includes(HEAD))).toEqual([]);
    expect(rows.length).toBeGreaterThan(60);
  });

  test('says of each promise in which test of which file it is shown, and nothing besides', () => {
    const written = (what: string) =>
      Object.entries(
        Object.groupBy(
          shown.filter((one) => one.what === what),
          ({ file }) => file,
        ),
      )
        .map(([file, names = []]) => `\`${file}\`: ${names.map(({ name, cases }) => [`"${name}"`, ...cases.map((one) => `(${one})`)].join(' ')).join(', ')}`)
        .join('; ');
    expect(rows.filter((cells) => cells.length !== 3 || written(cells[0] ?? '') !== cells[2])).toEqual([]);
  });

  test('names tests that are there, by their exact names, each of them one', () => {
    expect(shown.filter(({ file }) => !existsSync(join(CHECKOUT, file)))).toEqual([]);
    const wrong = shown.filter(({ file, name }) => namesIn(file).filter((one) => one === name).length !== 1);
    expect(wrong.map(({ file, name }) => `${file}: "${name}"`)).toEqual([]);
  });

  test('names cases that are there, each as a text of the file', () => {
    const wrong = shown.flatMap(({ file, cases }) => cases.filter((one) => !read(file).includes(`'${one}'`)).map((one) => `${file}: (${one})`));
    expect(wrong).toEqual([]);
  });
});
