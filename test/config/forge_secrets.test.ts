import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { readSecrets } from '../../src/config/secrets.ts';
import { problemOf } from './problems.ts';

const config = parseConfig({
  origin: 'https://weft.example.com',
  targets: { shop: { database: 'SHOP_URL', transport: 'websocket' } },
  callers: {
    hub: { forge: { kind: 'github', webhook_secrets: ['HUB', 'HUB_NEXT'], app: { id: '1', installation: '2', private_key: 'HUB_KEY' } } },
    lab: { forge: { kind: 'gitlab', webhook_secrets: ['LAB'], token: 'LAB_TOKEN' } },
    ci: { secrets: ['CI_SECRET'] },
  },
  grants: [],
});
const KEY = '-----BEGIN PRIVATE KEY-----\nMIIEvhunter2AAAA\n-----END PRIVATE KEY-----\n';
const CI = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const env = {
  SHOP_URL: 'postgres://u:p@h/d',
  HUB: 'hunter2-hunter2-1',
  HUB_NEXT: 'hunter2-hunter2-2',
  HUB_KEY: KEY,
  LAB: `whsec_${Buffer.alloc(32, 8).toString('base64')}`,
  LAB_TOKEN: 'glpat-hunter2',
  CI_SECRET: CI,
};

describe('read_secrets', () => {
  it('reads what proves a webhook, and what Weft proves itself with at the forge', () => {
    const { forges, callers } = readSecrets(config, env);
    expect(forges.get('hub')).toEqual({ webhooks: [env.HUB, env.HUB_NEXT], token: null, privateKey: KEY });
    expect(forges.get('lab')).toEqual({ webhooks: [env.LAB], token: env.LAB_TOKEN, privateKey: null });
    expect(callers.map(({ name }) => name)).toEqual(['ci']);
  });

  it('takes a secret of GitHub whatever it begins with, and one of GitLab that is sent', () => {
    const { forges } = readSecrets(config, { ...env, HUB: 'whsec_hunter2-hunter2', LAB: 'hunter2-hunter2-hunter2' });
    expect(forges.get('hub')?.webhooks[0]).toBe('whsec_hunter2-hunter2');
  });

  it.each([
    ['a webhook secret that is short', { HUB: 'hunter2' }, 'the secret HUB (callers.hub.forge.webhook_secrets[0]) is shorter than 16 characters'],
    ['a webhook secret with a line break', { HUB: 'hunter2-hunter2-hunter2\n' }, 'the secret HUB (callers.hub.forge.webhook_secrets[0])'],
    ['a webhook secret that is missing', { HUB_NEXT: undefined }, 'there is no secret HUB_NEXT, which callers.hub.forge.webhook_secrets[1] names'],
    ['a token with a line break', { LAB_TOKEN: 'hunter2\n' }, 'the secret LAB_TOKEN (callers.lab.forge.token) holds a blank'],
    ['a key of another kind', { HUB_KEY: KEY.replaceAll('PRIVATE', 'EC PRIVATE') }, 'is no private key in PEM'],
    [
      'a signing token of GitLab that is none',
      { LAB: 'whsec_hunter2-hunter2' },
      'the secret LAB (callers.lab.forge.webhook_secrets[0]) begins as a signing token does, and is none',
    ],
    ['one value for two', { LAB: env.HUB }, 'the secrets HUB and LAB have the same value'],
    ["one value for a caller's key and a webhook", { LAB: CI }, 'LAB'],
  ])('refuses %s, and repeats no part of it', async (_name, edit, words) => {
    const problem = await problemOf(() => readSecrets(config, { ...env, ...edit }));
    expect(problem.slug).toBe('invalid_configuration');
    expect(problem.message).toContain(words);
    expect(JSON.stringify(problem)).not.toContain('hunter2');
    expect(JSON.stringify(problem)).not.toContain(CI);
  });
});
