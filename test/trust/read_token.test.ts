import { describe, expect, it } from 'vitest';
import { encodeBase64Url } from '../../src/config/base64.ts';
import { parseConfig } from '../../src/config/config.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { ReadClaims } from '../../src/domain/request.ts';
import { acceptReadToken, makeReadToken, readBearerToken } from '../../src/trust/read_token.ts';
import { signRequest, verifySignature } from '../../src/trust/signature.ts';
import { problemOf } from '../config/problems.ts';
import { CI_LAST, CI_NEXT, callers, config, DEPLOYMENT, NOW, PEOPLE, STRANGER } from './fixtures.ts';

const claims = (change: Partial<ReadClaims> = {}): ReadClaims => ({ caller: 'ci', target: 'shop', expires: NOW + 3600, ...change });
const read = (token: string, o: { target?: string; deployment?: string } = {}) =>
  acceptReadToken(token, { callers, config, target: 'shop', nowSeconds: NOW, ...o });
const OTHER = '0192f0c1-7b1a-7cc3-8a52-000000000000';

/** Signed as a token is, whatever it holds: what only the holder of a secret could make. */
async function forge(payload: string, secret: string): Promise<string> {
  const key = await crypto.subtle.importKey('raw', Buffer.from(secret.slice(6), 'base64'), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const mac = await crypto.subtle.sign('HMAC', key, new TextEncoder().encode(`weft-read-v1.${payload}`));
  return `weft_read.${payload}.${encodeBase64Url(new Uint8Array(mac))}`;
}
const payloadOf = (value: unknown) => encodeBase64Url(new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)));

