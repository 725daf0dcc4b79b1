/** Plays a history in a new database, day by day, and looks behind each day. It ends with the first fault: what comes behind one tells nothing. */
import { dropDatabase, withDatabase } from '../support/database.ts';
import { leave, sql } from '../support/sql.ts';
import { deployBundle } from './deeds.ts';
import { deployFolder } from './deploying.ts';
import { openText } from './files.ts';
import { editFolder, orderOf, withKnownNames, withNewerViews } from './folder.ts';
import { DROPS, type Hand, handsBehind, handText, isHandThere, isMark, unhandText, withoutCode } from './held.ts';
import type { Day, Deed, Edit } from './history.ts';
import { lookBehind } from './looks.ts';
import { acceptDrift } from './marks.ts';
import { moveDatabase } from './moving.ts';
import { deployOther, undoOther } from './other.ts';
import { recordFile } from './recording.ts';
import { resumeDegraded } from './resuming.ts';
import { BEGINNING, type Databases, Fault, newTally, type State, type Tally, takeForMeant, type World } from './state.ts';
import { undoNewest } from './undoing.ts';
import { recordByMistake, withdrawBaseline } from './withdrawing.ts';

export interface Walked {
  readonly fault: Fault | null;
  /** Up to and with the one that showed the fault. */
  readonly days: readonly Day[];
  readonly tally: Tally;
}

/**
 * @param next says what happens next, from where the walk stands; null when it is over
 * @param isLookedBehind whether one looks behind that day; behind each unless it is said
 */
export async function walk(
  databases: Databases,
  next: (state: State, number: number) => Day | null,
  isLookedBehind: (number: number) => boolean = () => true,
): Promise<Walked> {
  const database = await databases.make();
  const world: World = { url: database.url, databases, tally: newTally() };
  const days: Day[] = [];
  let state = BEGINNING;
  try {
    for (let day = next(state, 1); day !== null; day = next(state, days.length + 1)) {
      days.push(day);
      state = await live(world, state, day);
      if (isLookedBehind(days.length)) await lookBehind(world, state);
    }
    return { fault: null, days, tally: world.tally };
  } catch (error) {
    const fault = error instanceof Fault ? error : new Fault('thrown', [error instanceof Error ? (error.stack ?? error.message) : String(error)]);
    return { fault, days, tally: world.tally };
  } finally {
    await leave(world.url);
    if (world.url === database.url) await database.drop();
    else await dropDatabase(withDatabase(world.url, 'postgres'), new URL(world.url).pathname.slice(1));
  }
}

async function live(world: World, before: State, { number, edits, deed }: Day): Promise<State> {
  let state = before;
  for (const edit of edits) state = await make(world, state, edit);
  const { folder, ...after } = await doIt(world, state, deed, number);
  const hands = handsBehind(after.hands, after.held, new Set());
  const names = await readNames(world);
  return { ...after, hands, folder: withKnownNames(folder, { held: after.held, names }), folders: new Map(before.folders).set(number, folder), names };
}

/** Under which name the history has files. */
async function readNames({ url }: World): Promise<State['names']> {
  const rows = await sql(
    url,
    `select m[1]::int as id, coalesce(m[2]::int, 0) as renamed from weft.history as h cross join regexp_match(h.path, '^(?:code|data|schema|gated|gcode)/0*(\\d+)_[a-z]+(?:_(\\d+))?\\.') as m where h.bundle = 'walk' and m is not null`,
  );
  return new Map(rows.map(({ id, renamed }) => [id, renamed]));
}

async function make({ url }: World, state: State, edit: Edit): Promise<State> {
  const { folder, held, hands, deployed } = state;
  if (edit.do === 'unhand') {
    const hand = hands.find(({ id }) => id === edit.id);
    if (hand === undefined || hand.what === 'drop') return state;
    await sql(url, unhandText(hand, held));
    return { ...state, hands: hands.filter(({ id }) => id !== edit.id) };
  }
  if (edit.do === 'open') {
    if (!state.opened.has(edit.id)) await sql(url, openText(edit.id));
    return { ...state, opened: new Set([...state.opened, edit.id]) };
  }
  if (edit.do === 'checkout') {
    const older = withKnownNames(withNewerViews(state.folders.get(edit.day) ?? folder, held), state);
    return { ...state, folder: { ...older, values: folder.values } };
  }
  // a file of which a part has run goes on with the values that it began with
  if (edit.do === 'set' && state.isHalfWay) return state;
  if (edit.do === 'hand' && edit.what === 'drop') return dropCode(url, state, edit);
  if (edit.do !== 'hand') return { ...state, folder: editFolder(folder, edit, state) };
  const isTwice = edit.what !== 'table' && hands.some(({ what, on }) => what === edit.what && on === edit.on);
  if (isTwice || state.isHalfWay || !isHandThere(edit, held) || !deployed.some(({ hasChanged }) => hasChanged)) return state;
  if (edit.what === 'body' && held.code.get(edit.on)?.parents.length !== 0) return state;
  if (edit.what === 'give' && held.code.get(edit.on)?.kind !== 'view') return state;
  await sql(url, handText(edit, held));
  return {
    ...state,
    given: isMark(edit) ? [...state.given, edit] : state.given,
    hands: [...hands, { ...edit, ...(edit.what === 'column' && { behind: held.ran.map(({ id }) => id) }) }],
  };
}

async function dropCode(url: string, state: State, { id, what, on }: Extract<Edit, { do: 'hand' }>): Promise<State> {
  const text = DROPS[state.held.code.get(on)?.kind ?? 'table'];
  if (text === undefined || state.isHalfWay || !state.deployed.some(({ hasChanged }) => hasChanged)) return state;
  const { held, along } = withoutCode(state.held, on);
  await sql(url, text(on));
  const left = (hands: readonly Hand[]): readonly Hand[] => handsBehind(hands, held, new Set());
  return { ...state, held, hands: [...left(state.hands), { id, what, on, along }], accepted: left(state.accepted) };
}

async function doIt(world: World, state: State, deed: Deed, day: number): Promise<State> {
  switch (deed.do) {
    case 'nothing':
      return state;
    case 'deploy':
      return deployFolder(world, state, deed, day);
    case 'undo':
      return undoNewest(world, state, deed);
    case 'baseline':
      return recordFile(world, state, deed.id);
    case 'other':
      return takeForMeant(deed.what === 'undo' ? await undoOther(world, state) : { ...state, others: await deployOther(world, state.others, day) });
    case 'withdraw':
      return withdrawBaseline(world, state);
    case 'mistake':
      return recordByMistake(world, state, deed);
    case 'resume':
      return resumeDegraded(world, state, deed);
    case 'move':
      return moveDatabase(world, state, deed);
    case 'rehearse':
      if (state.folder.files.size > 0) await deployBundle(world.url, orderOf(state.folder), 'rehearse');
      return state;
    case 'accept':
      if (!state.deployed.some(({ hasChanged }) => hasChanged)) return state;
      return acceptDrift(world, state);
  }
}
