/** What a glob means, held against picomatch, and in which time. */
import fc from 'fast-check';
import picomatch from 'picomatch/posix.js';
import { expect, it } from 'vitest';
import { makeGlob } from '../../src/bundle/glob.ts';
import { pairUndos } from '../../src/bundle/undo.ts';

it('means what picomatch takes it for', () => {
  const letter = fc.constantFrom('a', 'b', '1');
  const name = fc.array(letter, { minLength: 1, maxLength: 4 }).map((letters) => letters.join(''));
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `${names.join('/')}.sql`);
  const part = fc.oneof(
    fc.constant('**'),
    fc
      .array(fc.oneof(letter, fc.constantFrom('*', '?', '[ab]', '[^a]', '[a-b]', '{a,b1}', '{a,{b,1}}')), { minLength: 1, maxLength: 3 })
      .map((tokens) => tokens.join('').replace(/\*+/g, '*')),
  );
  const glob = fc
    .tuple(fc.array(part, { maxLength: 3 }), part, fc.constantFrom('', '.sql', '.*'))
    .map(([folders, last, end]) => [...folders, last === '**' ? `*${end}` : `${last}${end}`].join('/'));
  let met = 0;
  fc.assert(
    fc.property(glob, path, (pattern, one) => {
      const expected = picomatch(pattern, { windows: false, nonegate: true })(one);
      if (expected) met += 1;
      expect([pattern, one, makeGlob(pattern)?.(one)]).toEqual([pattern, one, expected]);
    }),
    { seed: 47, numRuns: 20_000 },
  );
  expect(met).toBeGreaterThan(500);
});

it('of many wildcards is told too, and braces that come to a million files are not', () => {
  expect(makeGlob(`${'*a'.repeat(40)}*b.sql`)?.(`${'a'.repeat(400)}.sql`)).toBe(false);
  expect(makeGlob(`${'**/a/'.repeat(40)}b.sql`)?.(`${'a/'.repeat(400)}c.sql`)).toBe(false);
  expect(makeGlob(`${'*a'.repeat(40)}*b.sql`)?.(`${'a'.repeat(400)}b.sql`)).toBe(true);
  expect(makeGlob('{a,b}'.repeat(20))).toBe(null);
});

it('and so is what each of them stands for in the path of an undo file', () => {
  const [many, name] = [`${'*a'.repeat(20)}*c*b.sql`, `aac${'a'.repeat(20)}c${'a'.repeat(60)}b.sql`];
  const { undos } = pairUndos([name, `undo/${name}`], many, [name], `undo/${many}`, 1);
  expect([...undos]).toEqual([[name, `undo/${name}`]]);
  expect([...pairUndos(['x/y/a_b_c.sql', 'u/y/a_b-c.sql'], 'x/**/*_*.sql', ['x/y/a_b_c.sql'], 'u/**/*-*.sql', 1).undos]).toEqual([
    ['x/y/a_b_c.sql', 'u/y/a_b-c.sql'],
  ]);
});
