/** The command line straight to a real database, through the relay where the network has to break. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../src/dev/ports.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { deploymentSchema } from '../../src/domain/deployment.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { bundleFile, makeFolder, putFiles } from './folder.ts';
import { type Run, type RunOptions, run } from './run.ts';

let database: TestDatabase;
let relay: Relay | undefined;

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(async () => {
  await relay?.stop();
  relay = undefined;
  await database.drop();
});

function weft(argv: string[], options: Omit<RunOptions, 'env'> = {}, url = database.url): Promise<Run> {
  return run(argv, { ...options, env: { DATABASE_URL: url } });
}

/** The database's address through a relay. */
async function throughRelay(): Promise<string> {
  const url = new URL(database.url);
  relay = await startRelay({ to: { host: url.hostname, port: Number(url.port) } });
  url.port = String(relay.tcpPort);
  return url.href;
}

/** Waits until the database says so. */
async function until(condition: string): Promise<void> {
  const isMet = async () => (await sql(database.url, `select (${condition}) as met`).catch(() => [{ met: false }]))[0].met;
  await expect.poll(isMet, { timeout: 20_000 }).toBe(true);
}

const AT_WORK = `exists (select from pg_stat_activity where datname = current_database() and query ~ '^call weft.run' and wait_event = 'PgSleep')`;

