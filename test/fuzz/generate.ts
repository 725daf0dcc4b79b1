/**
 * Requests that nobody should send, made by chance from a seed: malformed and mutated JSON, tar, gzip, headers, paths, tokens and manifests, with no
 * signature, a wrong one, or the right one of a caller who may not do what the document asks. None of them may reach a database. What is proved
 * and bad all the same is `proved.ts`.
 */
import { gzipSync } from 'node:zlib';
import { inlineFiles, manifestOf, type Requests } from '../http/requests.ts';
import { bend, Chance, type Random } from './chance.ts';
import { hubEvent, identity, labEvent, type Proofs, wrongAct, wrongDocument, wrongTar } from './proved.ts';

export interface Generated {
  readonly kind: string;
  readonly path: string;
  readonly init: RequestInit & { readonly method: string };
}

const IDS = ['0190a0de-0000-7000-8000-00000000000a', '00000000-0000-0000-0000-000000000000', 'x', '%2e%2e', "' or 1=1 --", '0190A0DE'];
const TARGETS = ['staging', 'production', 'nowhere', '..', '%00', 'staging%2f', 'STAGING', ''];
const WORDS = [
  'deployments',
  'history',
  'drift',
  'undo',
  'plan',
  'events',
  'resume',
  'cancel',
  'receipt',
  'changes',
  'accept',
  'forget',
  'approve',
  'openapi.json',
];
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];
const TYPES = [
  'application/json',
  'application/x-tar',
  'application/gzip',
  'text/plain',
  'multipart/form-data; boundary=x',
  'application/json; charset=utf-16',
  '',
];
const UNPROVED = [anything, anything, unsigned, mutated, mutated, mutated, bundle, tar, tar, reading, act, webhook];
const PROVED = [wrongDocument, wrongDocument, wrongTar, wrongTar, wrongAct, hubEvent, labEvent, identity];

/** @param random for this request alone, so that it can be made again by its number */
export async function generate(random: Random, proofs: Proofs): Promise<Generated> {
  const chance = new Chance(random);
  return chance.happens(0.6) ? chance.pick(UNPROVED)(chance, proofs.requests) : chance.pick(PROVED)(chance, proofs);
}

/** Any method, path, headers and body. */
async function anything(chance: Chance): Promise<Generated> {
  const method = chance.pick(METHODS);
  const body = method === 'GET' || method === 'HEAD' ? {} : { body: chance.happens(0.3) ? '' : chance.bytes(2000) };
  return { kind: 'anything', path: pathOf(chance), init: { method, headers: headersOf(chance), ...body } };
}

/** A document as it should be, with signature headers that are not. */
async function unsigned(chance: Chance, requests: Requests): Promise<Generated> {
  const init = await requests.post(baseline(requests), { secret: requests.secrets.stranger });
  const headers = { ...(init.headers as Record<string, string>), ...headersOf(chance) };
  for (const name of Object.keys(headers)) if (chance.happens(0.2)) delete headers[name];
  return { kind: 'unsigned', path: '/v1/targets/staging/deployments', init: { ...init, method: 'POST', headers } };
}

/** A document that its caller may not send, bent in one to five places, and signed as it then is. */
async function mutated(chance: Chance, requests: Requests): Promise<Generated> {
  const document = { ...(bend(chance, baseline(requests), 1 + chance.number(5)) as object), mode: 'baseline' } as Record<string, unknown>;
  let text = JSON.stringify(document);
  if (chance.happens(0.3)) text = wound(chance, text);
  const id = typeof document.id === 'string' && /^[\w:-]{1,128}$/.test(document.id) ? document.id : 'run-1';
  const body = new TextEncoder().encode(text);
  const headers = { 'content-type': 'application/json', ...(await requests.sign(body, id)) };
  // What was cut, or said twice, may be no baseline any more: then it is nobody's.
  const signed = text === JSON.stringify(document) ? headers : { ...headers, ...(await requests.sign(body, id, { secret: requests.secrets.stranger })) };
  return {
    kind: 'mutated',
    path: '/v1/targets/staging/deployments',
    init: { method: 'POST', body, headers: { ...wishesOf(chance), ...(chance.happens(0.5) ? signed : headers) } },
  };
}

