import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matchesPattern, patternsMeet } from '../../src/config/pattern.ts';

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

describe('patterns_meet', () => {
  it.each([
    ['*', 'main', true],
    ['release/*', 'release/1', true],
    ['release/*', 'main', false],
    ['a*', '*b', true],
    ['a*b', 'a*c', false],
    ['*ab*', 'c*', true],
    ['', '*', true],
    ['ab', 'a', false],
  ])('%s and %s: %s', (one, other, expected) => {
    expect([patternsMeet(one, other), patternsMeet(other, one)]).toEqual([expected, expected]);
  });

  it('is so wherever a name matches both', () => {
    const text = (letters: string) => fc.array(fc.constantFrom(...letters), { maxLength: 5 }).map((parts) => parts.join(''));
    const names = ['', ...'ab'].flatMap((a) =>
      ['', ...'ab'].flatMap((b) => ['', ...'ab'].flatMap((c) => ['', 'a', 'b', 'ab', 'ba', 'aab', 'bba'].map((d) => a + b + c + d))),
    );
    fc.assert(
      fc.property(text('ab*'), text('ab*'), (one, other) => {
        // Short patterns that meet at all meet in a short name.
        const isMet = names.some((name) => matchesPattern(one, name) && matchesPattern(other, name));
        if (isMet) expect(patternsMeet(one, other)).toBe(true);
        else if (one.length + other.length <= 5) expect(patternsMeet(one, other)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });
});
