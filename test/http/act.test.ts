import { describe, expect, test } from 'vitest';
import type { CancelOptions } from '../../src/deployment/cancel.ts';
import type { ResumeOptions } from '../../src/deployment/resume.ts';
import type { UndoOptions } from '../../src/deployment/undo.ts';
import { Problem } from '../../src/domain/problem.ts';
import { DEPLOYMENTS, ID } from './requests.ts';
import { makeDeployment, makeHouse, requests } from './support.ts';

const { makeRequest, post } = requests;

describe('resume', () => {
  const document = makeRequest({ type: 'resume', deployment: ID });

  test('asks for that deployment on that target, and is answered with its end', async () => {
    let given: ResumeOptions | undefined;
    const house = makeHouse({
      resume: async (options) => {
        given = options;
        return makeDeployment();
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}/resume`, await post(document));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('location')).toContain(`${DEPLOYMENTS}/${ID}?token=`);
    expect(await answer.json()).toEqual(makeDeployment());
    expect(given).toMatchObject({ id: ID, target: 'staging' });
  });

  test('that takes longer is answered with 202 at its first status; the drive goes on', async () => {
    const end = Promise.withResolvers<ReturnType<typeof makeDeployment>>();
    const house = makeHouse({
      resume: ({ onStatus }) => {
        setImmediate(() => onStatus?.(makeDeployment({ state: 'running' })));
        return end.promise;
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}/resume`, await post(document));
    expect(answer.status).toBe(202);
    expect(await answer.json()).toMatchObject({ state: 'running' });
    end.resolve(makeDeployment());
    await house.settle();
    expect(house.lines).toContainEqual(expect.objectContaining({ message: 'drive', state: 'succeeded' }));
  });

  test('with Prefer: wait is answered with the end', async () => {
    const house = makeHouse({
      resume: async ({ onStatus }) => {
        onStatus?.(makeDeployment({ state: 'running' }));
        return makeDeployment({ state: 'failed' });
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}/resume`, await post(document, { headers: { prefer: 'wait=30' } }));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('preference-applied')).toBe('wait=30');
    expect(await answer.json()).toMatchObject({ state: 'failed' });
  });

  test('of what is not there is 404', async () => {
    const house = makeHouse({ resume: () => Promise.reject(new Problem('deployment_not_found', 'Nothing has this id.')) });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}/resume`, await post(document));
    expect(answer.status).toBe(404);
  });
});

describe('cancel', () => {
  const document = makeRequest({ type: 'cancel', deployment: ID });

  test('names the caller, and is answered with what is left of the deployment', async () => {
    let given: CancelOptions | undefined;
    const house = makeHouse({
      cancel: async (options) => {
        given = options;
        return makeDeployment({ state: 'cancelled' });
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}/cancel`, await post(document));
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ state: 'cancelled' });
    expect(given).toMatchObject({ id: ID, caller: 'ci', target: 'staging' });
  });

  test('of what still runs is 202: the runner will see it', async () => {
    const house = makeHouse({ cancel: async () => makeDeployment({ state: 'running' }) });
    expect((await house.fetch(`${DEPLOYMENTS}/${ID}/cancel`, await post(document))).status).toBe(202);
  });

  test('with Prefer: wait is answered then with what was seen last; the Worker stays', async () => {
    const end = Promise.withResolvers<ReturnType<typeof makeDeployment>>();
    const house = makeHouse({
      cancel: ({ onStatus }) => {
        setImmediate(() => onStatus?.(makeDeployment({ state: 'running', cancelling: true })));
        return end.promise;
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}/cancel`, await post(document, { headers: { prefer: 'wait=1' } }));
    expect(answer.status).toBe(202);
    expect(answer.headers.get('preference-applied')).toBe('wait=1');
    expect(await answer.json()).toMatchObject({ state: 'running', cancelling: true });
    end.resolve(makeDeployment({ state: 'cancelled' }));
    await house.settle();
    expect(house.lines).toContainEqual(expect.objectContaining({ message: 'drive', state: 'cancelled' }));
  });
});

describe('undo', () => {
  const document = makeRequest({ type: 'undo', deployment: ID });

  test('is answered as a deployment of its own, with its own address; the signed bytes go to the database', async () => {
    const own = '11111111-2222-4333-8444-555555555555';
    let given: UndoOptions | undefined;
    const house = makeHouse({
      undo: async (options) => {
        given = options;
        options.onOpened?.({ id: own, state: 'staged', repeated: false, missing: [] });
        return makeDeployment({ id: own, undoes: ID });
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}/undo`, await post(document, { headers: { prefer: 'wait=30' } }));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('location')).toContain(`${DEPLOYMENTS}/${own}?token=`);
    expect(await answer.json()).toMatchObject({ id: own, undoes: ID, repeated: false });
    expect(given?.order).toMatchObject({ caller: 'ci', target: 'staging' });
    expect(JSON.parse(Buffer.from(given?.order.request ?? []).toString())).toMatchObject({ type: 'undo', deployment: ID });
    expect(given?.callers).toContain('undo:ci');
  });

  test('that is on its way is answered with 202, and the drive goes on', async () => {
    const end = Promise.withResolvers<ReturnType<typeof makeDeployment>>();
    const house = makeHouse({
      undo: ({ onOpened }) => {
        onOpened?.({ id: ID, state: 'staged', repeated: true, missing: [] });
        return end.promise;
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}/undo`, await post(document));
    expect([answer.status, await answer.json()]).toEqual([202, { id: ID, state: 'staged', target: 'staging', repeated: true }]);
    end.resolve(makeDeployment());
    await house.settle();
    expect(house.lines).toContainEqual(expect.objectContaining({ message: 'drive', state: 'succeeded' }));
  });

  test('that is refused by the database is a problem', async () => {
    const house = makeHouse({ undo: () => Promise.reject(new Problem('undo_missing', 'One file has no undo: a.sql.')) });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}/undo`, await post(document));
    expect([answer.status, await answer.json()]).toMatchObject([409, { type: 'urn:weft:problem:undo_missing' }]);
  });

  test('needs a grant of its own, and a document that was signed to undo', async () => {
    const house = makeHouse();
    const cancel = await house.fetch(`${DEPLOYMENTS}/${ID}/undo`, await post(makeRequest({ type: 'cancel', deployment: ID })));
    expect(await cancel.json()).toMatchObject({ type: 'urn:weft:problem:wrong_type' });
    const grants = house.ports.config.grants.map((grant) => ({ ...grant, actions: grant.actions.filter((action) => action !== 'undo') }));
    const strict = makeHouse({ config: { ...house.ports.config, grants } });
    const refused = await strict.fetch(`${DEPLOYMENTS}/${ID}/undo`, await post(document));
    expect(await refused.json()).toMatchObject({ type: 'urn:weft:problem:no_grant', action: 'undo' });
    expect(strict.sessions.opened).toBe(0);
  });
});

describe('the word that drift is meant', () => {
  const path = '/v1/targets/staging/drift/accept';
  const document = makeRequest({ type: 'accept_drift', fingerprint: '1:18:abc' });

  test('is handed to the database with what was looked at and who says so', async () => {
    const asked: unknown[] = [];
    const house = makeHouse({
      acceptDrift: async (_session, fingerprint, caller) => {
        asked.push([fingerprint, caller]);
        return { verdict: 'none', reason: null, since: null, running: null, fingerprint: { before: null, after: fingerprint }, count: 0, objects: [] };
      },
    });
    const answer = await house.fetch(path, await post(document));
    expect([answer.status, await answer.json()]).toMatchObject([200, { verdict: 'none' }]);
    expect(asked).toEqual([['1:18:abc', 'ci']]);
    expect(house.sessions).toEqual({ opened: 1, closed: 1 });
  });

  test('needs a grant of its own, a document that was signed for it, and says what it is about', async () => {
    const house = makeHouse();
    for (const [said, type] of [
      [makeRequest({ type: 'cancel', deployment: ID }), 'wrong_type'],
      [makeRequest({ type: 'accept_drift' }), 'invalid_request'],
      [makeRequest({ type: 'accept_drift', fingerprint: '' }), 'invalid_request'],
    ] as const)
      expect(await (await house.fetch(path, await post(said))).json()).toMatchObject({ type: `urn:weft:problem:${type}` });
    const other = await house.fetch(path, await post(document, { headers: { 'content-type': 'application/x-tar' } }));
    expect(await other.json()).toMatchObject({ type: 'urn:weft:problem:unsupported_media_type' });
    const grants = house.ports.config.grants.map((grant) => ({ ...grant, actions: grant.actions.filter((action) => action !== 'accept_drift') }));
    const strict = makeHouse({ config: { ...house.ports.config, grants } });
    expect(await (await strict.fetch(path, await post(document))).json()).toMatchObject({ type: 'urn:weft:problem:no_grant', action: 'accept_drift' });
    expect([house.sessions.opened, strict.sessions.opened]).toEqual([0, 0]);
  });
});

describe('the word that nothing of a file that stopped half-way is there any more', () => {
  const path = '/v1/targets/staging/history/forget';
  const word = { path: 'schema/1.sql', why: 'dropped by hand' };

  test('is handed to the database with who says so', async () => {
    const asked: unknown[] = [];
    const house = makeHouse({
      forget: async (_session, { path, bundle, why }, caller) => {
        asked.push([path, bundle, why, caller]);
        return { bundle: 'shop', path, deployment: ID, statements: 2, rounds: null, by: caller ?? '', at: '2026-03-01T12:00:00Z', why };
      },
    });
    const answer = await house.fetch(path, await post(makeRequest({ type: 'forget', ...word })));
    expect([answer.status, await answer.json()]).toMatchObject([200, { path: 'schema/1.sql', by: 'ci' }]);
    expect((await house.fetch(path, await post(makeRequest({ type: 'forget', ...word, bundle: 'shop' })))).status).toBe(200);
    expect(asked).toEqual([
      ['schema/1.sql', undefined, 'dropped by hand', 'ci'],
      ['schema/1.sql', 'shop', 'dropped by hand', 'ci'],
    ]);
  });

  test('needs a grant of its own, a document that was signed for it, and says why', async () => {
    const house = makeHouse();
    for (const [said, type] of [
      [makeRequest({ type: 'accept_drift', fingerprint: '1:18:abc' }), 'wrong_type'],
      [makeRequest({ type: 'forget', path: '1.sql' }), 'invalid_request'],
      [makeRequest({ type: 'forget', path: '1.sql', why: ' ' }), 'invalid_request'],
      [makeRequest({ type: 'forget', path: '1.sql', why: 'x'.repeat(1001) }), 'invalid_request'],
    ] as const)
      expect(await (await house.fetch(path, await post(said))).json()).toMatchObject({ type: `urn:weft:problem:${type}` });
    const grants = house.ports.config.grants.map((grant) => ({ ...grant, actions: grant.actions.filter((action) => action !== 'forget') }));
    const strict = makeHouse({ config: { ...house.ports.config, grants } });
    expect(await (await strict.fetch(path, await post(makeRequest({ type: 'forget', ...word })))).json()).toMatchObject({
      type: 'urn:weft:problem:no_grant',
      action: 'forget',
    });
    expect([house.sessions.opened, strict.sessions.opened]).toEqual([0, 0]);
  });
});
