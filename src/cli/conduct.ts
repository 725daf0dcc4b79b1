/**
 * A command that follows a deployment: shows its progress; leaves on Ctrl-C, or when its time is over, and says that the deployment
 * goes on; and ends with the summary and the exit code. The work itself is direct.ts's or remote.ts's.
 */
import { isTimeOver } from '../deployment/errand.ts';
import { isUnapproved } from '../domain/approval.ts';
import { type Deployment, exitCodeOf, isOver } from '../domain/deployment.ts';
import { Problem } from '../domain/problem.ts';
import { renderRehearsal } from '../words/rehearsal.ts';
import { type Style, UNCOLOURED } from '../words/style.ts';
import { renderSummary } from '../words/summary.ts';
import { cut, oneLine } from '../words/text.ts';
import { readSeconds } from './address.ts';
import type { Call } from './commands.ts';
import { type Reported, renderJunit, writeReport } from './junit.ts';
import { ProgressPrinter, type View } from './progress.ts';

const DEADLINE_SECONDS = 3600;
const DEADLINE_SECONDS_MAX = 7 * 24 * 3600;
/** How long after the deadline an answer that is on its way may still arrive. */
const DEADLINE_GRACE_MS = 3000;
/** How long what is under way may take to come to rest after Ctrl-C. */
const LEAVE_MS = 1000;
const STATEMENT_CHARACTERS = 80;

/** What the work gets: until when, the wish to leave, and where to say how it gets on. */
export interface Watch {
  readonly deadlineAtMs: number;
  readonly signal: AbortSignal;
  readonly onView: (change: Partial<View>) => void;
}

/** The last words on a deployment, and what the command exits with. */
export interface Ending {
  readonly words: (deployment: Deployment, style: Style) => string;
  readonly exitCode: (deployment: Deployment) => number;
  /** What is said after Ctrl-C when there was no answer yet, beginning with "Left"; without it, the words for a bundle on its way. */
  readonly unanswered?: string;
}

/**
 * @param key the id by which the same command can be repeated, or null
 * @param work what is done; stops soon after the signal
 * @param ending without it: the summary, and the exit code of the deployment
 * @returns the exit code
 * @throws Problem what the work throws, naming the deployment if there is one; interrupted after Ctrl-C, and when the time is over
 */
export async function conduct(call: Call, key: string | null, work: (watch: Watch) => Promise<Deployment>, ending?: Ending): Promise<number> {
  const { deployment, code } = await accompany(call, key, deadlineOf(call), work, ending);
  call.printer.document(deployment);
  return code;
}

/** When the command's time is over, in milliseconds since 1970. @throws Problem usage */
export function deadlineOf(call: Call): number {
  return Date.now() + 1000 * readSeconds(call, 'deadline', DEADLINE_SECONDS, DEADLINE_SECONDS_MAX);
}

/**
 * The same for one of several deployments of a command, which prints its document itself.
 * @param reported those before it, which belong into the same report
 */
export async function accompany(
  call: Call,
  key: string | null,
  deadlineAtMs: number,
  work: (watch: Watch) => Promise<Deployment>,
  ending?: Ending,
  reported: readonly Reported[] = [],
): Promise<Reported & { readonly code: number }> {
  const { printer } = call;
  const { io } = printer;
  const progress = new ProgressPrinter(io, Date.now(), printer.pipeline);
  const overdue = new AbortController();
  const timer = setTimeout(() => overdue.abort(), deadlineAtMs + DEADLINE_GRACE_MS - Date.now());
  let deployment: Deployment;
  try {
    const working = work({ deadlineAtMs, signal: AbortSignal.any([io.signal, overdue.signal]), onView: (change) => progress.update(change) });
    working.catch(() => undefined); // when we leave first, nobody else hears of it
    deployment = await Promise.race([working, atRest(io.signal), atRest(overdue.signal)]);
  } catch (error) {
    if (io.signal.aborted) throw leaving(progress.view, key, ending?.unanswered);
    if (overdue.signal.aborted || isTimeOver(error)) throw outOfTime(progress.view, key, ending?.unanswered);
    throw naming(error, progress.view.id, key);
  } finally {
    clearTimeout(timer);
    progress.end();
  }
  if (io.signal.aborted && !isOver(deployment.state)) throw leaving({ ...progress.view, deployment, id: deployment.id }, key);
  const render = ending?.words ?? (deployment.mode === 'rehearse' ? renderRehearsal : renderSummary);
  const more = wordsOnId(call, deployment);
  const words = (of: Deployment, style: Style): string => `${render(of, style)}${more}`;
  const plain = words(deployment, UNCOLOURED);
  conclude(call, deployment, plain, reported);
  printer.say(words(deployment, printer.style));
  // Next to a document, the words are for people who watch.
  if (printer.json) printer.note(words(deployment, printer.noteStyle));
  const isEnough = call.values['may-wait'] === true && isUnapproved(deployment);
  return { deployment, words: plain, code: isEnough ? 0 : (ending?.exitCode(deployment) ?? exitCodeOf(deployment.state, call.values.strict === true)) };
}

/** Whoever has given the id (a CI, above all) repeats the same command, and would always get this end as the answer. */
function wordsOnId({ values }: Call, { state }: Deployment): string {
  if (typeof values.id !== 'string' || !isOver(state) || state === 'succeeded') return '';
  return `\n\nTo try it again, give another --id: with --id ${values.id} this end is the answer, and nothing runs.`;
}

/** What a forge, and the readers of the report, get of it. */
function conclude({ printer, values, positionals, command }: Call, deployment: Deployment, words: string, reported: readonly Reported[]): void {
  const folder = command.positionals[0] === '<folder>' ? (positionals[0] ?? null) : null;
  printer.pipeline?.conclude(deployment, folder, words);
  writeReport(printer, values.junit, () => renderJunit([...reported, { deployment, words }]));
}

