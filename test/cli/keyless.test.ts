/** The command line in a CI job without any secret: through a Worker in workerd that knows the issuer of its tokens, which is asked as runners do. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { azureClaims, githubClaims, gitlabClaims, type Issuer, startIssuer } from '../support/issuer.ts';
import { type Cutter, startCutter } from './cutter.ts';
import { makeFolder } from './folder.ts';
import { type Run, run } from './run.ts';

const SUB = '/eid1/c/pub/t/abc/a/def/sc/1111/2222';
const AZURE_SECRET = generateSecret();
const CI_SECRET = generateSecret();
const RUNNER = 'a-token-of-the-runner';

let database: TestDatabase;
let relay: Relay;
let proxy: Cutter;
let worker: LocalWorker;
let issuer: Issuer;
/** Audiences that were asked for, as GitHub's runner is. */
let audiences: (string | null)[] = [];
let environment: string;

beforeAll(async () => {
  [database, issuer, proxy] = await Promise.all([emptyDatabase(), startIssuer(), startCutter()]);
  const url = new URL(database.url);
  relay = await startRelay({ to: { host: url.hostname, port: Number(url.port) } });
  const at = issuer.origin;
  const github = { kind: 'github', issuer: `${at}/github`, repository_id: '123456789', repository_owner_id: '9919' };
  worker = await startWorker({
    config: {
      origin: proxy.origin,
      targets: { shop: { database: 'SHOP_URL', transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true } },
      callers: {
        actions: { identity: { ...github, environment: 'production' } },
        blind: { identity: { ...github, environment: 'blind' } },
        lab: { identity: { kind: 'gitlab', issuer: at, project_id: '4711', namespace_id: '77' } },
        pipelines: { secrets: ['AZURE_SECRET'], identity: { kind: 'azure', issuer: `${at}/tenant/v2.0`, sub: SUB } },
        ci: { secrets: ['CI_SECRET'] },
      },
      grants: [
        { caller: 'actions', targets: ['shop'], actions: ['deploy', 'resume', 'cancel', 'undo', 'read'] },
        { caller: 'blind', targets: ['shop'], actions: ['deploy', 'undo'] },
        { caller: 'lab', targets: ['shop'], actions: ['deploy', 'undo', 'read'] },
        { caller: 'pipelines', targets: ['shop'], actions: ['deploy', 'read'] },
        { caller: 'ci', targets: ['shop'], actions: ['deploy', 'read'] },
      ],
    },
    secrets: { SHOP_URL: database.url, AZURE_SECRET, CI_SECRET },
  });
  proxy.port = Number(new URL(worker.origin).port);
  issuer.onTokenRequest = async (asked, { headers, method }) => {
    if (headers.authorization !== `Bearer ${RUNNER}`) return { status: 401, body: {} };
    if (asked.pathname === '/runner') {
      audiences.push(asked.searchParams.get('audience'));
      return { status: 200, body: { count: 1, value: await issuer.sign({ ...githubClaims(`${at}/github`, audiences.at(-1) ?? '', now()), environment }) } };
    }
    if (method === 'POST' && asked.searchParams.get('serviceConnectionId') === '2222' && asked.searchParams.get('api-version') === '7.1') {
      return { status: 200, body: { oidcToken: await issuer.sign(azureClaims(`${at}/tenant/v2.0`, SUB, now())) } };
    }
    return { status: 404, body: {} };
  };
}, 60_000);

afterAll(async () => {
  await worker?.stop();
  await proxy?.stop();
  await relay?.stop();
  await issuer?.stop();
  await database?.drop();
});

beforeEach(() => {
  audiences = [];
  environment = 'production';
});
afterEach(() => {
  proxy.cutAnswerWhen = () => false;
});

const now = () => Math.floor(Date.now() / 1000);
const labToken = (changes: object = {}) => issuer.sign({ ...gitlabClaims(issuer.origin, proxy.origin, now()), ...changes });

function weft(argv: string[], env: Record<string, string | undefined>): Promise<Run> {
  return run(argv, { env: { WEFT_URL: proxy.origin, WEFT_TARGET: 'shop', ...env } });
}
const actions = () => ({
  GITHUB_ACTIONS: 'true',
  ACTIONS_ID_TOKEN_REQUEST_URL: `${issuer.origin}/runner?api-version=2.0`,
  ACTIONS_ID_TOKEN_REQUEST_TOKEN: RUNNER,
});
const folderOf = (name: string) =>
  makeFolder({ 'weft.yaml': `name: ${name}\nphases: [{ name: main, steps: [{ run: 1.sql }] }]`, '1.sql': `create table ${name} (id int);` });

