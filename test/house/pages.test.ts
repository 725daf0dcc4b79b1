/** The pages for people: every command that they name exists, every file and heading that they point at is there. (test/readme/ runs their blocks.) */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { COMMANDS, COMMON_OPTIONS } from '../../src/cli/commands.ts';
import { CHECKOUT } from '../../src/dev/places.ts';
import { PAGES, readPage } from '../readme/snippets.ts';
import { read } from './house.ts';

const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };

/** Code of a page: its blocks and what stands between backticks, a piece each. */
function codeOf(text: string): string[] {
  const blocks = [...text.matchAll(/^```\w*\n([\s\S]*?)^```$/gm)].flatMap(([, block = '']) => block.split('\n'));
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '');
  return [...blocks, ...[...prose.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)];
}

/** Where links into a page may lead, as GitHub makes them of its headings. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of read(page)
    .replace(/^```[\s\S]*?^```$/gm, '')
    .matchAll(/^#+ (.+)$/gm)) {
    const slug = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-');
    for (let count = 0; ; count += 1) {
      const anchor = count === 0 ? slug : `${slug}-${count}`;
      if (!anchors.has(anchor)) {
        anchors.add(anchor);
        break;
      }
    }
  }
  return anchors;
}

const PLACES = [...PAGES, 'wrangler.toml', '.ci/run'];
const pieces = PLACES.flatMap((page) => {
  const text = page.endsWith('.md') ? readPage(page) : read(page);
  return (page.endsWith('.md') ? codeOf(text) : text.split('\n')).map((code) => ({ page, code }));
});

test('every npm script that is named exists', () => {
  const named = pieces.flatMap(({ page, code }) => [
    ...[...code.matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name = '']) => ({ page, name })),
    ...[...code.matchAll(/\bnpm (start|test)\b/g)].map(([, name = '']) => ({ page, name })),
  ]);
  expect(named.length).toBeGreaterThan(8);
  expect(named.filter(({ name }) => !(name in scripts))).toEqual([]);
});

test('every command of weft that is named exists, with its options', () => {
  const calls = pieces.flatMap(({ page, code }) =>
    [...code.matchAll(/(?:^|npx )weft ((?:config check|[a-z]+)\b)([^#|;&]*)/g)].map(([, name = '', rest = '']) => ({ page, name, rest })),
  );
  expect(calls.length).toBeGreaterThan(30);
  for (const { page, name, rest } of calls) {
    const command = COMMANDS.find((one) => one.name === name);
    expect(command, `${page}: weft ${name}`).toBeDefined();
    const known = { ...COMMON_OPTIONS, ...command?.options };
    for (const [, option = ''] of rest.matchAll(/--([a-z-]+)/g)) expect(known, `${page}: weft ${name} --${option}`).toHaveProperty([option]);
  }
});

describe.each(PAGES)('%s', (page) => {
  const text = readPage(page);

  test('points at files that are there', () => {
    const links = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link = '']) => link).filter((link) => !/^[a-z]+:/.test(link));
    expect(links.filter((link) => !existsSync(join(CHECKOUT, dirname(page), link)))).toEqual([]);
  });

  test('points at headings that are there', () => {
    const links = [...text.matchAll(/\]\(([^)#\s]*)#([^)\s]+)\)/g)].map(([link, path = '', anchor = '']) => ({ link, path, anchor }));
    const own = links.filter(({ path }) => !/^[a-z]+:/.test(path));
    const missing = own.filter(({ path, anchor }) => !anchorsOf(path === '' ? page : join(dirname(page), path)).has(anchor));
    expect(missing.map(({ link }) => link)).toEqual([]);
  });

  test('names files that are there', () => {
    const named = codeOf(text).flatMap((code) =>
      [...code.matchAll(/(?:^|[\s(])((?:src|sql|test|docs|examples|bench|\.ci)\/[\w./-]*\w\/?)/g)].map(([, path = '']) => path),
    );
    // ROOM stands for any.
    expect(named.filter((path) => !path.includes('ROOM') && !existsSync(join(CHECKOUT, path)))).toEqual([]);
  });
});
