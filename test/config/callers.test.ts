/** How callers prove themselves, where environments hold, and what comes from forges: read and checked, with each fault by its key. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { problemOf } from './problems.ts';

// biome-ignore lint/suspicious/noExplicitAny: each edit reaches into another part of the same document
type Json = any;

const good = (): Json => ({
  origin: 'https://weft.example.com',
  environments: {
    production: { branches: ['main', 'release/*'], hours: { days: ['mon', 'fri'], from: '08:30', until: '24:00', zone: 'Europe/Berlin' }, second_person: true },
  },
  targets: {
    shop: { database: 'SHOP_URL', transport: 'websocket', environment: 'production' },
    staging: { database: 'STAGING_URL', transport: 'websocket' },
  },
  callers: {
    actions: { identity: { kind: 'github', repository_owner_id: '1', repository_id: '2', environment: 'production' } },
    checks: { identity: { kind: 'github', repository_owner_id: '1', repository_id: '2', environment: ['staging', 'test'] } },
    gitlab: { identity: { kind: 'gitlab', issuer: 'https://gitlab.example.com', project_id: '3', namespace_id: '4', ref_protected: 'true' } },
    azure: { secrets: ['AZURE_SECRET'], identity: { kind: 'azure', issuer: 'https://login.example.com/t/v2.0', sub: 'sc://o/p/c' } },
    hub: { forge: { kind: 'github', webhook_secrets: ['HUB', 'HUB_NEXT'], app: { id: '1', installation: '2', private_key: 'HUB_KEY' } } },
    lab: { forge: { kind: 'gitlab', api: 'https://gitlab.example.com/api/v4', webhook_secrets: ['LAB'], token: 'LAB_TOKEN' } },
    repos: { forge: { kind: 'azure', api: 'https://dev.azure.com/fabrikam', webhook_secrets: ['REPOS'], token: 'REPOS_TOKEN' } },
  },
  grants: [
    { caller: 'actions', targets: ['*'], actions: ['deploy', 'read'] },
    { caller: 'hub', targets: ['staging'], actions: ['deploy'] },
    { caller: 'lab', targets: ['*'], actions: ['deploy'] },
    { caller: 'repos', targets: ['staging'], actions: ['deploy'] },
  ],
  sources: [
    { forge: 'hub', repository_id: '2', folder: 'db', event: 'push', branch: 'main', target: 'staging' },
    { forge: 'hub', repository_id: '2', event: 'pull_request', branch: '*', target: 'staging' },
    { forge: 'lab', repository_id: '3', event: 'deployment', environment: 'production', target: 'shop', parameters: { size: 3 } },
    { forge: 'repos', repository_id: '278d5cd2-584d-4b63-824a-2ba458937249', folder: 'db', event: 'build', branch: 'main', workflow: '12', target: 'staging' },
  ],
});

const change = (edit: (config: Json) => void): Json => {
  const config = good();
  edit(config);
  return config;
};

describe('parse_config', () => {
  const config = parseConfig(good());

  it('knows where the tokens of each issuer come from, and where its keys are', () => {
    expect(config.callers.get('actions')?.identity).toEqual({
      kind: 'github',
      issuer: 'https://token.actions.githubusercontent.com',
      keys: 'https://token.actions.githubusercontent.com/.well-known/jwks',
      claims: { repository_owner_id: ['1'], repository_id: ['2'], environment: ['production'] },
    });
    expect(config.callers.get('gitlab')?.identity).toMatchObject({
      issuer: 'https://gitlab.example.com',
      keys: 'https://gitlab.example.com/oauth/discovery/keys',
    });
    expect(config.callers.get('azure')).toMatchObject({ secrets: ['AZURE_SECRET'], identity: { keys: null, claims: { sub: ['sc://o/p/c'] } } });
  });

  it('knows where the API of each forge is, and where archives may come from', () => {
    expect(config.callers.get('hub')).toEqual({
      name: 'hub',
      secrets: [],
      forge: {
        kind: 'github',
        webhook_secrets: ['HUB', 'HUB_NEXT'],
        api: 'https://api.github.com',
        archives: 'https://codeload.github.com',
        app: { id: '1', installation: '2', private_key: 'HUB_KEY' },
      },
    });
    expect(config.callers.get('repos')?.forge).toMatchObject({ api: 'https://dev.azure.com/fabrikam', archives: 'https://dev.azure.com' });
    expect(config.callers.get('lab')?.forge).toMatchObject({
      api: 'https://gitlab.example.com/api/v4',
      archives: 'https://gitlab.example.com',
      token: 'LAB_TOKEN',
    });
  });

  it('applies what was pushed, and rehearses what nobody has looked at yet', () => {
    expect(config.sources.map(({ event, mode, folder }) => [event, mode, folder])).toEqual([
      ['push', 'apply', 'db'],
      ['pull_request', 'rehearse', null],
      ['deployment', 'apply', null],
      ['build', 'apply', 'db'],
    ]);
  });

  it('reads hours as minutes', () => {
    expect(config.environments.get('production')?.hours).toEqual({ days: ['mon', 'fri'], from: 510, until: 1440, zone: 'Europe/Berlin' });
    expect(config.targets.get('shop')?.environment).toBe('production');
  });

  const mistakes: [string, (config: Json) => void, string][] = [
    [
      'a caller who proves itself by nothing',
      (c) => (c.callers.actions = {}),
      'callers.actions: proves itself by nothing; it needs secrets, identity or forge',
    ],
    ['an issuer of another kind', (c) => (c.callers.actions.identity.kind = 'jenkins'), 'callers.actions.identity.kind: must be "github", "gitlab" or "azure"'],
    ['a repository by its name', (c) => (c.callers.actions.identity.repository_id = 'o/r'), 'callers.actions.identity.repository_id: must be an id'],
    ['no repository', (c) => delete c.callers.actions.identity.repository_id, 'callers.actions.identity.repository_id: is missing'],
    ['no owner', (c) => delete c.callers.actions.identity.repository_owner_id, 'callers.actions.identity.repository_owner_id: is missing'],
    ['a pattern over sub', (c) => (c.callers.actions.identity.sub = 'repo:o/r:*'), 'callers.actions.identity.sub: no such key is known'],
    ['a pattern over the sub of Azure', (c) => (c.callers.azure.identity.sub = 'sc://o/p/*'), 'callers.azure.identity.sub: must be the whole subject'],
    ['a claim that is no text', (c) => (c.callers.actions.identity.ref = 3), 'callers.actions.identity.ref: '],
    ['Azure without a key', (c) => delete c.callers.azure.secrets, 'callers.azure.secrets: is missing'],
    ['Azure without an issuer', (c) => delete c.callers.azure.identity.issuer, 'callers.azure.identity.issuer: is missing'],
    [
      'an issuer over plain http',
      (c) => (c.callers.gitlab.identity.issuer = 'http://gitlab.example.com'),
      'callers.gitlab.identity.issuer: must be an address',
    ],
    ['an issuer with a query', (c) => (c.callers.gitlab.identity.issuer = 'https://g.example.com/?a'), 'callers.gitlab.identity.issuer: must be an address'],
    [
      'an issuer with "/" at its end',
      (c) => (c.callers.gitlab.identity.issuer = 'https://g.example.com/'),
      'callers.gitlab.identity.issuer: must be an address',
    ],
    [
      'keys from another host',
      (c) => (c.callers.gitlab.identity.keys = 'https://evil.example.com/k'),
      'callers.gitlab.identity.keys: must be on the host of the issuer',
    ],
    [
      'keys that differ for one issuer',
      (c) => (c.callers.checks.identity.keys = 'https://token.actions.githubusercontent.com/other'),
      'callers.checks.identity: callers.actions has the same issuer with another kind or other keys',
    ],
    [
      'two callers for one token',
      (c) => (c.callers.checks.identity.environment = ['staging', 'production']),
      'callers.checks.identity: one token could be this caller and callers.actions too',
    ],
    [
      'a caller that takes all of another’s tokens',
      (c) => delete c.callers.checks.identity.environment,
      'one token could be this caller and callers.actions too',
    ],
    ['a forge with a key of its own', (c) => (c.callers.hub.secrets = ['X']), 'callers.hub: a forge proves itself by its webhooks'],
    ['a forge without webhook secrets', (c) => (c.callers.hub.forge.webhook_secrets = []), 'callers.hub.forge.webhook_secrets'],
    [
      'a webhook secret that is no name',
      (c) => (c.callers.hub.forge.webhook_secrets = ['hunter2!']),
      'callers.hub.forge.webhook_secrets[0]: must be the name of a secret',
    ],
    [
      'a webhook secret of two callers',
      (c) => (c.callers.lab.forge.webhook_secrets = ['HUB']),
      'callers.lab.forge.webhook_secrets[0]: callers.hub names HUB already',
    ],
    ['a forge without a way to ask', (c) => delete c.callers.hub.forge.app, 'callers.hub.forge: needs app (of GitHub) or token'],
    ['a forge with both', (c) => (c.callers.hub.forge.token = 'HUB_TOKEN'), 'callers.hub.forge: has app and token'],
    ['an App of GitLab', (c) => (c.callers.lab.forge.app = c.callers.hub.forge.app), 'callers.lab.forge.app: no such key is known'],
    ['an API with a password', (c) => (c.callers.lab.forge.api = 'https://u:hunter2@g.example.com/api'), 'callers.lab.forge.api: must be an address'],
    ['an Azure without an organisation', (c) => delete c.callers.repos.forge.api, 'callers.repos.forge.api: is missing'],
    ['an Azure without a token', (c) => delete c.callers.repos.forge.token, 'callers.repos.forge.token: is missing'],
    ['a repository of Azure by a number', (c) => (c.sources[3].repository_id = '12'), 'sources[3].repository_id: must be a GUID'],
    ['a pipeline of Azure by its name', (c) => (c.sources[3].workflow = 'ci'), 'sources[3].workflow: must be the id of a pipeline'],
    ['a build without its pipeline', (c) => delete c.sources[3].workflow, 'sources[3].workflow: is missing; build is told by it'],
    ['a deployment at Azure', (c) => (c.sources[3].event = 'deployment'), 'sources[3].event: expected one of "push"|"pull_request"|"build" (of azure)'],
    ['a source of nobody', (c) => (c.sources[0].forge = 'hubb'), 'sources[0].forge: there is no caller "hubb"'],
    ['a source of a caller that is no forge', (c) => (c.sources[0].forge = 'actions'), 'sources[0].forge: the caller "actions" is no forge'],
    ['a source for no target', (c) => (c.sources[0].target = 'shopp'), 'sources[0].target: there is no target "shopp"'],
    ['a source without a grant', (c) => (c.sources[0].target = 'shop'), 'sources[0].target: no grant lets "hub" deploy on "shop"'],
    [
      'a job’s question that would deploy',
      (c) => Object.assign(c.sources[0], { event: 'deployment_protection_rule', environment: 'production', mode: 'apply' }),
      'sources[0].mode: a deployment_protection_rule is answered with a rehearsal',
    ],
    [
      'an event of another forge',
      (c) => (c.sources[0].event = 'merge_request'),
      'sources[0].event: expected one of "push"|"pull_request"|"deployment"|"workflow_run"|"deployment_protection_rule"|"deployment_review" (of github)',
    ],
    [
      'a push that two sources follow, one by a pattern',
      (c) => c.sources.push({ ...c.sources[0], branch: 'm*', parameters: { env: 'any' } }),
      'sources[4]: sources[0] can follow the same push, with the same folder to the same target',
    ],
    ['a build that two sources follow', (c) => c.sources.push({ ...c.sources[3], branch: '*' }), 'sources[4]: sources[3] can follow the same build'],
    ['an event called like a method', (c) => (c.sources[0].event = 'constructor'), 'sources[0].event: expected one of'],
    ['a push without its branch', (c) => delete c.sources[0].branch, 'sources[0].branch: is missing; push is told by it'],
    ['a push of an environment', (c) => (c.sources[0].environment = 'x'), 'sources[0].environment: is not for push'],
    ['a branch as a ref', (c) => (c.sources[0].branch = 'refs/heads/main'), 'sources[0].branch: must be the name of a branch'],
    [
      'a branch of an environment as a ref',
      (c) => (c.environments.production.branches[1] = 'refs/heads/main'),
      'environments.production.branches[1]: must be the name of a branch',
    ],
    [
      'a branch as the ref of GitHub’s',
      (c) => (c.callers.actions.identity.ref = 'main'),
      'callers.actions.identity.ref: GitHub says the whole ref, such as "refs/heads/main"',
    ],
    [
      'one of several refs of GitHub’s',
      (c) => (c.callers.actions.identity.ref = ['refs/heads/main', 'v1']),
      'callers.actions.identity.ref: GitHub says the whole ref',
    ],
    [
      'a ref of GitLab’s as GitHub says it',
      (c) => (c.callers.gitlab.identity.ref = 'refs/heads/main'),
      'callers.gitlab.identity.ref: GitLab says the name alone, such as "main"',
    ],
    [
      'a job’s question to which no App answers',
      (c) => {
        c.callers.hub.forge = { kind: 'github', webhook_secrets: ['HUB'], token: 'HUB_TOKEN' };
        c.sources[0] = { forge: 'hub', repository_id: '2', event: 'deployment_protection_rule', environment: 'production', target: 'staging' };
      },
      'sources[0].event: GitHub takes the answer to a deployment_protection_rule from an App alone: callers.hub.forge needs app in place of token',
    ],
    [
      'a forge that may do more than deploy',
      (c) => (c.grants[1].actions = ['deploy', 'approve', 'read']),
      'grants[1].actions: "hub" is a forge, whose webhooks deploy, and approve only by a source for deployment_review: "approve", "read"',
    ],
    ['a folder that leads away', (c) => (c.sources[0].folder = '../db'), 'sources[0].folder: must be a relative path'],
    ['an environment that is not there', (c) => (c.targets.staging.environment = 'stage'), 'targets.staging.environment: there is no environment "stage"'],
    ['an unknown rule', (c) => (c.environments.production.approvals = 2), 'environments.production.approvals: no such key is known'],
    ['hours over midnight', (c) => (c.environments.production.hours.from = '24:00'), 'environments.production.hours.until: must be later than from'],
    ['a time that is none', (c) => (c.environments.production.hours.from = '8:30'), 'environments.production.hours.from: must be a time of day'],
    ['a day twice', (c) => (c.environments.production.hours.days = ['mon', 'mon']), 'environments.production.hours.days: names a day twice'],
    ['a zone that is none', (c) => (c.environments.production.hours.zone = 'Berlin'), 'environments.production.hours.zone: must be a time zone'],
  ];

  it.each(mistakes)('refuses %s, and names the key', async (_name, edit, words) => {
    const problem = await problemOf(() => parseConfig(change(edit)));
    expect(problem.slug).toBe('invalid_configuration');
    expect(problem.message).toContain(words);
    expect(JSON.stringify(problem)).not.toContain('hunter2');
  });
});
