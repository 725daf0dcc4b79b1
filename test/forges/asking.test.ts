/** Questions to a forge's API: one host, no redirect but an archive's and one within the API, time and size bounded, and words that hold no token. */
import { describe, expect, test } from 'vitest';
import { makeForge } from '../../src/config/forges.ts';
import type { Change } from '../../src/domain/change.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Problem } from '../../src/domain/problem.ts';
import { Asking, type Fetch } from '../../src/forges/asking.ts';
import { connectGitHub } from '../../src/forges/github/github.ts';
import { problemOf, smallLimits } from '../bundle/support.ts';

const API = 'https://api.forge.test/v3';
const ARCHIVES = 'https://files.forge.test';
const QUESTION = { path: '/repos/a/b/tarball/1?x=secret-in-a-query', authorization: 'Bearer what-proves-us' };

const NO_CHANGE = { repository: { id: '1', name: 'a/b' }, commit: 'a'.repeat(40), environment: null, workflow: null, number: null, attempt: null };

/** Answers by turns. @returns what was asked, too */
function makeAsking(...answers: (Response | Error)[]) {
  return makeLeading(false, ...answers);
}

function makeLeading(leadsOn: boolean, ...answers: (Response | Error)[]) {
  const asked: { address: string; authorization: string | null; method?: string; body?: unknown }[] = [];
  const fetch: Fetch = async (address, init) => {
    const verbatim = leadsOn ? { method: init.method ?? '', body: init.body } : {};
    asked.push({ address, authorization: new Headers(init.headers).get('authorization'), ...verbatim });
    expect(init.redirect).toBe('manual');
    const answer = answers.shift();
    if (answer === undefined || answer instanceof Error) throw answer ?? new Error('nobody answers');
    return answer;
  };
  const readRetry = (answer: Response) => (answer.status === 429 ? Number(answer.headers.get('retry-after') ?? 60) : null);
  return { asking: new Asking({ title: 'The forge', api: API, archives: ARCHIVES, leadsOn, headers: { accept: 'x' }, readRetry, fetch }), asked };
}

const redirect = (location: string | null) => new Response(null, { status: 302, headers: location === null ? {} : { location } });

function expectNoToken(problem: Problem): void {
  for (const secret of ['secret-in-a-query', 'what-proves-us', 'token-of-an-archive'])
    expect(JSON.stringify([problem, String(problem.cause)])).not.toContain(secret);
}

test('an answer is a document; 404 is none where it may be missing', async () => {
  expect(await makeAsking(Response.json({ id: 1 })).asking.ask(QUESTION)).toEqual({ id: 1 });
  expect(await makeAsking(Response.json({}, { status: 404 })).asking.askIfThere(QUESTION)).toBeNull();
  expect((await problemOf(makeAsking(Response.json({}, { status: 404 })).asking.ask(QUESTION), 'forge_refused')).facts).toEqual({ status_of_forge: 404 });
});

describe('where an API leads from an old name to a new one, as GitHub does', () => {
  const moved = (status: number, location: string) => new Response(null, { status, headers: { location } });
  const POST = { ...QUESTION, method: 'POST', body: { state: 'success' } } as const;

  test('what was asked is asked there, verbatim, once', async () => {
    const read = makeLeading(true, moved(301, `${API}/repositories/7/x?y=1`), Response.json({ id: 7 }));
    expect(await read.asking.askIfThere(QUESTION)).toEqual({ id: 7 });
    const written = makeLeading(true, moved(307, `${API}/repositories/7/x`), Response.json({ id: 8 }));
    expect(await written.asking.ask(POST)).toEqual({ id: 8 });
    const authorization = 'Bearer what-proves-us';
    expect([read.asked[1], written.asked[1]]).toEqual([
      { address: `${API}/repositories/7/x?y=1`, authorization, method: 'GET', body: undefined },
      { address: `${API}/repositories/7/x`, authorization, method: 'POST', body: '{"state":"success"}' },
    ]);
    const round = makeLeading(true, moved(301, `${API}/a`), moved(301, `${API}/b`));
    await problemOf(round.asking.ask(QUESTION), 'forge_refused');
    expect(round.asked).toHaveLength(2);
  });

  test.each([
    ['another host', QUESTION, 301, 'https://evil.test/v3/repositories/7'],
    ['another host whose name begins alike', QUESTION, 301, `${API}.evil.test/x`],
    ['another part of the same host', QUESTION, 301, 'https://api.forge.test/admin'],
    ['a path that leaves the API', QUESTION, 301, `${API}/../admin`],
    ['one without TLS', QUESTION, 301, API.replace('https', 'http')],
    ['one with a password', QUESTION, 301, `${API.replace('//', '//who:what@')}/x`],
    ['no address', QUESTION, 301, '/v3/x'],
    ['where a POST would become a GET', POST, 301, `${API}/x`],
  ])('%s is not asked', async (_, question, status, location) => {
    const { asking, asked } = makeLeading(true, moved(status, location));
    expectNoToken(await problemOf(asking.ask(question), 'forge_refused'));
    expect(asked).toHaveLength(1);
  });

  test('nothing is asked there where an API does not do so', async () => {
    const { asking, asked } = makeAsking(moved(301, `${API}/x`));
    await problemOf(asking.ask(QUESTION), 'forge_refused');
    expect(asked).toHaveLength(1);
  });
});

