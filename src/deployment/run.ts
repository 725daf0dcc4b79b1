/**
 * Sends the CALL, and stays with the deployment until it is over: through lost connections, behind others in line, beside another CALL
 * that is already at work. A CALL is also how one attaches: it says at once who is there, and takes over from a runner that is gone.
 */
import { type Directive, directiveMessages, inspectServer, type Run, type RunResult, readRunResult, reportMessages, runMessages } from '../database/engine.ts';
import { type Reply, type Session, SqlError } from '../database/session.ts';
import { isUnapproved } from '../domain/approval.ts';
import { type Deployment, isOver } from '../domain/deployment.ts';
import { LIMITS } from '../domain/limits.ts';
import { secretsMissing } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import { answerOf, closingOnError, type Errand, Patience, passes, timeOver } from './errand.ts';
import { metAgain, primaryGone } from './met_again.ts';
import { look, watchCall } from './watch.ts';

const last_look_milliseconds_max = 5_000;

/** A CALL on its way. Whatever went out before it has arrived. */
export interface CallOnItsWay {
  readonly session: Session;
  /** The backend that the session was at when it was asked last. */
  readonly backend: number;
  readonly reply: Promise<Reply | undefined>;
  /** The server's error for the directive before it. */
  readonly directed?: Promise<Reply | undefined>;
}

/** With what the server said a CALL died, and in which backend. */
interface Death {
  readonly sqlstate: string;
  readonly message: string;
  readonly backend: number;
}

/** @param death of the CALL before this one */
export function sendCall(session: Session, run: Run, backend: number, death?: Death | null): CallOnItsWay {
  const messages = death === undefined || death === null ? runMessages(run, backend) : reportMessages(death, run, backend, death.backend);
  return { session, backend, reply: session.pipeline(messages).then((replies) => replies.at(-1)) };
}

/** Runs a statement at top level, as the engine asked for: only in the session whose CALL said so. */
function obey({ session, backend }: CallOnItsWay, directive: Directive, run: Run): CallOnItsWay {
  const replies = session.pipeline(directiveMessages(directive, run, backend));
  return { session, backend, reply: replies.then((all) => all.at(-1)), directed: replies.then((all) => all[0]) };
}

/** Tells the engine what the server said. */
async function report({ session, backend, directed }: CallOnItsWay, run: Run): Promise<CallOnItsWay> {
  const said = await directed;
  if (said?.kind !== 'error') throw new Problem('internal', 'The engine asks what the server said of a statement that has not failed.');
  return { session, backend, reply: session.pipeline(reportMessages(said.error, run, backend)).then((replies) => replies.at(-1)) };
}

/**
 * @param run what to run, and for whom
 * @param first a CALL that was sent already
 * @returns the deployment when it is over, waits for its approval, was interrupted on the server, or when the deadline came; null when there was nothing to do
 * @throws Problem interrupted (nothing could be learnt before the deadline, or the signal fired), holder_unknown, secrets_missing, and what the engine refuses
 */
export async function runToEnd(errand: Errand, patience: Patience, run: Run, first: CallOnItsWay): Promise<Deployment | null> {
  const { id } = run;
  let known: Deployment | null = null;
  const tell = (deployment: Deployment): void => {
    known = deployment;
    errand.onStatus?.(deployment);
  };
  const watched = { ...errand, onStatus: tell };
  let call: CallOnItsWay | undefined = first;
  let trouble: unknown = null;
  let diedCount = 0;
  let death: Death | null = null;
  for (;;) {
    try {
      call ??= await sendAgain(errand, patience, run, death);
      if (!(trouble instanceof Problem && trouble.slug === 'holder_unknown')) trouble = null;
      let result = await resultOf(watched, patience, run, call);
      death = null;
      while (result !== null && (result.directive !== null || result.isAsking) && !patience.isExhausted) {
        if (result.deployment !== null) tell(result.deployment);
        call = result.directive === null ? await report(call, run) : obey(call, result.directive, run);
        result = await resultOf(watched, patience, run, call);
      }
      if (result !== null) {
        trouble = null;
        if (result.lacking.length > 0 && id === null) return null; // all that could be run has been
        if (result.lacking.length > 0) throw secretsMissing(result.lacking, id); // before it is told that it was taken up
        if (result.deployment !== null) tell(result.deployment);
        if (isEnd(result) || (errand.isPassingBy === true && isNothingToDo(result))) return result.deployment;
        if (result.attached?.holder === 'unknown' || result.attached?.holder === 'silent') trouble = holderUnknown(result.attached);
      }
    } catch (error) {
      if (!(patience.isOver && error instanceof Problem && error.slug === 'interrupted')) {
        const isDeath = call !== undefined && (await hasDied(error, call.session, id, patience));
        if (isDeath) diedCount += 1;
        death = call === undefined ? death : deathOf(error, call.backend);
        if (!(isDeath && diedCount <= LIMITS.calls_died_count_max) && !passes(error)) throw known === null ? error : metAgain(error);
        trouble = error;
        if (error instanceof Problem && !patience.isExhausted) errand.onTrouble?.(error);
      }
    } finally {
      await call?.session.close();
      call = undefined;
    }
    patience.check();
    if (patience.isOver) {
      if (trouble !== null) throw known === null ? trouble : metAgain(trouble);
      return known ?? (await lookOnce(errand, id));
    }
    await patience.pause();
  }
}

