/** Looks behind a day: whether the database is what plain SQL makes of the same files, and whether drift is told where somebody was at it, and nowhere else. */
import pg from 'pg';
import { leave, sql } from '../support/sql.ts';
import { differ, type Seen, seeDatabase } from './catalog.ts';
import { openText } from './files.ts';
import { isHandThere, remake } from './held.ts';
import { otherText } from './other.ts';
import { expectNone, Fault, type State, type World } from './state.ts';

export async function lookBehind(world: World, state: State): Promise<void> {
  if (state.isHalfWay) return;
  await compareWithPlain(world, state);
  await lookForDrift(world, state);
  await lookForInternals(world);
}

/** The same files, in their order, by plain SQL, in a database that has seen nothing else. */
async function compareWithPlain({ url, databases }: World, state: State): Promise<void> {
  const plain = await databases.make();
  try {
    const client = new pg.Client({ connectionString: plain.url });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await client.query('set client_min_messages = warning');
      for (const text of [...[...state.opened].map(openText), ...remake(state.held, state.hands), ...state.others.map(otherText)]) {
        await client.query(text).catch((error: unknown) => {
          throw new Error(`the walk itself is wrong, plain SQL refuses what it holds: ${error instanceof Error ? error.message : error}\n${text}`);
        });
      }
    } finally {
      await client.end();
    }
    const [is, shall] = [await seeDatabase(url), await seeDatabase(plain.url)];
    expectNone('unlike plain SQL', differences(is, shall, state.areRightsKnown));
    if (state.areRightsKnown && is.fingerprint !== shall.fingerprint) throw new Fault('unlike plain SQL', ['the fingerprint alone is another one']);
  } finally {
    await leave(plain.url);
    await plain.drop();
  }
}

/** What differs, as the walk's own look has it. */
export function differences(is: Seen, shall: Seen, areRightsKnown: boolean): string[] {
  return [
    ...differ('catalog', is.catalog, shall.catalog),
    ...differ('rows', is.rows, shall.rows),
    ...(areRightsKnown ? differ('rights', is.rights, shall.rights) : []),
  ];
}

/** @throws Fault where drift is told and nobody was at it, or the other way round */
async function lookForDrift({ url, tally }: World, { hands, accepted, held, deployed }: State): Promise<void> {
  if (!deployed.some(({ hasChanged }) => hasChanged)) return;
  const [{ drift }] = await sql(url, 'select weft.describe_drift() as drift');
  const there = (of: typeof hands): string =>
    of
      .filter((hand) => isHandThere(hand, held))
      .map(({ id }) => id)
      .sort()
      .join();
  const shall = there(hands) === there(accepted) ? 'none' : 'drift';
  if (shall === 'drift') tally.drifts += 1;
  if (drift.verdict !== shall)
    throw new Fault('drift', [`by hand: ${there(hands)}; said to be meant: ${there(accepted)}; and the engine says ${JSON.stringify(drift)}`]);
}

/** No deployment may have ended with what only the engine itself can have done wrong. */
async function lookForInternals({ url }: World): Promise<void> {
  const rows = await sql(
    url,
    `select format('%s %s', s.path, s.error) as line from weft._steps as s where s.error ->> 'sqlstate' ~ '^(XX|P0|WF00)' or s.error ->> 'schema' = 'weft'
     union all
     select format('%s %s', d.id, d.error) from weft._deployments as d where d.error ->> 'sqlstate' ~ '^(XX|P0|WF00)' or d.error ->> 'schema' = 'weft'`,
  );
  expectNone(
    'internal error',
    rows.map(({ line }) => line),
  );
}
