/**
 * The last word on a deployment, for a reader at 2 AM: how it ended, what failed and where, what the database looks like
 * now (law 1: effect and record commit together, so this can be said exactly), what to do next. Pure.
 */

import { isUnapproved } from '../domain/approval.ts';
import { type Deployment, type DeploymentError, isOver, type StepStatus } from '../domain/deployment.ts';
import { approvedFact, sourceFact, toRunLines, unapprovedHeadline } from './approved.ts';
import { goneLines } from './gone.ts';
import { countsOf } from './loads.ts';
import { madeAnewLines } from './made_anew.ts';
import { isRefused, nextLines } from './next.ts';
import { offenderLines } from './offenders.ts';
import { baselineLines } from './recorded.ts';
import { standing } from './standing.ts';
import type { Style } from './style.ts';
import { andMore, columns, count, cut, cutFront, duration, harmless, moment, oneLine, timeWorked, widthOf } from './text.ts';
import { comparedLines, goneAlong, withdrawnOf } from './undone.ts';

const STATEMENT_LINES = 4;
const STATEMENT_WIDTH = 110;
/** How much is shown of the text before the place in its line. */
const CARET_WIDTH = 80;
const PARAMETER_WIDTH = 40;
const FUNCTIONS_SHOWN = 3;
const FILES_SHOWN = 10;
const DRIFT_SHOWN = 5;
/** The engine takes none rather than wait. */
const NO_FINGERPRINT = 'for more than a second another session had a table locked, or the catalog could not be read';
/** SQLSTATE of a statement that was ended from outside. */
const QUERY_CANCELED = '57014';

/** @returns the summary, without a line feed at its end */
export function renderSummary(deployment: Deployment, style: Style): string {
  const lines = [headline(deployment, style), ...handedOutLines(deployment)];
  const error = deployment.error ?? (isBecauseOfError(deployment) ? deployment.cleaning?.error : null);
  if (error) lines.push('', ...errorLines(error, style));
  const tolerated = deployment.phases.flatMap((phase) => phase.steps.flatMap((step) => (step.state === 'failed' && step.error ? [step] : [])));
  if (deployment.state === 'degraded') {
    for (const step of tolerated) lines.push('', ...errorLines({ ...step.error, path: step.error?.path ?? step.path } as DeploymentError, style));
  }
  lines.push(
    ...goneAlongLines(deployment, style),
    ...madeAnewLines(deployment, style),
    ...goneLines(deployment, style),
    ...baselineLines(deployment, style),
    ...(deployment.withdrawn ? [] : comparedLines(deployment, style)),
  );
  for (const step of warningsOf(deployment)) lines.push('', ...warningLines(step, style));
  lines.push(...lackingLines(deployment, style));
  if (!deployment.withdrawn && (deployment.mode !== 'rehearse' || !isRefused(deployment))) lines.push('', ...titleOf(deployment), ...phaseLines(deployment));
  if (isUnapproved(deployment)) lines.push('', 'It would run:', ...toRunLines(deployment));
  const loads = loadLines(deployment);
  if (loads.length > 0) lines.push('', ...loads);
  const accounts = accountsOf(deployment);
  if (accounts.length > 0) lines.push('', ...accounts.map((account) => `  ${oneLine(account)}`));
  const leftovers = leftoverLines(deployment, style);
  if (leftovers.length > 0) lines.push('', ...leftovers);
  lines.push(...driftLines(deployment, style)); // below how the database stands: it is older than this deployment
  const next = nextLines(deployment, leftovers.length > 0);
  if (next.length > 0) lines.push('', ...next);
  lines.push('', ...factLines(deployment, style));
  return lines.join('\n');
}

function titleOf({ state, mode, undone }: Deployment): string[] {
  if (undone && isOver(state) && isOver(undone.state)) return [mode === 'baseline' ? 'When it was recorded:' : 'When it ended, before it was undone:'];
  return state === 'succeeded' ? [] : ['The database now:'];
}