/** In a new session, which is checked first: by now, the address may lead to another server, or to a pooler. */
async function sendAgain(errand: Errand, patience: Patience, run: Run, death: Death | null): Promise<CallOnItsWay> {
  const session = await errand.connect();
  return closingOnError(session, async () => {
    const { backend } = await answerOf(session, inspectServer(session), patience).catch((error) => {
      throw primaryGone(error);
    });
    return sendCall(session, run, backend, death);
  });
}

/** The server's last words in a CALL that has died; null where it has said none, or none that tell anything of the deployment. */
function deathOf(error: unknown, backend: number): Death | null {
  if (!(error instanceof Problem)) return null;
  const { cause } = error;
  if (cause instanceof SqlError) return cause.sqlstate.startsWith('WF') ? null : { ...wordsOf(cause), backend };
  const { sqlstate } = error.facts;
  return error.slug === 'session_lost' && typeof sqlstate === 'string' && cause instanceof Error ? { sqlstate, message: cause.message, backend } : null;
}

function wordsOf({ sqlstate, message, detail, hint, context }: SqlError): Omit<Death, 'backend'> {
  return { sqlstate, message, ...{ detail, hint, context } };
}

/** @returns null when there is no use in waiting for the answer any more */
async function resultOf(errand: Errand, patience: Patience, { id, secrets }: Run, call: CallOnItsWay): Promise<RunResult | null> {
  call.reply.catch(() => undefined);
  call.directed?.catch(() => undefined);
  if (await watchCall(errand, id, call.reply, patience)) return null;
  return readRunResult(await call.reply, secrets);
}

function isEnd(result: RunResult): boolean {
  if (result.interrupted) return true;
  if (result.attached !== null || result.directive !== null || result.isAsking || result.lacking.length > 0) return false;
  return result.deployment === null || isOver(result.deployment.state) || isUnapproved(result.deployment);
}

/** Whether somebody else is running it, or what is left waits for something that this CALL does not have. */
function isNothingToDo({ attached, directive, isAsking }: RunResult): boolean {
  return directive === null && !isAsking && (attached === null || attached.holder === 'alive');
}

/**
 * Whether a CALL that ended with an error was running the deployment: it died of an error at COMMIT, of a signal between two steps, or because its
 * lease was taken. The next CALL continues; the engine decides how often.
 */
async function hasDied(error: unknown, session: Session, id: string | null, patience: Patience): Promise<boolean> {
  if (!(error instanceof Problem) || !(error.cause instanceof SqlError) || patience.isExhausted) return false;
  const { sqlstate } = error.cause;
  if (sqlstate === 'WF012' || sqlstate === '57014') return true;
  if (sqlstate.startsWith('WF')) return false;
  const sight = await look(session, id, patience).catch(() => null);
  return sight?.isBegun === true;
}

/** The time was over before anything was learnt: one look, a short one. */
async function lookOnce(errand: Errand, id: string | null): Promise<Deployment | null> {
  const patience = new Patience({ deadlineMs: last_look_milliseconds_max });
  const looking = errand.connect().then((session) => look(session, id, patience).finally(() => session.close()));
  looking.catch(() => undefined);
  const sight = await Promise.race([looking, patience.rest(last_look_milliseconds_max).then(() => null)]);
  if (sight === null) throw timeOver();
  return sight.deployment;
}

function holderUnknown({ holder, pid }: NonNullable<RunResult['attached']>): Problem {
  return new Problem(
    'holder_unknown',
    holder === 'silent'
      ? `The lease is held by backend ${pid}, whose client was handed a statement and does nothing; it belongs to a role whose sessions this one may not end. Nothing was changed. End it (pg_terminate_backend), or deploy as that role.`
      : `The lease is held by backend ${pid}, which belongs to a role that this one may not look at. Nothing was changed. Grant pg_read_all_stats to this role, or deploy as the other.`,
  );
}
