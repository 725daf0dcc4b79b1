/**
 * `npm run chaos:workers -- --seed S --rounds N`: real Workers die, two of them before the same database. The bundle is the one of the campaign, the
 * judgement too; what is done is the plan's: a request that dies after so many messages, at whichever await that is; workerd killed at any time; a client
 * that hangs up; the same request at both Workers at once. Then it is sent again, until the deployment is over.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { childrenOf, commandLineOf } from '../../src/dev/processes.ts';
import { isOver } from '../../src/domain/deployment.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { DEPLOYMENTS, inlineFiles, makeRequests, type Requests } from '../http/requests.ts';
import { BUNDLE } from './bundle.ts';
import { type End, judge, Watcher } from './facts.ts';
import { randomOf } from './plan.ts';
import { compare, endLane, type Lane, makeDatabase, startLane } from './round.ts';
import { DEPLOY } from './stories.ts';

const ORIGIN = 'https://weft.test';
const wait_seconds = 20;
const deliveries_count_max = 40;
/** Of the messages of an undisturbed request: what one takes at least that attaches. */
const attaching_share = 0.35;
/** What a test has time for: to start workerd again takes longer than a deployment. */
const killed_every_rounds = 4;

export interface WorkersTally {
  readonly played: number;
  /** Requests that died while the deployment was not over. */
  readonly deaths: number;
  /** Times that workerd was killed, and that a client hung up. */
  readonly killed: number;
  readonly hungUp: number;
  readonly deliveries: number;
  readonly looks: number;
  readonly failed: readonly { readonly round: number; readonly faults: readonly string[] }[];
}

export interface WorkersOptions {
  readonly seed: number;
  readonly rounds: number;
  readonly say: (line: string) => void;
}

/** Two Workers, and the database before which they stand: always the same name, a new database each round. */
class Pair {
  /** When requests died, in milliseconds since 1970. */
  readonly deaths: number[] = [];
  /** Of the first request that lived to answer. */
  messages = 0;
  readonly requests: Requests;
  #workers: LocalWorker[] = [];
  readonly #options: Parameters<typeof startWorker>[0];

