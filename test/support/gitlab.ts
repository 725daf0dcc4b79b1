/**
 * GitLab, as far as Weft asks it: written from docs.gitlab.com/api (v4) and "Webhook events", on 127.0.0.1. It verifies the token, keeps what it is
 * told, refuses what GitLab refuses, makes archives as GitLab does, signs webhooks in the new way and the old, and fails when a test says so.
 */
import { createHash, createHmac, randomUUID } from 'node:crypto';
import { type Answer, type Failure, startDouble } from './double.ts';
import { type ArchiveFiles, makeArchive } from './github.ts';

export const GITLAB_TOKEN = 'glpat-of-the-tests-only';
const USER_ID = 31;

// biome-ignore lint/suspicious/noExplicitAny: a double holds whatever it was told
type Any = any;

export interface GitLab {
  /** The root of the API. */
  readonly api: string;
  readonly project: { readonly id: number; readonly path_with_namespace: string };
  readonly branches: Map<string, string>;
  readonly commits: Map<string, ArchiveFiles>;
  readonly mergeRequests: Map<number, { state: string; sha: string; source_project_id: number; target_branch: string }>;
  readonly pipelines: Map<number, { status: string; sha: string; ref: string; source: string }>;
  readonly deployments: { id: number; sha: string; ref: string; status: string; environment: { name: string } }[];
  readonly statuses: Any[];
  readonly notes: Any[];
  readonly commitComments: Any[];
  readonly asked: string[];
  readonly faults: string[];
  fail(failure: Failure): void;
  commit(files: ArchiveFiles, branch?: string): string;
  push(branch?: string): object;
  mergeRequest(iid: number, attributes?: object): object;
  pipeline(id: number): object;
  deployment(id: number, changes?: object): object;
  stop(): Promise<void>;
}

/** A webhook as GitLab sends it. @param secret of a signing token (`whsec_…`), or a secret token @param nowSeconds since 1970 */
export function deliverFromGitLab(payload: Any, secret: string, nowSeconds = Math.floor(Date.now() / 1000)): { headers: Record<string, string>; body: string } {
  const body = JSON.stringify(payload);
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'user-agent': 'GitLab/18.6',
    'x-gitlab-event': 'Push Hook',
    'x-gitlab-event-uuid': randomUUID(),
  };
  if (!secret.startsWith('whsec_')) return { body, headers: { ...headers, 'x-gitlab-token': secret } };
  const id = randomUUID();
  const signature = createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
    .update(`${id}.${nowSeconds}.${body}`)
    .digest('base64');
  return {
    body,
    headers: { ...headers, 'webhook-id': id, 'idempotency-key': id, 'webhook-timestamp': String(nowSeconds), 'webhook-signature': `v1,${signature}` },
  };
}

