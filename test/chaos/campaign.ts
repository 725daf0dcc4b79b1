/**
 * `npm run chaos -- --seed S --rounds N`: deployments that are cut everywhere. Seed and plan are printed first, a line for each round; a round that failed is
 * said with the command that plays it again, from the very same plan. Exits with 0 only if no round needed a human act and all came to the same end.
 *
 *   --story NAME   what is done (deploy); all_stories.ts lists the others
 *   --seed S       (1)
 *   --rounds N     (200)
 *   --only N       just this round of that plan
 *   --lanes N      servers at work at the same time (2)
 *   --measure M    the plan as it was made where an undisturbed deployment took that, as the command for a round that failed has it
 *
 * SIGTERM ends it behind the rounds that are being played. It may be stopped and continued, with its servers: nothing in it counts on the time.
 */
import { STORIES } from './all_stories.ts';
import { describeRound, LEGEND, readChoice, replayCommand } from './described.ts';
import { type End, judge } from './facts.ts';
import { type Measure, planRounds, WAYS } from './plan.ts';
import { endLane, type Lane, type Met, makeDatabase, type Played, playRound, send, startLane, type Wanted } from './round.ts';
import { DEPLOY, type Story } from './stories.ts';

export interface CampaignOptions {
  /** What is told (default: a deployment). */
  readonly story?: Story | undefined;
  readonly seed: number;
  readonly rounds: number;
  /** Just this round of the plan. */
  readonly only?: number | undefined;
  readonly lanes: number;
  /** What an undisturbed deployment took where the plan was made (default: what it takes here). */
  readonly measure?: Measure | undefined;
  readonly say: (line: string) => void;
  /** No further round is begun. */
  readonly signal?: AbortSignal | undefined;
}

export interface Tally {
  readonly played: number;
  /** Places where the first connection can be cut. */
  readonly places: number;
  readonly met: Met;
  /** Cuts, signals, power cuts and departures that met a deployment before it was over. */
  readonly cutPoints: number;
  readonly triggers: number;
  readonly looks: number;
  /** Rounds that were not as they must be, each with what was wrong. */
  readonly failed: readonly { readonly round: string; readonly faults: readonly string[] }[];
}

/** Plays a campaign. */
export async function playCampaign(options: CampaignOptions): Promise<Tally> {
  const { story = DEPLOY, seed, rounds, only, lanes, say, signal } = options;
  const stables: Lane[] = [];
  try {
    for (let lane = 0; lane < lanes; lane += 1) stables.push(await startLane(story));
    const [one] = stables;
    if (one === undefined) throw new Error('a campaign needs a lane');
    const { wanted, measure: here } = await measureUndisturbed(one);
    const measure = options.measure ?? here;
    const { messages, milliseconds } = measure;
    const plan = planRounds(seed, rounds, measure);
    const counts = WAYS.map((way) => `${way}: ${messages[way]['to-server']} messages to the server, ${messages[way]['to-client']} to the client`).join('; ');
    say(
      `${story.name}: seed ${seed}, ${rounds} rounds. Undisturbed, it takes ${milliseconds} ms (${counts})${options.measure === undefined ? '' : ', where the plan was made'}; the first connection can be cut, delayed or doubled in ${plan.places} places.`,
    );
    const queue = plan.rounds.filter(({ number }) => only === undefined || number === only);
    for (const round of queue) say(describeRound(round));
    if (queue.some(({ blows }) => blows.some(({ kind }) => kind === 'storm'))) say(LEGEND);
    const beganAt = performance.now();
    const results: Played[] = [];
    const failed: { round: string; faults: readonly string[] }[] = [];
    const work = async (lane: Lane): Promise<void> => {
      for (let round = queue.shift(); round !== undefined && signal?.aborted !== true; round = queue.shift()) {
        const played = await playRound(lane, round, wanted).catch((error: unknown) => unplayed(error));
        results.push(played);
        if (played.faults.length > 0) {
          failed.push({ round: describeRound(round), faults: played.faults });
          const again = replayCommand({ story: story.name, seed, rounds, only, lanes, measure }, round.number);
          say(`✗ ${describeRound(round)}\n${played.faults.map((fault) => `    ${fault}`).join('\n')}\n    again: ${again}`);
        }
        if (results.length % 100 === 0)
          say(
            `${countCutPoints(sumUp(results))} cut points in ${results.length} rounds and ${Math.round((performance.now() - beganAt) / 1000)} s, ${failed.length} failed`,
          );
      }
    };
    await Promise.all(stables.map(work));
    return {
      played: results.length,
      places: plan.places,
      met: sumUp(results),
      cutPoints: countCutPoints(sumUp(results)),
      triggers: results.reduce((total, { triggers }) => total + triggers, 0),
      looks: results.reduce((total, { looks }) => total + looks, 0),
      failed,
    };
  } finally {
    for (const lane of stables) await endLane(lane);
  }
}