describe('weft deploy, straight to a database', () => {
  it('deploys a folder, shows it line by line, and ends with 0', async () => {
    const folder = makeFolder({ '1.sql': 'create table a (n int);', '2.sql': 'insert into a values (1), (2);' });
    const { code, stdout, stderr } = await weft(['deploy', folder]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Done\. shop is deployed, in /);
    expect(stdout).toMatch(/main {2}auto {2}committed: 2 steps/);
    expect(stdout + stderr).not.toContain('\u001b');
    expect(stderr).toMatch(/2\/2 main: 2\.sql: done/);
    expect(await sql(database.url, 'select sum(n)::int as sum from a')).toEqual([{ sum: 3 }]);
  });

  it('prints one document with --json, and words to stderr only', async () => {
    const result = await weft(['deploy', makeFolder({ '1.sql': 'create table a (n int);' }), '--json']);
    expect(result.code).toBe(0);
    const deployment = deploymentSchema.parse(result.json());
    expect(deployment).toMatchObject({ state: 'succeeded', bundle: 'shop', target: null, caller: 'direct' });
    expect(deployment.phases[0]?.steps[0]).toMatchObject({ path: '1.sql', kind: 'run', state: 'succeeded' });
    expect(result.stderr).toContain('Done.');
  });

  it('takes a second deploy with the same id for the same deployment', async () => {
    const folder = makeFolder({ '1.sql': 'create table a (n int);' });
    const one = await weft(['deploy', folder, '--id', 'run-1', '--json']);
    const two = await weft(['deploy', folder, '--id', 'run-1', '--json']);
    expect(two.code).toBe(0);
    expect(two.json().id).toBe(one.json().id);
    putFiles(folder, { '2.sql': 'select 1;' });
    const other = await weft(['deploy', folder, '--id', 'run-1', '--json']);
    expect(other.code).toBe(2);
    expect(other.json().problem.type).toBe('urn:weft:problem:id_conflict');
  });

  it('with the id of one that did not succeed answers with that end, and says that another id is needed to try it again', async () => {
    const words = /\n\nTo try it again, give another --id: with --id run-1 this end is the answer, and nothing runs\.\n$/;
    const folder = makeFolder({ '1.sql': 'select 1/0;' });
    const one = await weft(['deploy', folder, '--id', 'run-1']);
    expect(one).toMatchObject({ code: 1, stdout: expect.stringMatching(words) });
    const two = await weft(['deploy', folder, '--id', 'run-1']);
    expect(two).toMatchObject({ code: 1, stdout: expect.stringMatching(words) });
    expect(await sql(database.url, 'select count(*)::int as n from weft.deployments')).toEqual([{ n: 1 }]);
    const other = await weft(['deploy', folder]);
    expect(other.stdout, 'its id is no other one’s').not.toContain('--id');
  });

  it('says what failed, where, and what the database looks like now, and ends with 1', async () => {
    const folder = makeFolder({
      'weft.yaml': bundleFile('single'),
      '1.sql': 'create table a (n int not null);',
      '2.sql': 'select 1;\n\ninsert into a\n  values (null);',
    });
    const { code, stdout } = await weft(['deploy', folder]);
    expect(code).toBe(1);
    expect(stdout).toContain('Failed. shop stopped');
    expect(stdout).toContain('2.sql:3  in phase main\n  | insert into a\n  |   values (null)');
    expect(stdout).toMatch(/23502: null value in column "n"/);
    expect(stdout).toContain('rolled back as a whole: nothing of it is left (2 steps)');
    expect(stdout).toContain('Next: repair the data (or correct 2.sql) and deploy again');
    const result = await weft(['deploy', folder, '--json']);
    expect(result.code).toBe(1);
    expect(result.json().error).toMatchObject({ sqlstate: '23502', path: '2.sql', line: 3 });
    expect(await sql(database.url, "select to_regclass('a') as a")).toEqual([{ a: null }]);
  });

  it('attaches again when the connection is lost, and every effect is there once', async () => {
    const url = await throughRelay();
    const folder = makeFolder({
      'weft.yaml': bundleFile('per-step'),
      '1.sql': 'create table a (n int);',
      '2.sql': 'insert into a values (1); select pg_sleep(3);',
      '3.sql': 'insert into a values (3);',
    });
    const running = weft(['deploy', folder, '--json'], {}, url);
    await until(AT_WORK);
    relay?.cutAll();
    const result = await running;
    expect(result.code).toBe(0);
    expect(result.json().state).toBe('succeeded');
    expect(await sql(database.url, 'select n from a order by n')).toEqual([{ n: 1 }, { n: 3 }]);
    expect(await sql(database.url, 'select count(*)::int as count from weft.deployments')).toEqual([{ count: 1 }]);
  });

  it('goes on with an upload that was cut', async () => {
    const url = await throughRelay();
    const lines = () => Array.from({ length: 12_000 }, () => `-- ${randomBytes(40).toString('hex')}\n`).join('');
    const folder = makeFolder(Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`${10 + n}.sql`, `create table a_${n} (n int);\n${lines()}`])));
    const cut = relay?.plan({ direction: 'to-server', afterMessages: 40, how: 'reset' });
    const result = await weft(['deploy', folder, '--json'], {}, url);
    expect((await cut?.fired)?.toServer.bytes).toBeGreaterThan(1024 * 1024);
    expect(result.code).toBe(0);
    expect(result.stderr).toContain('Trying again');
    expect(await sql(database.url, 'select count(*)::int as count from weft.deployments')).toEqual([{ count: 1 }]);
  });

  it('leaves on Ctrl-C with 3 and the words that it goes on; resume attaches again', async () => {
    const folder = makeFolder({
      'weft.yaml': bundleFile('per-step'),
      '1.sql': 'create table a (n int);',
      '2.sql': 'insert into a values (1); select pg_sleep(3);',
    });
    const leave = new AbortController();
    const seen = Promise.withResolvers<void>();
    const running = weft(['deploy', folder, '--json'], { signal: leave.signal, onStderr: (text) => text.includes('2.sql: at work') && seen.resolve() });
    await seen.promise;
    leave.abort();
    const result = await running;
    expect(result.code).toBe(3);
    const { problem } = result.json();
    expect(problem).toMatchObject({ type: 'urn:weft:problem:interrupted', deployment: expect.any(String) });
    expect(problem.detail).toContain(`weft resume ${problem.deployment}`);
    await until(`${AT_WORK} or exists (select from weft.deployments where state = 'succeeded')`);

    const resumed = await weft(['resume', problem.deployment, '--json']);
    expect(resumed.code).toBe(0);
    expect(resumed.json()).toMatchObject({ id: problem.deployment, state: 'succeeded' });
    expect(await sql(database.url, 'select n from a')).toEqual([{ n: 1 }]);
  });

  it('leaves a statement that was handed out to the server, which finishes that one and nothing behind it; resume goes on', async () => {
    const folder = makeFolder({
      'weft.yaml': 'name: shop\nphases:\n  - { name: lane, transaction: none, steps: [{ run: "*.sql" }] }\n',
      '1.sql': 'create table a (x int, y int);\ncreate index concurrently a_x on a (x);\ncreate index concurrently a_y on a (y);',
    });
    const other = await database.client();
    await other.query('begin isolation level repeatable read; select 1');
    const leave = new AbortController();
    const seen = Promise.withResolvers<void>();
    const running = weft(['deploy', folder, '--json'], {
      signal: leave.signal,
      onStderr: (text) => text.includes('waiting for old snapshots') && seen.resolve(),
    });
    await seen.promise;
    const [{ pid }] = await sql(database.url, 'select pid from pg_stat_progress_create_index where datname = current_database()');
    leave.abort();
    const { problem } = (await running).json();
    expect(problem.detail).toContain(`Left. Backend ${pid} finishes the statement that it was handed`);
    expect(problem.detail).toContain('(1.sql, line 2: create index concurrently a_x on a (x)), and then ends.');
    await other.query('commit');
    await until(`not exists (select from pg_stat_activity where pid = ${pid})`);
    expect(await sql(database.url, "select indexrelid::regclass::text as name, indisvalid from pg_index where indrelid = 'a'::regclass")).toEqual([
      { name: 'a_x', indisvalid: true },
    ]);
    expect(await sql(database.url, 'select state from weft.deployments')).toEqual([{ state: 'running' }]);
    expect((await weft(['resume', '--json'])).json()).toMatchObject({ id: problem.deployment, state: 'succeeded' });
    expect(await sql(database.url, "select count(*)::int as count from weft.events where kind = 'statement_sent'")).toEqual([{ count: 2 }]);
  });

  it('ends with 3 and the deployment as it is when the deadline comes first; resume without an id finishes it', async () => {
    const folder = makeFolder({ '1.sql': 'select pg_sleep(4);' });
    const result = await weft(['deploy', folder, '--deadline', '2', '--json']);
    expect(result.code).toBe(3);
    const resumed = await weft(['resume', '--json']);
    expect(resumed.code).toBe(0);
    expect(resumed.json().state).toBe('succeeded');
  });

  it('redraws on a terminal and ends with the summary', async () => {
    const { code, stdout, stderr } = await weft(['deploy', makeFolder({ '1.sql': 'select pg_sleep(2);' })], { isTTY: true });
    expect(code).toBe(0);
    expect(stderr).toContain('█░'.slice(1));
    expect(stderr).toContain('main: 1.sql');
    expect(stdout).toContain('Done.');
  });
});

