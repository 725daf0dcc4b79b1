/** A GitHub App signs for itself, with either form of its key, and asks for a token as seldom as it can. */
import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { Asking } from '../../src/forges/asking.ts';
import { AppTokens, makeAppJwt } from '../../src/forges/github/app.ts';
import { problemOf } from '../bundle/support.ts';

const NOW = Date.parse('2026-11-29T12:00:00Z');
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pem = (type: 'pkcs1' | 'pkcs8') => privateKey.export({ type, format: 'pem' }).toString();

async function verify(jwt: string): Promise<Record<string, unknown>> {
  const [header = '', claims = '', signature = ''] = jwt.split('.');
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('spki', publicKey.export({ type: 'spki', format: 'der' }), algorithm, false, ['verify']);
  const isRight = await crypto.subtle.verify(algorithm, key, Buffer.from(signature, 'base64url'), Buffer.from(`${header}.${claims}`));
  expect(isRight).toBe(true);
  expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({ alg: 'RS256', typ: 'JWT' });
  return JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>;
}

test.each(['pkcs1', 'pkcs8'] as const)('a key in %s signs what GitHub verifies: for ten minutes at most, begun a minute ago', async (form) => {
  const claims = await verify(await makeAppJwt({ id: '4711', installation: '1', privateKey: pem(form) }, NOW / 1000));
  expect(claims).toEqual({ iss: '4711', iat: NOW / 1000 - 60, exp: NOW / 1000 + 480 });
});

test.each([
  ['nothing', ''],
  ['a public key', publicKey.export({ type: 'spki', format: 'pem' }).toString()],
  ['a damaged key', pem('pkcs1').replace('MII', 'MIJ')],
  ['a key of another kind', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()],
])('%s is no key, and nothing of it is repeated', async (_name, text) => {
  const problem = await problemOf(makeAppJwt({ id: '1', installation: '1', privateKey: text }, 0), 'invalid_configuration');
  expect(problem.cause).toBeUndefined();
  if (text !== '') expect(problem.message).not.toContain(text.split('\n')[1]);
});

test('a token is for one repository, and asked for again a minute before it ends', async () => {
  let now = NOW;
  const asked: unknown[] = [];
  const asking = new Asking({
    title: 'GitHub',
    api: 'https://api.github.test',
    archives: 'https://codeload.github.test',
    headers: {},
    readRetry: () => null,
    fetch: async (address, init) => {
      asked.push([address, init.method, init.body, init.redirect]);
      return Response.json({ token: `ghs_${asked.length}`, expires_at: new Date(now + 3_600_000).toISOString() }, { status: 201 });
    },
  });
  const tokens = new AppTokens({ id: '4711', installation: '815', privateKey: pem('pkcs8') }, () => now);
  expect(await tokens.get(asking, '7')).toBe('ghs_1');
  expect(await tokens.get(asking, '7')).toBe('ghs_1');
  expect(await tokens.get(asking, '8')).toBe('ghs_2');
  now += 3_539_000;
  expect(await tokens.get(asking, '7')).toBe('ghs_1');
  now += 2_000;
  expect(await tokens.get(asking, '7')).toBe('ghs_3');
  expect(asked[0]).toEqual(['https://api.github.test/app/installations/815/access_tokens', 'POST', '{"repository_ids":[7]}', 'manual']);
});
