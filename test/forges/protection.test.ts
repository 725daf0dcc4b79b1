/**
 * What GitHub and a rule of an environment have to do with each other: a push that has to be approved first is told of as waiting, and a job that
 * asks whether it may start (a deployment protection rule) is answered with a rehearsal of its commit.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../support/sql.ts';
import { approve, type ForgeWorld, openForgeWorld, send, settle, triesOf } from './world.ts';

let at: ForgeWorld;
beforeAll(async () => {
  at = await openForgeWorld({ isInstalled: true, environment: { second_person: true } });
});
afterAll(() => at?.stop());
afterEach(() => expect(at.github.faults).toEqual([]));

const bundle = (name: string, text = `create table ${name} (n int primary key);\n`) => ({
  'db/shop/weft.yaml': `name: ${name}\nphases: [{ name: main, transaction: per-step, steps: [{ run: "*.sql" }] }]\n`,
  'db/shop/001_table.sql': text,
});
const deploymentsOf = (name: string) =>
  sql(at.database.url, `select id, mode::text, state::text from weft.deployments where bundle = '${name}' order by created_at`);

describe('a push to an environment that asks for a second person', () => {
  test('is told of as waiting, with the words that approve it, and as what became of it when somebody has', async () => {
    const commit = at.github.commit(bundle('guarded'));
    const { document } = await send(at, 'push', at.github.push());
    await expect.poll(() => triesOf(at, document.delivery).at(-1)?.finding, { timeout: 30_000 }).toBe('waiting');
    const check = () => at.github.repository.checkRuns.find(({ head_sha }) => head_sha === commit);
    expect(check()).toMatchObject({ status: 'queued', output: { title: 'guarded waits for approval at shop' } });
    const [, id = '', digest = ''] = /weft approve ([0-9a-f-]{36}) --digest ([0-9a-f]{64})/.exec(check().output.summary) ?? [];
    expect(await deploymentsOf('guarded')).toEqual([{ id, mode: 'apply', state: 'open' }]);
    const source = { forge: 'github', event: 'push', repository: 'octo/shop', commit, folder: 'db/shop' };
    expect(await approve(at.worker, id, digest)).toMatchObject({ status: 200, document: { state: 'succeeded', source } });
    await expect.poll(() => triesOf(at, document.delivery).at(-1), { timeout: 40_000 }).toMatchObject({ finding: 'told', state: 'succeeded' });
    expect(check()).toMatchObject({ status: 'completed', conclusion: 'success', output: { summary: expect.stringContaining('Approved by `boss`') } });
  });
});

describe('a job that asks whether it may start', () => {
  let next = 900;
  function ask(files: Record<string, string>, more: { fork?: boolean } = {}): { run: number; payload: Record<string, unknown> } {
    const { github } = at;
    const [run, id] = [++next, ++next];
    const sha = github.commit(files);
    github.repository.deployments.push({ id, sha, ref: 'main', environment: 'production' });
    github.repository.runs.set(run, {
      id: run,
      head_sha: sha,
      head_branch: 'main',
      conclusion: null,
      run_attempt: 1,
      head_repository: { id: more.fork ? 1 : github.repository.id },
    });
    github.repository.pending.set(run, ['production']);
    return { run, payload: github.protectionRule(run, id) as Record<string, unknown> };
  }
  const answersOf = (run: number) => at.github.repository.ruleAnswers.filter((answer) => answer.run === run);

  test('is let through when its commit was rehearsed there, and well; nothing of it is in the database, and nothing waits for anybody', async () => {
    const { run, payload } = ask(bundle('asked'));
    expect(await settle(at, 'deployment_protection_rule', payload)).toMatchObject({ finding: 'told', state: 'succeeded' });
    expect(answersOf(run)).toMatchObject([{ environment_name: 'production', state: 'approved', comment: expect.stringContaining('ran through') }]);
    expect(await deploymentsOf('asked')).toMatchObject([{ mode: 'rehearse', state: 'succeeded' }]);
  });

  test('is refused when it would fail, or cannot be rehearsed, with the reason', async () => {
    const fails = ask(bundle('asked_wrong', 'select nonsense;\n'));
    await settle(at, 'deployment_protection_rule', fails.payload);
    expect(answersOf(fails.run)).toMatchObject([{ state: 'rejected', comment: expect.stringContaining('42703') }]);
    const broken = ask({ 'db/shop/weft.yaml': 'name: [' });
    await settle(at, 'deployment_protection_rule', broken.payload);
    expect(answersOf(broken.run)).toMatchObject([{ state: 'rejected' }]);
  });

  test.each<[string, (asked: ReturnType<typeof ask>) => object | Promise<object>]>([
    [
      'an address of another host',
      ({ payload }) => ({ ...payload, deployment_callback_url: String(payload.deployment_callback_url).replace('127.0.0.1', 'localhost') }),
    ],
    [
      'an address of another repository',
      ({ payload }) => ({ ...payload, deployment_callback_url: String(payload.deployment_callback_url).replace('/octo/', '/evil/') }),
    ],
    ['an address with another in it', ({ payload }) => ({ ...payload, deployment_callback_url: `http://evil.test/?${payload.deployment_callback_url}` })],
    [
      'a run that waits no more',
      ({ run, payload }) => {
        at.github.repository.pending.delete(run);
        return payload;
      },
    ],
    [
      'a deployment of another environment',
      ({ payload }) => {
        Object.assign(at.github.repository.deployments.at(-1) ?? {}, { environment: 'staging' });
        return payload;
      },
    ],
    ['another commit', ({ payload }) => ({ ...payload, deployment: { ...(payload.deployment as object), sha: 'a'.repeat(40) } })],
    [
      'the run of another commit',
      ({ payload }) => ({ ...payload, deployment_callback_url: ask(bundle('asked_of_another', 'select nonsense;\n')).payload.deployment_callback_url }),
    ],
  ])('with %s is asked of no database, and answered nowhere', async (_, change) => {
    const asked = ask(bundle('asked_elsewhere'));
    const payload = (await change(asked)) as Record<string, unknown>;
    const [before, answered] = [at.github.asked.length, at.github.repository.ruleAnswers.length];
    const progress = await settle(at, 'deployment_protection_rule', payload);
    expect(progress).toMatchObject({ finding: 'stale', deployment: null });
    expect(at.github.repository.ruleAnswers).toHaveLength(answered);
    expect(at.github.asked.slice(before).filter((line) => line.startsWith('POST ') && !line.endsWith('/access_tokens'))).toEqual([]);
    expect(await deploymentsOf('asked_elsewhere')).toEqual([]);
  });

  test('whose commit is a fork’s is asked of no database', async () => {
    const { run, payload } = ask(bundle('asked_by_fork'), { fork: true });
    expect(await settle(at, 'deployment_protection_rule', payload)).toMatchObject({ finding: 'stale', deployment: null });
    expect(answersOf(run)).toEqual([]);
  });

  test('is none of a deployment’s, though nobody signs what it is called', async () => {
    const { payload } = ask(bundle('asked_otherwise'));
    expect((await send(at, 'deployment', { ...payload, action: 'created' })).status).toBe(422);
    expect((await send(at, 'deployment_protection_rule', at.github.deployment(Number((payload.deployment as { id: number }).id)))).status).toBe(422);
  });
});