describe('read tokens', () => {
  it.each([
    ['the first secret', CI_NEXT],
    ['an older secret of the same caller', CI_LAST],
  ])('lets the caller read the target, by %s', async (_name, secret) => {
    expect(await read(await makeReadToken(claims(), secret))).toEqual({ caller: 'ci' });
    expect(await read(await makeReadToken(claims(), secret), { deployment: DEPLOYMENT })).toEqual({ caller: 'ci' });
  });

  it('lets a token for one deployment read that deployment', async () => {
    expect(await read(await makeReadToken(claims({ deployment: DEPLOYMENT }), CI_NEXT), { deployment: DEPLOYMENT })).toEqual({ caller: 'ci' });
  });

  it('is written in one way, which others can make with an HMAC and base64url', async () => {
    expect(await forge(payloadOf({ caller: 'ci', target: 'shop', expires: NOW + 3600 }), CI_NEXT)).toBe(await makeReadToken(claims(), CI_NEXT));
  });

  it.each([1, LIMITS.read_token_seconds_max])('takes a token that expires in %i s', async (seconds) => {
    expect(await read(await makeReadToken(claims({ expires: NOW + seconds }), CI_NEXT))).toEqual({ caller: 'ci' });
  });

  const refusals: [string, ReadClaims, string, { target?: string; deployment?: string }, string, string][] = [
    ['one that has expired', claims({ expires: NOW }), CI_NEXT, {}, 'read_token_invalid', 'it expired at 2026-11-22T12:00:00.000Z'],
    ['one that would live too long', claims({ expires: NOW + LIMITS.read_token_seconds_max + 1 }), CI_NEXT, {}, 'read_token_invalid', 'read_token_seconds_max'],
    ['one for another target', claims({ target: 'preview-1' }), CI_NEXT, {}, 'read_token_invalid', 'it is for the target "preview-1"'],
    [
      'one for another deployment',
      claims({ deployment: OTHER }),
      CI_NEXT,
      { deployment: DEPLOYMENT },
      'read_token_invalid',
      `it is for the deployment ${OTHER} alone`,
    ],
    ['one for a deployment, on the whole target', claims({ deployment: DEPLOYMENT }), CI_NEXT, {}, 'read_token_invalid', 'alone'],
    ['one for a target that is gone', claims({ target: 'gone' }), CI_NEXT, { target: 'gone' }, 'unknown_target', 'no target "gone"'],
    [
      'one of a caller without the grant',
      claims({ caller: 'people' }),
      PEOPLE,
      {},
      'no_grant',
      'The caller "people" has no grant to read on the target "shop".',
    ],
    ['one by a strange secret', claims(), STRANGER, {}, 'read_token_invalid', 'was not made by a secret known here'],
    ['one in the name of another caller', claims({ caller: 'ci' }), PEOPLE, {}, 'read_token_invalid', 'was not made by a secret known here'],
    ['one in the name of nobody', claims({ caller: 'nobody' }), CI_NEXT, {}, 'read_token_invalid', 'was not made by a secret known here'],
  ];

  it.each(refusals)('refuses %s', async (_name, made, secret, where, slug, words) => {
    const problem = await problemOf(async () => read(await makeReadToken(made, secret), where));
    expect(problem.slug).toBe(slug);
    expect(problem.message).toContain(words);
  });

  it('asks for the grant to read, not for any other', async () => {
    const onlyDeploy = parseConfig({
      origin: 'https://weft.example.com',
      targets: { shop: { database: 'SHOP_URL', transport: 'tcp' } },
      callers: { ci: { secrets: ['CI'] } },
      grants: [{ caller: 'ci', targets: ['*'], actions: ['deploy', 'resume', 'cancel'] }],
    });
    const token = await makeReadToken(claims(), CI_NEXT);
    expect((await problemOf(() => acceptReadToken(token, { callers, config: onlyDeploy, target: 'shop', nowSeconds: NOW }))).slug).toBe('no_grant');
  });

  it.each([
    ['an unknown claim', { ...claims(), write: true }],
    ['no caller', { target: 'shop', expires: NOW + 1 }],
    ['no target', { caller: 'ci', expires: NOW + 1 }],
    ['no expiry', { caller: 'ci', target: 'shop' }],
    ['a fraction of a second', { ...claims(), expires: NOW + 0.5 }],
    ['a deployment that is none', { ...claims(), deployment: '*' }],
    ['a claim twice', `{"caller":"ci","target":"shop","expires":${NOW + 1},"expires":${NOW + 2}}`],
    ['no JSON', 'ci'],
  ])('refuses claims with %s, though signed', async (_name, value) => {
    expect((await problemOf(async () => read(await forge(payloadOf(value), CI_NEXT)))).slug).toBe('read_token_invalid');
  });

  it('refuses one that is longer than read_token_characters, though signed', async () => {
    const padded = (spaces: number) => forge(payloadOf(JSON.stringify(claims()) + ' '.repeat(spaces)), CI_NEXT);
    expect(await read(await padded(100))).toEqual({ caller: 'ci' });
    expect((await problemOf(async () => read(await padded(LIMITS.read_token_characters)))).slug).toBe('read_token_invalid');
  });

  it('refuses any one character changed, missing or added, and says the same each time', async () => {
    const token = await makeReadToken(claims({ deployment: DEPLOYMENT }), CI_NEXT);
    const answers = new Set<string>();
    for (let index = 0; index < token.length; index += 1) {
      const changed = token[index] === 'A' ? 'B' : 'A';
      for (const put of [changed, '', `${token[index]}.`]) {
        const bent = token.slice(0, index) + put + token.slice(index + 1);
        answers.add(JSON.stringify(await problemOf(() => read(bent, { deployment: DEPLOYMENT }))));
      }
    }
    expect([...answers]).toHaveLength(1);
    expect([...answers][0]).toContain('read_token_invalid');
  });

  it.each(['', 'weft_read', 'weft_read..', 'whsec_AAAA', 'a.b.c', `weft_read.${'a'.repeat(LIMITS.read_token_characters)}.a`])('refuses %j', async (token) => {
    expect((await problemOf(() => read(token))).slug).toBe('read_token_invalid');
  });

  it('never passes for a signed request, nor a signed request for a token', async () => {
    const [, payload = '', mac = ''] = (await makeReadToken(claims(), CI_NEXT)).split('.');
    const signature = `v1,${Buffer.from(mac, 'base64url').toString('base64')}`;
    const asRequest = { id: 'weft-read-v1', timestamp: payload, signature };
    expect((await problemOf(() => verifySignature(new Uint8Array(0), asRequest, callers, NOW))).slug).toBe('signature_mismatch');

    const signed = await signRequest(new TextEncoder().encode(payload), CI_NEXT, 'weft-read-v1', NOW);
    const asToken = `weft_read.${payload}.${Buffer.from(signed.signature.slice(3), 'base64').toString('base64url')}`;
    expect((await problemOf(() => read(asToken))).slug).toBe('read_token_invalid');
  });
});

describe('make_read_token', () => {
  it('refuses claims and secrets of another form', async () => {
    expect((await problemOf(() => makeReadToken({ ...claims(), caller: 'c i' }, CI_NEXT))).slug).toBe('invalid_request');
    expect((await problemOf(() => makeReadToken(claims(), 'whsec_AAAA'))).slug).toBe('invalid_request');
  });
});

describe('read_bearer_token', () => {
  it.each(['Bearer weft_read.a.b', 'bearer  weft_read.a.b'])('reads %j', (value) => {
    expect(readBearerToken(new Headers({ authorization: value }))).toBe('weft_read.a.b');
  });

  it.each([undefined, '', 'Bearer', 'Basic abc', 'Bearer a b', 'weft_read.a.b'])('refuses %j', async (value) => {
    const headers = new Headers(value === undefined ? {} : { authorization: value });
    expect((await problemOf(() => readBearerToken(headers))).slug).toBe('read_token_required');
  });
});
