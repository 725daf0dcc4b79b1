import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import type { WeftRequest } from '../../src/domain/request.ts';
import { type ArrivedRequest, acceptRequest, checkRequest } from '../../src/trust/request.ts';
import { signRequest } from '../../src/trust/signature.ts';
import { problemOf } from '../config/problems.ts';
import { CI_NEXT, callers, config, DEPLOYMENT, deployRequest, later, NOW, PEOPLE, STRANGER } from './fixtures.ts';

interface Sending {
  /** The document, or the exact text or bytes that are signed. */
  document?: object | string | Uint8Array;
  secret?: string;
  webhookId?: string;
  signedAt?: number;
  type?: ArrivedRequest['type'];
  target?: string;
}

async function send(o: Sending = {}) {
  const document = o.document ?? deployRequest();
  const body = document instanceof Uint8Array ? document : new TextEncoder().encode(typeof document === 'string' ? document : JSON.stringify(document));
  const signed = await signRequest(body, o.secret ?? CI_NEXT, o.webhookId ?? 'run-1:1', o.signedAt ?? NOW);
  return acceptRequest({ body, signed, callers, config, type: o.type ?? 'deploy', target: o.target ?? 'shop', nowSeconds: NOW });
}

const text = (edit: (text: string) => string) => edit(JSON.stringify(deployRequest()));

