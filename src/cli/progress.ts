/**
 * How a deployment looks while it goes on: one or two lines that are redrawn on a terminal, or a line an event elsewhere.
 * The rendering is pure; the printer below only writes. Where the news comes from is for direct.ts and remote.ts, the end
 * for summary.ts.
 */
import type { Deployment, DeploymentState, PhaseStatus, StepStatus } from '../domain/deployment.ts';
import { countsOf } from '../words/loads.ts';
import type { Style } from '../words/style.ts';
import { clock, count, cut, cutFront, duration, oneLine, size, widthOf } from '../words/text.ts';
import { waitOf } from '../words/waits.ts';
import { type Io, styleFor } from './io.ts';
import type { Pipeline } from './pipeline.ts';

/** The width of a terminal that does not say how wide it is. */
const UNKNOWN_COLUMNS = 80;
/** If less is left for the name of a file, the bar and the time are left out. */
const TIGHT_WIDTH = 5;

/** What is known at a moment. */
export interface View {
  readonly activity: 'connecting' | 'sending' | 'following' | 'attaching';
  /** Of artifacts that the database lacked. */
  readonly sentBytes: number;
  readonly deployment: Deployment | null;
  /** The deployment's id, as soon as the other side has said it. */
  readonly id: string | null;
  /** Its state, as far as that was said before the document came. */
  readonly state: DeploymentState | null;
  /** Why it attaches again, or null. */
  readonly note: string | null;
  /** Why no answer comes, where that could be learnt. */
  readonly held: string | null;
  /** Whose session carries the deployment: one that ends with this command, or a Worker's. */
  readonly session: 'ours' | 'worker';
}

export const FIRST_VIEW: View = { activity: 'connecting', sentBytes: 0, deployment: null, id: null, state: null, note: null, held: null, session: 'worker' };

/** How far it is: steps that are done or skipped, or that an open transaction has passed. */
export interface Position {
  readonly done: number;
  readonly total: number;
  readonly phase: string | null;
  readonly path: string | null;
}

export function positionOf(deployment: Deployment): Position {
  const steps = deployment.phases.flatMap((phase) => phase.steps);
  const counted = steps.filter(isCounted(steps));
  const over = counted.filter((step) => step.state === 'succeeded' || step.state === 'skipped').length;
  const live = deployment.live;
  const behind = steps.slice(0, (live?.step ?? 1) - 1).filter(isCounted(steps)).length;
  const first = deployment.phases.find((phase) => phase.state === 'running') ?? null;
  return {
    done: Math.min(counted.length, Math.max(over, behind)),
    total: counted.length,
    phase: live?.phase ?? first?.name ?? null,
    path: live?.path ?? null,
  };
}

/** In an undo, a file that was not called back does not count as a step, and one that was put off counts where it finally runs. */
function isCounted(steps: readonly StepStatus[]): (step: StepStatus) => boolean {
  const atLast = new Set(steps.flatMap(({ path, state, options }) => (options?.keeps === true && state !== 'skipped' ? [path] : [])));
  return ({ path, state, options }) => state !== 'skipped' || (options?.keeps !== true && !atLast.has(path));
}

/**
 * One or two lines for a terminal, none longer than it is wide.
 * @param elapsedMs since the command began
 */
export function renderLive(view: View, elapsedMs: number, columns: number, style: Style): string[] {
  const width = columns > 1 ? columns - 1 : UNKNOWN_COLUMNS - 1;
  const time = clock(elapsedMs);
  const { deployment } = view;
  if (deployment === null || view.activity === 'connecting' || view.activity === 'sending') {
    const words = view.activity === 'sending' ? `sending, ${size(view.sentBytes)} so far` : view.activity === 'attaching' ? 'attaching again' : 'connecting';
    const lines = [widthOf(words) + 2 + time.length > width ? cut(words, width) : `${words}  ${style.dim(time)}`];
    if (view.note !== null) lines.push(style.yellow(cut(`  ${oneLine(view.note)}`, width)));
    return lines;
  }
  const position = positionOf(deployment);
  const barWidth = Math.min(24, Math.max(8, Math.floor(width / 5)));
  const filled = position.total === 0 ? 0 : Math.floor((position.done / position.total) * barWidth);
  const bar = `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`;
  const numbers = `${Math.min(position.total, position.done + (position.path === null ? 0 : 1))}/${position.total}`;
  const rest = width - barWidth - numbers.length - time.length - 4;
  const isTight = rest < TIGHT_WIDTH;
  const where = [position.phase, position.path].filter((part) => part !== null).map(oneLine);
  const place = where.length === 0 ? deployment.state : where.join(': ');
  const lines = [
    isTight
      ? cut(`${numbers} ${cutFront(place, Math.max(1, width - numbers.length - 1))}`, width)
      : `${style.green(bar)} ${numbers} ${cutFront(place, rest)}  ${style.dim(time)}`,
  ];
  const why = view.note ?? waitOf(deployment);
  if (why !== null) lines.push(style.yellow(cut(`  ${oneLine(why)}`, width)));
  return lines;
}