/** What was not as deployments had left it: by name, and that it stays drift. */
export function driftLines({ id, state, mode, drift_found }: Deployment, style: Style): string[] {
  const found_ = drift_found ?? [];
  return found_.flatMap(({ reopened, count: found, objects }, index) => {
    const [were, them, they, stay] = found === 1 ? ['was', 'it', 'it', 'It stays'] : ['were', 'them', 'they', 'They stay'];
    const shown = objects.slice(0, DRIFT_SHOWN).map(({ change, kind, identity }) => `  ${change} ${oneLine(kind)} ${oneLine(identity)}`);
    const isTold = isOver(state) && mode !== 'rehearse' && mode !== 'baseline' && index === found_.length - 1;
    const becomes = isTold
      ? [`${stay} drift, but for what this deployment has changed itself; "weft drift --accept" says that ${found === 1 ? 'it is' : 'they are'} meant.`]
      : [];
    return [
      '',
      style.yellow(`Drift: when it ${reopened ? 'was opened again' : 'began'}, ${count(found, 'object')} ${were} not as deployments had left ${them}:`),
      ...shown,
      ...andMore(found - shown.length).map((more) => `  ${more}`),
      `"weft drift ${id}" shows what ${they} ${were} and what ${they} ${found === 1 ? 'is' : 'are'}.`,
      ...becomes,
    ];
  });
}

/** What psql would show as a notice: the server drops it without asking, and nothing makes it again. */
function goneAlongLines({ gone_along: gone }: Deployment, style: Style): string[] {
  if (!gone) return [];
  const shown = gone.objects.slice(0, DRIFT_SHOWN).map(({ kind, identity }) => `  ${oneLine(kind)} ${oneLine(identity)}`);
  return [
    '',
    style.yellow(`Gone with what was dropped (cascade), named by no file that ran, and made again by none: ${count(gone.count, 'object')}:`),
    ...shown,
    ...andMore(gone.count - shown.length).map((more) => `  ${more}`),
  ];
}

/** What an undo leaves where it is. */
function lackingLines({ state, undoes, phases, without_undo: lacking, compared }: Deployment, style: Style): string[] {
  if (!undoes || !isOver(state) || !lacking || lacking.length === 0) return [];
  const gone = new Set([...goneAlong(phases), ...lacking.flatMap(({ path, is_gone: isGone }) => (isGone ? [path] : []))]);
  const left = lacking.filter(({ path }) => !gone.has(path));
  // what a file may have done to rows, no catalog tells
  const undone = compared?.verdict === 'same' ? left.filter(({ kind }) => kind === 'run') : [];
  const pathsOf = (files: typeof left) => files.map(({ path }) => path);
  const titled = (title: string, paths: readonly string[]) =>
    paths.length === 0
      ? []
      : [
          '',
          style.yellow(title),
          ...paths.slice(0, FILES_SHOWN).map((path) => `  ${oneLine(path)}`),
          ...andMore(paths.length - FILES_SHOWN).map((words) => `  ${words}`),
        ];
  return [
    ...titled('No undo, stays in the database:', pathsOf(left.filter((file) => !undone.includes(file)))),
    ...titled('No undo; what it made in the catalog is gone all the same. It stays in the history, and the next deployment does not run it:', pathsOf(undone)),
    ...(undone.length === 0 ? [] : [`To have it run again, give it an undo file ("select 1" will do), and: weft undo ${undoes} --with FOLDER`]),
    ...titled('No undo, and gone with what it needs: out of the history too, so that the next deployment makes it again:', [...gone]),
  ];
}

/** Checks that found rows and only warn. */
function warningsOf({ phases }: Deployment): StepStatus[] {
  return phases.flatMap(({ steps }) =>
    steps.filter(({ kind, state, result }) => kind === 'check' && state === 'succeeded' && Number(result?.offenders_count ?? 0) > 0),
  );
}

function warningLines({ path, result }: StepStatus, style: Style): string[] {
  const found = Number(result?.offenders_count);
  return [`  ${style.yellow(`Warning: ${oneLine(path)}: ${count(found, 'row')} ${found === 1 ? 'breaks' : 'break'} the rule.`)}`, ...offenderLines(result)];
}

