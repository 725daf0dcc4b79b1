/** The door for GitHub's webhooks: what proves one, every way in which it does not, and what follows from those that are proved. */
import { createHash, createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import type { ForgeWork } from '../../src/domain/change.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { ForgeAtHand } from '../../src/forges/forge.ts';
import { ANSWER_SCHEMAS } from '../../src/http/operations.ts';
import { readHubSignature, verifyHubSignature } from '../../src/trust/hub_signature.ts';
import { CHANGE, COMMIT } from '../support/changes.ts';
import { makeHouse } from './support.ts';

const SECRETS = ['the-secret-of-this-webhook', 'the-one-that-replaces-it'];
const repository = { id: 7, full_name: 'octo/shop' };
const PUSH = { ref: 'refs/heads/main', after: COMMIT, deleted: false, repository };

const config = parseConfig({
  origin: 'https://weft.test',
  targets: { staging: { database: 'A', transport: 'tcp' }, shop: { database: 'B', transport: 'tcp' } },
  callers: {
    hub: { forge: { kind: 'github', webhook_secrets: ['C', 'D'], token: 'E' } },
    other: { forge: { kind: 'github', webhook_secrets: ['F'], token: 'G' } },
  },
  grants: [
    { caller: 'hub', targets: ['*'], actions: ['deploy'] },
    { caller: 'other', targets: ['*'], actions: ['deploy'] },
  ],
  sources: [
    { forge: 'hub', repository_id: '7', folder: 'db', event: 'push', branch: 'main', target: 'staging' },
    { forge: 'hub', repository_id: '7', folder: 'db', event: 'push', branch: 'release/*', target: 'shop' },
    { forge: 'hub', repository_id: '7', folder: 'audit', event: 'push', branch: 'main', target: 'shop' },
    { forge: 'hub', repository_id: '7', folder: 'db', event: 'pull_request', branch: 'main', target: 'staging' },
    { forge: 'other', repository_id: '8', folder: 'db', event: 'push', branch: 'main', target: 'staging' },
  ],
});

/** An app that knows two forges, and writes down what it is given to do. */
function makeDoor(o: { queue?: boolean | 'full' } = {}) {
  const client = { confirm: fail, fetchBundle: fail, report: fail } as unknown as ForgeAtHand['client'];
  const left: ForgeWork[] = [];
  const taken: ForgeWork[] = [];
  const house = makeHouse({
    config,
    forges: new Map([
      ['hub', { name: 'hub', kind: 'github', webhooks: SECRETS, client }],
      ['other', { name: 'other', kind: 'github', webhooks: ['the-secret-of-another-forge'], client }],
    ]),
    changes: {
      ...(o.queue === false
        ? {}
        : {
            leave: async (work: ForgeWork) => {
              if (o.queue === 'full') throw new Error('Too Many Requests');
              left.push(work);
            },
          }),
      takeUp: async (work) => void taken.push(work),
      tellOwed: async () => new Set(),
    },
  });
  return { house, left, taken };
}

function fail(): never {
  throw new Error('nobody is asked before the answer');
}

function signed(document: unknown, o: { event?: string; secret?: string } = {}) {
  const body = typeof document === 'string' ? document : JSON.stringify(document);
  const signature = `sha256=${createHmac('sha256', o.secret ?? SECRETS[0] ?? '')
    .update(body)
    .digest('hex')}`;
  const headers: Record<string, string> = { 'content-type': 'application/json', 'x-github-event': o.event ?? 'push', 'x-hub-signature-256': signature };
  return { method: 'POST', headers, body };
}

async function post(door: ReturnType<typeof makeDoor>, init: RequestInit, path = '/webhooks/github') {
  const answer = await door.house.fetch(path, init);
  await door.house.settle();
  const document = (await answer.json()) as Record<string, unknown>;
  if (answer.ok) expect(ANSWER_SCHEMAS.WebhookAnswer.safeParse(document).error).toBeUndefined();
  return { status: answer.status, document };
}

test('the signature is the one that GitHub publishes as an example', async () => {
  const body = new TextEncoder().encode('Hello, World!');
  const signature = readHubSignature(new Headers({ 'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17' }));
  expect(await verifyHubSignature(body, signature, [{ name: 'hub', secrets: ["It's a Secret to Everybody"] }])).toEqual({ caller: 'hub' });
});

test('a webhook that sends a form, as GitHub does by default, is told what to set', async () => {
  const init = signed(`payload=${encodeURIComponent(JSON.stringify(PUSH))}`);
  const { status, document } = await post(makeDoor(), { ...init, headers: { ...init.headers, 'content-type': 'application/x-www-form-urlencoded' } });
  expect([status, document.type]).toEqual([415, 'urn:weft:problem:unsupported_media_type']);
  expect(document.detail).toContain('Set its content type to application/json at GitHub');
});

test('a push is left in the queue once for each source that follows it, with what proves it; nobody was asked by then', async () => {
  const door = makeDoor();
  const init = signed(PUSH);
  const { status, document } = await post(door, init);
  const delivery = createHash('sha256').update(init.body).digest('hex');
  expect([status, document]).toEqual([
    202,
    {
      outcome: 'accepted',
      delivery,
      deployments: [
        { target: 'staging', folder: 'db', commit: COMMIT, queued: true },
        { target: 'shop', folder: 'audit', commit: COMMIT, queued: true },
      ],
    },
  ]);
  const proof = { delivery, signature: init.headers['x-hub-signature-256'] };
  const common = { kind: 'change', forge: 'hub', change: CHANGE, proof, deployment: null, reports: {}, account: null, looks: 0 };
  expect(door.left).toEqual([
    { ...common, folder: 'db', target: 'staging' },
    { ...common, folder: 'audit', target: 'shop' },
  ]);
  expect([door.taken, door.house.sessions.opened]).toEqual([[], 0]);
});

test.each([false, 'full'] as const)('without a queue (%s) it is taken up behind the answer, which says so', async (queue) => {
  const door = makeDoor({ queue });
  const { status, document } = await post(door, signed({ ...PUSH, ref: 'refs/heads/release/1' }));
  expect([status, document.deployments]).toEqual([202, [{ target: 'shop', folder: 'db', commit: COMMIT, queued: false }]]);
  expect(door.taken).toMatchObject([{ target: 'shop', folder: 'db' }]);
});

test('each secret of a forge proves it, and names that forge alone', async () => {
  const door = makeDoor();
  for (const secret of SECRETS) expect((await post(door, signed(PUSH, { secret }))).status).toBe(202);
  // The other forge has no source for this repository.
  const { status, document } = await post(door, signed(PUSH, { secret: 'the-secret-of-another-forge' }));
  expect([status, document.outcome]).toEqual([200, 'ignored']);
});

type Signed = ReturnType<typeof signed>;

/** Changes the signature alone. @param edit of its value; undefined takes it away */
const signature =
  (edit: (given: string) => string | undefined) =>
  ({ headers: { 'x-hub-signature-256': given = '', ...others }, ...init }: Signed): Signed => {
    const value = edit(given);
    return { ...init, headers: value === undefined ? others : { ...others, 'x-hub-signature-256': value } };
  };

const event =
  (value: string | undefined) =>
  ({ headers: { 'x-github-event': _, ...others }, ...init }: Signed): Signed => ({
    ...init,
    headers: value === undefined ? others : { ...others, 'x-github-event': value },
  });

const body =
  (edit: (given: string) => string) =>
  (init: Signed): Signed => ({ ...init, body: edit(init.body) });

/** One thing changed in what proves. */
const MUTATIONS: readonly (readonly [name: string, edit: (init: Signed) => Signed, slug: string])[] = [
  ['no signature', signature(() => undefined), 'unsigned'],
  ['an empty signature', signature(() => ''), 'unsigned'],
  ['a signature without its name', signature((given) => given.slice(7)), 'unsigned'],
  ['the name of the old one, SHA-1', signature((given) => `sha1=${given.slice(7)}`), 'unsigned'],
  ['upper case', signature((given) => `sha256=${given.slice(7).toUpperCase()}`), 'unsigned'],
  ['a signature cut by a digit', signature((given) => given.slice(0, -1)), 'unsigned'],
  ['a digit more', signature((given) => `${given}0`), 'unsigned'],
  ['two signatures', signature((given) => `${given}, ${given}`), 'unsigned'],
  ['the first digit bent', signature((given) => bend(given, 7)), 'signature_mismatch'],
  ['the last digit bent', signature((given) => bend(given, 70)), 'signature_mismatch'],
  ['the digits of nothing', signature(() => `sha256=${createHmac('sha256', SECRETS[0] ?? '').digest('hex')}`), 'signature_mismatch'],
  ['no event', event(undefined), 'unsigned'],
  ['two events', event('push, ping'), 'unsigned'],
  ['a byte of the body bent', body((given) => given.replace('main', 'maim')), 'signature_mismatch'],
  ['a blank more', body((given) => `${given} `), 'signature_mismatch'],
  ['a line end more', body((given) => `${given}\n`), 'signature_mismatch'],
  ['the last byte cut', body((given) => given.slice(0, -1)), 'signature_mismatch'],
  ['the body doubled', body((given) => given + given), 'signature_mismatch'],
  ['no body', body(() => ''), 'signature_mismatch'],
];

function bend(text: string, at: number): string {
  return `${text.slice(0, at)}${text[at] === '0' ? '1' : '0'}${text.slice(at + 1)}`;
}

test.each(MUTATIONS)('one thing is wrong, %s: refused, and nothing was done', async (_name, edit, slug) => {
  const door = makeDoor();
  const answer = await door.house.fetch('/webhooks/github', edit(signed(PUSH)));
  expect([answer.status, ((await answer.json()) as { type: string }).type]).toEqual([401, `urn:weft:problem:${slug}`]);
  expect(answer.headers.get('www-authenticate')).toContain('Webhook');
  expect([door.left, door.taken, door.house.sessions.opened]).toEqual([[], [], 0]);
});

test.each([
  ['another event’s name over a push', PUSH, 'pull_request'],
  ['another event’s name over a push', PUSH, 'deployment'],
  ['another event’s name over a push', PUSH, 'workflow_run'],
  [
    'a status of a deployment as a deployment',
    { action: 'created', deployment: deployment(), deployment_status: { state: 'success' }, repository },
    'deployment',
  ],
  ['a review as a pull request', { action: 'opened', ...pull(), review: {} }, 'pull_request'],
  ['a comment as a pull request', { action: 'opened', ...pull(), comment: {} }, 'pull_request'],
  ['a pull request as a push', { ...PUSH, ...pull() }, 'push'],
  ['a name of a repository that leads elsewhere', { ...PUSH, repository: { id: 7, full_name: 'octo/shop/../../user' } }, 'push'],
  ['a name of a repository that leads elsewhere', { ...PUSH, repository: { id: 7, full_name: '../shop' } }, 'push'],
  ...['release/../../pull/5/head', '../main', 'release/', 'a//b', 'release/.x', 'a b', 'main.lock', 'a\u0000b'].map((branch): [string, object, string] => [
    'a branch that leads elsewhere, or is none',
    { ...PUSH, ref: `refs/heads/${branch}` },
    'push',
  ]),
  [
    'a deployment of a branch that leads elsewhere',
    { action: 'created', deployment: { ...deployment(), ref: '../pull/5/head' }, workflow_run: null, repository },
    'deployment',
  ],
  ['an id that is no number', { ...PUSH, repository: { id: '7', full_name: 'octo/shop' } }, 'push'],
  ['a commit that is none', { ...PUSH, after: 'main' }, 'push'],
  ['a document that is no object', [], 'push'],
])('the event’s name is signed by nobody, so the body must fit it: %s', async (_name, document, event) => {
  const door = makeDoor();
  const { status, document: problem } = await post(door, signed(document, { event }));
  expect([status, problem.type]).toEqual([422, 'urn:weft:problem:invalid_request']);
  expect(door.left).toEqual([]);
});

test('a body that is no JSON is refused', async () => {
  expect(await post(makeDoor(), signed('{"ref":'))).toMatchObject({ status: 400, document: { type: 'urn:weft:problem:malformed_json' } });
});

test.each([
  ['ping', { zen: 'Keep it logically awesome.', hook_id: 1, hook: {} }, /set up/],
  ['star', { action: 'created' }, /"star"/],
  ['push', { ...PUSH, ref: 'refs/tags/v1' }, /no branch/],
  ['push', { ...PUSH, deleted: true, after: '0'.repeat(40) }, /deleted/],
  ['push', { ...PUSH, ref: 'refs/heads/feature' }, /No source follows/],
  ['push', { ...PUSH, repository: { id: 9, full_name: 'octo/shop' } }, /No source follows/],
  ['pull_request', { action: 'closed', ...pull() }, /"closed"/],
  ['pull_request', { action: 'opened', ...pull({ head: { sha: COMMIT, repo: { id: 66 } } }) }, /fork/],
  ['pull_request', { action: 'opened', ...pull({ head: { sha: COMMIT, repo: null } }) }, /fork/],
  ['pull_request', { action: 'opened', ...pull({ base: { ref: 'other', repo: { id: 7 } } }) }, /No source follows/],
  ['deployment', { action: 'created', deployment: deployment(), repository }, /No source follows/],
  ['deployment', { action: 'created', deployment: deployment(), workflow_run: { id: 1 }, repository }, /belongs to a job/],
])('what nothing follows from is no error: %s (%#)', async (event, document, reason) => {
  const door = makeDoor();
  const answer = await post(door, signed(document, { event }));
  expect(answer).toMatchObject({ status: 200, document: { outcome: 'ignored', reason: expect.stringMatching(reason) } });
  expect([door.left, door.taken]).toEqual([[], []]);
});

test('a pull request of the repository itself is followed by the branch that it is to go into', async () => {
  const door = makeDoor();
  expect((await post(door, signed({ action: 'synchronize', ...pull() }, { event: 'pull_request' }))).status).toBe(202);
  expect(door.left).toMatchObject([{ change: { event: 'pull_request', commit: COMMIT, branch: 'main', number: 12 }, target: 'staging' }]);
});

test('a forge of a kind that nobody is, or that there is not, has no address', async () => {
  for (const kind of ['gitlab', 'bitbucket', 'GITHUB', '__proto__']) expect((await post(makeDoor(), signed(PUSH), `/webhooks/${kind}`)).status).toBe(404);
  expect((await makeHouse().fetch('/webhooks/github', signed(PUSH))).status).toBe(404);
  expect((await makeDoor().house.fetch('/webhooks/github')).status).toBe(405);
});

test('a body that is larger than any of GitHub’s is refused before it is read', async () => {
  const init = signed(PUSH);
  init.headers['content-length'] = String(LIMITS.webhook_bytes + 1);
  expect(await post(makeDoor(), init)).toMatchObject({ status: 413, document: { limit: 'webhook_bytes' } });
});

function pull(changes: object = {}) {
  return {
    number: 12,
    pull_request: { head: { sha: COMMIT, repo: { id: 7 } }, base: { ref: 'main', repo: { id: 7 } }, ...changes },
    repository,
  };
}

function deployment() {
  return { id: 5, sha: COMMIT, ref: 'main', environment: 'production' };
}
