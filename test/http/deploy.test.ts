import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { Problem } from '../../src/domain/problem.ts';
import { DEPLOYMENTS, digestOf, ID, inlineFiles, manifestOf } from './requests.ts';
import { makeDeployment, makeHouse, NOW, requests } from './support.ts';

const FILES = { '1.sql': 'select 1;', '2.sql': 'select 2;' };
const inline = inlineFiles(FILES);
const { makeRequest, post, postTar, sign } = requests;

describe('a JSON document with files', () => {
  test('becomes a deployment, answered with 202 as soon as it is on its way', async () => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline })));
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ id: ID, state: 'staged', target: 'staging', bundle: 'inline', repeated: false, missing: [] });
    expect(house.drives[0]?.pulled).toEqual(Object.values(FILES).map(digestOf));
  });

  test('is kept exactly as it was signed, with its signature, caller and target', async () => {
    const house = makeHouse();
    const document = ` ${JSON.stringify(makeRequest({ files: inline }), null, 3)}\n`;
    const init = await post(document);
    await house.fetch(DEPLOYMENTS, init);
    const order = house.drives[0]?.options.order;
    expect(new TextDecoder().decode(order?.request)).toBe(document);
    expect(order).toMatchObject({ caller: 'ci', target: 'staging', signature: { id: 'run-1' } });
    expect(house.lines.at(-1)).toMatchObject({ message: 'request', caller: 'ci', target: 'staging', deployment: ID });
  });

  test('is called like its folder, as `weft deploy` would call it, unless a weft.yaml says its name', async () => {
    const house = makeHouse();
    const bundleFile = { path: 'weft.yaml', content: 'name: shop\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]' };
    await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline, folder: 'Löhne & Co.' })));
    await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: [...inline, bundleFile], folder: 'payroll' })));
    expect(house.drives.map(({ options }) => options.order.manifest.bundle)).toEqual(['Lohne-Co.', 'shop']);
  });

  test('without a name is refused: under a made-up one everything would be applied twice', async () => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline, folder: undefined })));
    expect(answer.status).toBe(422);
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:invalid_request', path: 'folder', detail: expect.stringContaining('"folder"') });
    expect(house.sessions.opened).toBe(0);
  });

  test('may have a manifest too, when both agree', async () => {
    const house = makeHouse();
    const manifest = manifestOf(FILES);
    const files = [...inline, { path: 'weft.yaml', content: 'name: shop\nphases: [{ name: main, transaction: per-step, steps: [{ run: "*.sql" }] }]' }];
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ manifest, files })));
    expect(answer.status).toBe(202);
    expect(house.drives[0]?.options.order.manifest).toEqual(manifest);
  });

  test.each([
    ['digest_mismatch', manifestOf({ ...FILES, '2.sql': 'select 3;' }), '"2.sql"'],
    ['artifact_missing', manifestOf({ ...FILES, '3.sql': 'select 3;' }), '"3.sql"'],
    ['artifact_unnamed', manifestOf({ '1.sql': FILES['1.sql'] }), '"2.sql"'],
    [
      'invalid_manifest',
      manifestOf(FILES, {
        phases: [
          {
            name: 'other',
            transaction: 'single',
            steps: [
              { kind: 'run', path: '2.sql' },
              { kind: 'run', path: '1.sql' },
            ],
          },
        ],
      }),
      'order',
    ],
  ])('that disagrees with its manifest is refused as %s before any session', async (slug, manifest, word) => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ manifest, files: inline })));
    expect(answer.status).toBe(422);
    expect(await answer.json()).toMatchObject({ type: `urn:weft:problem:${slug}`, detail: expect.stringContaining(word) });
    expect(house.sessions.opened).toBe(0);
  });
});

describe('the request alone', () => {
  test('is answered at once with what is missing, whatever it would wait for', async () => {
    const house = makeHouse();
    const manifest = manifestOf(FILES);
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ manifest }), { headers: { prefer: 'wait=60' } }));
    expect(answer.status).toBe(202);
    expect(answer.headers.get('preference-applied')).toBeNull();
    const missing = manifest.artifacts.map(({ digest, path, size }) => ({ digest, path, size }));
    expect(await answer.json()).toEqual({ id: ID, state: 'open', target: 'staging', bundle: 'shop', repeated: false, missing });
    expect(house.drives[0]?.options.chunks).toBeUndefined();
  });
});

describe('a tar', () => {
  const manifest = manifestOf(FILES);
  test.each([
    ['application/x-tar', undefined],
    ['application/gzip', undefined],
    ['application/x-tar', 'gzip'],
  ])('of Content-Type %s, Content-Encoding %s, is proved by its first entry and streamed', async (type, encoding) => {
    const house = makeHouse();
    const document = makeRequest({ manifest });
    const init = await postTar(document, FILES, { headers: { 'content-type': type, ...(encoding === undefined ? {} : { 'content-encoding': encoding }) } });
    const body = type === 'application/gzip' || encoding === 'gzip' ? gzipSync(init.body) : init.body;
    const answer = await house.fetch(DEPLOYMENTS, { ...init, body });
    expect(answer.status).toBe(202);
    expect(house.drives[0]?.pulled).toEqual(Object.values(FILES).map(digestOf));
    expect(new TextDecoder().decode(house.drives[0]?.options.order.request)).toBe(JSON.stringify(document));
  });

  test('whose signature is for the whole body, and not for its first entry, is refused', async () => {
    const house = makeHouse();
    const init = await postTar(makeRequest({ manifest }), FILES);
    const answer = await house.fetch(DEPLOYMENTS, { ...init, headers: { ...init.headers, ...(await sign(init.body, 'run-1')) } });
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:signature_mismatch' });
    expect(house.sessions.opened).toBe(0);
  });

  test('whose request holds files is refused: in a tar they are entries', async () => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await postTar(makeRequest({ files: inline }), {}));
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:invalid_request', detail: expect.stringContaining('"files"') });
    expect(house.sessions.opened).toBe(0);
  });

  test('that breaks in the middle of staging is a problem that reaches its sender', async () => {
    const house = makeHouse();
    const init = await postTar(makeRequest({ manifest }), FILES);
    init.body.set([57], Buffer.from(init.body.buffer).indexOf('select 2;') + 7);
    const answer = await house.fetch(DEPLOYMENTS, init);
    expect(answer.status).toBe(422);
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:digest_mismatch' });
    await house.settle();
  });
});