/** What keeps a round from being judged is a fault like any other. */
function unplayed(error: unknown): Played {
  return { faults: [`it could not be judged: ${error instanceof Error ? error.stack : error}`], met: NOTHING_MET, triggers: 0, looks: 0, milliseconds: 0 };
}

const NOTHING_MET: Met = { cuts: 0, earlyCuts: 0, signals: 0, powerCuts: 0, departures: 0, hindrances: 0, lockTimeouts: 0, lateRequests: 0, late: 0 };

function sumUp(results: readonly Played[]): Met {
  const sum = (of: keyof Met): number => results.reduce((total, { met }) => total + met[of], 0);
  return Object.fromEntries(Object.keys(NOTHING_MET).map((of) => [of, sum(of as keyof Met)])) as unknown as Met;
}

function countCutPoints({ cuts, earlyCuts, signals, powerCuts, departures }: Met): number {
  return cuts + earlyCuts + signals + powerCuts + departures;
}

/** What an undisturbed deployment comes to, either way, and what it takes. */
export async function measureUndisturbed(lane: Lane): Promise<{ wanted: Wanted; measure: Measure }> {
  const ends: End[] = [];
  const messages: Record<string, Record<'to-server' | 'to-client', number>> = {};
  let milliseconds = 0;
  let behindNewer: End | null = null;
  for (const way of [...WAYS, ...WAYS]) {
    const url = await makeDatabase(lane);
    const trigger = await lane.story.begin(url, 'undisturbed');
    lane.relay.forget();
    const beganAt = performance.now();
    const isOver = await send(lane, url, way, trigger);
    if (!isOver) throw new Error('undisturbed, one trigger is not enough');
    milliseconds = Math.round(performance.now() - beganAt);
    const [first] = lane.relay.connections;
    messages[way] = { 'to-server': first?.toServer.messages ?? 0, 'to-client': first?.toClient.messages ?? 0 };
    const { end, discrepancies } = await judge(url, lane.story);
    if (discrepancies.length > 0) throw new Error(`undisturbed, record and fact are not the same: ${discrepancies.join('; ')}`);
    ends.push(end);
    if (lane.story.newer === undefined) continue;
    if (!(await send(lane, url, way, await lane.story.newer('newer')))) throw new Error('undisturbed, a newer one is not over with one trigger');
    behindNewer = (await judge(url, lane.story)).end;
  }
  const [wanted] = ends;
  if (wanted === undefined || ends.some((end) => JSON.stringify(end) !== JSON.stringify(wanted)))
    throw new Error('undisturbed deployments do not come to the same end');
  return { wanted: { end: wanted, behindNewer }, measure: { messages: messages as Measure['messages'], milliseconds } };
}

if (import.meta.main) {
  const choice = readChoice(process.argv.slice(2));
  const beganAt = performance.now();
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  const story = STORIES.find(({ name }) => name === choice.story);
  if (story === undefined) throw new Error(`there is no story "${choice.story}"; there are ${STORIES.map(({ name }) => name).join(', ')}`);
  const tally = await playCampaign({ ...choice, story, say: (line) => console.log(line), signal: stop.signal });
  const { played, cutPoints, met, triggers, looks, failed } = tally;
  console.log(
    `${played} rounds in ${Math.round((performance.now() - beganAt) / 1000)} s: ${cutPoints} cut points, that is, blows that met a deployment before it was over ` +
      `(${met.cuts} connections cut and ${met.earlyCuts} cut before they were made, ${met.signals} times backends terminated or statements cancelled, ${met.powerCuts} power cuts, ${met.departures} clients gone); ` +
      `beside them ${met.hindrances} rival's locks, full houses, delays and connections made twice, ${met.lockTimeouts} times a lock was not to be had in its time, ` +
      `${met.lateRequests} requests once more when all was over, and ${met.late} blows when it was over and its client had not heard of it. ` +
      `${triggers} more triggers, ${looks} looks of the watcher: ` +
      `${failed.length === 0 ? 'no human act, no difference, nothing twice' : `${failed.length} FAILED`}`,
  );
  // after thousands of rounds Node itself may not come to an end of its own handles
  process.exit(failed.length === 0 ? 0 : 1);
}
