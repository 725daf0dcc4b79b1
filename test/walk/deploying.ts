/** A day on which the folder is deployed: what the plan says is what is done, a rehearsal knows how it ends, and twice is once. */

import type { Deployment, StepStatus } from '../../src/domain/deployment.ts';
import { sql } from '../support/sql.ts';
import { seeDatabase } from './catalog.ts';
import { type Bundle, deployBundle, type Planned, planBundle } from './deeds.ts';
import { type File, isCode, isGated, isRepeatable, isStuck, pathOf } from './files.ts';
import { orderOf } from './folder.ts';
import { dropAlong, type Hand, type Held, handsBehind, holdMore, isEmptied, lastRun, ranOnce, withoutAlong } from './held.ts';
import type { Deed } from './history.ts';
import { differences } from './looks.ts';
import { settleMarks } from './marks.ts';
import { deployOther } from './other.ts';
import { type Deployed, expectNone, Fault, type State, type World } from './state.ts';

const RUNS = new Set(['new', 'again', 'reworded', 'looks', 'superseded', 'late', 'lost']);

/** What should come of a deployment, as the walk knows it. */
export interface Foreseen {
  /** In the order of the plan. */
  readonly files: readonly File[];
  readonly runs: ReadonlySet<string>;
  /** What a condition leaves out: of that no plan knows. */
  readonly leftOut: readonly File[];
  readonly isRefused: boolean;
  /** Paths of files that fail, one of them first; and of those whose failure is borne. */
  readonly broken: readonly string[];
  readonly borne: readonly string[];
}

export async function deployFolder(world: World, state: State, deed: Extract<Deed, { do: 'deploy' }>, day: number): Promise<State> {
  if (state.folder.files.size === 0) return state;
  const { url, tally } = world;
  const bundle = await cut(url, orderOf(state.folder), deed.upTo);
  const planned = await planBundle(url, bundle);
  const foreseen = foresee(state, planned);
  comparePlan(planned, foreseen);
  const rehearsed = deed.isRehearsed ? await rehearse(world, bundle) : null;
  const isAlone = !state.isHalfWay && deed.isBeside !== true;
  const seen = isAlone ? await seeDatabase(url) : null;
  const beside = deed.isBeside === true ? deployOther(world, state.others, day) : state.others;
  const twins = deed.isTwice === true ? [bundle, bundle] : [bundle];
  const [ends, others] = await Promise.all([Promise.all(twins.map((each) => deployBundle(url, each, 'apply', deed.blow))), beside]);
  const [end, twin] = ends.sort((a, b) => String(a.started_at).localeCompare(String(b.started_at))) as [Deployment, Deployment?];
  tally.deployments += 1;
  compareEnd(end, foreseen, deed, rehearsed);
  if (foreseen.isRefused && seen !== null) expectNone('refused, and something has changed', differences(await seeDatabase(url), seen, true));
  const settled = await standBehind(world, state, { end, foreseen, seen, others, upTo: deed.upTo });
  if (twin !== undefined) return standBeside(settled, end, twin);
  return deed.upTo === undefined && end.state === 'succeeded' && deed.isRepeated ? repeat(world, settled, bundle) : settled;
}

/** What failed and was borne. */
export function failedIn(end: Deployment, files: readonly File[]): ReadonlySet<number> {
  if (end.state !== 'degraded') return new Set();
  const failed = new Set(end.phases.flatMap((phase) => phase.steps).flatMap(({ path, state }) => (state === 'failed' ? [path] : [])));
  return new Set(files.filter((file) => failed.has(pathOf(file))).map(({ id }) => id));
}

interface Ended {
  readonly end: Deployment;
  readonly foreseen: Foreseen;
  readonly seen: Deployed['seen'];
  readonly others: State['others'];
  readonly upTo?: number | undefined;
}

