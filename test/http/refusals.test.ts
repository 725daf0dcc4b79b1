/** Each bad input that HTTP can bring: its own problem, status and sentence; and no session was opened (law 8). */
import { describe, expect, test } from 'vitest';
import { SqlError } from '../../src/database/session.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { PROBLEMS, type ProblemSlug } from '../../src/domain/problem.ts';
import { DEPLOYMENTS, ID, makeHouse, makeRequest, makeToken, manifestOf, NOW, post, SECRETS, sign } from './support.ts';

const files = [{ path: '1.sql', content: 'select 1;' }];
const good = makeRequest({ files });
const tar = async (body: Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<RequestInit> => ({
  method: 'POST',
  body,
  headers: { 'content-type': 'application/x-tar', ...(await sign(body)), ...headers },
});

const cases: [name: string, slug: ProblemSlug, path: string, init: () => Promise<RequestInit>][] = [
  ['no signature', 'unsigned', DEPLOYMENTS, async () => ({ method: 'POST', body: JSON.stringify(good), headers: { 'content-type': 'application/json' } })],
  ['the signature of a stranger', 'signature_mismatch', DEPLOYMENTS, () => post(good, { secret: SECRETS.stranger })],
  ['a changed body', 'signature_mismatch', DEPLOYMENTS, async () => ({ ...(await post(good)), body: JSON.stringify({ ...good, target: 'production' }) })],
  ['an old signature', 'stale', DEPLOYMENTS, () => post(good, { at: NOW - (LIMITS.signature_tolerance_seconds + 1) * 1000 })],
  ['a signature from the future', 'stale', DEPLOYMENTS, () => post(good, { at: NOW + (LIMITS.signature_tolerance_seconds + 1) * 1000 })],
  ['an expired request', 'expired', DEPLOYMENTS, () => post({ ...good, expires_at: new Date(NOW - 1000).toISOString() })],
  ['another audience', 'wrong_audience', DEPLOYMENTS, () => post({ ...good, audience: 'https://weft.elsewhere' })],
  ['another target', 'wrong_target', DEPLOYMENTS, () => post({ ...good, target: 'production' })],
  ['another type', 'wrong_type', DEPLOYMENTS, () => post(without({ ...good, type: 'cancel', deployment: ID }, 'files'))],
  ['an unknown target', 'unknown_target', '/v1/targets/nowhere/deployments', () => post({ ...good, target: 'nowhere' })],
  ['no grant', 'no_grant', '/v1/targets/production/deployments', () => post({ ...good, target: 'production' })],
  ['another id than the signed one', 'invalid_request', DEPLOYMENTS, () => post(good, { id: 'run-2' })],
  ['something that is no JSON', 'malformed_json', DEPLOYMENTS, () => post('{"type":')],
  ['an unknown key', 'invalid_request', DEPLOYMENTS, () => post({ ...good, database: 'postgres://x' })],
  ['a wrong manifest', 'invalid_manifest', DEPLOYMENTS, () => post(makeRequest({ manifest: { ...manifestOf({ '1.sql': '' }), format: 2 } }))],
  ['neither files nor manifest', 'invalid_request', DEPLOYMENTS, () => post(makeRequest())],
  ['a path that leaves the bundle', 'invalid_request', DEPLOYMENTS, () => post(makeRequest({ files: [{ path: '../1.sql', content: '' }] }))],
  ['a file twice', 'invalid_bundle', DEPLOYMENTS, () => post(makeRequest({ files: [...files, ...files] }))],
  ['a file that is not UTF-8', 'not_utf8', DEPLOYMENTS, () => post(makeRequest({ files: [{ path: '1.sql', base64: '/w==' }] }))],
  ['a bundle file that is no YAML', 'invalid_bundle', DEPLOYMENTS, () => post(makeRequest({ files: [...files, { path: 'weft.yaml', content: 'name: [' }] }))],
  [
    'a step of a kind to come',
    'unsupported_feature',
    DEPLOYMENTS,
    () =>
      post(makeRequest({ files: [...files, { path: 'weft.yaml', content: 'name: shop\nphases: [{ name: a, transaction: none, steps: [{ run: 1.sql }] }]' }] })),
  ],
  [
    'a document over its limit',
    'too_large',
    DEPLOYMENTS,
    () => post(makeRequest({ files: [{ path: '1.sql', content: 'x'.repeat(LIMITS.inline_document_bytes) }] })),
  ],
  ['a tar that is none', 'malformed_tar', DEPLOYMENTS, () => tar(new Uint8Array(2000).fill(65))],
  ['an empty tar', 'malformed_tar', DEPLOYMENTS, () => tar(new Uint8Array(0))],
  ['a gzip that is none', 'malformed_gzip', DEPLOYMENTS, () => tar(new Uint8Array(2000).fill(65), { 'content-encoding': 'gzip' })],
  ['a form', 'unsupported_media_type', DEPLOYMENTS, () => post(good, { headers: { 'content-type': 'multipart/form-data' } })],
  ['JSON in gzip', 'unsupported_media_type', DEPLOYMENTS, () => post(good, { headers: { 'content-encoding': 'gzip' } })],
  ['a tar in brotli', 'unsupported_media_type', DEPLOYMENTS, () => tar(new Uint8Array(512), { 'content-encoding': 'br' })],
  [
    'a cancel for another deployment',
    'wrong_deployment',
    `${DEPLOYMENTS}/0190a0de-0000-7000-8000-000000000002/cancel`,
    () => post(makeRequest({ type: 'cancel', deployment: ID })),
  ],
  [
    'a resume for another deployment',
    'wrong_deployment',
    `${DEPLOYMENTS}/0190a0de-0000-7000-8000-000000000002/resume`,
    () => post(makeRequest({ type: 'resume', deployment: ID })),
  ],
  ['a deploy sent to cancel', 'wrong_type', `${DEPLOYMENTS}/${ID}/cancel`, () => post(good)],
  ['a cancel sent to resume', 'wrong_type', `${DEPLOYMENTS}/${ID}/resume`, () => post(makeRequest({ type: 'cancel', deployment: ID }))],
  ['a cancel without a signature', 'unsigned', `${DEPLOYMENTS}/${ID}/cancel`, async () => ({ method: 'POST', body: '{}' })],
  [
    'a cancel that is no JSON by its type',
    'unsupported_media_type',
    `${DEPLOYMENTS}/${ID}/cancel`,
    () => post(makeRequest({ type: 'cancel', deployment: ID }), { headers: { 'content-type': 'text/plain' } }),
  ],
  ['reading without a token', 'read_token_required', `${DEPLOYMENTS}/${ID}`, async () => ({})],
  ['listing without a token', 'read_token_required', DEPLOYMENTS, async () => ({})],
  ['following without a token', 'read_token_required', `${DEPLOYMENTS}/${ID}/events`, async () => ({})],
  ['the history without a token', 'read_token_required', '/v1/targets/staging/history', async () => ({})],
  ['a token that is none', 'read_token_invalid', `${DEPLOYMENTS}/${ID}`, () => bearer('weft_read_nonsense')],
  ['a token for another target', 'read_token_invalid', DEPLOYMENTS, async () => bearer(await makeToken({ target: 'production' }))],
  ['a token for one deployment, used for all', 'read_token_invalid', DEPLOYMENTS, async () => bearer(await makeToken({ deployment: ID }))],
  ['an expired token', 'read_token_invalid', DEPLOYMENTS, async () => bearer(await makeToken({ expires: NOW / 1000 - 1 }))],
  ['a token of one who may not read', 'no_grant', DEPLOYMENTS, async () => bearer(await makeToken({ caller: 'watcher' }))],
  ['an id that is none', 'deployment_not_found', `${DEPLOYMENTS}/latest`, async () => bearer(await makeToken())],
  ['a limit out of range', 'invalid_request', `${DEPLOYMENTS}?limit=0`, async () => bearer(await makeToken())],
  [
    'a Last-Event-ID that is no number',
    'invalid_request',
    `${DEPLOYMENTS}/${ID}/events`,
    async () => ({ headers: { ...(await bearer(await makeToken())).headers, 'last-event-id': 'x' } }),
  ],
];

function without(document: Record<string, unknown>, key: string): Record<string, unknown> {
  const { [key]: _, ...rest } = document;
  return rest;
}

async function bearer(token: string) {
  return { headers: { authorization: `Bearer ${token}` } };
}

describe('is refused before any session', () => {
  test.each(cases)('%s: %s', async (_name, slug, path, init) => {
    const house = makeHouse();
    const answer = await house.fetch(path, await init());
    const problem = (await answer.json()) as Record<string, unknown>;
    expect(problem).toMatchObject({ type: `urn:weft:problem:${slug}`, title: PROBLEMS[slug].title, status: PROBLEMS[slug].status });
    expect(problem.detail).toMatch(/^.{20,}/);
    expect(answer.status).toBe(PROBLEMS[slug].status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    if (answer.status === 401)
      expect(answer.headers.get('www-authenticate')).toMatch(slug.startsWith('read_') ? /^Bearer realm="weft"/ : /^Webhook realm="weft"/);
    expect(house.sessions.opened).toBe(0);
    expect(house.lines.at(-1)).toMatchObject({ message: 'request', problem: slug });
  });

  test('a limit is named', async () => {
    const document = makeRequest({ files: [{ path: '1.sql', content: 'x'.repeat(LIMITS.inline_document_bytes) }] });
    const problem = (await (await makeHouse().fetch(DEPLOYMENTS, await post(document))).json()) as Record<string, unknown>;
    expect(problem).toMatchObject({ limit: 'inline_document_bytes', limit_bytes: LIMITS.inline_document_bytes });
    expect(problem.detail).toContain('inline_document_bytes');
  });
});

describe('what the server says', () => {
  test.each([
    ['53300', 'no_free_connection'],
    ['25006', 'read_only_server'],
    ['42501', 'role_without_rights'],
    ['3F000', 'engine_missing'],
    ['28P01', 'database_authentication'],
    ['57P01', 'session_lost'],
    ['42601', 'statement_failed'],
  ] as const)('%s becomes %s, without a word of its own', async (sqlstate, slug) => {
    const house = makeHouse({
      readStatus: async () => {
        throw new SqlError({ sqlstate, message: 'insert into customers values (secret)' });
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}`, await bearer(await makeToken()));
    const text = await answer.text();
    expect(answer.status).toBe(PROBLEMS[slug].status);
    expect(JSON.parse(text)).toMatchObject({ type: `urn:weft:problem:${slug}`, sqlstate });
    expect(text).not.toContain('customers');
  });
});
