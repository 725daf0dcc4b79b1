/**
 * The report of a rehearsal for people: what each statement locks and does, how long others would have to wait for which lock, what
 * would differ in the catalog, and what one transaction cannot show. Pure.
 */
import type { Deployment } from '../domain/deployment.ts';
import type { MeasuredStatement, Rehearsal } from '../domain/rehearsal.ts';
import { COUNTS } from './loads.ts';
import { rehearseAgain, thereBefore } from './next.ts';
import { offenderLines } from './offenders.ts';
import type { Style } from './style.ts';
import { driftLines, errorLines, renderSummary } from './summary.ts';
import { andMore, columns, count, cut, duration, listSome, oneLine, preparedOf, size } from './text.ts';

const STATEMENT_WIDTH = 90;
const LISTED_COUNT = 40;
/** Which neither readers nor writers ever wait for (PostgreSQL manual, 13.3.1). */
const WEAK_MODES: ReadonlySet<string> = new Set(['AccessShareLock', 'RowShareLock', 'RowExclusiveLock']);
const SIGNS = { added: '+', removed: '-', changed: '~' } as const;

const unreadable = (id: string) => `It has a report, which this version of weft cannot read. In SQL: select jsonb_pretty(weft.status('${id}') -> 'rehearsal');`;

/** @returns the report, or the summary of a rehearsal that has none (it is not over, or did not begin) */
export function renderRehearsal(deployment: Deployment, style: Style): string {
  const { rehearsal, error } = deployment;
  if (!rehearsal) {
    const isLost = deployment.state === 'succeeded' || deployment.state === 'degraded';
    return renderSummary(deployment, style) + (isLost ? `\n\n  ${style.yellow(unreadable(deployment.id))}` : '');
  }
  const sections = [
    [headline(deployment, rehearsal, style)],
    error ? errorLines(error, style) : [],
    stepLines(rehearsal, style),
    titled(`Locks, and how long the ${deployment.undoes ? 'undo' : 'deployment'} would hold them:`, lockLines(rehearsal)),
    titled('Waited for locks meanwhile:', waitLines(rehearsal)),
    titled('The catalog would differ in:', catalogLines(rehearsal)),
    titled(
      'Sequences that have moved on, and do not go back:',
      (rehearsal.sequences ?? []).map(
        ({ sequence, before, after, put_back }) =>
          `  ${oneLine(sequence)}  ${before ?? 'unused'} → ${after ?? 'unused'}${put_back ? `, which would give numbers out twice: set to ${before} again` : ''}`,
      ),
    ),
    titled('What this does not show:', notShownLines(rehearsal)),
    driftLines(deployment, style).slice(1),
    deployment.state === 'failed' || deployment.state === 'cancelled' ? [rehearseAgain(deployment), ...thereBefore(deployment)] : [],
    columns([['deployment', deployment.id]], '  ').map(style.dim),
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

function headline({ state, bundle, undoes }: Deployment, { milliseconds, steps }: Rehearsal, style: Style): string {
  const name = oneLine(bundle);
  const [subject, object] = undoes ? [`The undo of ${name}`, `the undo of ${name}`] : [name, name];
  if (state === 'succeeded' && steps.length === 0)
    return `${style.green(style.bold('Rehearsed.'))} ${undoes ? `Nothing of ${name} is left to undo.` : `${name} was deployed before; there would be nothing to run.`}`;
  const end = `in ${duration(milliseconds)}, and was rolled back: ${undoes ? 'nothing was undone' : 'nothing of it is in the database'}`;
  if (state === 'succeeded') return `${style.green(style.bold('Rehearsed.'))} ${subject} ran through ${end}.`;
  if (state === 'degraded') return `${style.yellow(style.bold('Rehearsed.'))} ${subject} ran through, except for what may fail, ${end}.`;
  return `${style.red(style.bold('Would fail.'))} The rehearsal of ${object} stopped. ${undoes ? 'Nothing was undone.' : 'Nothing of it is in the database.'}`;
}

function titled(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines];
}

function stepLines({ steps }: Rehearsal, style: Style): string[] {
  return steps.flatMap((step) => {
    const statements = (step.statements ?? []).filter((statement) => statement.statement);
    const words = [
      step.state === 'succeeded' ? '' : { skipped: 'left out', tolerated: 'failed, and may', failed: 'failed' }[step.state],
      statements.length > 0 ? count(statements.length, 'statement') : '',
      step.rows ? count(step.rows, 'row') : '',
      step.milliseconds ? duration(step.milliseconds) : '',
      ...verdictOf(step.result),
      ...calledBack(step.called_back),
    ].filter((word) => word !== '');
    const remarkable = (step.statements ?? []).flatMap((statement) => statementLines(statement, style));
    const error = step.state === 'tolerated' && step.error ? [`       ${step.error.sqlstate}: ${oneLine(step.error.message)}`] : [];
    return [
      `  ${style.bold(oneLine(step.path))}  ${style.dim(words.join(', '))}`,
      ...error,
      ...(step.state === 'succeeded' ? offenderLines(step.result) : []),
      ...remarkable,
    ];
  });
}

/** For an unchanged file that runs because some of its objects would be gone. */
function calledBack(missing: Rehearsal['steps'][number]['called_back']): string[] {
  const names = (missing ?? []).map(({ name }) => oneLine(name));
  if (names.length === 0) return [];
  return [`unchanged, called back: ${listSome(names, 3)} would be gone`];
}

/** For a check, or for loaded data. */
function verdictOf(result: Rehearsal['steps'][number]['result']): string[] {
  const loaded = Object.entries(COUNTS).flatMap(([key, word]) => (typeof result?.[key] === 'number' ? [`${result[key]} ${word}`] : []));
  const offenders = result?.offenders_count;
  if (typeof offenders !== 'number') return loaded;
  return [offenders === 0 ? 'no row breaks the rule' : `${count(offenders, 'row')} ${offenders === 1 ? 'breaks' : 'break'} the rule`];
}

/** Only statements that others could notice, or that ran otherwise than they will. */
function statementLines({ line, statement, milliseconds, rows, locks, rewritten, instead }: MeasuredStatement, style: Style): string[] {
  const strong = locks.filter(({ mode }) => !WEAK_MODES.has(mode));
  if (strong.length === 0 && rewritten.length === 0 && !instead) return [];
  const what = `${statement ? cut(oneLine(statement), STATEMENT_WIDTH) : 'as a whole'}  ${style.dim([duration(milliseconds), rows ? count(rows, 'row') : ''].filter((word) => word !== '').join(', '))}`;
  const remarks = [
    ...rewritten.map(({ object, kind, bytes }) => style.yellow(`writes the ${kind} ${oneLine(object)} anew (${size(bytes)})`)),
    ...strong.slice(0, LISTED_COUNT).map(({ object, mode }) => `${mode} on ${oneLine(object)}`),
    ...(instead ? [instead.form ? `${instead.text} ${cut(oneLine(instead.form), STATEMENT_WIDTH)}` : instead.text] : []),
  ];
  return [`  ${String(line ?? '').padStart(5)}  ${what}`, ...remarks.map((remark) => `         ${remark}`)];
}

function lockLines({ locks }: Rehearsal): string[] {
  const strong = locks.filter(({ mode }) => !WEAK_MODES.has(mode));
  const rows = strong
    .slice(0, LISTED_COUNT)
    .map(({ object, mode, path, line, held_milliseconds }) => [
      oneLine(object),
      mode,
      duration(held_milliseconds),
      `${oneLine(path)}${line ? `:${line}` : ''}`,
    ]);
  return [...columns(rows, '  '), ...more(strong.length)];
}

function waitLines({ waits }: Rehearsal): string[] {
  const lines = (waits ?? []).slice(0, LISTED_COUNT).map(({ who, pid, application, role, waited_for, milliseconds, because_of, during, blocked_by }) => {
    const by = (blocked_by ?? []).map(({ pid: holder, prepared }) => (prepared ? preparedOf(prepared) : `pid ${holder}`)).join(', ');
    if (who === 'rehearsal')
      return `  the rehearsal, ${duration(milliseconds)} for ${oneLine(waited_for)}${by === '' ? '' : `, which ${by} had`}${placeOf(during)}`;
    const name = [application, role].filter((word) => word).map((word) => oneLine(word ?? ''));
    return `  pid ${pid}${name.length > 0 ? ` (${name.join(', ')})` : ''}, ${duration(milliseconds)} for ${oneLine(waited_for)}${placeOf(because_of?.path ? because_of : during)}`;
  });
  return [...lines, ...more((waits ?? []).length)];
}

function placeOf(place: { readonly path?: string | null | undefined; readonly line?: number | null | undefined } | null | undefined): string {
  return place?.path ? `, because of ${oneLine(place.path)}${place.line ? `:${place.line}` : ''}` : '';
}

function catalogLines({ catalog }: Rehearsal): string[] {
  const differences = catalog ?? [];
  return [
    ...differences.slice(0, LISTED_COUNT).map(({ change, kind, identity }) => `  ${SIGNS[change]} ${kind} ${oneLine(identity)}`),
    ...more(differences.length),
  ];
}

function notShownLines({ not_shown }: Rehearsal): string[] {
  return (not_shown ?? []).map(({ text, places }) => {
    const named = listSome((places ?? []).map(oneLine), 5);
    return `  ${text}${named === '' ? '' : ` (${named})`}`;
  });
}

function more(total: number): string[] {
  return andMore(total - LISTED_COUNT).map((words) => `  ${words}; --json has them all`);
}
