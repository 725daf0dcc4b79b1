import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { problemOf } from './problems.ts';

// biome-ignore lint/suspicious/noExplicitAny: each edit reaches into another part of the same document
type Json = any;

const good = (): Json => ({
  origin: 'https://weft.example.com',
  targets: {
    shop: { database: 'SHOP_DATABASE_URL', transport: 'websocket' },
    'preview-1': { database: 'PREVIEW_DATABASE_URL', transport: 'websocket', proxy: '127.0.0.1:8091/v1', insecure: true },
    old: { database: 'OLD_DATABASE_URL', transport: 'tcp' },
  },
  callers: { ci: { secrets: ['CI_SECRET', 'CI_SECRET_NEXT'] }, people: { secrets: ['PEOPLE_SECRET'] } },
  grants: [
    { caller: 'ci', targets: ['shop', 'preview-*'], actions: ['deploy', 'resume', 'cancel', 'read'] },
    { caller: 'people', targets: ['*'], actions: ['read'] },
  ],
});

const change = (edit: (config: Json) => void): Json => {
  const config = good();
  edit(config);
  return config;
};

describe('parse_config', () => {
  it('reads targets, callers and grants', () => {
    const config = parseConfig(good());
    expect(config.origin).toBe('https://weft.example.com');
    expect(config.targets.get('shop')).toEqual({ name: 'shop', database: 'SHOP_DATABASE_URL', transport: 'websocket' });
    expect(config.targets.get('preview-1')).toEqual({
      name: 'preview-1',
      database: 'PREVIEW_DATABASE_URL',
      transport: 'websocket',
      proxy: '127.0.0.1:8091/v1',
      insecure: true,
    });
    expect(config.callers.get('ci')).toEqual({ name: 'ci', secrets: ['CI_SECRET', 'CI_SECRET_NEXT'] });
    expect(config.grants).toHaveLength(2);
  });

  it('reads the same from JSON text', () => {
    expect(parseConfig(JSON.stringify(good()))).toEqual(parseConfig(good()));
  });

  it.each(['https://weft.example.com:8443', 'http://localhost:8787', 'http://127.0.0.1:8787', 'http://localhost'])('takes the origin %s', (origin) => {
    expect(parseConfig(change((config) => (config.origin = origin))).origin).toBe(origin);
  });

  it.each([
    'https://weft.example.com/',
    'https://weft.example.com/weft',
    'https://weft.example.com?x',
    'https://Weft.example.com',
    'https://weft.example.com:443',
    'https://u:p@weft.example.com',
    'http://weft.example.com',
    'http://localhost.example.com',
    'http://[::1]:80',
    'ftp://localhost',
    'weft.example.com',
    '',
  ])('refuses the origin %j', async (origin) => {
    const problem = await problemOf(() => parseConfig(change((config) => (config.origin = origin))));
    expect(problem.slug).toBe('invalid_configuration');
    expect(problem.message).toContain('origin: must be an origin');
  });

  const mistakes: [string, (config: Json) => void, string][] = [
    ['an unknown key', (c) => (c.target = {}), 'target: no such key is known'],
    ['an unknown key of a target', (c) => (c.targets.shop.url = 'x'), 'targets.shop.url: no such key is known'],
    ['a transport that is none', (c) => (c.targets.shop.transport = 'http'), 'targets.shop.transport: expected one of "websocket"|"tcp"'],
    ['a target without transport', (c) => delete c.targets.shop.transport, 'targets.shop.transport: expected one of "websocket"|"tcp"'],
    ['a target without database', (c) => delete c.targets.shop.database, 'targets.shop.database: is missing'],
    ['a secret that is no name', (c) => (c.targets.shop.database = 'postgres://u:hunter2@h/d'), 'targets.shop.database: must be the name of a secret'],
    ['a caller secret that is no name', (c) => (c.callers.ci.secrets[1] = 'whsec_hunter2'), 'callers.ci.secrets[1]: must be the name of a secret'],
    ['a name that is none', (c) => (c.targets['sh op'] = c.targets.shop), 'targets.sh op: must be a name'],
    ['a caller without secrets', (c) => (c.callers.ci.secrets = []), 'callers.ci.secrets'],
    ['a grant for nobody', (c) => (c.grants[0].caller = 'cy'), 'grants[0].caller: there is no caller "cy"'],
    ['a grant for a caller called like a method', (c) => (c.grants[0].caller = 'constructor'), 'grants[0].caller: there is no caller "constructor"'],
    ['a grant for no target', (c) => (c.grants[1].targets = ['shop', 'prod-*']), 'grants[1].targets[1]: "prod-*" matches no target'],
    ['a grant without targets', (c) => (c.grants[1].targets = []), 'grants[1].targets'],
    ['a grant of an unknown action', (c) => (c.grants[1].actions = ['write']), 'grants[1].actions[0]: expected one of'],
    ['a grant of nothing', (c) => (c.grants[1].actions = []), 'grants[1].actions'],
    ['an action twice', (c) => (c.grants[1].actions = ['read', 'read']), 'grants[1].actions: names an action twice'],
    [
      'two targets with one secret',
      (c) => (c.targets.old.database = 'SHOP_DATABASE_URL'),
      'targets.old.database: targets.shop names the secret SHOP_DATABASE_URL too; one database under two names looks to the engine like a copy',
    ],
    ['a caller that is called direct', (c) => (c.callers.direct = { secrets: ['D_SECRET'] }), 'callers.direct: is the name of whoever deploys straight'],
    ['two callers with one secret', (c) => (c.callers.people.secrets = ['CI_SECRET']), 'callers.people.secrets[0]: callers.ci names CI_SECRET already'],
    ['one secret twice', (c) => (c.callers.ci.secrets = ['CI_SECRET', 'CI_SECRET']), 'callers.ci.secrets[1]: callers.ci names CI_SECRET already'],
    [
      'too many secrets',
      (c) => (c.callers.ci.secrets = Array.from({ length: LIMITS.caller_secrets_count }, (_, index) => `S${index}`)),
      'callers: name 65 secrets together, more than 64 (caller_secrets_count)',
    ],
    ['a proxy over TCP', (c) => (c.targets.old.proxy = 'h/v1'), 'targets.old.proxy: is only for the transport websocket'],
    ['a proxy with a scheme', (c) => (c.targets.shop.proxy = 'wss://h/v1'), 'targets.shop.proxy: must be host:port/path'],
    ['insecure over TCP', (c) => (c.targets.old.insecure = true), 'targets.old.insecure: is only for the transport websocket'],
    [
      'insecure to a far proxy',
      (c) => (c.targets['preview-1'].proxy = 'relay.example.com/v1'),
      'targets.preview-1.insecure: is only for a proxy at 127.0.0.1 or localhost',
    ],
    ['no targets at all', (c) => delete c.targets, 'targets: is missing'],
    ['grants that are no list', (c) => (c.grants = {}), 'grants: expected array, received object'],
  ];

  it.each(mistakes)('refuses %s, and names the key', async (_name, edit, words) => {
    const problem = await problemOf(() => parseConfig(change(edit)));
    expect(problem.slug).toBe('invalid_configuration');
    expect(problem.message).toContain(words);
    expect(JSON.stringify(problem)).not.toContain('hunter2');
  });

  it('tells malformed keys and contradictions in one go', async () => {
    const problem = await problemOf(() =>
      parseConfig(
        change((config) => {
          config.origin = 'weft';
          config.targets.shop.transport = 'http';
          config.grants[0].caller = 'cy';
          config.targets.old.database = 'SHOP_DATABASE_URL';
        }),
      ),
    );
    expect(problem.facts.issues).toHaveLength(4);
    for (const key of ['origin:', 'targets.shop.transport:', 'grants[0].caller:', 'targets.old.database:']) expect(problem.message).toContain(key);
  });

  it.each([
    ['missing', undefined, 'the binding WEFT: is missing'],
    ['null', null, 'the binding WEFT: is missing'],
    ['a list', [], 'the document: expected object, received array'],
    ['text that is not JSON', '{', 'The binding WEFT is text, but not JSON. Line 1, column 2'],
    ['text with a target twice', '{"targets":{"a":1,"a":2}}', 'the key "a" stands in its object a second time'],
  ])('refuses a binding that is %s', async (_name, input, words) => {
    const problem = await problemOf(() => parseConfig(input));
    expect(problem.slug).toBe('invalid_configuration');
    expect(problem.message).toContain(words);
  });
});
