/** So many sessions at a time, in the order in which they are asked for; and nobody waits for who is gone, or for ever. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Gate } from '../../src/database/gate.ts';
import type { Session } from '../../src/database/session.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const closed: number[] = [];

/** Asks for a session each. @returns the numbers of those who have one, in the order in which they got it, and the sessions */
function ask(gate: Gate, count: number): { came: number[]; sessions: Map<number, Session> } {
  const came: number[] = [];
  const sessions = new Map<number, Session>();
  for (let number = 0; number < count; number += 1) {
    const connect = gate.limit(async () => ({ close: async () => void closed.push(number) }) as unknown as Session);
    void connect().then((session) => {
      came.push(number);
      sessions.set(number, session);
    });
  }
  return { came, sessions };
}

test('who comes when all places are taken waits, and comes in when one is given up, in the order of arrival', async () => {
  const { came, sessions } = ask(new Gate({ sessions_max: 2, wait_milliseconds_max: 60_000 }), 5);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(came).toEqual([0, 1]);
  await sessions.get(1)?.close();
  await sessions.get(1)?.close(); // once more gives nothing up
  await vi.advanceTimersByTimeAsync(20_000);
  expect(came).toEqual([0, 1, 2]);
  await sessions.get(0)?.close();
  await vi.advanceTimersByTimeAsync(100);
  await sessions.get(2)?.close();
  await vi.advanceTimersByTimeAsync(100);
  expect(came).toEqual([0, 1, 2, 3, 4]);
  expect(closed).toEqual([1, 1, 0, 2]);
});

test('a connect that fails gives its place up', async () => {
  const gate = new Gate({ sessions_max: 1, wait_milliseconds_max: 60_000 });
  await expect(gate.limit(() => Promise.reject(new Error('refused')))()).rejects.toThrow('refused');
  const { came } = ask(gate, 1);
  await vi.advanceTimersByTimeAsync(100);
  expect(came).toEqual([0]);
});

test('a holder without a sign of life, whose request the platform has ended, holds nothing after five seconds', async () => {
  const gate = new Gate({ sessions_max: 1, wait_milliseconds_max: 60_000 });
  const { came } = ask(gate, 1);
  await vi.advanceTimersByTimeAsync(100);
  vi.clearAllTimers(); // as when its request is gone
  const later = ask(gate, 1);
  await vi.advanceTimersByTimeAsync(4_000);
  expect([came, later.came]).toEqual([[0], []]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(later.came).toEqual([0]);
});

test('an isolate that was held up itself takes nobody for gone: neither who waited meanwhile, nor who comes then', async () => {
  const gate = new Gate({ sessions_max: 1, wait_milliseconds_max: 60_000 });
  vi.spyOn(Math, 'random').mockReturnValue(0);
  const { came } = ask(gate, 2);
  await vi.advanceTimersByTimeAsync(100);
  vi.setSystemTime(Date.now() + 30_000); // and no timer has fired
  vi.spyOn(Math, 'random').mockReturnValueOnce(1); // those that are due fire before that of who comes then, as they do in a real loop
  const later = ask(gate, 1);
  await vi.advanceTimersByTimeAsync(3_000);
  expect([came, later.came]).toEqual([[0], []]);
});

test('who would stay for long is refused when all places are taken, if that is said, and comes in when one is given up', async () => {
  const gate = new Gate({ sessions_max: 2, wait_milliseconds_max: 0, refuse: () => new Error('full') });
  const { came, sessions } = ask(gate, 2);
  await vi.advanceTimersByTimeAsync(10);
  expect(came).toEqual([0, 1]);
  await expect(gate.limit(() => Promise.reject(new Error('never asked')))()).rejects.toThrow('full');
  await sessions.get(0)?.close();
  expect(ask(gate, 1).came).toEqual([]);
  await vi.advanceTimersByTimeAsync(10);
  await expect(gate.limit(() => Promise.reject(new Error('never asked')))()).rejects.toThrow('full');
});

test('nobody waits longer than that: the gate spares a burst, and refuses nothing', async () => {
  const { came } = ask(new Gate({ sessions_max: 1, wait_milliseconds_max: 10_000 }), 3);
  await vi.advanceTimersByTimeAsync(9_000);
  expect(came).toEqual([0]);
  await vi.advanceTimersByTimeAsync(1_100);
  expect(came.sort()).toEqual([0, 1, 2]);
});