/** Where the walk stands behind a deployment, however it ended. */
export async function standBehind(world: World, state: State, { end, foreseen, seen, others, upTo }: Ended): Promise<State> {
  const { tally } = world;
  const after = holdBehind(state, end, foreseen);
  const files = new Set(foreseen.files.map(({ id }) => id));
  const deployed = [
    ...state.deployed,
    {
      id: end.id,
      held: state.held,
      hands: state.hands,
      others: state.others,
      recorded: state.recorded.length,
      seen,
      files,
      plan: foreseen.files.map((file) => ({ ...file, values: state.folder.values })),
      failed: failedIn(end, foreseen.files),
      ran: after.ran,
      rights: after.rights,
      hasChanged: after.hasChanged,
    },
  ];
  const isOver = end.state === 'succeeded' || end.state === 'degraded';
  const isDone = isOver && upTo === undefined;
  if (end.state === 'succeeded' && isDone) expectNone('not made again', missingOf(foreseen, after.held, state.folder));
  const hands = handsBehind(state.hands, after.held, after.ran);
  const isUnchanged = !after.hasChanged && end.state === 'failed' && !state.isHalfWay;
  const next: State = {
    ...state,
    held: after.held,
    others,
    hands,
    accepted: acceptRights({ ...state, hands, accepted: handsBehind(state.accepted, after.held, after.ran) }, after.held),
    deployed,
    areRightsKnown:
      (isDone && (after.rights !== 'none' || !state.held.areGiven || (state.areRightsKnown && !isRemade(state.held, after.ran)))) ||
      (isUnchanged && state.areRightsKnown),
    isHalfWay: end.state === 'cancelled' || (state.isHalfWay && !isOver),
  };
  const along = dropAlong(
    state.held,
    foreseen.files.filter(({ id }) => after.ran.has(id)),
  );
  const settled = await settleMarks(world, state, next, (id) => isKept(id, state.held, after, along));
  if (end.state === 'failed') tally[foreseen.isRefused ? 'refused' : 'failed'] += 1;
  if (end.state === 'cancelled') tally.cancelled += 1;
  if (end.state === 'degraded') tally.degraded += 1;
  return settled;
}

/** The same bundle at the same time comes behind, and to the same. */
function standBeside(state: State, end: Deployment, twin: Deployment): State {
  if (twin.state !== end.state) throw new Fault('twice at once', [`the first is ${end.state}, the second ${twin.state}: ${JSON.stringify(twin.error)}`]);
  expectNone(
    'twice at once',
    runBy(twin).map(({ path }) => `${path} ran once more`),
  );
  return { ...state, deployed: [...state.deployed, unchanged(state, twin.id, null)] };
}

const runBy = ({ phases }: Deployment): StepStatus[] =>
  phases.flatMap((phase) => phase.steps).filter((step) => hasRun(step) && step.kind !== 'check' && !step.path.startsWith('rights/'));

function unchanged({ held, hands, others, recorded, folder }: State, id: string, seen: Deployed['seen']): Deployed {
  const files = new Set(folder.files.keys());
  const rights = held.areGiven ? 'again' : 'none';
  return { id, held, hands, others, recorded: recorded.length, seen, files, plan: [], failed: new Set(), ran: new Set<number>(), rights, hasChanged: false };
}

/** Whether files have run that made anew what was there; without the file that gives rights, it depends on how they do it which ones are left. */
export const isRemade = ({ code }: Held, ran: ReadonlySet<number>): boolean => [...code.keys()].some((id) => ran.has(id));

/** Whether a file was not touched, or does no more than bring back what went along. */
function isKept(id: number, { code }: Held, { held, ran }: { held: Held; ran: ReadonlySet<number> }, along: ReadonlySet<number>): boolean {
  const [was, is] = [code.get(id), held.code.get(id)];
  return was !== undefined && is !== undefined && (!ran.has(id) || (along.has(id) && was.version === is.version));
}

/** Whatever runs again has been made by then, also what went along with something else. */
const missingOf = ({ files }: Foreseen, held: Held, { values }: State['folder']): string[] =>
  files
    .filter((file) => !isGated(file) || values.gate === 'open')
    .filter((file) => (isCode(file) && held.code.get(file.id)?.version !== file.version) || (isRepeatable(file) && isEmptied(held, file)))
    .map((file) => `${pathOf(file)} is not there as it stands in the folder`);

/** What a deployment has changed of the rights on a relation is taken for its own, with what somebody had given there (docs/BUNDLES.md). */
export function acceptRights({ held: before, hands, accepted }: State, held: Held): readonly Hand[] {
  const isChanged = ({ what, on }: Hand): boolean => {
    const relation = what === 'grant' ? `t${on}` : what === 'give' ? `v${on}` : '';
    return before.readable.has(relation) !== held.readable.has(relation);
  };
  return [...accepted.filter((hand) => !isChanged(hand)), ...hands.filter(isChanged)];
}

/** Which step a share of the steps comes to. */
async function cut(url: string, bundle: Bundle, share: number | undefined): Promise<Bundle> {
  if (share === undefined) return bundle;
  const paths = [...(await planBundle(url, bundle)).verdicts.keys()].filter((path) => !path.startsWith('checks/'));
  return { ...bundle, upTo: paths[Math.floor(share * paths.length)] };
}

