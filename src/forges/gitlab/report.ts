/**
 * How results are reported at GitLab: a commit status; a comment on the commit for a failure, or for what waits for somebody, if no
 * merge request is told of it; the status of a deployment that was created through the API; and one note on the merge request, which is
 * updated and not repeated.
 */
import { type Account, type Change, isAccountOver } from '../../domain/change.ts';
import { Problem } from '../../domain/problem.ts';
import { commentOf, findOwn, keepFirst, markOf } from '../comment.ts';
import type { Reports } from '../forge.ts';
import { makeReports } from '../reports.ts';
import type { GitLabApi } from './api.ts';

const DESCRIPTION_CHARACTERS = 255;
/** A status that was running goes back to no other: then its text alone would be new, and GitLab keeps the old one. */
const STATUSES = { running: 'running', waiting: 'pending', success: 'success', failure: 'failed', neutral: 'canceled' } as const;

interface Telling {
  readonly api: GitLabApi;
  readonly change: Change;
  readonly account: Account;
  readonly reports: Reports;
  readonly maxNotePages: number;
}

/** Makes each report that fits; one that fails keeps no other from being made. Never rejects. */
export async function tell({ api, change, account, reports, maxNotePages }: Telling): Promise<{ reports: Reports; error: unknown }> {
  const { event, number } = change;
  const isOver = isAccountOver(account);
  const told = `told ${account.state}`;
  const isOf = (one: string) => number !== null && event === one;
  return makeReports(reports, [
    ['status', reports.status !== told, () => setStatus(api, change, account).then(() => told)],
    [
      'deployment',
      isOf('deployment') && reports.deployment !== told && isOver,
      () => api.setDeploymentStatus(change, number ?? 0, STATUSES[account.state]).then(() => told),
    ],
    ['note', isOf('merge_request') && (isOver || account.state === 'waiting'), () => tellByNote(api, change, account, reports, number ?? 0, maxNotePages)],
    [
      'comment',
      !isOf('merge_request') && (account.state === 'failure' || account.state === 'waiting') && reports.comment !== told,
      () => api.createCommitComment(change, commentOf(account, change.commit)).then(() => told),
    ],
  ]);
}

async function setStatus(api: GitLabApi, change: Change, account: Account): Promise<void> {
  const description = account.title.slice(0, DESCRIPTION_CHARACTERS);
  try {
    await api.setCommitStatus(change, { state: STATUSES[account.state], name: account.name, description });
  } catch (error) {
    // GitLab refuses what a status is already.
    if (!(error instanceof Problem && error.facts.status_of_forge === 400 && /Cannot transition status/.test(error.message))) throw error;
  }
}

async function tellByNote(api: GitLabApi, change: Change, account: Account, reports: Reports, number: number, pages: number): Promise<string> {
  const body = commentOf(account, change.commit);
  const find = () => findNote(api, change, number, markOf(account), pages);
  const known = reports.note === undefined ? await find() : Number(reports.note);
  if (known !== null && (await api.updateNote(change, number, known, body))) return String(known);
  const made = await api.createNote(change, number, body);
  return String(await keepFirst(made, { find, change: (id) => api.updateNote(change, number, id, body), remove: (id) => api.deleteNote(change, number, id) }));
}

async function findNote(api: GitLabApi, change: Change, number: number, mark: string, pages: number): Promise<number | null> {
  const self = await api.ownUserId();
  return findOwn(
    pages,
    (page) => api.notes(change, number, page),
    ({ body, author, system }) => system !== true && author?.id === self && body?.startsWith(mark) === true,
  );
}
