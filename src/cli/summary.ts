/**
 * The last word on a deployment, for a reader at 2 AM: how it ended, what failed and where, what the database looks like
 * now (law 1: effect and record commit together, so this can be said exactly), what to do next. Pure.
 */
import { type Deployment, type DeploymentError, isOver, type PhaseStatus, type StepStatus } from '../domain/deployment.ts';
import type { Style } from './io.ts';
import { countsOf } from './loads.ts';
import { holdersOf } from './progress.ts';
import { columns, count, cut, cutFront, duration, harmless, oneLine } from './text.ts';
import { comparedLines, nextOfUndo, standingOfUndo } from './undone.ts';

const STATEMENT_LINES = 4;
const STATEMENT_WIDTH = 110;
/** Of what stands before the place in its line. */
const CARET_WIDTH = 80;
/** Characters that take two columns of a terminal. */
const WIDE = /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;
const OFFENDER_WIDTH = 40;
const PARAMETER_WIDTH = 40;
const FUNCTIONS_SHOWN = 3;
const FILES_SHOWN = 10;
/** The engine takes none rather than wait. */
const NO_FINGERPRINT = 'for more than a second another session had a table locked, or the catalog could not be read';
/** The engine's words for what the history has against a bundle: other bytes, an ambiguous rename, an order that is broken. */
const QUARRELS: readonly string[] = ['WF013', 'WF060', 'WF061', 'WF062', 'WF063'];
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
  lines.push(...baselineLines(deployment), ...comparedLines(deployment, style));
  for (const step of warningsOf(deployment)) lines.push('', ...warningLines(step, style));
  const asks = deployment.state !== 'succeeded';
  lines.push('', ...(asks ? ['The database now:'] : []), ...phaseLines(deployment));
  const loads = loadLines(deployment);
  if (loads.length > 0) lines.push('', ...loads);
  const accounts = accountsOf(deployment);
  if (accounts.length > 0) lines.push('', ...accounts.map((account) => `  ${oneLine(account)}`));
  const leftovers = leftoverLines(deployment, style);
  if (leftovers.length > 0) lines.push('', ...leftovers);
  const next = nextLines(deployment, leftovers.length > 0);
  if (next.length > 0) lines.push('', ...next);
  lines.push('', ...factLines(deployment, style));
  return lines.join('\n');
}

