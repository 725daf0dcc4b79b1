/**
 * How GitHub's people are told: a check run on the commit with remarks at the lines (a commit status where a token asks, which may not make check
 * runs), the status of the deployment where one was asked for, and one comment on the pull request, which is changed and not repeated.
 */
import type { Account, Change } from '../../domain/change.ts';
import { Problem } from '../../domain/problem.ts';
import type { Reports } from '../forge.ts';
import type { GitHubApi } from './api.ts';

/** Who asks: decides which reports can be made, and which comment is our own. */
export type Identity = { readonly app: string } | { readonly token: true };

/** GitHub takes no more at once. */
const REMARKS_COUNT = 50;
const TEXT_CHARACTERS = 60_000;
const DESCRIPTION_CHARACTERS = 140;

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

/** Makes each report that fits; one that fails keeps no other from being made. Never rejects. */
export async function tell(telling: Telling): Promise<{ reports: Reports; error: unknown }> {
  const { identity, change, account } = telling;
  const left: Record<string, string> = { ...telling.reports };
  const errors: unknown[] = [];
  const trying = async (key: string, work: () => Promise<string>): Promise<void> => {
    try {
      left[key] = await work();
    } catch (error) {
      errors.push(error);
    }
  };
  const isTold = (key: string): boolean => left[key] === `told ${account.state}`;
  if ('app' in identity) await trying('check', () => tellByCheckRun(telling));
  else if (!isTold('status')) await trying('status', () => tellByCommitStatus(telling));
  const { event, number } = change;
  if (event === 'deployment' && number !== null && !isTold('deployment')) await trying('deployment', () => tellByDeployment(telling, number));
  if (event === 'pull_request' && number !== null && account.state !== 'running') await trying('comment', () => tellByComment(telling, number));
  // One that passes is worth another try of all.
  return { reports: left, error: errors.find((error) => !(error instanceof Problem && error.slug === 'forge_refused')) ?? errors[0] };
}

async function tellByCheckRun({ api, change, account, reports, now }: Telling): Promise<string> {
  const mark = markOf(account);
  const isOver = account.state !== 'running';
  const body = {
    ...(isOver ? { status: 'completed', conclusion: account.state, completed_at: new Date(now).toISOString() } : { status: 'in_progress' }),
    output: {
      title: account.title,
      summary: cut(account.text),
      ...(isOver && account.remarks.length > 0 ? { annotations: account.remarks.slice(0, REMARKS_COUNT).map(annotationOf) } : {}),
    },
  };
  // A message that was lost behind its effect: so what was made is looked for before it is made.
  const known = reports.check === undefined ? await api.findCheckRun(change, account.name, mark) : Number(reports.check);
  if (known === null) return String(await api.createCheckRun(change, { name: account.name, head_sha: change.commit, external_id: mark, ...body }));
  await api.updateCheckRun(change, known, body);
  return String(known);
}

function annotationOf({ path, line, level, message }: Account['remarks'][number]) {
  return { path, start_line: line, end_line: line, annotation_level: level, message: message.slice(0, TEXT_CHARACTERS) };
}

const STATUSES = { running: 'pending', success: 'success', failure: 'failure', neutral: 'error' } as const;

async function tellByCommitStatus({ api, change, account }: Telling): Promise<string> {
  await api.setCommitStatus(change, { state: STATUSES[account.state], context: account.name, description: describe(account) });
  return `told ${account.state}`;
}

const DEPLOYMENT_STATES = { running: 'in_progress', success: 'success', failure: 'failure', neutral: 'inactive' } as const;

async function tellByDeployment({ api, change, account }: Telling, number: number): Promise<string> {
  await api.setDeploymentStatus(change, number, { state: DEPLOYMENT_STATES[account.state], description: describe(account) });
  return `told ${account.state}`;
}

async function tellByComment({ api, identity, change, account, reports, maxCommentPages }: Telling, number: number): Promise<string> {
  const mark = `<!-- ${markOf(account)} -->`;
  const body = `${mark}\n**${literal(account.name)}**: ${literal(account.title)}\n\n${cut(account.text)}\n\nAt ${change.commit}.`;
  const known = reports.comment === undefined ? await findComment(api, identity, change, number, mark, maxCommentPages) : Number(reports.comment);
  if (known !== null && (await api.updateComment(change, known, body))) return String(known);
  return String(await api.createComment(change, number, body));
}

/** The own one only: anybody may write our mark into a comment. */
async function findComment(api: GitHubApi, identity: Identity, change: Change, number: number, mark: string, pages: number): Promise<number | null> {
  const self = 'app' in identity ? null : await api.ownUserId(change);
  for (let page = 1; page <= pages; page++) {
    const comments = await api.comments(change, number, page);
    const own = comments.find(
      ({ body, user, performed_via_github_app: by }) =>
        body?.startsWith(mark) === true && ('app' in identity ? String(by?.id) === identity.app : by == null && user?.id === self),
    );
    if (own !== undefined) return own.id;
    if (comments.length < 100) return null;
  }
  return null;
}

function markOf({ name }: Account): string {
  return name.replaceAll('--', '- -').slice(0, 255);
}

function describe({ title }: Account): string {
  return title.length <= DESCRIPTION_CHARACTERS ? title : `${title.slice(0, DESCRIPTION_CHARACTERS - 1)}…`;
}

function cut(text: string): string {
  return text.length <= TEXT_CHARACTERS ? text : `${text.slice(0, TEXT_CHARACTERS)}\n\n… cut here`;
}

function literal(text: string): string {
  return text.replace(/[\\`*_{}[\]<>()#!|@~&]/g, '\\$&');
}
