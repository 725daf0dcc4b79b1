/** Identity tokens: whose they are, what for, and every way in which one is wrong. Real keys, an issuer that answers over HTTP. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { Problem } from '../../src/domain/problem.ts';
import { audienceOf, type Purpose } from '../../src/trust/audience.ts';
import { type ProvedIdentity, proveIdentity } from '../../src/trust/identity.ts';
import { TokenRefusal } from '../../src/trust/identity_token.ts';
import { createIssuerKeys } from '../../src/trust/issuer_keys.ts';
import { azureClaims, githubClaims, gitlabClaims, type Issuer, startIssuer, WRONG_TIMES } from '../support/issuer.ts';

const NOW = Date.UTC(2026, 10, 22, 12) / 1000;
const ORIGIN = 'https://weft.example.com';
const DIGEST = 'd'.repeat(64);
const REQUEST: Purpose = { kind: 'request', digest: DIGEST };
const SUB = '/eid1/c/pub/t/abc/a/def/sc/1111/2222';

let issuer: Issuer;
let config: ReturnType<typeof parseConfig>;
let at: Record<'github' | 'gitlab' | 'azure', string>;

beforeAll(async () => {
  issuer = await startIssuer();
  at = { github: `${issuer.origin}/github`, gitlab: issuer.origin, azure: `${issuer.origin}/tenant/v2.0` };
  config = parseConfig({
    origin: ORIGIN,
    targets: { shop: { database: 'SHOP_URL', transport: 'websocket' } },
    callers: {
      actions: {
        identity: {
          kind: 'github',
          issuer: at.github,
          repository_id: '123456789',
          repository_owner_id: '9919',
          environment: 'production',
          ref: ['refs/heads/main', 'refs/heads/next'],
          ref_type: 'branch',
          ref_protected: 'true',
          event_name: 'push',
          job_workflow_ref: 'octo/shop/.github/workflows/deploy.yml@refs/heads/main',
          workflow_ref: 'octo/shop/.github/workflows/deploy.yml@refs/heads/main',
          runner_environment: 'github-hosted',
          actor_id: '12',
        },
      },
      lab: {
        identity: { kind: 'gitlab', issuer: at.gitlab, project_id: '4711', namespace_id: '77', ref: 'main', ref_protected: 'true', pipeline_source: 'push' },
      },
      pipelines: { secrets: ['AZURE_SECRET'], identity: { kind: 'azure', issuer: at.azure, sub: SUB } },
    },
    grants: [],
  });
});
afterAll(() => issuer?.stop());

const findKey = createIssuerKeys({ fetch: (url, init) => fetch(url, init), now: () => NOW * 1000 });
const prove = (token: string, purpose: Purpose = REQUEST): Promise<ProvedIdentity> => proveIdentity(token, { config, findKey, nowSeconds: NOW, purpose });
const github = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  ...githubClaims(at.github, audienceOf(ORIGIN, REQUEST), NOW),
  ...changes,
});
const gitlab = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({ ...gitlabClaims(at.gitlab, ORIGIN, NOW), ...changes });
const azure = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({ ...azureClaims(at.azure, SUB, NOW), ...changes });

/** The reason for the log, when the answer to a stranger is the bare one. */
async function reasonOf(proving: Promise<unknown>): Promise<string> {
  const error = await proving.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Problem)) throw error ?? new Error('nothing was refused');
  expect(error.toJSON()).toEqual({
    type: 'urn:weft:problem:identity_refused',
    title: 'The identity token is not accepted here.',
    status: 401,
    detail: "The identity token is not accepted here. The Worker's log says why.",
  });
  expect(error.cause).toBeInstanceOf(TokenRefusal);
  return (error.cause as TokenRefusal).reason;
}

