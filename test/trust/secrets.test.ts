/**
 * Secrets beside a request: what is signed is a digest under the caller's own secret, so that it binds the value, and tells nothing to
 * whoever reads it in the database.
 */
import { createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { digestSecrets, proveSecrets, readSecretValues } from '../../src/trust/secrets.ts';
import { verifySignature } from '../../src/trust/signature.ts';
import { problemOf } from '../config/problems.ts';
import { CI_LAST, CI_NEXT, callers, NOW, STRANGER } from './fixtures.ts';

const PLACE = { id: 'run-1:1', target: 'shop' };
const PIN = { token: '4711' };
/** The problem that a promise rejects with. */
const refused = async (promise: Promise<unknown>, slug: string) => {
  const problem = await problemOf(() => promise);
  expect(problem.slug).toBe(slug);
  return problem;
};
const keyOf = (secret: string) => Buffer.from(secret.slice('whsec_'.length), 'base64');

describe('the digest of a secret', () => {
  it('is HMAC-SHA256 with the caller’s secret over the lines "weft secret v1", id, target, name, and the value', async () => {
    const message = 'weft secret v1\nrun-1:1\nshop\ntoken\n4711';
    expect(await digestSecrets(PIN, CI_NEXT, PLACE)).toEqual({ token: createHmac('sha256', keyOf(CI_NEXT)).update(message).digest('hex') });
  });

  it('of a short value is not found by trying all of them, with everything that stands in the row', async () => {
    const { token } = await digestSecrets(PIN, CI_NEXT, PLACE);
    const found: string[] = [];
    for (let pin = 0; pin < 10_000; pin++) {
      const value = String(pin).padStart(4, '0');
      const line = `weft secret v1\n${PLACE.id}\n${PLACE.target}\ntoken\n${value}`;
      const tried = [
        createHash('sha256').update(value),
        createHash('sha256').update(line),
        createHmac('sha256', PLACE.id).update(value),
        createHmac('sha256', '').update(line),
      ];
      if (tried.some((one) => one.digest('hex') === token)) found.push(value);
    }
    expect(found).toEqual([]);
  });

  it.each([
    ['another request', { ...PLACE, id: 'run-1:2' }, PIN],
    ['another target', { ...PLACE, target: 'production' }, PIN],
    ['another name', PLACE, { other: '4711' }],
  ])('of the same value is another one in %s', async (_, place, values) => {
    const [digest] = Object.values(await digestSecrets(PIN, CI_NEXT, PLACE));
    expect(Object.values(await digestSecrets(values, CI_NEXT, place))).not.toContain(digest);
  });

  it('is no signature of anything: no webhook-id has a blank in it', async () => {
    const place = { id: String(NOW), target: null };
    const { token = '' } = await digestSecrets({ token: '{}' }, CI_NEXT, place);
    const signature = `v1,${Buffer.from(token, 'hex').toString('base64')}`;
    for (const id of ['weft', 'secret', 'v1']) {
      const sent = verifySignature(new TextEncoder().encode(`\n${NOW}\n\ntoken\n{}`), { id, timestamp: String(NOW), signature }, callers, NOW);
      await refused(sent, 'signature_mismatch');
    }
  });
});

describe('prove_secrets', () => {
  const proving = async (
    values: Record<string, string> | null,
    digests?: Record<string, string | null>,
    keys: readonly string[] = [CI_NEXT, CI_LAST],
    place = PLACE,
  ) => proveSecrets(digests ?? (await digestSecrets(PIN, CI_NEXT, PLACE)), values, keys, place);

  it('takes the value that was signed, under any secret of the caller', async () => {
    await proving(PIN);
    await proving(PIN, await digestSecrets(PIN, CI_LAST, PLACE));
  });

  it('lets a request pass for which nothing came: it cannot run', () => proving(null));

  it.each([
    ['another value', { token: '4712' }],
    ['the same with a line’s end', { token: '4711\n' }],
    ['nothing in it', { token: '' }],
  ])('refuses %s, and does not repeat it', async (_, values) => {
    const problem = await refused(proving(values), 'secret_mismatch');
    expect(problem.facts).toEqual({ parameter: 'token' });
    expect(JSON.stringify(problem)).not.toMatch(/471[12]/);
  });

  it('refuses what another request was signed with', async () => {
    await refused(proving(PIN, undefined, [CI_NEXT], { ...PLACE, id: 'run-1:2' }), 'secret_mismatch');
    await refused(proving(PIN, undefined, [CI_NEXT], { ...PLACE, target: 'production' }), 'secret_mismatch');
  });

  it('refuses what a stranger made', async () => refused(proving(PIN, await digestSecrets(PIN, STRANGER, PLACE)), 'secret_mismatch'));

  it('refuses a value that no digest is for', async () => refused(proving({ ...PIN, more: 'than that' }), 'invalid_parameters'));

  it('names what is missing beside other values', async () => {
    const digests = await digestSecrets({ ...PIN, more: 'than that' }, CI_NEXT, PLACE);
    expect((await refused(proving(PIN, digests), 'secrets_missing')).facts).toEqual({ parameters: ['more'] });
  });

  it('refuses a signed request without a digest: null is for requests that nobody signs', async () =>
    refused(proving(PIN, { token: null }), 'invalid_request'));
});

describe('read_secret_values', () => {
  const bytes = (text: string) => new TextEncoder().encode(text);

  it('reads names and texts', () => expect(readSecretValues(bytes('{"token": "a\\nb"}'))).toEqual({ token: 'a\nb' }));

  it.each([
    ['no JSON', '{"token": "hunter2', 'malformed_json'],
    ['a doubled name', '{"token": "hunter2", "token": "hunter3"}', 'malformed_json'],
    ['a number', '{"token": 47114711}', 'invalid_parameters'],
    ['a list', '["hunter2"]', 'invalid_parameters'],
    ['a name that is none', '{"to ken": "hunter2"}', 'invalid_parameters'],
    ['a NUL', '{"token": "hunter2\\u0000"}', 'invalid_parameters'],
    ['a value beyond the limit', JSON.stringify({ token: 'hunter2'.repeat(LIMITS.parameter_characters / 7 + 1) }), 'invalid_parameters'],
    ['more than the limit', JSON.stringify({ token: 'hunter2'.repeat(LIMITS.secrets_bytes / 7) }), 'too_large'],
  ])('refuses %s, and repeats nothing of it', async (_, text, slug) => {
    const problem = await refused(
      Promise.resolve().then(() => readSecretValues(bytes(text))),
      slug,
    );
    expect(JSON.stringify(problem)).not.toMatch(/hunter|4711/);
  });
});
