import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TextCheck } from '../../src/bundle/text.ts';
import { Problem } from '../../src/domain/problem.ts';
import { problemOf, SEED } from './support.ts';

function check(...parts: readonly (Uint8Array | readonly number[] | string)[]): void {
  const text = new TextCheck('a.sql');
  for (const part of parts) text.push(typeof part === 'string' ? new TextEncoder().encode(part) : Uint8Array.from(part));
  text.end();
}

describe('TextCheck', () => {
  it('takes UTF-8, with a byte order mark, and with a character cut between two parts', () => {
    check('');
    check([0xef, 0xbb, 0xbf], 'select 1');
    check([0xf0], [0x9f], [0xa7], [0xb5]);
    check('é', [0xe7], [0xb9, 0x94], '物');
  });

  it.each([
    ['a NUL', ['ab\0c'], 2],
    ['a NUL in a later part', ['abc', 'd\0'], 4],
    ['Latin-1', [[0x61, 0xe9, 0x62]], 1],
    ['a lone continuation byte', [[0x61, 0x80]], 1],
    ['an over-long form', [[0xc0, 0xaf]], 0],
    ['an over-long form of three bytes', [[0xe0, 0x80, 0xaf]], 0],
    ['half a surrogate pair', [[0x61, 0xed, 0xa0, 0x80]], 1],
    ['a code point above U+10FFFF', [[0xf4, 0x90, 0x80, 0x80]], 0],
    ['a character cut off by the end', ['abc', [0xe7, 0xb9]], 3],
    ['a character that another part does not go on with', ['abc', [0xe7], 'd'], 3],
    ['the earlier of a NUL and a bad byte', [[0x61, 0x00, 0xff, 0x61]], 1],
    ['UTF-16', [[0xff, 0xfe, 0x61, 0x00]], 0],
  ])('refuses %s, and names the path and the byte', async (_, parts, byte) => {
    const problem = await problemOf(() => check(...parts), 'not_utf8');
    expect(problem.facts).toEqual({ path: 'a.sql', byte });
    expect(problem.message).toContain(`"a.sql" is not UTF-8 text: at byte ${byte}`);
  });

  it('finds the same byte as TextDecoder, wherever the parts are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0x41, 0x80, 0xbf, 0xc3, 0xa9, 0xe0, 0xa0, 0xed, 0x9f, 0xf0, 0x90, 0xf4, 0x8f)), fc.nat(20), (numbers, at) => {
        const bytes = Uint8Array.from(numbers);
        // The longest prefix that a lenient reader leaves alone ends where its first replacement character begins.
        const replaced = new TextDecoder().decode(bytes).indexOf('\ufffd');
        const expected = replaced < 0 ? null : new TextEncoder().encode(new TextDecoder().decode(bytes).slice(0, replaced)).length;
        let found: unknown = null;
        try {
          check(bytes.subarray(0, at), bytes.subarray(at));
        } catch (error) {
          found = error instanceof Problem ? error.facts.byte : error;
        }
        expect(found).toBe(expected);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});
