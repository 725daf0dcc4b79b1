/** A day on which the newest deployment is taken back: the database is then what it was before it. */
import type { Deployment } from '../../src/domain/deployment.ts';
import { Problem } from '../../src/domain/problem.ts';
import type { UndoPlan } from '../../src/domain/undo_plan.ts';
import { seeDatabase } from './catalog.ts';
import { planUndo, undoDeployment } from './deeds.ts';
import { acceptRights, hasRun, isRemade } from './deploying.ts';
import { type File, isCode, isRepeatable } from './files.ts';
import { dropAlong, giveRights, type Hand, type Held, handsBehind, holdMore, isEmptied, withoutMadeAnew } from './held.ts';
import type { Deed } from './history.ts';
import { compareKept, compareLacking, expectMissing, goesBack, idOf, keptOf, lackingOf, leftIn, withKept } from './keeping.ts';
import { differences } from './looks.ts';
import { acceptDrift, settleMarks } from './marks.ts';
import { type Deployed, expectNone, Fault, type State, type World } from './state.ts';

/** With which an undo says that something is in its way which no file makes again. */
const WOULD_LOSE = ['WF073', '2BP01', '0A000'];

const undo_tries_max = 5;

export async function undoNewest(world: World, state: State, deed: Extract<Deed, { do: 'undo' }>): Promise<State> {
  const { url, tally } = world;
  const newest = state.deployed.findLast(({ hasChanged }) => hasChanged);
  const plan = await planNewest(url, state);
  if (plan === null) {
    if (newest !== undefined) throw new Fault('undo', [`there is nothing to undo, says the plan, and deployment ${newest.id} is in the database`]);
    return state;
  }
  const at = state.deployed.findIndex(({ id }) => id === plan.deployment);
  const taken = state.deployed[at];
  if (taken === undefined) throw new Fault('undo', [`the plan takes ${plan.deployment} back, which is gone already`]);
  if (newest !== undefined && state.deployed.indexOf(newest) > at)
    throw new Fault('undo', [`the plan takes ${plan.deployment} back, and ${newest.id} is newer`]);
  const kept = lackingOf(state, at);
  compareLacking(plan, kept);
  const isPartly = deed.isPartly === true && kept.length > 0;
  if (kept.length > 0 && (!isPartly || kept.length === goesBack(state, at).length)) {
    await expectMissing(world, plan.deployment, isPartly);
    return state;
  }
  const leavesFiles = [...state.held.code.keys(), ...taken.held.code.keys()].some((id) => !taken.files.has(id));
  const rehearsed = await rehearse(world, plan.deployment, isPartly);
  // neither a materialized view nor a policy is dropped to make room (docs/BUNDLES.md)
  const isHeldUp = leavesFiles || state.hands.some(({ what }) => what === 'say') || kept.some(isCode) || [...state.held.code.values()].some(isInTheWay);
  if (rehearsed.state === 'failed' && isHeldUp && WOULD_LOSE.includes(rehearsed.error?.sqlstate ?? '')) return state;
  let end = await undoDeployment(url, plan.deployment, { blow: deed.blow, isPartly });
  for (let tries = 1; end.state === 'cancelled' && tries < undo_tries_max; tries += 1) end = await undoDeployment(url, plan.deployment, { isPartly });
  tally.undone += 1;
  if (end.state !== 'succeeded' && !(end.state === 'degraded' && isPartly))
    throw new Fault('undo', [`it ${end.state}: ${JSON.stringify(end.error)}; rehearsed, it ${rehearsed.state}`]);
  if (rehearsed.state !== end.state)
    throw new Fault('a rehearsal foresaw another end', [`${rehearsed.state}, ${JSON.stringify(rehearsed.error)}; and the undo ${end.state}`]);
  const left = await leftIn(world, state, kept);
  compareKept(end, kept, left);
  const held = heldBehind(state, at, left, end);
  const touched = dropAlong(
    state.held,
    [...state.held.code.values()].filter(({ id }) => taken.ran.has(id)),
  );
  const ran = new Set([...taken.ran, ...[...held.code.values()].filter((file) => state.held.code.get(file.id)?.version !== file.version).map(({ id }) => id)]);
  const recorded = new Set(recordedBehind(state, at).map(({ id }) => id));
  const stay = (all: readonly Hand[]): readonly Hand[] =>
    handsBehind(
      all.map((hand) => leaveBehind(hand, held, taken, recorded)),
      held,
      ran,
    );
  const hands = stay(state.hands);
  const next: State = {
    ...state,
    held,
    hands,
    accepted: acceptRights({ ...state, hands, accepted: stay(state.accepted) }, held),
    deployed: [...state.deployed.slice(0, at), ...(left.length > 0 ? [keptOf(taken, left)] : [])],
    recorded: state.recorded.map((one) => ({ ...one, at: Math.min(one.at, at), isMeant: true })),
    areRightsKnown: state.areRightsKnown && (taken.rights === 'again' || !held.areGiven || !isRemade(state.held, ran)),
    isHalfWay: false,
  };
  const settled = await settleMarks(world, state, next, (id) => !ran.has(id) && held.code.has(id) && state.held.code.has(id) && !touched.has(id));
  if (!leavesFiles && !state.isHalfWay && kept.length === 0) await compareWithBefore(world, settled, taken, end);
  // of what somebody has dropped nobody can tell there whether it was of what stays
  return kept.length > 0 && state.hands.length > 0 ? acceptDrift(world, settled) : settled;
}