/** What a baseline was verified by, and what nobody has looked at. */
function baselineLines({ baseline }: Deployment): string[] {
  if (!baseline) return [];
  const { by, objects_found = 0, not_looked_at: unseen = [] } = baseline.verified;
  const verified =
    by === 'fingerprint'
      ? 'The catalog has the fingerprint that was asked for.'
      : by === 'catalog'
        ? `Looked for in the catalog by name: ${count(objects_found, 'object')}, all there.`
        : 'Nothing was looked at.';
  const files =
    unseen
      .slice(0, FILES_SHOWN)
      .map((path) => oneLine(path))
      .join(', ') + (unseen.length > FILES_SHOWN ? ` and ${unseen.length - FILES_SHOWN} more` : '');
  return [
    '',
    `  ${count(baseline.files, 'file')} recorded. ${verified}${unseen.length > 0 ? ` Not looked at, for they create nothing that has a name: ${files}.` : ''}`,
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

function headline(deployment: Deployment, style: Style): string {
  const bundle = oneLine(deployment.bundle);
  const time = timeOf(deployment);
  const after = time === null ? '' : ` after ${time}`;
  switch (deployment.state) {
    case 'succeeded':
      if (deployment.mode === 'rehearse') return `${style.green(style.bold('Rehearsed.'))} Nothing of ${bundle} is in the database.`;
      if (deployment.mode === 'baseline') return `${style.green(style.bold('Recorded.'))} This database is taken to be at ${bundle}; nothing was run.`;
      if (deployment.undoes)
        return `${style.green(style.bold('Undone.'))} Deployment ${deployment.undoes} of ${bundle} was taken back${time === null ? '' : `, in ${time}`}.`;
      return `${style.green(style.bold('Done.'))} ${bundle} is deployed${time === null ? '' : `, in ${time}`}.`;
    case 'degraded':
      return `${style.yellow(style.bold('Degraded.'))} ${bundle} is deployed${time === null ? '' : `, in ${time}`}, except for what may fail.`;
    case 'failed':
      return `${style.red(style.bold('Failed.'))} ${deployment.undoes ? 'The undo of ' : ''}${bundle} stopped${after}.`;
    case 'cancelled':
      return `${style.yellow(style.bold('Cancelled.'))} ${bundle} stopped${after}.`;
    case 'running':
      if (deployment.cancelling || deployment.cleaning) return endingHeadline(deployment, style);
      return `${style.bold('Running.')} ${bundle} ${deployment.live === null ? 'is not over, and no backend is at work on it' : `runs as backend ${deployment.live.pid}`}.`;
    case 'staged':
      return `${style.bold('Staged.')} ${bundle} is in the database and has not begun.`;
    case 'open':
      return `${style.bold('Open.')} ${bundle} is announced; not all of its files have arrived.`;
  }
}

/** The server runs one such statement for nobody; what is behind it needs a session. */
function handedOutLines({ state, live, cancelling, cleaning, handed_out }: Deployment): string[] {
  if (state !== 'running' || cancelling || cleaning || !handed_out) return [];
  const { path, line, statement } = handed_out;
  const what = `one statement, which PostgreSQL runs in no transaction: ${oneLine(path)}, line ${line}: ${cut(oneLine(statement), STATEMENT_WIDTH)}`;
  return live === null
    ? [`A session was handed ${what}`, 'The next call finds out what became of that, and goes on behind it.']
    : [`The backend was handed ${what}`, 'It finishes that without a client, too; what is behind it then waits for a call.'];
}

/** It is begun, and only comes to its end any more. */
function endingHeadline({ bundle, cancelling, cleaning, live }: Deployment, style: Style): string {
  const who = live === null ? 'No backend is at work on it' : `Backend ${live.pid}`;
  const isSaid = live === null ? ' right now' : cleaning ? ' is taking that away' : ' has been told, and is still at work';
  const what = cleaning ? ` ${oneLine(cleaning.path)}${cleaning.line ? `:${cleaning.line}` : ''} has left something half-made.` : '';
  return `${style.yellow(style.bold(cancelling ? 'Cancelling.' : 'Failing.'))} ${oneLine(bundle)} goes no further.${what} ${who}${isSaid}.`;
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
  lines.push(`  ${style.red(`${error.sqlstate}: ${indented(error.message)}`)}`);
  lines.push(...offenderLines(error.check));
  if (error.detail) lines.push(`  Detail: ${indented(error.detail)}`);
  for (const place of placesInFunctions(error)) lines.push(`  in ${oneLine(place)}`);
  if (error.hint) lines.push(`  Hint: ${indented(error.hint)}`);
  return lines;
}

/** The beginning of the statement, and the line that the error is about, with a mark below the place. */
function statementLines({ statement, statement_line, line, excerpt, caret }: DeploymentError, style: Style): string[] {
  const text = statement ? harmless(statement.trim()).split('\n') : [];
  const before = typeof excerpt === 'string' && line && statement_line ? line - statement_line : text.length;
  const more = (number: number): string[] => (number > 0 ? [style.dim(`  | … ${count(number, 'more line')}`)] : []);
  const shown = text.slice(0, Math.min(before, STATEMENT_LINES));
  const head = shown.map((part) => style.dim(`  | ${cut(part.trimEnd(), STATEMENT_WIDTH)}`));
  if (typeof excerpt !== 'string' || !line) return [...head, ...more(text.length - shown.length)];
  const [pre, post] = caret ? [harmless([...excerpt].slice(0, caret - 1).join('')), harmless([...excerpt].slice(caret - 1).join(''))] : ['', harmless(excerpt)];
  const left = cutFront(pre, CARET_WIDTH);
  const mark = caret ? [`  | ${left.replace(/[^\t]/gu, (character) => (WIDE.test(character) ? '  ' : ' '))}${style.red('^')}`] : [];
  return [...head, ...more(before - shown.length), `  | ${left}${cut(post.trimEnd(), STATEMENT_WIDTH - [...left].length)}`, ...mark];
}

/** The rows that break the rule of a check, as a table. */
function offenderLines(check: unknown): string[] {
  const { offenders = [], columns: names = [], offenders_count = 0 } = (check ?? {}) as { offenders?: unknown[]; columns?: string[]; offenders_count?: number };
  if (offenders.length === 0) return [];
  const cell = (value: unknown) => cut(oneLine(typeof value === 'string' ? value : JSON.stringify(value)), OFFENDER_WIDTH);
  const rows = offenders.map((row) =>
    typeof row === 'object' && row !== null ? names.map((name) => cell((row as Record<string, unknown>)[name] ?? null)) : [cell(row)],
  );
  const more = offenders_count - offenders.length;
  return [...columns([names.map((name) => oneLine(name)), ...rows], '  | '), ...(more > 0 ? [`  | … ${count(more, 'more row')}`] : [])];
}

/** The functions an error came through, innermost first; the statements between them are left out. */
function placesInFunctions({ context }: DeploymentError): string[] {
  return (context ?? '')
    .split('\n')
    .filter((line) => /^(PL\/pgSQL|SQL) function |^PL\/pgSQL /.test(line))
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

/** What the engine says of steps of which only a part is in the database. */
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

/** What of a phase is in the database. */
function standing(phase: PhaseStatus, deployment: Deployment): string {
  if (deployment.undoes) return standingOfUndo(phase, isOver(deployment.state));
  const total = phase.steps.length;
  const succeeded = phase.steps.filter((step) => step.state === 'succeeded').length;
  const leftOut = phase.steps.filter((step) => step.state === 'skipped' && (step.is_wanted === false || phase.is_wanted === false)).length;
  const skipped = phase.steps.filter((step) => step.state === 'skipped').length - leftOut;
  const failed = phase.steps.filter((step) => step.state === 'failed').length;
  const before = `${skipped === 0 ? '' : `, ${skipped} applied before`}${leftOut === 0 ? '' : `, ${leftOut} left out by a condition`}`;
  if (phase.state === 'skipped') return `left out: not ${oneLine(phase.when ?? '')}`;
  if (phase.state === 'succeeded') {
    const partly = phase.steps.filter(({ state, account }) => state === 'failed' && account);
    const wholly = failed - partly.length;
    const stays = partly.length === 0 ? '' : `, ${partly.length} failed and in part committed (${partly.map(({ path }) => oneLine(path)).join(', ')})`;
    return `committed: ${count(succeeded, 'step')}${before}${wholly === 0 ? '' : `, ${wholly} failed and rolled back`}${stays}, ${duration(timeOfPhase(phase))}`;
  }
  if (phase.transaction === 'single') {
    if (phase.state === 'failed')
      return `rolled back as a whole: nothing of it is left (${count(total - skipped, 'step')}${skipped === 0 ? '' : `; ${skipped} applied before`})`;
    if (isOver(deployment.state)) return `nothing of it (${count(total, 'step')})`;
    return phase.state === 'running' ? `in flight, all or nothing: nothing is committed yet (${count(total, 'step')})` : 'not begun';
  }
  if (phase.state === 'pending' && succeeded + skipped + leftOut === 0) return 'not begun';
  const kept = `committed: ${succeeded} of ${count(total, 'step')}${before}`;
  const begun = phase.state === 'running' && phase.steps.some(({ path }) => path === deployment.handed_out?.path) ? deployment.handed_out : null;
  const half = phase.steps.filter((step) => step.account).map((step) => oneLine(step.path));
  if (half.length > 0) return `${kept}, and a part of ${half.join(', ')}`;
  if (begun) return `${kept}; ${oneLine(begun.path)} has begun`;
  const rounds = phase.steps.flatMap(({ path, state, batch }) =>
    state === 'pending' && batch?.rounds ? [`${count(batch.rounds, 'round')} of ${oneLine(path)}`] : [],
  );
  if (rounds.length > 0) return `${kept}, and ${rounds.join(', ')}`;
  return phase.state === 'failed' ? `${kept}; the step that failed is rolled back` : `${kept}; the others have not run`;
}

/** All of it, with tries and pauses. */
function timeOfPhase({ started_at, finished_at, steps }: PhaseStatus): number {
  if (started_at && finished_at) return Math.max(0, Date.parse(finished_at) - Date.parse(started_at));
  return steps.reduce((sum, step) => sum + (step.milliseconds ?? 0), 0);
}

function nextLines(deployment: Deployment, isToBeCleaned: boolean): string[] {
  const { id, state, error } = deployment;
  const clean = isToBeCleaned ? '' : ' Nothing needs to be cleaned up.';
  const again = deployment.phases.flatMap(({ steps }) => steps).find((step) => step.runs_again);
  if (deployment.undoes && (state === 'failed' || state === 'cancelled') && !error?.remains?.length) return nextOfUndo(deployment);
  switch (state) {
    case 'succeeded':
      return [];
    case 'degraded':
      return [
        `Next: correct what failed and deploy again; what is committed is not run twice. If the cause was the database, "weft resume ${id}" tries just that again.`,
      ];
    case 'failed': {
      if (error && QUARRELS.includes(error.sqlstate))
        return ['Next: as the hint says. Nothing of this deployment was run, and nothing needs to be cleaned up.'];
      const batch = deployment.phases.flatMap(({ steps }) => steps).find(({ kind, path }) => kind === 'batch' && path === error?.path);
      if (batch && error?.sqlstate === 'WF021') return [`Next: say in weft.yaml what is meant, as the hint does, and deploy again.${clean}`];
      if (batch?.account)
        return [`Next: as the hint says: mend the rows, or correct ${oneLine(batch.path)}, and deploy again. What is committed stays.${clean}`];
      const what = error?.path ? remedyFor(error.sqlstate, oneLine(error.path)) : 'remove the cause';
      if (error?.remains?.length) return [`Next: take away what is half-made, as the hint says; ${what} and deploy again; what is committed is not run twice.`];
      if (again) return [`Next: make ${oneLine(again.path)} fit to run again, or its done_when come true, and deploy again.`];
      return [`Next: ${what} and deploy again; what is committed is not run twice.${clean}`];
    }
    case 'cancelled':
      if (error?.remains?.length) return ['Next: take away what is half-made, as the hint says. What is committed is not run twice.'];
      if (again) return [`Next: deploy again when you like, if ${oneLine(again.path)} is fit to run again.`];
      return [`Next: deploy again when you like; what is committed is not run twice.${clean}`];
    case 'open':
      return ['Next: repeat the same "weft deploy" with the same --id; what has arrived is not sent twice.'];
    case 'staged':
    case 'running':
      if (deployment.cancelling || deployment.cleaning) return endingLines(deployment);
      if (state === 'running' && deployment.live === null) {
        return [`Next: "weft resume ${id}" continues it; where nobody is attached, it waits for that, or for any later call. "weft cancel ${id}" stops it.`];
      }
      return [`Next: "weft resume ${id}" attaches to it and continues it if need be; "weft cancel ${id}" stops it.`];
  }
}

function endingLines({ id, cancelling, cleaning, live }: Deployment): string[] {
  const look = cancelling ? `"weft cancel ${id}"` : `"weft resume ${id}"`;
  const sent = cleaning?.sent ? `"${oneLine(cleaning.sent)}"` : 'It';
  if (live === null) return [`Next: ${look} goes on with that, and ends it.`];
  if (live.blocked_by.length === 0) return [`Next: ${look} waits for the end.`];
  return [
    `${sent} waits for ${holdersOf(live)}.`,
    `Next: when that one has ended, or let go, ${look} again shows the end; where nobody else has done it by then, it makes it.`,
  ];
}

/** What is to be done about an error of a file: not every one is the file's fault (PostgreSQL manual, appendix A). */
function remedyFor(sqlstate: string, path: string): string {
  if (sqlstate === 'WF022') return `correct the rows that break the rule, or the files that make them,`;
  if (sqlstate.startsWith('23')) return `repair the data (or correct ${path})`;
  if (sqlstate === '42501') return `grant what is missing (or correct ${path})`;
  if (sqlstate === '55006') return `see to it that nobody uses what ${path} is about (or correct it)`;
  if (sqlstate === '55P03' || sqlstate === '40P01') return `see to it that the lock is free (or correct ${path})`;
  return `correct ${path}`;
}

function factLines(deployment: Deployment, style: Style): string[] {
  const rows = [['deployment', deployment.id]];
  const fingerprint = fingerprintOf(deployment);
  if (fingerprint !== null) rows.push(['fingerprint', fingerprint]);
  const parameters = (deployment.parameters ?? []).map(
    ({ name, secret, given, value }) => `${name}=${secret ? (given ? '***' : '') : cut(oneLine(value ?? ''), PARAMETER_WIDTH)}`,
  );
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
  const milliseconds = Date.parse(deployment.finished_at) - Date.parse(deployment.started_at);
  return Number.isFinite(milliseconds) ? duration(Math.max(0, milliseconds)) : null;
}
