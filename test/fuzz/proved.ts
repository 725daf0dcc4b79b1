/**
 * What is proved, and bad all the same: signed documents and archives, webhooks under the right signature, identity tokens of the right issuer. Past the
 * proofs the readers of manifests, tars, gzips and events are met. Each request here is wrong for certain, so none of them may reach a database.
 */
import { createHmac } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { END, entry } from '../bundle/tars.ts';
import { DEPLOYMENTS, type Document, digestOf, inlineFiles, manifestOf, type Requests } from '../http/requests.ts';
import { deliverFromGitLab } from '../support/gitlab.ts';
import { githubClaims, gitlabClaims, type Issuer } from '../support/issuer.ts';
import { bend, type Chance, LEAVES } from './chance.ts';
import type { Generated } from './generate.ts';

/** What proves a request. */
export interface Proofs {
  readonly requests: Requests;
  readonly origin: string;
  readonly issuer: Issuer;
  /** Of the webhooks. */
  readonly hub: string;
  readonly lab: string;
}

const now = (): number => Math.floor(Date.now() / 1000);
const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** A tar whose request is signed, and in which one thing behind it is wrong. One that lacks an artifact is not: the database may have it. */
export async function wrongTar(chance: Chance, { requests }: Proofs): Promise<Generated> {
  const files = { '1.sql': `select '${chance.text(500).replace(/[^a-z0-9]/gi, '')}';`, '2.sql': 'select 2;' };
  const manifest = manifestOf(files);
  const request = encode(JSON.stringify(requests.makeRequest({ manifest })));
  const [first, second] = Object.values(files).map((body) => ({ name: digestOf(body), body })) as [
    { name: string; body: string },
    { name: string; body: string },
  ];
  const head = { name: 'request.json', body: request };
  const bent = chance.pick<() => Buffer[]>([
    () => [entry(head), entry({ ...first, body: `${first.body} ` }), entry(second), END],
    () => [entry(head), entry(second), entry(first), END],
    () => [entry(head), entry(first), entry(first), entry(second), END],
    () => [entry(head), entry(first), entry(second), entry({ name: digestOf('no'), body: 'no' }), END],
    () => [entry(head), entry({ ...first, type: chance.pick(['1', '2', '3', '4', '5', '6', '7', 'Z']) }), entry(second), END],
    () => [entry(head), entry({ ...first, name: chance.pick(['../x', '/etc/passwd', 'a/../b', '.', '', first.name.toUpperCase()]) }), entry(second), END],
    () => [entry(head), entry({ ...first, spoilt: true }), entry(second), END],
    () => [entry(head), entry({ ...first, size: chance.pick(['77777777777\0', '-0000000001\0', '          9\0', 'x'.repeat(12)]) }), entry(second), END],
    () => [entry(head), entry(first), entry({ name: 'secrets.json', body: '{}' }), entry(second), END],
    () => [entry(head), entry({ name: 'secrets.json', body: chance.pick(['[]', '{"a":1}', '{', '{"a":"b"}', '\ufeff{}']) }), entry(first), entry(second), END],
  ])();
  let body = Uint8Array.from(Buffer.concat(bent));
  const headers: Record<string, string> = { 'content-type': 'application/x-tar', ...(await requests.sign(request, idOf(request))) };
  if (chance.happens(0.5)) {
    body = Uint8Array.from(gzipSync(body));
    headers['content-encoding'] = 'gzip';
    const broken = chance.number(3);
    if (broken === 0) body = body.slice(0, body.length - 1 - chance.number(8));
    if (broken === 1) body = Uint8Array.from(Buffer.concat([body, body]));
  }
  return { kind: 'wrong tar', path: DEPLOYMENTS, init: { method: 'POST', body, headers } };
}

/** A signed document with a manifest, files or parameters that are not what they must be. */
export async function wrongDocument(chance: Chance, { requests }: Proofs): Promise<Generated> {
  const files = { '1.sql': 'select 1;', '2.sql': 'select 2;' };
  const manifest = manifestOf(files);
  const [phase] = manifest.phases;
  const bent = bend(chance, manifest, chance.number(4));
  const around = bent !== null && typeof bent === 'object' && !Array.isArray(bent) ? bent : {};
  const wrong = chance.pick<Document>([
    { manifest: { ...around, format: 2 } },
    { manifest: { ...around, artifacts: [{ path: '1.sql', digest: chance.pick(['zz', '', 'A'.repeat(64)]), size: 1 }] } },
    { manifest: { ...around, artifacts: manifest.artifacts.map((one) => ({ ...one, size: chance.pick([-1, 1.5, 2 ** 60, '1']) })) } },
    { manifest: { ...around, phases: [{ ...phase, steps: [{ kind: chance.text(9), path: '1.sql' }] }] } },
    { manifest: { ...around, phases: [{ ...phase, steps: [{ kind: 'run', path: `../${chance.text(9)}` }] }] } },
    { manifest: { ...around, phases: [{ ...phase, transaction: chance.pick(LEAVES) ?? 'x' }, { ...phase }] } },
    { manifest: { ...around, phases: [] } },
    { manifest: [] },
    { files: inlineFiles({ '../a.sql': 'select 1;' }) },
    { files: inlineFiles({ 'a.sql': 'select 1;', 'weft.yaml': `name: [${chance.text(20).replace(/[\]#]/g, '')}` }) },
    { files: [] },
    { manifest, parameters: { nobody_named_this: chance.pick([1, 'x', null, [], {}]) } },
    { manifest, secrets: { nobody_named_this: '0'.repeat(64) } },
    { manifest, mode: chance.pick(['APPLY', '', null, 1]) },
    { manifest, expires_at: chance.pick(['', 'tomorrow', '1999-01-01T00:00:00Z', 1e12]) },
  ]);
  const text = JSON.stringify(requests.makeRequest(wrong));
  const body = encode(text);
  return {
    kind: 'wrong document',
    path: DEPLOYMENTS,
    init: { method: 'POST', body, headers: { 'content-type': 'application/json', ...(await requests.sign(body, idOf(body))) } },
  };
}