export function foresee(state: State, { verdicts }: Planned): Foreseen {
  const { folder, held } = state;
  const byPath = new Map([...folder.files.values()].map((file) => [pathOf(file), file]));
  const files = [...verdicts.keys()].map((path) => {
    const file = byPath.get(path);
    if (file === undefined) throw new Fault('plan', [`it names ${path}, and the folder has no such file`]);
    return file;
  });
  const once = ranOnce(held);
  const isLeftOut = (file: File): boolean => isGated(file) && folder.values.gate === 'shut';
  const runs = files.filter((file) => {
    if (isLeftOut(file)) return false;
    if (file.kind === 'check' || file.kind === 'rights') return true;
    if (!isRepeatable(file)) return !once.has(file.id);
    return lastRun(held, file)?.version !== file.version || file.isBroken || isOvertaken(state, file);
  });
  const broken = runs.filter((file) => file.isBroken || isHeldUp(held, file) || isShut(state, file));
  const isBorne = (file: File): boolean => folder.isTolerant && isCode(file);
  return {
    files,
    runs: new Set(runs.map(pathOf)),
    leftOut: files.filter(isLeftOut),
    isRefused: files.some((file) => file.isTampered && once.has(file.id)),
    broken: broken.filter((file) => !isBorne(file)).map(pathOf),
    borne: withUsers(
      held,
      files.filter((file) => !isLeftOut(file)),
      runs,
      broken.filter(isBorne),
    ).map(pathOf),
  };
}

/** With those that need what is not there without them. */
function withUsers(held: Held, files: readonly File[], runs: readonly File[], broken: readonly File[]): readonly File[] {
  const fail = new Set(broken);
  for (let before = -1; before < fail.size; ) {
    before = fail.size;
    const does = runs.filter((file) => !fail.has(file));
    const along = dropAlong(held, does);
    const isThere = (id: number): boolean => does.some((file) => file.id === id) || (held.code.has(id) && !along.has(id));
    const isMadeAgain = (id: number): boolean => files.some((file) => file.id === id && !fail.has(file)) && along.has(id);
    for (const file of files)
      if (
        isCode(file) &&
        (does.includes(file) || along.has(file.id)) &&
        file.parents.some(({ id, kind }) => isCode({ kind }) && !isThere(id) && !isMadeAgain(id))
      )
        fail.add(file);
  }
  return [...fail];
}

export const isShut = ({ opened }: State, file: File): boolean => isStuck(file) && !opened.has(file.id);

/** Whether a view that is gone from the folder holds the type of a column that a retype is about: the server says so, and rightly. */
const isHeldUp = ({ code }: Held, { kind, parents, inTheWay }: File): boolean =>
  kind === 'retype' && [...code.values()].some((view) => view.kind === 'view' && view.parents[0]?.id === parents[0]?.id && !inTheWay.includes(view.id));

/** Whether another file that is gone from the folder has brought its table in line since. */
function isOvertaken({ folder, held }: State, file: File): boolean {
  const last = file.kind === 'load' ? held.ran.findLast(({ kind, parents }) => kind === 'load' && parents[0]?.id === file.parents[0]?.id) : undefined;
  return last !== undefined && last.id !== file.id && !folder.files.has(last.id);
}

function comparePlan({ code, verdicts, refusal }: Planned, { files, runs, leftOut, isRefused }: Foreseen): void {
  if ((code === 2) !== isRefused || (refusal === 'WF013') !== isRefused)
    throw new Fault('plan', [`it exits with ${code} and refuses with ${refusal}, and ${isRefused ? 'should refuse' : 'should not'}`]);
  const wrong = files.filter((file) => {
    const verdict = verdicts.get(pathOf(file)) ?? '';
    if (leftOut.includes(file)) return false;
    if (file.kind === 'check') return verdict !== 'asked';
    return RUNS.has(verdict) !== runs.has(pathOf(file)) && verdict !== 'changed';
  });
  expectNone(
    'plan',
    wrong.map((file) => `${pathOf(file)}: it says "${verdicts.get(pathOf(file))}", and the file ${runs.has(pathOf(file)) ? 'runs' : 'does not run'}`),
  );
}

async function rehearse({ url, tally }: World, bundle: Bundle): Promise<Deployment> {
  const history = async (): Promise<string[]> => (await sql(url, 'select h::text as line from weft._history as h order by 1')).map(({ line }) => line);
  const [seen, listed] = [await seeDatabase(url), await history()];
  const end = await deployBundle(url, bundle, 'rehearse');
  tally.rehearsals += 1;
  const now = await seeDatabase(url);
  expectNone('a rehearsal changed something', differences(now, seen, true));
  if (now.fingerprint !== seen.fingerprint) throw new Fault('a rehearsal changed something', ['the fingerprint']);
  if (JSON.stringify(await history()) !== JSON.stringify(listed)) throw new Fault('a rehearsal changed something', ['the history']);
  return end;
}

