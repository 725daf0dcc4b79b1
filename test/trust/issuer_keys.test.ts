/** An issuer's keys: from its own host alone, kept for a while, asked for again when they change, and not at any stranger's word. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Identity, makeIdentity } from '../../src/config/identities.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { Problem } from '../../src/domain/problem.ts';
import { createIssuerKeys, type FindKey } from '../../src/trust/issuer_keys.ts';
import { type Issuer, startIssuer } from '../support/issuer.ts';

const KEYS = '/.well-known/jwks';
let issuer: Issuer;
let identity: Identity;
let azure: Identity;
let now: number;
let findKey: FindKey;

beforeEach(async () => {
  issuer = await startIssuer();
  identity = makeIdentity({ kind: 'github', issuer: issuer.origin, repository_id: '1', repository_owner_id: '2' });
  azure = makeIdentity({ kind: 'azure', issuer: `${issuer.origin}/tenant/v2.0`, sub: 'sc://o/p/c' });
  now = Date.UTC(2026, 10, 22, 12);
  findKey = createIssuerKeys({ fetch: (url, init) => fetch(url, init), now: () => now });
});
afterEach(() => issuer?.stop());

const pass = (seconds: number) => {
  now += seconds * 1000;
};
const slugOf = (call: Promise<unknown>) =>
  call.then(
    (found) => found,
    (error: unknown) => (error instanceof Problem ? error.slug : error),
  );

describe('find_key', () => {
  it('asks once, and keeps what it was told', async () => {
    expect(await findKey(identity, 'key-1')).toMatchObject({ type: 'public' });
    expect(await findKey(identity, 'key-1')).toMatchObject({ type: 'public' });
    expect(issuer.asked).toEqual([KEYS]);
  });

  it('asks again when they are old, and finds the new ones', async () => {
    await findKey(identity, 'key-1');
    const kid = await issuer.addKey({ replace: true });
    pass(LIMITS.identity_keys_seconds);
    expect(await findKey(identity, 'key-1')).toBeNull();
    expect(await findKey(identity, kid)).not.toBeNull();
    expect(issuer.asked).toEqual([KEYS, KEYS]);
  });

  it('asks again when a token names a key that it does not know, but not at any stranger’s word', async () => {
    await findKey(identity, 'key-1');
    const kid = await issuer.addKey();
    for (let time = 0; time < 5; time++) expect(await findKey(identity, `unknown-${time}`)).toBeNull();
    expect(issuer.asked).toHaveLength(1);
    pass(LIMITS.identity_keys_pause_seconds);
    expect(await findKey(identity, kid)).not.toBeNull();
    for (let time = 0; time < 5; time++) expect(await findKey(identity, `unknown-${time}`)).toBeNull();
    expect(issuer.asked).toHaveLength(2);
  });

  it('goes on with those that it has when the issuer does not answer, for a day', async () => {
    await findKey(identity, 'key-1');
    issuer.answer(KEYS, (response) => response.writeHead(500).end());
    pass(LIMITS.identity_keys_seconds + 1);
    expect(await findKey(identity, 'key-1')).not.toBeNull();
    expect(await findKey(identity, 'key-1')).not.toBeNull();
    expect(issuer.asked).toHaveLength(2);
    pass(LIMITS.identity_keys_pause_seconds);
    expect(await slugOf(findKey(identity, 'unknown'))).toBe('issuer_unreachable');
    pass(LIMITS.identity_keys_seconds_max);
    expect(await slugOf(findKey(identity, 'key-1'))).toBe('issuer_unreachable');
  });

  it('does not ask an issuer that does not answer at each request', async () => {
    issuer.answer(KEYS, (response) => response.destroy());
    for (let time = 0; time < 5; time++) expect(await slugOf(findKey(identity, 'key-1'))).toBe('issuer_unreachable');
    expect(issuer.asked).toHaveLength(1);
    issuer.answer(KEYS, null);
    pass(3);
    expect(await findKey(identity, 'key-1')).not.toBeNull();
  });

  it('asks a few times at most when a crowd comes first', async () => {
    const found = await Promise.all(Array.from({ length: 20 }, () => slugOf(findKey(identity, 'key-1'))));
    expect(issuer.asked.length).toBeLessThanOrEqual(4);
    expect(found.filter((one) => one !== 'issuer_unreachable').length).toBeGreaterThan(0);
    expect(await findKey(identity, 'key-1')).not.toBeNull();
  });

  it('follows no redirect, and takes no answer that is too large, late or none', async () => {
    const elsewhere = await startIssuer();
    try {
      const wrong: ((response: import('node:http').ServerResponse) => void)[] = [
        (response) => response.writeHead(302, { location: elsewhere.origin + KEYS }).end(),
        (response) => response.writeHead(200).end(`{"keys":[${' '.repeat(LIMITS.identity_keys_bytes)}]}`),
        (response) => response.writeHead(200).end('{"keys":[],"keys":[]}'),
        (response) => response.writeHead(200).end('<html>'),
        (response) => response.writeHead(200).end(JSON.stringify({ keys: Array.from({ length: LIMITS.identity_keys_count + 1 }, () => ({ kty: 'RSA' })) })),
      ];
      for (const answer of wrong) {
        issuer.answer(KEYS, answer);
        pass(10);
        expect(await slugOf(findKey(identity, 'key-1'))).toBe('issuer_unreachable');
      }
      expect(elsewhere.asked).toEqual([]);
    } finally {
      await elsewhere.stop();
    }
  });

  it('gives up on one that takes too long', async () => {
    issuer.answer(KEYS, () => undefined);
    expect(await slugOf(findKey(identity, 'key-1'))).toBe('issuer_unreachable');
  }, 20_000);

  it('takes keys for signatures by RS256 alone, of 2048 bits at least', async () => {
    const { keys } = (await (await fetch(issuer.origin + KEYS)).json()) as { keys: Record<string, unknown>[] };
    const [good = {}] = keys;
    const bad = [{ kty: 'EC' }, { use: 'enc' }, { alg: 'RS512' }, { alg: 'HS256' }, { n: (good.n as string).slice(0, 171) }, { kty: 'oct', k: 'c2VjcmV0' }];
    const published = [
      ...bad.map((change, index) => ({ ...good, ...change, kid: `bad-${index}` })),
      { ...good, kid: undefined },
      { ...good, alg: undefined, kid: 'good' },
    ];
    issuer.answer(KEYS, (response) => response.writeHead(200).end(JSON.stringify({ keys: published })));
    for (const index of bad.keys()) expect(await findKey(identity, `bad-${index}`)).toBeNull();
    expect(await findKey(identity, 'good')).not.toBeNull();
  });

  it('finds where those of Azure are in its discovery document, which leads to no other host', async () => {
    const DISCOVERY = '/tenant/v2.0/.well-known/openid-configuration';
    expect(await findKey(azure, 'key-1')).not.toBeNull();
    expect(issuer.asked).toEqual([DISCOVERY, '/tenant/v2.0/discovery/v2.0/keys']);
    const elsewhere = await startIssuer();
    for (const change of [{ jwks_uri: elsewhere.origin + KEYS }, { jwks_uri: 'keys' }, { issuer: elsewhere.origin }]) {
      const document = { issuer: azure.issuer, jwks_uri: `${issuer.origin}/tenant/v2.0/discovery/v2.0/keys`, ...change };
      issuer.answer(DISCOVERY, (response) => response.writeHead(200).end(JSON.stringify(document)));
      const fresh = createIssuerKeys({ fetch: (url, init) => fetch(url, init), now: () => now });
      expect(await slugOf(fresh(azure, 'key-1'))).toBe('issuer_unreachable');
    }
    await elsewhere.stop();
    expect(elsewhere.asked).toEqual([]);
  });
});