const undoableFolder = (name: string) =>
  makeFolder({
    'weft.yaml': `name: ${name}\nphases: [{ name: main, steps: [{ run: ${name}.sql, undo: no_${name}.sql }] }]`,
    [`${name}.sql`]: `create table ${name} (id int);`,
    [`no_${name}.sql`]: `drop table ${name};`,
  });

describe('in GitHub Actions', () => {
  it('deploys with tokens that are made for its requests, and reads with one that is made for the Worker', async () => {
    const result = await weft(['deploy', folderOf('by_actions'), '--json'], actions());
    expect(result.json()).toMatchObject({ state: 'succeeded', caller: 'actions' });
    expect(result.code).toBe(0);
    expect(audiences[0]).toMatch(new RegExp(`^${proxy.origin}/sha256:[0-9a-f]{64}$`));
    expect(audiences.filter((audience) => audience === proxy.origin).length).toBeLessThanOrEqual(1);
    const read = await weft(['history', '--json'], actions());
    expect(read.json().history).toMatchObject([{ path: '1.sql' }]);
    expect(audiences.at(-1)).toBe(proxy.origin);
  });

  it('knocks again when the answer was lost, with another token, and it is one deployment', async () => {
    let lost = 0;
    proxy.cutAnswerWhen = () => lost++ === 0;
    const result = await weft(['deploy', folderOf('by_two_tokens'), '--json', '--id', 'job-1'], actions());
    expect(result.json()).toMatchObject({ state: 'succeeded', caller: 'actions' });
    expect(audiences.filter((audience) => audience?.includes('/sha256:')).length).toBeGreaterThanOrEqual(2);
  });

  it('gets its answer though it may not read', async () => {
    environment = 'blind';
    const result = await weft(['deploy', folderOf('blindly'), '--json'], actions());
    expect(result.json()).toMatchObject({ state: 'succeeded', caller: 'blind' });
  });

  it('looks up what is to be resumed or undone, for its token says who reads', async () => {
    const { id } = (await weft(['deploy', undoableFolder('by_look'), '--json'], actions())).json();
    const resumed = await weft(['resume', '--json'], actions());
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.json()).toMatchObject({ unfinished: null });
    const plan = await weft(['undo', '--bundle', 'by_look', '--plan', '--json'], actions());
    expect(plan.code, plan.stderr).toBe(0);
    expect(plan.json()).toMatchObject({ deployment: id });
    const undone = await weft(['undo', '--bundle', 'by_look'], actions());
    expect(undone.code, undone.stderr).toBe(0);
    expect(undone.stderr).toContain(`Undo of by_look, deployment ${id}`);
  });

  it('undoes what it names though it may not read', async () => {
    const { id } = (await weft(['deploy', undoableFolder('by_name'), '--json'], actions())).json();
    environment = 'blind';
    const undone = await weft(['undo', id, '--json'], actions());
    expect(undone.code, undone.stderr).toBe(0);
    expect(undone.json()).toMatchObject({ state: 'succeeded', undoes: id, caller: 'blind' });
    const plan = await weft(['undo', id, '--plan', '--json'], actions());
    expect(plan.json().problem).toMatchObject({ type: 'urn:weft:problem:no_grant' });
  });

  it('is told what its token says, when that is not accepted', async () => {
    environment = 'staging';
    const result = await weft(['deploy', folderOf('never'), '--json'], actions());
    expect(result.code).toBe(2);
    expect(result.json().problem).toMatchObject({ type: 'urn:weft:problem:identity_refused' });
    expect(result.json().problem.detail).toMatch(/This job's token says: .*repository_id "123456789".*environment "staging"/);
  });

  it('has a secret, and asks for no token', async () => {
    const result = await weft(['deploy', folderOf('by_secret'), '--json'], { ...actions(), WEFT_SECRET: CI_SECRET, WEFT_CALLER: 'ci' });
    expect(result.json()).toMatchObject({ state: 'succeeded', caller: 'ci' });
    expect(audiences).toEqual([]);
  });

  it('is told which permission it lacks', async () => {
    const result = await weft(['deploy', folderOf('never'), '--json'], { GITHUB_ACTIONS: 'true' });
    expect(result.code).toBe(2);
    expect(result.json().problem.detail).toContain('permissions: id-token: write');
    const refused = await weft(['deploy', folderOf('never'), '--json'], { ...actions(), ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'another' });
    expect(refused.code).toBe(2);
    expect(refused.json().problem.detail).toBe('GitHub was asked for an identity token, and answered 401 without one. May this job have one?');
  });

  it('cannot bring secret parameters', async () => {
    const folder = makeFolder({
      'weft.yaml': 'name: s\nparameters: { pin: { type: text, secret: true } }\nphases: [{ name: main, steps: [{ run: 1.sql }] }]',
      '1.sql': 'select 1;',
    });
    const result = await weft(['deploy', folder, '--set-env', 'pin=PIN', '--json'], { ...actions(), PIN: '1234' });
    expect(result.code).toBe(2);
    expect(result.json().problem.detail).toContain('Secret parameters are bound with WEFT_SECRET');
  });
});

