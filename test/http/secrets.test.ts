/** Parameters over HTTP: plain ones in the signed document, secrets beside it, and everything settled before a session opens. */
import { describe, expect, test } from 'vitest';
import type { Parameter } from '../../src/domain/parameters.ts';
import { digestSecrets } from '../../src/trust/secrets.ts';
import { DEPLOYMENTS, ID, inlineFiles, manifestOf } from './requests.ts';
import { makeDeployment, makeHouse, requests } from './support.ts';

const { post, postTar, makeRequest } = requests;

const SECRET = { token: 's3cret of eighty-one' };
const FILES = { '1.sql': 'select 1;' };
const declared: Parameter[] = [
  { name: 'environment', type: 'text', required: true },
  { name: 'token', type: 'text', secret: true },
];
const manifest = manifestOf(FILES, { parameters: declared });
const parameters = { environment: 'staging' };
const BUNDLE =
  'name: shop\nparameters: { environment: { type: text, required: true }, token: { type: text, secret: true } }\nphases: [{ name: main, steps: [{ run: 1.sql }] }]\n';
const files = inlineFiles({ ...FILES, 'weft.yaml': BUNDLE });

const digestsOf = (values: Record<string, string>, id = 'run-1', target = 'staging') => digestSecrets(values, requests.secrets.ci, { id, target });

/** A request with all it needs, unless a test says otherwise. */
const request = async (changes: Record<string, unknown> = {}) => makeRequest({ manifest, parameters, secrets: await digestsOf(SECRET), ...changes });

describe('a deployment', () => {
  test('is driven with the secrets that came beside it, and what is kept holds none', async () => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await postTar(await request(), FILES, {}, SECRET));
    expect(answer.status, await answer.clone().text()).toBe(202);
    const { order } = house.drives[0]?.options ?? expect.fail('no drive');
    expect(order.secrets).toEqual(SECRET);
    expect(new TextDecoder().decode(order.request)).not.toContain(SECRET.token);
    expect(JSON.parse(new TextDecoder().decode(order.request))).toMatchObject({ parameters });
    expect(await answer.text()).not.toContain(SECRET.token);
    expect(JSON.stringify(house.lines)).not.toContain('eighty-one');
  });

  test('with its files in the request goes with secrets too', async () => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await postTar(await request({ manifest: undefined, files }), {}, {}, SECRET));
    expect(answer.status, await answer.clone().text()).toBe(202);
    expect(house.drives[0]).toMatchObject({ options: { order: { secrets: SECRET } }, pulled: manifest.artifacts.map(({ digest }) => digest) });
  });

  test('that asks what is missing needs to bring none yet', async () => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await post(await request()));
    expect(answer.status).toBe(202);
    expect(house.drives[0]?.options.order.secrets).toBeNull();
  });

  const refused: [string, () => Promise<RequestInit>, number, string][] = [
    ['another value', async () => postTar(await request(), FILES, {}, { token: 'another one' }), 422, 'secret_mismatch'],
    [
      'a digest for another request',
      async () => postTar(await request({ secrets: await digestsOf(SECRET, 'run-2') }), FILES, {}, SECRET),
      422,
      'secret_mismatch',
    ],
    [
      'a digest for another target',
      async () => postTar(await request({ secrets: await digestsOf(SECRET, 'run-1', 'production') }), FILES, {}, SECRET),
      422,
      'secret_mismatch',
    ],
    ['a value without a digest', async () => postTar(await request({ secrets: undefined }), FILES, {}, SECRET), 422, 'invalid_parameters'],
    ['no digest at all', async () => postTar(await request({ secrets: { token: null } }), FILES, {}, SECRET), 422, 'invalid_request'],
    ['secrets, and none of them the right one', async () => postTar(await request(), FILES, {}, {}), 409, 'secrets_missing'],
    ['no value for a required one', async () => postTar(await request({ parameters: {} }), FILES, {}, SECRET), 422, 'invalid_parameters'],
    ['an undeclared name', async () => post(await request({ parameters: { ...parameters, surprise: 1 } })), 422, 'invalid_parameters'],
    ['an undeclared secret', async () => post(await request({ secrets: await digestsOf({ surprise: 'x' }) })), 422, 'invalid_parameters'],
    ['a secret in the request', async () => post(await request({ parameters: { ...parameters, ...SECRET }, secrets: {} })), 422, 'invalid_parameters'],
    [
      'the same where the files say what is declared',
      async () => post(await request({ manifest: undefined, files, parameters: {} })),
      422,
      'invalid_parameters',
    ],
    ['a value that is an object', async () => post(await request({ parameters: { environment: {} } })), 422, 'invalid_request'],
  ];
  test.each(refused)('with %s is refused before a session opens, and nothing of it is repeated', async (_, make, status, slug) => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await make());
    const text = await answer.text();
    expect([answer.status, JSON.parse(text).type]).toEqual([status, `urn:weft:problem:${slug}`]);
    expect(house.sessions.opened).toBe(0);
    expect(text + JSON.stringify(house.lines)).not.toMatch(/eighty-one|another one/);
  });

  test('whose signature is not right has its secrets not even read', async () => {
    const house = makeHouse();
    const init = await postTar(await request(), FILES, { secret: requests.secrets.stranger }, { token: 'another one' });
    expect(await (await house.fetch(DEPLOYMENTS, init)).json()).toMatchObject({ type: 'urn:weft:problem:signature_mismatch' });
  });

  test('with files in its request and an artifact behind its secrets is refused', async () => {
    const house = makeHouse();
    const document = await request({ files });
    const answer = await house.fetch(DEPLOYMENTS, await postTar(document, FILES, {}, SECRET));
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:artifact_unnamed' });
    expect(house.sessions.opened).toBe(0);
  });

  test('that waits for its secrets says so', async () => {
    const { secretsMissing } = await import('../../src/domain/parameters.ts');
    const house = makeHouse({
      deploy: () => ({ opened: Promise.reject(secretsMissing(['token'], ID)), done: Promise.reject(secretsMissing(['token'], ID)) }),
    });
    const answer = await house.fetch(DEPLOYMENTS, await post(await request()));
    expect(answer.status).toBe(409);
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:secrets_missing', parameters: ['token'], deployment: ID });
  });
});