export async function startGitLab(): Promise<GitLab> {
  const project = { id: 278964, path_with_namespace: 'octo/shop' };
  const branches: GitLab['branches'] = new Map();
  const commits: GitLab['commits'] = new Map();
  const mergeRequests: GitLab['mergeRequests'] = new Map();
  const pipelines: GitLab['pipelines'] = new Map();
  const [deployments, statuses, notes, commitComments, faults]: [GitLab['deployments'], Any[], Any[], Any[], string[]] = [[], [], [], [], []];
  let counter = 5000;
  const notFound: Answer = [404, { message: '404 Not found' }];
  const given = (found: unknown): Answer => (found === undefined ? notFound : [200, found]);

  const routes: readonly (readonly [method: string, path: RegExp, take: (asked: { id: string; more: string; body: Any; url: URL }) => Answer])[] = [
    ['GET', /^$/, () => [200, { ...project, path: 'shop' }]],
    [
      'GET',
      /^\/repository\/branches\/([^/]+)$/,
      ({ id }) => given(branches.has(id) ? { name: id, commit: { id: branches.get(id) }, protected: true } : undefined),
    ],
    ['GET', /^\/merge_requests\/(\d+)$/, ({ id }) => given(mergeRequests.get(Number(id)))],
    ['GET', /^\/pipelines\/(\d+)$/, ({ id }) => given(pipelines.get(Number(id)))],
    ['GET', /^\/deployments\/(\d+)$/, ({ id }) => given(deployments.find((one) => one.id === Number(id)))],
    [
      'GET',
      /^\/deployments$/,
      ({ url }) => {
        const all = deployments.filter(({ environment }) => environment.name === url.searchParams.get('environment')).sort((a, b) => a.id - b.id);
        return [200, url.searchParams.get('sort') === 'desc' ? all.reverse() : all];
      },
    ],
    [
      'PUT',
      /^\/deployments\/(\d+)$/,
      ({ id, body }) => {
        const found = deployments.find((one) => one.id === Number(id));
        if (found === undefined || !['running', 'success', 'failed', 'canceled'].includes(body.status)) return [400, { message: 'status is invalid' }];
        return [200, Object.assign(found, { status: body.status })];
      },
    ],
    [
      'POST',
      /^\/statuses\/([0-9a-f]{40})$/,
      ({ id, body }) => {
        if (!['pending', 'running', 'success', 'failed', 'canceled', 'skipped'].includes(body.state) || body.description.length > 255)
          return [400, { message: 'invalid' }];
        const last = statuses.findLast((one) => one.sha === id && one.name === body.name);
        // Nor does one that runs go back to the line.
        if (last?.state === body.state || (last?.state === 'running' && body.state === 'pending'))
          return [400, { message: `Cannot transition status via :enqueue from :${last.state}` }];
        statuses.push({ sha: id, ...body });
        return [201, { id: ++counter, ...body }];
      },
    ],
    [
      'GET',
      /^\/merge_requests\/(\d+)\/notes$/,
      ({ id, url }) => {
        const [perPage, page] = [Number(url.searchParams.get('per_page') ?? 20), Number(url.searchParams.get('page') ?? 1)];
        return [200, notes.filter(({ iid }) => iid === Number(id)).slice((page - 1) * perPage, page * perPage)];
      },
    ],
    [
      'POST',
      /^\/merge_requests\/(\d+)\/notes$/,
      ({ id, body }) => {
        const note = { id: ++counter, iid: Number(id), body: body.body, system: false, author: { id: USER_ID } };
        notes.push(note);
        return [201, note];
      },
    ],
    [
      'DELETE',
      /^\/merge_requests\/(\d+)\/notes\/(\d+)$/,
      ({ more }) => {
        const at = notes.findIndex((one) => one.id === Number(more));
        if (at < 0) return notFound;
        notes.splice(at, 1);
        return [204, null];
      },
    ],
    [
      'PUT',
      /^\/merge_requests\/(\d+)\/notes\/(\d+)$/,
      ({ more, body }) => {
        const note = notes.find((one) => one.id === Number(more));
        return note === undefined ? notFound : [200, Object.assign(note, { body: body.body })];
      },
    ],
    [
      'POST',
      /^\/repository\/commits\/([0-9a-f]{40})\/comments$/,
      ({ id, body }) => {
        commitComments.push({ sha: id, note: body.note });
        return [201, { note: body.note }];
      },
    ],
  ];

  const { origin, asked, fail, stop } = await startDouble(({ method, url, text, request, response, send }) => {
    if (request.headers.authorization !== `Bearer ${GITLAB_TOKEN}`) return send([401, { message: '401 Unauthorized' }]);
    if (!request.headers['user-agent']) faults.push(`${method} ${url.pathname}: no User-Agent`);
    if (url.pathname === '/api/v4/user') return send([200, { id: USER_ID, username: 'weft' }]);
    const prefix = `/api/v4/projects/${project.id}`;
    if (!url.pathname.startsWith(prefix)) return send(notFound);
    const rest = url.pathname.slice(prefix.length);
    if (method === 'GET' && rest === '/repository/archive.tar.gz') {
      const sha = url.searchParams.get('sha') ?? '';
      const files = commits.get(sha);
      if (files === undefined) return send(notFound);
      return response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(makeArchive(`shop-${sha}-${sha}`, sha, files));
    }
    for (const [wanted, pattern, take] of routes) {
      const found = wanted === method ? pattern.exec(rest) : null;
      if (found !== null) return send(take({ id: decodeURIComponent(found[1] ?? ''), more: found[2] ?? '', body: text === '' ? {} : JSON.parse(text), url }));
    }
    faults.push(`${method} ${url.pathname}: the documentation has no such route`);
    return send(notFound);
  });
  const headOf = (branch: string) => branches.get(branch) ?? '0'.repeat(40);

  return {
    api: `${origin}/api/v4`,
    project,
    branches,
    commits,
    mergeRequests,
    pipelines,
    deployments,
    statuses,
    notes,
    commitComments,
    asked,
    faults,
    fail,
    commit(files, branch = 'main') {
      const sha = createHash('sha1')
        .update(JSON.stringify([Object.entries(files), commits.size]))
        .digest('hex');
      commits.set(sha, files);
      branches.set(branch, sha);
      return sha;
    },
    push: (branch = 'main') => ({
      object_kind: 'push',
      event_name: 'push',
      before: '0'.repeat(40),
      after: headOf(branch),
      ref: `refs/heads/${branch}`,
      checkout_sha: headOf(branch),
      project_id: project.id,
      project,
      commits: [],
    }),
    mergeRequest(iid, attributes = {}) {
      const found = mergeRequests.get(iid);
      return {
        object_kind: 'merge_request',
        project,
        object_attributes: {
          iid,
          action: 'open',
          source_project_id: found?.source_project_id,
          target_project_id: project.id,
          target_branch: found?.target_branch,
          last_commit: { id: found?.sha },
          state: found?.state,
          ...attributes,
        },
      };
    },
    pipeline: (id) => ({ object_kind: 'pipeline', object_attributes: { id, iid: 3, tag: false, ...pipelines.get(id) }, merge_request: null, project }),
    deployment(id, changes = {}) {
      const found = deployments.find((one) => one.id === id);
      const commit_url = `https://gitlab.test/octo/shop/-/commit/${found?.sha}`;
      return {
        object_kind: 'deployment',
        status: 'running',
        deployment_id: id,
        deployable_id: null,
        environment: found?.environment.name,
        project,
        short_sha: found?.sha.slice(0, 8),
        ref: found?.ref,
        commit_url,
        ...changes,
      };
    },
    stop,
  };
}