describe('an address where nobody listens', () => {
  /** The address of the database, at a port that is closed until it is opened. */
  async function closedDoor(): Promise<{ url: string; open(): Promise<void> }> {
    const url = new URL(database.url);
    const to = { host: url.hostname, port: Number(url.port) };
    url.port = String(await freePort());
    return {
      url: url.href,
      open: async () => {
        relay = await startRelay({ to, tcpPort: Number(url.port) });
      },
    };
  }

  it.each([
    ['deploy', (folder: string) => ['deploy', folder]],
    ['plan', (folder: string) => ['plan', folder]],
  ])('is told soon by %s, and until when it is tried; it goes on when somebody does', async (_, argv) => {
    const door = await closedDoor();
    const said = Promise.withResolvers<void>();
    const folder = makeFolder({ '1.sql': 'select 1;' });
    const running = weft(argv(folder), { onStderr: (text) => text.includes('Trying until') && said.resolve() }, door.url);
    await said.promise;
    await door.open();
    const { code, stderr } = await running;
    expect(code).toBe(0);
    expect(stderr.match(/There is no connection yet: nobody listens at the address, or the database is waking\. Trying until \d\d:\d\d:\d\d\./g)).toHaveLength(
      1,
    );
  });
});

describe('weft resume with several to do', () => {
  it('shows the last in line, names those before it that did not come through, and exits by them', async () => {
    await weft(['install']);
    const stage = (name: string, files: Readonly<Record<string, string>>) =>
      stageFiles(database.url, { 'weft.yaml': `name: ${name}\nphases: [{ name: main, steps: [{ run: '*.sql' }] }]\n`, ...files });
    const first = await stage('fine', { '1.sql': 'create table a (n int)' });
    const second = await stage('broken', { '1.sql': 'select 1/0' });
    const third = await stage('last', { '1.sql': 'insert into a values (1)' });
    const resumed = await weft(['resume', '--json']);
    expect(resumed.json()).toMatchObject({
      id: third,
      state: 'succeeded',
      before_it: [
        { id: first, bundle: 'fine', state: 'succeeded' },
        { id: second, bundle: 'broken', state: 'failed' },
      ],
    });
    expect(resumed.stderr).toMatch(new RegExp(`Done\\. last is deployed[^]*\\n\\nBefore it, broken ended as failed, .*Z: weft status ${second}\\n$`));
    expect(resumed.code).toBe(1);
  });
});

