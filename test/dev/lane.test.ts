/**
 * A lane's latency, silence and restraint, with a clock that the test turns by hand.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Lane } from '../../src/dev/lane.ts';

let out: number[];
let delay: number;
let silent: boolean;
let paused: boolean;
let lane: Lane;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  out = [];
  delay = 40;
  silent = false;
  paused = false;
  lane = new Lane({
    write: (bytes) => void out.push(bytes[0] ?? -1),
    pauseSource: () => {
      paused = true;
    },
    resumeSource: () => {
      paused = false;
    },
    delayMs: () => delay,
    isSilent: () => silent,
  });
});
afterEach(() => vi.useRealTimers());

const chunk = (value: number, size = 1): Uint8Array => new Uint8Array(size).fill(value);

test('what comes in together goes out together, one latency later', async () => {
  for (let i = 0; i < 200; i++) lane.push(chunk(i));
  await vi.advanceTimersByTimeAsync(39);
  expect(out).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(out).toEqual(Array.from({ length: 200 }, (_, i) => i));
});

test('each chunk waits for its own latency, not for that of the one before', async () => {
  lane.push(chunk(1));
  await vi.advanceTimersByTimeAsync(30);
  lane.push(chunk(2));
  await vi.advanceTimersByTimeAsync(10);
  expect(out).toEqual([1]);
  await vi.advanceTimersByTimeAsync(30);
  expect(out).toEqual([1, 2]);
});

test('a latency that becomes shorter lets nothing overtake', async () => {
  lane.push(chunk(1));
  delay = 0;
  lane.push(chunk(2));
  expect(out).toEqual([]);
  await vi.advanceTimersByTimeAsync(40);
  expect(out).toEqual([1, 2]);
});

test('without latency a chunk goes out at once', () => {
  delay = 0;
  lane.push(chunk(1));
  expect(out).toEqual([1]);
});

test('in a silence it keeps what it has, and afterwards sends it', async () => {
  silent = true;
  lane.push(chunk(1));
  await vi.advanceTimersByTimeAsync(1000);
  expect(out).toEqual([]);
  silent = false;
  lane.poke();
  expect(out).toEqual([1]);
});

test('it stops reading from its source at 16 MiB, and goes on when half has left', async () => {
  lane.push(chunk(1, 16 * 1024 * 1024));
  expect(paused).toBe(false);
  lane.push(chunk(2));
  expect(paused).toBe(true);
  await vi.advanceTimersByTimeAsync(40);
  expect(paused).toBe(false);
});

test('once closed it sends nothing more', async () => {
  lane.push(chunk(1));
  lane.close();
  await vi.advanceTimersByTimeAsync(100);
  expect(out).toEqual([]);
});
