/** A deployment in a browser: the words of the command line, and nothing that runs or is fetched. */
import { describe, expect, test } from 'vitest';
import type { Deployment } from '../../src/domain/deployment.ts';
import { renderDeploymentPage } from '../../src/http/deployment_page.ts';
import { renderStatus } from '../../src/words/status.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { DEPLOYMENTS, ID } from './requests.ts';
import { makeDeployment, makeHouse, requests } from './support.ts';

/** As browsers ask. */
const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

async function open(deployment: Deployment, accept = BROWSER) {
  const house = makeHouse({ readStatus: async () => deployment });
  return house.fetch(`${DEPLOYMENTS}/${ID}`, { headers: { ...(await requests.bearer()), accept } });
}

const step = (path: string, state: 'succeeded' | 'failed' | 'pending', milliseconds: number | null) => ({
  path,
  kind: 'run',
  state,
  milliseconds,
  rows: state === 'succeeded' ? 3 : null,
  statements: 1,
  error: null,
});

const FAILED = makeDeployment({
  state: 'failed',
  finished_at: '2026-03-01T12:00:05Z',
  error: {
    sqlstate: '42P01',
    message: 'relation "b" does not exist',
    path: '2.sql',
    line: 7,
    phase: 'main',
    statement: "select '<script>alert(1)</script>' from b",
  },
  phases: [
    {
      name: 'main',
      transaction: 'per-step',
      state: 'failed',
      steps: [step('1.sql', 'succeeded', 12), step('2.sql', 'failed', 1500), step('3<i>.sql', 'pending', null)],
    },
  ],
});

/** What a reader sees, without the marks. */
const textOf = (page: string): string =>
  page
    .replace(/^.*?<body>/s, '')
    .replace(/<[^>]*>/g, '')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');

describe('the page of a deployment', () => {
  test('is what a browser gets, and nobody else', async () => {
    const page = await open(FAILED);
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    expect(page.headers.get('vary')).toBe('accept');
    for (const accept of ['application/json', '*/*', 'application/json, text/html;q=0.5']) {
      const document = await open(FAILED, accept);
      expect(document.headers.get('content-type'), accept).toMatch(/^application\/json/);
      expect(await document.json()).toEqual(FAILED);
    }
  });

  test('says what the command line says, and shows each file', async () => {
    const text = textOf(await (await open(FAILED)).text());
    expect(text).toContain(renderStatus(FAILED, UNCOLOURED));
    expect(text).toContain('phasefilekindstatetimerows');
    expect(text).toContain('main1.sqlrunsucceeded12 ms3');
    expect(text).toContain('main2.sqlrunfailed1.5 s');
    expect(text).toContain('main3<i>.sqlrunpending');
  });

  test('counts no rows of a file that touched none, as the command line does', async () => {
    const phase = { name: 'main', transaction: 'auto' as const, state: 'succeeded' as const, steps: [{ ...step('1.sql', 'succeeded', 12), rows: 0 }] };
    expect(renderDeploymentPage({ ...FAILED, phases: [phase] })).toContain('12 ms</td><td class="n"></td></tr>');
  });

  test('is dark where its reader wants that: the root says so, or colours for a dark page stand on a white one', () => {
    expect(renderDeploymentPage(FAILED)).toMatch(/<style>:root\{color-scheme:light dark\}/);
  });

  test('holds nothing that was not made safe, runs nothing, and fetches nothing', async () => {
    const page = await open({ ...FAILED, bundle: '"><script>x</script>', target: '<b>' });
    const body = await page.text();
    expect(body).not.toMatch(/<script|<b>|<i>| on\w+=|src=|href=|url\(/i);
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/=]+'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    );
    expect(page.headers.get('referrer-policy')).toBe('no-referrer');
    expect(page.headers.get('cache-control')).toBe('no-store');
  });

  test('marks of ours that somebody else has written are text', () => {
    const body = renderDeploymentPage({
      ...FAILED,
      bundle: 'a\u0002red\u0002b\u0003',
      error: { ...FAILED.error, sqlstate: 'P0001', message: '\u0002x" onclick="y\u0002\u0003' },
    });
    expect(textOf(body)).toContain('\\x02x" onclick="y\\x02\\x03');
    expect(body.match(/<span class="(?!(?:bold|dim|red|green|yellow)")/)).toBeNull();
    expect(body.match(/<span /g)?.length).toBe(body.match(/<\/span>/g)?.length);
  });

  test('looks again while the deployment is not over, and less often while nobody is at work', async () => {
    const live = { pid: 7, since: null, phase: 'main', step: 2, steps: 3, path: '2.sql', waiting_for: 'Lock: relation', blocked_by: [9] };
    const steps = [{ ...step('1.sql', 'pending', null), state: 'skipped' as const }, step('2.sql', 'pending', null), step('3.sql', 'pending', null)];
    const running = await open(makeDeployment({ state: 'running', live, phases: [{ name: 'main', transaction: 'auto', state: 'running', steps }] }));
    expect(running.headers.get('refresh')).toBe('3');
    const text = textOf(await running.text());
    for (const row of ['1.sqlrunapplied before', '2.sqlrunat work', '3.sqlrunpending']) expect(text).toContain(row);
    expect(text).toContain('Backend 7 is at step 2 of 3: main: 2.sql.\nNow: waits for Lock: relation, held by backend 9.');
    expect((await open(makeDeployment({ state: 'staged' }))).headers.get('refresh')).toBe('30');
    expect((await open(FAILED)).headers.get('refresh')).toBeNull();
  });

  test('of thousands of files shows the first', async () => {
    const steps = Array.from({ length: 2000 }, (_, number) => step(`${number}.sql`, 'succeeded', 1));
    const body = await (
      await open(makeDeployment({ finished_at: '2026-03-01T12:00:05Z', phases: [{ name: 'main', transaction: 'auto', state: 'succeeded', steps }] }))
    ).text();
    expect(body.match(/<tr>/g)?.length).toBe(501);
    expect(body).toContain('<p>and 1500 more</p>');
  });

  test('a refusal stays a problem document', async () => {
    const answer = await makeHouse().fetch(`${DEPLOYMENTS}/${ID}`, { headers: { accept: BROWSER } });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  });
});
