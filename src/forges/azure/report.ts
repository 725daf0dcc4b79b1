/**
 * How results are reported at Azure DevOps: a status of the commit; for a pull request a status that a policy of its branch may
 * require, and one thread, whose comment is updated and not repeated. A thread stays open while it reports a failure.
 */
import { type Account, type Change, isAccountOver } from '../../domain/change.ts';
import { approvalIn } from '../account.ts';
import { commentOf, keepFirst, markOf } from '../comment.ts';
import type { Reports } from '../forge.ts';
import { makeReports } from '../reports.ts';
import type { AzureApi, Status } from './api.ts';

const DESCRIPTION_CHARACTERS = 255;
const GENRE = 'weft';
/** `notApplicable` would be as good as a success to a policy. */
const STATES = { running: 'pending', waiting: 'pending', success: 'succeeded', failure: 'failed', neutral: 'error' } as const;

interface Telling {
  readonly api: AzureApi;
  readonly change: Change;
  readonly account: Account;
  readonly reports: Reports;
}

/** Makes each report that fits; one that fails keeps no other from being made. Never rejects. */
export function tell(telling: Telling): Promise<{ reports: Reports; error: unknown }> {
  const { api, change, account, reports } = telling;
  const { event, number } = change;
  const told = `told ${account.state}`;
  const isOver = isAccountOver(account);
  const pullRequest = event === 'pull_request' ? number : null;
  return makeReports(reports, [
    ['status', reports.status !== told, () => api.setCommitStatus(change, statusOf(account)).then(() => told)],
    [
      'pull_request_status',
      pullRequest !== null && !isOver && reports.pull_request_status !== told,
      () => tellByStatus(telling, pullRequest ?? 0).then(() => told),
    ],
    // Its status is set again with it: the answer says who we are.
    ['thread', pullRequest !== null && isOver, () => tellByThread(telling, pullRequest ?? 0)],
  ]);
}

async function tellByStatus({ api, change, account }: Telling, number: number): Promise<string> {
  return api.setPullRequestStatus(change, number, await api.iteration(change, number), statusOf(account));
}

/** @returns `THREAD COMMENT` */
async function tellByThread(telling: Telling, number: number): Promise<string> {
  const { api, change, account, reports } = telling;
  const self = await tellByStatus(telling, number);
  const content = commentOf(account, change.commit);
  const state = account.state === 'failure' ? 'active' : 'closed';
  const find = () => findThread(api, change, number, markOf(account), self);
  const rewrite = async (known: string): Promise<boolean> => {
    const [thread, comment] = partsOf(known);
    if (!(await api.updateComment(change, number, thread, comment, content))) return false;
    await api.updateThread(change, number, thread, state);
    return true;
  };
  const known = reports.thread ?? (await find());
  if (known !== null && (await rewrite(known))) return known;
  const { id, comments } = await api.createThread(change, number, content, state);
  return keepFirst(`${id} ${comments?.[0]?.id ?? 1}`, { find, change: rewrite, remove: (made) => api.deleteComment(change, number, ...partsOf(made)) });
}

function partsOf(known: string): [thread: number, comment: number] {
  const [thread = 0, comment = 0] = known.split(' ').map(Number);
  return [thread, comment];
}

/** Anybody may write our mark into a text, so the author counts. */
async function findThread(api: AzureApi, change: Change, number: number, mark: string, self: string): Promise<string | null> {
  const threads = await api.threads(change, number);
  for (const { id, isDeleted, comments } of threads.sort((a, b) => a.id - b.id)) {
    const first = comments?.[0];
    if (isDeleted || first === undefined || first.isDeleted) continue;
    if (first.author?.id === self && first.content?.startsWith(mark)) return `${id} ${first.id}`;
  }
  return null;
}

/** A push has no place for more than a line: so the line says where it failed, and how it is approved, too. */
function statusOf(account: Account): Status {
  const {
    state,
    name,
    title,
    remarks: [remark],
  } = account;
  const command = approvalIn(account);
  if (command !== null) {
    const room = DESCRIPTION_CHARACTERS - command.length - 2;
    const said = title.length <= room ? title : `${title.slice(0, room - 1)}…`;
    return { state: STATES[state], description: `${said}: ${command}`, context: { genre: GENRE, name } };
  }
  const where = state === 'failure' && remark !== undefined ? `. ${remark.path}:${remark.line}: ${remark.message}` : '';
  const description = `${title}${where}`.replace(/\s+/g, ' ');
  const cut = description.length <= DESCRIPTION_CHARACTERS ? description : `${description.slice(0, DESCRIPTION_CHARACTERS - 1)}…`;
  return { state: STATES[state], description: cut, context: { genre: GENRE, name } };
}
