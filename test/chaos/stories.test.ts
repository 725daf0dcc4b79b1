/** What else is cut than a deployment, a few rounds of each. `npm run chaos -- --story NAME` plays more of them. */
import { expect, it } from 'vitest';
import { offers } from '../support/source.ts';
import { STORIES } from './all_stories.ts';
import { playCampaign } from './campaign.ts';
import { DEPLOY } from './stories.ts';

const SEED = 20_261_130;
/** The last three of them are storms. */
const ROUNDS = 8;

it.runIf(offers('servers to kill')).each(STORIES.filter((story) => story !== DEPLOY))(
  '$name, cut, comes to the end of an undisturbed one: no human act, no difference, nothing twice',
  { timeout: 300_000 },
  async (story) => {
    const said: string[] = [];
    const tally = await playCampaign({ story, seed: SEED, rounds: ROUNDS, lanes: 1, say: (line) => said.push(line) });
    expect(tally.failed, said.join('\n')).toEqual([]);
    expect(tally.cutPoints).toBeGreaterThan(ROUNDS);
  },
);
