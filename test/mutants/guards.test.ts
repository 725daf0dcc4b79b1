/** The list of the guards is about what is there. That each test fails when its guard is broken is shown by `npm run mutants`. */
import { describe, expect, it } from 'vitest';
import { read } from '../house/house.ts';
import { MUTANTS } from './mutants.ts';

describe('a guard that can be broken on purpose', () => {
  it.each(MUTANTS)('$guard: stands where the list says, and so does its test', ({ file, find, replace, test, named }) => {
    expect(read(file).split(find).length - 1, `how often ${file} has it`).toBe(1);
    expect(read(file).replace(find, () => replace)).not.toBe(read(file));
    expect(read(test)).toContain(named);
  });
});
