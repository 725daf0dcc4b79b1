/** What a configuration says and what can never be, by its key. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { findNever } from '../../src/trust/never.ts';

type Parts = Record<string, unknown>;

const FORGE = { forge: { kind: 'github', webhook_secrets: ['HOOK'], token: 'TOKEN' } };
const SOURCE = { forge: 'hub', repository_id: '7', folder: 'db', event: 'push', branch: 'main', target: 'shop' };
const deploys = (caller: string, ...more: string[]) => ({ caller, targets: ['shop'], actions: ['deploy', ...more] });
const never = (environment: object | null, changes: Parts = {}) =>
  findNever(
    parseConfig({
      origin: 'https://weft.example.com',
      ...(environment && { environments: { live: environment } }),
      targets: { shop: { database: 'A', transport: 'tcp', ...(environment && { environment: 'live' }) } },
      callers: { ci: { secrets: ['B'] } },
      grants: [deploys('ci')],
      ...changes,
    }),
  );
const github = (ref?: string) => ({ identity: { kind: 'github', repository_id: '1', repository_owner_id: '2', ...(ref && { ref }) } });

it('says nothing of a configuration in which everything can be', () => {
  expect(never(null)).toEqual([]);
  const two = {
    callers: { ci: { secrets: ['B'] }, boss: { secrets: ['C'] } },
    grants: [deploys('ci', 'undo'), { caller: 'boss', targets: ['*'], actions: ['approve'] }],
  };
  expect(never({ second_person: true }, two)).toEqual([]);
  expect(never({ rehearsal_first: true })).toEqual([]);
  expect(never({ branches: ['main'] }, { callers: { ci: github('refs/heads/main') } })).toEqual([]);
});

describe('a second person', () => {
  it('who has no grant anywhere', () => {
    expect(never({ second_person: true })).toEqual([
      expect.stringMatching(/^targets\.shop\.environment: "live" asks for a second person, and no grant gives "approve" on "shop" to anybody/),
    ]);
  });

  it('who is the one who deploys', () => {
    expect(never({ second_person: true }, { grants: [deploys('ci', 'approve')] })).toEqual([
      expect.stringMatching(/^targets\.shop\.environment: .*nobody but "ci" may approve what "ci" opens/),
    ]);
  });

  it('who has the grant at another target', () => {
    const targets = { shop: { database: 'A', transport: 'tcp', environment: 'live' }, other: { database: 'D', transport: 'tcp' } };
    const callers = { ci: { secrets: ['B'] }, boss: { secrets: ['C'] } };
    const grants = [
      { ...deploys('ci'), targets: ['*'] },
      { caller: 'boss', targets: ['other'], actions: ['approve'] },
    ];
    expect(never({ second_person: true }, { targets, callers, grants })).toEqual([
      expect.stringMatching(/^grants\[1\]\.actions: "approve", and no target that it reaches asks/),
      expect.stringMatching(/^targets\.shop\.environment/),
    ]);
  });
});

describe('a rehearsal first', () => {
  const forge = { callers: { hub: FORGE }, grants: [deploys('hub')] };

  it('of what only a webhook deploys, and none rehearses', () => {
    expect(never({ rehearsal_first: true }, { ...forge, sources: [SOURCE] })).toEqual([
      expect.stringMatching(/^sources\[0\]\.target: .*asks for a rehearsal first/),
    ]);
    const other = { ...SOURCE, event: 'pull_request', parameters: { size: 3 } };
    expect(never({ rehearsal_first: true }, { ...forge, sources: [SOURCE, other] })).toHaveLength(1);
  });

  it('which a source makes, or somebody else may make', () => {
    expect(never({ rehearsal_first: true }, { ...forge, sources: [SOURCE, { ...SOURCE, event: 'pull_request' }] })).toEqual([]);
    const both = { callers: { hub: FORGE, ci: { secrets: ['B'] } }, grants: [deploys('hub'), deploys('ci')], sources: [SOURCE] };
    expect(never({ rehearsal_first: true }, both)).toEqual([]);
  });
});

describe('branches', () => {
  it.each<[string, object]>([
    ['a key', { secrets: ['B'] }],
    ['a token that is held to another branch', github('refs/heads/dev')],
  ])('that %s never proves', (_, caller) => {
    expect(never({ branches: ['main', 'release/*'] }, { callers: { ci: caller } })).toEqual([
      expect.stringMatching(/^targets\.shop\.environment: "live" takes only what comes from "main" or "release\/\*", and "ci" .*can only rehearse there$/),
    ]);
  });

  it('that a source never comes from', () => {
    const forge = { callers: { hub: FORGE }, grants: [deploys('hub')] };
    expect(never({ branches: ['release/*'] }, { ...forge, sources: [SOURCE] })).toEqual([
      expect.stringMatching(/^sources\[0\]\.branch: .*from "main" is refused$/),
    ]);
    const proposed = { ...SOURCE, event: 'pull_request', mode: 'apply' };
    expect(never({ branches: ['main'] }, { ...forge, sources: [proposed] })).toEqual([expect.stringMatching(/^sources\[0\]\.mode: .*proves no branch/)]);
    expect(never({ branches: ['main'] }, { ...forge, sources: [SOURCE, { ...SOURCE, event: 'pull_request' }] })).toEqual([]);
  });
});

it('parts that nothing reaches', () => {
  expect(never(null, { environments: { live: { second_person: true } } })).toEqual([expect.stringMatching(/^environments\.live: no target is in it/)]);
  expect(never(null, { callers: { ci: { secrets: ['B'] }, idle: { secrets: ['C'] } } })).toEqual([expect.stringMatching(/^callers\.idle: no grant/)]);
  expect(never(null, { callers: { ci: { secrets: ['B'] }, hub: FORGE }, grants: [deploys('ci'), deploys('hub')] })).toEqual([
    expect.stringMatching(/^callers\.hub: no source follows it/),
  ]);
  expect(never(null, { grants: [{ caller: 'ci', targets: ['shop'], actions: ['read'] }] })).toEqual([
    expect.stringMatching(/^targets\.shop: no grant lets anybody deploy/),
  ]);
});
