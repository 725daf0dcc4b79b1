/** The campaign in small: its plan, and as many rounds of it as a test run has time for. `npm run chaos` plays thousands. */
import { describe, expect, it } from 'vitest';
import { offers } from '../support/source.ts';
import { playCampaign } from './campaign.ts';
import { describeRound, readChoice, replayCommand } from './described.ts';
import { type Measure, planRounds } from './plan.ts';

const SEED = 20_261_129;
const ROUNDS = 20;

const measure: Measure = { milliseconds: 700, messages: { tcp: { 'to-server': 20, 'to-client': 40 }, websocket: { 'to-server': 18, 'to-client': 38 } } };

describe('the plan of a campaign', () => {
  it('is the same for the same seed, whatever number of rounds, and another one for another seed', () => {
    const { rounds } = planRounds(SEED, 300, measure);
    expect(planRounds(SEED, 120, measure).rounds).toEqual(rounds.slice(0, 120));
    expect(planRounds(SEED + 1, 300, measure).rounds).not.toEqual(rounds);
    expect(new Set(rounds.map(describeRound)).size).toBe(300);
  });

  it('cuts the first connection in every place, before it cuts one again', () => {
    const { places } = planRounds(SEED, 1, measure);
    const { rounds } = planRounds(SEED, Math.ceil((places * 10) / 6), measure);
    const seen = rounds.flatMap(({ way, stays, blows: [blow] }) =>
      blow?.kind === 'cut' && blow.connection === 1 ? [`${way} ${stays} ${blow.direction} ${blow.after} ${blow.how}`] : [],
    );
    expect(new Set(seen).size).toBe(places);
    for (const direction of ['to-server', 'to-client'] as const) {
      for (let after = 0; after <= measure.messages.tcp[direction]; after += 1) expect(seen).toContain(`tcp false ${direction} ${after} silence`);
    }
  });
});

describe('the command that is said with a round that failed', () => {
  const measured: Measure = { milliseconds: 1234, messages: { tcp: { 'to-server': 51, 'to-client': 113 }, websocket: { 'to-server': 49, 'to-client': 109 } } };
  const choice = { story: 'deploy', seed: SEED, rounds: 300, only: undefined, lanes: 2, measure: measured };

  it('plays the very same round again, moments included, whatever an undisturbed deployment takes there', () => {
    for (const round of planRounds(SEED, 300, measured).rounds) {
      const again = readChoice(replayCommand(choice, round.number).split(' -- ')[1]?.split(' ') ?? []);
      const plan = planRounds(again.seed, again.rounds, again.measure ?? measure).rounds;
      expect(plan.filter(({ number }) => number === again.only)).toEqual([round]);
    }
  });

  it('names its story', () => {
    expect(
      readChoice(
        replayCommand({ ...choice, story: 'undo' }, 7)
          .split(' -- ')[1]
          ?.split(' ') ?? [],
      ),
    ).toMatchObject({ story: 'undo', only: 7 });
  });

  it('is refused with a measure that is none', () => {
    expect(() => readChoice(['--measure', '1,2,3'])).toThrow('is not five numbers');
  });
});

describe('a plan', () => {
  const { rounds } = planRounds(SEED, 4000, measure);
  const blows = rounds.flatMap((round) => round.blows);

  it('delays a connection behind each of its messages, and doubles it behind each that goes to the server', () => {
    for (const direction of ['to-server', 'to-client'] as const) {
      for (let after = 0; after <= measure.messages.tcp[direction]; after += 1) {
        expect(blows).toContainEqual(expect.objectContaining({ kind: 'cut', how: 'delay', direction, after }));
        if (direction === 'to-server') expect(blows).toContainEqual(expect.objectContaining({ kind: 'cut', how: 'duplicate', direction, after }));
      }
    }
  });

  it('has clients that stay through a silence, power cuts between two messages, rivals, and requests that come late, alone and with a newer one', () => {
    expect(rounds.filter(({ stays, blows: [first] }) => stays && first?.kind === 'cut' && first.how === 'silence').length).toBeGreaterThan(100);
    expect(blows.filter(({ kind }) => kind === 'power cut between').length).toBeGreaterThan(20);
    expect(blows.filter(({ kind }) => kind === 'lock').length).toBeGreaterThan(100);
    for (const late of ['again', 'behind', 'beside']) expect(rounds.filter((round) => round.late === late).length).toBeGreaterThan(100);
  });
});

describe('a storm', () => {
  const { rounds, places } = planRounds(SEED, 4000, measure);
  const isStorm = (number: number): boolean => rounds[number - 1]?.blows.some(({ kind }) => kind === 'storm' || kind === 'hail') ?? false;

  it('is three of ten rounds while there are places for single cuts, and nine of ten behind them', () => {
    const singles = Math.floor(places / 6) * 10;
    expect(rounds.slice(0, singles - 10).filter(({ number }) => isStorm(number)).length).toBe((singles - 10) * 0.3);
    expect(rounds.slice(singles + 10).every(({ number }) => isStorm(number) === (number % 10 !== 9))).toBe(true);
  });

  it('has a place for each of more connections than it cuts, early enough to be met by one that attaches again', () => {
    for (const { way, blows } of rounds) {
      for (const blow of blows) {
        if (blow.kind !== 'storm') continue;
        expect(blow.of.length).toBeGreaterThanOrEqual(2 * blow.cuts);
        const early = blow.of.filter(({ direction, after }) => after < measure.messages[way][direction] * 0.4);
        expect(early.length).toBeGreaterThan(blow.of.length / 2);
      }
    }
  });
});

it.runIf(offers('servers to kill'))(
  `${ROUNDS} deployments that are cut come to the end of an undisturbed one: no human act, no difference, nothing twice`,
  { timeout: 300_000 },
  async () => {
    const said: string[] = [];
    const tally = await playCampaign({ seed: SEED, rounds: ROUNDS, lanes: 2, say: (line) => said.push(line) });
    expect(tally.failed, said.join('\n')).toEqual([]);
    expect(tally).toMatchObject({ played: ROUNDS });
    // the plan is said before the first round is played
    expect(said[0]).toContain(`seed ${SEED}`);
    for (let number = 1; number <= ROUNDS; number += 1) expect(said[number]).toMatch(new RegExp(`^round ${number}, `));
    expect(tally.met.lateRequests).toBeGreaterThan(0);
    expect(tally.cutPoints).toBeGreaterThan(2 * ROUNDS);
    expect(tally.looks).toBeGreaterThan(ROUNDS);
  },
);
