/** What becomes of a message: acknowledged, left anew, or given back to the queue, which counts; and what the memory then knows. */
import type { Message } from '@cloudflare/workers-types';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import type { Attended, AttendOptions } from '../../src/deployment/attend.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { Problem, type ProblemSlug } from '../../src/domain/problem.ts';
import type { ChangeDesk } from '../../src/operations/desk.ts';
import { createAftercare } from '../../src/worker/aftercare.ts';
import { type Caretaker, pauseAfter } from '../../src/worker/look_after.ts';
import { takeBatch } from '../../src/worker/queue.ts';
import { runSchedule } from '../../src/worker/schedule.ts';
import { ID } from '../http/requests.ts';
import { makeDeployment } from '../http/support.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const WORK = { target: 'shop', deployment: ID, looks: 0, sealed: null };
const config = parseConfig({
  origin: 'https://weft.test',
  targets: { shop: { database: 'SHOP_URL', transport: 'websocket' } },
  callers: { ci: { secrets: ['CI_SECRET'] } },
  grants: [{ caller: 'ci', targets: ['shop'], actions: ['deploy'] }],
});

interface Seen {
  /** What became of the messages, in their order. */
  readonly verdicts: string[];
  readonly sent: unknown[];
  readonly memory: Map<string, { looks: number; lookAt: number }>;
  readonly lines: Record<string, unknown>[];
  readonly attended: AttendOptions[];
}

function makeCaretaker(attend: () => Promise<Attended>, o: { queue?: boolean | 'full'; memory?: boolean } = {}): { caretaker: Caretaker; seen: Seen } {
  const seen: Seen = { verdicts: [], sent: [], memory: new Map(), lines: [], attended: [] };
  const caretaker: Caretaker = {
    ports: { config, connect: () => () => Promise.reject(new Error('nobody opens a session here')), log: (line) => void seen.lines.push(line), now: () => NOW },
    desk: { config, forges: new Map() } as unknown as ChangeDesk, // without forges: what forges tell of is another test's
    sealingKey: null,
    lookAgain: async () => undefined,
    attend: (options) => {
      seen.attended.push(options);
      return attend();
    },
    queue:
      o.queue === false
        ? null
        : {
            send: async (body, options) => {
              if (o.queue === 'full') throw new Error('Too Many Requests');
              seen.sent.push([body, options?.delaySeconds]);
              return undefined as never;
            },
          },
    memory:
      o.memory === false
        ? null
        : {
            note: async ({ target, deployment, looks, lookAt }) => void seen.memory.set(`${target} ${deployment}`, { looks, lookAt }),
            noteUnlessQueued: async () => false,
            strikeOut: async (target, deployment) => void seen.memory.delete(`${target} ${deployment}`),
            listDue: async () => [{ target: 'shop', deployment: ID, looks: 3, lookAt: NOW, isQueued: false }],
          },
  };
  return { caretaker, seen };
}

async function take(caretaker: Caretaker, seen: Seen, bodies: readonly unknown[], attempts = 1): Promise<void> {
  seen.memory.set(`shop ${ID}`, { looks: 0, lookAt: 0 });
  const messages = bodies.map((body, index) => ({
    id: String(index),
    timestamp: new Date(NOW),
    body,
    attempts,
    ack() {
      seen.verdicts[index] = 'ack';
    },
    retry({ delaySeconds = 0 } = {}) {
      seen.verdicts[index] = `retry in ${delaySeconds}`;
    },
  })) as Message[];
  await takeBatch(caretaker, { messages });
}

const found =
  (state: 'succeeded' | 'failed' | 'cancelled' | 'degraded' | 'running' | 'staged', isAtWork = false) =>
  async () => ({
    deployment: makeDeployment({ state }),
    isAtWork,
  });
const fails = (slug: ProblemSlug) => async () => {
  throw new Problem(slug, 'As the test has it.');
};

