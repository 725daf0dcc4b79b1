/**
 * The plan of a campaign in words: each round a line, from which one sees what it does; and the command that plays one of them again, from the very same plan.
 */
import { parseArgs } from 'node:util';
import type { Blow, Cut, Measure, Round } from './plan.ts';

/** What the short forms of a storm's cuts mean. */
export const LEGEND =
  'In a storm: > to the server, < to the client, behind so many messages (+ bytes of the next); r reset, h half-close, s silence; of one side only (server, client); † and its client is gone.';

/** One round in a line. */
export function describeRound({ number, way, clients, stays, blows, late }: Round): string {
  const who = clients === 1 ? `one client that ${stays ? 'stays' : 'dies'}` : `${clients} clients that ${stays ? 'stay' : 'die'}`;
  return `round ${number}, ${way}, ${who}: ${blows.map(describeBlow).join('; ')}${late === null ? '' : `; late: ${LATE[late]}`}`;
}

const LATE = {
  again: 'the same request once more',
  behind: 'the same request once more, behind a newer one',
  beside: 'the same request once more, beside a newer one',
};

function describeBlow(blow: Blow): string {
  switch (blow.kind) {
    case 'cut':
      return `${blow.how}${blow.sides === 'both' ? '' : ` (${blow.sides})`} behind ${places(blow)} ${blow.direction}, of connection ${blow.connection}`;
    case 'storm':
      return `a storm of ${blow.cuts} cuts: ${blow.of.map((cut) => `${describeCut(cut)}${cut.stays ? '' : '†'}`).join(' ')}`;
    case 'hail':
      return `terminate after each of ${blow.of.map(({ waitMs, stays }) => `${waitMs}${stays ? '' : '†'}`).join(' ')} ms`;
    case 'signal':
      return `${blow.signal} after ${blow.atMs} ms`;
    case 'lock':
      return `lock on ${blow.table} after ${blow.atMs} ms for ${blow.forMs} ms`;
    case 'full house':
      return `no free connection after ${blow.atMs} ms for ${blow.forMs} ms`;
    case 'power cut between':
      return `power cut behind ${blow.after} messages ${blow.direction}`;
    case 'power cut':
    case 'leave':
      return `${blow.kind} after ${blow.atMs} ms`;
  }
}

function places({ after, extraBytes }: Cut): string {
  return `${after} messages${extraBytes > 0 ? ` and ${extraBytes} bytes` : ''}`;
}

function describeCut({ direction, after, extraBytes, how, sides }: Cut): string {
  return `${direction === 'to-server' ? '>' : '<'}${after}${extraBytes > 0 ? `+${extraBytes}` : ''}${how.slice(0, 1)}${sides === 'both' ? '' : sides}`;
}

/** All from which a plan follows. */
export interface Choice {
  readonly story: string;
  readonly seed: number;
  readonly rounds: number;
  readonly only: number | undefined;
  readonly lanes: number;
  /** What an undisturbed deployment took where the plan was made; measured anew without it. */
  readonly measure: Measure | undefined;
}

/** @returns the command that plays one round of a plan again */
export function replayCommand({ story, seed, measure }: Choice & { readonly measure: Measure }, number: number): string {
  return `npm run chaos -- --story ${story} --seed ${seed} --rounds ${number} --only ${number} --measure ${writeMeasure(measure)}`;
}

/** @throws Error for what it does not know */
export function readChoice(args: readonly string[]): Choice {
  const { values } = parseArgs({
    args: [...args],
    options: {
      story: { type: 'string', default: 'deploy' },
      seed: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '200' },
      only: { type: 'string' },
      lanes: { type: 'string', default: '2' },
      measure: { type: 'string' },
    },
  });
  return {
    story: values.story,
    seed: Number(values.seed),
    rounds: Number(values.rounds),
    only: values.only === undefined ? undefined : Number(values.only),
    lanes: Number(values.lanes),
    measure: values.measure === undefined ? undefined : readMeasure(values.measure),
  };
}

/** In one word: messages to the server and to the client over TCP, the same over WebSocket, and milliseconds. */
function writeMeasure({ messages: { tcp, websocket }, milliseconds }: Measure): string {
  return [tcp['to-server'], tcp['to-client'], websocket['to-server'], websocket['to-client'], milliseconds].join(',');
}

function readMeasure(text: string): Measure {
  const [tcpOut, tcpIn, webOut, webIn, milliseconds, ...more] = text.split(',').map(Number);
  if (more.length > 0 || ![tcpOut, tcpIn, webOut, webIn, milliseconds].every(Number.isSafeInteger)) throw new Error(`--measure ${text} is not five numbers`);
  const flow = (out = 0, back = 0) => ({ 'to-server': out, 'to-client': back });
  return { messages: { tcp: flow(tcpOut, tcpIn), websocket: flow(webOut, webIn) }, milliseconds: milliseconds ?? 0 };
}
