/**
 * GitHub's reviewers as the second person: what somebody else than that forge has opened, and waits with just the files of a commit, is approved when a
 * required reviewer of an environment has said so of a run of that commit. The question whether a job may start (deployment_protection_rule) never approves.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { generateSecret, makeSignedRequest } from '../../src/trust/sign.ts';
import { TOKEN } from '../support/github.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { type ForgeWorld, openForgeWorld, send, settle, triesOf } from './world.ts';

const CI_SECRET = generateSecret();
const REVIEW_SECRET = 'of-the-webhook-that-tells-of-reviews';
const [STARTER, REVIEWER] = [1, 2];

let at: ForgeWorld;
beforeAll(async () => {
  const source = { forge: 'reviews', event: 'deployment_review', environment: 'production' };
  at = await openForgeWorld({
    environment: { second_person: true },
    more: (api) => ({
      callers: {
        ci: { secrets: ['CI_SECRET'] },
        reviews: { forge: { kind: 'github', webhook_secrets: ['REVIEW_SECRET'], ...api, token: 'REVIEW_TOKEN' } },
      },
      grants: [
        { caller: 'ci', targets: ['shop'], actions: ['deploy'] },
        { caller: 'reviews', targets: ['shop'], actions: ['approve'] },
      ],
      sources: [source],
      secrets: { CI_SECRET, REVIEW_SECRET, REVIEW_TOKEN: TOKEN },
    }),
  });
});
afterAll(() => at?.stop());
afterEach(() => expect(at.github.faults).toEqual([]));

const bundle = (name: string) => ({
  'db/shop/weft.yaml': `name: ${name}\nphases: [{ name: main, transaction: per-step, steps: [{ run: "*.sql" }] }]\n`,
  'db/shop/001_table.sql': `create table ${name} (n int primary key);\n`,
});
const deploymentOf = async (name: string) =>
  (await sql(at.database.url, `select id, state::text, approved_by from weft.deployments where bundle = '${name}'`))[0];

/** As a job with a key opens it, and it waits. */
async function open(files: Record<string, string>): Promise<void> {
  const request = {
    type: 'deploy',
    id: randomUUID(),
    audience: at.worker.origin,
    target: 'shop',
    expires_at: new Date(Date.now() + 60_000).toISOString(),
    files: Object.entries(files).map(([path, content]) => ({ path: path.replace('db/shop/', ''), content })),
    folder: 'shop',
  };
  const { body, headers } = await makeSignedRequest(request as never, CI_SECRET, Math.floor(Date.now() / 1000));
  const answer = await at.worker.fetch('/v1/targets/shop/deployments', { method: 'POST', body, headers: { ...headers, 'content-type': 'application/json' } });
  expect([answer.status, ((await answer.json()) as { state: string }).state]).toEqual([202, 'open']);
}

const statusOf = (sha: string) => at.github.repository.statuses.findLast((one) => one.sha === sha);

let next = 700;
/** A run of a commit whose job waits, and what reviewers have said of it. */
function review(files: Record<string, string>, more: { run?: object; reviews?: object[] } = {}): { run: number; sha: string; payload: object } {
  const { github } = at;
  const run = ++next;
  const sha = github.commit(files, `feature-${run}`);
  github.repository.runs.set(run, {
    id: run,
    head_sha: sha,
    head_branch: 'main',
    status: 'waiting',
    conclusion: null,
    run_attempt: 1,
    head_repository: { id: github.repository.id },
    actor: { id: STARTER },
    triggering_actor: { id: STARTER },
    ...more.run,
  });
  github.repository.reviews.set(run, more.reviews ?? [approvedBy(REVIEWER)]);
  return { run, sha, payload: github.deploymentReview(run, 'production') };
}
const approvedBy = (id: number, environment = 'production', state = 'approved') => ({
  state,
  user: { id },
  environments: [{ id: 3, name: environment }],
  comment: '',
});
const tell = (payload: object) => settle(at, 'deployment_review', payload, REVIEW_SECRET);

