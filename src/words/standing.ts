/**
 * What of a phase is in the database, in a line: committed, rolled back, recorded, or not begun, and how much was there before. Pure.
 */
import { type Deployment, isOver, type PhaseStatus, type StepStatus } from '../domain/deployment.ts';
import { count, duration, oneLine, timeWorked } from './text.ts';
import { standingOfUndo } from './undone.ts';

/** The steps of a phase, by what became of them. */
interface Tally {
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly pending: number;
  /** In the history before this deployment. */
  readonly before: number;
  readonly leftOut: number;
}

/** What of a phase is in the database. */
export function standing(phase: PhaseStatus, deployment: Deployment): string {
  if (deployment.undoes) return standingOfUndo(phase, isOver(deployment.state));
  const tally = tallyOf(phase);
  const { total, succeeded, failed, pending } = tally;
  if (deployment.mode === 'baseline') return recordOf(phase, deployment);
  if (phase.state === 'skipped') return phase.when ? `left out: not ${oneLine(phase.when)}` : 'left out';
  const rest = [...restOf(tally)];
  if (total > 0 && succeeded + failed + pending === 0) return `nothing to run: ${rest.join(', ')}`;
  const beside = rest.map((part) => `, ${part}`).join('');
  if (phase.state === 'succeeded') {
    const partly = phase.steps.filter(({ state, account }) => state === 'failed' && account);
    const wholly = failed - partly.length;
    const stays = partly.length === 0 ? '' : `, ${partly.length} failed and in part committed (${partly.map(({ path }) => oneLine(path)).join(', ')})`;
    return `committed: ${count(succeeded, 'step')}${beside}${wholly === 0 ? '' : `, ${wholly} failed and rolled back`}${stays}, ${duration(timeOfPhase(phase, deployment))}`;
  }
  const isUntouched = phase.state === 'pending' && succeeded + failed === 0;
  if (phase.transaction === 'single' && !(isUntouched && isOver(deployment.state))) {
    const steps = `${count(total - tally.before, 'step')}${tally.before === 0 ? '' : `; ${tally.before} applied before`}`;
    // Of a deployment that was opened again: what its first end has committed.
    if (succeeded > 0 && phase.state !== 'running')
      return `committed before: ${count(succeeded, 'step')}${beside}; of what was tried again nothing is left (${count(failed + pending, 'step')})`;
    if (phase.state === 'failed') return `rolled back as a whole: nothing of it is left (${steps})`;
    if (isOver(deployment.state)) return `nothing of it (${steps})`;
    return phase.state === 'running' ? `in flight, all or nothing: nothing is committed yet (${steps})` : 'not begun';
  }
  if (isUntouched) return rest.length === 0 ? 'not begun' : `not begun (${count(pending, 'step')}; ${rest.join(', ')})`;
  const kept = `committed: ${succeeded} of ${count(total - tally.before - tally.leftOut, 'step')}${beside}`;
  const begun = phase.state === 'running' && phase.steps.some(({ path }) => path === deployment.handed_out?.path) ? deployment.handed_out : null;
  const half = phase.steps.filter((step) => step.account).map((step) => oneLine(step.path));
  if (half.length > 0) return `${kept}, and a part of ${half.join(', ')}`;
  if (begun) return `${kept}; ${oneLine(begun.path)} has begun`;
  const rounds = phase.steps.flatMap(({ path, state, batch }) =>
    state === 'pending' && batch?.rounds ? [`${count(batch.rounds, 'round')} of ${oneLine(path)}`] : [],
  );
  if (rounds.length > 0) return `${kept}, and ${rounds.join(', ')}`;
  const behind = pending === 0 ? '' : `${pending === 1 ? 'one has' : `${pending} have`} not run`;
  if (phase.state !== 'failed') return behind === '' ? kept : `${kept}; ${behind}`;
  return [kept, failureOf(phase.steps.filter(({ state }) => state === 'failed')), behind].filter((part) => part !== '').join('; ');
}

/** In a phase that failed by itself (its condition, say), no step did. */
function failureOf(steps: readonly StepStatus[]): string {
  if (steps.length === 0) return '';
  if (steps.every(({ kind }) => kind === 'check')) return 'what ran before the check stays';
  return steps.length === 1 ? 'the step that failed is rolled back' : `the ${steps.length} that failed are rolled back`;
}

function tallyOf({ steps, is_wanted }: PhaseStatus): Tally {
  const of = (wanted: StepStatus['state']) => steps.filter(({ state }) => state === wanted);
  const skipped = of('skipped');
  const leftOut = skipped.filter((step) => step.is_wanted === false || is_wanted === false).length;
  return {
    total: steps.length,
    succeeded: of('succeeded').length,
    failed: of('failed').length,
    pending: of('pending').length,
    before: skipped.length - leftOut,
    leftOut,
  };
}

function* restOf({ before, leftOut }: Tally): Generator<string> {
  if (before > 0) yield `${before} applied before`;
  if (leftOut > 0) yield `${leftOut} left out by a condition`;
}

/** For a baseline: how many files are in the history now. */
function recordOf({ steps }: PhaseStatus, { state }: Deployment): string {
  if (state !== 'succeeded') return isOver(state) ? `nothing recorded (${count(steps.length, 'step')})` : 'not recorded yet';
  const recorded = (when: string) => steps.filter(({ result }) => result?.recorded === when).length;
  const [before, never] = [recorded('before'), recorded('never')];
  const replaced = steps.filter(({ result }) => result?.replaced === true).map(({ path }) => oneLine(path));
  const instead = replaced.length === 0 ? '' : ` (of these ${replaced.join(', ')} with another content than was applied: it was not run, and never will be)`;
  return `recorded: ${count(recorded('now'), 'file')}${instead}${before === 0 ? '' : `, ${before} known before`}${never === 0 ? '' : `, ${never} never recorded (checks, and what runs with every deployment)`}`;
}

/** All of it, with tries and pauses. */
function timeOfPhase({ started_at, finished_at, steps }: PhaseStatus, { rests }: Deployment): number {
  if (started_at && finished_at) return timeWorked(started_at, finished_at, rests ?? []);
  return steps.reduce((sum, step) => sum + (step.milliseconds ?? 0), 0);
}
