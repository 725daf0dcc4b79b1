/**
 * `npm run chaos -- --seed S --rounds N`: deployments that are cut everywhere. Plan and seed are printed first; a round that failed is played again
 * by its number. Exits with 0 only if no round needed a human act and all came to the same end.
 *
 *   --seed S       (1)
 *   --rounds N     (200)
 *   --only N       just this round of that plan
 *   --lanes N      servers at work at the same time (2)
 */
import { parseArgs } from 'node:util';
import { startRelay } from '../../src/dev/relay.ts';
import { makeOrder } from '../support/orders.ts';
import { startOwnServer } from '../support/own_server.ts';
import { BUNDLE } from './bundle.ts';
import { type End, listDiscrepancies, readEnd } from './facts.ts';
import { describeRound, type Measure, planRounds, type Round, WAYS } from './plan.ts';
import { deliver, type Lane, makeDatabase, type Played, playRound } from './round.ts';

export interface CampaignOptions {
  readonly seed: number;
  readonly rounds: number;
  /** Just this round of the plan. */
  readonly only?: number | undefined;
  readonly lanes: number;
  readonly say: (line: string) => void;
}

export interface Tally {
  readonly played: number;
  /** Places where the first connection can be cut. */
  readonly places: number;
  /** Blows that met a deployment at work. */
  readonly hits: number;
  readonly triggers: number;
  readonly looks: number;
  /** Rounds that were not as they must be, each with what was wrong. */
  readonly failed: readonly { readonly round: string; readonly faults: readonly string[] }[];
}

/** Plays a campaign. */
export async function playCampaign({ seed, rounds, only, lanes, say }: CampaignOptions): Promise<Tally> {
  const stables: Lane[] = [];
  try {
    for (let lane = 0; lane < lanes; lane += 1) stables.push(await startLane());
    const [one] = stables;
    if (one === undefined) throw new Error('a campaign needs a lane');
    const { wanted, measure } = await measureUndisturbed(one);
    const { messages, milliseconds } = measure;
    const plan = planRounds(seed, rounds, measure);
    const counts = WAYS.map((way) => `${way}: ${messages[way]['to-server']} messages to the server, ${messages[way]['to-client']} to the client`).join('; ');
    say(
      `seed ${seed}, ${rounds} rounds. Undisturbed, a deployment takes ${milliseconds} ms (${counts}); its first connection can be cut in ${plan.places} places.`,
    );
    const queue = plan.rounds.filter(({ number }) => only === undefined || number === only);
    const results: { round: Round; played: Played }[] = [];
    const failed: { round: string; faults: readonly string[] }[] = [];
    const work = async (lane: Lane): Promise<void> => {
      for (let round = queue.shift(); round !== undefined; round = queue.shift()) {
        const played = await playRound(lane, round, wanted);
        results.push({ round, played });
        if (played.faults.length > 0) {
          failed.push({ round: describeRound(round), faults: played.faults });
          say(`✗ ${describeRound(round)}\n${played.faults.map((fault) => `    ${fault}`).join('\n')}`);
        }
        if (results.length % 100 === 0) say(`${results.length} rounds, ${failed.length} failed`);
      }
    };
    await Promise.all(stables.map(work));
    const sum = (of: (played: Played) => number): number => results.reduce((total, { played }) => total + of(played), 0);
    return {
      played: results.length,
      places: plan.places,
      hits: sum(({ hits }) => hits),
      triggers: sum(({ triggers }) => triggers),
      looks: sum(({ looks }) => looks),
      failed,
    };
  } finally {
    for (const { relay, server } of stables) {
      await relay.stop();
      await server.postgres.stop();
    }
  }
}

async function startLane(): Promise<Lane> {
  const server = await startOwnServer();
  return { server, relay: await startRelay({ to: { host: '127.0.0.1', port: server.postgres.port } }) };
}

/** What an undisturbed deployment comes to, either way, and what it takes. */
async function measureUndisturbed(lane: Lane): Promise<{ wanted: End; measure: Measure }> {
  const ends: End[] = [];
  const messages: Record<string, Record<'to-server' | 'to-client', number>> = {};
  let milliseconds = 0;
  for (const way of [...WAYS, ...WAYS]) {
    const url = await makeDatabase(lane);
    lane.relay.forget();
    const beganAt = performance.now();
    await deliver(lane, url, way, await makeOrder(BUNDLE, { bundle: 'chaos' }));
    milliseconds = Math.round(performance.now() - beganAt);
    const [first] = lane.relay.connections;
    messages[way] = { 'to-server': first?.toServer.messages ?? 0, 'to-client': first?.toClient.messages ?? 0 };
    const discrepancies = await listDiscrepancies(url);
    if (discrepancies.length > 0) throw new Error(`undisturbed, record and fact are not the same: ${discrepancies.join('; ')}`);
    ends.push(await readEnd(url));
  }
  const [wanted] = ends;
  if (wanted === undefined || ends.some((end) => JSON.stringify(end) !== JSON.stringify(wanted)))
    throw new Error('undisturbed deployments do not come to the same end');
  return { wanted, measure: { messages: messages as Measure['messages'], milliseconds } };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '200' },
      only: { type: 'string' },
      lanes: { type: 'string', default: '2' },
    },
  });
  const beganAt = performance.now();
  const tally = await playCampaign({
    seed: Number(values.seed),
    rounds: Number(values.rounds),
    only: values.only === undefined ? undefined : Number(values.only),
    lanes: Number(values.lanes),
    say: (line) => console.log(line),
  });
  const { played, hits, triggers, looks, failed } = tally;
  console.log(
    `${played} rounds, ${hits} blows that met a deployment at work, ${triggers} more triggers, ${looks} looks of the watcher, in ${Math.round((performance.now() - beganAt) / 1000)} s: ` +
      `${failed.length === 0 ? 'no human act, no difference, nothing twice' : `${failed.length} FAILED`}`,
  );
  process.exitCode = failed.length === 0 ? 0 : 1;
}
