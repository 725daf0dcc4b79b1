import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matchesPattern } from '../../src/config/pattern.ts';

describe('matches_pattern', () => {
  it.each([
    ['shop', 'shop', true],
    ['shop', 'shop2', false],
    ['shop', 'Shop', false],
    ['*', 'anything', true],
    ['preview-*', 'preview-', true],
    ['preview-*', 'preview-12', true],
    ['preview-*', 'my-preview-12', false],
    ['*-eu', 'shop-eu', true],
    ['a*a', 'a', false],
    ['a*b*c', 'a-bb-cc', true],
    ['a*bc*c', 'abc', false],
    ['a.c', 'abc', false],
  ])('%s on %s: %s', (pattern, name, expected) => {
    expect(matchesPattern(pattern, name)).toBe(expected);
  });

  it('agrees with a regular expression', () => {
    const text = (letters: string) => fc.array(fc.constantFrom(...letters), { maxLength: 8 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text('ab*'), text('ab'), (pattern, name) => {
        expect(matchesPattern(pattern, name)).toBe(new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name));
      }),
      { numRuns: 2000 },
    );
  });
});