test.each(['succeeded', 'degraded', 'failed', 'cancelled'] as const)('a deployment that is over (%s): acknowledged, and forgotten', async (state) => {
  const { caretaker, seen } = makeCaretaker(found(state));
  await take(caretaker, seen, [WORK]);
  expect(seen).toMatchObject({ verdicts: ['ack'], sent: [], memory: new Map() });
});

test('somebody is at work: another message, later; twice as late each time, a minute at most', async () => {
  const { caretaker, seen } = makeCaretaker(found('running', true));
  for (const looks of [0, 1, 2, 9]) await take(caretaker, seen, [{ ...WORK, looks }]);
  expect(seen.verdicts).toEqual(['ack']);
  expect(seen.sent).toEqual([
    [{ ...WORK, looks: 1 }, 15],
    [{ ...WORK, looks: 2 }, 30],
    [{ ...WORK, looks: 3 }, 60],
    [{ ...WORK, looks: 10 }, LIMITS.look_again_seconds_max],
  ]);
  expect(seen.memory.get(`shop ${ID}`)).toEqual({ looks: 10, lookAt: NOW + (LIMITS.look_again_seconds_max + LIMITS.schedule_slack_seconds) * 1000 });
});

test('nobody can go on with it: the pauses grow to six hours, so that a database that sleeps is left asleep; no longer than a queue can', () => {
  const pauses = Array.from({ length: 40 }, (_, looks) => pauseAfter('waiting', looks) ?? 0);
  expect(pauses.slice(0, 4)).toEqual([15, 30, 60, 120]);
  expect(pauses.at(-1)).toBe(6 * 3600);
  expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
  expect(Math.max(...pauses)).toBeLessThanOrEqual(86_400);
});

test.each([
  'database_unreachable',
  'database_authentication',
  'database_missing',
  'standby_server',
  'no_free_connection',
  'session_lost',
  'holder_unknown',
  'engine_newer',
  'internal',
] as const)('the database does not answer, or refuses (%s): given back to the queue, later each time, with an error in the log', async (slug) => {
  const { caretaker, seen } = makeCaretaker(fails(slug));
  await take(caretaker, seen, [WORK], 4);
  expect(seen).toMatchObject({ verdicts: ['retry in 120'], sent: [] });
  expect(seen.memory.size).toBe(1);
  expect(seen.lines).toMatchObject([{ level: 'error', message: 'look_after', target: 'shop', deployment: ID, finding: 'unreachable' }]);
});

test.each(['deployment_not_found', 'engine_missing', 'secrets_missing'] as const)(
  'another look would change nothing (%s): acknowledged and forgotten, with an error in the log',
  async (slug) => {
    const { caretaker, seen } = makeCaretaker(fails(slug));
    await take(caretaker, seen, [WORK]);
    expect(seen).toMatchObject({ verdicts: ['ack'], sent: [], memory: new Map() });
    expect(seen.lines).toMatchObject([{ level: 'error', finding: 'lost' }]);
  },
);

test('a target that the configuration has no more, and what is no message of ours: acknowledged, with an error in the log, and nothing is opened', async () => {
  const { caretaker, seen } = makeCaretaker(found('running', true));
  await take(caretaker, seen, [{ ...WORK, target: 'gone' }, { hello: 'world' }, 'text', { ...WORK, looks: -1 }]);
  expect(seen.verdicts).toEqual(['ack', 'ack', 'ack', 'ack']);
  expect(seen.attended).toEqual([]);
  expect(seen.lines.map(({ level }) => level)).toEqual(['error', 'error', 'error', 'error']);
});

test('the same deployment twice in a batch is looked at once', async () => {
  const { caretaker, seen } = makeCaretaker(found('succeeded'));
  await take(caretaker, seen, [WORK, { ...WORK, looks: 5 }]);
  expect(seen.verdicts).toEqual(['ack', 'ack']);
  expect(seen.attended).toHaveLength(1);
});

test('no other message can be left: this one comes again', async () => {
  const { caretaker, seen } = makeCaretaker(found('running', true), { queue: 'full' });
  await take(caretaker, seen, [WORK]);
  expect(seen.verdicts).toEqual(['retry in 15']);
});