/** What the deployment is, as the beginning of a sentence. */
function subjectOf({ bundle, mode, undoes }: Deployment): string {
  const name = oneLine(bundle);
  if (undoes) return mode === 'rehearse' ? `The rehearsal of the undo of ${name}` : `The undo of ${name}`;
  return mode === 'rehearse' ? `The rehearsal of ${name}` : mode === 'baseline' ? `The baseline of ${name}` : name;
}

function headline(deployment: Deployment, style: Style): string {
  const bundle = oneLine(deployment.bundle);
  const subject = subjectOf(deployment);
  const time = timeOf(deployment);
  const [within, after] = time === null ? ['', ''] : [`, in ${time}`, ` after ${time}`];
  if (deployment.undone && isOver(deployment.state) && isOver(deployment.undone.state)) return undoneHeadline(deployment, style);
  switch (deployment.state) {
    case 'succeeded':
      if (deployment.mode === 'rehearse') return `${style.green(style.bold('Rehearsed.'))} Nothing of ${bundle} is in the database.`;
      if (deployment.mode === 'baseline') {
        const steps = deployment.phases.flatMap((phase) => phase.steps);
        const last = oneLine(steps.at(-1)?.path ?? '');
        const what = steps.length === 1 ? `taken to have ${last} of ${bundle}` : `taken to be at ${bundle}${last === '' ? '' : `, up to ${last}`}`;
        return `${style.green(style.bold('Recorded.'))} This database is ${what}; nothing was run.`;
      }
      if (deployment.withdrawn)
        return `${style.green(style.bold('Withdrawn.'))} Baseline ${deployment.undoes} of ${bundle}: ${withdrawnOf(deployment.withdrawn)}`;
      if (deployment.undoes) {
        const isPart = (deployment.without_undo ?? []).length > 0;
        return `${isPart ? style.yellow(style.bold('Undone in part.')) : style.green(style.bold('Undone.'))} Deployment ${deployment.undoes} of ${bundle} was taken back${isPart ? ', except for what has no undo' : ''}${within}.`;
      }
      if (isAllThere(deployment)) return `${style.green(style.bold('Done.'))} ${bundle} was deployed before; there was nothing to run.`;
      return `${style.green(style.bold('Done.'))} ${bundle} is deployed${within}.`;
    case 'degraded':
      if (goneAlong(deployment.phases).length > 0)
        return `${style.yellow(style.bold('Undone in part.'))} Deployment ${deployment.undoes} of ${bundle} was taken back, except for what has no undo${within}.`;
      if (deployment.undoes)
        return `${style.yellow(style.bold('Degraded.'))} Deployment ${deployment.undoes} of ${bundle} was taken back${within}, except for what may fail.`;
      return `${style.yellow(style.bold('Degraded.'))} ${bundle} is deployed${within}, except for what may fail.`;
    case 'failed':
      return failedHeadline(deployment, style, after);
    case 'cancelled':
      return `${style.yellow(style.bold('Cancelled.'))} ${subject} ${deployment.started_at === null ? 'did not begin' : `stopped${after}`}.${deployment.mode === 'rehearse' ? ' Nothing of it is in the database.' : ''}`;
    case 'running':
      if (deployment.cancelling || deployment.cleaning) return endingHeadline(deployment, style);
      return `${style.bold('Running.')} ${subject} ${deployment.live === null ? `is not over, and no backend is at work on it${interruptionOf(deployment)}` : `runs as backend ${deployment.live.pid}`}.`;
    case 'staged':
      return `${style.bold('Staged.')} ${subject} has not begun; all that it needs is in the database.`;
    case 'open':
      if (isUnapproved(deployment)) return unapprovedHeadline(subject, deployment, style);
      return `${style.bold('Open.')} ${subject} is announced; not all of its files have arrived.`;
  }
}

function interruptionOf({ interrupted }: Deployment): string {
  if (!interrupted) return '';
  const { path, line, sqlstate, message } = interrupted;
  const where = path ? ` of ${oneLine(path)}${line ? `:${line}` : ''}` : '';
  return `: a statement${where} was cancelled on the server (${sqlstate}: ${oneLine(message)}), by a person, or by a program that watches over it`;
}

