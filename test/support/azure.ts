/**
 * Azure DevOps, as far as Weft asks it: written from learn.microsoft.com/rest/api/azure/devops (7.1) and "Service hook events", on 127.0.0.1. It verifies the
 * token and the version, keeps what it is told, refuses what its documentation does not take, has git's objects with their ids, sends service hooks with
 * either proof, and fails when a test says so.
 */
import { createHash, randomUUID } from 'node:crypto';
import { type Answer, type Failure, startDouble } from './double.ts';
import { type GitObjects, listTree, makeGitObjects } from './git_objects.ts';
import type { ArchiveFiles } from './github.ts';
import { makeZip, type ZipFile } from './zips.ts';

export const AZURE_TOKEN = 'azure-pat-of-the-tests-only';
const USER_ID = 'd6245f20-2af8-44f4-9451-8107cb2767db';
export const PROJECT_ID = '6ce954b1-ce1f-45d1-b94d-e6bf2464ba2c';
export const REPOSITORY_ID = '278d5cd2-584d-4b63-824a-2ba458937249';

// biome-ignore lint/suspicious/noExplicitAny: a double holds whatever it was told
type Any = any;

export interface Azure {
  /** The root of the API: an organisation. */
  readonly api: string;
  readonly branches: Map<string, string>;
  readonly objects: Map<string, GitObjects>;
  readonly pullRequests: Map<number, { status: string; sha: string; source: string; target: string; forkSource?: object }>;
  readonly builds: Map<number, Any>;
  readonly statuses: Any[];
  readonly pullRequestStatuses: Any[];
  readonly threads: Any[];
  readonly asked: string[];
  readonly faults: string[];
  fail(failure: Failure): void;
  /** Bends what the next zip holds. */
  bendZip(bend: (files: ZipFile[]) => ZipFile[]): void;
  commit(files: ArchiveFiles, branch?: string): string;
  push(...branches: string[]): Any;
  pullRequest(number: number, eventType?: string): Any;
  build(id: number): Any;
  stop(): Promise<void>;
}

/** A service hook as Azure DevOps sends it. @param by a header of our own, or Basic authentication */
export function deliverFromAzure(payload: object, secret: string, by: 'header' | 'basic' = 'header'): { headers: Record<string, string>; body: string } {
  const proof = by === 'header' ? { 'x-weft-token': secret } : { authorization: `Basic ${Buffer.from(`weft:${secret}`).toString('base64')}` };
  return { headers: { 'content-type': 'application/json; charset=utf-8', 'user-agent': 'VSServices/19.1', ...proof }, body: JSON.stringify(payload) };
}

const STATES = ['notSet', 'pending', 'succeeded', 'failed', 'error', 'notApplicable'];
const isStatus = (body: Any) =>
  STATES.includes(body.state) &&
  typeof body.context?.name === 'string' &&
  body.context.name !== '' &&
  typeof body.context.genre === 'string' &&
  body.description.length <= 255;

