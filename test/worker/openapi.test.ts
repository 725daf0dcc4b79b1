/**
 * Every operation of the description, called on the Worker in workerd with a real database behind it: what is sent fits the schema of what may
 * be sent, and what is answered fits the schema of what is answered. The schemas are those that the Worker itself serves.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEPLOYMENTS, type Document, digestOf, inlineFiles, manifestOf } from '../http/requests.ts';
import { githubClaims, type Issuer, startIssuer } from '../support/issuer.ts';
import { type AnyDocument, openWorld, type World } from './support.ts';

let world: World;
let api: AnyDocument;
let issuer: Issuer;
let ajv: Ajv2020;
const called = new Set<string>();

beforeAll(async () => {
  issuer = await startIssuer();
  world = await openWorld({
    more: {
      environmentOfTcp: { second_person: true },
      callers: {
        actions: {
          identity: { kind: 'github', repository_id: '123456789', repository_owner_id: '9919', environment: 'production', issuer: `${issuer.origin}/github` },
        },
      },
      grants: [
        { caller: 'watcher', targets: ['staging-tcp'], actions: ['approve'] },
        { caller: 'actions', targets: ['staging'], actions: ['deploy', 'read'] },
      ],
    },
  });
  api = await (await world.worker.fetch('/openapi.json')).json();
  // OpenAPI's own words (discriminator and the like) are no words of JSON Schema.
  ajv = new Ajv2020({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addFormat('base64', /^[A-Za-z0-9+/]*={0,2}$/);
  ajv.addSchema({ ...api, $id: 'api' });
});

afterAll(async () => {
  await world?.stop();
  await issuer?.stop();
});

function judge(schema: string, value: unknown): void {
  const validate = ajv.getSchema(`api#/components/schemas/${schema}`);
  if (validate === undefined) throw new Error(`no schema ${schema}`);
  if (!validate(value)) throw new Error(`${schema}: ${JSON.stringify(validate.errors)} in ${JSON.stringify(value).slice(0, 2000)}`);
}

interface Call {
  readonly parameters?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly init?: RequestInit;
  /** What is sent, where it is JSON. */
  readonly sent?: unknown;
}

/** Who follows the description sends one of the proofs that it names, and every header that it says must be there. */
function judgeProof({ security, parameters = [] }: AnyDocument, path: string, headers: Headers): void {
  const isSent = (name: string) => {
    const { type, in: place, name: key, scheme, bearerFormat } = api.components.securitySchemes[name];
    if (place === 'query') return path.includes(`${key}=`);
    if (type === 'apiKey') return headers.has(key);
    const [word = '', token = ''] = (headers.get('authorization') ?? '').split(' ');
    return word.toLowerCase() === scheme && (scheme !== 'bearer' || token.startsWith('eyJ') === (bearerFormat === 'JWT'));
  };
  const isFit = (one: object) =>
    Object.keys(api.components.securitySchemes)
      .filter((name) => !['hub', 'lab', 'azureHeader', 'azureBasic'].includes(name))
      .every((name) => isSent(name) === Object.hasOwn(one, name));
  expect(security.length === 0 || security.some(isFit), JSON.stringify(security)).toBe(true);
  for (const { $ref } of parameters) {
    const { in: place, name, required } = api.components.parameters[$ref.split('/').at(-1)];
    if (place === 'header' && required) expect([...headers.keys()]).toContain(name.toLowerCase());
  }
}

/** Calls an operation, and holds question and answer to the description. */
async function call(id: string, { parameters = {}, query = '', init = {}, sent }: Call = {}): Promise<{ status: number; document: AnyDocument }> {
  called.add(id);
  for (const [template, methods] of Object.entries<Record<string, AnyDocument>>(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (operation.operationId !== id) continue;
      const path = template.replace(/\{(\w+)\}/g, (_, name) => parameters[name] ?? 'staging');
      if (sent !== undefined) judge(operation.requestBody.content['application/json'].schema.$ref.split('/').at(-1), sent);
      const answer = await world.worker.fetch(`${path}${query}`, { ...init, method: method.toUpperCase() });
      const described = operation.responses[answer.status] ?? operation.responses[`${Math.floor(answer.status / 100)}XX`];
      if (answer.ok) judgeProof(operation, `${path}${query}`, new Headers(init.headers));
      expect(described, `${id} answers ${answer.status}: ${await answer.clone().text()}`).toBeDefined();
      const response = described.$ref === undefined ? described : api.components.responses[described.$ref.split('/').at(-1)];
      const type = (answer.headers.get('content-type') ?? '').split(';')[0] ?? '';
      if (response.content === undefined) return { status: answer.status, document: await answer.text() };
      expect(Object.keys(response.content)).toContain(type);
      const { $ref } = response.content[type].schema;
      const text = await answer.text();
      const document = type.endsWith('json') ? JSON.parse(text) : text;
      if ($ref !== undefined) judge($ref.split('/').at(-1), document);
      return { status: answer.status, document };
    }
  }
  throw new Error(`no operation ${id}`);
}