function failedHeadline(deployment: Deployment, style: Style, after: string): string {
  const { mode } = deployment;
  const subject = subjectOf(deployment);
  if (mode === 'rehearse') {
    const how = isRefused(deployment) ? `A deployment of ${oneLine(deployment.bundle)} would be refused.` : `${subject} stopped${after}.`;
    return `${style.red(style.bold('Would fail.'))} ${how} Nothing of it is in the database.`;
  }
  const failed = style.red(style.bold('Failed.'));
  if (mode === 'baseline') return `${failed} Nothing of ${oneLine(deployment.bundle)} was recorded.`;
  return isRefused(deployment) ? `${failed} ${subject} was refused; nothing of it was run.` : `${failed} ${subject} stopped${after}.`;
}

/** Lines about what others have taken back since, or tried to. */
function undoneHeadline({ bundle, mode, state, undone }: Deployment, style: Style): string {
  const { by, finished_at, whole, state: how } = undone as NonNullable<Deployment['undone']>;
  if (mode === 'baseline' && whole)
    return `${style.yellow(style.bold('Withdrawn.'))} ${oneLine(bundle)} had been recorded as applied; deployment ${by} has taken that out of the history${finished_at === null ? '' : `, at ${moment(finished_at)}`}.`;
  const was = `${oneLine(bundle)} ${{ succeeded: 'had been deployed', degraded: 'had been deployed, and was degraded', failed: 'had failed', cancelled: 'had been cancelled' }[state as 'succeeded']}`;
  const when = finished_at === null ? '' : `, at ${moment(finished_at)}`;
  if (whole) return `${style.yellow(style.bold('Undone.'))} ${was}; deployment ${by} has taken it back${when}.`;
  if (how === 'succeeded') return `${style.yellow(style.bold('Undone in part.'))} ${was}; deployment ${by} has taken a part of it back${when}.`;
  return `${style.yellow(style.bold('Undone in part, or not at all.'))} ${was}; an undo of it, deployment ${by}, ended as ${how}${when}.`;
}

/** Whether all of its files were in the history, and nothing else was to be done. */
function isAllThere({ phases }: Deployment): boolean {
  const steps = phases.flatMap((phase) => (phase.is_wanted === false ? [] : phase.steps));
  return steps.length > 0 && steps.every(({ state, is_wanted }) => state === 'skipped' && is_wanted !== false);
}

/** Without a client, the server only finishes this statement; those after it need a session. */
function handedOutLines({ state, live, cancelling, cleaning, handed_out }: Deployment): string[] {
  if (state !== 'running' || cancelling || cleaning || !handed_out) return [];
  const { path, line, statement } = handed_out;
  const what = `one statement, which PostgreSQL runs in no transaction: ${oneLine(path)}, line ${line}: ${cut(oneLine(statement), STATEMENT_WIDTH)}`;
  return live === null
    ? [`A session was handed ${what}`, 'The next call finds out what became of that, and goes on behind it.']
    : [`The backend was handed ${what}`, 'It finishes that without a client, too; what is behind it then waits for a call.'];
}

/** It is begun, and only comes to its end any more. */
function endingHeadline(deployment: Deployment, style: Style): string {
  const { cancelling, cleaning, live } = deployment;
  const who = live === null ? 'No backend is at work on it' : `Backend ${live.pid}`;
  const isSaid = live === null ? ' right now' : cleaning ? ' is taking that away' : ' has been told, and is still at work';
  const what = cleaning ? ` ${oneLine(cleaning.path)}${cleaning.line ? `:${cleaning.line}` : ''} has left something half-made.` : '';
  return `${style.yellow(style.bold(cancelling ? 'Cancelling.' : 'Failing.'))} ${subjectOf(deployment)} goes no further.${what} ${who}${isSaid}.`;
}

/** Whether what is being taken away was left by an error, and not by the wish to end. */
function isBecauseOfError({ cancelling, cleaning }: Deployment): boolean {
  return Boolean(cleaning) && !(cancelling && cleaning?.error.sqlstate === QUERY_CANCELED);
}

