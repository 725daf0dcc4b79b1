/** What to do after a deployment, for its reader at 2 AM. Pure. */
import { isUnapproved } from '../domain/approval.ts';
import { type Deployment, isOver, type StepStatus } from '../domain/deployment.ts';
import { unapprovedLines, waitsForSecrets } from './approved.ts';
import { oneLine } from './text.ts';
import { nextOfUndo } from './undone.ts';
import { holdersOf } from './waits.ts';

/** The engine's words for what the history has against a bundle: other bytes, an ambiguous rename, an order that is broken. */
const QUARRELS: readonly string[] = ['WF013', 'WF060', 'WF061', 'WF062', 'WF063', 'WF064'];

/** Whether the history has something against it, so that nothing was begun. */
export function isRefused({ state, error }: Deployment): boolean {
  return state === 'failed' && error !== null && QUARRELS.includes(error.sqlstate);
}

/** @param isToBeCleaned something is left that only a superuser takes away */
export function nextLines(deployment: Deployment, isToBeCleaned: boolean): string[] {
  const { id, state, mode, undone } = deployment;
  if (!isOver(state)) return unfinishedLines(deployment);
  if (mode === 'rehearse') return state === 'succeeded' || state === 'degraded' ? [] : [rehearseAgain(deployment), ...thereBefore(deployment)];
  if (mode === 'baseline') {
    if (undone && isOver(undone.state)) return [];
    if (state === 'succeeded') return [`Next: "weft plan" shows what is still to be run. If this was a mistake, "weft undo ${id}" withdraws it.`];
    return [isRefused(deployment) ? 'Next: as the hint says.' : 'Next: repeat the baseline when you like; nothing was recorded.'];
  }
  if (undone && isOver(undone.state)) return undone.whole ? [] : [`Next: "weft undo --plan ${id}" shows what of it is left, and what would take it back.`];
  if (deployment.undoes && !deployment.error?.remains?.length) return nextOfUndo(deployment);
  switch (state) {
    case 'degraded':
      return [
        `Next: correct what failed and deploy again; what is committed is not run twice. If the cause was the database, "weft resume ${id}" tries just that again.`,
      ];
    case 'failed':
      return [afterFailure(deployment, isToBeCleaned), ...thereBefore(deployment)];
    case 'cancelled':
      return [afterCancel(deployment, isToBeCleaned)];
    default:
      return [];
  }
}

function afterFailure(deployment: Deployment, isToBeCleaned: boolean): string {
  const { error } = deployment;
  if (isRefused(deployment)) return 'Next: as the hint says. Nothing of this deployment was run, and nothing needs to be cleaned up.';
  const batch = deployment.phases.flatMap(({ steps }) => steps).find(({ kind, path }) => kind === 'batch' && path === error?.path);
  if (batch && error?.sqlstate === 'WF021') return `Next: say in weft.yaml what is meant, as the hint does, and deploy again.${cleanWords(isToBeCleaned)}`;
  if (batch?.account) return `Next: ${remedyOfBatch(batch)} What is committed stays.${cleanWords(isToBeCleaned)}`;
  const what = remedyOf(deployment);
  const again = stepThatRunsAgain(deployment);
  if (error?.remains?.length) return `Next: remove what is half-made, as the hint says; ${what} and deploy again; what is committed is not run twice.`;
  if (again) return `Next: make sure that ${oneLine(again.path)} can run again, or that its done_when is true, and deploy again.`;
  return `Next: ${what} and deploy again; what is committed is not run twice.${cleanWords(isToBeCleaned)}`;
}

function afterCancel(deployment: Deployment, isToBeCleaned: boolean): string {
  if (deployment.error?.remains?.length) return 'Next: remove what is half-made, as the hint says. What is committed is not run twice.';
  const again = stepThatRunsAgain(deployment);
  if (again) return `Next: deploy again when you like, if ${oneLine(again.path)} can run again.`;
  return `Next: deploy again when you like; what is committed is not run twice.${cleanWords(isToBeCleaned)}`;
}

/** A rehearsal leaves nothing that could need anything. */
export function rehearseAgain(deployment: Deployment): string {
  if (deployment.undoes) return nextOfUndo(deployment).join('');
  if (isRefused(deployment)) return 'Next: as the hint says.';
  return deployment.state === 'cancelled' ? 'Next: rehearse again when you like.' : `Next: ${remedyOf(deployment)} and rehearse again.`;
}

/** The server's errors about something that exists: schema, table, column, object (a type, a role, a trigger …), function. */
const IS_THERE = ['42P06', '42P07', '42701', '42710', '42723'];

/** For a file whose objects exist: perhaps the database is older than its history, and then correcting the file is wrong. */
export function thereBefore({ error, phases, undoes }: Deployment): string[] {
  const path = error?.path;
  const step = phases.flatMap(({ steps }) => steps).find((one) => one.path === path);
  if (!path || undoes || step?.kind !== 'run' || step.options?.repeat !== undefined || !IS_THERE.includes(error.sqlstate)) return [];
  if (error.hint?.includes('weft baseline')) return []; // of an empty history the engine says it
  return [
    `If the database had all of this before Weft came, or by hand: "weft baseline FOLDER --only ${oneLine(path)}" records that file as applied, and "--up-to FILE" every file up to one.`,
  ];
}

