/** Rounds that no seed has to find: the server lost while the bytes of a larger bundle are on their way, and a silence behind the last answer but one. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { offers } from '../support/source.ts';
import { measureUndisturbed } from './campaign.ts';
import type { Round } from './plan.ts';
import { endLane, type Lane, playRound, startLane, type Wanted } from './round.ts';
import { LARGE } from './stories.ts';

const mebibyte = 1024 * 1024;
/** The connection is made, and the questions are asked. */
const first_after = 20;

let lane: Lane;
let wanted: Wanted;
let answers: number;

beforeAll(async () => {
  if (!offers('servers to kill')) return;
  lane = await startLane(LARGE);
  const undisturbed = await measureUndisturbed(lane);
  wanted = undisturbed.wanted;
  answers = undisturbed.measure.messages.tcp['to-client'];
}, 120_000);

afterAll(() => lane && endLane(lane));

it.runIf(offers('servers to kill'))(
  'killed behind whichever message of the staging, and started again, it takes the same request to the same end',
  { timeout: 300_000 },
  async () => {
    const halves: number[] = [];
    for (let after = first_after; halves.length < 2; after += 3) {
      const blows: Round['blows'] = [{ kind: 'power cut between', direction: 'to-server', after }];
      const { faults, met } = await playRound(lane, { number: after, way: 'tcp', clients: 1, stays: after % 2 === 0, blows, late: null }, wanted);
      expect(faults, `behind ${after} messages`).toEqual([]);
      expect(met.powerCuts, `behind ${after} messages`).toBe(1);
      const bytes = lane.relay.connections[0]?.toServer.bytes ?? 0;
      // some of the chunks had arrived, and some had not
      if (bytes > mebibyte / 2 && bytes < 2.5 * mebibyte) halves.push(bytes);
    }
  },
);

it.runIf(offers('servers to kill'))(
  'of a connection that falls silent when all is over but its last answer, no backend is left, though nobody closes it and nobody comes again',
  { timeout: 120_000 },
  async () => {
    const after = answers - 2;
    const blows: Round['blows'] = [{ kind: 'cut', connection: 1, direction: 'to-client', after, extraBytes: 0, how: 'silence', sides: 'both' }];
    const { faults } = await playRound(lane, { number: 1000, way: 'tcp', clients: 1, stays: false, blows, late: 'again' }, wanted);
    expect(faults).toEqual([]);
  },
);
