/** What waits for a second person: whoever looks at the forge, whichever it is, reads how it is approved. */
import { expect, test } from 'vitest';
import type { Account, Change } from '../../src/domain/change.ts';
import type { AzureApi, Status } from '../../src/forges/azure/api.ts';
import { tell as tellAzure } from '../../src/forges/azure/report.ts';
import type { GitHubApi } from '../../src/forges/github/api.ts';
import { tell as tellGitHub } from '../../src/forges/github/report.ts';
import type { GitLabApi } from '../../src/forges/gitlab/api.ts';
import { tell as tellGitLab } from '../../src/forges/gitlab/report.ts';

const COMMAND = `weft approve 0190a0de-0000-7000-8000-00000000000b --digest ${'a'.repeat(64)}`;
const waiting: Account = {
  name: 'weft: db to shop',
  state: 'waiting',
  title: 'shop waits for approval at shop',
  text: `Somebody other than \`hub\` has to approve it, until tomorrow; then it is cancelled: \`${COMMAND}\``,
  remarks: [],
};
const change = (event: string, number: number | null): Change => ({
  event,
  repository: { id: '7', name: 'octo/shop' },
  commit: 'a'.repeat(40),
  branch: 'main',
  environment: null,
  workflow: null,
  number,
  attempt: null,
});

test('at GitLab a comment on the commit has the command, once; a merge request has it in its note', async () => {
  const comments: string[] = [];
  const notes: string[] = [];
  const api = {
    setCommitStatus: async () => undefined,
    createCommitComment: async (_: Change, note: string) => void comments.push(note),
    ownUserId: async () => 31,
    notes: async () => [],
    createNote: async (_: Change, __: number, body: string) => notes.push(body),
    updateNote: async () => true,
  } as unknown as GitLabApi;
  const telling = { api, change: change('push', null), account: waiting, maxNotePages: 1 };
  const { reports, error } = await tellGitLab({ ...telling, reports: {} });
  expect(error).toBeUndefined();
  await tellGitLab({ ...telling, reports });
  expect(comments).toEqual([expect.stringContaining(COMMAND)]);
  await tellGitLab({ ...telling, change: change('merge_request', 4), reports: {} });
  expect([comments.length, notes]).toEqual([1, [expect.stringContaining(COMMAND)]]);
});

test('at GitHub the statuses of commit and deployment have the command, where a check run cannot be made', async () => {
  const told: object[] = [];
  const api = {
    setCommitStatus: async (_: Change, body: object) => void told.push(body),
    setDeploymentStatus: async (_: Change, __: number, body: object) => void told.push(body),
  } as unknown as GitHubApi;
  await tellGitHub({ api, identity: { token: true }, change: change('deployment', 9), account: waiting, reports: {}, maxCommentPages: 1, now: 0 });
  expect(told).toEqual([
    { state: 'pending', context: waiting.name, description: `Waits: ${COMMAND}` },
    { state: 'pending', description: `Waits: ${COMMAND}` },
  ]);
});

test('at Azure DevOps the status of the commit has the command, as long as there is room', async () => {
  const statuses: Status[] = [];
  const api = { setCommitStatus: async (_: Change, status: Status) => void statuses.push(status) } as unknown as AzureApi;
  await tellAzure({ api, change: change('push', null), account: waiting, reports: {} });
  await tellAzure({ api, change: change('push', null), account: { ...waiting, title: 'x'.repeat(140) }, reports: {} });
  expect(statuses[0]).toMatchObject({ state: 'pending', description: `shop waits for approval at shop: ${COMMAND}` });
  expect(statuses[1]?.description).toBe(`${'x'.repeat(129)}…: ${COMMAND}`);
  expect(statuses[1]?.description.length).toBeLessThanOrEqual(255);
});
