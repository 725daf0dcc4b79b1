/** Azure DevOps: its service hooks, and one organisation (or a collection of a server of one's own) to be asked and told. */
import { readGitTree } from '../../bundle/git_tree.ts';
import type { ForgeSecrets } from '../../config/forge_secrets.ts';
import type { Forge } from '../../config/forges.ts';
import { readAzureProof, verifyAzureProof } from '../../trust/azure_token.ts';
import { Asking, type Fetch, secondsUntil } from '../asking.ts';
import type { Dialect, ForgeClient, ForgeSurroundings } from '../forge.ts';
import { AzureApi } from './api.ts';
import { confirmChange } from './confirm.ts';
import { readEvent } from './events.ts';
import { tell } from './report.ts';

export const azure: Dialect = {
  proveByHeaders: async (headers, callers) => verifyAzureProof(readAzureProof(headers), callers),
  prove: ({ headers }, callers) => verifyAzureProof(readAzureProof(headers), callers),
  read: readEvent,
};

/** @param forge of the kind azure */
export function connectAzure(forge: Forge, secrets: ForgeSecrets, { fetch: send, now, version }: ForgeSurroundings): ForgeClient {
  const asking = new Asking({
    title: 'Azure DevOps',
    api: forge.api,
    archives: new URL(forge.archives).origin,
    headers: {
      accept: 'application/json',
      'user-agent': `weft/${version}`,
      // Else a token that is not accepted is answered with the page to sign in.
      'x-tfs-fedauthredirect': 'Suppress',
    },
    readRetry: (answer) => readRetry(answer, now()),
    fetch: refuseSignIn(send),
  });
  const api = new AzureApi(asking, secrets.token ?? '');
  return {
    confirm: (change) => confirmChange(api, change),
    async fetchBundle(change, folder) {
      const repositoryName = folder === '' ? ((await api.repository(change))?.name ?? '') : '';
      return readGitTree({
        folder,
        commit: change.commit,
        repositoryName,
        findRoot: () => api.treeOf(change),
        list: (tree, deep) => api.listTree(change, tree, deep),
        openMany: (ids) => api.openBlobs(change, ids),
        openOne: (id) => api.openBlob(change, id),
      });
    },
    report: (change, account, reports) => tell({ api, change, account, reports }),
  };
}

/** A token that has expired is answered with 203, and a page for people in place of what was asked for. */
function refuseSignIn(send: Fetch): Fetch {
  return async (address, init) => {
    const answer = await send(address, init);
    if (answer.status !== 203) return answer;
    await answer.body?.cancel();
    return Response.json({ message: 'The token is not accepted; it may have expired.' }, { status: 401 });
  };
}

/** learn.microsoft.com, "Rate and usage limits": what is delayed says Retry-After too, and is an answer all the same. */
function readRetry(answer: Response, now: number): number | null {
  if (answer.status !== 429 && answer.status !== 503) return null;
  const after = answer.headers.get('retry-after');
  if (after !== null && /^\d{1,6}$/.test(after)) return Number(after);
  return secondsUntil(answer.headers.get('x-ratelimit-reset'), now);
}