test('another form of an answer is asked for where a question says so', async () => {
  const accepted: (string | null)[] = [];
  const fetch: Fetch = async (_address, init) => {
    accepted.push(new Headers(init.headers).get('accept'));
    return Response.json({});
  };
  const asking = new Asking({ title: 'The forge', api: API, archives: ARCHIVES, headers: { accept: 'x' }, readRetry: () => null, fetch });
  for (const accept of [{}, { accept: 'application/zip' }]) await asking.ask({ ...QUESTION, ...accept });
  expect(accepted).toEqual(['x', 'application/zip']);
});

test.each([
  [[500], 'forge_unreachable'],
  [[503], 'forge_unreachable'],
  [[429], 'forge_unreachable'],
  [[401], 'forge_refused'],
  [[403], 'forge_refused'],
  [[422], 'forge_refused'],
  [[301], 'forge_refused'],
] as const)('status %s is %s', async ([status], slug) => {
  expectNoToken(
    await problemOf(makeAsking(Response.json({ message: 'Because of that' }, { status, headers: { location: 'https://x.test' } })).asking.ask(QUESTION), slug),
  );
});

test('what passes by itself says when to ask again, and is not believed for ever', async () => {
  for (const [given, seconds] of [
    ['7', 7],
    ['999999', LIMITS.forge_retry_seconds_max],
  ] as const) {
    const problem = await problemOf(makeAsking(new Response('', { status: 429, headers: { 'retry-after': given } })).asking.ask(QUESTION), 'forge_unreachable');
    expect(problem.facts).toEqual({ retry_after_seconds: seconds });
  }
});

test.each([
  [403, 'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.', {}, 60],
  [403, 'API rate limit exceeded for installation ID 1.', { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1030' }, 30],
  [403, 'You have exceeded a secondary rate limit.', { 'retry-after': '7' }, 7],
  [429, 'Too many requests', {}, 60],
  [403, 'Resource not accessible by integration', { 'x-ratelimit-remaining': '4711' }, null],
] as const)('GitHub takes no more for now, or never: %s, "%s" with %o', async (status, message, headers, seconds) => {
  const forge = makeForge({ kind: 'github', webhook_secrets: ['S'], api: API, token: 'T' });
  const fetch: Fetch = async () => Response.json({ message }, { status, headers });
  const client = connectGitHub(forge, { webhooks: [], token: 'what-proves-us', privateKey: null }, { fetch, now: () => 1_000_000, version: '0' });
  const push: Change = { ...NO_CHANGE, event: 'push', branch: 'main' };
  const problem = await problemOf(client.confirm(push), seconds === null ? 'forge_refused' : 'forge_unreachable');
  expect(problem.facts).toMatchObject(seconds === null ? {} : { retry_after_seconds: seconds });
});

test('a network that fails, an answer that is no JSON, one that is too large', async () => {
  expectNoToken(await problemOf(makeAsking(new Error('ECONNRESET')).asking.ask(QUESTION), 'forge_unreachable'));
  expectNoToken(await problemOf(makeAsking(new Response('<html>')).asking.ask(QUESTION), 'forge_refused'));
  smallLimits({ forge_answer_bytes: 100 });
  expect((await problemOf(makeAsking(new Response('x'.repeat(101))).asking.ask(QUESTION), 'forge_refused')).message).toContain('forge_answer_bytes');
});

describe('an archive', () => {
  test('is fetched from the API itself, or from the one other origin, without what proves us there', async () => {
    const { asking, asked } = makeAsking(redirect(`${ARCHIVES}/a.tgz?t=token-of-an-archive`), new Response('bytes'));
    expect(await new Response(await asking.openArchive(QUESTION)).text()).toBe('bytes');
    expect(asked).toEqual([
      { address: `${API}${QUESTION.path}`, authorization: 'Bearer what-proves-us' },
      { address: `${ARCHIVES}/a.tgz?t=token-of-an-archive`, authorization: null },
    ]);
    const own = makeAsking(redirect('/elsewhere'), new Response('bytes'));
    await own.asking.openArchive(QUESTION);
    expect(own.asked[1]).toEqual({ address: 'https://api.forge.test/elsewhere', authorization: 'Bearer what-proves-us' });
  });

  test.each([
    'https://evil.test/a.tgz',
    'http://files.forge.test/a.tgz',
    'https://files.forge.test:8443/a.tgz',
    'https://files.forge.test.evil.test/a.tgz',
    'https://user:password@files.forge.test/a.tgz',
    'http://169.254.169.254/latest/meta-data',
    'file:///etc/passwd',
    'data:text/plain,x',
    '//evil.test/a.tgz',
    null,
  ])('is not fetched from %s', async (location) => {
    const { asking, asked } = makeAsking(redirect(location));
    expectNoToken(await problemOf(asking.openArchive(QUESTION), 'forge_refused'));
    expect(asked).toHaveLength(1);
  });

  test('is not followed for ever, nor from the other origin to a third', async () => {
    const round = redirect(`${ARCHIVES}/x?t=token-of-an-archive`);
    const { asking, asked } = makeAsking(...Array.from({ length: 9 }, () => round.clone()));
    expectNoToken(await problemOf(asking.openArchive(QUESTION), 'forge_refused'));
    expect(asked).toHaveLength(LIMITS.archive_redirects_count + 1);
    const third = makeAsking(redirect(`${ARCHIVES}/x`), redirect('https://evil.test/'));
    await problemOf(third.asking.openArchive(QUESTION), 'forge_refused');
  });

  test('that is refused is told by its status alone', async () => {
    expectNoToken(
      await problemOf(
        makeAsking(redirect(`${ARCHIVES}/x?t=token-of-an-archive`), Response.json({}, { status: 404 })).asking.openArchive(QUESTION),
        'forge_refused',
      ),
    );
  });
});
