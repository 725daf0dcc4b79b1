import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { readSecrets } from '../../src/config/secrets.ts';
import { encodeWebhookSecret } from '../../src/config/webhook_secret.ts';
import { problemOf } from './problems.ts';

const secretOf = (byte: number, length = 32) => encodeWebhookSecret(new Uint8Array(length).fill(byte));

const config = parseConfig({
  origin: 'https://weft.example.com',
  targets: { shop: { database: 'SHOP_URL', transport: 'websocket' }, old: { database: 'OLD_URL', transport: 'tcp' } },
  callers: { ci: { secrets: ['CI_NEXT', 'CI_LAST'] }, people: { secrets: ['PEOPLE'] } },
  grants: [],
});

const env = (): Record<string, unknown> => ({
  SHOP_URL: 'postgres://u:hunter2@ep-x.neon.tech/shop?sslmode=require',
  OLD_URL: 'postgres://u:hunter2@db.example.com/old?sslmode=require',
  CI_NEXT: secretOf(1),
  CI_LAST: secretOf(2),
  PEOPLE: secretOf(3),
  UNRELATED: 'x',
});

describe('read_secrets', () => {
  it('gives each target its connection string and each caller its secrets, in order', () => {
    expect(readSecrets(config, env())).toEqual({
      databases: new Map([
        ['shop', env().SHOP_URL],
        ['old', env().OLD_URL],
      ]),
      callers: [
        { name: 'ci', secrets: [secretOf(1), secretOf(2)] },
        { name: 'people', secrets: [secretOf(3)] },
      ],
      forges: new Map(),
      sealingKey: null,
    });
  });

  it('gives the key of the Worker where the configuration names one; it has the form of a secret, and is no caller’s', async () => {
    const sealing = { ...config, sealing_key: 'SEALING_KEY' };
    expect(readSecrets(sealing, { ...env(), SEALING_KEY: secretOf(4) }).sealingKey).toBe(secretOf(4));
    for (const [value, words] of [
      [undefined, 'there is no secret SEALING_KEY'],
      ['short', 'SEALING_KEY (sealing_key) is not'],
      [secretOf(3), 'PEOPLE and SEALING_KEY have the same value'],
    ] as const) {
      const problem = await problemOf(() => readSecrets(sealing, { ...env(), SEALING_KEY: value }));
      expect(problem.slug).toBe('invalid_configuration');
      expect(problem.message).toContain(words);
    }
  });

  it.each([24, 64])('takes a secret of %i bytes', (length) => {
    expect(readSecrets(config, { ...env(), PEOPLE: secretOf(3, length) }).callers[1]?.secrets).toHaveLength(1);
  });

  const mistakes: [string, Record<string, unknown>, string, string][] = [
    ['a missing database', { SHOP_URL: undefined }, 'invalid_configuration', 'there is no secret SHOP_URL, which targets.shop.database names'],
    ['a missing secret', { CI_LAST: undefined }, 'invalid_configuration', 'there is no secret CI_LAST, which callers.ci.secrets[1] names'],
    ['an empty secret', { PEOPLE: '' }, 'invalid_configuration', 'the secret PEOPLE, which callers.people.secrets[0] names, is empty or no text'],
    ['a secret that is an object', { PEOPLE: { hunter2: 1 } }, 'invalid_configuration', 'is empty or no text'],
    [
      'a secret of 23 bytes',
      { PEOPLE: secretOf(3, 23) },
      'invalid_configuration',
      'the secret PEOPLE (callers.people.secrets[0]) is not "whsec_" followed by base64 of 24 to 64 bytes',
    ],
    ['a secret of 65 bytes', { PEOPLE: secretOf(3, 65) }, 'invalid_configuration', 'the secret PEOPLE'],
    ['a secret without its beginning', { PEOPLE: secretOf(3).slice(6) }, 'invalid_configuration', 'the secret PEOPLE'],
    ['a secret with another beginning', { PEOPLE: secretOf(3).replace('whsec_', 'whsk1_') }, 'invalid_configuration', 'the secret PEOPLE'],
    ['a secret with a line break', { PEOPLE: `${secretOf(3)}\n` }, 'invalid_configuration', 'the secret PEOPLE'],
    ['one value for two callers', { PEOPLE: secretOf(2) }, 'invalid_configuration', 'the secrets CI_LAST and PEOPLE have the same value'],
    [
      'a connection string that is none',
      { SHOP_URL: 'hunter2' },
      'connection_string_invalid',
      'the secret SHOP_URL (targets.shop.database): The connection string cannot be used: it does not begin',
    ],
    [
      'a pooler',
      { SHOP_URL: 'postgres://u:hunter2@ep-x-pooler.neon.tech/shop' },
      'transaction_pooler',
      'the secret SHOP_URL (targets.shop.database): The connection string leads to a transaction pooler',
    ],
    ['two kinds of mistake', { SHOP_URL: 'hunter2', PEOPLE: 'hunter2' }, 'invalid_configuration', 'the secret PEOPLE'],
    ...['', '?sslmode=disable', '?sslmode=allow', '?sslmode=prefer'].map((mode): [string, Record<string, unknown>, string, string] => [
      `TCP to another machine with ${mode === '' ? 'no sslmode' : mode}`,
      { OLD_URL: `postgres://u:hunter2@db.example.com/old${mode}` },
      'connection_string_invalid',
      'does not insist on TLS',
    ]),
  ];

  it.each(mistakes)('refuses %s by the name of the secret, and never repeats its value', async (_name, change, slug, words) => {
    const changed = { ...env(), ...change };
    const problem = await problemOf(() => readSecrets(config, changed));
    expect(problem.slug).toBe(slug);
    expect(problem.message).toContain(words);
    const shown = JSON.stringify(problem);
    for (const value of [...Object.values(changed), 'hunter2', 'example.com', 'neon.tech']) {
      if (typeof value === 'string' && value.length > 1) expect(shown).not.toContain(value);
    }
  });

  describe('two targets of one database', () => {
    const proxied = (proxy: string | null) =>
      parseConfig({
        origin: 'https://weft.example.com',
        targets: { shop: { database: 'A', transport: 'websocket' }, old: { database: 'B', transport: 'websocket', ...(proxy === null ? {} : { proxy }) } },
        callers: {},
        grants: [],
      });

    it.each([
      ['the same address', 'postgres://u:hunter2@ep-x.neon.tech/shop', 'postgres://u:hunter2@ep-x.neon.tech/shop'],
      ['another role, another spelling', 'postgres://u:hunter2@ep-x.neon.tech/shop', 'postgresql://v@EP-X.neon.tech.:5432/sh%6fp?sslmode=require'],
      ['two names of this machine', 'postgres://u@127.0.0.1/shop', 'postgres://u@localhost/shop'],
    ])('are refused by their names: %s', async (_, a, b) => {
      const problem = await problemOf(() => readSecrets(proxied(null), { A: a, B: b }));
      expect(problem.slug).toBe('invalid_configuration');
      expect(problem.message).toContain('targets.shop and targets.old lead to the same database');
      expect(problem.message).not.toMatch(/neon|localhost|hunter2/);
    });

    it.each([
      ['another database', null, 'postgres://u@ep-x.neon.tech/shop', 'postgres://u@ep-x.neon.tech/old'],
      ['another port', null, 'postgres://u@ep-x.neon.tech/shop', 'postgres://u@ep-x.neon.tech:5433/shop'],
      ['another host', null, 'postgres://u@ep-x.neon.tech/shop', 'postgres://u@ep-y.neon.tech/shop'],
      ['the machine of another proxy', 'proxy.example.com/v1', 'postgres://u@127.0.0.1/shop', 'postgres://u@127.0.0.1/shop'],
    ])('are two when they differ in %s', (_, proxy, a, b) => {
      expect(readSecrets(proxied(proxy), { A: a, B: b }).databases.size).toBe(2);
    });
  });

  it('tells all mistakes at once', async () => {
    const problem = await problemOf(() => readSecrets(config, {}));
    expect(problem.facts.issues).toHaveLength(5);
  });

  it('takes TCP without TLS to this machine, and anything over a WebSocket, which has TLS of its own', () => {
    expect(
      readSecrets(config, { ...env(), OLD_URL: 'postgres://u@127.0.0.1/old', SHOP_URL: 'postgres://u@ep-x.neon.tech/shop?sslmode=disable' }).databases.size,
    ).toBe(2);
  });

  it('takes no secret from the prototype of the environment', async () => {
    const problem = await problemOf(() => readSecrets(config, Object.create(env())));
    expect(problem.facts.issues).toHaveLength(5);
  });

  it.each([
    ['127.0.0.1', true],
    ['localhost', true],
    ['db.example.com', false],
  ])('lets an insecure WebSocket go to %s: %s', async (host, allowed) => {
    const local = parseConfig({
      origin: 'http://127.0.0.1:8787',
      targets: { shop: { database: 'SHOP_URL', transport: 'websocket', proxy: '127.0.0.1:8091/v1', insecure: true } },
      callers: {},
      grants: [],
    });
    const read = () => readSecrets(local, { SHOP_URL: `postgres://u:hunter2@${host}/shop` });
    if (allowed) expect(read().databases.size).toBe(1);
    else expect((await problemOf(read)).message).toContain('targets.shop.insecure is only for a server at 127.0.0.1 or localhost');
  });
});
