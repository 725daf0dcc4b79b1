/** A day on which somebody does by hand what a file does, and records it as applied: what is there then is meant. */
import { sql } from '../support/sql.ts';
import { seeDatabase } from './catalog.ts';
import { deployBundle } from './deeds.ts';
import { dropsFirst, type File, isStuck, pathOf, textOf } from './files.ts';
import { type Folder, orderOf } from './folder.ts';
import { holdMore, lastRun, ranOnce } from './held.ts';
import { differences } from './looks.ts';
import { expectNone, Fault, type State, type World } from './state.ts';

/** What depends on nothing, and is not as the folder has it. */
export const recordable = ({ files }: Folder, { held, names, opened }: Pick<State, 'held' | 'names' | 'opened'>): readonly File[] =>
  [...files.values()].filter((file) => {
    if (file.parents.length > 0 || file.isBroken || (isStuck(file) && !opened.has(file.id)) || file.isTampered || held.lost.has(file.id)) return false;
    if (file.kind === 'table' || file.kind === 'list') return !ranOnce(held).has(file.id);
    if (file.kind !== 'function' || (names.get(file.id) ?? file.renamed) !== file.renamed) return false;
    const last = lastRun(held, file);
    return last === undefined || (last.version !== file.version && !dropsFirst(file));
  });

export async function recordFile({ url }: World, state: State, id: number): Promise<State> {
  const file = recordable(state.folder, state).find((each) => each.id === id);
  if (file === undefined || state.isHalfWay || !state.deployed.some(({ hasChanged }) => hasChanged)) return state;
  await sql(url, textOf(file));
  const seen = await seeDatabase(url);
  const end = await deployBundle(url, { ...orderOf(state.folder), only: pathOf(file) }, 'baseline');
  if (end.state !== 'succeeded') throw new Fault('baseline', [`it ${end.state}: ${JSON.stringify(end.error)}`]);
  expectNone('a baseline changed something', differences(await seeDatabase(url), seen, true));
  const hands = state.hands.filter((hand) => hand.what !== 'drop' && !(hand.what === 'body' && hand.on === id));
  const before = lastRun(state.held, file);
  const recorded = [...state.recorded, { id: end.id, file, at: state.deployed.length, hands: state.hands, accepted: state.accepted, isMeant: false, before }];
  return { ...state, held: holdMore(state.held, file), hands, accepted: hands, recorded };
}