  constructor(url: string, relayPort: number) {
    const secrets = { ci: generateSecret(), watcher: generateSecret(), reader: generateSecret(), stranger: generateSecret() };
    this.requests = makeRequests({ origin: ORIGIN, secrets, now: () => Date.now(), makeId: () => crypto.randomUUID() });
    this.#options = {
      entry: join(import.meta.dirname, 'dying_worker.ts'),
      config: {
        origin: ORIGIN,
        targets: { staging: { database: 'URL', transport: 'websocket', proxy: `127.0.0.1:${relayPort}/v1`, insecure: true } },
        callers: { ci: { secrets: ['CI'] } },
        grants: [{ caller: 'ci', targets: ['*'], actions: ['deploy', 'read'] }],
      },
      secrets: { URL: url, CI: secrets.ci },
      onLog: (line) => {
        if (line.includes('DIED')) this.deaths.push(Date.now());
        const [, messages] = /LIVED (\d+)/.exec(line) ?? [];
        this.messages ||= Number(messages ?? 0);
      },
    };
  }

  async start(): Promise<void> {
    for (let one = 0; one < 2; one += 1) this.#workers.push(await startWorker(this.#options));
  }

  async stop(): Promise<void> {
    for (const worker of this.#workers) await worker.stop();
  }

  /** As the machine under it would: nobody is told. Another one comes to the same address. */
  async killOne(one: number): Promise<void> {
    const worker = this.#workers[one] as LocalWorker;
    const { port } = new URL(worker.origin);
    for (const pid of childrenOf(process.pid)) if (commandLineOf(pid).includes(`=127.0.0.1:${port} `)) process.kill(pid, 'SIGKILL');
    await worker.stop().catch(() => undefined);
    this.#workers[one] = await startWorker({ ...this.#options, port: Number(port) });
  }

  /** @returns the state that the answer tells; null where there is none */
  async send(one: number, init: RequestInit, diesAfter: number | null, signal: AbortSignal): Promise<string | null> {
    const headers = { ...(init.headers as Record<string, string>), ...(diesAfter === null ? {} : { 'x-dies-after': String(diesAfter) }) };
    try {
      const answer = await (this.#workers[one] as LocalWorker).fetch(DEPLOYMENTS, { ...init, headers, signal });
      return ((await answer.json()) as { state?: string }).state ?? null;
    } catch {
      return null;
    }
  }
}

/** Plays it. */
export async function playWorkers({ seed, rounds, say }: WorkersOptions): Promise<WorkersTally> {
  const lane = await startLane(DEPLOY);
  let pair: Pair | null = null;
  const tally = { played: 0, deaths: 0, killed: 0, hungUp: 0, deliveries: 0, looks: 0, failed: [] as { round: number; faults: readonly string[] }[] };
  try {
    pair = new Pair(await makeDatabase(lane, 'weft_chaos_workers'), lane.relay.port);
    await pair.start();
    const { end: wanted } = await playOne(lane, pair, 0, () => 1, null);
    say(`seed ${seed}, ${rounds} rounds. Undisturbed, a request sees ${pair.messages} messages to and from its database.`);
    for (let round = 1; round <= rounds; round += 1) {
      const played = await playOne(lane, pair, round, randomOf(seed * 1_000_003 + round), wanted);
      tally.played += 1;
      for (const name of ['deaths', 'killed', 'hungUp', 'deliveries', 'looks'] as const) tally[name] += played[name];
      if (played.faults.length > 0) {
        tally.failed.push({ round, faults: played.faults });
        say(`✗ round ${round}\n${played.faults.map((fault) => `    ${fault}`).join('\n')}`);
      }
      if (round % 10 === 0) say(`${round} rounds, ${tally.deaths} requests died, ${tally.failed.length} failed`);
    }
    return tally;
  } finally {
    await pair?.stop();
    await endLane(lane);
  }
}

/** @param random always 1: undisturbed @param wanted null where nobody knows it yet */
async function playOne(lane: Lane, pair: Pair, round: number, random: () => number, wanted: End | null) {
  const url = await makeDatabase(lane, 'weft_chaos_workers');
  const some = (most: number): number => Math.floor(random() * most);
  const init = await pair.requests.post(
    pair.requests.makeRequest({ folder: 'chaos', id: `workers-${round}-${lane.server.postgres.port}`, files: inlineFiles(BUNDLE) }),
    {
      headers: { prefer: `wait=${wait_seconds}` },
    },
  );
  const diedBefore = pair.deaths.length;
  const watcher = new Watcher(url, lane.story);
  const kills: number[] = [];
  const hangUps: number[] = [];
  let blowsLeft = round === 0 ? 0 : 2 + some(8);
  let deliveries = 0;
  let state: string | null = null;
  while (!isOverState(state) && deliveries < deliveries_count_max) {
    deliveries += 1;
    blowsLeft -= 1;
    const kind = blowsLeft < 0 ? 1 : random();
    const isKilled = round % killed_every_rounds === 0 && kind < 0.3;
    const hangsUp = !isKilled && kind < 0.25;
    const done = new AbortController();
    const atMs = some(1000);
    const blow = async (): Promise<void> => {
      if (!isKilled && !hangsUp) return;
      await sleep(atMs, undefined, { signal: done.signal }).catch(() => undefined);
      if (done.signal.aborted) return;
      (isKilled ? kills : hangUps).push(Date.now());
      if (isKilled) await pair.killOne(0);
      else done.abort();
    };
    const dies = (): number | null => (isKilled || hangsUp || kind >= 1 ? null : 1 + some(pair.messages * (random() < 0.8 ? attaching_share : 1)));
    const both = kind < 0.4 ? [0, 1] : [some(2) % 2];
    const answers = both.map((one) => pair.send(one, init, dies(), hangsUp ? done.signal : new AbortController().signal));
    const [states] = await Promise.all([Promise.all(answers).finally(() => !hangsUp && !isKilled && done.abort()), blow()]);
    state = states.find(isOverState) ?? null;
  }
  await watcher.stop();
  const { end, discrepancies, leftovers, finishedAt } = await judge(url, lane.story);
  lane.relay.cutAll();
  const faults = [...watcher.found, ...leftovers, ...discrepancies, ...(wanted === null ? [] : compare(end, wanted))];
  if (!isOverState(state)) faults.push(`it is not over after ${deliveries} deliveries`);
  const count = (times: readonly number[]): number => times.filter((at) => finishedAt === null || at < finishedAt).length;
  return { end, faults, deaths: count(pair.deaths.slice(diedBefore)), killed: count(kills), hungUp: count(hangUps), deliveries, looks: watcher.looks };
}

function isOverState(state: string | null): boolean {
  return state !== null && isOver(state as Parameters<typeof isOver>[0]);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { seed: { type: 'string', default: '1' }, rounds: { type: 'string', default: '50' } } });
  const beganAt = performance.now();
  const { played, deaths, killed, hungUp, deliveries, looks, failed } = await playWorkers({
    seed: Number(values.seed),
    rounds: Number(values.rounds),
    say: (line) => console.log(line),
  });
  console.log(
    `seed ${values.seed}, ${played} rounds in ${Math.round((performance.now() - beganAt) / 1000)} s: before it was over, ${deaths} requests died, workerd was killed ${killed} times, ` +
      `and a client hung up ${hungUp} times; ${deliveries} deliveries, ${looks} looks of the watcher: ${failed.length === 0 ? 'no human act, no difference, nothing twice' : `${failed.length} FAILED`}`,
  );
  process.exitCode = failed.length === 0 ? 0 : 1;
}
