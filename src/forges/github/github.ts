/** GitHub: its webhooks, and one GitHub (github.com, or a server of one's own) to be asked and told. */
import { readArchive } from '../../bundle/archive.ts';
import type { ArchivedBundle } from '../../bundle/collected.ts';
import type { ForgeSecrets } from '../../config/forge_secrets.ts';
import type { Forge } from '../../config/forges.ts';
import type { Change } from '../../domain/change.ts';
import { LIMITS } from '../../domain/limits.ts';
import { readHubSignature, verifyHubSignature } from '../../trust/hub_signature.ts';
import { Asking, secondsUntil } from '../asking.ts';
import type { Dialect, ForgeClient, ForgeSurroundings } from '../forge.ts';
import { GitHubApi } from './api.ts';
import { AppTokens } from './app.ts';
import { confirmChange } from './confirm.ts';
import { readEvent, readEventName } from './events.ts';
import { type Identity, tell } from './report.ts';

export const github: Dialect = {
  async proveByHeaders(headers) {
    readHubSignature(headers);
    readEventName(headers);
    return null;
  },
  async prove({ headers, body }, callers) {
    const signature = readHubSignature(headers);
    return { ...(await verifyHubSignature(body, signature, callers)), signature };
  },
  read: readEvent,
};

/** @param forge of the kind github */
export function connectGitHub(forge: Forge, secrets: ForgeSecrets, { fetch, now, version }: ForgeSurroundings): ForgeClient {
  const asking = new Asking({
    title: 'GitHub',
    api: forge.api,
    archives: new URL(forge.archives).origin,
    leadsOn: true, // docs.github.com, "Best practices for using the REST API", "Follow redirects": a repository that was renamed
    headers: {
      accept: 'application/vnd.github+json',
      'x-github-api-version': '2022-11-28',
      // GitHub refuses requests without one, and a Worker's have none.
      'user-agent': `weft/${version}`,
    },
    readRetry: (answer, message) => readRetry(answer, message, now()),
    fetch,
  });
  const { app } = forge;
  const tokens = app !== undefined && secrets.privateKey !== null ? new AppTokens({ ...app, privateKey: secrets.privateKey }, now) : null;
  const identity: Identity = app === undefined ? { token: true } : { app: app.id };
  const authorize = async (repository: string): Promise<string> => `Bearer ${tokens === null ? secrets.token : await tokens.get(asking, repository)}`;
  const api = new GitHubApi(asking, authorize);
  return {
    confirm: (change) => confirmChange(api, change),
    fetchBundle: (change, folder) => fetchBundle(api, change, folder),
    report: (change, account, reports) => tell({ api, identity, change, account, reports, maxCommentPages: LIMITS.forge_comment_pages_count, now: now() }),
  };
}

function fetchBundle(api: GitHubApi, change: Change, folder: string): Promise<ArchivedBundle> {
  const repositoryName = change.repository.name.split('/')[1] ?? '';
  return readArchive({ open: () => api.openArchive(change), list: () => api.listFolder(change, folder), folder, repositoryName, commit: change.commit });
}

/**
 * docs.github.com, "Rate limits for the REST API", "Exceeding the rate limit": 403 or 429, with one of two headers, or for a minute with none. Then
 * only the message tells a 403 from a permission that is missing.
 */
function readRetry(answer: Response, message: string, now: number): number | null {
  const after = answer.headers.get('retry-after');
  if (after !== null && (answer.status === 403 || answer.status === 429 || answer.status === 503)) return /^\d{1,6}$/.test(after) ? Number(after) : 60;
  if (answer.status === 403 && answer.headers.get('x-ratelimit-remaining') !== '0') return /\bsecondary rate limit\b/i.test(message) ? 60 : null;
  if (answer.status !== 403 && answer.status !== 429) return null;
  return secondsUntil(answer.headers.get('x-ratelimit-reset'), now);
}