export async function startAzure(): Promise<Azure> {
  const branches: Azure['branches'] = new Map();
  const objects: Azure['objects'] = new Map();
  const pullRequests: Azure['pullRequests'] = new Map();
  const builds: Azure['builds'] = new Map();
  const [statuses, pullRequestStatuses, threads, faults]: [Any[], Any[], Any[], string[]] = [[], [], [], []];
  const bends: Parameters<Azure['bendZip']>[0][] = [];
  let counter = 100;
  const project = { id: PROJECT_ID, name: 'Shop', state: 'wellFormed' };
  const repository = { id: REPOSITORY_ID, name: 'shop', project, defaultBranch: 'refs/heads/main' };
  const notFound: Answer = [404, { message: 'TF401019: It does not exist, or you may not see it.' }];
  const given = (found: unknown): Answer => (found === undefined || found === null ? notFound : [200, found]);
  const list = (value: readonly unknown[]): Answer => [200, { count: value.length, value }];
  const blobOf = (id: string) => [...objects.values()].map(({ blobs }) => blobs.get(id)).find((found) => found !== undefined);
  const documentOf = (number: number) => {
    const found = pullRequests.get(number);
    if (found === undefined) return undefined;
    return {
      repository,
      pullRequestId: number,
      status: found.status,
      sourceRefName: `refs/heads/${found.source}`,
      targetRefName: `refs/heads/${found.target}`,
      mergeStatus: 'succeeded',
      lastMergeSourceCommit: { commitId: found.sha },
      ...(found.forkSource === undefined ? {} : { forkSource: found.forkSource }),
    };
  };

  type Route = readonly [method: string, path: RegExp, take: (asked: { ids: string[]; body: Any; query: URLSearchParams }) => Answer];
  const routes: readonly Route[] = [
    ['GET', /^$/, () => [200, repository]],
    [
      'GET',
      /^\/refs$/,
      ({ query }) =>
        list(
          [...branches]
            .filter(([name]) => `heads/${name}`.startsWith(query.get('filter') ?? ''))
            .map(([name, objectId]) => ({ name: `refs/heads/${name}`, objectId })),
        ),
    ],
    ['GET', /^\/commits\/([0-9a-f]{40})$/, ({ ids: [id = ''] }) => given(objects.has(id) ? { commitId: id, treeId: objects.get(id)?.root } : undefined)],
    [
      'GET',
      /^\/trees\/([0-9a-f]{40})$/,
      ({ ids: [id = ''], query }) => {
        const found = [...objects.values()].map((one) => listTree(one, id, query.get('recursive') === 'true')).find((one) => one !== null);
        return given(found === undefined ? undefined : { objectId: id, treeEntries: found });
      },
    ],
    ['GET', /^\/pullRequests\/(\d+)$/, ({ ids: [id] }) => given(documentOf(Number(id)))],
    [
      'GET',
      /^\/pullRequests\/(\d+)\/iterations$/,
      ({ ids: [id] }) =>
        list([
          { id: 1, sourceRefCommit: { commitId: 'e'.repeat(40) } },
          { id: 2, sourceRefCommit: { commitId: pullRequests.get(Number(id))?.sha } },
        ]),
    ],
    [
      'POST',
      /^\/commits\/([0-9a-f]{40})\/statuses$/,
      ({ ids: [sha], body }) => {
        if (!isStatus(body)) return [400, { message: 'The status is not valid.' }];
        statuses.push({ sha, ...body });
        return [201, { id: ++counter, ...body, createdBy: { id: USER_ID } }];
      },
    ],
    [
      'POST',
      /^\/pullRequests\/(\d+)\/statuses$/,
      ({ ids: [number], body }) => {
        if (!isStatus(body)) return [400, { message: 'The status is not valid.' }];
        pullRequestStatuses.push({ number: Number(number), ...body });
        return [200, { id: ++counter, ...body, createdBy: { id: USER_ID.toUpperCase() } }];
      },
    ],
    ['GET', /^\/pullRequests\/(\d+)\/threads$/, ({ ids: [number] }) => list(threads.filter((one) => one.number === Number(number)))],
    [
      'POST',
      /^\/pullRequests\/(\d+)\/threads$/,
      ({ ids: [number], body }) => {
        if (!['active', 'closed', 'fixed', 'pending', 'wontFix', 'byDesign'].includes(body.status) || body.comments?.length !== 1)
          return [400, { message: 'invalid' }];
        const comments = body.comments.map((one: Any) => ({ id: 1, ...one, author: { id: USER_ID } }));
        const thread = { id: ++counter, number: Number(number), status: body.status, comments, isDeleted: false };
        threads.push(thread);
        return [200, thread];
      },
    ],
    [
      'PATCH',
      /^\/pullRequests\/(\d+)\/threads\/(\d+)$/,
      ({ ids: [, id], body }) => {
        const thread = threads.find((one) => one.id === Number(id));
        return given(thread === undefined ? undefined : Object.assign(thread, { status: body.status }));
      },
    ],
    [
      'DELETE',
      /^\/pullRequests\/(\d+)\/threads\/(\d+)\/comments\/(\d+)$/,
      ({ ids: [, id, comment] }) => {
        const found = threads.find((one) => one.id === Number(id))?.comments.find((one: Any) => one.id === Number(comment));
        return given(found === undefined ? undefined : Object.assign(found, { isDeleted: true, content: null }));
      },
    ],
    [
      'PATCH',
      /^\/pullRequests\/(\d+)\/threads\/(\d+)\/comments\/(\d+)$/,
      ({ ids: [, id, comment], body }) => {
        const found = threads.find((one) => one.id === Number(id))?.comments.find((one: Any) => one.id === Number(comment));
        if (found !== undefined && found.author.id !== USER_ID) return [403, { message: 'You may change your own comments alone.' }];
        return given(found === undefined ? undefined : Object.assign(found, { content: body.content }));
      },
    ],
  ];

  const { origin, asked, fail, stop } = await startDouble(({ method, url, text, request, response, send }) => {
    if (request.headers.authorization !== `Basic ${Buffer.from(`:${AZURE_TOKEN}`).toString('base64')}`) {
      return response.writeHead(203, { 'content-type': 'text/html' }).end('<html>Azure DevOps Services | Sign In</html>');
    }
    if (url.searchParams.get('api-version') !== '7.1') faults.push(`${method} ${url.pathname}: no api-version`);
    const ofBuild = /^\/fabrikam\/([^/]+)\/_apis\/build\/builds\/(\d+)$/.exec(url.pathname);
    if (ofBuild !== null) return send(ofBuild[1] === PROJECT_ID ? given(builds.get(Number(ofBuild[2]))) : notFound);
    const prefix = `/fabrikam/_apis/git/repositories/${REPOSITORY_ID}`;
    if (!url.pathname.startsWith(prefix)) return send(notFound);
    const rest = url.pathname.slice(prefix.length);
    if (method === 'POST' && rest === '/blobs') {
      if (request.headers.accept !== 'application/zip') return send([400, { message: 'Accept' }]);
      const ids = JSON.parse(text) as string[];
      const files = ids.map((id): ZipFile => ({ name: id, content: blobOf(id) ?? Buffer.alloc(0) }));
      return response.writeHead(200, { 'content-type': 'application/zip' }).end(makeZip(bends.shift()?.(files) ?? files));
    }
    const blob = method === 'GET' ? /^\/blobs\/([0-9a-f]{40})$/.exec(rest) : null;
    if (blob !== null) {
      const bytes = blobOf(blob[1] ?? '');
      if (bytes === undefined || url.searchParams.get('$format') !== 'octetStream') return send(notFound);
      return response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(bytes);
    }
    for (const [wanted, pattern, take] of routes) {
      const found = wanted === method ? pattern.exec(rest) : null;
      if (found !== null) return send(take({ ids: found.slice(1), body: text === '' ? {} : JSON.parse(text), query: url.searchParams }));
    }
    faults.push(`${method} ${url.pathname}: the documentation has no such route`);
    return send(notFound);
  });
  const event = (eventType: string, resourceVersion: string, resource: unknown) => ({
    subscriptionId: '00000000-0000-0000-0000-000000000001',
    notificationId: ++counter,
    id: randomUUID(),
    eventType,
    publisherId: 'tfs',
    message: { text: 'Somebody did something.' },
    resource,
    resourceVersion,
    resourceContainers: { collection: { id: randomUUID() }, account: { id: randomUUID() }, project: { id: PROJECT_ID } },
    createdDate: '2026-11-29T10:00:00.000Z',
  });

  return {
    api: `${origin}/fabrikam`,
    branches,
    objects,
    pullRequests,
    builds,
    statuses,
    pullRequestStatuses,
    threads,
    asked,
    faults,
    fail,
    bendZip: (bend) => void bends.push(bend),
    commit(files, branch = 'main') {
      const made = makeGitObjects(files);
      const sha = createHash('sha1').update(`${made.root} ${objects.size}`).digest('hex');
      objects.set(sha, made);
      branches.set(branch, sha);
      return sha;
    },
    push: (...pushed) =>
      event('git.push', '1.0', {
        commits: [],
        refUpdates: (pushed.length === 0 ? ['main'] : pushed).map((branch) => ({
          name: `refs/heads/${branch}`,
          oldObjectId: 'd'.repeat(40),
          newObjectId: branches.get(branch) ?? '0'.repeat(40),
        })),
        repository,
        pushedBy: { id: USER_ID },
        pushId: 14,
      }),
    pullRequest: (number, eventType = 'git.pullrequest.created') => event(eventType, '1.0', documentOf(number)),
    build: (id) => event('build.complete', '2.0', builds.get(id)),
    stop,
  };
}

/** A build of the pipeline 12 that has succeeded. */
export function buildOf(id: number, sha: string, branch: string, changes: object = {}): object {
  return {
    id,
    buildNumber: `20261129.${id}`,
    status: 'completed',
    result: 'succeeded',
    reason: 'individualCI',
    definition: { id: 12, name: 'ci', path: '\\' },
    project: { id: PROJECT_ID, name: 'Shop' },
    repository: { id: REPOSITORY_ID, type: 'TfsGit', name: 'shop' },
    sourceBranch: `refs/heads/${branch}`,
    sourceVersion: sha,
    ...changes,
  };
}
