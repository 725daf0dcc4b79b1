/** The plan of an undo for people: what it runs, what has no undo, which secrets it needs, and what would make it fail. Pure. */
import type { UndoPlan } from '../domain/undo_plan.ts';
import type { Style } from '../words/style.ts';
import { columns, count, listSome, moment, oneLine } from '../words/text.ts';

type Foreseen = NonNullable<UndoPlan['foreseen']>[number];

/** @param isOfFolder whether the bundle file of the folder at hand has chosen it */
export function undoPlanLines(plan: UndoPlan, style: Style, isOfFolder: boolean): string[] {
  const { deployment, bundle, finished_at, phases, stand_by: standBy = [], lacking } = plan;
  const chosen = isOfFolder ? ', the newest of the bundle in that folder' : '';
  const lines = [`Undo of ${style.bold(oneLine(bundle))}, deployment ${deployment}${finished_at === null ? '' : `, ${moment(finished_at)}`}${chosen}`];
  if (plan.mode === 'baseline') lines.push(...baselineLines(plan));
  for (const phase of phases) {
    const rows = phase.steps.map((step) => [
      'run',
      oneLine(step.undo),
      step.restores ? 'as it was before' : `takes back ${oneLine(step.path)}`,
      remarksOf(step),
    ]);
    lines.push('', `${style.bold(oneLine(phase.name))}  ${style.dim(phase.transaction)}`, ...columns(rows, '  '));
  }
  if (phases.some(({ steps }) => steps.some(({ kind, restores }) => restores && kind === 'run')))
    lines.push('', 'Files that run again and again come back in an order that the server finds; what cannot be replaced is dropped and made again.');
  if (standBy.length > 0) lines.push('', `Called back if something of theirs goes: ${listed(standBy)}.`);
  if (lacking.length > 0)
    lines.push(
      '',
      style.yellow('No undo, stays in the database:'),
      ...columns(
        lacking.map((file) => [oneLine(file.path), oneLine(file.phase), whyLacking(file)]),
        '  ',
      ),
    );
  lines.push(...secretLines(plan, style), ...foreseenLines(plan, style), '');
  return lines;
}

function whyLacking({ repeat, kind, ran_once: ranOnce, stands_by: isKept }: UndoPlan['lacking'][number]): string {
  if (kind === 'load' || kind === 'batch') return 'if its table goes, out of the history with it, so that the next deployment runs it again';
  if (!repeat) return '';
  const why = ranOnce
    ? `the version before was applied once, by deployment ${ranOnce}, and what runs once does not run again: it needs an undo file`
    : 'new in that deployment: there is no version before';
  return `${why}${isKept ? '; made again if something of it goes, or gone with what it needs' : ''}`;
}

/** Paths or names in a row, not too many. */
export function listed(paths: readonly string[]): string {
  return listSome(
    paths.map((path) => oneLine(path)),
    5,
  );
}

/** What it fails with in any case, as far as that is known. */
export function certainOf({ foreseen = [] }: UndoPlan): Foreseen[] {
  return foreseen.filter((refusal) => refusal.if !== 'dropped');
}

function remarksOf(step: UndoPlan['phases'][number]['steps'][number]): string {
  const { statements_done: done, kind, given_by: by, restores, may_wait: mayWait } = step;
  return [
    done === null ? '' : `of which only ${count(done, kind === 'batch' ? 'round' : 'statement')} ${done === 1 ? 'is' : 'are'} in the database`,
    by === null || restores ? '' : `as it came with deployment ${by}`,
    mayWait === true ? 'or at the end, if it needs what is undone behind it' : '',
  ]
    .filter((part) => part !== '')
    .join('; ');
}

function baselineLines({ withdraws }: UndoPlan): string[] {
  return [
    '',
    'It was a baseline, which has run nothing. It would be withdrawn: nothing is run and nothing is dropped, and its files are taken for not applied, so that the next deployment runs them.',
    ...columns(
      (withdraws ?? []).map(({ path, as_before: isBefore }) => [oneLine(path), isBefore ? 'is again what the history had before' : 'leaves the history']),
      '  ',
    ),
  ];
}

function secretLines({ secrets = [] }: UndoPlan, style: Style): string[] {
  if (secrets.length === 0) return [];
  return [
    '',
    style.yellow('Needs secrets, which are kept nowhere; give them again (--set NAME=@FILE, --set-env NAME=VARIABLE):'),
    ...columns(
      secrets.map(({ name, paths }) => [name, `named in ${listed(paths)}`]),
      '  ',
    ),
  ];
}

function foreseenLines(plan: UndoPlan, style: Style): string[] {
  const { foreseen = [] } = plan;
  const certain = certainOf(plan);
  const dropped = foreseen.filter((refusal) => refusal.if === 'dropped');
  return [
    ...(certain.length === 0 ? [] : ['', style.red('Would fail:'), ...certain.flatMap(refusalLines)]),
    ...(dropped.length === 0
      ? []
      : [
          '',
          style.yellow('Would fail if older content cannot replace what is there, so that this has to be dropped first:'),
          ...dropped.flatMap(refusalLines),
          'Whether it has to be, only the server can say when it runs: "weft undo --rehearse" shows it.',
        ]),
  ];
}

function refusalLines({ phase, path, sqlstate, message, detail, hint, unless_made_again: isPerhaps }: Foreseen): string[] {
  return [
    `  ${oneLine(path ?? `phase ${phase}`)}`,
    `    ${sqlstate}: ${oneLine(message)}${isPerhaps ? ' (unless the file makes that again)' : ''}`,
    ...(detail ? [`    Detail: ${detail.split('\n').map(oneLine).join('; ')}`] : []),
    ...(hint ? [`    Hint: ${oneLine(hint)}`] : []),
  ];
}