describe('a resume', () => {
  const RESUME = `${DEPLOYMENTS}/${ID}/resume`;
  const document = async (secrets?: Record<string, string>) =>
    makeRequest({ type: 'resume', id: 'again-1', deployment: ID, ...(secrets && { secrets: await digestsOf(secrets, 'again-1') }) });

  /** A house whose database has a deployment that was opened with these digests. */
  const houseOf = (digest: string | null) => {
    const seen: { secrets: unknown } = { secrets: undefined };
    const house = makeHouse({
      async resume(options) {
        seen.secrets = options.secrets;
        await options.proveSecrets?.(makeDeployment({ parameters: [{ name: 'token', type: 'text', secret: true, given: true, value: null, digest }] }));
        return makeDeployment();
      },
    });
    return { house, seen };
  };

  test('goes on with the secrets that it brings', async () => {
    const { token = null } = await digestsOf(SECRET);
    const { house, seen } = houseOf(token);
    const answer = await house.fetch(RESUME, await postTar(await document(SECRET), {}, { headers: { prefer: 'wait=5' } }, SECRET));
    expect(answer.status, await answer.clone().text()).toBe(200);
    expect(seen.secrets).toEqual(SECRET);
  });

  test('with others than the deployment was signed with is refused, although it is signed itself', async () => {
    const { token = null } = await digestsOf(SECRET);
    const other = { token: 'another one' };
    const { house } = houseOf(token);
    const answer = await house.fetch(RESUME, await postTar(await document(other), {}, { headers: { prefer: 'wait=5' } }, other));
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:secret_mismatch' });
  });

  test('of what nobody signed, because it was opened straight in the database, takes what it brings', async () => {
    const { house } = houseOf(null);
    const answer = await house.fetch(RESUME, await postTar(await document(SECRET), {}, { headers: { prefer: 'wait=5' } }, SECRET));
    expect(answer.status).toBe(200);
  });

  test('whose secrets are not those that it binds is refused before a session opens', async () => {
    const { house, seen } = houseOf(null);
    const answer = await house.fetch(RESUME, await postTar(await document(SECRET), {}, {}, { token: 'another one' }));
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:secret_mismatch' });
    expect(seen.secrets).toBeUndefined();
    expect(house.sessions.opened).toBe(0);
  });
});

test('an undo is handed on with the secrets that it brings, for whoever sees it to its end', async () => {
  const handedOn: unknown[] = [];
  const house = makeHouse({
    undo: async ({ onOpened }) => {
      onOpened?.({ id: ID, state: 'staged', repeated: false, missing: [] });
      await new Promise((resolve) => setTimeout(resolve, 200));
      return makeDeployment({ undoes: ID });
    },
    aftercare: {
      handOn: async (...said) => {
        handedOn.push(said);
      },
      strikeOut: async () => undefined,
    },
  });
  const undo = makeRequest({ type: 'undo', deployment: ID, secrets: await digestsOf(SECRET) });
  const answer = await house.fetch(`${DEPLOYMENTS}/${ID}/undo`, await postTar(undo, {}, {}, SECRET));
  expect(answer.status, await answer.clone().text()).toBe(202);
  expect(handedOn).toEqual([['staging', ID, SECRET]]);
});
