/**
 * What is reported at a forge about a change: a title, a text, and remarks at lines of files. Everybody who may read a repository may
 * read it: so it contains files, places of statements and the server's message, but neither a database's address nor the contents of
 * its rows.
 */
import { isUnapproved } from '../domain/approval.ts';
import type { Account, Remark } from '../domain/change.ts';
import { type Deployment, type DeploymentError, isOver, type StepStatus } from '../domain/deployment.ts';
import { fenceOf } from '../domain/fence.ts';
import type { Problem } from '../domain/problem.ts';
import type { Rehearsal } from '../domain/rehearsal.ts';

/** What an account is about. */
export interface AccountPlace {
  readonly target: string;
  /** The bundle's folder, from the repository's root; "" for the root. */
  readonly folder: string;
  readonly mode: 'apply' | 'rehearse' | 'approve';
}

const STEPS_SHOWN = 50;
const LOCKS_SHOWN = 20;
const OBJECTS_SHOWN = 40;
const TITLE_CHARACTERS = 140;
/** Which neither readers nor writers ever wait for (PostgreSQL manual, 13.3.1). */
const WEAK_MODES: readonly string[] = ['AccessShareLock', 'RowShareLock', 'RowExclusiveLock'];

/** The words that approve what waits for somebody; null in every other account. For whom there is room for a line alone. */
export function approvalIn({ state, text }: Account): string | null {
  return state === 'waiting' ? (/`(weft approve [^`]*)`/.exec(text)?.[1] ?? null) : null;
}

/** It has been taken up. */
export function accountOfBeginning(place: AccountPlace): Account {
  const what = place.mode === 'rehearse' ? 'Rehearsing' : 'Deploying';
  return {
    ...namesOf(place),
    state: 'running',
    title: oneLine(`${what} to ${place.target}`),
    text: 'The files are fetched, and go to the database.',
    remarks: [],
  };
}

/** Nothing is done, because something newer has come. */
export function accountOfStale(place: AccountPlace, why: string): Account {
  return { ...namesOf(place), state: 'neutral', title: 'Overtaken', text: quote(why), remarks: [] };
}

/** It has been taken up, and the configuration has nothing that it belongs to any more. */
export function accountOfNothing(place: AccountPlace): Account {
  const text = 'The configuration of the Worker has no source or no target for it any more. What is in the database already goes on there.';
  return { ...namesOf(place), state: 'neutral', title: 'Not followed any more', text, remarks: [] };
}

/** A review has come, and nothing was approved by it. */
export function accountOfNoApproval(place: AccountPlace, why: string): Account {
  return { ...namesOf(place), state: 'neutral', title: oneLine(`Nothing was approved at ${place.target}`), text: quote(why), remarks: [] };
}

/** It came to no deployment, or it is not known what became of it. */
export function accountOfProblem(place: AccountPlace, problem: Problem): Account {
  const { path, line, file } = problem.facts;
  const where = typeof path === 'string' ? path : typeof file === 'string' ? file : null;
  const remarks = where === null ? [] : [remarkOf(place, where, typeof line === 'number' ? line : 1, problem.message)];
  return { ...namesOf(place), state: 'failure', title: oneLine(problem.title), text: quote(problem.message), remarks };
}

/** It is there from before, and what has run since is another one of its bundle: so nothing was run, and what is there now is not this. */
export function accountOfOvertaken(place: AccountPlace, { id, bundle }: Deployment, by: string): Account {
  const text = `\`${id}\` has deployed this commit before, and \`${by}\` of the same bundle has run since: nothing was run now. To have this one back, push a new commit, or deploy it by hand.`;
  return {
    ...namesOf(place),
    state: 'neutral',
    title: oneLine(`${bundle} was deployed to ${place.target} before, and has been replaced since`),
    text,
    remarks: [],
  };
}