/** A line of news, and the phase that it is about; without one, it belongs to the lines before it. */
export interface News {
  readonly text: string;
  readonly phase?: string;
}

/** The same as lines. */
export function linesBetween(before: Deployment | null, after: Deployment): string[] {
  return newsBetween(before, after).map(({ text }) => text);
}

/**
 * What happened between two looks, a line an event.
 * @param before the look before, or null
 */
export function newsBetween(before: Deployment | null, after: Deployment): News[] {
  const lines: News[] = [];
  const { done, total } = positionOf(after);
  if (before === null)
    lines.push({ text: `deployment ${after.id}: ${oneLine(after.bundle)}, ${count(after.phases.length, 'phase')}, ${count(total, 'step')}` });
  if (before?.state !== after.state && (after.state === 'staged' || after.state === 'running')) {
    lines.push({
      text: after.state === 'staged' ? 'staged: everything is in the database' : `running${after.live === null ? '' : ` as backend ${after.live.pid}`}`,
    });
  }
  for (const { count: objects } of (after.drift_found ?? []).slice(before?.drift_found?.length ?? 0)) {
    lines.push({ text: `drift: ${count(objects, 'object')} not as deployments have left the database; weft drift ${after.id}` });
  }
  const counts = isCounted(after.phases.flatMap(({ steps }) => steps));
  let number = 0;
  for (const [phaseIndex, phase] of after.phases.entries()) {
    for (const [stepIndex, step] of phase.steps.entries()) {
      if (!counts(step)) continue;
      number += 1;
      const phaseBefore = before?.phases[phaseIndex];
      // The server has reordered the files of a group.
      const was = phaseBefore?.steps[stepIndex]?.path === step.path ? phaseBefore.steps[stepIndex] : phaseBefore?.steps.find(({ path }) => path === step.path);
      if (!isTold(step, phase, after) || (before && was && phaseBefore && was.state === step.state && isTold(was, phaseBefore, before))) continue;
      const facts = [
        step.state === 'succeeded' ? doneOf(step) : stateOf(step, phase, after),
        ...(step.milliseconds === null || step.state === 'skipped' ? [] : [timeOf(step.milliseconds, step.tries ?? 1)]),
        ...rowsOf(step),
      ];
      lines.push({ text: `${number}/${total} ${oneLine(phase.name)}: ${oneLine(step.path)}: ${facts.join(', ')}`, phase: phase.name });
    }
  }
  const live = after.live;
  const isNewPlace = live !== null && live.path !== null && (live.path !== before?.live?.path || live.step !== before?.live?.step);
  const isOver = after.phases.some((phase) => phase.name === live?.phase && phase.steps.some((step) => step.path === live.path && step.state !== 'pending'));
  if (isNewPlace && !isOver)
    lines.push({
      text: `${after.undoes ? done + 1 : (live.step ?? '?')}/${after.undoes ? total : (live.steps ?? total)} ${oneLine(live.phase ?? '')}: ${oneLine(live.path ?? '')}: at work`,
      ...(live.phase !== null && { phase: live.phase }),
    });
  const wait = waitOf(after, false);
  if (wait !== null && wait !== (before === null ? null : waitOf(before, false)) && (live !== null || after.ahead.length > 0))
    lines.push({ text: oneLine(wait) });
  return lines;
}