/** A bundle file by chance, of files one of which is never right. */
async function bundle(chance: Chance, requests: Requests): Promise<Generated> {
  const word = () =>
    chance.pick([
      'name',
      'phases',
      'steps',
      'run',
      'load',
      'batch',
      'when',
      'repeat',
      'key',
      'parameters',
      'drift',
      'ignore',
      '&a',
      '*a',
      '!!js',
      '<<',
      '- ',
      '[',
      '}',
      '"',
    ]);
  const lines = Array.from({ length: chance.number(12) }, () => `${' '.repeat(chance.number(6))}${word()}: ${chance.happens(0.5) ? word() : chance.text(20)}`);
  const files = inlineFiles({ 'weft.yaml': `name: shop\n${lines.join('\n')}`, [`${chance.text(20)}.sql`]: chance.text(50), '../never.sql': 'select 1;' });
  const init = await requests.post(requests.makeRequest({ files, folder: 'shop' }));
  return {
    kind: 'bundle',
    path: '/v1/targets/staging/deployments',
    init: { ...init, method: 'POST', headers: { ...wishesOf(chance), ...(init.headers as Record<string, string>) } },
  };
}

/** A tar that its caller may not send, bent, cut, or packed wrongly. */
async function tar(chance: Chance, requests: Requests): Promise<Generated> {
  const files = { '1.sql': chance.text(2000), '2.sql': 'select 2;' };
  const manifest = manifestOf(files);
  const init = await requests.postTar(requests.makeRequest({ manifest, mode: 'baseline' }), files);
  let body = Uint8Array.from(init.body as Uint8Array);
  const headers = { ...(init.headers as Record<string, string>) };
  if (chance.happens(0.4)) {
    body = Uint8Array.from(gzipSync(body));
    headers['content-encoding'] = 'gzip';
  }
  for (let times = chance.number(6); times > 0; times -= 1) body[chance.number(body.length)] = chance.number(256);
  if (chance.happens(0.3)) body = body.slice(0, chance.number(body.length + 1));
  if (chance.happens(0.1)) headers['content-encoding'] = chance.pick(['gzip', 'br', 'identity', 'gzip, gzip', 'x']);
  return { kind: 'tar', path: '/v1/targets/staging/deployments', init: { method: 'POST', body, headers } };
}

/** A reading with a token that is none, is another's, or is over. */
async function reading(chance: Chance, requests: Requests): Promise<Generated> {
  const { authorization } = await requests.bearer({ seconds: -60 - chance.number(1e6) });
  const token = chance.pick([
    authorization,
    `Bearer ${chance.text(300)}`,
    authorization.slice(0, chance.number(authorization.length)),
    'Bearer',
    `Basic ${authorization}`,
    '',
  ]);
  const inQuery = chance.happens(0.3);
  const path = `/v1/targets/${chance.pick(TARGETS)}/${chance.pick(['deployments', 'history', 'drift', 'undo', 'later', `deployments/${chance.pick(IDS)}/events`, `deployments/${chance.pick(IDS)}`])}`;
  const query = inQuery ? `?token=${encodeURIComponent(clean(token))}&${encodeURIComponent(clean(chance.text(10)))}` : '';
  return { kind: 'reading', path: `${path}${query}`, init: { method: 'GET', headers: inQuery ? {} : { authorization: printable(token) } } };
}

/** Acts on a deployment, for a target where their caller may do nothing. */
async function act(chance: Chance, requests: Requests): Promise<Generated> {
  const type = chance.pick(['resume', 'cancel', 'undo', 'accept_drift', 'forget']);
  const document = requests.makeRequest({
    type,
    target: 'production',
    deployment: chance.pick(IDS),
    ...(bend(chance, { fingerprint: 'x', why: 'y', path: 'z' }, 2) as object),
  });
  const init = await requests.post({ ...document, target: 'production' });
  const path = chance.pick([`deployments/${chance.pick(IDS)}/${type}`, 'drift/accept', 'history/forget']);
  return { kind: 'act', path: `/v1/targets/${chance.happens(0.5) ? 'production' : 'staging'}/${path}`, init: { ...init, method: 'POST' } };
}

/** Of a service hook of Azure DevOps, which has no signature: so its bodies can be bent, and are still proved. */
export const REPOS_SECRET = 'a-secret-of-a-service-hook';

async function webhook(chance: Chance): Promise<Generated> {
  return chance.happens(0.4) ? serviceHook(chance) : signedWebhook(chance);
}

