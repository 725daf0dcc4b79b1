/** Days on which a baseline is withdrawn: one that was recorded on an earlier day, and one that was a mistake, which leaves nothing behind. */
import type { Deployment } from '../../src/domain/deployment.ts';
import { Problem } from '../../src/domain/problem.ts';
import { sql } from '../support/sql.ts';
import { seeDatabase } from './catalog.ts';
import { deployBundle, undoDeployment } from './deeds.ts';
import { bodyText, isCode, pathOf, relationOf } from './files.ts';
import { orderOf } from './folder.ts';
import { type Held, handsBehind, isHandThere } from './held.ts';
import type { Deed } from './history.ts';
import { differences } from './looks.ts';
import { acceptDrift } from './marks.ts';
import { expectNone, Fault, type Recorded, type State, type World } from './state.ts';

/** The newest baseline is withdrawn, behind that by hand what it stands for. What was deployed on top of it is undone first, or it is refused. */
export async function withdrawBaseline(world: World, state: State): Promise<State> {
  const { url, tally } = world;
  const newest = state.recorded.at(-1);
  if (newest === undefined || state.isHalfWay || !isFree(state, newest)) return state;
  const above = state.deployed.slice(newest.at);
  if (above.some(({ hasChanged }) => hasChanged)) {
    await expectRefusal(url, newest);
    return state;
  }
  const { file, before } = newest;
  await sql(
    url,
    before === undefined
      ? file.kind === 'function'
        ? `drop function f${file.id}`
        : `drop table ${relationOf(file)}`
      : bodyText(before, `(x + ${before.version})`),
  );
  const seen = await seeDatabase(url);
  const end = await withdraw(url, newest.id);
  tally.withdrawn += 1;
  expectNone('withdrawn, and something has changed', differences(await seeDatabase(url), seen, true));
  if (end.state !== 'succeeded') throw new Fault('withdrawn', [`it ${end.state}: ${JSON.stringify(end.error)}`]);
  const held = withoutRecorded(state.held, newest);
  const dropped = newest.hands.filter((hand) => hand.what === 'drop' && isHandThere(hand, held));
  const left = handsBehind(state.hands, held, new Set([file.id]));
  const next = { ...state, held, recorded: state.recorded.slice(0, -1) };
  const hands = [...left, ...dropped];
  if (above.length === 0 && !newest.isMeant) return { ...next, hands, accepted: handsBehind(newest.accepted, held, new Set()) };
  // whoever came behind it has met what is there, and what was taken back by hand is drift since
  return acceptDrift(world, { ...next, hands });
}

/** Whether what it stands for is there, and nothing else uses it. */
function isFree({ held: { code, ran } }: State, { file, before }: Recorded): boolean {
  const isThere = isCode(file) ? code.get(file.id)?.version === file.version : ran.includes(file);
  return isThere && (before !== undefined || ![...ran, ...code.values()].some(({ parents }) => parents.some(({ id }) => id === file.id)));
}

async function expectRefusal(url: string, { id }: Recorded): Promise<void> {
  const refusal = await withdraw(url, id).catch((error: unknown) => error);
  if (!(refusal instanceof Problem && refusal.slug === 'undo_out_of_order'))
    throw new Fault('withdrawn', [
      `there is a deployment on top of baseline ${id}, and it says ${refusal instanceof Error ? refusal.message : JSON.stringify(refusal)}`,
    ]);
}

const withdraw = (url: string, id: string): Promise<Deployment> => undoDeployment(url, id);

function withoutRecorded(held: Held, { file, before }: Recorded): Held {
  if (!isCode(file))
    return { ...held, ran: held.ran.filter((other) => other !== file), readable: new Set([...held.readable].filter((name) => name !== relationOf(file))) };
  const code = new Map(held.code);
  if (before === undefined) code.delete(file.id);
  else code.set(file.id, before);
  return { ...held, code };
}

/** Files are recorded that nobody has brought about, and that is withdrawn at once: history, catalog and drift are as they were. */
export async function recordByMistake(world: World, state: State, { id }: Extract<Deed, { do: 'mistake' }>): Promise<State> {
  const { url, tally } = world;
  const { folder, isHalfWay } = state;
  const file = folder.files.get(id);
  if (file === undefined || isHalfWay) return state;
  const look = async (): Promise<readonly string[]> =>
    (await sql(url, `select h::text as line from weft._history as h union all select (weft.describe_drift() - 'since')::text order by 1`)).map(
      ({ line }) => line,
    );
  const [seen, listed] = [await seeDatabase(url), await look()];
  const end = await deployBundle(url, { ...orderOf(folder), ...(id % 2 === 0 ? { only: pathOf(file) } : { upTo: pathOf(file) }) }, 'baseline').catch(
    (error: unknown) => {
      if (error instanceof Problem) return null;
      throw error;
    },
  );
  if (end?.state === 'succeeded') {
    const withdrawn = await withdraw(url, end.id).catch((error: unknown) => {
      if (error instanceof Problem && error.slug === 'nothing_to_undo') return null;
      throw error;
    });
    tally.withdrawn += 1;
    // what was recorded before with the same bytes is not its own, so there is nothing to withdraw; what it took for meant stays meant
    if (withdrawn === null) return acceptDrift(world, state);
    if (withdrawn.state !== 'succeeded') throw new Fault('withdrawn', [`it ${withdrawn.state}: ${JSON.stringify(withdrawn.error)}`]);
  }
  expectNone('a mistake that was withdrawn has changed something', differences(await seeDatabase(url), seen, true));
  const now = await look();
  expectNone('a mistake that was withdrawn has changed something', [
    ...listed.filter((line) => !now.includes(line)).map((line) => `there is not: ${line}`),
    ...now.filter((line) => !listed.includes(line)).map((line) => `there is: ${line}`),
  ]);
  return state;
}
