import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Problem } from '../../src/domain/problem.ts';
import { createUnconfiguredApp } from '../../src/http/app.ts';
import type { LogEntry } from '../../src/http/log.ts';
import { DEPLOYMENTS, ID } from './requests.ts';
import { makeHouse, requests } from './support.ts';

describe('every answer', () => {
  test.each(['/', '/healthz', '/nothing', DEPLOYMENTS])('%s is not kept, sniffed, framed or passed on', async (path) => {
    const { headers } = await makeHouse().fetch(path);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
  });

  test('an address that no route has is a problem', async () => {
    const answer = await makeHouse().fetch('/v2/targets');
    expect(answer.status).toBe(404);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:not_found', title: 'There is nothing here.', status: 404 });
  });

  test.each([
    ['DELETE', DEPLOYMENTS, 'GET, HEAD, POST'],
    ['PUT', `${DEPLOYMENTS}/${ID}`, 'GET, HEAD'],
    ['POST', `${DEPLOYMENTS}/${ID}/events`, 'GET, HEAD'],
    ['GET', `${DEPLOYMENTS}/${ID}/cancel`, 'POST'],
    ['OPTIONS', `${DEPLOYMENTS}/${ID}/resume`, 'POST'],
    ['POST', '/', 'GET, HEAD'],
    ['POST', '/healthz', 'GET, HEAD'],
  ])('%s %s is refused with Allow: %s', async (method, path, allow) => {
    const answer = await makeHouse().fetch(path, { method });
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe(allow);
    expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:method_not_allowed', allow });
  });
});

describe('GET /', () => {
  test('is a page without scripts, whose one style its policy allows by hash', async () => {
    const answer = await makeHouse().fetch('/');
    const page = await answer.text();
    const style = /<style>(.*)<\/style>/s.exec(page)?.[1] ?? '';
    expect(answer.headers.get('content-type')).toMatch(/^text\/html/);
    expect(answer.headers.get('content-security-policy')).toContain(`style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`);
    expect(page).toContain('Weft 1.2.3');
    expect(page).not.toMatch(/<script|\son\w+=|style=/);
  });

  test('names every route there is', async () => {
    const house = makeHouse();
    const page = await (await house.fetch('/')).text();
    const routes = house.app.routes.filter(({ method }) => method !== 'ALL').map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    for (const route of routes.filter((route) => route !== 'GET /')) expect(page).toContain(`<code>${route}</code>`);
  });
});

describe('GET /healthz', () => {
  test('says that the configuration is ok, and asks no database', async () => {
    const house = makeHouse();
    const answer = await house.fetch('/healthz');
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ status: 'ok', configuration: 'ok', version: '1.2.3' });
    expect(house.sessions.opened).toBe(0);
  });
});

describe('without a valid configuration', () => {
  const lines: LogEntry[] = [];
  const reason = new Problem('invalid_configuration', 'targets.shop.database: must be the name of a secret');
  const app = createUnconfiguredApp(reason, { version: '1.2.3', now: () => 0, sleep: async () => {}, log: (entry) => void lines.push(entry) });

  test('/healthz says so, with 503 and no reason', async () => {
    const answer = await app.request('/healthz');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ status: 'failing', configuration: 'not ok', version: '1.2.3' });
  });

  test.each(['/', DEPLOYMENTS, '/nothing'])('%s is refused; the reason goes to the log, not to the stranger', async (path) => {
    lines.length = 0;
    const answer = await app.request(path);
    const text = await answer.text();
    expect(answer.status).toBe(500);
    expect(JSON.parse(text)).toMatchObject({ type: 'urn:weft:problem:invalid_configuration', title: 'The configuration is not valid.' });
    expect(text).not.toContain('targets.shop');
    expect(JSON.stringify(lines)).toContain('targets.shop.database');
    expect(lines.find(({ level }) => level === 'error')?.reference).toBe(JSON.parse(text).reference);
  });
});

describe('the log', () => {
  test('has one line per request, with the pattern of the route and never the address', async () => {
    const house = makeHouse();
    const token = (await requests.bearer()).authorization.slice(7);
    await house.fetch(`${DEPLOYMENTS}/${ID}?token=${token}`);
    expect(house.lines).toEqual([
      {
        level: 'info',
        message: 'request',
        reference: expect.stringMatching(/^[0-9a-f-]{36}$/),
        method: 'GET',
        route: '/v1/targets/:target/deployments/:id',
        status: 200,
        target: 'staging',
        caller: 'ci',
        deployment: ID,
        problem: null,
        milliseconds: expect.any(Number),
      },
    ]);
    expect(JSON.stringify(house.lines)).not.toContain('weft_read');
  });

  test('names the problem of a refusal, and no route where none matched', async () => {
    const house = makeHouse();
    await house.fetch('/wp-admin');
    expect(house.lines).toMatchObject([{ route: null, status: 404, problem: 'not_found' }]);
  });

  test('holds what was unexpected, with its causes, under the reference that the answer names', async () => {
    const house = makeHouse({
      readStatus: async () => {
        throw new Error('a wire broke', { cause: new TypeError('no wire') });
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}`, { headers: await requests.bearer() });
    const problem = (await answer.json()) as Record<string, string>;
    expect(answer.status).toBe(500);
    expect(problem).toMatchObject({ type: 'urn:weft:problem:internal', title: 'Something unexpected happened in Weft.' });
    expect(JSON.stringify(problem)).not.toContain('wire');
    const line = house.lines.find(({ level }) => level === 'error');
    expect(line).toMatchObject({ reference: problem.reference, errors: [{ message: 'a wire broke' }, { name: 'TypeError', message: 'no wire' }] });
    expect(house.sessions).toEqual({ opened: 1, closed: 1 });
  });
});
