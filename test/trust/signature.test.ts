import * as fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { signedHeadersOf } from '../../src/trust/sign.ts';
import { readSignedHeaders, type SignedHeaders, signRequest, verifySignature } from '../../src/trust/signature.ts';
import { problemOf } from '../config/problems.ts';
import { CI_LAST, CI_NEXT, callers, NOW, PEOPLE, STRANGER, secretOf } from './fixtures.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const body = bytes('{"type":"deploy"}');
const sign = (secret: string, o: { body?: Uint8Array; id?: string; now?: number } = {}) => signRequest(o.body ?? body, secret, o.id ?? 'run-1:1', o.now ?? NOW);
const idArbitrary = fc.stringMatching(/^[A-Za-z0-9_:-]{1,40}$/);
const keyLengthArbitrary = fc.integer({ min: LIMITS.webhook_secret_bytes_min, max: LIMITS.webhook_secret_bytes_max });

afterEach(() => {
  vi.useRealTimers();
});

describe('signatures, beside the npm package standardwebhooks', () => {
  it('accepts what the package signs', async () => {
    await fc.assert(
      fc.asyncProperty(idArbitrary, fc.string({ unit: 'grapheme' }), keyLengthArbitrary, fc.nat(1_000_000), async (id, text, length, offset) => {
        const secret = secretOf(7, length);
        const timestamp = NOW - offset;
        const signature = new Webhook(secret).sign(id, new Date(timestamp * 1000), text);
        const signed = readSignedHeaders(new Headers({ 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': signature }));
        expect(await verifySignature(bytes(text), signed, [...callers, { name: 'oracle', secrets: [secret] }], timestamp)).toEqual({ caller: 'oracle' });
      }),
      { numRuns: 50 },
    );
  });

  it('signs what the package accepts', async () => {
    vi.useFakeTimers({ now: NOW * 1000, toFake: ['Date'] });
    await fc.assert(
      fc.asyncProperty(idArbitrary, fc.string({ unit: 'grapheme' }), keyLengthArbitrary, async (id, text, length) => {
        const secret = secretOf(7, length);
        const signed = await signRequest(bytes(text), secret, id, NOW);
        new Webhook(secret).verify(text, signedHeadersOf(signed), { jsonParse: false });
      }),
      { numRuns: 50 },
    );
  });
});

describe('verify_signature', () => {
  it.each([
    ['the first secret of a caller', CI_NEXT, 'ci'],
    ['the second secret of the same caller', CI_LAST, 'ci'],
    ['the secret of another caller', PEOPLE, 'people'],
  ])('says who signed: %s', async (_name, secret, caller) => {
    expect(await verifySignature(body, await sign(secret), callers, NOW)).toEqual({ caller });
  });

  it('accepts any signature of the list, wherever it stands, and skips versions it does not know', async () => {
    const { signature } = await sign(CI_LAST);
    const { signature: wrong } = await sign(STRANGER);
    const unknown = 'v1a,c2lnbmF0dXJl';
    for (const list of [`${signature} ${wrong}`, `${wrong} ${signature}`, `${unknown} ${wrong} v2,${signature.slice(3)} ${signature}`]) {
      const signed = readSignedHeaders(new Headers({ 'webhook-id': 'run-1:1', 'webhook-timestamp': String(NOW), 'webhook-signature': list }));
      expect(await verifySignature(body, signed, callers, NOW)).toEqual({ caller: 'ci' });
    }
  });

  it('takes a body that is not text, and an empty one', async () => {
    for (const binary of [new Uint8Array(0), Uint8Array.from([0xff, 0x00, 0xfe])]) {
      expect(await verifySignature(binary, await sign(PEOPLE, { body: binary }), callers, NOW)).toEqual({ caller: 'people' });
    }
  });

  it.each([
    [-LIMITS.signature_tolerance_seconds, true],
    [LIMITS.signature_tolerance_seconds, true],
    [-LIMITS.signature_tolerance_seconds - 1, false],
    [LIMITS.signature_tolerance_seconds + 1, false],
  ])('takes a signature made %i s from now: %s', async (seconds, fresh) => {
    const signed = await sign(CI_NEXT, { now: NOW + seconds });
    if (fresh) expect(await verifySignature(body, signed, callers, NOW)).toEqual({ caller: 'ci' });
    else expect((await problemOf(() => verifySignature(body, signed, callers, NOW))).slug).toBe('stale');
  });

  it('tells how old a genuine signature is, and that a strange one is strange, however old', async () => {
    const stale = await problemOf(async () => verifySignature(body, await sign(CI_NEXT, { now: NOW - 301 }), callers, NOW));
    expect(stale.message).toContain('301 s ago');
    const ahead = await problemOf(async () => verifySignature(body, await sign(CI_NEXT, { now: NOW + 400 }), callers, NOW));
    expect(ahead.message).toContain('400 s in the future');
    expect((await problemOf(async () => verifySignature(body, await sign(STRANGER, { now: NOW - 301 }), callers, NOW))).slug).toBe('signature_mismatch');
  });

  it('tries every secret on every request, whichever matches', async () => {
    const importKey = vi.spyOn(crypto.subtle, 'importKey');
    const signatures: number[] = [];
    for (const secret of [CI_NEXT, CI_LAST, PEOPLE, STRANGER]) {
      const signed = await sign(secret);
      importKey.mockClear();
      await verifySignature(body, signed, callers, NOW).catch(() => {});
      signatures.push(importKey.mock.calls.length);
    }
    importKey.mockRestore();
    expect(new Set(signatures)).toEqual(new Set([5]));
  });

  it('says the same to every stranger, and nothing of who is known', async () => {
    const answers = new Set<string>();
    const attempts: SignedHeaders[] = [
      await sign(STRANGER),
      { ...(await sign(CI_NEXT)), id: 'run-2' },
      { ...(await sign(CI_NEXT)), signature: 'v1,AAAA' },
      { ...(await sign(CI_NEXT)), signature: 'v2,AAAA' },
      { ...(await sign(CI_NEXT)), signature: 'v1,not-base64' },
    ];
    for (const signed of attempts) answers.add(JSON.stringify(await problemOf(() => verifySignature(body, signed, callers, NOW))));
    answers.add(JSON.stringify(await problemOf(async () => verifySignature(body, await sign(STRANGER), [], NOW))));
    expect([...answers]).toHaveLength(1);
    expect([...answers][0]).not.toMatch(/ci|people/);
  });
});

describe('one thing changed', () => {
  const passes = async () => {
    const signed = await sign(CI_NEXT);
    return { headers: new Headers(signedHeadersOf(signed)), body };
  };
  type Arrived = Awaited<ReturnType<typeof passes>>;
  const edit = (name: string, change: (value: string) => string) => (o: Arrived) => o.headers.set(name, change(o.headers.get(name) ?? ''));

  const mutations: [string, (o: Arrived) => void, string][] = [
    ['webhook-id missing', (o) => o.headers.delete('webhook-id'), 'unsigned'],
    ['webhook-timestamp missing', (o) => o.headers.delete('webhook-timestamp'), 'unsigned'],
    ['webhook-signature missing', (o) => o.headers.delete('webhook-signature'), 'unsigned'],
    ['webhook-id empty', edit('webhook-id', () => ''), 'unsigned'],
    ['webhook-timestamp empty', edit('webhook-timestamp', () => ''), 'unsigned'],
    ['webhook-signature empty', edit('webhook-signature', () => ''), 'unsigned'],
    ['webhook-id bent', edit('webhook-id', (id) => id.replace('1', '2')), 'signature_mismatch'],
    ['webhook-id with a "."', edit('webhook-id', (id) => `${id}.1`), 'unsigned'],
    ['webhook-id with a letter beyond ASCII', edit('webhook-id', (id) => `${id}é`), 'unsigned'],
    ['webhook-id cut', edit('webhook-id', (id) => id.slice(0, -1)), 'signature_mismatch'],
    ['webhook-id doubled', (o) => o.headers.append('webhook-id', 'run-1:1'), 'unsigned'],
    ['webhook-id of 129 characters', edit('webhook-id', () => 'a'.repeat(129)), 'unsigned'],
    ['webhook-timestamp bent', edit('webhook-timestamp', () => String(NOW + 1)), 'signature_mismatch'],
    ['webhook-timestamp with a fraction', edit('webhook-timestamp', (at) => `${at}.0`), 'unsigned'],
    ['webhook-timestamp with a leading 0', edit('webhook-timestamp', (at) => `0${at}`), 'unsigned'],
    ['webhook-timestamp in words', edit('webhook-timestamp', () => 'now'), 'unsigned'],
    ['webhook-timestamp with words behind it', edit('webhook-timestamp', (at) => `${at}s`), 'unsigned'],
    ['webhook-timestamp negative', edit('webhook-timestamp', (at) => `-${at}`), 'unsigned'],
    ['webhook-timestamp cut', edit('webhook-timestamp', (at) => at.slice(0, -1)), 'signature_mismatch'],
    ['webhook-timestamp aged', edit('webhook-timestamp', () => String(NOW - 301)), 'signature_mismatch'],
    ['webhook-timestamp doubled', (o) => o.headers.append('webhook-timestamp', String(NOW)), 'unsigned'],
    [
      'webhook-signature bent',
      edit('webhook-signature', (list) => list.replace(/^v1,./, (start) => (start === 'v1,A' ? 'v1,B' : 'v1,A'))),
      'signature_mismatch',
    ],
    ['webhook-signature cut', edit('webhook-signature', (list) => list.slice(0, -4)), 'signature_mismatch'],
    ['webhook-signature without padding', edit('webhook-signature', (list) => list.slice(0, -1)), 'signature_mismatch'],
    ['webhook-signature without version', edit('webhook-signature', (list) => list.slice(3)), 'unsigned'],
    ['webhook-signature of another version', edit('webhook-signature', (list) => list.replace('v1', 'v2')), 'signature_mismatch'],
    ['webhook-signature in hexadecimal', edit('webhook-signature', () => `v1,${'a'.repeat(64)}`), 'signature_mismatch'],
    ['webhook-signature doubled', (o) => o.headers.append('webhook-signature', o.headers.get('webhook-signature') ?? ''), 'unsigned'],
    ['two spaces in webhook-signature', edit('webhook-signature', (list) => `${list}  ${list}`), 'unsigned'],
    ['nine signatures', edit('webhook-signature', (list) => Array.from({ length: 9 }, () => list).join(' ')), 'unsigned'],
    ['the first byte of the body', (o) => (o.body = Uint8Array.from([0x5b, ...body.slice(1)])), 'signature_mismatch'],
    ['the last byte of the body', (o) => (o.body = Uint8Array.from([...body.slice(0, -1), 0x5d])), 'signature_mismatch'],
    ['a byte more of the body', (o) => (o.body = Uint8Array.from([...body, 0x0a])), 'signature_mismatch'],
    ['a byte less of the body', (o) => (o.body = body.slice(0, -1)), 'signature_mismatch'],
    ['no body', (o) => (o.body = new Uint8Array(0)), 'signature_mismatch'],
  ];

  it('passes unchanged', async () => {
    const arrived = await passes();
    expect(await verifySignature(arrived.body, readSignedHeaders(arrived.headers), callers, NOW)).toEqual({ caller: 'ci' });
  });

  it.each(mutations)('%s', async (_name, change, slug) => {
    const arrived = await passes();
    change(arrived);
    const problem = await problemOf(() => verifySignature(arrived.body, readSignedHeaders(arrived.headers), callers, NOW));
    expect(problem.slug).toBe(slug);
    expect(problem.status).toBe(401);
  });

  it('any one bit of the body', async () => {
    const arrived = await passes();
    const signed = readSignedHeaders(arrived.headers);
    for (let bit = 0; bit < body.length * 8; bit += 1) {
      const changed = Uint8Array.from(body, (byte, index) => (index === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      expect((await problemOf(() => verifySignature(changed, signed, callers, NOW))).slug).toBe('signature_mismatch');
    }
  });
});

describe('sign_request', () => {
  it.each(['', 'a.b', 'a b', 'a'.repeat(129)])('refuses the id %j', async (id) => {
    expect((await problemOf(() => sign(CI_NEXT, { id }))).slug).toBe('invalid_request');
  });

  it.each(['', 'whsec_', 'whsec_aHVudGVyMg==', secretOf(1, 23), secretOf(1).slice(6)])(
    'refuses a secret of another form without repeating it',
    async (secret) => {
      const problem = await problemOf(() => sign(secret));
      expect(problem.slug).toBe('invalid_request');
      expect(problem.message).not.toContain('aHVudGVyMg');
    },
  );
});