/** Rejects a moment after the signal, so that work which does not come to rest holds nobody. */
export async function atRest(signal: AbortSignal): Promise<never> {
  await new Promise<void>((resolve) => {
    const onAbort = (): void => {
      setTimeout(resolve, LEAVE_MS).unref();
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  throw signal.reason;
}

/** The last words after Ctrl-C. @param unanswered those without an answer, where they are not about a bundle */
export function leaving(view: View, key: string | null, unanswered?: string): Problem {
  const { id, deployment } = view;
  if (id === null && unanswered !== undefined) return new Problem('interrupted', unanswered);
  if (id === null) {
    // A small bundle is sent in one go, and may run before the answer is back.
    const again =
      key === null
        ? 'Repeat the command.'
        : `To attach again, or go on where this stopped, repeat it with --id ${key}: it is the same deployment. To look: weft status.`;
    const words = `Left before there was an answer. If everything has arrived in the database, it goes on there; if not, nothing runs. ${again}`;
    return new Problem('interrupted', words, key === null ? {} : { id: key });
  }
  const state = deployment?.state ?? view.state ?? 'open';
  const facts = { deployment: id, ...(key === null ? {} : { id: key }) };
  if (state === 'open') {
    const again = key === null ? '' : ` To go on where this stopped, repeat the command with --id ${key}.`;
    return new Problem('interrupted', `Left while files were on their way; deployment ${id} begins when all of them have arrived.${again}`, facts);
  }
  if (deployment?.state === 'running' && (deployment.cancelling || deployment.cleaning)) {
    return new Problem('interrupted', `Left. ${whatIsTakenAway(deployment)} To look: weft status ${id}.`, facts);
  }
  const look = `To look: weft status ${id}. To stop it: weft cancel ${id}.`;
  const [first] = deployment?.live ? [] : (deployment?.ahead ?? []);
  if (first !== undefined && view.session === 'ours') {
    const words = `Left. Deployment ${id} is in line behind ${first}. Whether it starts without us depends on whose CALL is running there; weft resume ${id} makes sure that it does. ${look}`;
    return new Problem('interrupted', words, facts);
  }
  const words = `Left. ${whatGoesOn(view, id)} To attach again, and continue it if need be: weft resume ${id}. ${look}`;
  return new Problem('interrupted', words, facts);
}

/** The same when the time is over. */
function outOfTime(view: View, key: string | null, unanswered?: string): Problem {
  const { slug, message, facts } = leaving(view, key, unanswered);
  return new Problem(slug, `${message.replace(/^Left/, 'The time was over')}${view.held === null ? '' : ` ${view.held}`}`, facts);
}

/** In transactions the run needs no client; a statement that PostgreSQL runs in none is run by the session that was handed it. */
function whatGoesOn({ deployment, session }: View, id: string): string {
  const live = deployment?.live ?? null;
  const backend = live === null ? '' : `, as backend ${live.pid}`;
  if (session === 'worker') return `Deployment ${id} goes on in the database${backend}, and the Worker stays with it for as long as it may.`;
  if (live?.handed_out) {
    const { path, line, statement } = live.handed_out;
    const what = `${oneLine(path)}, line ${line}: ${cut(oneLine(statement), STATEMENT_CHARACTERS)}`;
    return `Backend ${live.pid} finishes the statement that it was handed, which PostgreSQL runs in no transaction (${what}), and then ends. The rest of deployment ${id} waits until somebody calls.`;
  }
  const left = deployment?.phases.filter(({ state }) => state !== 'succeeded' && state !== 'skipped') ?? [];
  if (deployment !== null && left.every(({ transaction }) => transaction === 'single' || transaction === 'per-step')) {
    return `Deployment ${id} goes on in the database${backend}, to its end.`;
  }
  return `Deployment ${id} goes on in the database${backend}: to its end, or to the first statement that PostgreSQL runs in no transaction. That one needs a session, and waits until somebody calls.`;
}

/** It is only being ended: during a cancel or a clean-up, nothing else is promised to go on. */
function whatIsTakenAway({ id, cancelling, cleaning, live }: Deployment): string {
  const again = `weft ${cancelling ? 'cancel' : 'resume'} ${id}`;
  const state = `Deployment ${id} goes no further: ${cancelling ? 'it is being cancelled' : 'it has failed'}.`;
  if (!cleaning) {
    if (live === null) return `${state} No backend is at work on it: ${again}, or any later call, ends it.`;
    return `${state} Backend ${live.pid} has been told, and is still at work. To see it to the end: ${again}.`;
  }
  const left = `what ${oneLine(cleaning.path)}${cleaning.line ? `:${cleaning.line}` : ''} has left half-made`;
  if (live === null) return `${state} No backend is taking away ${left}: ${again}, or any later call, does, and ends it.`;
  const sent = cleaning.sent ? ` with "${cut(oneLine(cleaning.sent), STATEMENT_CHARACTERS)}", and finishes that statement without us` : '';
  return `${state} Backend ${live.pid} is taking away ${left}${sent}. Whatever comes after that is left to ${again}, or any later call.`;
}

/** The same problem, with the deployment it is about. */
function naming(error: unknown, id: string | null, key: string | null): unknown {
  if (!(error instanceof Problem) || id === null) return error;
  const hint = error.exit === 3 ? ` Deployment ${id} is in the database: "weft resume ${id}" continues it.` : '';
  return new Problem(error.slug, `${error.message}${hint}`, { deployment: id, ...(key === null ? {} : { id: key }), ...error.facts }, error);
}