/** An error of a file: where, what the server said, what to do. */
export function errorLines(error: DeploymentError, style: Style): string[] {
  const lines: string[] = [];
  if (error.path)
    lines.push(
      `  ${style.bold(oneLine(error.path) + [error.line, error.character].map((number) => (number ? `:${number}` : '')).join(''))}${error.phase ? `  in phase ${oneLine(error.phase)}` : ''}`,
    );
  else if (error.phase) lines.push(`  in phase ${style.bold(oneLine(error.phase))}`);
  lines.push(...statementLines(error, style));
  lines.push(`  ${style.red(`${error.sqlstate}: ${indented(withoutPlace(error))}`)}`);
  lines.push(...offenderLines(error.check));
  if (error.detail) lines.push(`  Detail: ${indented(error.detail)}`);
  lines.push(...aboutLines(error));
  for (const place of placesInFunctions(error)) lines.push(`  in ${oneLine(place)}`);
  if (error.hint) lines.push(`  Hint: ${indented(error.hint)}`);
  return lines;
}

/** The server's message about a row, without the line number, which is already shown above. */
function withoutPlace({ message, path, line }: DeploymentError): string {
  return path && line ? message.replace(new RegExp(`^Line ${line}(?:: |, (?=column ))`), '') : message;
}

/** The beginning of the statement, and the line that the error is about, with a mark below the place. */
function statementLines({ statement, statement_line, line, excerpt, caret }: DeploymentError, style: Style): string[] {
  const text = statement ? harmless(statement.trim()).split('\n') : [];
  const before = typeof excerpt === 'string' && line && statement_line ? line - statement_line : text.length;
  const more = (number: number): string[] => (number > 0 ? [style.dim(`  | … ${count(number, 'more line')}`)] : []);
  const shown = text.slice(0, Math.min(before, STATEMENT_LINES));
  const head = shown.map((part) => style.dim(`  | ${cut(part.trimEnd(), STATEMENT_WIDTH)}`));
  if (typeof excerpt !== 'string') return [...head, ...more(text.length - shown.length)];
  const [pre, post] = caret ? [harmless([...excerpt].slice(0, caret - 1).join('')), harmless([...excerpt].slice(caret - 1).join(''))] : ['', harmless(excerpt)];
  const left = cutFront(pre, CARET_WIDTH);
  const mark = caret ? [`  | ${left.replace(/[^\t]/gu, (character) => ' '.repeat(widthOf(character)))}${style.red('^')}`] : [];
  return [...head, ...more(before - shown.length), `  | ${left}${cut(post.trimEnd(), STATEMENT_WIDTH - widthOf(left))}`, ...mark];
}

/** What an error is about, as far as its message does not say it. */
function aboutLines({ message, schema, table, column, constraint, datatype }: DeploymentError): string[] {
  const isSaid = (name: string) => message.includes(`"${name}"`) || message.split(/[\s,:]+/).includes(name);
  const inSchema = (name: string) => (schema ? `${schema}.${name}` : name);
  const [relation, type] = [table, datatype].map((name) =>
    name && !(isSaid(inSchema(name)) || (schema === 'public' && isSaid(name))) ? inSchema(name) : null,
  );
  const facts = [
    ...(relation ? [`table ${relation}`] : []),
    ...(type ? [`type ${type}`] : []),
    ...(column && !isSaid(column) ? [`column ${column}`] : []),
    ...(constraint && !isSaid(constraint) ? [`constraint ${constraint}`] : []),
  ];
  return facts.length === 0 ? [] : [`  About: ${facts.map((fact) => oneLine(fact)).join(', ')}`];
}

/**
 * The functions an error came through, innermost first, and what the server says about a value. The statements between them are left out, because they
 * are in the functions, except for those that a function has put together.
 */
