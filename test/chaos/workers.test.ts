/** Real Workers that die, a few rounds of it. `npm run chaos:workers` plays more of them. */
import { expect, it } from 'vitest';
import { offers } from '../support/source.ts';
import { playWorkers } from './workers.ts';

it.runIf(offers('servers to kill'))(
  'whichever await of a Worker is its last, and though workerd itself is killed, the next request goes on: no difference, nothing twice',
  { timeout: 300_000 },
  async () => {
    const said: string[] = [];
    const tally = await playWorkers({ seed: 20_261_131, rounds: 4, say: (line) => said.push(line) });
    expect(tally.failed, said.join('\n')).toEqual([]);
    expect(tally.deaths).toBeGreaterThan(2);
  },
);
