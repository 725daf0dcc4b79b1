/**
 * The whole way: GitHub (a double that speaks its documented API) tells of a change, the Worker in workerd proves it, asks, fetches and deploys to a
 * real PostgreSQL, and GitHub's people are told how it went.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeArchive } from '../support/github.ts';
import { sql } from '../support/sql.ts';
import { type ForgeWorld, NEXT_SECRET, openForgeWorld, send, settle, triesOf } from './world.ts';

/** A bundle whose name and table belong to one test. */
const bundle = (name: string, files: Record<string, string> = {}) => ({
  'README.md': '# Not of the bundle\n',
  'src/app.sql': 'drop schema public cascade;\n',
  'db/shop/weft.yaml': `name: ${name}\nphases: [{ name: main, transaction: per-step, steps: [{ run: "*.sql" }] }]\n`,
  'db/shop/001_table.sql': `create table ${name} (n int primary key);\n`,
  ...Object.fromEntries(Object.entries(files).map(([path, content]) => [`db/shop/${path}`, content])),
});

let at: ForgeWorld;

const rows = (text: string) => sql(at.database.url, text);
const exists = async (table: string) => (await rows(`select to_regclass('public.${table}') is not null as is_there`))[0].is_there as boolean;
/** Nobody looks after an earlier deployment any more. @returns how many connections there have been */
async function quiet(): Promise<number> {
  for (let before = -1; before !== at.relay.connections.length; await new Promise((resolve) => setTimeout(resolve, 1500))) before = at.relay.connections.length;
  return at.relay.connections.length;
}
const deploymentsOf = (name: string) => rows(`select id, mode::text, state::text, caller from weft.deployments where bundle = '${name}' order by created_at`);

afterEach(() => {
  expect(at.github.faults).toEqual([]);
  const told = JSON.stringify([at.github.repository, at.lines]);
  for (const secret of [new URL(at.database.url).password, NEXT_SECRET, 'BEGIN', 'ghs_']) expect(told).not.toContain(secret);
});

