/** What pages list, held against the sources: a row for each, and no row for what is gone. */
import { expect, test } from 'vitest';
import { filesIn, read } from './house.ts';

/** The rows of the tables below a heading of a page, up to the next heading, each as its cells. */
function rowsBelow(page: string, heading: string): string[][] {
  const [, below = ''] = read(page).split(`\n${heading}\n`);
  const [section = ''] = below.split(/^#+ /m);
  const rows = section.split('\n').filter((line) => line.startsWith('|') && !line.startsWith('|---'));
  expect(rows.length, `${page}: ${heading}`).toBeGreaterThan(1);
  return rows.map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** What stands between backticks in the first cell of each row. */
function namesBelow(page: string, heading: string): string[] {
  return rowsBelow(page, heading).flatMap(([first = '']) => [...first.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
}

const FLOORS = filesIn('sql').filter((file) => /^sql\/\d\d_\w+\.sql$/.test(file));

test('ARCHITECTURE.md says of every floor of sql/ what it is, and names none that is gone', () => {
  expect(namesBelow('ARCHITECTURE.md', '### `sql/`: the engine, in floors').sort()).toEqual(FLOORS);
});
