/** What a deployment that is not over waits for, and who holds it; or how far its index or its batch is. Pure. */
import type { Deployment, Live } from '../domain/deployment.ts';
import { approvalWait } from './approved.ts';
import { count, cut, duration, oneLine, preparedOf } from './text.ts';

export const HELD_BY_STANDBY =
  'A commit in this database waits for a synchronous standby that does not confirm it (wait event SyncRep): until then it gives no answer, and nobody sees what it has written. Bring the standby back; or, as an administrator, take it out of synchronous_standby_names and reload the configuration. Then it goes on by itself.';

/** Characters of the statement of somebody who has a lock. */
const QUERY_WIDTH = 80;

/**
 * What it waits for, or how far it is with an index, in a sentence; null when it is simply at work.
 * @param withNumbers also those that change from look to look
 */
export function waitOf(deployment: Deployment, withNumbers = true): string | null {
  const { state, cancelling, cleaning } = deployment;
  const wait = plainWaitOf(deployment, withNumbers);
  if (state !== 'running' || !(cancelling || cleaning)) return wait;
  // It only comes to its end any more. For whom that waits stands in front: a narrow terminal cuts the rest.
  const parts = [cancelling ? 'cancelling' : 'failing', wait];
  if (cleaning) {
    const { path, line, sent, error } = cleaning;
    const left = `what ${path}${line ? `:${line}` : ''} has left half-made`;
    parts.push(sent, deployment.live === null ? `${left} is not all taken away` : `taking away ${left}`, `${error.sqlstate}: ${error.message}`);
  }
  return parts.filter((part) => part !== null).join('; ');
}

function plainWaitOf(deployment: Deployment, withNumbers: boolean): string | null {
  const { live, ahead } = deployment;
  const approval = approvalWait(deployment);
  if (approval !== null) return approval;
  if (live?.build) {
    const held = live.blocked_by.length === 0 ? '' : `, held by ${backendsOf(live, withNumbers)}`;
    // What is built at the first try, and held up by nobody, tries nothing.
    const tries = held === '' && live.attempt?.number === 1 ? '' : attemptOf(live);
    return `${buildOf(live.build, withNumbers)}${held}${tries}`;
  }
  if (live !== null && live.blocked_by.length > 0) return `waits for ${holdersOf(live, withNumbers)}${attemptOf(live)}`;
  // Disk and internal locks come and go many times a second: that is work, not waiting.
  if (live?.waiting_for && !/^(IO|LWLock|Client|IPC)\b/.test(live.waiting_for)) return `waits for ${wantedOf(live)}`;
  if (ahead.length > 0) return `in line behind ${count(ahead.length, 'deployment')}, first ${ahead[0]}`;
  const round = live === null ? null : roundOf(deployment, withNumbers);
  if (round !== null) return round;
  // The pause between two tries holds nothing, and waits for nobody that could be seen.
  if (live?.attempt && live.attempt.number > 1 && !live.handed_out) return `a lock was not granted${attemptOf(live)}`;
  if (live === null && deployment.state === 'staged') return 'everything is in the database; about to start';
  if (live === null && deployment.state === 'running') return 'no backend is at work on it right now';
  return null;
}

/** How far the running batch is. Without numbers, only who makes it slow down. */
function roundOf({ phases, live }: Deployment, withNumbers: boolean): string | null {
  const batch = phases.find(({ name }) => name === live?.phase)?.steps.find(({ path, state }) => path === live?.path && state === 'pending')?.batch;
  if (!batch) return null;
  const { rounds, rows, size, rows_per_second, table, table_rows_estimate, throttled_by } = batch;
  const slower = throttled_by === null ? null : `goes slower: ${oneLine(throttled_by.why)}`;
  if (!withNumbers) return slower;
  const speed = rows_per_second === null ? [] : [`${Math.round(rows_per_second)} rows/s`];
  const all = table === null || table_rows_estimate === null ? [] : [`${oneLine(table)} had about ${table_rows_estimate}`];
  const parts = [count(rounds, 'round'), count(rows, 'row'), ...speed, `next of ${size}`, ...all, ...(slower === null ? [] : [slower])];
  return parts.join(', ');
}