describe('weft resume with nothing to do', () => {
  it('says that nothing was unfinished, and how the newest ended in one line; and ends with 0', async () => {
    await weft(['install']);
    expect(await weft(['resume'])).toMatchObject({ code: 0, stdout: 'Nothing is unfinished. There is no deployment yet.\n', stderr: '' });
    const { id } = (await weft(['deploy', makeFolder({ '1.sql': 'select 1/0;' }), '--json'])).json();
    const { code, stdout } = await weft(['resume']);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^Nothing is unfinished\\. The newest deployment, shop, ended as failed, .*Z: weft status ${id}\\n$`));
    expect((await weft(['resume', '--json'])).json()).toMatchObject({ unfinished: null, newest: { id, state: 'failed' } });
  });

  it('shows the end of the one that was named, and exits by it', async () => {
    const { id } = (await weft(['deploy', makeFolder({ '1.sql': 'select 1/0;' }), '--json'])).json();
    const { code, stdout } = await weft(['resume', id]);
    expect(code).toBe(1);
    expect(stdout).toContain('Failed.');
  });
});

describe('weft resume of a deployment that ended degraded', () => {
  it.each([
    ['by its id', true],
    ['the newest, without an id', false],
  ])('%s: tries again what failed, and ends by how that ends', async (_, isNamed) => {
    const file = 'name: shop\nphases:\n  - name: main\n    on_error: continue\n    steps: [{ run: "*.sql" }]\n';
    const folder = makeFolder({ 'weft.yaml': file, '1.sql': 'create table a (n int);', '2.sql': 'insert into b values (1);' });
    const first = await weft(['deploy', folder, '--strict', '--json']);
    expect(first).toMatchObject({ code: 1 });
    const { id } = first.json();
    const named = isNamed ? [id] : [];
    expect(await weft(['resume', ...named])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Degraded\./) });
    expect(await weft(['resume', ...named, '--strict'])).toMatchObject({ code: 1 });
    await sql(database.url, 'create table b (n int)');
    expect(await weft(['resume', ...named, '--strict'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Done\./) });
    expect(await sql(database.url, 'select n from b')).toEqual([{ n: 1 }]);
  });
});

describe('weft cancel', () => {
  it('stops what runs: cancel ends with 0, the deploy with 1', async () => {
    const folder = makeFolder({ 'weft.yaml': bundleFile('single'), '1.sql': 'create table a (n int);', '2.sql': 'select pg_sleep(30);' });
    const running = weft(['deploy', folder, '--json']);
    await until(AT_WORK);
    const [{ id }] = await sql(database.url, 'select id from weft.deployments');
    const cancelled = await weft(['cancel', id, '--json']);
    expect(cancelled.code).toBe(0);
    expect(cancelled.json().state).toBe('cancelled');
    const result = await running;
    expect(result.code).toBe(1);
    expect(result.json().state).toBe('cancelled');
    expect(await sql(database.url, "select to_regclass('a') as a")).toEqual([{ a: null }]);
  });

  it.each([
    ['succeeded', 'select 1;'],
    ['failed', 'select 1/0;'],
  ])('says so when it had ended before, as %s, and ends with 0: nothing was left to stop', async (state, content) => {
    const { id } = (await weft(['deploy', makeFolder({ '1.sql': content }), '--json'])).json();
    const { code, stdout } = await weft(['cancel', id]);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^Nothing was left to cancel: shop had ended before, as ${state}, .*\\. All of it: weft status ${id}\\n$`));
    const document = await weft(['cancel', id, '--json']);
    expect(document).toMatchObject({ code: 0, stderr: expect.stringContaining('Nothing was left to cancel') });
    expect(document.json()).toMatchObject({ id, state });
  });
});

