/**
 * `npm run walk -- --seed S --days N`: a team's days with Weft, by chance. Prints its seed first, and the shortest history that shows the same, where something was
 * not as it must be. Exits with 0 only if nothing was.
 *
 *   --seed S       (1)
 *   --days N       (200)
 *   --of N         so many days are one walk, in a database of its own (40)
 *   --only N       just this walk of the seed
 *   --whole        a history is said as it was, and is not shortened
 *   --tell         a line for each day
 *   --often T=N    this of chance.ts's tempers in each walk, so many times as often: move=12, say; more than once
 *
 * The server is that of the tests (CONTRIBUTING.md), so the same variable chooses its version.
 */
import { parseArgs } from 'node:util';
import { startOwnServer } from '../support/own_server.ts';
import { leave, sql } from '../support/sql.ts';
import { makeDay, type Trait } from './chance.ts';
import { type Day, describeDay } from './history.ts';
import { shorten } from './shorten.ts';
import { type Databases, newTally, type Tally } from './state.ts';
import { walk } from './walk.ts';

export interface CampaignOptions {
  readonly seed: number;
  readonly days: number;
  readonly daysOfOne: number;
  readonly only?: number | undefined;
  readonly isShortened: boolean;
  readonly isTold?: boolean | undefined;
  readonly often?: Partial<Record<Trait, number>> | undefined;
  readonly say: (line: string) => void;
}

export interface Campaign {
  readonly tally: Tally;
  readonly days: number;
  /** Of each walk that met one: what was not as it must be. */
  readonly faults: readonly string[];
}

export async function playCampaign(databases: Databases, { seed, days, daysOfOne, only, isShortened, isTold, often, say }: CampaignOptions): Promise<Campaign> {
  const tally = newTally();
  const faults: string[] = [];
  let played = 0;
  for (let number = 1; (number - 1) * daysOfOne < days; number += 1) {
    if (only !== undefined && only !== number) continue;
    const length = Math.min(daysOfOne, days - (number - 1) * daysOfOne);
    const walked = await walk(databases, (state, ordinal) => {
      if (ordinal > length) return null;
      const day = makeDay(seed * 1009 + number, ordinal, state, often);
      if (isTold === true) say(`walk ${number}, ${describeDay(day)}`);
      return day;
    });
    for (const key of Object.keys(tally) as (keyof Tally)[]) tally[key] += walked.tally[key];
    played += walked.days.length;
    if (walked.fault === null) continue;
    const { kind, lines } = walked.fault;
    faults.push(`walk ${number}, day ${walked.days.length}: ${kind}`);
    say(`✗ walk ${number}, day ${walked.days.length}: ${kind}\n${lines.map((line) => `    ${line}`).join('\n')}`);
    const listed = (list: readonly Day[]): string => list.map((day) => `    ${describeDay(day)}`).join('\n');
    say(listed(walked.days));
    if (!isShortened) continue;
    const shows = async (tried: readonly Day[]): Promise<boolean> => (await replay(databases, tried)).fault?.kind === kind;
    const shortest = await shorten(walked.days, shows);
    const again = await replay(databases, shortest);
    say(`  the same, in ${shortest.length} days:\n${listed(shortest)}`);
    say(`  ${again.fault === null ? 'played once more, it does not show' : `${again.fault.kind}: ${again.fault.lines.join('\n    ')}`}`);
    say(`  again: npm run walk -- --seed ${seed} --days ${number * daysOfOne} --of ${daysOfOne} --only ${number}`);
  }
  return { tally, days: played, faults };
}

/** The days as they stand, and a look behind the last of them. */
export function replay(databases: Databases, days: readonly Day[]): ReturnType<typeof walk> {
  return walk(
    databases,
    (_, number) => days[number - 1] ?? null,
    (number) => number === days.length,
  );
}

const readOften = (said: readonly string[]): Partial<Record<Trait, number>> =>
  Object.fromEntries(said.map((one) => one.split('=')).map(([trait, times]) => [trait, Number(times)]));

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      days: { type: 'string', default: '200' },
      of: { type: 'string', default: '40' },
      only: { type: 'string' },
      whole: { type: 'boolean', default: false },
      often: { type: 'string', multiple: true },
      tell: { type: 'boolean', default: false },
    },
  });
  const server = await startOwnServer();
  const databases: Databases = {
    make: async () => {
      const url = await server.createDatabaseWithEngine();
      const name = new URL(url).pathname.slice(1);
      return {
        url,
        drop: async () => {
          await leave(url);
          await sql(server.postgres.url, `drop database ${name} with (force)`);
        },
      };
    },
  };
  const [seed, days, daysOfOne] = [Number(values.seed), Number(values.days), Number(values.of)];
  const beganAt = performance.now();
  console.log(`seed ${seed}, ${days} days, ${daysOfOne} in a database`);
  const only = values.only === undefined ? undefined : Number(values.only);
  const campaign = await playCampaign(databases, {
    seed,
    days,
    daysOfOne,
    only,
    isShortened: !values.whole,
    isTold: values.tell,
    often: readOften(values.often ?? []),
    say: (line) => console.log(line),
  });
  const met = Object.entries(campaign.tally).map(([what, count]) => `${count} ${what}`);
  console.log(`${campaign.days} days in ${Math.round((performance.now() - beganAt) / 1000)} s: ${met.join(', ')}`);
  console.log(campaign.faults.length === 0 ? 'all as it must be' : `WRONG: ${campaign.faults.join('; ')}`);
  await server.postgres.stop();
  process.exit(campaign.faults.length === 0 ? 0 : 1);
}