async function serviceHook(chance: Chance): Promise<Generated> {
  const guid = '278d5cd2-584d-4b63-824a-2ba458937249';
  const repository = { id: guid, project: { id: guid }, type: 'TfsGit' };
  const commit = 'f'.repeat(40);
  const resource = {
    repository,
    refUpdates: [{ name: 'refs/heads/main', newObjectId: commit }],
    pullRequestId: 1,
    id: 1,
    status: chance.pick(['active', 'completed']),
    result: 'succeeded',
    reason: chance.pick(['manual', 'individualCI', 'pullRequest']),
    definition: { id: 12 },
    project: { id: guid },
    sourceBranch: 'refs/heads/main',
    sourceRefName: 'refs/heads/main',
    targetRefName: 'refs/heads/main',
    sourceVersion: commit,
    lastMergeSourceCommit: { commitId: commit },
  };
  const eventType = chance.pick(['git.push', 'git.pullrequest.created', 'git.pullrequest.updated', 'build.complete', 'constructor', chance.text(10)]);
  const body = JSON.stringify(bend(chance, { id: guid, eventType, resource }, 4));
  const proof = chance.happens(0.8) ? { 'x-weft-token': REPOS_SECRET } : { authorization: printable(`Basic ${chance.text(40)}`) };
  return { kind: 'webhook', path: '/webhooks/azure', init: { method: 'POST', headers: { 'content-type': 'application/json', ...proof }, body } };
}

async function signedWebhook(chance: Chance): Promise<Generated> {
  const body = chance.happens(0.5)
    ? chance.bytes(500)
    : JSON.stringify(bend(chance, { ref: 'refs/heads/main', repository: { id: 1, full_name: 'a/b' }, after: 'f'.repeat(40) }, 3));
  const headers = {
    'content-type': chance.pick(TYPES),
    'x-github-event': chance.pick(['push', 'pull_request', 'ping', 'deployment', printable(chance.text(10))]),
    'x-hub-signature-256': chance.pick([`sha256=${'0'.repeat(64)}`, 'sha256=', 'sha1=0', printable(chance.text(80))]),
    'x-gitlab-token': printable(chance.text(40)),
  };
  return { kind: 'webhook', path: `/webhooks/${chance.pick(['github', 'gitlab', 'azure', 'x', '..', ''])}`, init: { method: 'POST', headers, body } };
}

/** A request that is right in everything, and that ci may not make. */
function baseline(requests: Requests): Record<string, unknown> {
  const files = { '1.sql': 'create table a (id int);', '2.sql': "insert into a values (1);\n-- ;'\n" };
  return requests.makeRequest({ mode: 'baseline', manifest: manifestOf(files), files: inlineFiles(files), parameters: { a: 'b', n: 1 } });
}

/** Text of JSON that is none any more, or says a key twice. */
function wound(chance: Chance, text: string): string {
  const at = chance.number(text.length);
  return chance.pick([
    text.slice(0, at),
    `${text.slice(0, at)}${chance.text(5)}${text.slice(at)}`,
    `${text}${text}`,
    text.replace('{', '{"mode":"apply",'),
    `\ufeff${text}`,
  ]);
}

function pathOf(chance: Chance): string {
  const parts = Array.from({ length: 1 + chance.number(7) }, () =>
    chance.pick([chance.pick(WORDS), chance.pick(TARGETS), chance.pick(IDS), encodeURIComponent(clean(chance.text(12))), 'v1', 'targets']),
  );
  const long = chance.happens(0.03) ? `/${'a'.repeat(chance.number(6000))}` : '';
  return `/${parts.join('/')}${long}${chance.happens(0.2) ? `?${encodeURIComponent(clean(chance.text(20)))}` : ''}`;
}

function headersOf(chance: Chance): Record<string, string> {
  const headers: Record<string, string> = {};
  const names = [
    'webhook-id',
    'webhook-timestamp',
    'webhook-signature',
    'content-type',
    'content-encoding',
    'prefer',
    'authorization',
    'last-event-id',
    'x-forwarded-for',
    'accept',
  ];
  for (const name of names)
    if (chance.happens(0.3)) headers[name] = chance.happens(0.3) ? chance.pick(TYPES) : printable(chance.text(chance.happens(0.05) ? 3000 : 40));
  return headers;
}

/** What may stand beside a signature. */
function wishesOf(chance: Chance): Record<string, string> {
  const names = ['prefer', 'accept', 'last-event-id', 'x-forwarded-for', 'authorization', 'if-none-match'];
  return Object.fromEntries(
    names.flatMap((name) => (chance.happens(0.3) ? [[name, chance.pick([printable(chance.text(60)), 'wait=1', 'wait="', 'wait=99999999999'])]] : [])),
  );
}

/** What may stand in a header of HTTP/1.1. */
function printable(text: string): string {
  return text.replace(/[^\u0020-\u007e\u00a0-\u00ff]/g, '').trim();
}

/** Without halves of characters. */
function clean(text: string): string {
  return text.toWellFormed();
}
