/** Of all who wait for one database, one looks whether a commit in it is held. */
import { expect, it } from 'vitest';
import type { Connect } from '../../src/database/session.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { createHeldLooks } from '../../src/worker/held_looks.ts';

const CROWD = 200;

function openWorld() {
  const world = { now: 0, sessions: 0, waiting: ['17'] };
  const connect = (async () => {
    world.sessions += 1;
    return {
      query: async () => world.waiting.map((id) => ({ id })),
      pipeline: async () => [{ kind: 'rows', rows: world.waiting.map((id) => ({ id })) }],
      close: async () => undefined,
    };
  }) as unknown as Connect;
  const look = createHeldLooks(
    () => world.now,
    async () => undefined,
  );
  return { world, all: () => Promise.all(Array.from({ length: CROWD }, () => look('shop', connect))), look, connect };
}

it('one of a crowd opens a session, and the others know next time what it has seen', async () => {
  const { world, all } = openWorld();
  expect((await all()).filter((isHeld) => isHeld)).toHaveLength(1);
  expect(world.sessions).toBe(1);
  world.now += LIMITS.commit_look_milliseconds;
  expect((await all()).filter((isHeld) => isHeld)).toHaveLength(CROWD);
  expect(world.sessions).toBe(2);
});

it('what was seen long ago is not told again, and each database has a look of its own', async () => {
  const { world, look, connect } = openWorld();
  expect(await look('shop', connect)).toBe(true);
  world.waiting = [];
  expect(await look('other', connect)).toBe(false);
  world.now += 2 * LIMITS.commit_look_milliseconds;
  const [first, second] = await Promise.all([look('shop', connect), look('shop', connect)]);
  expect([first, second]).toEqual([false, false]);
});
