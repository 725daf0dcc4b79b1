/**
 * GitHub, as far as Weft asks it: written from docs.github.com/rest (version 2022-11-28) and "Webhook events and payloads", on 127.0.0.1. It
 * verifies what GitHub verifies (the App's JWT, tokens and what they are for, the headers), keeps what it is told, makes archives as `git archive`
 * does, signs webhooks, and fails when a test says so.
 */
import { createHash, createHmac, createVerify, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { END, entry, paxRecord } from '../bundle/tars.ts';
import { listTree, makeGitObjects } from './git_objects.ts';

export const APP_ID = '4711';
export const INSTALLATION_ID = '815';
export const TOKEN = 'github_pat_of_the_tests_only';
/** Of whoever owns the token. */
const USER_ID = 583231;
const TOKEN_LIFE_MS = 3_600_000;

// biome-ignore lint/suspicious/noExplicitAny: a double holds whatever it was told
type Any = any;

/** By path; a link is `{ link: target }`. */
export type ArchiveFiles = Record<string, string | Uint8Array | { link: string }>;

type Answer = readonly [status: number, document: unknown, headers?: Record<string, string>];

interface Asked {
  /** What the path names. */
  readonly id: string;
  readonly body: Any;
  readonly who: Who;
  readonly url: URL;
}

/** Who asks: the App itself, an installation of it, or somebody with a token. */
interface Who {
  readonly app?: true;
  readonly installation?: true;
  readonly user?: true;
}

export interface Repository {
  readonly id: number;
  /** owner/name */
  name: string;
  /** What it was called before: who asks by such a name is led on ("Best practices for using the REST API", "Follow redirects"). */
  readonly formerNames: string[];
  readonly branches: Map<string, string>;
  readonly tags: Map<string, string>;
  /** The files of each commit. */
  readonly commits: Map<string, ArchiveFiles>;
  readonly pulls: Map<number, { state: string; head: { sha: string; repo: { id: number } | null }; base: { ref: string } }>;
  readonly deployments: { id: number; sha: string; ref: string; environment: string }[];
  readonly runs: Map<number, Any>;
  /** The review history of runs. */
  readonly reviews: Map<number, Any[]>;
  readonly checkRuns: Any[];
  readonly statuses: Any[];
  readonly deploymentStatuses: Any[];
  readonly comments: Any[];
  /** Environments that each run waits for, and what it was answered. */
  readonly pending: Map<number, string[]>;
  readonly ruleAnswers: Any[];
}

export interface Failure {
  readonly method?: string;
  readonly path: RegExp;
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
  /** How often; 1 without it. */
  times?: number;
}

export interface GitHub {
  /** http://127.0.0.1:port, the root of the API. */
  readonly api: string;
  /** Where archives are. */
  readonly archives: string;
  /** PEM, PKCS#1, as GitHub gives it; and the same key in PKCS#8. */
  readonly privateKey: { readonly pkcs1: string; readonly pkcs8: string };
  readonly repository: Repository;
  /** `METHOD /path` of everything that was asked, in order. */
  readonly asked: string[];
  /** What was asked in a way that GitHub would not take. */
  readonly faults: string[];
  /** Where the API leads for an archive, instead of to `archives`. */
  archiveLocation: string | null;
  /** Bytes of an archive, instead of those made of the files. */
  archiveBytes: Uint8Array | null;
  fail(failure: Failure): void;
  /** Puts files at the head of a branch. @returns the commit */
  commit(files: ArchiveFiles, branch?: string): string;
  /** A webhook, ready to be sent. */
  deliver(event: string, payload: object, secret: string): { headers: Record<string, string>; body: string };
  push(branch?: string, changes?: object): object;
  pullRequest(number: number, action?: string): object;
  deployment(id: number): object;
  workflowRun(id: number): object;
  /** A job of a run asks whether it may start in the environment of a deployment. */
  protectionRule(run: number, deployment: number): object;
  deploymentReview(run: number, environment: string, action?: string): object;
  stop(): Promise<void>;
}

export async function startGitHub(): Promise<GitHub> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' });
  const tokens = new Map<string, { repositories: number[]; until: number }>();
  const archiveTickets = new Set<string>();
  const failures: Failure[] = [];
  const repository: Repository = {
    id: 1296269,
    name: 'octo/shop',
    formerNames: [],
    branches: new Map(),
    tags: new Map(),
    commits: new Map(),
    pulls: new Map(),
    deployments: [],
    runs: new Map(),
    reviews: new Map(),
    checkRuns: [],
    statuses: [],
    deploymentStatuses: [],
    comments: [],
    pending: new Map(),
    ruleAnswers: [],
  };
  const asked: string[] = [];
  const faults: string[] = [];
  let counter = 1000;
  const nextId = () => ++counter;

  const { branches, tags, commits, pulls, deployments, runs, checkRuns, statuses, deploymentStatuses, comments, pending, ruleAnswers } = repository;
  const notFound: Answer = [404, { message: 'Not Found' }];
  const invalid = (what = 'Validation Failed'): Answer => [422, { message: what }];
  const given = (found: unknown): Answer => (found === undefined ? notFound : [200, found]);
  const routes: readonly (readonly [method: string, path: RegExp, take: (asked: Asked) => Answer])[] = [
    ['GET', /^$/, () => [200, { id: repository.id, full_name: repository.name }]],
    [
      'GET',
      /^\/git\/ref\/heads\/(.+)$/,
      ({ id }) => (branches.has(id) ? [200, { ref: `refs/heads/${id}`, object: { type: 'commit', sha: branches.get(id) } }] : notFound),
    ],
    [
      'GET',
      /^\/git\/ref\/tags\/(.+)$/,
      ({ id }) => (tags.has(id) ? [200, { ref: `refs/tags/${id}`, object: { type: 'commit', sha: tags.get(id) } }] : notFound),
    ],
    [
      'GET',
      // Of forks too.
      /^\/git\/ref\/pull\/(\d+)\/head$/,
      ({ id }) => given(pulls.has(Number(id)) ? { ref: `refs/pull/${id}/head`, object: { type: 'commit', sha: pulls.get(Number(id))?.head.sha } } : undefined),
    ],
    ['GET', /^\/pulls\/(\d+)$/, ({ id }) => given(pulls.get(Number(id)))],
    ['GET', /^\/deployments\/(\d+)$/, ({ id }) => given(deployments.find((one) => one.id === Number(id)))],
    [
      'GET',
      /^\/deployments$/,
      ({ url }) => {
        const all = deployments.filter(({ environment }) => environment === url.searchParams.get('environment')).reverse();
        return [200, all.slice(0, Number(url.searchParams.get('per_page') ?? 30))];
      },
    ],
    ['GET', /^\/deployments\/(\d+)\/statuses$/, ({ id }) => [200, deploymentStatuses.filter(({ deployment }) => deployment === Number(id)).reverse()]],
    [
      'POST',
      /^\/deployments\/(\d+)\/statuses$/,
      ({ id, body }) => {
        const states = ['error', 'failure', 'inactive', 'in_progress', 'queued', 'pending', 'success'];
        if (!states.includes(body.state) || (body.description ?? '').length > 140) return invalid();
        deploymentStatuses.push({ deployment: Number(id), ...body });
        return [201, { id: nextId(), ...body }];
      },
    ],
    [
      'GET',
      /^\/actions\/runs\/(\d+)\/pending_deployments$/,
      ({ id }) => [200, (pending.get(Number(id)) ?? []).map((name) => ({ environment: { id: 1, name }, wait_timer: 0, reviewers: [] }))],
    ],
    [
      'POST',
      /^\/actions\/runs\/(\d+)\/deployment_protection_rule$/,
      ({ id, body, who }) => {
        if (who.user) return [403, { message: 'Resource not accessible by personal access token' }];
        const waiting = pending.get(Number(id)) ?? [];
        if (!waiting.includes(body.environment_name) || !['approved', 'rejected'].includes(body.state)) return invalid();
        pending.set(
          Number(id),
          waiting.filter((name) => name !== body.environment_name),
        );
        ruleAnswers.push({ run: Number(id), ...body });
        return [204, {}];
      },
    ],
    ['GET', /^\/actions\/runs\/(\d+)$/, ({ id }) => given(runs.get(Number(id)))],
    ['GET', /^\/actions\/runs\/(\d+)\/approvals$/, ({ id }) => [200, repository.reviews.get(Number(id)) ?? []]],
    [
      'GET',
      /^\/tarball\/([0-9a-f]{40})$/,
      ({ id }) => {
        if (!commits.has(id)) return notFound;
        const ticket = randomBytes(12).toString('hex');
        archiveTickets.add(ticket);
        return [302, {}, { location: archiveLocation ?? `${archivesOrigin}/${repository.name}/legacy.tar.gz/${id}?token=${ticket}` }];
      },
    ],
    [
      'GET',
      /^\/git\/trees\/([0-9a-f]{40})$/,
      ({ id, url }) => {
        for (const [commit, files] of commits) {
          const objects = makeGitObjects(files);
          const found = listTree(objects, id === commit ? objects.root : id, url.searchParams.get('recursive') === '1');
          if (found === null) continue;
          const tree = found.map((one) => ({ path: one.relativePath, mode: one.mode, type: one.gitObjectType, sha: one.objectId, size: one.size }));
          return [200, { sha: id, tree, truncated: false }];
        }
        return notFound;
      },
    ],
    [
      'GET',
      /^\/commits\/([0-9a-f]{40})\/check-runs$/,
      ({ id, url }) => {
        const found = checkRuns.filter((run) => run.head_sha === id && run.name === url.searchParams.get('check_name'));
        const counted = found.map((run) => ({ ...run, output: { ...run.output, annotations_count: run.output.annotations?.length ?? 0 } }));
        return [200, { total_count: found.length, check_runs: url.searchParams.get('filter') === 'all' ? counted : counted.slice(-1) }];
      },
    ],
    [
      'POST',
      /^\/check-runs$/,
      ({ body, who }) => {
        if (who.user) return [403, { message: 'You must authenticate via a GitHub App.' }];
        const wrong = wrongCheckRun(body);
        if (wrong !== null || !body.name || !commits.has(body.head_sha)) return invalid(wrong ?? 'Invalid request');
        const run = { id: nextId(), app: { id: Number(APP_ID) }, ...body };
        checkRuns.push(run);
        return [201, run];
      },
    ],
    [
      'PATCH',
      /^\/check-runs\/(\d+)$/,
      ({ id, body }) => {
        const run = checkRuns.find((one) => one.id === Number(id));
        const wrong = wrongCheckRun(body);
        if (run === undefined || wrong !== null) return wrong === null ? notFound : invalid(wrong);
        // Annotations are appended to those that are there.
        const annotations = [...(run.output.annotations ?? []), ...(body.output?.annotations ?? [])];
        return [200, Object.assign(run, body, { output: { ...body.output, ...(annotations.length > 0 && { annotations }) } })];
      },
    ],
    [
      'POST',
      /^\/statuses\/([0-9a-f]{40})$/,
      ({ id, body }) => {
        if (!['error', 'failure', 'pending', 'success'].includes(body.state) || (body.description ?? '').length > 140) return invalid();
        statuses.push({ sha: id, ...body });
        return [201, { id: nextId(), ...body }];
      },
    ],
    [
      'GET',
      /^\/issues\/(\d+)\/comments$/,
      ({ id, url }) => {
        const [perPage, page] = [Number(url.searchParams.get('per_page') ?? 30), Number(url.searchParams.get('page') ?? 1)];
        return [200, comments.filter(({ issue }) => issue === Number(id)).slice((page - 1) * perPage, page * perPage)];
      },
    ],
    [
      'POST',
      /^\/issues\/(\d+)\/comments$/,
      ({ id, body, who }) => {
        if (typeof body.body !== 'string' || body.body.length > 65_536) return invalid();
        const by = who.installation
          ? { user: { id: 1 }, performed_via_github_app: { id: Number(APP_ID) } }
          : { user: { id: USER_ID }, performed_via_github_app: null };
        const comment = { id: nextId(), issue: Number(id), body: body.body, ...by };
        comments.push(comment);
        return [201, comment];
      },
    ],
    [
      'DELETE',
      /^\/issues\/comments\/(\d+)$/,
      ({ id }) => {
        const at = comments.findIndex((one) => one.id === Number(id));
        if (at < 0) return notFound;
        comments.splice(at, 1);
        return [204, null];
      },
    ],
    [
      'PATCH',
      /^\/issues\/comments\/(\d+)$/,
      ({ id, body }) => {
        const comment = comments.find((one) => one.id === Number(id));
        return comment === undefined ? notFound : [200, Object.assign(comment, { body: body.body })];
      },
    ],
  ];

  function prove(request: IncomingMessage): Who | null {
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    if (bearer === TOKEN) return { user: true };
    const token = tokens.get(bearer);
    if (token !== undefined) return token.until > Date.now() && token.repositories.includes(repository.id) ? { installation: true } : null;
    const [header = '', claims = '', signature = ''] = bearer.split('.');
    if (signature === '') return null;
    const { alg } = JSON.parse(Buffer.from(header, 'base64url').toString());
    const { iat, exp, iss } = JSON.parse(Buffer.from(claims, 'base64url').toString());
    const now = Date.now() / 1000;
    const isSigned = createVerify('RSA-SHA256').update(`${header}.${claims}`).verify(publicPem, Buffer.from(signature, 'base64url'));
    return isSigned && alg === 'RS256' && String(iss) === APP_ID && iat <= now && exp > now && exp - now <= 600 ? { app: true } : null;
  }

  async function answerApi(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://github.test');
    const { method = 'GET' } = request;
    asked.push(`${method} ${url.pathname}`);
    const text = await readText(request);
    const send = (status: number, body: unknown, headers: Record<string, string> = {}) => {
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
      response.end(status === 204 ? undefined : JSON.stringify(body));
    };
    const failure = failures.find((one) => (one.method ?? method) === method && one.path.test(url.pathname));
    if (failure !== undefined) {
      failure.times = (failure.times ?? 1) - 1;
      if (failure.times === 0) failures.splice(failures.indexOf(failure), 1);
      if (failure.status === 0) return void response.destroy();
      return send(failure.status, failure.body ?? { message: 'As the test has it' }, failure.headers);
    }
    if (!request.headers['user-agent']) faults.push(`${method} ${url.pathname}: no User-Agent`);
    if (request.headers.accept !== 'application/vnd.github+json') faults.push(`${method} ${url.pathname}: Accept ${request.headers.accept}`);
    if (request.headers['x-github-api-version'] !== '2022-11-28') faults.push(`${method} ${url.pathname}: no X-GitHub-Api-Version`);
    const who = prove(request);
    if (who === null) return send(401, { message: 'Bad credentials' });
    const body = text === '' ? {} : JSON.parse(text);
    const path = decodeURIComponent(url.pathname);

    const installation = /^\/app\/installations\/(\d+)\/access_tokens$/.exec(path);
    if (installation !== null) {
      if (!who.app) return send(401, { message: 'A JSON web token could not be decoded' });
      if (installation[1] !== INSTALLATION_ID) return send(404, { message: 'Not Found' });
      if (!body.repository_ids?.includes(repository.id)) return send(422, { message: 'The repository is not accessible to the parent installation.' });
      const token = `ghs_${randomBytes(18).toString('hex')}`;
      tokens.set(token, { repositories: body.repository_ids, until: Date.now() + TOKEN_LIFE_MS });
      return send(201, { token, expires_at: new Date(Date.now() + TOKEN_LIFE_MS).toISOString(), permissions: {} });
    }
    if (who.app) return send(403, { message: 'This endpoint needs an installation token' });
    if (path === '/user') return who.user ? send(200, { id: USER_ID, login: 'octocat' }) : send(403, { message: 'Resource not accessible by integration' });

    const byId = `/repositories/${repository.id}`;
    const isAt = (root: string) => path === root || path.startsWith(`${root}/`);
    const former = repository.formerNames.map((name) => `/repos/${name}`).find(isAt);
    if (former !== undefined) {
      const location = `${originOf(api)}${byId}${url.pathname.slice(former.length)}${url.search}`;
      return send(method === 'GET' ? 301 : 307, { message: method === 'GET' ? 'Moved Permanently' : 'Temporary Redirect', url: location }, { location });
    }
    const prefix = [`/repos/${repository.name}`, byId].find(isAt);
    if (prefix === undefined) return send(404, { message: 'Not Found' });
    const rest = path.slice(prefix.length);
    for (const [wanted, pattern, take] of routes) {
      const found = wanted === method ? pattern.exec(rest) : null;
      if (found === null) continue;
      const [status, document, more] = take({ id: found[1] ?? '', body, who, url });
      return send(status, document, more);
    }
    faults.push(`${method} ${url.pathname}: the documentation has no such route`);
    return send(404, { message: 'Not Found' });
  }

  async function answerArchive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://codeload.test');
    asked.push(`archive ${url.pathname}`);
    if (request.headers.authorization !== undefined) faults.push('The archive was asked for with what proves Weft to the API.');
    const commit = /\/legacy\.tar\.gz\/([0-9a-f]{40})$/.exec(url.pathname)?.[1] ?? '';
    const files = repository.commits.get(commit);
    if (!archiveTickets.has(url.searchParams.get('token') ?? '') || files === undefined) {
      response.writeHead(404).end();
      return;
    }
    const bytes = archiveBytes ?? makeArchive(repository.name, commit, files);
    response.writeHead(200, { 'content-type': 'application/x-gzip' });
    response.end(bytes);
  }

  const [api, archives] = await Promise.all([listen(answerApi), listen(answerArchive)]);
  const archivesOrigin = originOf(archives);
  let archiveLocation: string | null = null;
  let archiveBytes: Uint8Array | null = null;
  const repositoryOf = () => ({ id: repository.id, full_name: repository.name, private: true });
  const headOf = (branch: string) => repository.branches.get(branch) ?? '0'.repeat(40);

  return {
    api: originOf(api),
    archives: archivesOrigin,
    privateKey: {
      pkcs1: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
      pkcs8: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    },
    repository,
    asked,
    faults,
    get archiveLocation() {
      return archiveLocation;
    },
    set archiveLocation(value) {
      archiveLocation = value;
    },
    get archiveBytes() {
      return archiveBytes;
    },
    set archiveBytes(value) {
      archiveBytes = value;
    },
    fail: (failure) => void failures.push({ ...failure }),
    commit(files, branch = 'main') {
      const sha = createHash('sha1')
        .update(JSON.stringify([Object.entries(files), repository.commits.size]))
        .digest('hex');
      repository.commits.set(sha, files);
      repository.branches.set(branch, sha);
      return sha;
    },
    deliver(event, payload, secret) {
      const body = JSON.stringify(payload);
      const signature = createHmac('sha256', secret).update(body).digest('hex');
      return {
        body,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'GitHub-Hookshot/044aadd',
          'x-github-delivery': randomBytes(16).toString('hex'),
          'x-github-event': event,
          'x-github-hook-id': '292430182',
          'x-hub-signature-256': `sha256=${signature}`,
        },
      };
    },
    push: (branch = 'main', changes = {}) => ({
      ref: `refs/heads/${branch}`,
      before: '0'.repeat(40),
      after: headOf(branch),
      created: false,
      deleted: false,
      forced: false,
      commits: [],
      repository: repositoryOf(),
      pusher: { name: 'octocat' },
      sender: { id: USER_ID, login: 'octocat' },
      ...changes,
    }),
    pullRequest(number, action = 'opened') {
      const pull = repository.pulls.get(number);
      const base = { ref: pull?.base.ref, sha: headOf('main'), repo: repositoryOf() };
      return { action, number, pull_request: { number, state: pull?.state, head: pull?.head, base }, repository: repositoryOf(), sender: { id: USER_ID } };
    },
    deployment: (id) => ({
      action: 'created',
      deployment: { ...repository.deployments.find((one) => one.id === id), task: 'deploy', payload: {} },
      workflow: null,
      workflow_run: null,
      repository: repositoryOf(),
      sender: { id: USER_ID },
    }),
    workflowRun: (id) => ({
      action: 'completed',
      workflow_run: repository.runs.get(id),
      workflow: { id: 1, path: '.github/workflows/ci.yml' },
      repository: repositoryOf(),
      sender: { id: USER_ID },
    }),
    deploymentReview: (run, environment, action = 'approved') => ({
      action,
      approver: { id: 2, login: 'reviewer' },
      comment: 'go',
      since: '5 minutes ago',
      reviewers: [],
      workflow_job_runs: [{ id: 1, environment, status: 'queued', conclusion: null }],
      workflow_run: runs.get(run),
      repository: repositoryOf(),
      installation: { id: Number(INSTALLATION_ID) },
      sender: { id: 2 },
    }),
    protectionRule: (run, id) => {
      const deployment = repository.deployments.find((one) => one.id === id);
      return {
        action: 'requested',
        environment: deployment?.environment,
        event: 'push',
        deployment_callback_url: `${originOf(api)}/repos/${repository.name}/actions/runs/${run}/deployment_protection_rule`,
        deployment,
        pull_requests: [],
        repository: repositoryOf(),
        installation: { id: Number(INSTALLATION_ID) },
        sender: { id: USER_ID },
      };
    },
    stop: async () => {
      await Promise.all([api, archives].map((server) => new Promise((resolve) => server.close(resolve).closeAllConnections())));
    },
  };
}

