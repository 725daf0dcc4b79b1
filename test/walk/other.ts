/** Another bundle in the same database: each of its deployments brings a schema with a table and a view, and it shares nothing with the first. */
import { deployBundle, planUndo, undoDeployment } from './deeds.ts';
import { Fault, type State, type World } from './state.ts';

const NAME = 'other';

export const otherText = (id: number): string =>
  `create schema other${id}; create table other${id}.o (n int primary key); create view other${id}.v as select o.n from other${id}.o as o;`;

/** @returns what it has brought by then */
export async function deployOther({ url }: World, others: readonly number[], id: number): Promise<readonly number[]> {
  const all = [...others, id];
  const texts = all.flatMap((each) => [
    [`schema/${String(each).padStart(4, '0')}.sql`, otherText(each)],
    [`undo/${String(each).padStart(4, '0')}.sql`, `drop schema other${each} cascade;`],
  ]);
  const phases = [{ name: 'schema', steps: [{ run: 'schema/*.sql', undo: 'undo/*.sql' }] }];
  const end = await deployBundle(url, { files: { ...Object.fromEntries(texts), 'weft.yaml': JSON.stringify({ name: NAME, phases }) } }, 'apply');
  if (end.state !== 'succeeded') throw new Fault('another bundle', [`it ${end.state}: ${JSON.stringify(end.error)}`]);
  return all;
}

export async function undoOther({ url }: World, state: State): Promise<State> {
  const plan = await planUndo(url, NAME);
  if ((plan === null) !== (state.others.length === 0))
    throw new Fault('another bundle', [`of ${state.others.length} deployments the plan takes back ${plan?.deployment}`]);
  if (plan === null) return state;
  const end = await undoDeployment(url, plan.deployment);
  if (end.state !== 'succeeded') throw new Fault('another bundle', [`its undo ${end.state}: ${JSON.stringify(end.error)}`]);
  return { ...state, others: state.others.slice(0, -1) };
}