/** As it is, or as it ended. */
export function accountOfDeployment(place: AccountPlace, deployment: Deployment): Account {
  const { state, error, rehearsal } = deployment;
  const steps = deployment.phases.flatMap((phase) => phase.steps);
  const failed = steps.filter((step) => step.state === 'failed' && step.error);
  const errors = error === null ? failed.flatMap(errorOf) : [error];
  const text = [
    ...describeApproval(deployment),
    ...errors.map((one) => describe(place, one)),
    ...accounts(steps),
    rehearsal ? describeRehearsal(rehearsal) : describePhases(deployment),
    `\`${deployment.id}\` is the deployment: \`weft status\` and \`weft receipt\` tell more, with what stands in rows.`,
  ];
  return {
    ...namesOf(place),
    state: isUnapproved(deployment)
      ? 'waiting'
      : !isOver(state)
        ? 'running'
        : state === 'succeeded' || state === 'degraded'
          ? 'success'
          : state === 'cancelled'
            ? 'neutral'
            : 'failure',
    title: oneLine(titleOf(place, deployment)),
    text: text.filter((part) => part !== '').join('\n\n'),
    remarks: errors.flatMap((one) => (one.path ? [remarkOf(place, one.path, one.line ?? 1, messageOf(one), error === null ? 'warning' : 'failure')] : [])),
  };
}

function titleOf({ target, mode }: AccountPlace, deployment: Deployment): string {
  const { state, bundle } = deployment;
  const isRehearsal = mode === 'rehearse';
  switch (state) {
    case 'succeeded':
      return isRehearsal ? `${bundle} ran through at ${target}, and was rolled back` : `${bundle} is deployed to ${target}`;
    case 'degraded':
      return isRehearsal ? `${bundle} ran through at ${target}, except for what may fail` : `${bundle} is deployed to ${target}, except for what may fail`;
    case 'failed':
      return isRehearsal ? `${bundle} would fail at ${target}` : `${bundle} failed at ${target}`;
    case 'cancelled':
      return `${bundle} was cancelled at ${target}`;
    default:
      return isUnapproved(deployment) ? `${bundle} waits for approval at ${target}` : `${bundle} is on its way at ${target}`;
  }
}

function namesOf({ target, folder, mode }: AccountPlace): Pick<Account, 'name'> {
  return {
    name: `weft${mode === 'rehearse' ? ' rehearsal' : mode === 'approve' ? ' approval' : ''}: ${folder === '' ? 'the repository' : folder} to ${target}`,
  };
}

function errorOf({ error, path }: StepStatus): DeploymentError[] {
  return error === null ? [] : [{ ...error, path: error.path ?? path }];
}

/** Who waits for whom, and who has approved it. */
function describeApproval(deployment: Deployment): string[] {
  const { id, approval } = deployment;
  if (!approval) return [];
  if (approval.by !== null) return [`Approved by ${code(approval.by)}.`];
  if (!isUnapproved(deployment)) return [];
  const until = approval.until === null ? '' : `, until ${approval.until}; then it is cancelled`;
  return [`Somebody other than ${code(approval.not_by)} has to approve it${until}: \`weft approve ${id} --digest ${approval.digest}\``];
}

/** Without detail, context and excerpt: those show rows. */
function messageOf({ sqlstate, message, hint }: DeploymentError): string {
  return `${sqlstate}: ${message}${hint ? `\nHint: ${hint}` : ''}`;
}

function describe(place: AccountPlace, error: DeploymentError): string {
  const where = error.path
    ? `**${code(inRepository(place, error.path))}${error.line ? `, line ${error.line}` : ''}**`
    : error.phase
      ? `Phase ${code(error.phase)}`
      : '';
  return [where, quote(messageOf(error))].filter((part) => part !== '').join('\n\n');
}

/** What of files is in the database without the rest of them. */
function accounts(steps: readonly StepStatus[]): string[] {
  return steps.flatMap(({ path, account }) => (account ? [`${code(path)}: ${plain(account)}`] : []));
}