describe('with a secret', () => {
  it('looks up what is to be resumed as --caller says who reads, and asks who that is where nobody says it', async () => {
    const resumed = await weft(['resume', '--caller', 'ci', '--json'], { WEFT_SECRET: CI_SECRET });
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.json()).toMatchObject({ unfinished: null });
    const unsaid = await weft(['resume', '--json'], { WEFT_SECRET: CI_SECRET });
    expect(unsaid.code).toBe(2);
    expect(unsaid.json().problem.detail).toContain('say who reads (--caller NAME or WEFT_CALLER)');
  });
});

describe('in GitLab CI', () => {
  it('deploys with the token that the job has, and knocks with the same bytes', async () => {
    let lost = 0;
    proxy.cutAnswerWhen = () => lost++ === 0;
    const result = await weft(['deploy', folderOf('by_lab'), '--json'], { GITLAB_CI: 'true', WEFT_ID_TOKEN: await labToken() });
    expect(result.json()).toMatchObject({ state: 'succeeded', caller: 'lab' });
    expect(result.code).toBe(0);
  });

  it('needs another token for another deployment', async () => {
    const WEFT_ID_TOKEN = await labToken();
    expect((await weft(['deploy', folderOf('first_of_two'), '--json'], { WEFT_ID_TOKEN })).code).toBe(0);
    const second = await weft(['deploy', folderOf('second_of_two'), '--json'], { WEFT_ID_TOKEN });
    expect(second.json().problem.type).toBe('urn:weft:problem:identity_refused');
  });

  it('shows what an undo runs and undoes it, with the one token that the job has', async () => {
    const { id } = (await weft(['deploy', undoableFolder('by_lab_look'), '--json'], actions())).json();
    const undone = await weft(['undo', id], { GITLAB_CI: 'true', WEFT_ID_TOKEN: await labToken() });
    expect(undone.code, undone.stderr).toBe(0);
    expect(undone.stderr).toContain(`Undo of by_lab_look, deployment ${id}`);
  });

  it('is told what is wrong with its token', async () => {
    for (const [env, words] of [
      [{ GITLAB_CI: 'true' }, 'id_tokens: { WEFT_ID_TOKEN:'],
      [{ WEFT_ID_TOKEN: '$WEFT_ID_TOKEN' }, 'WEFT_ID_TOKEN is no identity token'],
      [{ WEFT_ID_TOKEN: await labToken({ exp: now() - 5 }) }, 'WEFT_ID_TOKEN has expired'],
    ] as const) {
      const result = await weft(['deploy', folderOf('never'), '--json'], env);
      expect(result.code).toBe(2);
      expect(result.json().problem.detail).toContain(words);
      if ('WEFT_ID_TOKEN' in env && env.WEFT_ID_TOKEN.startsWith('eyJ')) expect(result.stdout + result.stderr).not.toContain(env.WEFT_ID_TOKEN);
    }
  });
});

describe('in Azure Pipelines', () => {
  it('deploys with a token and a signature', async () => {
    const env = { TF_BUILD: 'True', SYSTEM_OIDCREQUESTURI: `${issuer.origin}/azure/oidctoken`, SYSTEM_ACCESSTOKEN: RUNNER, WEFT_SERVICE_CONNECTION: '2222' };
    const result = await weft(['deploy', folderOf('by_azure'), '--json'], { ...env, WEFT_SECRET: AZURE_SECRET, WEFT_CALLER: 'pipelines' });
    expect(result.json()).toMatchObject({ state: 'succeeded', caller: 'pipelines' });
    const without = await weft(['deploy', folderOf('never'), '--json'], { WEFT_SECRET: AZURE_SECRET, WEFT_CALLER: 'pipelines' });
    expect(without.json().problem.type).toBe('urn:weft:problem:identity_refused');
  });
});
