/** A short campaign in every test run; the long one is run by hand (docs/RELIABILITY.md says what it came to). */
import { expect, it } from 'vitest';
import { fuzz, judge } from './campaign.ts';

it('requests that nobody should send are answered with less than 500, leave nothing unhandled, and reach no database', async () => {
  const fuzzed = await fuzz({ seed: 7, requests: 1500, say: (line) => console.error(line) });
  expect(fuzzed.sent).toBe(1500);
  expect(judge(fuzzed)).toEqual([]);
  // Each layer has had something to refuse: who asks, what may be done, what is asked.
  for (const status of ['400', '401', '403', '404', '405', '415', '422']) expect(fuzzed.answers[status], status).toBeGreaterThan(0);
}, 120_000);