describe('Location', () => {
  test('leads to the deployment, with a token that reads it and nothing else', async () => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline })));
    const location = answer.headers.get('location') ?? '';
    expect(location).toMatch(new RegExp(`^${DEPLOYMENTS}/${ID}\\?token=weft_read`));
    const query = location.slice(location.indexOf('?'));
    expect((await house.fetch(location)).status).toBe(200);
    expect((await house.fetch(`${DEPLOYMENTS}/${ID}/events${query}`)).status).toBe(200);
    expect((await house.fetch(`${DEPLOYMENTS}${query}`)).status).toBe(401);
    expect((await house.fetch(`${DEPLOYMENTS}/0190a0de-0000-7000-8000-000000000002${query}`)).status).toBe(401);
    expect((await house.fetch(`/v1/targets/production/deployments/${ID}${query}`)).status).toBe(401);
  });

  test('expires', async () => {
    const house = makeHouse();
    const location = (await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline })))).headers.get('location') ?? '';
    const later = makeHouse({ now: () => NOW + LIMITS.location_token_seconds * 1000 });
    expect((await later.fetch(location)).status).toBe(401);
  });

  test('carries no token for a caller who may deploy and not read', async () => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline }), { secret: requests.secrets.watcher }));
    expect(answer.status).toBe(202);
    expect(answer.headers.get('location')).toBe(`${DEPLOYMENTS}/${ID}`);
  });
});

describe('Prefer: wait', () => {
  test('waits for the end, and answers 200 with the document', async () => {
    const house = makeHouse();
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline }), { headers: { prefer: 'wait=60' } }));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('preference-applied')).toBe('wait=60');
    expect(await answer.json()).toEqual({ ...makeDeployment(), repeated: false, missing: [] });
  });

  test('answers 202 with the document so far when the time is up; the drive goes on', async () => {
    const end = Promise.withResolvers<ReturnType<typeof makeDeployment>>();
    const house = makeHouse({
      deploy({ onStatus }) {
        onStatus?.(makeDeployment({ state: 'running' }));
        return { opened: Promise.resolve({ id: ID, state: 'staged', repeated: false, missing: [] }), done: end.promise };
      },
    });
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline }), { headers: { prefer: 'wait=5' } }));
    expect(answer.status).toBe(202);
    expect(await answer.json()).toMatchObject({ id: ID, state: 'running', phases: [], repeated: false });
    end.resolve(makeDeployment());
    expect(await house.settle()).toBe(2); // the drive, and what forges are told behind it
    expect(house.lines).toContainEqual(expect.objectContaining({ message: 'drive', deployment: ID, state: 'succeeded' }));
  });

  test('is not acknowledged where nobody asked', async () => {
    const answer = await makeHouse().fetch(DEPLOYMENTS, await post(makeRequest({ files: inline })));
    expect(answer.headers.get('preference-applied')).toBeNull();
  });

  test('a drive that is cut while it is waited for names the deployment, which can be read and resumed', async () => {
    const house = makeHouse({
      deploy: () => ({
        opened: Promise.resolve({ id: ID, state: 'staged', repeated: false, missing: [] }),
        done: Promise.reject(new Problem('session_lost', 'The connection was lost.')),
      }),
    });
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline }), { headers: { prefer: 'wait=60' } }));
    expect(answer.status).toBe(503);
    expect(answer.headers.get('location')).toContain(ID);
    expect(answer.headers.get('retry-after')).not.toBeNull();
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:session_lost', deployment: ID });
  });
});

describe('the same request again', () => {
  test('is answered with the end of the first, without waiting being asked for', async () => {
    const house = makeHouse({
      deploy: () => ({
        opened: Promise.resolve({ id: ID, state: 'failed', repeated: true, missing: [] }),
        done: Promise.resolve(makeDeployment({ state: 'failed' })),
      }),
    });
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline })));
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ id: ID, state: 'failed', repeated: true, phases: [] });
  });

  test('of which nothing is wanted leaves no body behind', async () => {
    const house = makeHouse({
      deploy: () => ({ opened: Promise.resolve({ id: ID, state: 'running', repeated: true, missing: [] }), done: Promise.resolve(makeDeployment()) }),
    });
    const init = await postTar(makeRequest({ manifest: manifestOf(FILES) }), FILES);
    const left = new Request(`https://weft.test${DEPLOYMENTS}`, init);
    const answer = await house.app.fetch(left, {}, { waitUntil() {}, passThroughOnException() {}, props: {} });
    expect(answer.status).toBe(202);
    expect(await answer.json()).toMatchObject({ repeated: true, state: 'running' });
    expect(left.bodyUsed).toBe(true);
  });

  test('with another content is a conflict', async () => {
    const conflict = new Problem('id_conflict', 'run-1 was another request.');
    const house = makeHouse({ deploy: () => ({ opened: Promise.reject(conflict), done: Promise.reject(conflict) }) });
    const answer = await house.fetch(DEPLOYMENTS, await post(makeRequest({ files: inline })));
    expect(answer.status).toBe(409);
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:id_conflict' });
  });
});
