/** The last word on an undo: what was undone, how the catalog compares with what it was before the deployment, and what to do next. Pure. */
import type { Deployment, PhaseStatus } from '../domain/deployment.ts';
import type { Style } from './style.ts';
import { andMore, columns, count, duration, listSome, oneLine } from './text.ts';

const OBJECTS_SHOWN = 10;
const CHANGES: Readonly<Record<string, string>> = {
  added: 'was not there before, and nothing has dropped it',
  missing: 'was there, and is gone',
  changed: 'is different from before',
};

/** Whether the catalog is as it was; of an undo that has succeeded. */
export function comparedLines({ id, compared, undoes }: Deployment, style: Style): string[] {
  if (!compared) return [];
  if (compared.verdict === 'same') return ['', '  The catalog is as it was before that deployment.'];
  if (compared.verdict === 'unknown') return ['', `  Whether the catalog is as it was before that deployment is not known: ${oneLine(compared.reason ?? '')}`];
  const objects = compared.objects ?? [];
  const rest = compared.count - Math.min(objects.length, OBJECTS_SHOWN);
  return [
    '',
    `  ${style.yellow(`The catalog is not as it was before deployment ${undoes}: ${count(compared.count, 'object')} ${compared.count === 1 ? 'differs' : 'differ'}.`)}`,
    ...columns(
      objects
        .slice(0, OBJECTS_SHOWN)
        .map(({ kind, identity, change, drop }) => [kind, oneLine(identity), `${CHANGES[change] ?? change}${drop ? `: ${oneLine(drop)};` : ''}`]),
      '    ',
    ),
    ...andMore(rest).map((more) => `    ${more}; --json has ${objects.length < compared.count ? 'the first of them' : 'them all'}`),
    `  "weft drift ${id}" shows what was there and what is.`,
  ];
}

/** What became of the files of a baseline that was withdrawn. */
export function withdrawnOf({ paths, as_before: before }: NonNullable<Deployment['withdrawn']>): string {
  const gone = paths.filter((path) => !before.includes(path));
  const named = (some: readonly string[]) => listSome(some.map(oneLine), 5);
  return [
    gone.length === 0 ? 'no file left the history;' : `${count(gone.length, 'file')} taken out of the history (${named(gone)});`,
    ...(before.length === 0
      ? []
      : [`${count(before.length, 'file')} put back as the history had ${before.length === 1 ? 'it' : 'them'} before (${named(before)});`]),
    'nothing was run or dropped.',
    ...(gone.length === 0 ? [] : [`The next deployment runs what was taken out.`]),
  ].join(' ');
}

/** Files without an undo that something took along, and that could not be made again. */
export function goneAlong(phases: Deployment['phases']): string[] {
  return phases.flatMap(({ steps }) => steps).flatMap(({ options, state, path }) => (options?.keeps === true && state === 'failed' ? [path] : []));
}

/** What of a phase of an undo has been undone. Files that stand by count only when they were called back. */
export function standingOfUndo({ steps, state, transaction, ...phase }: PhaseStatus, isEnded: boolean): string {
  const own = steps.filter((step) => step.options?.keeps !== true);
  const called = steps.filter((step) => step.options?.keeps === true && step.state === 'succeeded').length;
  const done = own.filter((step) => step.state === 'succeeded').length;
  const skipped = own.filter((step) => step.state === 'skipped').length;
  const milliseconds = phase.started_at && phase.finished_at ? Math.max(0, Date.parse(phase.finished_at) - Date.parse(phase.started_at)) : 0;
  const rest = `${skipped === 0 ? '' : `, ${skipped} undone before or put off`}${called === 0 ? '' : `, ${count(called, 'file')} called back or made at last`}`;
  if (state === 'succeeded') {
    const lost = steps.filter((step) => step.options?.keeps === true && step.state === 'failed').length;
    if (lost > 0 && own.length === 0)
      return `${called === 0 ? '' : `committed: ${count(called, 'file')} called back or made at last; `}${count(lost, 'file')} could not be made again`;
    if (own.length === 0) return called === 0 ? 'nothing had to be called back' : `committed: ${count(called, 'file')} called back or made at last`;
    return `committed: ${count(done, 'step')}${rest}, ${duration(milliseconds)}`;
  }
  if (state === 'pending') return own.length === 0 ? 'not begun: files that stand by to be called back' : 'not begun: nothing of it is undone';
  if (transaction === 'single') {
    if (state === 'failed') return `rolled back as a whole: nothing of it is undone (${count(own.length, 'step')})`;
    return isEnded
      ? `nothing of it is undone (${count(own.length, 'step')})`
      : `in flight, all or nothing: nothing is committed yet (${count(own.length, 'step')})`;
  }
  if (own.length === 0)
    return `${called === 0 ? 'no file' : `committed: ${count(called, 'file')}`} called back${state === 'failed' ? '; what failed is rolled back' : ''}`;
  const kept = `committed: ${done} of ${count(own.length, 'step')}${rest}`;
  return state === 'failed' ? `${kept}; the step that failed is rolled back` : `${kept}; the others have not run`;
}

export function nextOfUndo(deployment: Deployment): string[] {
  const { state, error, undoes, mode } = deployment;
  const again =
    mode === 'rehearse'
      ? `"weft undo --rehearse ${undoes}" rehearses it again.`
      : `"weft undo ${undoes}" goes on with what is not undone; what is undone stays undone.`;
  if (state === 'cancelled' && mode === 'rehearse') return [`Next: ${again}`];
  const steps = deployment.phases.flatMap(({ steps: of }) => of);
  const halves = steps.filter(({ state: of, account }) => of !== 'succeeded' && account).map(({ undoes: path }) => oneLine(path ?? ''));
  if (state === 'cancelled' && halves.length > 0)
    return [`Next: ${again} Until then a deployment of ${listSome(halves, 3)}, which ${halves.length === 1 ? 'is' : 'are'} taken back in part, is refused.`];
  if (state === 'cancelled') return [`Next: ${again} Or deploy the bundle, which runs what was undone again.`];
  if (state !== 'failed') return [];
  const step = steps.find(({ path, state: of }) => path === error?.path && of === 'failed');
  if (error?.sqlstate === 'WF071' || !step) return [`Next: ${error?.hint ? 'as the hint says; then' : 'remove the cause; then'} ${again}`];
  if (step.undoes && step.path !== step.undoes) {
    const way = `weft undo${mode === 'rehearse' ? ' --rehearse' : ''} ${undoes} --with FOLDER`;
    return [
      `Next: remove the cause in the database, and ${again} Or correct ${oneLine(step.path)} in the folder of the bundle: "${way}" brings it, runs nothing else of the folder, and goes on.`,
    ];
  }
  if (step.options?.keeps === true && !step.undoes)
    return [
      `Next: ${oneLine(step.path)} has not changed, and was to be made again, because something of it went with what was undone: remove the cause in the database, as the error says; then ${again}`,
    ];
  return [
    `Next: ${oneLine(step.path)} is the file as it was before, and cannot be corrected: remove the cause in the database, as the error says; then ${again}`,
  ];
}
