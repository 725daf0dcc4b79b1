/**
 * One round: a new database, a deployment, what the plan does to it, and the same trigger again until it is over. Then the judgement: the same
 * catalog and rows as of an undisturbed deployment, each effect once, nothing left behind, and record equal to fact at every look.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { connectTo } from '../../src/database/connect.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import type { PlannedFault, Relay } from '../../src/dev/relay.ts';
import { type Deployment, isOver } from '../../src/domain/deployment.ts';
import { Problem } from '../../src/domain/problem.ts';
import { setLimits } from '../support/limits.ts';
import { makeOrder, type TestOrder } from '../support/orders.ts';
import type { OwnServer } from '../support/own_server.ts';
import { sql } from '../support/sql.ts';
import { BUNDLE, TABLES } from './bundle.ts';
import { type End, listDiscrepancies, listLeftovers, readEnd, WATCHER, Watcher } from './facts.ts';
import type { Blow, Round, Way } from './plan.ts';

const trigger_deadline_ms = 20_000;
const triggers_count_max = 10;
const shown_characters = 600;

/** What waits for minutes in life waits for a second here. */
const LIMITS = { directive_silence_seconds: 1, client_silence_seconds: 1, look_again_ms: 50, attempts_without_progress_count: 1000 };

/** A server of its own, and the relay before it; one round at a time. */
export interface Lane {
  readonly server: OwnServer;
  readonly relay: Relay;
}

export interface Played {
  /** What was wrong: none where all is as it must be. */
  readonly faults: readonly string[];
  /** Blows that met a deployment at work. */
  readonly hits: number;
  readonly triggers: number;
  readonly looks: number;
  readonly milliseconds: number;
}

/** A database before the deployment. */
export async function makeDatabase({ server }: Lane): Promise<string> {
  const url = await server.createDatabaseWithEngine();
  await sql(url, TABLES);
  await setLimits(url, LIMITS);
  return url;
}

export function deliver(lane: Lane, url: string, way: Way, order: TestOrder, signal?: AbortSignal): Promise<Deployment> {
  const address = new URL(url);
  if (way === 'tcp') address.port = String(lane.relay.tcpPort);
  const proxy = { proxy: `127.0.0.1:${lane.relay.port}/v1`, insecure: true };
  const connect = connectTo({ connectionString: address.href, transport: way, ...(way === 'websocket' ? proxy : {}) });
  return deploy({ connect, ...order, chunksAgain: true, deadlineMs: trigger_deadline_ms, signal }).done;
}

/** Plays a round, and judges. @param wanted the end of an undisturbed deployment */
export async function playRound(lane: Lane, round: Round, wanted: End): Promise<Played> {
  const beganAt = performance.now();
  const url = await makeDatabase(lane);
  const order = await makeOrder(BUNDLE, { id: `round-${round.number}`, bundle: 'chaos' });
  const faults: string[] = [];
  const watcher = new Watcher(url);
  const away = new AbortController();
  const leave = (): void => {
    if (!round.stays) away.abort();
  };
  const first = lane.relay.connections.at(-1)?.number ?? 0;
  const blows = round.blows.map((blow) => strike(lane, url, blow, first, leave));
  const clients = Array.from({ length: round.clients }, () =>
    deliver(lane, url, round.way, order, away.signal).catch((error: unknown) => judgeProblem(error, faults)),
  );
  const answers = await Promise.all(clients);
  if (!round.stays) away.abort();
  let deployment = answers.find((answer) => answer !== null && isOver(answer.state)) ?? null;
  let triggers = 0;
  while (deployment === null && triggers < triggers_count_max) {
    triggers += 1;
    const answer = await deliver(lane, url, round.way, order).catch((error: unknown) => judgeProblem(error, faults));
    if (answer !== null && isOver(answer.state)) deployment = answer;
  }
  const hits = (await Promise.all(blows.map((blow) => blow.stop()))).filter((isHit) => isHit).length;
  await watcher.stop();
  lane.relay.cutAll();
  if (deployment === null) faults.push(`it is not over after ${triggers} more triggers`);
  faults.push(...watcher.found, ...(await listLeftovers(url)), ...(await listDiscrepancies(url)), ...compare(await readEnd(url), wanted));
  if (faults.length === 0) await sql(lane.server.postgres.url, `drop database ${new URL(url).pathname.slice(1)} with (force)`);
  return { faults: [...new Set(faults)], hits, triggers, looks: watcher.looks, milliseconds: performance.now() - beganAt };
}