function rowsOf(step: StepStatus): string[] {
  const counts = countsOf(step);
  if (counts !== null) return [counts];
  return step.rows === null || step.rows === 0 ? [] : [count(step.rows, 'row')];
}

/** What was applied before may be called back until its phase begins. */
function isTold({ state }: StepStatus, phase: PhaseStatus, { mode }: Deployment): boolean {
  return state !== 'pending' && (state !== 'skipped' || phase.state !== 'pending' || mode === 'rehearse');
}

/** What has been applied before says so; what a condition kept out, by which. */
function stateOf({ state, when, is_wanted, result }: StepStatus, phase: PhaseStatus, { mode, undoes }: Deployment): string {
  if (state !== 'skipped' || undoes) return state;
  if (mode === 'baseline') return { now: 'recorded', before: 'known before' }[String(result?.recorded)] ?? 'is never recorded';
  if (is_wanted === false) return `left out, not ${oneLine(when ?? '')}`;
  if (typeof result?.overtaken_by === 'string') return `left to deployment ${oneLine(result.overtaken_by)}, which has brought it since`;
  return phase.is_wanted === false ? `left out with its phase, not ${oneLine(phase.when ?? '')}` : 'applied before';
}

function doneOf({ statements, found_done, batch }: StepStatus): string {
  if (batch) return `done in ${count(batch.rounds, 'round')}`;
  if (!found_done) return 'done';
  return found_done === statements
    ? 'was there already'
    : `done, ${found_done} of ${count(statements ?? 0, 'statement')} ${found_done === 1 ? 'was' : 'were'} there already`;
}

function timeOf(milliseconds: number, tries: number): string {
  return `${duration(milliseconds)}${tries === 1 ? '' : ` in the last of ${tries} tries`}`;
}

/** Shows views as they come. Writes to stderr only. */
export class ProgressPrinter {
  readonly #io: Io;
  readonly #style: Style;
  readonly #startedMs: number;
  readonly #redraws: boolean;
  readonly #pipeline: Pipeline | null;
  #group: string | null = null;
  #view: View = FIRST_VIEW;
  #drawn = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param pipeline the job of a forge in which each phase is a group of lines; or null */
  constructor(io: Io, nowMs: number, pipeline: Pipeline | null = null) {
    this.#pipeline = pipeline;
    this.#io = io;
    this.#style = styleFor(io, io.isTTY);
    this.#startedMs = nowMs;
    this.#redraws = io.isTTY && io.env.TERM !== 'dumb';
    if (this.#redraws) {
      this.#timer = setInterval(() => this.#redraw(), 200);
      this.#timer.unref();
    }
  }

  /** @param change what is new; the rest stays as it was */
  update(change: Partial<View>): void {
    const before = this.#view;
    this.#view = { ...before, ...change };
    if (this.#redraws) {
      this.#redraw();
      return;
    }
    if (change.note && change.note !== before.note) this.#line(oneLine(change.note));
    if (change.deployment) for (const news of newsBetween(before.deployment, change.deployment)) this.#tell(news);
  }

  get view(): View {
    return this.#view;
  }

  /** Takes the redrawn lines away and stops. */
  end(): void {
    clearInterval(this.#timer);
    this.#erase();
    this.#pipeline?.group(null);
  }

  #tell({ text, phase }: News): void {
    if (this.#pipeline !== null && phase !== undefined && phase !== this.#group) {
      this.#pipeline.group(phase);
      this.#group = phase;
    }
    this.#line(text);
  }

  #line(text: string): void {
    this.#io.stderr.write(`${clock(Date.now() - this.#startedMs).padStart(5)}  ${text}\n`);
  }

  #redraw(): void {
    const lines = renderLive(this.#view, Date.now() - this.#startedMs, this.#io.columns, this.#style);
    this.#erase();
    this.#io.stderr.write(`${lines.join('\n')}\n`);
    this.#drawn = lines.length;
  }

  #erase(): void {
    // Up so many lines, to the first column, and clear from there to the end of the screen (ECMA-48: CPL, ED).
    if (this.#drawn > 0) this.#io.stderr.write(`\u001b[${this.#drawn}F\u001b[0J`);
    this.#drawn = 0;
  }
}
