/**
 * How results are reported at GitHub: a check run on the commit with remarks at the lines (with a token, which may not create check
 * runs, a commit status), the status of the deployment if there is one, the answer to a job that waits for one, and one comment on the
 * pull request, which is updated and not repeated.
 */
import { type Account, type Change, isAccountOver } from '../../domain/change.ts';
import { approvalIn } from '../account.ts';
import { commentOf, cutText, findOwn, keepFirst, markOf, nameOf } from '../comment.ts';
import type { Reports } from '../forge.ts';
import { makeReports } from '../reports.ts';
import type { GitHubApi } from './api.ts';

/** Who asks: decides which reports can be made, and which comment is our own. */
export type Identity = { readonly app: string } | { readonly token: true };

/** The most that GitHub takes at once. */
const REMARKS_COUNT = 50;
const TEXT_CHARACTERS = 60_000;
const DESCRIPTION_CHARACTERS = 140;
const RULE_CHARACTERS = 5000;

interface Telling {
  readonly api: GitHubApi;
  readonly identity: Identity;
  readonly change: Change;
  readonly account: Account;
  readonly reports: Reports;
  readonly maxCommentPages: number;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Makes each report that fits. Never rejects. */
export function tell(telling: Telling): Promise<{ reports: Reports; error: unknown }> {
  const { identity, change, account, reports } = telling;
  const { event, number } = change;
  const told = `told ${account.state}`;
  const isOf = (one: string) => number !== null && event === one;
  const isApp = 'app' in identity;
  return makeReports(reports, [
    ['check', isApp, () => tellByCheckRun(telling)],
    ['status', !isApp && reports.status !== told, () => tellByCommitStatus(telling)],
    ['deployment', isOf('deployment') && reports.deployment !== told, () => tellByDeployment(telling, number ?? 0)],
    ['rule', isOf('deployment_protection_rule') && isAccountOver(account) && reports.rule !== told, () => tellByRule(telling, number ?? 0)],
    ['comment', isOf('pull_request') && isAccountOver(account), () => tellByComment(telling, number ?? 0)],
  ]);
}

/**
 * GitHub shows the newest check run of a name, and none is ever deleted: so that one is told on, whoever has made it, and what else is open is closed.
 * There is more than one where two messages of one commit were taken up at once, or where an older one has remarks, which it keeps for ever.
 */
async function tellByCheckRun({ api, change, account, reports, now }: Telling): Promise<string> {
  const mark = nameOf(account.name);
  const isOver = isAccountOver(account);
  const completed = { status: 'completed', completed_at: new Date(now).toISOString() };
  const status = isOver ? { ...completed, conclusion: account.state } : { status: account.state === 'waiting' ? 'queued' : 'in_progress' };
  const bodyOf = (withRemarks: boolean) => ({ ...status, output: outputOf(account, withRemarks) });
  const hasRemarks = isOver && account.remarks.length > 0;
  const [known, remarked] = reports.check?.split(' ') ?? [];
  const find = () => api.findCheckRuns(change, account.name, mark);
  let found = await find();
  // A message may have been lost after its effect, so the check run that it made is continued, if it has no remarks.
  const reusable = found[0]?.isRemarked === false ? found[0].id : null;
  let own = known === undefined ? reusable : Number(known);
  const isNew = own === null;
  if (own === null) {
    own = await api.createCheckRun(change, { name: account.name, head_sha: change.commit, external_id: mark, ...bodyOf(hasRemarks) });
    found = await find();
  }
  // Its own remarks are reported on the check run that has them, whatever comes after it.
  const newest = remarked === undefined ? Math.max(own, found[0]?.id ?? 0) : own;
  const isOwn = newest === own;
  // On one that another message has made, only an end is reported: what we know of a beginning may be older than what is there.
  if (isOwn ? !isNew : isOver) {
    const isRemarked = (isOwn && remarked !== undefined) || found.some((run) => run.id === newest && run.isRemarked);
    await api.updateCheckRun(change, newest, bodyOf(hasRemarks && !isRemarked));
  }
  for (const { id, isOpen } of found)
    if (isOpen && id < newest) await api.updateCheckRun(change, id, { ...completed, conclusion: 'neutral', output: TOLD_ELSEWHERE });
  return `${isOver ? newest : own}${hasRemarks ? REMARKED : ''}`;
}

/** Follows the id of a check run that has remarks: GitHub appends those of each update. */
const REMARKED = ' remarked';

const TOLD_ELSEWHERE = { title: 'Another check run of this name tells it', summary: 'Two messages of one commit were taken up at once.' };

function outputOf({ title, text, remarks }: Account, withRemarks: boolean) {
  return { title, summary: cutText(text), ...(withRemarks && { annotations: remarks.slice(0, REMARKS_COUNT).map(annotationOf) }) };
}

function annotationOf({ path, line, level, message }: Account['remarks'][number]) {
  return { path, start_line: line, end_line: line, annotation_level: level, message: message.slice(0, TEXT_CHARACTERS) };
}

const STATUSES = { running: 'pending', waiting: 'pending', success: 'success', failure: 'failure', neutral: 'error' } as const;

async function tellByCommitStatus({ api, change, account }: Telling): Promise<string> {
  await api.setCommitStatus(change, { state: STATUSES[account.state], context: account.name, description: describe(account) });
  return `told ${account.state}`;
}

const DEPLOYMENT_STATES = { running: 'in_progress', waiting: 'pending', success: 'success', failure: 'failure', neutral: 'inactive' } as const;

async function tellByDeployment({ api, change, account }: Telling, number: number): Promise<string> {
  await api.setDeploymentStatus(change, number, { state: DEPLOYMENT_STATES[account.state], description: describe(account) });
  return `told ${account.state}`;
}

/** Only what ran through lets a job start: what was overtaken or cancelled says nothing for it. */
async function tellByRule({ api, change, account }: Telling, run: number): Promise<string> {
  const comment = `${account.title}\n\n${account.text}`.slice(0, RULE_CHARACTERS);
  await api.answerProtectionRule(change, run, { environment_name: change.environment, state: account.state === 'success' ? 'approved' : 'rejected', comment });
  return `told ${account.state}`;
}

async function tellByComment({ api, identity, change, account, reports, maxCommentPages }: Telling, number: number): Promise<string> {
  const body = commentOf(account, change.commit);
  const find = () => findComment(api, identity, change, number, markOf(account), maxCommentPages);
  const known = reports.comment === undefined ? await find() : Number(reports.comment);
  if (known !== null && (await api.updateComment(change, known, body))) return String(known);
  const made = await api.createComment(change, number, body);
  return String(await keepFirst(made, { find, change: (id) => api.updateComment(change, id, body), remove: (id) => api.deleteComment(change, id) }));
}

async function findComment(api: GitHubApi, identity: Identity, change: Change, number: number, mark: string, pages: number): Promise<number | null> {
  const self = 'app' in identity ? null : await api.ownUserId(change);
  return findOwn(
    pages,
    (page) => api.comments(change, number, page),
    ({ body, user, performed_via_github_app: by }) =>
      body?.startsWith(mark) === true && ('app' in identity ? String(by?.id) === identity.app : by == null && user?.id === self),
  );
}

function describe(account: Account): string {
  const command = approvalIn(account);
  const title = command === null ? account.title : `Waits: ${command}`;
  return title.length <= DESCRIPTION_CHARACTERS ? title : `${title.slice(0, DESCRIPTION_CHARACTERS - 1)}…`;
}