/** A trigger may end without an answer; it may not end in a way that leaves its sender without a word. */
function judgeProblem(error: unknown, faults: string[]): null {
  if (!(error instanceof Problem) || error.slug === 'internal')
    faults.push(`a trigger ended with ${error instanceof Error ? `${error.name}: ${error.message}` : error}`);
  return null;
}

function compare(end: End, wanted: End): string[] {
  const faults: string[] = [];
  if (end.fingerprint !== wanted.fingerprint) faults.push(`the fingerprint is ${end.fingerprint}, not ${wanted.fingerprint}`);
  for (const table of Object.keys({ ...wanted.rows, ...end.rows })) faults.push(...differences(table, end.rows[table] ?? [], wanted.rows[table] ?? []));
  for (const part of ['deployments', 'steps', 'history'] as const) faults.push(...differences(part, end[part], wanted[part]));
  return faults;
}

function differences(what: string, found: readonly string[], wanted: readonly string[]): string[] {
  if (JSON.stringify(found) === JSON.stringify(wanted)) return [];
  const only = (these: readonly string[], those: readonly string[]): string =>
    JSON.stringify(these.filter((line) => !those.includes(line))).slice(0, shown_characters);
  return [`${what}: ${found.length} lines instead of ${wanted.length}; there is ${only(found, wanted)}, there should be ${only(wanted, found)}`];
}

interface Strike {
  /** Ends what still goes on of it. @returns whether it met anything */
  stop(): Promise<boolean>;
}

/** @param first the number of the last connection before the round */
function strike(lane: Lane, url: string, blow: Blow, first: number, leave: () => void): Strike {
  if (blow.kind === 'cut') return cut(lane, blow, first, leave);
  const isOver = new AbortController();
  let isHit = false;
  const done = (async () => {
    await sleep(blow.atMs, undefined, { signal: isOver.signal }).catch(() => undefined);
    if (isOver.signal.aborted) return;
    isHit = true;
    await hit(lane, url, blow, isOver.signal);
    leave();
  })();
  done.catch(() => undefined);
  return {
    stop: async () => {
      isOver.abort();
      await done;
      return isHit;
    },
  };
}

function cut(
  { relay }: Lane,
  { connection, direction, after, extraBytes, how, sides }: Extract<Blow, { kind: 'cut' }>,
  first: number,
  leave: () => void,
): Strike {
  const planned: PlannedFault = relay.plan({ direction, afterMessages: after, extraBytes, how, sides, where: ({ number }) => number === first + connection });
  let isHit = false;
  planned.fired.then(() => {
    isHit = true;

    leave();
  });
  return {
    stop: async () => {
      planned.cancel();
      return isHit;
    },
  };
}

async function hit({ server }: Lane, url: string, blow: Exclude<Blow, { kind: 'cut' }>, over: AbortSignal): Promise<void> {
  const database = new URL(url).pathname.slice(1);
  const others = `from pg_stat_activity where datname = '${database}' and application_name <> '${WATCHER}' and pid <> pg_backend_pid()`;
  switch (blow.kind) {
    case 'signal':
      await sql(server.postgres.url, `select pg_${blow.signal}_backend(pid) ${others}`).catch(() => undefined);
      return;
    case 'power cut':
      await server.postgres.kill9();
      await server.postgres.restart();
      return;
    case 'lock': {
      const rival = new pg.Client({ connectionString: url, application_name: WATCHER });
      rival.on('error', () => undefined);
      await rival.connect().catch(() => undefined);
      await rival.query(`begin; lock table ${blow.table} in access exclusive mode`).catch(() => undefined);
      await sleep(blow.forMs, undefined, { signal: over }).catch(() => undefined);
      await rival.end().catch(() => undefined);
      return;
    }
    case 'full house':
      await sql(server.postgres.url, `alter database ${database} connection limit 0`).catch(() => undefined);
      await sleep(blow.forMs, undefined, { signal: over }).catch(() => undefined);
      for (let isOpen = false; !isOpen; ) {
        isOpen = await sql(server.postgres.url, `alter database ${database} connection limit -1`).then(
          () => true,
          () => false,
        );
        if (!isOpen) await sleep(50);
      }
      return;
    case 'leave':
      return;
  }
}
