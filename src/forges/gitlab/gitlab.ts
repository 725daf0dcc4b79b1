/** GitLab: its webhooks, and one GitLab (gitlab.com, or a server of one's own) to be asked and told. */
import { readArchive } from '../../bundle/archive.ts';
import type { ForgeSecrets } from '../../config/forge_secrets.ts';
import type { Forge } from '../../config/forges.ts';
import { LIMITS } from '../../domain/limits.ts';
import { readGitLabProof, verifyGitLabProof, verifyGitLabToken } from '../../trust/gitlab_token.ts';
import { Asking, secondsUntil } from '../asking.ts';
import type { Dialect, ForgeClient, ForgeSurroundings } from '../forge.ts';
import { GitLabApi } from './api.ts';
import { confirmChange } from './confirm.ts';
import { readEvent } from './events.ts';
import { tell } from './report.ts';

export const gitlab: Dialect = {
  async proveByHeaders(headers, callers) {
    const proof = readGitLabProof(headers);
    return 'token' in proof ? verifyGitLabToken(proof.token, callers) : null;
  },
  prove: ({ headers, body }, callers, nowSeconds) => verifyGitLabProof(body, readGitLabProof(headers), callers, nowSeconds),
  read: readEvent,
};

/** @param forge of the kind gitlab */
export function connectGitLab(forge: Forge, secrets: ForgeSecrets, { fetch, now, version }: ForgeSurroundings): ForgeClient {
  const asking = new Asking({
    title: 'GitLab',
    api: forge.api,
    archives: new URL(forge.archives).origin,
    headers: { accept: 'application/json, application/octet-stream', 'user-agent': `weft/${version}` },
    readRetry: (answer) => readRetry(answer, now()),
    fetch,
  });
  const api = new GitLabApi(asking, secrets.token ?? '');
  return {
    confirm: (change) => confirmChange(api, change),
    async fetchBundle(change, folder) {
      const repositoryName = folder === '' ? await api.projectPath(change) : '';
      return readArchive({ open: () => api.openArchive(change), folder, repositoryName, commit: change.commit });
    },
    report: (change, account, reports) => tell({ api, change, account, reports, maxNotePages: LIMITS.forge_comment_pages_count }),
  };
}

/** docs.gitlab.com, "Rate limits", "Response headers". */
function readRetry(answer: Response, now: number): number | null {
  if (answer.status !== 429 && answer.status !== 503) return null;
  const after = answer.headers.get('retry-after');
  if (after !== null && /^\d{1,6}$/.test(after)) return Number(after);
  return secondsUntil(answer.headers.get('ratelimit-reset'), now);
}