function describePhases({ phases }: Deployment): string {
  const rows = phases.flatMap((phase) =>
    phase.steps.map(
      (step) => `| ${cell(phase.name)} | ${cell(step.path)} | ${step.state} | ${step.milliseconds === null ? '' : duration(step.milliseconds)} |`,
    ),
  );
  return table('| phase | file | state | time |\n|---|---|---|---|', rows, STEPS_SHOWN);
}

function describeRehearsal({ steps, locks, catalog, waits, not_shown, milliseconds }: Rehearsal): string {
  const strong = locks.filter(({ mode }) => !WEAK_MODES.includes(mode));
  return [
    `It took ${duration(milliseconds)} in one transaction, which was rolled back.`,
    table(
      '| file | state | rows | time |\n|---|---|---|---|',
      steps.map((step) => `| ${cell(step.path)} | ${step.state} | ${step.rows ?? ''} | ${step.milliseconds == null ? '' : duration(step.milliseconds)} |`),
      STEPS_SHOWN,
    ),
    table(
      'Locks that others would wait for:\n\n| object | mode | held | by |\n|---|---|---|---|',
      strong.map(
        ({ object, mode, held_milliseconds, path, line }) =>
          `| ${cell(object)} | ${mode} | ${duration(held_milliseconds)} | ${cell(`${path}${line ? `:${line}` : ''}`)} |`,
      ),
      LOCKS_SHOWN,
    ),
    waits && waits.length > 0 ? `Waits for locks that were seen meanwhile: ${waits.length}.` : '',
    table(
      'The catalog would differ in:\n\n| | kind | object |\n|---|---|---|',
      (catalog ?? []).map(({ change, kind, identity }) => `| ${change} | ${cell(kind)} | ${cell(identity)} |`),
      OBJECTS_SHOWN,
    ),
    (not_shown ?? []).map(({ text }) => `- ${plain(text)}`).join('\n'),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** Nothing where there are no rows. */
function table(head: string, rows: readonly string[], shown: number): string {
  if (rows.length === 0) return '';
  const more = rows.length > shown ? `\n\n… and ${rows.length - shown} more` : '';
  return `${head}\n${rows.slice(0, shown).join('\n')}${more}`;
}

function remarkOf(place: AccountPlace, path: string, line: number, message: string, level: Remark['level'] = 'failure'): Remark {
  return { path: inRepository(place, path), line: Math.max(1, line), level, message };
}

function inRepository({ folder }: AccountPlace, path: string): string {
  return folder === '' ? path : `${folder}/${path}`;
}

/** A block of code, in which nothing is markup: neither mentions nor links nor pictures; and nothing turns the direction of writing, so that one name looks like another. */
function quote(text: string): string {
  const fence = fenceOf(text);
  return `${fence}\n${text.replace(/[^\P{Cc}\n\t]|\p{Bidi_Control}/gu, ' ')}\n${fence}`;
}

/** The same within a line. */
function code(text: string): string {
  return `\`${oneLine(text).replaceAll('`', "'")}\``;
}

/** The same in a table. */
function cell(text: string): string {
  return code(text).replaceAll('|', '\\|');
}

/** A sentence of the engine's, which may name files and objects. */
function plain(text: string): string {
  return oneLine(text).replace(/[\\`*_{}[\]<>()#!|@~&]/g, '\\$&');
}

function oneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Bidi_Control}\s]+/gu, ' ').trim();
  return line.length <= TITLE_CHARACTERS ? line : `${line.slice(0, TITLE_CHARACTERS - 1)}…`;
}

function duration(milliseconds: number): string {
  return milliseconds < 1000
    ? `${Math.round(milliseconds)} ms`
    : milliseconds < 60_000
      ? `${(milliseconds / 1000).toFixed(1)} s`
      : `${Math.round(milliseconds / 60_000)} min`;
}