/** Without its id a deployment in front of a baseline is not chosen. */
async function planNewest(url: string, { deployed, recorded }: State): Promise<UndoPlan | null> {
  const isInFront = ({ at }: State['recorded'][number]): boolean => !deployed.slice(at).some(({ hasChanged }) => hasChanged);
  return planUndo(url).catch(async (error: unknown) => {
    if (!(error instanceof Problem && error.slug === 'undo_ambiguous' && recorded.some(isInFront))) throw error;
    for (const { id } of [...deployed].reverse()) {
      const plan = await planUndo(url, 'walk', id).catch(() => null);
      if (plan !== null) return plan;
    }
    return null;
  });
}

const isInTheWay = ({ kind, parents }: File): boolean =>
  (kind === 'matview' && parents.some((parent) => parent.kind === 'view')) || (kind === 'policy' && parents.some((parent) => parent.kind === 'function'));

async function rehearse({ url, tally }: World, deployment: string, isPartly: boolean): Promise<Deployment> {
  const seen = await seeDatabase(url);
  const end = await undoDeployment(url, deployment, { mode: 'rehearse', isPartly });
  tally.rehearsals += 1;
  expectNone('a rehearsal changed something', differences(await seeDatabase(url), seen, true));
  return end;
}

/**
 * What was before, without what nobody makes again; a file that runs with every deployment has run in the undo too, behind all of it. What was lost before, and the
 * deployment made again, comes as the history had it: the undo of such a file is the file as it was, and nobody asks why it was not there.
 */
function heldBehind(state: State, at: number, left: readonly File[], end: Deployment): Held {
  const taken = state.deployed[at] as Deployed;
  const kept = withKept(heldWithout(state, taken, left), state.held, left, taken);
  const behind = withCalledBack(withRecorded(kept, state, at), end);
  return taken.rights === 'again' ? giveRights(behind) : behind;
}

function heldWithout({ held }: State, { held: met, files, ran }: Deployed, left: readonly File[]): Held {
  const before = { ...met, ran: [...met.ran, ...broughtBack(met, ran), ...emptied(met, held, { files, ran })] };
  const dropped = [...held.code.values()].filter((file) => before.code.get(file.id)?.version !== file.version && !left.includes(file));
  const retyped = held.ran.filter((file) => file.inTheWay.length > 0 && !before.ran.includes(file));
  const along = dropAlong(held, [...dropped, ...retyped]);
  const known = new Map([...before.code, ...before.lost]);
  const code = new Map([...known].filter(([id]) => (before.code.has(id) ? files.has(id) || (held.code.has(id) && !along.has(id)) : ran.has(id))));
  const lost = new Map([...known].filter(([id]) => !code.has(id)));
  return {
    ...before,
    code,
    lost,
    readable: withoutMadeAnew(
      before.readable,
      held.ran.filter(({ id }) => ran.has(id)),
    ),
  };
}

