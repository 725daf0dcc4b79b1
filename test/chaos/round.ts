/**
 * One round: a new database, a deployment, what the plan does to it, and the same trigger again until it is over. Then the judgement: the same
 * catalog and rows as of an undisturbed deployment, each effect once, nothing left behind, and record equal to fact at every look.
 */
import { connectTo } from '../../src/database/connect.ts';
import { startRelay } from '../../src/dev/relay.ts';
import { Problem } from '../../src/domain/problem.ts';
import { withDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { startOwnServer } from '../support/own_server.ts';
import { leave, sqlAnew as sql } from '../support/sql.ts';
import { copyClause } from '../support/template.ts';
import { type End, judge, Watcher } from './facts.ts';
import { LIMITS, noticed_after_ms, shortenSilence } from './limits.ts';
import type { Blow, Round, Way } from './plan.ts';
import type { Story, Trigger } from './stories.ts';
import { type Hit, type Lane, type Strike, strike } from './strikes.ts';

export type { Lane } from './strikes.ts';

const trigger_deadline_ms = 20_000;
/** So that a silence while a connection is made does not cost more than one behind it. */
const connect_deadline_ms = 2_000;
const triggers_count_max = 30;
const shown_characters = 600;

/** How often something was done to a deployment that was not over. */
export interface Met {
  /** Connections cut when they were made. */
  readonly cuts: number;
  /** Connections cut before they were made. */
  readonly earlyCuts: number;
  /** Times that backends were there to be terminated, or statements cancelled. */
  readonly signals: number;
  readonly powerCuts: number;
  /** Clients that went by themselves. */
  readonly departures: number;
  /** Locks held against it, times without a free connection, delays, and connections made twice. */
  readonly hindrances: number;
  /** Times that a lock was not to be had in its time, as the deployment has written down. */
  readonly lockTimeouts: number;
  /** Requests that came once more when their deployment had been over. */
  readonly lateRequests: number;
  /** Anything of this when it was over, and its client had not heard of it yet. */
  readonly late: number;
}

export interface Played {
  /** What was wrong: none where all is as it must be. */
  readonly faults: readonly string[];
  readonly met: Met;
  readonly triggers: number;
  readonly looks: number;
  readonly milliseconds: number;
}

export async function startLane(story: Story): Promise<Lane> {
  const server = await startOwnServer();
  const relay = await startRelay({ to: { host: '127.0.0.1', port: server.postgres.port }, noticedAfterMs: noticed_after_ms });
  shortenSilence();
  const url = await server.createDatabaseWithEngine();
  await story.prepare(url);
  await setLimits(url, LIMITS);
  await leave(url);
  const address = new URL(url);
  address.port = String(relay.tcpPort);
  const session = await connectTo({ connectionString: address.href, transport: 'tcp' })();
  const handshake = relay.connections[0]?.toClient.messages ?? 0;
  await session.close();
  await sql(server.postgres.url, `alter database ${address.pathname.slice(1)} with allow_connections false`);
  return { story, server, relay, template: address.pathname.slice(1), handshake };
}

export async function endLane({ server, relay }: Lane): Promise<void> {
  await relay.stop();
  await server.postgres.stop();
}

let databasesCount = 0;

/** A database before the deployment. @param name if another one has it, that one goes @returns its address */
export async function makeDatabase({ server, template }: Lane, name = `weft_chaos_${++databasesCount}`): Promise<string> {
  const [{ version }] = await sql(server.postgres.url, `select current_setting('server_version_num')::int as version`);
  await sql(server.postgres.url, `drop database if exists ${name} with (force)`);
  await sql(server.postgres.url, `create database ${name} owner weft_test${copyClause(template, version, true)}`);
  return withDatabase(server.url, name);
}

/** Sends a trigger. @returns whether it is over */
export function send(lane: Lane, url: string, way: Way, trigger: Trigger, signal: AbortSignal = new AbortController().signal): Promise<boolean> {
  const address = new URL(url);
  if (way === 'tcp') address.port = String(lane.relay.tcpPort);
  const proxy = { proxy: `127.0.0.1:${lane.relay.port}/v1`, insecure: true };
  const connect = connectTo({ connectionString: address.href, transport: way, deadlineMs: connect_deadline_ms, ...(way === 'websocket' ? proxy : {}) });
  return trigger({ connect, deadlineMs: trigger_deadline_ms, signal });
}

/** The ends of an undisturbed deployment: itself; and behind a newer one, where a story has that. */
export interface Wanted {
  readonly end: End;
  readonly behindNewer: End | null;
}

/** Plays a round, and judges. */
export async function playRound(lane: Lane, round: Round, wanted: Wanted): Promise<Played> {
  const beganAt = performance.now();
  const url = await makeDatabase(lane);
  const trigger = await lane.story.begin(url, `round-${round.number}`);
  const faults: string[] = [];
  const watcher = new Watcher(url, lane.story);
  let client = new AbortController();
  lane.relay.forget();
  const strikes = round.blows.map((blow) => strike(lane, url, blow, () => client.abort(), round.stays));
  const sendOnce = (): Promise<boolean> => send(lane, url, round.way, trigger, client.signal).catch((error: unknown) => judgeProblem(error, faults));
  let over = (await Promise.all(Array.from({ length: round.clients }, sendOnce))).some((is) => is);
  let triggers = 0;
  while (!over && triggers < triggers_count_max + countBlows(round.blows)) {
    triggers += 1;
    client = new AbortController();
    over = await sendOnce();
  }
  const blows = await Promise.all(strikes.map(async (one: Strike) => ({ kind: kindOf(one.blow), met: await one.stop() })));
  await watcher.stop();
  if (!over) faults.push(`it is not over after ${triggers} more triggers`);
  const { end, discrepancies, leftovers, finishedAt, lockTimeouts } = await judge(url, lane.story);
  lane.relay.cutAll();
  faults.push(...watcher.found, ...leftovers, ...discrepancies, ...compare(end, wanted.end));
  const isLate = round.late !== null && wanted.behindNewer !== null && faults.length === 0;
  if (isLate) faults.push(...(await playLate(lane, round, url, trigger, wanted)));
  if (faults.length === 0) await sql(lane.server.postgres.url, `drop database ${new URL(url).pathname.slice(1)} with (force)`);
  return {
    faults: [...new Set(faults)],
    met: { ...count(blows, finishedAt), lockTimeouts, lateRequests: Number(isLate) },
    triggers,
    looks: watcher.looks,
    milliseconds: performance.now() - beganAt,
  };
}

/** The same request, long after its deployment: it is answered, and nothing comes of it. */
async function playLate(lane: Lane, { late, number, way }: Round, url: string, trigger: Trigger, wanted: Wanted): Promise<string[]> {
  const repeat = async (what: string, one: Trigger): Promise<string[]> => {
    const faults: string[] = [];
    for (let tries = 0; tries < triggers_count_max; tries += 1) {
      if (await send(lane, url, way, one).catch((error: unknown) => judgeProblem(error, faults))) return faults;
    }
    return [...faults, `${what} is not answered with the end of its deployment`];
  };
  const deliver = (): Promise<string[]> => repeat('what comes late', trigger);
  if (late === 'again' || lane.story.newer === undefined) {
    const faults = await deliver();
    return [...faults, ...compare((await judge(url, lane.story)).end, wanted.end)];
  }
  const newer = await lane.story.newer(`newer-than-${number}`);
  const sendNewer = (): Promise<string[]> => repeat('the newer one', newer);
  const faults = late === 'beside' ? (await Promise.all([sendNewer(), deliver()])).flat() : [...(await sendNewer()), ...(await deliver())];
  const { end, leftovers } = await judge(url, lane.story);
  return [...faults, ...leftovers, ...compare(end, wanted.behindNewer ?? wanted.end)];
}

/** As many triggers may end with a blow. */
function countBlows(blows: readonly Blow[]): number {
  return blows.reduce((total, blow) => total + (blow.kind === 'storm' ? blow.cuts : blow.kind === 'hail' ? blow.of.length : 1), 0);
}

/** A connection that is delayed or doubled goes on: that cuts nothing. */
type Kind = Blow['kind'] | 'detour';

function kindOf(blow: Blow): Kind {
  return blow.kind === 'cut' && (blow.how === 'delay' || blow.how === 'duplicate') ? 'detour' : blow.kind;
}

/** @param finishedAt when the deployment was over, by the clock of this machine; null when it is not */
function count(blows: readonly { readonly kind: Kind; readonly met: readonly Hit[] }[], finishedAt: number | null): Omit<Met, 'lockTimeouts' | 'lateRequests'> {
  const isLate = ({ at }: Hit): boolean => finishedAt !== null && at >= finishedAt;
  const met = (...kinds: Kind[]): Hit[] => blows.flatMap((blow) => (kinds.includes(blow.kind) ? blow.met.filter((hit) => !isLate(hit)) : []));
  const cuts = met('cut', 'storm');
  return {
    cuts: cuts.filter(({ isEarly }) => !isEarly).length,
    earlyCuts: cuts.filter(({ isEarly }) => isEarly).length,
    signals: met('signal', 'hail').length,
    powerCuts: met('power cut', 'power cut between').length,
    departures: met('leave').length,
    hindrances: met('lock', 'full house', 'detour').length,
    late: blows.flatMap((blow) => blow.met.filter(isLate)).length,
  };
}

/** A trigger may end without an answer; it may not end in a way that leaves its sender without a word. */
function judgeProblem(error: unknown, faults: string[]): false {
  if (!(error instanceof Problem) || error.slug === 'internal')
    faults.push(`a trigger ended with ${error instanceof Error ? `${error.name}: ${error.message}` : error}`);
  return false;
}

export function compare(end: End, wanted: End): string[] {
  const faults: string[] = [];
  if (end.fingerprint !== wanted.fingerprint) faults.push(`the fingerprint is ${end.fingerprint}, not ${wanted.fingerprint}`);
  for (const table of Object.keys({ ...wanted.rows, ...end.rows })) faults.push(...differences(table, end.rows[table] ?? [], wanted.rows[table] ?? []));
  for (const part of ['deployments', 'steps', 'history', 'more'] as const) faults.push(...differences(part, end[part], wanted[part]));
  return faults;
}

function differences(what: string, found: readonly string[], wanted: readonly string[]): string[] {
  if (JSON.stringify(found) === JSON.stringify(wanted)) return [];
  const only = (these: readonly string[], those: readonly string[]): string =>
    JSON.stringify(these.filter((line) => !those.includes(line))).slice(0, shown_characters);
  return [`${what}: ${found.length} lines instead of ${wanted.length}; there is ${only(found, wanted)}, there should be ${only(wanted, found)}`];
}