describe('accept_request', () => {
  it('says who asks, and what', async () => {
    expect(await send()).toEqual({ caller: 'ci', request: deployRequest() });
  });

  it('takes a request without manifest when it brings its files', async () => {
    const { manifest: _, ...rest } = deployRequest();
    const { request } = await send({ document: { ...rest, files: [{ path: 'a.sql', content: 'select 1' }] } });
    expect(request).toMatchObject({ type: 'deploy', mode: 'apply', files: [{ path: 'a.sql' }] });
  });

  it.each(['resume', 'cancel'] as const)('takes a request to %s', async (type) => {
    const { manifest: _, mode: __, ...common } = deployRequest();
    const { request } = await send({ document: { ...common, type, deployment: DEPLOYMENT }, type });
    expect(request).toMatchObject({ type, deployment: DEPLOYMENT });
  });

  it('takes white space and any order of keys: the signature is over bytes', async () => {
    const reversed = Object.fromEntries(Object.entries(deployRequest()).reverse());
    expect((await send({ document: JSON.stringify(reversed, null, 2) })).caller).toBe('ci');
  });

  it.each([
    [1, true],
    [LIMITS.request_life_seconds_max, true],
  ])('takes a request that expires in %i s', async (seconds) => {
    expect((await send({ document: { ...deployRequest(), expires_at: later(seconds) } })).caller).toBe('ci');
  });

  const refusals: [string, Sending, string, string][] = [
    ['a stranger', { secret: STRANGER }, 'signature_mismatch', 'None of the v1 signatures'],
    ['an old signature', { signedAt: NOW - 301 }, 'stale', '301 s ago'],
    ['no JSON', { document: 'hello' }, 'malformed_json', 'Line 1, column 1'],
    ['bytes that are not UTF-8', { document: Uint8Array.from([0x7b, 0xff, 0x7d]) }, 'malformed_json', 'byte 1'],
    ['a target twice', { document: text((json) => json.replace('"target"', '"target":"preview-1","target"')) }, 'malformed_json', 'the key "target"'],
    ['a path twice, deep inside', { document: text((json) => json.replace('"size":10', '"size":10,"path":"b.sql"')) }, 'malformed_json', 'the key "path"'],
    ['a list', { document: '[]' }, 'invalid_request', 'the document: expected object'],
    ['a type that is none', { document: { ...deployRequest(), type: 'drop' } }, 'invalid_request', "type: expected 'deploy' | 'resume' | 'cancel'"],
    ['a type of a later version', { document: { ...deployRequest(), type: 'promote' } }, 'invalid_request', 'type: '],
    ['an unknown key', { document: { ...deployRequest(), database: 'postgres://h/d' } }, 'invalid_request', 'database: no such key is known'],
    ['an unknown mode', { document: { ...deployRequest(), mode: 'force' } }, 'invalid_request', 'mode: '],
    ['no id', { document: { ...deployRequest(), id: undefined } }, 'invalid_request', 'id: is missing'],
    ['neither manifest nor files', { document: { ...deployRequest(), manifest: undefined } }, 'invalid_request', 'needs a manifest, or files'],
    ['a bad digest', { document: text((json) => json.replace('"aaaa', '"AAAA')) }, 'invalid_manifest', 'manifest.artifacts[0].digest: '],
    ['a path upwards', { document: text((json) => json.replaceAll('a.sql', '../a.sql')) }, 'invalid_manifest', 'manifest.artifacts[0].path: '],
    [
      'a NUL',
      { document: text((json) => json.replace('"kind":"run"', '"kind":"run","when":"a\\u0000"')) },
      'invalid_manifest',
      'steps[0].when: text without NUL',
    ],
    ['a NUL beside the manifest', { document: { ...deployRequest(), fingerprint: 'a\0' } }, 'invalid_request', 'fingerprint: text without NUL'],
    [
      'a step without artifact',
      { document: text((json) => json.replace('"kind":"run","path":"a.sql"', '"kind":"run","path":"b.sql"')) },
      'invalid_manifest',
      'no artifact has the path "b.sql"',
    ],
    ['a manifest and more wrong', { document: { ...deployRequest(), manifest: {}, mode: 'force' } }, 'invalid_request', 'manifest.format'],
    ['a path upwards among the files', { document: { ...deployRequest(), files: [{ path: '../x', content: '' }] } }, 'invalid_request', 'files[0].path: '],
    ['another webhook-id', { webhookId: 'run-2' }, 'invalid_request', 'has the id "run-1:1", but the header webhook-id says "run-2"'],
    ['another audience', { document: { ...deployRequest(), audience: 'https://other.example.com' } }, 'wrong_audience', 'https://other.example.com'],
    [
      'an audience with a slash',
      { document: { ...deployRequest(), audience: 'https://weft.example.com/' } },
      'wrong_audience',
      'this Worker is https://weft.example.com.',
    ],
    ['no audience', { document: { ...deployRequest(), audience: null } }, 'wrong_audience', 'no Worker (audience null)'],
    ['another type', { type: 'cancel' }, 'wrong_type', 'signed to deploy, and sent to an address that is there to cancel'],
    ['another target', { target: 'preview-1' }, 'wrong_target', 'signed for the target "shop", and sent to "preview-1"'],
    ['no target', { document: { ...deployRequest(), target: null } }, 'wrong_target', 'signed for no target'],
    ['an expiry that has come', { document: { ...deployRequest(), expires_at: later(0) } }, 'expired', 'expired at 2026-11-22T12:00:00.000Z'],
    [
      'an expiry more than a day away',
      { document: { ...deployRequest(), expires_at: later(LIMITS.request_life_seconds_max + 1) } },
      'invalid_request',
      'request_life_seconds_max',
    ],
    ['an expiry without time zone', { document: { ...deployRequest(), expires_at: '2026-11-22T12:10:00' } }, 'invalid_request', 'expires_at: '],
    ['an unknown target', { document: { ...deployRequest(), target: 'nowhere' }, target: 'nowhere' }, 'unknown_target', 'no target "nowhere"'],
    ['a baseline of a caller who may only deploy', { document: { ...deployRequest(), mode: 'baseline' } }, 'no_grant', 'no grant to baseline on'],
    ['a caller without grant here', { secret: PEOPLE }, 'no_grant', 'The caller "people" has no grant to deploy on the target "shop".'],
  ];

  it.each(refusals)('refuses %s', async (_name, sending, slug, words) => {
    const problem = await problemOf(() => send(sending));
    expect(problem.slug).toBe(slug);
    expect(problem.message).toContain(words);
  });

  it('refuses a document above request_bytes before it looks at it', async () => {
    const body = new Uint8Array(LIMITS.request_bytes + 1);
    const signed = { id: 'run-1:1', timestamp: String(NOW), signature: 'v1,AAAA' };
    const problem = await problemOf(() => acceptRequest({ body, signed, callers, config, type: 'deploy', target: 'shop', nowSeconds: NOW }));
    expect(problem.slug).toBe('too_large');
    expect(problem.facts.limit).toBe('request_bytes');
  });

  it('tells a stranger the same, whatever is wrong besides', async () => {
    const answers = new Set<string>();
    for (const [, sending] of refusals) {
      if (sending.signedAt === undefined) answers.add(JSON.stringify(await problemOf(() => send({ ...sending, secret: STRANGER }))));
    }
    expect([...answers]).toHaveLength(1);
  });

  it('looks in one order: a request that is wrong in every way is refused for one after the other', async () => {
    const wrong: Sending = {
      secret: STRANGER,
      signedAt: NOW - 301,
      document: '{',
      webhookId: 'run-2',
      target: 'nowhere',
      type: 'cancel',
    };
    const document: WeftRequest & { extra?: true } = { ...deployRequest(), extra: true, audience: null, target: 'preview-1', expires_at: later(-1) };
    const repairs: [string, () => void][] = [
      ['signature_mismatch', () => (wrong.secret = CI_NEXT)],
      ['stale', () => (wrong.signedAt = NOW)],
      ['malformed_json', () => (wrong.document = document)],
      ['invalid_request', () => delete document.extra],
      ['invalid_request', () => (wrong.webhookId = document.id)],
      ['wrong_audience', () => (document.audience = config.origin)],
      ['wrong_type', () => (wrong.type = 'deploy')],
      ['wrong_target', () => (document.target = 'nowhere')],
      ['expired', () => (document.expires_at = later(60))],
      ['unknown_target', () => (wrong.target = document.target = 'preview-1')],
      ['no_grant', () => (wrong.target = document.target = 'shop')],
    ];
    for (const [slug, repair] of repairs) {
      expect((await problemOf(() => send(wrong))).slug).toBe(slug);
      repair();
    }
    expect((await send(wrong)).caller).toBe('ci');
  });
});

describe('check_request', () => {
  it('names the first few issues, and how many more there are', async () => {
    const artifacts = Array.from({ length: 20 }, (_, index) => ({ path: `${index}.sql`, digest: 'x', size: 1 }));
    const problem = await problemOf(() => checkRequest({ ...deployRequest(), manifest: { ...deployRequest().manifest, artifacts } }));
    expect(problem.slug).toBe('invalid_manifest');
    expect(problem.message).toContain('and 33 more.');
    expect(problem.facts.issues).toHaveLength(8);
  });
});