/** With what had been gone before, and stood by: a condition had left it out, or somebody had dropped it since. */
function withCalledBack(held: Held, end: Deployment): Held {
  const ran = new Set(end.phases.flatMap((phase) => phase.steps).flatMap((step) => (/^g?code\//.test(step.path) && hasRun(step) ? [idOf(step.path)] : [])));
  const back = [...held.lost].filter(([id]) => ran.has(id));
  return { ...held, code: new Map([...held.code, ...back]), lost: new Map([...held.lost].filter(([id]) => !ran.has(id))) };
}

const recordedBehind = ({ recorded }: State, at: number): readonly File[] => recorded.filter((one) => one.at > at).map(({ file }) => file);

/** What was recorded behind a deployment is not its own to take back; what somebody has dropped of that is gone as it was, and may be called back. */
function withRecorded(held: Held, state: State, at: number): Held {
  const files = recordedBehind(state, at);
  const there = files.filter((file) => state.held.code.has(file.id) || state.held.ran.includes(file));
  const lost = files.flatMap(({ id }) => state.held.lost.get(id) ?? []);
  const behind = there.reduce((before, file) => (before.ran.includes(file) ? before : holdMore(before, file)), held);
  return {
    ...behind,
    code: new Map([...behind.code].filter(([id]) => !lost.some((file) => file.id === id))),
    lost: new Map([...behind.lost, ...lost.map((file) => [file.id, file] as const)]),
  };
}

/** Data that had not come back yet into a table that was made anew. */
const broughtBack = (met: Held, ran: ReadonlySet<number>): readonly File[] => [
  ...new Map(met.ran.filter((file) => ran.has(file.id) && isRepeatable(file) && isEmptied(met, file)).map((file) => [file.id, file])).values(),
];

/** A table that is made anew once more, and its data is no file of that deployment: it comes back with the next one. */
const emptied = (met: Held, held: Held, { files, ran }: Pick<Deployed, 'files' | 'ran'>): readonly File[] =>
  held.ran
    .filter(
      ({ id, kind, parents: [list] }) =>
        kind === 'anew' && ran.has(id) && met.ran.some((file) => file.kind === 'load' && file.parents[0]?.id === list?.id && !files.has(file.id)),
    )
    .map((file) => ({ ...file, id: -file.id }));

/** Whether what somebody has dropped is missed behind the undo of a deployment: one that had made it would have taken it away itself. */
const isMissed = ({ id: hand }: Hand, id: number, { held, hands }: Deployed): boolean =>
  held.code.has(id) || hands.some((met) => met.id === hand && met.along?.includes(id) === true);

/** Where a deployment was taken back; what was recorded behind it is missed as before. */
function leaveBehind(hand: Hand, held: Held, taken: Deployed, recorded: ReadonlySet<number>): Hand {
  return {
    ...hand,
    along: hand.along?.filter((id) => recorded.has(id) || isMissed(hand, id, taken)),
    behind: hand.behind?.filter((id) => held.ran.some((file) => file.id === id)),
  };
}

const ids = (hands: readonly Hand[]): string => hands.map(({ id }) => id).join();

async function compareWithBefore({ url }: World, { hands, held, others, recorded, areRightsKnown }: State, taken: Deployed, end: Deployment): Promise<void> {
  const isBack = [...taken.held.lost.keys()].some((id) => held.code.has(id)) || broughtBack(taken.held, taken.ran).length > 0;
  const isSame =
    !isBack &&
    recorded.length === taken.recorded &&
    others.join() === taken.others.join() &&
    ids(taken.hands) === ids(hands) &&
    [...taken.held.readable].sort().join() === [...held.readable].sort().join();
  if (taken.seen === null || !isSame || !areRightsKnown) return;
  const now = await seeDatabase(url);
  expectNone('undone, and not as before', differences(now, taken.seen, true));
  if (now.fingerprint !== taken.seen.fingerprint) throw new Fault('undone, and not as before', ['the fingerprint is another one']);
  if (end.compared?.verdict !== 'same') throw new Fault('undone, and not as before', [`it is the same, and the engine says ${JSON.stringify(end.compared)}`]);
}
