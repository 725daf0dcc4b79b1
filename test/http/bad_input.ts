/**
 * Each bad input that HTTP can bring, and the problem it gets; no session may have been opened by then (law 8). The same table is put
 * to the app with a fake database, and to the Worker in workerd with a relay that counts.
 */
import { LIMITS } from '../../src/domain/limits.ts';
import type { ProblemSlug } from '../../src/domain/problem.ts';
import { DEPLOYMENTS, type Document, ID, manifestOf, type Requests } from './requests.ts';

type Case = [name: string, slug: ProblemSlug, path: string, init: (r: Requests) => Promise<RequestInit>];

const OTHER_ID = '0190a0de-0000-7000-8000-00000000000b';
const files = [{ path: '1.sql', content: 'select 1;' }];
const good = (r: Requests): Document => r.makeRequest({ files });

export const BAD_INPUT: Case[] = [
  ['no signature', 'unsigned', DEPLOYMENTS, async (r) => ({ method: 'POST', body: JSON.stringify(good(r)), headers: { 'content-type': 'application/json' } })],
  ['the signature of a stranger', 'signature_mismatch', DEPLOYMENTS, (r) => r.post(good(r), { secret: r.secrets.stranger })],
  [
    'a changed body',
    'signature_mismatch',
    DEPLOYMENTS,
    async (r) => ({ ...(await r.post(good(r))), body: JSON.stringify({ ...good(r), target: 'production' }) }),
  ],
  ['an old signature', 'stale', DEPLOYMENTS, (r) => r.post(good(r), { at: r.now() - (LIMITS.signature_tolerance_seconds + 1) * 1000 })],
  ['a signature from the future', 'stale', DEPLOYMENTS, (r) => r.post(good(r), { at: r.now() + (LIMITS.signature_tolerance_seconds + 1) * 1000 })],
  ['an expired request', 'expired', DEPLOYMENTS, (r) => r.post({ ...good(r), expires_at: new Date(r.now() - 1000).toISOString() })],
  ['another audience', 'wrong_audience', DEPLOYMENTS, (r) => r.post({ ...good(r), audience: 'https://weft.elsewhere' })],
  ['another target', 'wrong_target', DEPLOYMENTS, (r) => r.post({ ...good(r), target: 'production' })],
  ['another type', 'wrong_type', DEPLOYMENTS, (r) => r.post(without({ ...good(r), type: 'cancel', deployment: ID }, 'files', 'folder'))],
  ['an unknown target', 'unknown_target', '/v1/targets/nowhere/deployments', (r) => r.post({ ...good(r), target: 'nowhere' })],
  ['no grant', 'no_grant', '/v1/targets/production/deployments', (r) => r.post({ ...good(r), target: 'production' })],
  ['another id than the signed one', 'invalid_request', DEPLOYMENTS, (r) => r.post(good(r), { id: 'another' })],
  ['something that is no JSON', 'malformed_json', DEPLOYMENTS, (r) => r.post('{"type":')],
  ['an unknown key', 'invalid_request', DEPLOYMENTS, (r) => r.post({ ...good(r), database: 'postgres://x' })],
  ['a wrong manifest', 'invalid_manifest', DEPLOYMENTS, (r) => r.post(r.makeRequest({ manifest: { ...manifestOf({ '1.sql': '' }), format: 2 } }))],
  ['files whose bundle has no name', 'invalid_request', DEPLOYMENTS, (r) => r.post(without(good(r), 'folder'))],
  ['neither files nor manifest', 'invalid_request', DEPLOYMENTS, (r) => r.post(r.makeRequest())],
  ['a path that leaves the bundle', 'invalid_request', DEPLOYMENTS, (r) => r.post(r.makeRequest({ files: [{ path: '../1.sql', content: '' }] }))],
  ['a file twice', 'invalid_bundle', DEPLOYMENTS, (r) => r.post(r.makeRequest({ files: [...files, ...files] }))],
  ['a file that is not UTF-8', 'not_utf8', DEPLOYMENTS, (r) => r.post(r.makeRequest({ files: [{ path: '1.sql', base64: '/w==' }] }))],
  [
    'a bundle file that is no YAML',
    'invalid_bundle',
    DEPLOYMENTS,
    (r) => r.post(r.makeRequest({ files: [...files, { path: 'weft.yaml', content: 'name: [' }] })),
  ],
  [
    'a step of a kind that is none',
    'invalid_bundle',
    DEPLOYMENTS,
    (r) => r.post(r.makeRequest({ files: [...files, { path: 'weft.yaml', content: 'name: shop\nphases: [{ name: a, steps: [{ walk: 1.sql }] }]' }] })),
  ],
  [
    'a document over its limit',
    'too_large',
    DEPLOYMENTS,
    (r) => r.post(r.makeRequest({ files: [{ path: '1.sql', content: 'x'.repeat(LIMITS.inline_document_bytes) }] })),
  ],
  ['a tar that is none', 'malformed_tar', DEPLOYMENTS, (r) => postBytes(r, new Uint8Array(2000).fill(65))],
  ['an empty tar', 'malformed_tar', DEPLOYMENTS, (r) => postBytes(r, new Uint8Array(0))],
  ['a gzip that is none', 'malformed_gzip', DEPLOYMENTS, (r) => postBytes(r, new Uint8Array(2000).fill(65), { 'content-encoding': 'gzip' })],
  ['a form', 'unsupported_media_type', DEPLOYMENTS, (r) => r.post(good(r), { headers: { 'content-type': 'multipart/form-data' } })],
  ['JSON in gzip', 'unsupported_media_type', DEPLOYMENTS, (r) => r.post(good(r), { headers: { 'content-encoding': 'gzip' } })],
  ['a tar in brotli', 'unsupported_media_type', DEPLOYMENTS, (r) => postBytes(r, new Uint8Array(512), { 'content-encoding': 'br' })],
  [
    'a cancel for another deployment',
    'wrong_deployment',
    `${DEPLOYMENTS}/${OTHER_ID}/cancel`,
    (r) => r.post(r.makeRequest({ type: 'cancel', deployment: ID })),
  ],
  [
    'a resume for another deployment',
    'wrong_deployment',
    `${DEPLOYMENTS}/${OTHER_ID}/resume`,
    (r) => r.post(r.makeRequest({ type: 'resume', deployment: ID })),
  ],
  ['a deploy sent to cancel', 'wrong_type', `${DEPLOYMENTS}/${ID}/cancel`, (r) => r.post(good(r))],
  ['a cancel sent to resume', 'wrong_type', `${DEPLOYMENTS}/${ID}/resume`, (r) => r.post(r.makeRequest({ type: 'cancel', deployment: ID }))],
  ['a cancel without a signature', 'unsigned', `${DEPLOYMENTS}/${ID}/cancel`, async () => ({ method: 'POST', body: '{}' })],
  [
    'a cancel that is no JSON by its type',
    'unsupported_media_type',
    `${DEPLOYMENTS}/${ID}/cancel`,
    (r) => r.post(r.makeRequest({ type: 'cancel', deployment: ID }), { headers: { 'content-type': 'text/plain' } }),
  ],
  ['reading without a token', 'read_token_required', `${DEPLOYMENTS}/${ID}`, async () => ({})],
  ['listing without a token', 'read_token_required', DEPLOYMENTS, async () => ({})],
  ['following without a token', 'read_token_required', `${DEPLOYMENTS}/${ID}/events`, async () => ({})],
  ['the history without a token', 'read_token_required', '/v1/targets/staging/history', async () => ({})],
  ['a token that is none', 'read_token_invalid', `${DEPLOYMENTS}/${ID}`, async () => ({ headers: { authorization: 'Bearer weft_read_nonsense' } })],
  ['a token for another target', 'read_token_invalid', DEPLOYMENTS, async (r) => ({ headers: await r.bearer({ target: 'production' }) })],
  ['a token for one deployment, used for all', 'read_token_invalid', DEPLOYMENTS, async (r) => ({ headers: await r.bearer({ deployment: ID }) })],
  ['an expired token', 'read_token_invalid', DEPLOYMENTS, async (r) => ({ headers: await r.bearer({ seconds: -1 }) })],
  ['a token of one who may not read', 'no_grant', DEPLOYMENTS, async (r) => ({ headers: await r.bearer({ caller: 'watcher' }) })],
  ['an id that is none', 'deployment_not_found', `${DEPLOYMENTS}/latest`, async (r) => ({ headers: await r.bearer() })],
  ['a limit out of range', 'invalid_request', `${DEPLOYMENTS}?limit=0`, async (r) => ({ headers: await r.bearer() })],
  [
    'a Last-Event-ID that is no number',
    'invalid_request',
    `${DEPLOYMENTS}/${ID}/events`,
    async (r) => ({ headers: { ...(await r.bearer()), 'last-event-id': 'x' } }),
  ],
];

function without(document: Document, ...keys: string[]): Document {
  return Object.fromEntries(Object.entries(document).filter(([key]) => !keys.includes(key)));
}

/** Bytes that claim to be a tar, with a signature that is never looked at. */
async function postBytes(r: Requests, body: Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<RequestInit> {
  return { method: 'POST', body, headers: { 'content-type': 'application/x-tar', ...(await r.sign(body, 'run-1')), ...headers } };
}