describe('weft cancel, where somebody keeps what is half-made from being dropped', () => {
  const AT = (what: string) =>
    `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where a.wait_event_type = 'Lock' and a.query ~ '^${what} index')`;

  it('says what waits for whom and ends with 3; afterwards nothing is left, and that is said as well', async () => {
    await sql(database.url, 'create table big (n int); insert into big values (1)');
    const holder = await database.client();
    await holder.query('begin; update big set n = 2');
    const [{ who }] = (await holder.query(`select format('%s (role %s, idle in transaction', pg_backend_pid(), current_user) as who`)).rows;
    await holder.query('update big set n = 3');
    const at = 'update big set n = ?)';
    const running = weft(['deploy', makeFolder({ '1.sql': 'create index concurrently big_n on big (n);' })]);
    await until(AT('create'));
    const [{ id }] = await sql(database.url, 'select id from weft.deployments');

    const left = await weft(['cancel', id, '--deadline', '3']);
    expect(left.code).toBe(3);
    expect(left.stdout).toMatch(/^Cancelling\. shop goes no further\. 1\.sql:1 has left something half-made\. Backend \d+ is taking that away\.\n/);
    expect(left.stdout).toContain(`"drop index concurrently public.big_n" waits for Lock: virtualxid, held by backend ${who} for `);
    expect(left.stdout).toContain(`: ${at}.\nNext: once that session has ended`);
    expect(left.stdout).not.toContain('cleaned up');
    expect(left.stderr).toContain(
      `cancelling; waits for Lock: virtualxid, held by backend ${who}: ${at}; drop index concurrently public.big_n; taking away what 1.sql:1 has left half-made`,
    );
    const { stdout } = await weft(['status', id]);
    expect(stdout).toContain('Cancelling. shop goes no further.');
    expect(stdout).toMatch(/57014: Cancelled by role \w+\.\n/);
    expect((await weft(['status'])).stdout).toContain(`cancelling; waits for Lock: virtualxid, held by backend ${who}`);
    expect(await sql(database.url, `select kind from weft.events where kind in ('remains_being_dropped', 'leftover')`)).toEqual([
      { kind: 'remains_being_dropped' },
    ]);

    await holder.query('rollback');
    await holder.end();
    const ended = await running;
    expect(ended.code).toBe(1);
    expect(ended.stdout).toMatch(/^Cancelled\./);
    expect(ended.stdout).toContain('Nothing needs to be cleaned up.');
    const again = await weft(['cancel', id]);
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('Nothing needs to be cleaned up.') });
    expect(await sql(database.url, `select from pg_index where indrelid = 'big'::regclass`)).toEqual([]);
  });
});

