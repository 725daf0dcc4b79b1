import { expect, test } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { readWait } from '../../src/http/prefer.ts';

test.each([
  ['wait=10', 10],
  ['WAIT = "10"', 10],
  ['respond-async, wait=10', 10],
  ['wait=10; foo=bar', 10],
  ['wait=5, wait=9', 5],
  ['wait=0', 0],
  ['wait=99999', LIMITS.prefer_wait_seconds_max],
])('Prefer: %s waits %d seconds', (header, seconds) => {
  expect(readWait(header)).toBe(seconds);
});

test.each([[undefined], [''], ['wait'], ['wait=soon'], ['wait=-1'], ['wait=1.5'], ['await=10'], ['wait=x, wait=9']])('Prefer: %s is ignored', (header) => {
  expect(readWait(header)).toBeNull();
});