/** Acts that their caller may do, signed for something else, or without what they need. */
export async function wrongAct(chance: Chance, { requests }: Proofs): Promise<Generated> {
  const id = '0190a0de-0000-7000-8000-00000000000b';
  const [path, document] = chance.pick<[string, Document]>([
    [`deployments/${id}/resume`, { type: 'resume', deployment: `${id.slice(0, -1)}c` }],
    [`deployments/${id}/cancel`, { type: 'resume', deployment: id }],
    [`deployments/${id}/undo`, { type: 'undo', deployment: chance.pick(LEAVES) ?? 1 }],
    ['history/forget', { type: 'forget', path: chance.pick(['', '../x', '/x', 1]), why: 'x' }],
    ['drift/accept', { type: 'accept_drift', fingerprint: chance.pick(['', 1, {}, null]) }],
  ]);
  const init = await requests.post(requests.makeRequest(document));
  return { kind: 'wrong act', path: `/v1/targets/staging/${path}`, init: { ...init, method: 'POST' } };
}

const COMMIT = 'f'.repeat(40);

/** Events of GitHub, rightly signed, most of them bent. Those that are not lead to the forge, which says nonsense. */
export async function hubEvent(chance: Chance, { hub }: Proofs): Promise<Generated> {
  const repository = { id: 1, full_name: 'octo/shop', default_branch: 'main' };
  const [event, payload] = chance.pick<[string, object]>([
    ['push', { ref: 'refs/heads/main', after: COMMIT, deleted: false, repository }],
    [
      'pull_request',
      { action: 'opened', number: 7, pull_request: { state: 'open', head: { sha: COMMIT, repo: { id: 1 } }, base: { ref: 'main' } }, repository },
    ],
    ['deployment', { action: 'created', deployment: { id: 5, sha: COMMIT, ref: 'main', environment: 'production' }, repository }],
    [
      'workflow_run',
      {
        action: 'completed',
        workflow_run: { id: 3, run_attempt: 1, head_sha: COMMIT, head_branch: 'main', event: 'push', conclusion: 'success', path: '.github/workflows/ci.yml' },
        repository,
      },
    ],
    ['ping', { zen: chance.text(30), hook_id: 1, repository }],
  ]);
  const body = chance.happens(0.1) ? chance.text(300) : JSON.stringify(chance.happens(0.15) ? payload : bend(chance, payload, 1 + chance.number(3)));
  const headers = {
    'content-type': 'application/json',
    'x-github-event': chance.happens(0.1) ? 'ping' : event,
    'x-github-delivery': crypto.randomUUID(),
    'x-hub-signature-256': `sha256=${createHmac('sha256', hub).update(body).digest('hex')}`,
  };
  return { kind: 'hub event', path: '/webhooks/github', init: { method: 'POST', body, headers } };
}

/** The same of GitLab. */
export async function labEvent(chance: Chance, { lab }: Proofs): Promise<Generated> {
  const project = { id: 1, path_with_namespace: 'octo/shop' };
  const payload = chance.pick<object>([
    { object_kind: 'push', event_name: 'push', before: '0'.repeat(40), after: COMMIT, ref: 'refs/heads/main', checkout_sha: COMMIT, project_id: 1, project },
    {
      object_kind: 'merge_request',
      project,
      object_attributes: { iid: 4, action: 'open', source_project_id: 1, target_project_id: 1, target_branch: 'main', last_commit: { id: COMMIT } },
    },
    { object_kind: 'pipeline', project, object_attributes: { id: 9, status: 'success', sha: COMMIT, ref: 'main', source: 'push', tag: false } },
  ]);
  const { body, headers } = deliverFromGitLab(chance.happens(0.15) ? payload : bend(chance, payload, 1 + chance.number(3)), lab);
  return { kind: 'lab event', path: '/webhooks/gitlab', init: { method: 'POST', body, headers } };
}

/** A job's token with claims that are wrong, or the right token over a document that is. */
export async function identity(chance: Chance, { requests, origin, issuer }: Proofs): Promise<Generated> {
  const isDocumentWrong = chance.happens(0.5);
  const document = requests.makeRequest(isDocumentWrong ? { manifest: chance.pick(LEAVES) ?? {} } : { manifest: manifestOf({ '1.sql': 'select 1;' }) });
  const body = isDocumentWrong && chance.happens(0.3) ? `${JSON.stringify(document)}}` : JSON.stringify(document);
  const isHub = chance.happens(0.6);
  const claims = isHub ? githubClaims(`${issuer.origin}/github`, `${origin}/sha256:${digestOf(body)}`, now()) : gitlabClaims(issuer.origin, origin, now());
  const required = isHub ? ['aud', 'repository_id', 'repository_owner_id', 'exp', 'iat', 'iss'] : ['aud', 'project_id', 'namespace_id', 'exp', 'iss'];
  const wrong = isDocumentWrong ? {} : { [chance.pick(required)]: chance.pick(['1', 'x', '', null, [], {}, true]) };
  const token = await issuer.sign({ ...claims, ...wrong }, chance.happens(0.1) ? { header: { [chance.pick(['jku', 'x5u', 'typ'])]: chance.text(9) } } : {});
  return {
    kind: 'identity',
    path: DEPLOYMENTS,
    init: { method: 'POST', body, headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` } },
  };
}

function idOf(request: Uint8Array): string {
  const { id } = JSON.parse(new TextDecoder().decode(request)) as { id: unknown };
  return String(id);
}