describe('with an App and a queue', () => {
  beforeAll(async () => {
    at = await openForgeWorld();
  });
  afterAll(() => at.stop());

  test('a push is proved, queued, confirmed, fetched, deployed and told as a check run; the record says whose word it was', async () => {
    const commit = at.github.commit(bundle('pushed', { '002_rows.sql': 'insert into pushed values (1), (2);\n' }));
    const { status, document } = await send(at, 'push', at.github.push());
    expect([status, document]).toMatchObject([202, { outcome: 'accepted', deployments: [{ target: 'shop', folder: 'db/shop', commit, queued: true }] }]);
    await expect.poll(() => triesOf(at, document.delivery), { timeout: 30_000 }).toMatchObject([{ by: 'queue', finding: 'told', state: 'succeeded' }]);
    expect(await rows('select n from pushed order by n')).toEqual([{ n: 1 }, { n: 2 }]);
    expect(at.github.repository.checkRuns).toMatchObject([
      { head_sha: commit, name: 'weft: db/shop to shop', status: 'completed', conclusion: 'success', output: { title: 'pushed is deployed to shop' } },
    ]);
    const [row] = await rows(`select caller, mode, convert_from(request, 'UTF8')::jsonb -> 'source' as source, signature from weft._deployments`);
    expect(row).toMatchObject({
      caller: 'github',
      mode: 'apply',
      source: { forge: 'github', repository: '1296269', commit, folder: 'db/shop' },
      signature: { webhook_of: 'github', event: 'push', repository: 'octo/shop', body_sha256: document.delivery },
    });
    expect(row.signature.signature).toMatch(/^sha256=[0-9a-f]{64}$/);
  });

  test('the same webhook again, and another event of the same commit, are the same deployment', async () => {
    at.github.commit(bundle('twice'));
    const payload = at.github.push();
    await settle(at, 'push', payload);
    const again = await settle(at, 'push', payload);
    const other = await settle(at, 'push', { ...payload, forced: true });
    const [deployment, ...more] = await deploymentsOf('twice');
    expect([deployment, more]).toMatchObject([{ state: 'succeeded', mode: 'apply' }, []]);
    expect([again, other]).toMatchObject([
      { finding: 'told', deployment: deployment.id },
      { finding: 'told', deployment: deployment.id },
    ]);
    expect(at.github.repository.checkRuns.filter(({ output }) => output.title.startsWith('twice'))).toHaveLength(1);
  });

  test('a branch that is set back to an older commit is deployed again: what was deployed since does not stay', async () => {
    const view = (n: number) =>
      bundle('set_back', {
        'weft.yaml': 'name: set_back\nphases: [{ name: main, steps: [{ run: "*.sql", repeat: on-change }] }]\n',
        '001_table.sql': `create or replace view set_back as select ${n} as n;\n`,
      });
    const { branches } = at.github.repository;
    const commits = [at.github.commit(view(1)), at.github.commit(view(2))];
    const seen: string[] = [];
    for (const n of [1, 2, 1, 2, 1]) {
      branches.set('main', commits[n - 1] ?? '');
      const push = at.github.push();
      const { deployment } = await settle(at, 'push', push);
      expect(await rows('select n from set_back')).toEqual([{ n }]);
      // Sent again it is no new wish, and what it has brought is there.
      expect(await settle(at, 'push', push)).toMatchObject({ finding: 'told', deployment });
      expect(at.github.repository.checkRuns.find(({ head_sha }) => head_sha === commits[n - 1])).toMatchObject({ conclusion: 'success' });
      seen.push(deployment);
    }
    expect([new Set(seen).size, (await deploymentsOf('set_back')).length]).toEqual([5, 5]);
  });

  test('whatever a push says of what its branch was at before, the head is deployed once', async () => {
    at.github.commit(
      bundle('invented_before', {
        'weft.yaml': 'name: invented_before\nphases: [{ name: main, steps: [{ run: 001_table.sql }, { run: 002_rows.sql, repeat: always }] }]\n',
        '002_rows.sql': 'insert into invented_before select count(*) from invented_before;\n',
      }),
    );
    for (const digit of ['1', '2', '3']) await settle(at, 'push', { ...at.github.push(), before: digit.repeat(40) });
    expect(await rows('select n from invented_before')).toEqual([{ n: 0 }]);
    expect(await deploymentsOf('invented_before')).toHaveLength(1);
  });

  test('an old webhook, sent again by whoever has captured it, wakes no database and is told nowhere', async () => {
    const old = at.github.commit(bundle('captured'));
    const payload = at.github.push();
    at.github.commit(bundle('newer'));
    const [connections, asked] = [await quiet(), at.github.asked.length];
    expect(await settle(at, 'push', payload)).toMatchObject({ finding: 'stale', deployment: null });
    expect(at.relay.connections.length).toBe(connections);
    expect(at.github.asked.slice(asked).filter((line) => !line.startsWith('GET ') && !line.endsWith('/access_tokens'))).toEqual([]);
    expect(at.github.repository.checkRuns.filter(({ head_sha }) => head_sha === old)).toEqual([]);
  });

  test('a pull request is rehearsed, and told in one comment that is changed, not repeated, whoever else writes its mark', async () => {
    const { repository } = at.github;
    const first = at.github.commit(bundle('proposed'), 'feature');
    const head = { sha: first, repo: { id: repository.id } };
    repository.pulls.set(7, { state: 'open', head, base: { ref: 'main' } });
    repository.comments.push({ id: 1, issue: 7, user: { id: 99 }, performed_via_github_app: null, body: '<!-- weft rehearsal: db/shop to shop -->\nmine' });
    await settle(at, 'pull_request', at.github.pullRequest(7));
    expect(await exists('proposed')).toBe(false);
    expect(await deploymentsOf('proposed')).toMatchObject([{ mode: 'rehearse', state: 'succeeded', caller: 'github' }]);
    head.sha = at.github.commit(bundle('proposed', { '002_rows.sql': "insert into proposed values ('a');\n" }), 'feature');
    await settle(at, 'pull_request', at.github.pullRequest(7, 'synchronize'));
    const [foreign, ...own] = repository.comments;
    expect(foreign.body).toContain('mine');
    expect(own).toHaveLength(1);
    expect(own[0].body).toContain('proposed would fail at shop');
    expect(own[0].body).toContain('`db/shop/002_rows.sql`');
    expect(own[0].body).toContain(head.sha);
    expect(repository.checkRuns.filter(({ name }) => name === 'weft rehearsal: db/shop to shop')).toMatchObject([
      { head_sha: first, conclusion: 'success' },
      { head_sha: head.sha, conclusion: 'failure' },
    ]);
  });

  test('a pull request that is opened again is rehearsed anew, for what is there now; the same webhook twice is one rehearsal', async () => {
    const { repository } = at.github;
    const head = { sha: at.github.commit(bundle('reopened'), 'reopened'), repo: { id: repository.id } };
    repository.pulls.set(17, { state: 'open', head, base: { ref: 'main' } });
    await settle(at, 'pull_request', at.github.pullRequest(17));
    const payload = at.github.pullRequest(17, 'reopened') as { pull_request: object };
    const again = (updated_at: string) => settle(at, 'pull_request', { ...payload, pull_request: { ...payload.pull_request, updated_at } });
    await again('2026-11-29T15:00:00Z');
    await again('2026-11-29T15:00:00Z');
    expect(await deploymentsOf('reopened')).toHaveLength(2);
    await again('2026-11-29T16:00:00Z');
    expect(await deploymentsOf('reopened')).toMatchObject([{ mode: 'rehearse' }, { mode: 'rehearse' }, { mode: 'rehearse' }]);
  });

  test('what failed is told again in a check run of its own, whose remarks stand there once; and so is a success behind it', async () => {
    const sha = at.github.commit(bundle('remarked', { '002_rows.sql': 'insert into not_yet_there values (1);\n' }));
    const runs = () => at.github.repository.checkRuns.filter(({ head_sha }) => head_sha === sha);
    const remarks = () => runs().map(({ output }) => output.annotations?.length ?? 0);
    await settle(at, 'push', at.github.push());
    expect(remarks()).toEqual([1]);
    await settle(at, 'push', at.github.push());
    expect(remarks()).toEqual([1, 1]);
    await rows('create table not_yet_there (n int)');
    at.github.repository.deployments.push({ id: 4242, sha, ref: 'main', environment: 'production' });
    await settle(at, 'deployment', at.github.deployment(4242));
    expect([remarks(), runs().at(-1)?.conclusion]).toEqual([[1, 1, 0], 'success']);
  });

  test('nothing of a fork is fetched, and no other action of a pull request does anything', async () => {
    const sha = at.github.commit(bundle('forked'), 'of-a-fork');
    at.github.repository.pulls.set(8, { state: 'open', head: { sha, repo: { id: 666 } }, base: { ref: 'main' } });
    const asked = at.github.asked.length;
    expect(await send(at, 'pull_request', at.github.pullRequest(8))).toMatchObject({ status: 200, document: { outcome: 'ignored' } });
    expect(await send(at, 'pull_request', at.github.pullRequest(7, 'closed'))).toMatchObject({ status: 200, document: { outcome: 'ignored' } });
    expect(at.github.asked.length).toBe(asked);
  });

  test('whoever has the secret and invents something has nothing deployed: no branch leads to a fork, no other run counts, no job that waits is passed', async () => {
    const { repository, asked } = at.github;
    const sha = at.github.commit(bundle('invented'), 'invented');
    repository.pulls.set(5, { state: 'open', head: { sha, repo: { id: 666 } }, base: { ref: 'main' } });
    const [connections, before] = [await quiet(), asked.length];
    const push = { ref: 'refs/heads/release/../../pull/5/head', after: sha, repository: { id: repository.id, full_name: repository.name } };
    expect(await send(at, 'push', push)).toMatchObject({ status: 422 });
    expect(asked.length).toBe(before);
    const run = { id: 52, run_attempt: 1, head_sha: at.github.commit(bundle('invented'), 'release/9'), head_branch: 'release/9', event: 'push' };
    const green = { ...run, head_repository: { id: repository.id }, conclusion: 'success', path: '.github/workflows/lint.yml' };
    repository.runs.set(52, green);
    const said = at.github.workflowRun(52) as { workflow_run: object };
    for (const invented of [{ path: '.github/workflows/ci.yml' }, { path: '.github/workflows/ci.yml', run_attempt: 7 }])
      expect(await settle(at, 'workflow_run', { ...said, workflow_run: { ...green, ...invented } })).toMatchObject({ finding: 'stale' });
    repository.branches.delete('invented');
    repository.deployments.push({ id: 33, sha, ref: 'patch-1', environment: 'production' });
    expect(await settle(at, 'deployment', at.github.deployment(33))).toMatchObject({ finding: 'stale' });
    const main = at.github.commit(bundle('invented'));
    repository.deployments.push({ id: 34, sha: main, ref: 'main', environment: 'production' });
    repository.deploymentStatuses.push({ deployment: 34, state: 'waiting' });
    expect(await settle(at, 'deployment', at.github.deployment(34))).toMatchObject({ finding: 'stale' });
    repository.deploymentStatuses.length = 0;
    expect(at.relay.connections.length).toBe(connections);
    expect(await exists('invented')).toBe(false);
  });

  test('a deployment that GitHub has made for a job is none that somebody asked for', async () => {
    const sha = at.github.commit(bundle('of_a_job'));
    at.github.repository.deployments.push({ id: 35, sha, ref: 'main', environment: 'production' });
    const payload = { ...at.github.deployment(35), workflow: { id: 1 }, workflow_run: { id: 99, event: 'pull_request', head_repository: { id: 666 } } };
    const { status, document } = await send(at, 'deployment', payload);
    expect([status, document.outcome, document.reason]).toEqual([200, 'ignored', expect.stringContaining('belongs to a job')]);
  });

  test('a pull request that has become one of a fork since, or is closed, is not rehearsed', async () => {
    const { repository } = at.github;
    const sha = at.github.commit(bundle('turned'), 'turned');
    const pull = { state: 'open', head: { sha, repo: { id: repository.id } }, base: { ref: 'main' } };
    repository.pulls.set(9, pull);
    const payload = at.github.pullRequest(9);
    repository.pulls.set(9, { ...pull, head: { sha, repo: { id: 666 } } });
    expect(await settle(at, 'pull_request', payload)).toMatchObject({ finding: 'stale' });
    repository.pulls.set(9, { ...pull, state: 'closed' });
    expect(await settle(at, 'pull_request', payload)).toMatchObject({ finding: 'stale' });
  });

  test('a deployment that somebody asks for at GitHub has its status; the same commit asked for again is another one', async () => {
    const { repository } = at.github;
    const sha = at.github.commit(bundle('asked_for'));
    for (const id of [31, 32]) {
      repository.deployments.push({ id, sha, ref: 'main', environment: 'production' });
      await settle(at, 'deployment', at.github.deployment(id));
    }
    expect(repository.deploymentStatuses.map(({ deployment, state }) => [deployment, state])).toEqual([
      [31, 'in_progress'],
      [31, 'success'],
      [32, 'in_progress'],
      [32, 'success'],
    ]);
    expect(await deploymentsOf('asked_for')).toHaveLength(2);
    expect(await settle(at, 'deployment', at.github.deployment(31))).toMatchObject({ finding: 'stale' }); // no longer the newest
  });

  test('a workflow that has succeeded deploys the head of its branch; a failed one, one of a fork and one of another file do not', async () => {
    const { repository } = at.github;
    const sha = at.github.commit(bundle('built'), 'release/1.0');
    const run = {
      id: 51,
      run_attempt: 1,
      head_sha: sha,
      head_branch: 'release/1.0',
      head_repository: { id: repository.id },
      event: 'push',
      status: 'completed',
      conclusion: 'success',
      path: '.github/workflows/ci.yml@refs/heads/release/1.0',
    };
    for (const change of [{ conclusion: 'failure' }, { head_repository: { id: 666 } }, { event: 'pull_request' }, { path: '.github/workflows/other.yml' }]) {
      repository.runs.set(51, { ...run, ...change });
      expect(await send(at, 'workflow_run', at.github.workflowRun(51))).toMatchObject({ status: 200, document: { outcome: 'ignored' } });
    }
    repository.runs.set(51, run);
    expect(await settle(at, 'workflow_run', at.github.workflowRun(51))).toMatchObject({ finding: 'told', state: 'succeeded' });
    expect(await exists('built')).toBe(true);
  });

  test('an error is told at its line of the file in the repository, without what stands in rows and without where the database is', async () => {
    const { repository } = at.github;
    const commit = at.github.commit(
      bundle('failing', { '002_rows.sql': 'insert into failing values (1);\n\ninsert into failing\n  values (471142), (471142);\n' }),
    );
    expect(await settle(at, 'push', at.github.push())).toMatchObject({ finding: 'told', state: 'failed' });
    const run = repository.checkRuns.find(({ head_sha }) => head_sha === commit);
    expect(run).toMatchObject({ conclusion: 'failure', output: { title: 'failing failed at shop' } });
    expect(run.output.annotations).toMatchObject([{ path: 'db/shop/002_rows.sql', start_line: 3, annotation_level: 'failure' }]);
    expect(run.output.annotations[0].message).toContain('23505');
    expect(JSON.stringify(run)).not.toContain('471142');
    expect(JSON.stringify(run)).not.toContain('127.0.0.1');
  });

  test('a bundle that is wrong is told at its line, and wakes no database', async () => {
    const { repository } = at.github;
    const wrong: [Record<string, string | { link: string }>, object, string][] = [
      [{ ...bundle('wrong'), 'db/shop/weft.yaml': 'name: wrong\nphases:\n  - nam: main\n' }, { path: 'db/shop/weft.yaml', start_line: 3 }, 'nam'],
      [{ ...bundle('wrong'), 'db/shop/003.sql': { link: '../../src/app.sql' } }, { path: 'db/shop/003.sql', start_line: 1 }, 'a symbolic link'],
      [{ 'README.md': 'no such folder' }, { path: 'db/shop/db/shop', start_line: 1 }, 'There is no folder'],
    ];
    const connections = await quiet();
    for (const [files, annotation, words] of wrong) {
      const commit = at.github.commit(files);
      expect(await settle(at, 'push', at.github.push())).toMatchObject({ finding: 'told', deployment: null });
      const run = repository.checkRuns.find(({ head_sha }) => head_sha === commit);
      expect(run, words).toMatchObject({ conclusion: 'failure', output: { annotations: [annotation] } });
      expect(run.output.summary).toContain(words);
      expect(at.relay.connections.length).toBe(connections);
    }
  });

  test('a forge that does not answer, or takes no more requests for now, is asked again by the queue', async () => {
    at.github.commit(bundle('patient'));
    at.github.fail({ path: /\/git\/ref\//, status: 502 });
    at.github.fail({ path: /\/tarball\//, status: 503 });
    at.github.fail({ path: /\/tarball\//, status: 403, headers: { 'retry-after': '1' } });
    const last = await settle(at, 'push', at.github.push());
    expect(last).toMatchObject({ finding: 'told', state: 'succeeded' });
    expect(triesOf(at, last.delivery).map(({ finding }) => finding)).toEqual(['unreachable', 'unreachable', 'unreachable', 'told']);
  });

  test('a report that fails does not fail the deployment, is made later, and wakes no database for it', async () => {
    const commit = at.github.commit(bundle('untold'));
    at.github.fail({ method: 'POST', path: /\/check-runs/, status: 500 });
    at.github.fail({ method: 'GET', path: /\/check-runs/, status: 500, times: 2 });
    const { document } = await send(at, 'push', at.github.push());
    await expect.poll(() => triesOf(at, document.delivery).at(0)?.finding, { timeout: 30_000 }).toBe('untold');
    expect(await exists('untold')).toBe(true);
    await expect.poll(() => triesOf(at, document.delivery).at(-1)?.finding, { timeout: 30_000 }).toBe('told');
    expect(at.github.repository.checkRuns.find(({ head_sha }) => head_sha === commit)).toMatchObject({ conclusion: 'success' });
  });

  test('an archive is fetched from nowhere but where the configuration says, and never with what proves Weft', async () => {
    const { github } = at;
    const places = [
      'http://127.0.0.1:9/x',
      'http://169.254.169.254/latest',
      'http://evil@127.0.0.1/',
      'file:///etc/passwd',
      github.archives.replace('127.0.0.1', 'localhost'),
    ];
    for (const place of places) {
      const commit = github.commit(bundle('led_astray'));
      github.archiveLocation = place;
      expect(await settle(at, 'push', github.push())).toMatchObject({ finding: 'told', deployment: null });
      github.archiveLocation = null;
      const run = github.repository.checkRuns.find(({ head_sha }) => head_sha === commit);
      expect(run.output.title, place).toBe('The forge refused a request of Weft.');
    }
    expect(await exists('led_astray')).toBe(false);
  });

  test('an archive that leaves a file out, or has other bytes of it, as .gitattributes may say, is not deployed', async () => {
    const { github } = at;
    const { name } = github.repository;
    for (const [without, words] of [
      [(files: Record<string, string>) => ({ ...files, 'db/shop/002_more.sql': undefined }), 'lacks "db/shop/002_more.sql"'],
      [(files: Record<string, string>) => ({ ...files, 'db/shop/002_more.sql': 'select 22222;' }), 'another "db/shop/002_more.sql"'],
    ] as const) {
      const files = { 'db/shop/001_first.sql': 'create table left_out (n int);', 'db/shop/002_more.sql': 'select 2;', 'db/shop/.hidden': 'no matter' };
      const commit = github.commit(files);
      github.archiveBytes = makeArchive(name, commit, JSON.parse(JSON.stringify(without(files))));
      expect(await settle(at, 'push', github.push())).toMatchObject({ finding: 'told', deployment: null });
      github.archiveBytes = null;
      const { output } = github.repository.checkRuns.find(({ head_sha }) => head_sha === commit);
      expect([output.title, output.summary]).toEqual(['The bundle is not valid.', expect.stringContaining(words)]);
      expect(output.summary).toContain('export-');
    }
    expect(await exists('left_out')).toBe(false);
  });

  test('a bundle that is too large to be held is fetched twice, and what arrived is what was described', async () => {
    const line = (index: number) => `insert into large values (${index}); -- ${'x'.repeat(500)} ${Math.sin(index)}\n`;
    const text = (from: number) => Array.from({ length: 8500 }, (_, index) => line(from + index)).join('');
    at.github.commit(bundle('large', { '002_rows.sql': text(0), '003_rows.sql': text(8500) }));
    const asked = at.github.asked.length;
    expect(await settle(at, 'push', at.github.push())).toMatchObject({ finding: 'told', state: 'succeeded' });
    expect(at.github.asked.slice(asked).filter((one) => one.startsWith('archive '))).toHaveLength(2);
    expect(await rows('select count(*)::int as count from large')).toEqual([{ count: 17_000 }]);
  }, 60_000);

  test('an archive of another commit is refused', async () => {
    const { github } = at;
    const other = github.commit(bundle('other_commit'));
    const commit = github.commit(bundle('this_commit'));
    github.archiveBytes = makeArchive(github.repository.name, other, github.repository.commits.get(other) ?? {});
    expect(await settle(at, 'push', github.push())).toMatchObject({ finding: 'told', deployment: null });
    github.archiveBytes = null;
    expect(github.repository.checkRuns.find(({ head_sha }) => head_sha === commit).output.summary).toContain(`it is of commit ${other}`);
  });

  test('a push under the name that the repository had before is deployed all the same', async () => {
    const { repository } = at.github;
    const commit = at.github.commit(bundle('of_old_name'));
    const payload = at.github.push();
    repository.formerNames.push(repository.name);
    repository.name = 'octo/store';
    expect(await settle(at, 'push', payload)).toMatchObject({ finding: 'told', state: 'succeeded' });
    expect(repository.checkRuns.find(({ head_sha }) => head_sha === commit)).toMatchObject({ conclusion: 'success' });
  });

  test('the name of a repository that belongs to another one now is not asked further', async () => {
    const { github } = at;
    github.commit(bundle('renamed'));
    const payload = github.push();
    (github.repository as { id: number }).id = 777;
    const last = await settle(at, 'push', payload);
    (github.repository as { id: number }).id = 1296269;
    expect(last).toMatchObject({ deployment: null, finding: 'untold' }); // GitHub gives no token for it
    expect(await exists('renamed')).toBe(false);
  });

  test('what is not proved is answered with 401, and nobody is asked', async () => {
    const asked = at.github.asked.length;
    expect(await send(at, 'push', at.github.push(), 'another-secret-altogether')).toMatchObject({ status: 401 });
    expect(at.github.asked.length).toBe(asked);
    expect(await send(at, 'ping', { zen: 'Design for failure.', hook_id: 1 }, NEXT_SECRET)).toMatchObject({ status: 200, document: { outcome: 'ignored' } });
  });
});

describe('with a token and no queue', () => {
  beforeAll(async () => {
    at = await openForgeWorld({ queue: false, by: 'token' });
  });
  afterAll(() => at.stop());

  test('a push is taken up at once, which the answer says, and told as a commit status', async () => {
    const commit = at.github.commit(bundle('at_once'));
    const { status, document } = await send(at, 'push', at.github.push());
    expect([status, document]).toMatchObject([202, { outcome: 'accepted', deployments: [{ queued: false }] }]);
    await expect.poll(() => triesOf(at, document.delivery), { timeout: 30_000 }).toMatchObject([{ by: 'request', finding: 'told', state: 'succeeded' }]);
    expect(at.github.repository.statuses).toMatchObject([
      { sha: commit, state: 'pending', context: 'weft: db/shop to shop' },
      { sha: commit, state: 'success', description: 'at_once is deployed to shop' },
    ]);
    expect(at.github.repository.checkRuns).toEqual([]);
  });

  test('its own comment is found by who owns the token', async () => {
    const { repository } = at.github;
    const head = { sha: at.github.commit(bundle('commented'), 'feature'), repo: { id: repository.id } };
    repository.pulls.set(7, { state: 'open', head, base: { ref: 'main' } });
    for (const action of ['opened', 'reopened']) {
      const { document } = await send(at, 'pull_request', at.github.pullRequest(7, action));
      await expect.poll(() => triesOf(at, document.delivery).at(-1)?.finding, { timeout: 30_000 }).toBe('told');
    }
    expect(repository.comments).toHaveLength(1);
  });
});
