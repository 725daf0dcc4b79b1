/**
 * What happens in which round. All of it follows from the seed and from how many messages an undisturbed deployment takes: so a round that failed
 * can be played again by its number.
 */
import type { Direction, Sides } from '../../src/dev/relay.ts';

export type Way = 'tcp' | 'websocket';

export const WAYS: readonly Way[] = ['tcp', 'websocket'];

/** Where a connection is cut, and how: after so many messages, and some bytes of the next. */
export interface Cut {
  readonly direction: Direction;
  readonly after: number;
  readonly extraBytes: number;
  /** A delay holds what follows in this direction for a while, and a duplicate brings the server all that was sent so far once more: the connection itself goes on. */
  readonly how: 'reset' | 'half-close' | 'silence' | 'delay' | 'duplicate';
  readonly sides: Sides;
}

export const delay_ms = 300;

/** What is done to a deployment. Milliseconds count from its beginning. */
export type Blow =
  /** Of the n-th connection. */
  | ({ readonly kind: 'cut'; readonly connection: number } & Cut)
  /** Of every connection, each where its turn says, until so many have been cut. Whose connection is cut stays, and attaches again by itself, or dies with it. */
  | { readonly kind: 'storm'; readonly cuts: number; readonly of: readonly (Cut & { readonly stays: boolean })[] }
  | { readonly kind: 'signal'; readonly signal: 'terminate' | 'cancel'; readonly atMs: number }
  /** All backends of the deployment terminated, again and again, each time so long behind the last one, as soon as there is one. */
  | { readonly kind: 'hail'; readonly of: readonly { readonly waitMs: number; readonly stays: boolean }[] }
  /** The server is killed as by a power cut, and started again: at some time, or behind so many messages of the first connection, of which the next has not arrived. */
  | { readonly kind: 'power cut'; readonly atMs: number }
  | { readonly kind: 'power cut between'; readonly direction: Direction; readonly after: number }
  | { readonly kind: 'lock'; readonly table: string; readonly atMs: number; readonly forMs: number }
  /** No session can be opened. */
  | { readonly kind: 'full house'; readonly atMs: number; readonly forMs: number }
  /** The client is gone, and does not come back. */
  | { readonly kind: 'leave'; readonly atMs: number };

export interface Round {
  readonly number: number;
  readonly way: Way;
  /** How many deliver the same request at the same time. */
  readonly clients: number;
  /** Whether the client that was hit stays and attaches again by itself, or dies with the blow. */
  readonly stays: boolean;
  readonly blows: readonly Blow[];
  /**
   * The same request once more, when the deployment has been over: as a network delivers what it had lost, or a queue a second time. `again`: at once; `behind`: when a newer one of
   * the same bundle is over, too; `beside`: while that is at work.
   */
  readonly late: null | 'again' | 'behind' | 'beside';
}

/** What an undisturbed deployment takes. */
export interface Measure {
  readonly messages: Readonly<Record<Way, Readonly<Record<Direction, number>>>>;
  readonly milliseconds: number;
}

/** Numbers in [0, 1), the same ones for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const extra_bytes_max = 40;
/** Of ten rounds so many are cuts of the first connection, until each place where one can be has had its turn; then they are storms. */
const cuts_of_ten = 6;
const storms_of_ten = 3;
const hail_every_storms = 6;
const power_cut_every = 40;
/** Of the rounds of single cuts: a rival holds a lock meanwhile, for longer than a statement of the bundle waits for it. */
const rival_share = 0.1;
const late_share = 0.12;
const storm_cuts_min = 8;
const storm_cuts_max = 28;
/** Connections that a storm cuts at most: some are over before their place has come. */
const storm_connections_by_cuts = 2;
const storm_early_share = 0.9;
/** Of the messages of an undisturbed deployment: what a connection takes that attaches while one directive is left. */
const early_share = 0.4;
const hail_wait_ms_max = 250;

const WAYS_TO_SUFFER = ['reset', 'half-close', 'silence', 'delay', 'duplicate'] as const;

/** Every place where a connection can be cut, delayed or doubled, in an order that the seed gives. */
function listCuts({ messages }: Measure, random: () => number): { way: Way; blow: Extract<Blow, { kind: 'cut' }>; stays: boolean }[] {
  const cuts = WAYS.flatMap((way) =>
    (['to-server', 'to-client'] as const).flatMap((direction) =>
      Array.from({ length: messages[way][direction] + 1 }, (_, after) => after).flatMap((after) =>
        WAYS_TO_SUFFER.filter((how) => (how !== 'half-close' || way === 'tcp') && (how !== 'duplicate' || direction === 'to-server')).flatMap((how) =>
          (how === 'delay' || how === 'duplicate' ? [true] : [false, true]).map((stays) => ({
            way,
            stays,
            blow: { kind: 'cut' as const, connection: 1, direction, after, extraBytes: 0, how, sides: 'both' as Sides },
          })),
        ),
      ),
    ),
  );
  for (let last = cuts.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    const [a, b] = [cuts[last], cuts[other]];
    if (a !== undefined && b !== undefined) [cuts[last], cuts[other]] = [b, a];
  }
  return cuts;
}

