/** A day on which somebody tries again what failed in a deployment that ended degraded: what stands in its way no more comes through, and nothing else runs. */

import { readStatus } from '../../src/database/engine.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { within } from '../support/orders.ts';
import { resumeDeployment } from './deeds.ts';
import { failedIn, hasRun, isShut } from './deploying.ts';
import { type File, isCode, pathOf } from './files.ts';
import { dropAlong, type Held, handsBehind, holdMore, withoutAlong } from './held.ts';
import type { Deed } from './history.ts';
import { settleMarks } from './marks.ts';
import { expectLeft } from './moving.ts';
import { type Deployed, expectNone, Fault, type State, type World } from './state.ts';

export async function resumeDegraded(world: World, state: State, { back, blow }: Extract<Deed, { do: 'resume' }>): Promise<State> {
  const degraded = state.deployed.filter(({ failed }) => failed.size > 0);
  const taken = degraded.at(-1 - (back % Math.max(1, degraded.length)));
  if (taken === undefined || state.isHalfWay) return state;
  if (taken.isMoved === true) {
    await expectLeft(world, taken.id);
    return state;
  }
  const at = state.deployed.indexOf(taken);
  const before = statesOf(await within(world.url, (session) => readStatus(session, taken.id)));
  const end = await resumeDeployment(world.url, taken.id, blow);
  world.tally.resumed += 1;
  const tried = taken.plan.filter(({ id }) => taken.failed.has(id));
  const overtaken = overtakenIn(end);
  compareOvertaken(state, at, tried, overtaken);
  const shall = comesThrough(
    state,
    taken.plan,
    tried.filter((file) => !overtaken.has(pathOf(file))),
  );
  const ran = taken.plan.filter((file) => !before.has(pathOf(file)) && hasRun(stepsOf(end).get(pathOf(file))));
  const along = dropAlong(state.held, ran);
  const isCancelled = blow?.kind === 'cancel' && end.state === 'cancelled';
  if (isCancelled) world.tally.cancelled += 1;
  compare(end, { tried, shall, ran, overtaken, isCancelled, isCalledBack: ({ id }) => along.has(id) || state.held.lost.has(id) });
  const held = holdAll(withoutAlong(state.held, along), ran);
  const ids = new Set(ran.map(({ id }) => id));
  const deployed = state.deployed.map((one, place): Deployed => {
    if (place < at || ran.length === 0) return place === at ? { ...one, failed: failedIn(end, one.plan) } : one;
    if (place > at) return { ...one, held: holdAll(withoutAlong(one.held, along), ran), seen: null };
    return { ...one, ran: new Set([...one.ran, ...ids]), failed: failedIn(end, one.plan), hasChanged: true };
  });
  const next: State = {
    ...state,
    held,
    deployed,
    hands: handsBehind(state.hands, held, ids),
    accepted: handsBehind(state.accepted, held, ids),
    areRightsKnown: state.areRightsKnown && !isCancelled && (!state.held.areGiven || ![...state.held.code.keys()].some((id) => ids.has(id))),
    isHalfWay: isCancelled,
  };
  return settleMarks(world, state, next, (id) => !ids.has(id) && !along.has(id));
}

const stepsOf = (end: Deployment) => new Map(end.phases.flatMap((phase) => phase.steps).map((step) => [step.path, step]));

/** What has run by then. */
const statesOf = (end: Deployment): ReadonlySet<string> => new Set([...stepsOf(end)].filter(([, step]) => hasRun(step)).map(([path]) => path));

/** What is left to a later deployment. */
const overtakenIn = (end: Deployment): ReadonlySet<string> =>
  new Set([...stepsOf(end)].filter(([, { result }]) => (result as { overtaken_by?: string } | null)?.overtaken_by !== undefined).map(([path]) => path));

/** What a later deployment has run is newer; what each of them had under its name, and none has run, is not. A baseline may have recorded it. */
function compareOvertaken({ deployed, recorded }: State, at: number, tried: readonly File[], overtaken: ReadonlySet<string>): void {
  const later = deployed.slice(at + 1);
  const has = (of: Deployed, file: File): boolean => of.plan.some((other) => pathOf(other) === pathOf(file));
  const isNewer = (file: File): boolean => later.some((one) => one.ran.has(file.id) && has(one, file));
  const isOwn = (file: File): boolean => later.every((one) => !one.ran.has(file.id) && has(one, file)) && !recorded.some((one) => one.file.id === file.id);
  expectNone('resumed', [
    ...tried
      .filter((file) => isNewer(file) && !overtaken.has(pathOf(file)))
      .map((file) => `${pathOf(file)} is newer by a later deployment, and was tried again`),
    ...tried.filter((file) => isOwn(file) && overtaken.has(pathOf(file))).map((file) => `${pathOf(file)} was left to a later deployment, and none has run it`),
  ]);
}

const holdAll = (held: Held, files: readonly File[]): Held => files.reduce(holdMore, held);

/** What nothing stands in the way of: neither in the file, nor among what it needs. */
function comesThrough(state: State, plan: readonly File[], tried: readonly File[]): readonly File[] {
  let left = tried.filter((file) => !file.isBroken && !isShut(state, file));
  const isThere = (id: number): boolean => state.held.code.has(id) || (state.held.lost.has(id) && plan.some((file) => file.id === id));
  for (let count = -1; count !== left.length; ) {
    count = left.length;
    left = left.filter((file) => file.parents.every(({ id, kind }) => !isCode({ kind }) || isThere(id) || left.some((other) => other.id === id)));
  }
  return left;
}

interface Tried {
  readonly tried: readonly File[];
  readonly shall: readonly File[];
  readonly ran: readonly File[];
  readonly overtaken: ReadonlySet<string>;
  /** Whether somebody has cancelled it in time: then not all of it need have run. */
  readonly isCancelled: boolean;
  readonly isCalledBack: (file: File) => boolean;
}

function compare(end: Deployment, { tried, shall, ran, overtaken, isCancelled, isCalledBack }: Tried): void {
  const left = tried.filter((file) => !shall.includes(file) && !overtaken.has(pathOf(file)));
  const state = left.length > 0 ? 'degraded' : 'succeeded';
  if (end.state !== state && !isCancelled) throw new Fault('resumed', [`it should have ${state}, and is ${end.state}: ${JSON.stringify(end.error)}`]);
  const wrong = [
    ...shall.filter((file) => !ran.includes(file) && !isCancelled).map((file) => `${pathOf(file)} did not run`),
    ...ran.filter((file) => !shall.includes(file) && !isCalledBack(file)).map((file) => `${pathOf(file)} ran`),
  ];
  if (wrong.length > 0) throw new Fault('resumed', wrong);
}