test('each deployment is run under the grants of the callers of its target', async () => {
  const { caretaker, seen } = makeCaretaker(found('succeeded'));
  await take(caretaker, seen, [WORK]);
  expect(seen.attended).toMatchObject([{ id: ID, target: 'shop', callers: ['ci', 'direct', 'undo:direct'] }]);
});

test('the schedule looks at what the memory says is due, and without a memory opens nothing', async () => {
  for (const memory of [true, false]) {
    const { caretaker, seen } = makeCaretaker(found('running', true), { memory, queue: false });
    await runSchedule(caretaker);
    expect(seen.attended).toHaveLength(memory ? 1 : 0);
    expect([...seen.memory.values()]).toEqual(memory ? [{ looks: 4, lookAt: NOW + LIMITS.look_again_seconds_max * 1000 }] : []);
  }
});

test.each<[string, () => Promise<Attended>, number]>([
  ['what ran there was brought to its end', found('succeeded'), 1],
  ['somebody has to bring a secret', fails('secrets_missing'), 1],
  ['whether somebody is at work nobody can see', fails('holder_unknown'), 1],
  ['nothing was ever deployed there', fails('engine_missing'), 0],
])(
  'the schedule tells what forges are owed by a target that is always looked at, whatever keeps a deployment there from its end: %s',
  async (_, attend, times) => {
    const always = parseConfig({
      origin: 'https://weft.test',
      targets: { shop: { database: 'SHOP_URL', transport: 'websocket', scheduled: true } },
      callers: { hub: { forge: { kind: 'github', webhook_secrets: ['HUB_SECRET'], token: 'HUB_TOKEN' } } },
      grants: [{ caller: 'hub', targets: ['shop'], actions: ['deploy'] }],
    });
    const asked: string[] = [];
    const takeOwed: ChangeDesk['takeOwed'] = async ({ name }) => {
      asked.push(name);
      return { taken: [], is_owed: false };
    };
    const { caretaker } = makeCaretaker(attend, { memory: false, queue: false });
    const desk = { config: always, forges: new Map([['hub', {}]]), takeOwed, now: () => NOW } as unknown as ChangeDesk;
    await runSchedule({ ...caretaker, ports: { ...caretaker.ports, config: always }, desk });
    expect(asked).toEqual(Array(times).fill('shop'));
  },
);

test('what waits for an approval is looked at by nobody until its time is over: no message is left, and the memory says when', async () => {
  const until = new Date(NOW + 600_000).toISOString();
  const approval = { environment: 'live', digest: 'd'.repeat(64), not_by: 'ci', asked_at: until, until, waits: true, by: null, at: null };
  const { caretaker, seen } = makeCaretaker(async () => ({ deployment: makeDeployment({ state: 'open', approval }), isAtWork: false }));
  await take(caretaker, seen, [WORK]);
  expect([seen.verdicts, seen.sent]).toEqual([['ack'], []]);
  expect([...seen.memory.values()]).toEqual([{ looks: 1, lookAt: NOW + (600 + 60 + LIMITS.schedule_slack_seconds) * 1000 }]);
});

test('a queue and a memory that do not answer keep nobody from an answer; the log says so', async () => {
  const lines: Record<string, unknown>[] = [];
  const broken = () => Promise.reject(new Error('down'));
  const options = {
    queue: { send: broken },
    memory: { note: broken, noteUnlessQueued: broken, strikeOut: broken, listDue: broken },
    sealingKey: null,
    now: () => NOW,
  };
  const aftercare = createAftercare({ ...options, log: (line) => void lines.push(line) });
  await aftercare?.handOn('shop', ID, { token: 'x' });
  await aftercare?.strikeOut('shop', ID);
  expect(lines).toMatchObject([{ level: 'error' }, { level: 'error' }, { level: 'error' }]);
});

test('where there is neither, nothing is handed on', () => {
  expect(createAftercare({ queue: null, memory: null, sealingKey: null, now: () => NOW, log: () => undefined })).toBeUndefined();
});