describe('prove_identity', () => {
  it('takes a token of GitHub that was made for this request, and keeps who it was, from which run', async () => {
    const proved = await prove(await issuer.sign(github()));
    expect(proved).toMatchObject({ caller: 'actions', branch: 'main', token: { expires: NOW + 295 } });
    expect(proved.evidence).toMatchObject({
      proof: 'identity',
      iss: at.github,
      repository_id: '123456789',
      run_id: '777',
      run_attempt: '1',
      actor: 'mona',
      ref: 'refs/heads/main',
    });
    expect(proved.evidence.token_sha256).toBe(proved.token.digest);
  });

  it('takes one of GitLab that was made for this Worker', async () => {
    expect(await prove(await issuer.sign(gitlab()))).toMatchObject({ caller: 'lab', branch: 'main' });
    expect(await prove(await issuer.sign(gitlab({ aud: [ORIGIN] })))).toMatchObject({ caller: 'lab' });
  });

  it('takes one of Azure whose subject is that of the service connection', async () => {
    expect(await prove(await issuer.sign(azure()))).toMatchObject({ caller: 'pipelines', branch: null });
  });

  it('takes one to read with that was made for this Worker; of GitHub not for a request', async () => {
    expect(await prove(await issuer.sign(github({ aud: ORIGIN })), { kind: 'read' })).toMatchObject({ caller: 'actions' });
    expect(await prove(await issuer.sign(gitlab()), { kind: 'read' })).toMatchObject({ caller: 'lab' });
    expect(await reasonOf(prove(await issuer.sign(github()), { kind: 'read' }))).toBe('aud');
    expect(await reasonOf(prove(await issuer.sign(azure()), { kind: 'read' }))).toBe('signature missing');
  });

  it('takes any value that the configuration lists', async () => {
    expect(await prove(await issuer.sign(github({ ref: 'refs/heads/next' })))).toMatchObject({ caller: 'actions', branch: 'next' });
  });

  const claims = [
    'repository_id',
    'repository_owner_id',
    'environment',
    'ref',
    'ref_type',
    'ref_protected',
    'event_name',
    'job_workflow_ref',
    'workflow_ref',
    'runner_environment',
    'actor_id',
  ];
  describe.each(claims)('of GitHub with another %s', (claim) => {
    it.each([
      ['another value', 'other'],
      ['none', undefined],
      ['a number', 123456789],
      ['a list with the right one', ['123456789', '9919', 'production', 'refs/heads/main', 'branch', 'true', 'push', 'github-hosted', '12']],
      ['the right one in another case or with a blank', 'Production '],
    ])('%s: is refused, and the log names the claim', async (_name, value) => {
      expect(await reasonOf(prove(await issuer.sign(github({ [claim]: value }))))).toBe(`claim ${claim}`);
    });
  });

  it.each([
    ['project_id', '4712'],
    ['namespace_id', '78'],
    ['ref', 'main2'],
    ['ref_protected', true],
    ['ref_protected', 'false'],
    ['pipeline_source', 'merge_request_event'],
  ])('refuses one of GitLab with another %s', async (claim, value) => {
    expect(await reasonOf(prove(await issuer.sign(gitlab({ [claim]: value }))))).toBe(`claim ${claim}`);
  });

  it.each([`${SUB}3`, SUB.slice(0, -1), SUB.toUpperCase(), 'sc://o/p/c'])('refuses one of Azure for another service connection: %s', async (sub) => {
    expect(await reasonOf(prove(await issuer.sign(azure({ sub }))))).toBe('claim sub');
  });

  it.each([
    ['the Worker alone', () => ORIGIN],
    ['another request', () => audienceOf(ORIGIN, { kind: 'request', digest: 'e'.repeat(64) })],
    ['another Worker', () => audienceOf('https://weft.elsewhere.com', REQUEST)],
    ['this one and another', () => [audienceOf(ORIGIN, REQUEST), 'https://elsewhere.com']],
    ['nobody', () => undefined],
    ['nobody, in a list', () => []],
    ['the owner, as without being asked', () => 'https://github.com/octo'],
  ])('refuses one of GitHub that was made for %s', async (_name, aud) => {
    expect(await reasonOf(prove(await issuer.sign(github({ aud: aud() }))))).toBe('aud');
  });

  it('refuses one of GitLab, and of Azure, that was made for somebody else', async () => {
    expect(await reasonOf(prove(await issuer.sign(gitlab({ aud: 'https://elsewhere.com' }))))).toBe('aud');
    expect(await reasonOf(prove(await issuer.sign(gitlab({ aud: `${ORIGIN}/` }))))).toBe('aud');
    expect(await reasonOf(prove(await issuer.sign(azure({ aud: ORIGIN }))))).toBe('aud');
  });

  it.each(Object.entries(WRONG_TIMES(NOW)))('refuses one that %s', async (_name, [changes, reason]) => {
    for (const make of [github, gitlab, azure]) expect(await reasonOf(prove(await issuer.sign(make(changes))))).toBe(reason);
  });

  it('forgives clocks half a minute', async () => {
    expect(await prove(await issuer.sign(github({ iat: NOW + 29, nbf: NOW + 29, exp: NOW + 300 })))).toMatchObject({ caller: 'actions' });
    expect(await prove(await issuer.sign(github({ exp: NOW - 29 })))).toMatchObject({ caller: 'actions' });
  });

  it('refuses an issuer that is not in the list, and does not ask it', async () => {
    const { length } = issuer.asked;
    for (const iss of [`${issuer.origin}/evil`, `${at.github}/`, 'https://token.actions.githubusercontent.com', undefined, [at.github], 7]) {
      expect(await reasonOf(prove(await issuer.sign(github({ iss }))))).toBe('issuer');
    }
    expect(issuer.asked).toHaveLength(length);
  });

  it('refuses the token of one issuer in the name of another', async () => {
    const other = await startIssuer();
    try {
      expect(await reasonOf(prove(await other.sign(github())))).toBe('signature');
      const unknown = await other.addKey();
      await other.addKey();
      expect(await reasonOf(prove(await other.sign(github(), { kid: `${unknown}-unknown` })))).toBe('key');
    } finally {
      await other.stop();
    }
  });

  it('refuses what is no token', async () => {
    const token = await issuer.sign(github());
    const [head = '', body = '', signature = ''] = token.split('.');
    const of = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
    const cases: [string, string][] = [
      ['eyJ', 'no token'],
      [`${head}.${body}`, 'no token'],
      [`${token}.x`, 'no token'],
      [`${head}.${body}=.${signature}`, 'no token'],
      [`${head}.${of('[]')}.${signature}`, 'no token'],
      [`${head}.${of(`{"iss":"x","iss":"${at.github}"}`)}.${signature}`, 'no token'],
      [`eyJ!.${body}.${signature}`, 'no token'],
      [`${of('{"alg"')}.${body}.${signature}`, 'no token'],
      [`${head}.${of({ ...github(), repository_id: '1' })}.${signature}`, 'signature'],
      [`${head}.${body}.${signature.slice(0, -4)}AAAA`, 'signature'],
      [`${head}.${body}.`, 'signature'],
      [`${of({ alg: 'RS256', kid: 'key-1', typ: 'jwt' })}.${body}.${signature}`, 'signature'],
      [`${of({ alg: 'none', kid: 'key-1' })}.${body}.`, 'algorithm'],
      [`${of({ alg: 'HS256', kid: 'key-1' })}.${body}.${signature}`, 'algorithm'],
      [`${of({ alg: 'PS256', kid: 'key-1' })}.${body}.${signature}`, 'algorithm'],
      [`${of({ kid: 'key-1' })}.${body}.${signature}`, 'algorithm'],
      [`${of({ alg: 'RS256' })}.${body}.${signature}`, 'key'],
      [`${of({ alg: 'RS256', kid: ['key-1'] })}.${body}.${signature}`, 'key'],
      [`${of({ alg: 'RS256', kid: 'key-1', crit: ['x'], x: 1 })}.${body}.${signature}`, 'signature'],
      [`eyJ${'a'.repeat(20_000)}`, 'too long'],
    ];
    for (const [wrong, reason] of cases) expect([wrong.slice(0, 60), await reasonOf(prove(wrong))]).toEqual([wrong.slice(0, 60), reason]);
  });

  it('names the branch of a branch alone', async () => {
    const lab = async (changes: object) => (await prove(await issuer.sign(gitlab(changes as Record<string, unknown>)))).branch;
    expect(await lab({ ref_type: 'tag' })).toBeNull();
    const free = parseConfig({
      origin: ORIGIN,
      targets: { shop: { database: 'SHOP_URL', transport: 'websocket' } },
      callers: {
        actions: { identity: { kind: 'github', issuer: at.github, repository_id: '123456789', repository_owner_id: '9919' } },
        lab: { identity: { kind: 'gitlab', issuer: at.gitlab, project_id: '4711', namespace_id: '77' } },
      },
      grants: [],
    });
    const labOf = async (changes: object) =>
      (await proveIdentity(await issuer.sign(gitlab(changes as Record<string, unknown>)), { config: free, findKey, nowSeconds: NOW, purpose: REQUEST })).branch;
    for (const pipeline_source of ['push', 'web', 'schedule', 'api', 'trigger', 'chat', 'pipeline']) expect(await labOf({ pipeline_source })).toBe('main');
    // The branch that a merge request comes from, which may be a fork's that is called alike.
    for (const pipeline_source of ['merge_request_event', 'external_pull_request_event', 'whatever_comes', undefined])
      expect(await labOf({ pipeline_source }), pipeline_source).toBeNull();
    expect(await labOf({ pipeline_source: 'parent_pipeline' })).toBe('main');
    expect(await labOf({ pipeline_source: 'parent_pipeline', ref_protected: 'false' })).toBeNull();
    const branchOf = async (changes: object) =>
      (await proveIdentity(await issuer.sign(github(changes as Record<string, unknown>)), { config: free, findKey, nowSeconds: NOW, purpose: REQUEST })).branch;
    expect(await branchOf({ ref: 'refs/heads/release/7' })).toBe('release/7');
    expect(await branchOf({ ref: 'refs/pull/3/merge', event_name: 'pull_request' })).toBeNull();
    expect(await branchOf({ ref: 'refs/tags/main', ref_type: 'tag' })).toBeNull();
    expect(await branchOf({ ref: undefined })).toBeNull();
  });
});
