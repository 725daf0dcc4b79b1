import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Problem } from '../../src/domain/problem.ts';
import { DEPLOYMENTS, ID } from './requests.ts';
import { makeDeployment, makeHouse, NO_DRIFT, requests } from './support.ts';

const withToken = async () => ({ headers: await requests.bearer() });

describe('reading', () => {
  test('one deployment gives its document; the case of the id does not matter', async () => {
    const ids: string[] = [];
    const house = makeHouse({
      readStatus: async (_session, id) => {
        ids.push(id);
        return makeDeployment();
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID.toUpperCase()}`, await withToken());
    expect(await answer.json()).toEqual(makeDeployment());
    expect(ids).toEqual([ID]);
    expect(house.sessions).toEqual({ opened: 1, closed: 1 });
  });

  test('the deployments asks for as many as the limit says', async () => {
    const limits: number[] = [];
    const house = makeHouse({
      readDeployments: async (_session, limit) => {
        limits.push(limit);
        return [makeDeployment()];
      },
    });
    expect(await (await house.fetch(DEPLOYMENTS, await withToken())).json()).toEqual({ deployments: [makeDeployment()] });
    await house.fetch(`${DEPLOYMENTS}?limit=3`, await withToken());
    expect(limits).toEqual([20, 3]);
  });

  test('the history may be of one bundle', async () => {
    const entry = { bundle: 'shop', path: '1.sql', digest: 'a'.repeat(64), deployment: ID, applied_at: '2026-03-01T12:00:00Z' };
    const bundles: (string | undefined)[] = [];
    const house = makeHouse({
      readHistory: async (_session, bundle) => {
        bundles.push(bundle);
        return { history: [entry], begun: [] };
      },
    });
    expect(await (await house.fetch('/v1/targets/staging/history', await withToken())).json()).toEqual({ history: [entry], begun: [] });
    await house.fetch('/v1/targets/staging/history?bundle=shop', await withToken());
    expect(bundles).toEqual([undefined, 'shop']);
    expect(house.sessions).toEqual({ opened: 2, closed: 2 });
  });

  test('a text that no server takes is refused before a session opens', async () => {
    const house = makeHouse();
    const manifest = {
      format: 1,
      bundle: 'shop',
      artifacts: [{ path: 'a.sql', digest: 'a'.repeat(64), size: 9 }],
      phases: [{ name: 'main', transaction: 'auto', steps: [{ kind: 'run', path: 'a.sql' }] }],
    };
    const [phase] = manifest.phases;
    const asked: [string, RequestInit, string][] = [
      ['history?bundle=a%00', {}, '"bundle"'],
      ['undo?bundle=%00', {}, '"bundle"'],
      ['later', {}, '"after"'],
      ['later?after=', {}, '"after"'],
      [`later?after=${ID}%00`, {}, '"after"'],
      [`later?after=yesterday&after=${ID}`, {}, '"after"'],
      ['plan', { method: 'POST', body: JSON.stringify({ manifest, texts: { 'a.sql': 'select \0' } }) }, 'texts'],
      ['plan', { method: 'POST', body: JSON.stringify({ manifest: { ...manifest, phases: [{ ...phase, when: 'a\0' }] } }) }, 'manifest.phases[0].when'],
    ];
    for (const [path, init, words] of asked) {
      const answer = await house.fetch(`/v1/targets/staging/${path}`, { ...init, ...(await withToken()) });
      expect(answer.status, path).toBe(422);
      expect(((await answer.json()) as { detail: string }).detail).toContain(words);
    }
    expect(house.sessions).toEqual({ opened: 0, closed: 0 });
  });

  test('what came after a deployment is told of the whole target, and to no token for one deployment', async () => {
    const asked: string[] = [];
    const later = { deployment: ID, bundle: 'shop', request_id: 'key', state: 'succeeded' as const, finished_at: null, later: [] };
    const house = makeHouse({
      readLater: async (_session, id) => {
        asked.push(id);
        return later;
      },
    });
    const path = `/v1/targets/staging/later?after=${ID.toUpperCase()}`;
    expect(await (await house.fetch(path, await withToken())).json()).toEqual(later);
    expect(asked).toEqual([ID]);
    expect((await house.fetch(path)).status).toBe(401);
    expect((await house.fetch(path, { headers: await requests.bearer({ deployment: ID }) })).status).toBe(401);
    expect((await house.fetch(path, { headers: await requests.bearer({ caller: 'watcher' }) })).status).toBe(403);
    expect(house.sessions).toEqual({ opened: 1, closed: 1 });
  });

  test('what the history has to say of a bundle is a reading that is posted: a token, and no signature', async () => {
    const asked: unknown[] = [];
    const foresight = { findings: [], refusal: null, groups: [['a.sql', 'b.sql']], lost: [] };
    const house = makeHouse({
      readForesight: async (_session, question) => {
        asked.push(question);
        return foresight;
      },
    });
    const manifest = {
      format: 1,
      bundle: 'shop',
      artifacts: [{ path: 'a.sql', digest: 'a'.repeat(64), size: 1 }],
      phases: [{ name: 'main', transaction: 'auto', steps: [{ kind: 'run', path: 'a.sql' }] }],
    };
    const post = async (body: unknown, more?: RequestInit) => house.fetch('/v1/targets/staging/plan', { method: 'POST', body: JSON.stringify(body), ...more });
    expect(await (await post({ manifest, texts: { 'a.sql': 'x' } }, await withToken())).json()).toEqual(foresight);
    expect(asked).toEqual([{ manifest, texts: { 'a.sql': 'x' } }]);
    expect((await post({ manifest })).status).toBe(401);
    expect((await post({ manifest: { ...manifest, format: 2 } }, await withToken())).status).toBe(422);
    expect(house.sessions).toEqual({ opened: 1, closed: 1 });
  });

  test('a receipt comes to the byte, with its SHA-256 as the tag by which who has it need not get it again', async () => {
    const text = '{"format" : 1, "number" : 2,   "words" : "ä"}';
    const tag = `"${createHash('sha256').update(text).digest('hex')}"`;
    const asked: unknown[] = [];
    const house = makeHouse({
      readReceipt: async (_session, id, number) => {
        asked.push([id, number]);
        return text;
      },
    });
    const get = async (query = '', more: Record<string, string> = {}) =>
      house.fetch(`${DEPLOYMENTS}/${ID}/receipt${query}`, { headers: { ...(await requests.bearer()), ...more } });
    const answer = await get();
    expect([answer.status, answer.headers.get('etag'), answer.headers.get('content-type'), await answer.text()]).toEqual([
      200,
      tag,
      'application/json; charset=utf-8',
      text,
    ]);
    for (const known of [tag, `"other", W/${tag}`, '*']) {
      const again = await get('?number=2', { 'if-none-match': known });
      expect([again.status, again.headers.get('etag'), await again.text()]).toEqual([304, tag, '']);
    }
    expect((await get('', { 'if-none-match': '"other"' })).status).toBe(200);
    expect((await get('?number=0')).status).toBe(422);
    expect(asked).toEqual([
      [ID, null],
      [ID, 2],
      [ID, 2],
      [ID, 2],
      [ID, null],
    ]);
    expect((await house.fetch(`${DEPLOYMENTS}/${ID}/receipt`)).status).toBe(401);
  });

  test('what changed since the last deployment, and with one', async () => {
    const asked: string[] = [];
    const house = makeHouse({
      readDrift: async () => ({
        ...NO_DRIFT,
        verdict: 'drift',
        count: 1,
        objects: [{ change: 'added', kind: 'table', identity: 'public.a', before: null, after: '' }],
      }),
      readChanges: async (_session, deployment) => {
        asked.push(deployment);
        return { ...NO_DRIFT, deployment, verdict: 'none' };
      },
    });
    expect(await (await house.fetch('/v1/targets/staging/drift', await withToken())).json()).toMatchObject({
      verdict: 'drift',
      objects: [{ identity: 'public.a' }],
    });
    expect(await (await house.fetch(`${DEPLOYMENTS}/${ID}/changes`, await withToken())).json()).toMatchObject({ deployment: ID, verdict: 'none' });
    expect(asked).toEqual([ID]);
    expect(house.sessions).toEqual({ opened: 2, closed: 2 });
  });

  test('takes the token from the header before the one in the address', async () => {
    const answer = await makeHouse().fetch(`${DEPLOYMENTS}/${ID}?token=${(await requests.bearer()).authorization.slice(7)}`, {
      headers: { authorization: 'Bearer nonsense' },
    });
    expect(answer.status).toBe(401);
  });

  test('what is not there is 404, and the session is closed', async () => {
    const notFound = async () => {
      throw new Problem('deployment_not_found', 'Nothing has this id.');
    };
    const house = makeHouse({ readStatus: notFound, readGlance: notFound });
    for (const path of [`${DEPLOYMENTS}/${ID}`, `${DEPLOYMENTS}/${ID}/events`]) {
      const answer = await house.fetch(path, await withToken());
      expect(answer.status).toBe(404);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
    }
    expect(house.sessions).toEqual({ opened: 2, closed: 2 });
  });

  test('HEAD is answered without a body, and leaves nothing open', async () => {
    const house = makeHouse({ readStatus: async () => makeDeployment({ state: 'running' }) });
    for (const path of [`${DEPLOYMENTS}/${ID}`, `${DEPLOYMENTS}/${ID}/events`]) {
      const answer = await house.fetch(path, { method: 'HEAD', ...(await withToken()) });
      expect(answer.status).toBe(200);
      expect(await answer.text()).toBe('');
    }
    await house.settle();
    expect(house.sessions).toEqual({ opened: 2, closed: 2 });
  });
});
