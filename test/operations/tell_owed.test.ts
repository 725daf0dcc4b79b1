/** What forges are owed, told by whoever comes by: one at a time, for only what was tried has been tried; with a forge and a table that do as the test says. */
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import type { Owed, OwedCall } from '../../src/database/owed.ts';
import { Problem } from '../../src/domain/problem.ts';
import type { ForgeAtHand, ForgeClient } from '../../src/forges/forge.ts';
import type { ChangeDesk } from '../../src/operations/desk.ts';
import { writeOwed } from '../../src/operations/owed.ts';
import { tellOwed } from '../../src/operations/tell_owed.ts';
import { ID } from '../http/requests.ts';
import { makeDeployment } from '../http/support.ts';
import { makeWork } from '../support/changes.ts';

interface Row extends OwedCall {
  tries: number;
  /** Milliseconds since 1970. */
  heldUntil: number;
}

/** @param report how long the forge takes, in seconds, and what it says; without it, it takes everything at once */
async function makeWorld(count: number, o: { report?: () => Promise<number>; mayDeploy?: boolean; isWithForge?: boolean } = {}) {
  let now = 0;
  const told: (number | null)[] = [];
  const client = {
    report: async ({ number }, _account, reports) => {
      now += 1000 * ((await o.report?.()) ?? 0);
      if (o.report !== undefined) return { reports, error: new Problem('forge_unreachable', 'As the test has it.') };
      told.push(number);
      return { reports, error: undefined };
    },
  } as Partial<ForgeClient> as ForgeClient;
  const forge: ForgeAtHand = { name: 'hub', kind: 'github', webhooks: ['of-the-test'], client };
  const rows: Row[] = [];
  for (let number = 1; number <= count; number++) rows.push({ ...(await writeOwed(forge, makeWork({}, { number }), 0)), tries: 0, heldUntil: 0 });
  const asked: object[] = [];
  const desk = {
    config: parseConfig({
      origin: 'https://weft.test',
      targets: { shop: { database: 'A', transport: 'tcp' } },
      callers: { hub: { forge: { kind: 'github', webhook_secrets: ['C'], token: 'D' } } },
      grants: o.mayDeploy === false ? [] : [{ caller: 'hub', targets: ['shop'], actions: ['deploy'] }],
      sources: [],
    }),
    forges: new Map(o.isWithForge === false ? [] : [['hub', forge]]),
    takeOwed: async (_target, { seconds, count: most, of }) => {
      asked.push({ of });
      const due = rows.filter(({ heldUntil }) => heldUntil <= now).sort((a, b) => a.heldUntil - b.heldUntil);
      const taken = due.slice(0, most).map((row): Owed => {
        row.tries += 1;
        row.heldUntil = now + seconds * 1000;
        return { ...row, deployment: makeDeployment() };
      });
      return { taken, is_owed: false };
    },
    settleOwed: async (_target, settled) => {
      for (const one of settled) {
        const index = rows.findIndex(({ key }) => key === one.key);
        const [row] = one.errand === undefined ? rows.splice(index, 1) : rows.slice(index, index + 1);
        if (row !== undefined && one.errand !== undefined) row.heldUntil = now + one.seconds * 1000;
      }
    },
    isKept: true,
    now: () => now,
    hide: (text) => text,
  } as Partial<ChangeDesk> as ChangeDesk;
  return { desk, rows, told, asked };
}

test('all that is due is told, however much it is', async () => {
  const { desk, rows, told } = await makeWorld(45);
  expect((await tellOwed(desk, 'shop')).map(({ finding, work }) => [finding, work.deployment])).toEqual(Array(45).fill(['told', ID]));
  expect([new Set(told).size, rows]).toEqual([45, []]);
});

test('only what was tried counts as tried: whoever dies at the first has tried none of the others', async () => {
  const reached = Promise.withResolvers<void>();
  const { desk, rows } = await makeWorld(3, {
    report: () => {
      reached.resolve();
      return new Promise<never>(() => undefined);
    },
  });
  void tellOwed(desk, 'shop');
  await reached.promise;
  expect(rows.map(({ tries }) => tries)).toEqual([1, 0, 0]);
});

test('a forge that takes long to say nothing is not asked for ever: the rest is left, untried, to the next', async () => {
  const { desk, rows } = await makeWorld(20, { report: async () => 30 });
  const told = await tellOwed(desk, 'shop');
  expect(told.map(({ finding }) => finding)).toEqual(Array(4).fill('untold'));
  expect(rows.map(({ tries }) => tries)).toEqual([1, 1, 1, 1, ...Array(16).fill(0)]);
});

test('what the forge did not take is due when it is looked at again: no message of the queue has it', async () => {
  const { desk, rows } = await makeWorld(1, { report: async () => 130 });
  const [progress] = await tellOwed(desk, 'shop');
  expect(progress).toMatchObject({ finding: 'untold', again_seconds: 15 });
  expect(rows[0]?.heldUntil).toBe((130 + 15) * 1000);
});

test('what was begun is told also where its forge may not deploy any more; where there is no forge, nothing is asked', async () => {
  const { desk, told } = await makeWorld(1, { mayDeploy: false });
  await tellOwed(desk, 'shop');
  expect(told).toEqual([1]);
  const without = await makeWorld(1, { isWithForge: false });
  expect([await tellOwed(without.desk, 'shop'), without.asked]).toEqual([[], []]);
});
