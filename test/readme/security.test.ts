/** docs/SECURITY.md: each promise names a test that is there. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CHECKOUT } from '../../src/dev/places.ts';
import { read } from '../house/house.ts';

const [, promises = ''] = read('docs/SECURITY.md').split('| what | is held by | shown in |\n');
const rows = promises
  .slice(0, promises.indexOf('\n\n'))
  .split('\n')
  .slice(1)
  .map((row) => row.split(' | ').map((cell) => cell.replace(/^\||\|$/g, '').trim()));

describe('SECURITY.md', () => {
  test('has promises', () => {
    expect(rows.length).toBeGreaterThan(15);
  });

  test.each(rows)('"%s" is shown by a test that is there', (_what, _how, shown = '') => {
    const [, file = '', name = ''] = /^`([^`]+)`: "(.+)"$/.exec(shown) ?? [];
    expect(existsSync(join(CHECKOUT, file)), shown).toBe(true);
    expect(read(file)).toContain(name);
  });
});
