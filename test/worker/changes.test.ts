/** What forges have told of, as messages of the queue: acknowledged, replaced by what is known since, or given back; and without a queue. */
import type { Message } from '@cloudflare/workers-types';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { Problem } from '../../src/domain/problem.ts';
import type { ForgeClient } from '../../src/forges/forge.ts';
import type { ChangeDesk } from '../../src/operations/desk.ts';
import { createChangeTaker } from '../../src/worker/changes.ts';
import type { Caretaker } from '../../src/worker/look_after.ts';
import { takeBatch } from '../../src/worker/queue.ts';
import { makeWork } from '../support/changes.ts';

const config = parseConfig({
  origin: 'https://weft.test',
  targets: { shop: { database: 'A', transport: 'tcp' } },
  callers: { hub: { forge: { kind: 'github', webhook_secrets: ['C'], token: 'D' } } },
  grants: [{ caller: 'hub', targets: ['*'], actions: ['deploy'] }],
  sources: [{ forge: 'hub', repository_id: '7', event: 'push', branch: 'main', target: 'shop' }],
});

const WORK = makeWork({ folder: null });

/** @param answers of the forge to the question whether it is still so, by turns; the last one for good */
function makeDesk(...answers: ('stale' | 'unreachable')[]) {
  const confirm: ForgeClient['confirm'] = async () => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer === 'unreachable') throw new Problem('forge_unreachable', 'As the test has it.');
    return { stale: 'It is another one by now.' };
  };
  const client = { confirm, report: async () => ({ reports: {}, error: undefined }) } as unknown as ForgeClient;
  return {
    config,
    forges: new Map([['hub', { name: 'hub', kind: 'github', webhooks: [], client }]]),
    now: () => 0,
    hide: (text: string) => text,
  } as unknown as ChangeDesk;
}

async function take(desk: ChangeDesk, body: unknown, o: { attempts?: number; queue?: 'full' | null } = {}) {
  const sent: unknown[] = [];
  const verdicts: string[] = [];
  const lines: Record<string, unknown>[] = [];
  const send = async (message: unknown, options?: { delaySeconds?: number }) => {
    if (o.queue === 'full') throw new Error('Too Many Requests');
    sent.push([message, options?.delaySeconds]);
    return undefined as never;
  };
  const caretaker = {
    ports: { config, log: (line: object) => void lines.push({ ...line }) },
    desk,
    queue: o.queue === null ? null : { send },
    memory: null,
  } as unknown as Caretaker;
  const message = {
    body,
    attempts: o.attempts ?? 1,
    ack: () => void verdicts.push('ack'),
    retry: ({ delaySeconds = 0 } = {}) => void verdicts.push(`retry in ${delaySeconds}`),
  };
  await takeBatch(caretaker, { messages: [message as unknown as Message] });
  return { sent, verdicts, lines };
}

test('what nothing follows from any more is acknowledged', async () => {
  expect(await take(makeDesk('stale'), WORK)).toMatchObject({
    verdicts: ['ack'],
    sent: [],
    lines: [{ message: 'change', by: 'queue', finding: 'stale', level: 'info' }],
  });
});

test('what is left to be done is another message, which knows more; this one is acknowledged', async () => {
  const { verdicts, sent, lines } = await take(makeDesk('unreachable'), WORK);
  expect([verdicts, sent]).toEqual([['ack'], [[{ ...WORK, looks: 1 }, 15]]]);
  expect(lines).toMatchObject([{ level: 'error', finding: 'unreachable', errors: [{ slug: 'forge_unreachable' }] }]);
});

test('where no other message can be left, this one comes again; and how often it has come counts', async () => {
  expect((await take(makeDesk('unreachable'), WORK, { queue: 'full' })).verdicts).toEqual(['retry in 15']);
  expect((await take(makeDesk('unreachable'), WORK, { queue: null, attempts: 3 })).verdicts).toEqual(['retry in 60']);
});

test('one that comes again, of which a try has died, may have been told as begun: so its end is told, though it is not so any more', async () => {
  expect(await take(makeDesk('stale'), WORK, { attempts: 2 })).toMatchObject({ verdicts: ['ack'], lines: [{ finding: 'told', looks: 2 }] });
});

test('a message that is nearly one of ours is none', async () => {
  for (const body of [
    { ...WORK, more: 1 },
    { ...WORK, target: '../x' },
    { ...WORK, folder: '../x' },
    { ...WORK, change: { ...WORK.change, commit: 'main' } },
  ]) {
    expect(await take(makeDesk('stale'), body)).toMatchObject({
      verdicts: ['ack'],
      lines: [{ level: 'error', what: expect.stringContaining('none of ours') }],
    });
  }
});

test('without a queue it is tried three times, with pauses that an isolate can be expected to live through', async () => {
  const pauses: number[] = [];
  const lines: { [fact: string]: unknown }[] = [];
  const taker = (desk: ChangeDesk) =>
    createChangeTaker(
      null,
      () => desk,
      (line) => void lines.push(line),
      async (milliseconds) => void pauses.push(milliseconds),
      async () => undefined,
    );
  expect(taker(makeDesk('stale')).leave).toBeUndefined();
  await taker(makeDesk('unreachable', 'stale')).takeUp(WORK);
  expect([pauses, lines.map(({ finding }) => finding)]).toEqual([[5000], ['unreachable', 'stale']]);
  pauses.length = 0;
  lines.length = 0;
  // Then it is told as a failure: nobody would come back for it.
  await taker(makeDesk('unreachable')).takeUp(WORK);
  expect([pauses, lines.map(({ level, finding }) => [level, finding])]).toEqual([
    [5000, 5000],
    [
      ['error', 'unreachable'],
      ['error', 'unreachable'],
      ['error', 'told'],
    ],
  ]);
});

test('what the queue did not take is no message of it: nothing is told as begun before it is owed', async () => {
  const told: string[] = [];
  const client: ForgeClient = {
    confirm: async () => ({ branch: 'main', stale: null }),
    fetchBundle: () => Promise.reject(new Problem('forge_unreachable', 'As the test has it.')),
    report: async (_change, { state }, reports) => {
      told.push(state);
      return { reports, error: undefined };
    },
  };
  const desk: ChangeDesk = { ...makeDesk(), isKept: true, forges: new Map([['hub', { name: 'hub', kind: 'github', webhooks: [], client }]]) };
  const queue = { send: () => Promise.reject(new Error('Too Many Requests')) };
  const nothing = async () => undefined;
  await createChangeTaker(queue, () => desk, nothing, nothing, nothing).takeUp(WORK);
  expect(told).toEqual(['failure']);
});
