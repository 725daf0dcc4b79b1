/** The walk in small: some days of it, and that it finds what is wrong, and says so in few days. `npm run walk` goes on for as long as one likes. */
import { expect, it } from 'vitest';
import { freshDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { playCampaign, replay } from './campaign.ts';
import type { Day } from './history.ts';
import { shorten } from './shorten.ts';
import type { Databases } from './state.ts';

const SEED = 7;

const databases: Databases = { make: freshDatabase };

it('days of a team, by chance, leave what plain SQL makes of the same files', async () => {
  const said: string[] = [];
  const campaign = await playCampaign(databases, { seed: SEED, days: 10, daysOfOne: 10, isShortened: false, say: (line) => said.push(line) });
  expect(campaign.faults, said.join('\n')).toEqual([]);
  expect(campaign.days).toBe(10);
});

const deploy = { do: 'deploy', isRehearsed: false, isRepeated: false } as const;

const DAYS: readonly Day[] = [
  { number: 1, edits: [{ do: 'add', id: 11, kind: 'table', parents: [] }], deed: { ...deploy, isRehearsed: true } },
  { number: 2, edits: [{ do: 'add', id: 21, kind: 'index', parents: [11] }], deed: { do: 'nothing' } },
  {
    number: 3,
    edits: [
      { do: 'add', id: 31, kind: 'view', parents: [11] },
      { do: 'add', id: 32, kind: 'column', parents: [11] },
    ],
    deed: { ...deploy, isRepeated: true },
  },
  { number: 4, edits: [{ do: 'change', id: 31 }], deed: deploy },
];

/** Databases whose engine is not what it should be. */
const broken = (change: string): Databases => ({
  make: async () => {
    const database = await freshDatabase();
    await sql(database.url, change);
    return database;
  },
});

it('a history is made as short as it still shows its fault', async () => {
  // drift is told where nobody was at it
  const drift = { verdict: 'drift', reason: null, fingerprint: { before: null, after: null }, count: 1, objects: [], since: null, running: null };
  const blind = broken(`create or replace function weft.describe_drift() returns jsonb language sql as $$ select '${JSON.stringify(drift)}'::jsonb $$`);
  const { fault, days } = await replay(blind, DAYS);
  expect(fault?.kind, fault?.message).toBe('drift');
  const shortest = await shorten(days, async (tried) => (await replay(blind, tried)).fault?.kind === 'drift');
  expect(shortest).toEqual([{ ...DAYS[0], deed: deploy }]);
});
