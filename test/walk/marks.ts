/**
 * Comments and rights that somebody has given to what runs again. What was not touched keeps them, and what only went along with something else has them again
 * (docs/BUNDLES.md). Of the rest it depends on how its file writes it, and the database is asked.
 */
import { sql } from '../support/sql.ts';
import { type Hand, isMark } from './held.ts';
import { Fault, type State, type World } from './state.ts';

/** @param certain what must have kept its marks @returns the state with the marks that are there, all of them taken for meant where one was uncertain */
export async function settleMarks(world: World, before: State, after: State, certain: (id: number) => boolean): Promise<State> {
  const { url } = world;
  const marks = before.given.filter(isMark);
  if (marks.length === 0) return after;
  const rows = await sql(
    url,
    `select substr(c.relname, 2)::int as id, obj_description(c.oid, 'pg_class') as said, exists (select from aclexplode(c.relacl) as a where a.grantee = 0 and a.privilege_type = 'UPDATE') as is_given
     from pg_class as c where c.relnamespace = 'public'::regnamespace and c.relkind in ('v', 'm')`,
  );
  const isHalfWay = before.isHalfWay || after.isHalfWay;
  const isCertain = (id: number): boolean => !isHalfWay && certain(id);
  const isThere = ({ id, what, on }: Hand): boolean => rows.some((row) => row.id === on && (what === 'say' ? row.said === `by hand ${id}` : row.is_given));
  const lost = before.hands.filter((hand) => isMark(hand) && isCertain(hand.on) && !isThere(hand));
  if (lost.length > 0)
    throw new Fault(
      'lost what was given',
      lost.map(({ id, what, on }) => `${what} ${id} on ${on}`),
    );
  const others = after.hands.filter((hand) => !isMark(hand));
  const newest = marks.filter((hand, at) => isThere(hand) && !marks.some((later, place) => place > at && later.what === hand.what && later.on === hand.on));
  if (marks.every(({ on }) => isCertain(on) || !after.held.code.has(on)))
    return { ...after, hands: [...others, ...newest.filter(({ id }) => before.hands.some((hand) => hand.id === id))] };
  if (after.isHalfWay) return { ...after, hands: [...others, ...newest] };
  return acceptDrift(world, { ...after, hands: [...others, ...newest] });
}

/** All that is there is meant. */
export async function acceptDrift({ url }: World, state: State): Promise<State> {
  await sql(url, 'select weft.accept_drift()');
  const hands = state.hands.filter(({ what }) => what !== 'drop');
  const recorded = state.recorded.map((one) => ({ ...one, isMeant: true }));
  return { ...state, hands, accepted: hands, recorded };
}
