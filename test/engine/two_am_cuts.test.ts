/** Number 47 of 52 is cut while it builds an index: the connection, the client, the server. What else can happen to it: two_am_orphans.test.ts. */
import { expect, it } from 'vitest';
import { CASES, DISTURBANCES, describeCuts, VALUES } from './two_am.ts';

describeCuts(['the connection is reset', 'the client is killed', 'the server is killed']);

it('any three values of form, writing, when and who meet with any disturbance, and so do any two of all columns', () => {
  const columns: Record<string, readonly string[]> = VALUES;
  const wanted = [...choose(['form', 'writing', 'when', 'who'], 3), ...choose(Object.keys(columns), 2)].flatMap((names) =>
    names.reduce<Record<string, string>[]>(
      (rows, name) => rows.flatMap((row) => columns[name]?.map((value) => ({ ...row, [name]: value })) ?? []),
      DISTURBANCES.map((disturbance) => ({ disturbance })),
    ),
  );
  expect(wanted.length).toBe((4 * 8 + 15 * 4) * DISTURBANCES.length);
  for (const row of wanted) expect(CASES).toContainEqual(expect.objectContaining(row));
});

/** All sets of so many of these names. */
function choose(names: readonly string[], count: number): string[][] {
  if (count === 0) return [[]];
  return names.flatMap((name, n) => choose(names.slice(n + 1), count - 1).map((others) => [name, ...others]));
}