describe('weft plan with an address', () => {
  it('says of a file of which a part is done where it goes on', async () => {
    const first = 'create table a (n int);\nvacuum a;\n';
    const folder = makeFolder({ '1.sql': `${first}creat table b ();` });
    expect((await weft(['deploy', folder])).code).toBe(1);
    expect((await weft(['plan', folder])).stdout).toMatch(/ 1 {2}run {2}1\.sql {2}\d+ B {2}goes on at statement 3\n/);
    putFiles(folder, { '1.sql': `${first.replace('a ', 'b ')}create table b ();` });
    const refused = await weft(['plan', folder]);
    expect(refused.code).toBe(2);
    expect(refused.stdout).toMatch(
      /B {2}refused: 2 statements of it are in the database\n\n1 file would be refused, and with it what comes behind\.\n1\.sql: Statement 1 of 1\.sql is in the database already/,
    );
    putFiles(folder, { '1.sql': `-- corrected\n${first}create table b ();` });
    expect((await weft(['plan', folder])).stdout).toMatch(/B {2}goes on at statement 3, line 4\n/);
    expect((await weft(['plan', folder, '--json'])).json().phases[0].steps[0]).toMatchObject({ verdict: 'new', statements_done: 2 });
    expect((await weft(['deploy', folder])).code).toBe(0);
    expect((await weft(['plan', folder, '--json'])).json().phases[0].steps[0]).toMatchObject({ verdict: 'applied', statements_done: 0 });
  });

  it('tells new files from applied ones, and refuses one that changed: with 2, where a deployment of it has failed, with 1', async () => {
    const folder = makeFolder({ '1.sql': 'create table a (n int);' });
    const before = (await weft(['plan', folder, '--json'])).json();
    expect(before.phases[0].steps[0].verdict).toBe('new');
    expect(await sql(database.url, "select to_regnamespace('weft') as weft")).toEqual([{ weft: null }]);

    expect((await weft(['deploy', folder])).code).toBe(0);
    putFiles(folder, { '2.sql': 'select 2;' });
    const plan = await weft(['plan', folder]);
    expect(plan.code).toBe(0);
    expect(plan.stdout).toContain('skip: applied  1.sql');
    expect(plan.stdout).toContain('1 of 2 steps would run.');

    putFiles(folder, { '1.sql': 'create table b (n int);' });
    const refused = await weft(['plan', folder, '--json']);
    expect(refused.code).toBe(2);
    expect(refused.json().refused).toEqual(['1.sql']);
    const failed = await weft(['deploy', folder, '--json']);
    expect(failed.code).toBe(1);
    expect(failed.json()).toMatchObject({ state: 'failed', error: { sqlstate: 'WF013', path: '1.sql' } });
  });
});