/** docs.github.com/rest/checks/runs: what a body may hold. */
function wrongCheckRun(body: Any): string | null {
  if (!['queued', 'in_progress', 'completed'].includes(body.status)) return 'status';
  const conclusions = ['action_required', 'cancelled', 'failure', 'neutral', 'success', 'skipped', 'timed_out'];
  if ((body.status === 'completed') !== conclusions.includes(body.conclusion)) return 'conclusion';
  const { title, summary, annotations = [] } = body.output ?? {};
  if (typeof title !== 'string' || typeof summary !== 'string' || summary.length > 65_535) return 'output';
  if (annotations.length > 50) return 'annotations';
  const isRight = (one: Any) =>
    one.path &&
    !one.path.startsWith('/') &&
    one.start_line > 0 &&
    one.end_line >= one.start_line &&
    one.message &&
    ['notice', 'warning', 'failure'].includes(one.annotation_level);
  return annotations.every(isRight) ? null : 'annotations';
}

/** As `git archive --format=tar.gz` makes it: the commit in a global pax header, folders before what is in them, long names in prefix or pax. */
export function makeArchive(repository: string, commit: string, files: ArchiveFiles): Buffer {
  const top = `${repository.replace('/', '-')}-${commit.slice(0, 7)}`;
  const parts = [entry({ name: 'pax_global_header', type: 'g', body: paxRecord('comment', commit) }), entry({ name: `${top}/`, type: '5' })];
  const folders = new Set<string>();
  for (const [path, content] of Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const steps = path.split('/').slice(0, -1);
    for (const [index] of steps.entries()) {
      const folder = steps.slice(0, index + 1).join('/');
      if (!folders.has(folder)) parts.push(...named(`${top}/${folder}/`, { type: '5' }));
      folders.add(folder);
    }
    const isLink = typeof content === 'object' && 'link' in content;
    parts.push(...named(`${top}/${path}`, isLink ? { type: '2' } : { body: content as string | Uint8Array }));
  }
  return gzipSync(Buffer.concat([...parts, END]));
}

function named(path: string, shape: { type?: string; body?: string | Uint8Array }): Buffer[] {
  const name = Buffer.from(path);
  if (name.length <= 100) return [entry({ ...shape, name })];
  const cut = path.lastIndexOf('/', 154);
  if (cut > 0 && Buffer.byteLength(path.slice(cut + 1)) <= 100 && name.length === path.length && !path.endsWith('/')) {
    return [entry({ ...shape, name: path.slice(cut + 1), prefix: path.slice(0, cut) })];
  }
  return [entry({ name: `${path.slice(0, 40)}.paxheader`, type: 'x', body: paxRecordOfBytes('path', path) }), entry({ ...shape, name: name.subarray(0, 100) })];
}

/** A length counts bytes. */
function paxRecordOfBytes(key: string, value: string): Buffer {
  const latin = paxRecord(key, Buffer.from(value).toString('latin1'));
  return Buffer.from(latin, 'latin1');
}

async function readText(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of request.setEncoding('utf8')) text += part;
  return text;
}

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Promise<Server> {
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