/** What a backend waits for, and who has it. */
export function holdersOf(live: Live, withNumbers = true): string {
  return `${wantedOf(live)}${isForOthers(live) ? ':' : ', held by'} ${backendsOf(live, withNumbers)}`;
}

/** The lock by its mode and its object, where that is known; otherwise what the server calls such a wait. */
function wantedOf({ waiting_for, waiting_on }: Live): string {
  return waiting_on?.object ? `${waiting_on.mode} on ${oneLine(waiting_on.object)}` : (waiting_for ?? 'a lock');
}

/** Whether it looks again and again, and holds nothing meanwhile. */
function isForOthers({ waiting_for }: Live): boolean {
  return /^others /.test(waiting_for ?? '');
}

function buildOf({ table, phase, done, total, unit }: NonNullable<Live['build']>, withNumbers: boolean): string {
  const numbers = withNumbers && unit !== null && done !== null && total !== null ? `, ${done} of ${count(total, unit.replace(/s$/, ''))}` : '';
  // A table that is not committed yet has a number for whoever looks, and no name.
  return `index of ${/^\d+$/.test(table) ? 'a new table' : table}: ${phase}${numbers}`;
}

/** @param withNumbers also for how long, and what a busy session is at, which changes from look to look */
function backendsOf({ blocked_by, blockers }: Live, withNumbers: boolean): string {
  const pids = blocked_by.filter((pid) => pid !== 0);
  const backends = pids.map((pid) => {
    const holder = blockers?.find((session) => session.pid === pid);
    if (holder === undefined) return `${pid}`;
    const { application, role, kind, state, state_seconds, transaction_seconds, query } = holder;
    const isIdle = state?.startsWith('idle') ?? false;
    const since = withNumbers && state_seconds ? ` for ${duration(Math.max(0, state_seconds) * 1000)}` : '';
    // How long it has had its locks, at most; what it does now may have begun later.
    const isOlder = (transaction_seconds ?? 0) >= (state_seconds ?? 0) + 1;
    const facts = [
      ...(kind ? [kind] : []),
      ...(application ? [application] : []),
      ...(role ? [`role ${role}`] : []),
      ...(state && (withNumbers || isIdle) ? [`${state}${since}`] : []),
      ...(withNumbers && isOlder ? [`its transaction open for ${duration((transaction_seconds ?? 0) * 1000)}`] : []),
    ];
    const what = query && (withNumbers || isIdle) ? `: ${cut(oneLine(query), QUERY_WIDTH)}` : '';
    return `${pid}${facts.length === 0 ? '' : ` (${facts.join(', ')}${what})`}`;
  });
  const prepared = (blockers ?? []).flatMap(({ prepared: id, role, transaction_seconds }) => {
    if (!id) return [];
    const since = withNumbers && transaction_seconds ? `, prepared ${duration(Math.max(0, transaction_seconds) * 1000)} ago` : '';
    return [`${preparedOf(id)} (${role ? `role ${role}${since}; ` : ''}rollback prepared, or commit prepared, ends it)`];
  });
  const unnamed = prepared.length === 0 && pids.length < blocked_by.length ? ['a prepared transaction'] : [];
  return [...(backends.length === 0 ? [] : [`backend ${backends.join(', ')}`]), ...prepared, ...unnamed].join(', ');
}

/** A statement that was handed out mostly waits without a limit, in its first try. */
function attemptOf(live: Live): string {
  const { attempt, handed_out } = live;
  if (!attempt || isForOthers(live) || (handed_out && attempt.number === 1)) return '';
  return `, try ${attempt.number} of ${attempt.of}`;
}