describe('reading, straight from a database', () => {
  it('lists deployments and history, and shows one', async () => {
    const { id } = (await weft(['deploy', makeFolder({ '1.sql': 'select 1;' }), '--json'])).json();
    expect((await weft(['status', '--json'])).json().deployments).toMatchObject([{ id, state: 'succeeded' }]);
    expect((await weft(['status'])).stdout).toContain(id);
    expect((await weft(['status', id])).stdout).toContain('Done.');
    expect((await weft(['history', '--json'])).json().history).toMatchObject([{ bundle: 'shop', path: '1.sql', deployment: id }]);
    expect((await weft(['history', 'other'])).stdout).toBe('Nothing of a bundle "other" is applied; "weft history" alone shows all.\n');
    await weft([
      'deploy',
      makeFolder({ 'weft.yaml': 'name: half\nphases: [{ name: main, transaction: none, steps: [{ run: "*.sql" }] }]', '1.sql': 'select 1;\nselect 1/0;' }),
    ]);
    expect((await weft(['history', 'half'])).stdout).toMatch(
      /^Nothing of a bundle "half" is applied; "weft history" alone shows all\.\n\nBegun, and not applied as a whole:\n20\S+ \S+ {2}half {2}1\.sql {2}[0-9a-f-]{36}\n {4}Statement 1 of 1\.sql stays in the database \(the 2nd, line 2, failed\)\. A corrected file goes on there, if what stands before is as it was, but for comments and white space; "weft plan" says whether it is\.\nIf what has run of one was taken back by hand, say so: weft forget FILE --why REASON\.\n$/,
    );
  });

  it('counts what is done or skipped, and names what failed', async () => {
    const folder = makeFolder({ '1.sql': 'select 1;', '2.sql': 'select 1/0;', '3.sql': 'select 3;' });
    await weft(['deploy', folder]);
    await weft(['deploy', folder]);
    const { stdout } = await weft(['status']);
    expect(stdout.trim().split('\n')).toEqual([
      expect.stringMatching(/failed +1\/3 +shop +failed: 2\.sql: 22012: division by zero$/),
      expect.stringMatching(/failed +1\/3 +shop +failed: 2\.sql: 22012: division by zero$/),
    ]);
  });

  it('refuses an id that is none, or that is unknown', async () => {
    expect((await weft(['status', 'nonsense'])).code).toBe(2);
    await weft(['install']);
    const unknown = await weft(['status', '0190a0de-0000-4000-8000-000000000001', '--json']);
    expect(unknown.code).toBe(2);
    expect(unknown.json().problem.type).toBe('urn:weft:problem:deployment_not_found');
  });

  it('says that the engine is not there', async () => {
    const result = await weft(['status', '--json']);
    expect(result.code).toBe(2);
    expect(result.json().problem.type).toBe('urn:weft:problem:engine_missing');
  });
});

describe('weft install', () => {
  it('installs the engine once', async () => {
    expect((await weft(['install', '--json'])).json()).toEqual({ version: expect.any(Number), changed: true });
    expect((await weft(['install'])).stdout).toContain('there already');
  });

  it('prints the SQL, and runs nothing', async () => {
    const { code, stdout } = await weft(['install', '--print']);
    expect(code).toBe(0);
    expect(stdout).toContain('begin;');
    expect(await sql(database.url, "select to_regnamespace('weft') as weft")).toEqual([{ weft: null }]);
    await sql(database.url, stdout);
    expect((await weft(['install', '--json'])).json().changed).toBe(false);
  });
});

describe('a connection string', () => {
  it('appears in no output, whatever happens', async () => {
    const url = new URL(database.url);
    const wrong = new URL(url);
    wrong.password = 'hunter22-hunter22';
    const nobody = new URL(url);
    nobody.port = '1';
    const folder = makeFolder({ '1.sql': 'select 1;' });
    for (const address of [url.href, wrong.href, nobody.href, 'postgres://role:hunter22-hunter22@', 'hunter22-hunter22']) {
      const deadline = ['--deadline', address === nobody.href ? '1' : '60'];
      for (const argv of [
        ['deploy', folder, ...deadline],
        ['deploy', folder, ...deadline, '--json'],
        ['plan', folder],
      ]) {
        if (address === nobody.href && argv[0] === 'plan') continue; // tries for half a minute
        const { code, stdout, stderr } = await weft(argv, {}, address);
        expect(code).toBe(address === url.href ? 0 : address === nobody.href ? 3 : 2);
        for (const secret of [address, 'hunter22', url.password, url.hostname]) expect(stdout + stderr).not.toContain(secret);
      }
    }
  });

  it('is taken from --database too', async () => {
    expect((await run(['install', '--database', database.url])).code).toBe(0);
  });
});