describe('a reviewer at GitHub', () => {
  // First, for it counts who comes to the database: messages of the queue look at what is approved below.
  test.each<[string, { run?: object; reviews?: object[] }]>([
    ['who has started the run', { reviews: [approvedBy(STARTER)] }],
    ['who has started it again', { run: { triggering_actor: { id: REVIEWER } } }],
    ['of another environment', { reviews: [approvedBy(REVIEWER, 'staging')] }],
    ['whom another one contradicts', { reviews: [approvedBy(REVIEWER), approvedBy(9, 'production', 'rejected')] }],
    ['who has said nothing, whatever the webhook says', { reviews: [] }],
    ['of a run that was started again, for the word may be of an attempt before', { run: { run_attempt: 2 } }],
    ['of a run that is over', { run: { status: 'completed', conclusion: 'success' } }],
    ['of a fork’s run', { run: { head_repository: { id: 1 } } }],
    ['of a run of another commit', { run: { head_sha: 'a'.repeat(40) } }],
  ])('%s approves nothing, and wakes no database', async (_, more) => {
    const name = `unreviewed_${next}`;
    await open(bundle(name));
    const asked = review(bundle(name), more);
    const payload = { ...(asked.payload as { workflow_run: object }), workflow_run: { id: asked.run, head_sha: asked.sha } };
    await expect.poll(() => at.relay.connections.filter(({ open }) => open).length, { timeout: 20_000 }).toBe(0);
    const before = at.relay.connections.length;
    expect(await tell(payload)).toMatchObject({ finding: 'stale', deployment: null });
    // What follows an approval (telling forges what they are owed) comes behind what the log has of it.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(at.relay.connections).toHaveLength(before);
    expect(await deploymentOf(name)).toMatchObject({ state: 'open', approved_by: null });
  });

  test('is the second person of what a job has opened with the files of that commit: it is run, and the record says whose word it was', async () => {
    const files = bundle('reviewed');
    await open(files);
    const { run, sha, payload } = review(files);
    expect(await tell(payload)).toMatchObject({ finding: 'told', state: 'succeeded' });
    const { id, ...deployment } = await deploymentOf('reviewed');
    expect(deployment).toEqual({ state: 'succeeded', approved_by: 'reviews' });
    const [{ signature }] = await sql(at.database.url, 'select signature from weft._approvals where deployment_id = $1', [id]);
    expect(signature).toMatchObject({
      webhook_of: 'github',
      event: 'deployment_review',
      commit: sha,
      environment: 'production',
      run_id: String(run),
      reviewers: String(REVIEWER),
    });
    expect(statusOf(sha)).toMatchObject({ context: 'weft approval: db/shop to shop', state: 'success' });
  });

  test('approves one deployment by one review: when it comes again, that is what it is told of, and nothing else that waits is approved', async () => {
    const files = bundle('reviewed_once');
    await open(files);
    const { sha, payload } = review(files);
    const first = await tell(payload);
    expect(first).toMatchObject({ finding: 'told', state: 'succeeded' });
    await open(files);
    expect(await tell(payload)).toMatchObject({ finding: 'told', state: 'succeeded', deployment: first.deployment });
    expect(statusOf(sha)).toMatchObject({ state: 'success' });
    const states = await sql(at.database.url, `select state::text, approved_by from weft.deployments where bundle = 'reviewed_once' order by created_at`);
    expect(states).toEqual([
      { state: 'succeeded', approved_by: 'reviews' },
      { state: 'open', approved_by: null },
    ]);
  });

  test('is the second person of what another forge has opened, which is told how it ended', async () => {
    const files = bundle('pushed');
    const pushed = at.github.commit(files);
    const { document } = await send(at, 'push', at.github.push());
    await expect.poll(() => triesOf(at, document.delivery).at(-1)?.finding, { timeout: 30_000 }).toBe('waiting');
    await tell(review(files).payload);
    expect(await deploymentOf('pushed')).toMatchObject({ state: 'succeeded', approved_by: 'reviews' });
    await expect.poll(() => at.github.repository.checkRuns.find(({ head_sha }) => head_sha === pushed)?.conclusion, { timeout: 20_000 }).toBe('success');
  });

  test('approves no other files than those of the commit', async () => {
    await open(bundle('others'));
    const { sha, payload } = review({ ...bundle('others'), 'db/shop/001_table.sql': 'create table others (n bigint primary key);\n' });
    expect(await tell(payload)).toMatchObject({ finding: 'told', deployment: null });
    expect(await deploymentOf('others')).toMatchObject({ state: 'open', approved_by: null });
    expect(statusOf(sha)).toMatchObject({ state: 'error', description: 'Nothing was approved at shop' });
  });

  test('a rejection, and a request, are no word for it; nor is what is signed by another webhook', async () => {
    await open(bundle('rejected'));
    const { run, payload } = review(bundle('rejected'));
    for (const action of ['rejected', 'requested'])
      expect(await send(at, 'deployment_review', at.github.deploymentReview(run, 'production', action), REVIEW_SECRET)).toMatchObject({
        status: 200,
        document: { outcome: 'ignored' },
      });
    // The App of the pushes has no source that approves.
    expect(await send(at, 'deployment_review', payload)).toMatchObject({ status: 200, document: { outcome: 'ignored' } });
    expect(await deploymentOf('rejected')).toMatchObject({ state: 'open', approved_by: null });
  });
});

test('the question whether a job may start approves nothing, though it is of just these files: nobody has looked by then', async () => {
  const files = bundle('only_asked');
  await open(files);
  const { run, sha } = review(files, { reviews: [] });
  at.github.repository.deployments.push({ id: 7000, sha, ref: 'main', environment: 'production' });
  at.github.repository.pending.set(run, ['production']);
  expect(await settle(at, 'deployment_protection_rule', at.github.protectionRule(run, 7000))).toMatchObject({ finding: 'told', state: 'succeeded' });
  expect(at.github.repository.ruleAnswers.at(-1)).toMatchObject({ run, state: 'approved' });
  const states = await sql(
    at.database.url,
    `select mode::text, state::text, approved_by from weft.deployments where bundle = 'only_asked' order by created_at`,
  );
  expect(states).toEqual([
    { mode: 'apply', state: 'open', approved_by: null },
    { mode: 'rehearse', state: 'succeeded', approved_by: null },
  ]);
});

test('what has secrets can be approved by a review, which brings none: it waits for them then, and that is told', async () => {
  const files = bundle('with_secrets');
  files['db/shop/weft.yaml'] += 'parameters: { token: { type: text, required: true, secret: true } }\n';
  const inFolder = Object.fromEntries(Object.entries(files).map(([path, content]) => [path.replace('db/shop/', ''), content]));
  const protection = { environment: 'live', second_person: true, rehearsal_first: false };
  await deployFiles(connectOver(at.database.url), inFolder, { caller: 'ci', target: 'shop', protection, secrets: { token: 'of the test' } });
  const { sha, payload } = review(files);
  expect(await tell(payload)).toMatchObject({ finding: 'told', errors: [{ slug: 'secrets_missing' }] });
  expect(await deploymentOf('with_secrets')).toMatchObject({ state: 'staged', approved_by: 'reviews' });
  expect(statusOf(sha)).toMatchObject({ state: 'failure', description: 'The deployment waits for its secrets.' });
});