function compareEnd(end: Deployment, { isRefused, broken, borne }: Foreseen, { blow }: Extract<Deed, { do: 'deploy' }>, rehearsed: Deployment | null): void {
  const told = `${end.state}, ${JSON.stringify(end.error)}`;
  const shall = isRefused || broken.length > 0 ? 'failed' : borne.length > 0 ? 'degraded' : 'succeeded';
  if (end.state !== shall && !(blow?.kind === 'cancel' && end.state === 'cancelled'))
    throw new Fault('another end', [`it should have ${shall}, and is ${told}`]);
  if (end.state === 'failed' && isRefused && end.error?.sqlstate !== 'WF013') throw new Fault('another end', [`it should have been refused, and is ${told}`]);
  if (end.state === 'failed' && !isRefused && !broken.includes(end.error?.path ?? ''))
    throw new Fault('another end', [`it should have failed in ${broken.join(' or ')}, and is ${told}`]);
  const failed = end.phases
    .flatMap((phase) => phase.steps)
    .filter((step) => step.state === 'failed')
    .map(({ path }) => path);
  if (end.state === 'degraded' && failed.sort().join() !== [...borne].sort().join())
    throw new Fault('another end', [`${borne.join(', ')} should have failed, and it is ${failed.join(', ')}`]);
  if (rehearsed !== null && end.state !== 'cancelled' && (rehearsed.state !== end.state || rehearsed.error?.sqlstate !== end.error?.sqlstate))
    throw new Fault('a rehearsal foresaw another end', [`${rehearsed.state}, ${JSON.stringify(rehearsed.error)}; and it ${told}`]);
}

/** What the record says has run is what the walk takes for run; of a deployment that has succeeded it has to be what was foreseen. */
function holdBehind(state: State, end: Deployment, { files, runs, borne }: Foreseen): { held: Held } & Pick<Deployed, 'ran' | 'rights' | 'hasChanged'> {
  const steps = new Map(end.phases.flatMap((phase) => phase.steps).map((step) => [step.path, step]));
  const ran = files.filter((file) => hasRun(steps.get(pathOf(file))));
  const along = dropAlong(state.held, ran);
  if (end.state === 'succeeded' || end.state === 'degraded')
    expectNone(
      'another one ran than was planned',
      files.flatMap((file) => {
        const is = ran.includes(file);
        const isCalledBack =
          is &&
          (isCode(file)
            ? along.has(file.id)
            : isRepeatable(file) && isEmptied({ ...state.held, ran: [...state.held.ran, ...ran.filter(({ kind }) => kind === 'anew')] }, file));
        return is === (runs.has(pathOf(file)) && !borne.includes(pathOf(file))) || isCalledBack ? [] : [`${pathOf(file)} ${is ? 'ran' : 'did not run'}`];
      }),
    );
  let held = withoutAlong(state.held, along);
  for (const file of ran) held = holdMore(held, { ...file, values: state.folder.values });
  const hasGiven = ran.some(({ kind }) => kind === 'rights');
  const rights = !hasGiven ? 'none' : state.held.areGiven ? 'again' : 'first';
  return {
    held,
    ran: new Set(ran.map(({ id }) => id)),
    rights,
    hasChanged: rights === 'first' || ran.some(({ kind }) => kind !== 'check' && kind !== 'rights'),
  };
}

export const hasRun = (step: StepStatus | undefined): boolean => step?.state === 'succeeded' && step.is_wanted !== false;

/** The same bundle once more does nothing. */
async function repeat(world: World, state: State, bundle: Bundle): Promise<State> {
  const seen = await seeDatabase(world.url);
  const end = await deployBundle(world.url, bundle, 'apply');
  world.tally.again += 1;
  if (end.state !== 'succeeded') throw new Fault('deployed again', [`it ${end.state}: ${JSON.stringify(end.error)}`]);
  const ran = end.phases.flatMap((phase) => phase.steps).filter((step) => hasRun(step) && step.kind !== 'check' && !step.path.startsWith('rights/'));
  expectNone(
    'deployed again',
    ran.map(({ path }) => `${path} ran once more`),
  );
  const now = await seeDatabase(world.url);
  expectNone('deployed again', differences(now, seen, true));
  if (now.fingerprint !== seen.fingerprint) throw new Fault('deployed again', ['the fingerprint is another one']);
  return { ...state, deployed: [...state.deployed, unchanged(state, end.id, seen)] };
}
