/** What is left for whoever comes later, by a request that comes once, and by one that comes again and again. */
import type { Message } from '@cloudflare/workers-types';
import { beforeEach, expect, it, vi } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { ChangeDesk } from '../../src/operations/desk.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { createAftercare } from '../../src/worker/aftercare.ts';
import type { Memory } from '../../src/worker/bindings.ts';
import type { Caretaker } from '../../src/worker/look_after.ts';
import { takeBatch } from '../../src/worker/queue.ts';
import { ID } from '../http/requests.ts';
import { makeDeployment } from '../http/support.ts';

vi.mock('cloudflare:workers', () => ({
  DurableObject: class {
    readonly ctx: unknown;
    constructor(ctx: unknown) {
      this.ctx = ctx;
    }
  },
}));

const NOW = Date.parse('2026-03-01T12:00:00Z');
const config = parseConfig({ origin: 'https://weft.test', targets: { shop: { database: 'SHOP_URL', transport: 'websocket' } }, callers: {}, grants: [] });

/** Messages of a queue that takes them, or not. */
let sent: { readonly looks: number; readonly sealed: string | null }[];
let isFull: boolean;
let now: number;
let memory: Memory | null;
beforeEach(async () => {
  const { UnfinishedWork } = await import('../../src/worker/unfinished_work.ts');
  const kept = new Map<string, unknown>();
  const storage = {
    get: async (key: string) => kept.get(key),
    put: async (key: string, value: unknown) => void kept.set(key, value),
    delete: async (key: string) => kept.delete(key),
  };
  memory = new (UnfinishedWork as unknown as new (ctx: unknown) => Memory)({ storage });
  sent = [];
  isFull = false;
  now = NOW;
});

const queue = {
  send: async (body: unknown) => {
    if (isFull) throw new Error('Too Many Requests');
    sent.push(body as (typeof sent)[number]);
    return undefined as never;
  },
};
const KEY = generateSecret();

async function handOn(times: number, secrets: Record<string, string> | null = null): Promise<number> {
  const before = sent.length;
  for (let at = 0; at < times; at++) {
    await createAftercare({ queue, memory, sealingKey: KEY, log: () => undefined, now: () => now })?.handOn('shop', ID, secrets);
    now += 1000;
  }
  return sent.length - before;
}

/** The message that is due is taken, and finds this. */
async function look(state: 'running' | 'staged', isAtWork: boolean): Promise<void> {
  const caretaker = {
    ports: { config, connect: () => () => Promise.reject(new Error('nobody opens a session here')), log: () => undefined, now: () => now },
    desk: {} as ChangeDesk,
    sealingKey: KEY,
    lookAgain: async () => undefined,
    attend: async () => ({ deployment: makeDeployment({ state }), isAtWork }),
    queue,
    memory,
  } as unknown as Caretaker;
  const message = { body: sent.at(-1), attempts: 1, ack: () => undefined, retry: () => undefined } as unknown as Message;
  await takeBatch(caretaker, { messages: [message] });
}

it('is one message, however often the same request comes while one is due soon: when it was taken, another one is left', async () => {
  expect(await handOn(5)).toBe(1);
  now += LIMITS.look_again_seconds_first * 1000;
  await look('running', true);
  expect(sent.map(({ looks }) => looks)).toEqual([0, 1]);
  expect(await handOn(5)).toBe(0);
  for (let looks = 2; looks < 9; looks++) await look('running', true);
  expect([sent.length, await handOn(5)]).toEqual([9, 0]);
});

it('is a new one where the next look is far away, where none came when it was due, and where it is over', async () => {
  expect(await handOn(1)).toBe(1);
  for (let looks = 1; looks < 9; looks++) await look('staged', false);
  expect(await handOn(2)).toBe(1);
  now += (LIMITS.look_again_seconds_first + LIMITS.schedule_slack_seconds) * 1000;
  expect(await handOn(2)).toBe(1);
  await memory?.strikeOut('shop', ID);
  expect(await handOn(1)).toBe(1);
});

it('is a new one where the queue did not take the last, where there is no memory, and with secrets, which another one may not have', async () => {
  isFull = true;
  expect(await handOn(1)).toBe(0);
  isFull = false;
  expect(await handOn(2)).toBe(1);
  expect(await handOn(1, { token: 'wolf-hound-9' })).toBe(1);
  expect(sent.at(-1)?.sealed).toEqual(expect.any(String));
  memory = null;
  expect(await handOn(2)).toBe(2);
});