/** A batch with committed rounds: with a cursor, a changed statement needs a word on where it begins. */
function remedyOfBatch({ path, options }: StepStatus): string {
  const file = oneLine(path);
  if (options?.cursor === undefined) return `if rows are the cause, fix them; if the statement is, correct ${file}; and deploy again.`;
  const rows = 'if rows are the cause, fix them and deploy again. If the statement is, correct';
  if (options.on_change !== undefined)
    return `${rows} ${file} and deploy again: it ${options.on_change === 'restart' ? 'begins anew' : 'goes on behind what is committed'}, as weft.yaml says (on_change).`;
  return `${rows} ${file}, write "on_change: continue" (behind what is committed) or "on_change: restart" (from its beginning) beside it in weft.yaml, and deploy again.`;
}

function remedyOf({ error, phases }: Deployment): string {
  if (error?.in_bundle_file) return 'correct weft.yaml (or what it names)';
  if (!error?.path) return roomFor(error?.sqlstate ?? '') ?? 'remove the cause';
  const half = phases.flatMap(({ steps }) => steps).find(({ path, account, statements }) => path === error.path && account && (statements ?? 0) > 0);
  const path = half && error.line ? `${oneLine(error.path)} from line ${error.line} on` : oneLine(error.path);
  // The rows are the file's.
  const isLoad = phases.some(({ steps }) => steps.some((step) => step.path === error.path && step.kind === 'load'));
  return isLoad && error.sqlstate.startsWith('23') ? `correct ${path}` : remedyFor(error.sqlstate, path);
}

function cleanWords(isToBeCleaned: boolean): string {
  return isToBeCleaned ? '' : ' Nothing needs to be cleaned up.';
}

function stepThatRunsAgain({ phases }: Deployment) {
  return phases.flatMap(({ steps }) => steps).find((step) => step.runs_again);
}

function unfinishedLines(deployment: Deployment): string[] {
  const { id, state, undoes, live } = deployment;
  if (isUnapproved(deployment)) return unapprovedLines(deployment);
  if (waitsForSecrets(deployment)) return [`Next: whoever has its secrets continues it: weft resume ${id} --set name=… "weft cancel ${id}" stops it.`];
  if (state === 'open') return [`Next: repeat the same "weft ${undoes ? 'undo' : 'deploy'}" with the same --id; what has arrived is not sent twice.`];
  if (deployment.cancelling || deployment.cleaning) return endingLines(deployment);
  if (state === 'running' && live === null) {
    return [`Next: "weft resume ${id}" continues it; if nobody is attached, it waits for that, or for any later call. "weft cancel ${id}" stops it.`];
  }
  return [`Next: "weft resume ${id}" attaches to it and continues it if need be; "weft cancel ${id}" stops it.`];
}

function endingLines({ id, cancelling, cleaning, live }: Deployment): string[] {
  const look = cancelling ? `"weft cancel ${id}"` : `"weft resume ${id}"`;
  const sent = cleaning?.sent ? `"${oneLine(cleaning.sent)}"` : 'It';
  if (live === null) return [`Next: ${look} goes on with that, and ends it.`];
  if (live.blocked_by.length === 0) return [`Next: ${look} waits for the end.`];
  return [
    `${sent} waits for ${holdersOf(live)}.`,
    `Next: once that session has ended or released it, ${look} shows the end, or completes it if nobody else has.`,
  ];
}

/** What is wrong with the phase, or with the server, and not with what the file says: the hint of the error knows more. */
const BEHIND_A_HINT = ['WF015', 'WF018', 'WF021', '25001', '55P04'];

/** Class 53: insufficient resources. */
function roomFor(sqlstate: string): string | null {
  if (!sqlstate.startsWith('53')) return null;
  return { '53100': "make room on the server's disk", '53200': 'see that the server has memory for it' }[sqlstate] ?? 'raise the limit that was met';
}

/** What to do about an error of a file: not every one is the file's fault (PostgreSQL manual, appendix A). */
function remedyFor(sqlstate: string, path: string): string {
  if (sqlstate === 'WF022') return `correct the rows that break the rule, or the files that make them,`;
  if (BEHIND_A_HINT.includes(sqlstate)) return `do as the hint says`;
  if (sqlstate.startsWith('23')) return `repair the data (or correct ${path})`;
  if (sqlstate === '42501') return `grant what is missing (or correct ${path})`;
  if (sqlstate === '55006') return `make sure that nobody uses what ${path} is about (or correct it)`;
  if (sqlstate === '55P03' || sqlstate === '40P01') return `make sure that the lock is free (or correct ${path})`;
  const room = roomFor(sqlstate);
  return room === null ? `correct ${path}` : `${room} (or correct ${path})`;
}