/** @returns so many rounds, always the same for the same seed and measure; and how many places for a cut of the first connection there are */
export function planRounds(seed: number, count: number, measure: Measure): { rounds: Round[]; places: number } {
  const cuts = listCuts(measure, randomOf(seed));
  let cutsCount = 0;
  const rounds = Array.from({ length: count }, (_, index): Round => {
    const number = index + 1;
    // each round has chance of its own, so that one more word in another round changes nothing here
    const random = randomOf(seed * 1_000_003 + number);
    const round = planBlows(number, random);
    return { ...round, late: random() < late_share ? ((['again', 'behind', 'beside'] as const)[Math.floor(random() * 3)] ?? null) : null };
  });
  return { rounds, places: cuts.length };

  function planBlows(number: number, random: () => number): Omit<Round, 'late'> {
    const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
    const some = (most: number): number => Math.floor(random() * most);
    const atMs = (): number => some(measure.milliseconds * 1.2);
    const lock = (): Blow => ({ kind: 'lock', table: pick(['public.orders', 'public.journal', 'public.rate']), atMs: atMs(), forMs: 20 + some(400) });
    const place = number % 10;
    const cut = place < cuts_of_ten ? cuts[cutsCount] : undefined;
    if (cut !== undefined) {
      cutsCount += 1;
      const second = random() < 0.25 ? [nextCut(random, measure, cut.way)] : random() < rival_share ? [lock()] : [];
      return { number, way: cut.way, clients: 1, stays: cut.stays, blows: [cut.blow, ...second] };
    }
    const way = pick(WAYS);
    if (place < cuts_of_ten + storms_of_ten) {
      const clients = random() < 0.15 ? 2 : 1;
      const isHail = some(hail_every_storms) === 0;
      return { number, way, clients, stays: true, blows: [isHail ? planHail(random) : planStorm(random, measure, way)] };
    }
    const clients = random() < 0.3 ? 2 + some(3) : 1;
    const stays = random() < 0.7;
    const powerCut = (): Blow =>
      random() < 0.5
        ? { kind: 'power cut', atMs: atMs() }
        : { kind: 'power cut between', direction: 'to-server', after: some(measure.messages[way]['to-server']) };
    if (number % power_cut_every === power_cut_every - 1) return { number, way, clients, stays, blows: [powerCut()] };
    const blow = (): Blow => {
      switch (pick(['signal', 'signal', 'signal', 'lock', 'full house', 'leave', 'cut'] as const)) {
        case 'signal':
          return { kind: 'signal', signal: pick(['terminate', 'terminate', 'cancel'] as const), atMs: atMs() };
        case 'lock':
          return lock();
        case 'full house':
          return { kind: 'full house', atMs: atMs(), forMs: 20 + some(600) };
        case 'leave':
          return { kind: 'leave', atMs: atMs() };
        case 'cut':
          return nextCut(random, measure, way);
      }
    };
    return { number, way, clients, stays, blows: Array.from({ length: 1 + some(3) }, blow) };
  }
}

/** A cut of one of the connections behind the first. */
function nextCut(random: () => number, { messages }: Measure, way: Way): Blow {
  const direction = random() < 0.5 ? ('to-server' as const) : ('to-client' as const);
  const after = Math.floor(random() * messages[way][direction]);
  const extraBytes = Math.floor(random() * extra_bytes_max);
  return { kind: 'cut', connection: 2 + Math.floor(random() * 3), direction, after, extraBytes, how: 'reset', sides: 'both' };
}

/** Most of its cuts come early: a connection that attaches again takes fewer messages than the first one, and a storm goes on as long as none gets through. */
function planStorm(random: () => number, { messages }: Measure, way: Way): Blow {
  const cuts = storm_cuts_min + Math.floor(random() * (storm_cuts_max - storm_cuts_min + 1));
  const of = Array.from({ length: cuts * storm_connections_by_cuts }, () => {
    const direction = random() < 0.5 ? ('to-server' as const) : ('to-client' as const);
    const after = Math.floor(random() * messages[way][direction] * (random() < storm_early_share ? early_share : 1));
    const extraBytes = random() < 0.5 ? 0 : Math.floor(random() * extra_bytes_max);
    const chance = random();
    const how = chance < 0.03 ? ('silence' as const) : chance < 0.15 && way === 'tcp' ? ('half-close' as const) : ('reset' as const);
    const unseen = random();
    const sides: Sides = how !== 'reset' || unseen > 0.06 ? 'both' : unseen < 0.03 ? 'server' : 'client';
    // whoever is told of nothing waits for seconds, and whoever stays pauses: one that dies does not
    const stays = how === 'reset' && sides === 'both' && random() < 0.3;
    return { direction, after, extraBytes, how, sides, stays };
  });
  return { kind: 'storm', cuts, of };
}

function planHail(random: () => number): Blow {
  const signals = storm_cuts_min + Math.floor(random() * (storm_cuts_max - storm_cuts_min + 1));
  return { kind: 'hail', of: Array.from({ length: signals }, () => ({ waitMs: Math.floor(random() * hail_wait_ms_max), stays: random() < 0.3 })) };
}
