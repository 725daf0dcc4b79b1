import { describe, expect, it } from 'vitest';
import { decodeWebhookSecret } from '../../src/config/webhook_secret.ts';
import { acceptRequest } from '../../src/trust/request.ts';
import { generateSecret, makeSignedRequest } from '../../src/trust/sign.ts';
import { readSignedHeaders } from '../../src/trust/signature.ts';
import { problemOf } from '../config/problems.ts';
import { CI_NEXT, callers, config, deployRequest, NOW } from './fixtures.ts';

describe('make_signed_request', () => {
  it('makes what the Worker accepts', async () => {
    const { body, headers } = await makeSignedRequest(deployRequest(), CI_NEXT, NOW);
    const signed = readSignedHeaders(new Headers(headers));
    expect(await acceptRequest({ body, signed, callers, config, type: 'deploy', target: 'shop', nowSeconds: NOW })).toEqual({
      caller: 'ci',
      request: deployRequest(),
    });
  });

  it('writes equal requests as equal bytes, whatever the order of their keys', async () => {
    const reversed = Object.fromEntries(Object.entries(deployRequest()).reverse()) as ReturnType<typeof deployRequest>;
    expect(await makeSignedRequest(reversed, CI_NEXT, NOW)).toEqual(await makeSignedRequest(deployRequest(), CI_NEXT, NOW));
  });

  it('refuses to sign what would be refused', async () => {
    expect((await problemOf(() => makeSignedRequest({ ...deployRequest(), id: 'a.b' }, CI_NEXT, NOW))).slug).toBe('invalid_request');
    expect((await problemOf(() => makeSignedRequest({ ...deployRequest(), manifest: undefined } as never, CI_NEXT, NOW))).slug).toBe('invalid_request');
  });
});

describe('generate_secret', () => {
  it('makes another secret of 32 bytes each time', () => {
    const secrets = Array.from({ length: 20 }, generateSecret);
    expect(new Set(secrets).size).toBe(20);
    for (const secret of secrets) expect(decodeWebhookSecret(secret)).toHaveLength(32);
  });
});