function placesInFunctions({ context }: DeploymentError): string[] {
  const said = (context ?? '').replace(
    /^SQL statement "((?:(?!"\nPL\/pgSQL function )[\s\S])*)"\nPL\/pgSQL function (.* at (?:EXECUTE|FOR over EXECUTE.*|RETURN QUERY.*|OPEN.*))$/gm,
    (_, statement: string, place: string) => `PL/pgSQL statement ${cut(oneLine(statement), STATEMENT_WIDTH)}\nPL/pgSQL function ${place}`,
  );
  return said
    .split('\n')
    .filter((line) => /^(PL\/pgSQL|SQL) function |^PL\/pgSQL |^JSON data, /.test(line))
    .slice(0, FUNCTIONS_SHOWN);
}

function indented(text: string): string {
  return harmless(text.trim()).split('\n').join('\n  ');
}

function phaseLines(deployment: Deployment): string[] {
  return columns(
    deployment.phases.map((phase) => [oneLine(phase.name), phase.transaction, standing(phase, deployment)]),
    '  ',
  );
}

/** What the loads have brought, as far as it was committed. */
function loadLines({ phases }: Deployment): string[] {
  const rows = phases.flatMap(({ steps }) =>
    steps.flatMap((step) => {
      const counts = countsOf(step);
      return counts === null ? [] : [[oneLine(step.path), `into ${oneLine(String(step.options?.into ?? ''))}`, counts]];
    }),
  );
  return columns(rows, '  ');
}

/** What the engine says about steps of which only a part is in the database. */
function accountsOf(deployment: Deployment): string[] {
  return deployment.phases.flatMap(({ steps }) => steps.flatMap(({ account }) => account ?? []));
}

/** What nobody but a superuser can take away. */
function leftoverLines({ leftovers }: Deployment, style: Style): string[] {
  if (!leftovers || leftovers.length === 0) return [];
  const what = leftovers.length === 1 ? 'An invalid index is left' : `${leftovers.length} invalid indexes are left`;
  return [
    style.yellow(`${what} by a REINDEX that was interrupted, in TOAST, where only a superuser may drop ${leftovers.length === 1 ? 'it' : 'them'}:`),
    ...leftovers.map(({ statement }) => `  ${oneLine(statement)};`),
  ];
}

function factLines(deployment: Deployment, style: Style): string[] {
  const rows = [['deployment', deployment.id]];
  const fingerprint = fingerprintOf(deployment);
  if (fingerprint !== null) rows.push(['fingerprint', fingerprint]);
  const parameters = (deployment.parameters ?? []).map(
    ({ name, secret, given, value }) => `${name}=${secret ? (given ? '***' : '') : cut(oneLine(value ?? ''), PARAMETER_WIDTH)}`,
  );
  for (const [name, fact] of [['source', sourceFact(deployment)] as const, ['approved by', approvedFact(deployment)] as const])
    if (fact !== null) rows.push([name, fact]);
  if (parameters.length > 0) rows.push(['parameters', parameters.join('  ')]);
  return columns(rows, '  ').map(style.dim);
}

function fingerprintOf({ fingerprint, started_at, finished_at }: Deployment): string | null {
  const [before, after] = [shorten(fingerprint.before), shorten(fingerprint.after)];
  if (before !== null && after !== null) return before === after ? `${before} (unchanged)` : `${before} → ${after}`;
  if (started_at === null || (before !== null && finished_at === null)) return before === null ? null : `${before} before`;
  if (before !== null) return `${before} before; none after: ${NO_FINGERPRINT}`;
  if (after !== null) return `${after} after; none before: ${NO_FINGERPRINT}`;
  return `none ${finished_at === null ? 'before' : 'before and after'}: ${NO_FINGERPRINT}`;
}

/** As much of a fingerprint as a person compares; programs get all of it. */
function shorten(fingerprint: string | null): string | null {
  return fingerprint?.replace(/([0-9a-f]{12})[0-9a-f]{20,}$/, '$1…') ?? null;
}

function timeOf(deployment: Deployment): string | null {
  if (deployment.started_at === null || deployment.finished_at === null) return null;
  const milliseconds = timeWorked(deployment.started_at, deployment.finished_at, deployment.rests ?? []);
  return Number.isFinite(milliseconds) ? duration(milliseconds) : null;
}
