import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseStrictJson } from '../../src/config/strict_json.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { problemOf } from './problems.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('parse_strict_json', () => {
  it('reads whatever JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8, noUnicodeString: false }), fc.constantFrom(undefined, 2, '\t'), (value, indent) => {
        fc.pre(!JSON.stringify(value).includes('"__proto__":') && JSON.stringify(value).isWellFormed() && !/\\ud[89a-f]/i.test(JSON.stringify(value)));
        const text = JSON.stringify(value, null, indent);
        expect(parseStrictJson(bytes(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  it('refuses exactly what JSON.parse refuses, for any text of JSON tokens', () => {
    const token = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"b\\n"',
      '"\\x"',
      '"',
      '1',
      '-0.5e+3',
      '01',
      '1.',
      '.5',
      '-',
      '+1',
      'true',
      'nul',
      'NaN',
      ' ',
      '\n',
      '\u00a0',
      '\\',
    );
    const usual = fc.constantFrom('{"a":', '[', '1', ']', '}', ',', '"b":', 'null');
    fc.assert(
      fc.property(fc.oneof(fc.array(token, { maxLength: 6 }), fc.array(usual, { maxLength: 8 })), (tokens) => {
        const text = tokens.join('');
        let value: unknown;
        let isJson = true;
        try {
          value = JSON.parse(text);
        } catch {
          isJson = false;
        }
        let strict: unknown;
        let isStrict = true;
        let detail = '';
        try {
          strict = parseStrictJson(text);
        } catch (error) {
          isStrict = false;
          detail = String(error);
        }
        if (detail.includes('a second time')) return;
        expect(isStrict, detail).toBe(isJson);
        if (isJson) expect(strict).toEqual(value);
      }),
      { numRuns: 3000 },
    );
  });

  const deep = (count: number) => '['.repeat(count) + ']'.repeat(count);
  it('takes nesting up to json_depth', () => {
    expect(parseStrictJson(deep(LIMITS.json_depth))).toBeTruthy();
  });

  it.each([
    ['a doubled key', '{"a":1,\n "a":2}', 'Line 2, column 2: the key "a" stands in its object a second time here.'],
    ['a doubled key deep inside', '{"a":[{"b":{"c":1,"d":2,"c":3}}]}', 'Line 1, column 25: the key "c"'],
    ['a doubled key behind an escape', '{"a":1,"\\u0061":2}', 'Line 1, column 8: the key "a"'],
    ['the key __proto__', '{"__proto__":{}}', 'Line 1, column 2: the key "__proto__" is not read.'],
    [
      'too deep nesting',
      deep(LIMITS.json_depth + 1),
      `Line 1, column ${LIMITS.json_depth + 1}: objects and arrays stand more than 32 deep in each other here (json_depth).`,
    ],
    ['a million open arrays', '['.repeat(1_000_000), 'json_depth'],
    ['half of a surrogate pair', '["\\ud800"]', 'Line 1, column 2: this string holds half of a surrogate pair'],
    ['a byte order mark', '\ufeff{}', 'Line 1, column 1: a value is expected here.'],
    ['an empty document', '', 'Line 1, column 1: a value is expected here.'],
    ['two documents', '{} {}', 'Line 1, column 4: the document is over here'],
    ['a comma before the end of an object', '{"a":1,}', 'Line 1, column 8: a key in double quotes is expected here.'],
    ['a comma before the end of an array', '[1,]', 'Line 1, column 4: a value is expected here.'],
    ['a wrong closer', '[1}', 'Line 1, column 3: "," or "]" is expected here.'],
    ['a missing colon', '{"a" 1}', 'Line 1, column 6: ":" is expected here.'],
    ['a line break in a string', '["a\nb"]', 'Line 1, column 4: a control character must be escaped.'],
    ['an unknown escape', '["\\a"]', 'Line 1, column 3: this is no escape that JSON has.'],
    ['a string without an end', '{"a":"b', 'Line 1, column 6: the string that begins here does not end.'],
    ['a number of 65 digits', `[${'1'.repeat(65)}]`, 'Line 1, column 66'],
  ])('refuses %s, with its place', async (_name, text, detail) => {
    const problem = await problemOf(() => parseStrictJson(bytes(text)));
    expect(problem.slug).toBe('malformed_json');
    expect(problem.message).toContain(detail);
  });

  it.each([
    ['at the beginning', [0xff, 0x7b, 0x7d], 0],
    ['in the middle', [0x5b, 0x22, 0xc3, 0x28, 0x22, 0x5d], 2],
    ['cut at the end', [0x22, 0x61, 0xe2, 0x82], 2],
    ['an encoded surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22], 1],
  ])('refuses bytes that are not UTF-8, %s, with the byte', async (_name, input, byte) => {
    const problem = await problemOf(() => parseStrictJson(Uint8Array.from(input)));
    expect(problem.slug).toBe('malformed_json');
    expect(problem.facts).toEqual({ byte });
  });

  it('repeats nothing of the document but a doubled key', async () => {
    for (const text of ['{"password":hunter2}', '{"a":"hunter2}', '"hunter2\\q"']) {
      expect((await problemOf(() => parseStrictJson(text))).message).not.toContain('hunter2');
    }
  });
});