async function signed(document: Document, headers: Record<string, string> = {}): Promise<Call> {
  return { init: await world.requests.post(document, { headers }), sent: document };
}

async function reading(more: RequestInit['headers'] = {}): Promise<Call> {
  return { init: { headers: { ...(await world.requests.bearer()), ...more } } };
}

const WAIT = { prefer: 'wait=30' };

function makeDeploy(files: Record<string, string>, folder = 'shop'): Document {
  return world.requests.makeRequest({ files: inlineFiles(files), folder });
}

describe('every operation', () => {
  let id: string;

  test('deploys, and answers with how far it is, or with the end', async () => {
    const first = await call('deploy', await signed(makeDeploy({ '1.sql': 'create table goods (id int);' }), WAIT));
    expect(first).toMatchObject({ status: 200, document: { state: 'succeeded' } });
    id = first.document.id;
    const second = await call('deploy', await signed(makeDeploy({ '1.sql': 'select pg_sleep(0.5);' }, 'slow')));
    expect(second.status).toBe(202);
    const isOver = async () => (await world.client.query(`select weft.status($1::uuid) ->> 'state' as state`, [second.document.id])).rows[0].state;
    await expect.poll(isOver, { timeout: 20_000 }).toBe('succeeded');
    const { files: _, folder: __, ...bare } = makeDeploy({});
    const asks = await call('deploy', await signed({ ...bare, manifest: manifestOf({ '7.sql': 'select 7;' }) }));
    expect(asks).toMatchObject({ status: 202, document: { missing: [{ path: '7.sql' }] } });
    await call('cancelDeployment', {
      ...(await signed(world.requests.makeRequest({ type: 'cancel', deployment: asks.document.id }), WAIT)),
      parameters: { id: asks.document.id },
    });
  });

  test('deploys and reads without any secret: with the identity token of a job, and no signature', async () => {
    const document = makeDeploy({ '5.sql': 'select 5;' }, 'keyless');
    const body = JSON.stringify(document);
    const now = Math.floor(Date.now() / 1000);
    const tokenFor = (audience: string) => issuer.sign(githubClaims(`${issuer.origin}/github`, audience, now));
    const authorization = `Bearer ${await tokenFor(`${world.worker.origin}/sha256:${digestOf(body)}`)}`;
    const init = { method: 'POST', body, headers: { 'content-type': 'application/json', authorization, ...WAIT } };
    const made = await call('deploy', { init, sent: document });
    expect(made).toMatchObject({ status: 200, document: { state: 'succeeded', caller: 'actions' } });
    const reads = { init: { headers: { authorization: `Bearer ${await tokenFor(world.worker.origin)}` } }, parameters: { id: made.document.id } };
    expect((await call('getDeployment', reads)).status).toBe(200);
  });

  test('reads a deployment, its changes, its receipt, and its events', async () => {
    const one = { ...(await reading()), parameters: { id } };
    expect((await call('getDeployment', one)).document).toMatchObject({ id, state: 'succeeded' });
    expect((await call('getChanges', one)).document).toMatchObject({ verdict: 'changed', count: 1 });
    expect((await call('getReceipt', one)).document).toMatchObject({ id, number: 1 });
    const tag = (await world.worker.fetch(`${DEPLOYMENTS}/${id}/receipt`, one.init)).headers.get('etag') ?? '';
    expect((await call('getReceipt', { ...(await reading({ 'if-none-match': tag })), parameters: { id }, query: '?number=1' })).status).toBe(304);
    expect((await call('followDeployment', { ...(await reading({ 'last-event-id': '1' })), parameters: { id } })).document).toContain('event: end');
  });

  test('lists, plans, and tells history and drift', async () => {
    expect((await call('listDeployments', { ...(await reading()), query: '?limit=2' })).document.deployments).toHaveLength(2);
    expect((await call('getHistory', { ...(await reading()), query: '?bundle=shop' })).document.history).toHaveLength(1);
    const question = { manifest: manifestOf({ '1.sql': 'create table goods (id bigint);' }), texts: { '1.sql': 'create table goods (id bigint);' } };
    const asked = { method: 'POST', body: JSON.stringify(question), headers: { 'content-type': 'application/json', ...(await world.requests.bearer()) } };
    expect((await call('plan', { init: asked, sent: question })).document.refusal).toMatchObject({ sqlstate: 'WF013' });
    await world.client.query('create table by_hand (n int)');
    const drift = (await call('getDrift', await reading())).document;
    expect(drift).toMatchObject({ verdict: 'drift' });
    const word = world.requests.makeRequest({ type: 'accept_drift', fingerprint: drift.fingerprint.after });
    expect((await call('acceptDrift', await signed(word))).document).toMatchObject({ verdict: 'none' });
  });

  test('forgets what is not there any more', async () => {
    const yaml = 'name: half\nphases: [{ name: main, transaction: none, steps: [{ run: a.sql }] }]\n';
    const half = makeDeploy({ 'weft.yaml': yaml, 'a.sql': 'create table half (n int);\nselect nonsense;' });
    expect((await call('deploy', await signed(half, WAIT))).document).toMatchObject({ state: 'failed' });
    await world.client.query('drop table half');
    const word = world.requests.makeRequest({ type: 'forget', path: 'a.sql', why: 'taken away by hand' });
    expect((await call('forget', await signed(word))).status).toBe(200);
  });

  test('resumes, cancels, and takes back', async () => {
    const act = async (type: string) => ({ ...(await signed(world.requests.makeRequest({ type, deployment: id }), WAIT)), parameters: { id } });
    expect(await call('resumeDeployment', await act('resume'))).toMatchObject({ status: 200, document: { state: 'succeeded' } });
    expect(await call('cancelDeployment', await act('cancel'))).toMatchObject({ status: 200 });
    expect((await call('planUndo', { ...(await reading()), parameters: { id } })).document.lacking).toMatchObject([{ path: '1.sql' }]);
    expect((await call('planNewestUndo', { ...(await reading()), query: '?bundle=shop' })).document).toMatchObject({ deployment: id });
    expect((await call('listLater', { ...(await reading()), query: `?after=${id}` })).document).toMatchObject({ deployment: id, later: [] });
    const whole = await call('undoDeployment', await act('undo'));
    expect(whole).toMatchObject({ status: 409, document: { type: 'urn:weft:problem:undo_missing' } });
  });

  test('approves what waits for a second person', async () => {
    const files = { '9.sql': 'select 9;' };
    const waiting = await call('deploy', {
      ...(await signed({ ...makeDeploy(files), target: 'staging-tcp' }, WAIT)),
      parameters: { target: 'staging-tcp' },
    });
    expect(waiting).toMatchObject({ status: 202, document: { state: 'open', approval: { waits: true } } });
    const { id: deployment, approval } = waiting.document;
    const wish = world.requests.makeRequest({ type: 'approve', deployment, digest: approval.digest, target: 'staging-tcp' });
    const init = await world.requests.post(wish, { secret: world.secrets.watcher, headers: WAIT });
    expect(await call('approveDeployment', { init, sent: wish, parameters: { target: 'staging-tcp', id: deployment } })).toMatchObject({
      status: 200,
      document: { state: 'succeeded', approval: { by: 'watcher' } },
    });
  });

  test('is refused with a problem that the description has: without a proof, with nonsense, for what is not there', async () => {
    for (const path of ['getDeployment', 'getDrift', 'listDeployments', 'plan']) expect((await call(path, { parameters: { id } })).status).toBe(401);
    for (const path of ['deploy', 'resumeDeployment', 'acceptDrift']) {
      expect((await call(path, { parameters: { id }, init: { body: '{}', headers: { 'content-type': 'application/json' } } })).status).toBe(401);
    }
    expect((await call('listDeployments', { ...(await reading()), query: '?limit=none' })).status).toBe(422);
    expect((await call('takeWebhook', { parameters: { forge: 'github' }, init: { body: '{}' } })).status).toBe(404); // here is no forge
    expect((await call('getDeployment', { ...(await reading()), parameters: { id: crypto.randomUUID() } })).status).toBe(404);
  });

  test('says what the Worker says of itself', async () => {
    expect((await call('getHealth')).document).toMatchObject({ status: 'ok' });
    expect((await call('showPage')).document).toContain('<h1>Weft');
    expect((await call('describeApi')).document).toEqual(api);
  });

  test('has been called here', () => {
    const all = Object.values<Record<string, AnyDocument>>(api.paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
    expect(all.filter((operation) => !called.has(operation))).toEqual([]);
  });
});
