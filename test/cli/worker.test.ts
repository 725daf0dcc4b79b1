/** The command line through a Worker in workerd, with a port between the two whose connections can be cut. */
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ANSWER_MS } from '../../src/cli/remote_readings.ts';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { deploymentSchema } from '../../src/domain/deployment.ts';
import { makeReadToken } from '../../src/trust/read_token.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { type Cutter, startCutter } from './cutter.ts';
import { makeFolder } from './folder.ts';
import { type Run, type RunOptions, run } from './run.ts';

const SECRET = generateSecret();
const DEPLOYERS_SECRET = generateSecret();

let database: TestDatabase;
let relay: Relay;
let proxy: Cutter;
let worker: LocalWorker;

beforeAll(async () => {
  database = await emptyDatabase();
  const url = new URL(database.url);
  relay = await startRelay({ to: { host: url.hostname, port: Number(url.port) } });
  proxy = await startCutter();
  await startOurWorker();
});

afterAll(async () => {
  await proxy?.stop();
  await worker?.stop();
  await relay?.stop();
  await database?.drop();
});

afterEach(() => {
  proxy.cutWhen = () => false;
  proxy.cutAnswerWhen = () => false;
});

async function startOurWorker(): Promise<void> {
  worker = await startWorker({
    config: {
      origin: proxy.origin,
      targets: { shop: { database: 'SHOP_URL', transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true } },
      callers: { ci: { secrets: ['CI_SECRET'] }, deployer: { secrets: ['DEPLOYERS_SECRET'] } },
      grants: [
        { caller: 'ci', targets: ['shop'], actions: ['deploy', 'resume', 'cancel', 'read'] },
        { caller: 'deployer', targets: ['shop'], actions: ['deploy'] },
      ],
    },
    secrets: { SHOP_URL: database.url, CI_SECRET: SECRET, DEPLOYERS_SECRET },
  });
  proxy.port = Number(new URL(worker.origin).port);
}

function weft(argv: string[], env: Record<string, string | undefined> = {}, options: RunOptions = {}): Promise<Run> {
  return run(argv, { ...options, env: { WEFT_URL: proxy.origin, WEFT_TARGET: 'shop', WEFT_CALLER: 'ci', WEFT_SECRET: SECRET, ...env } });
}

/** A folder whose files have names of their own, so that the history of one test is none of another's. */
function makeBundle(name: string, statements: readonly string[], transaction = 'per-step'): string {
  const files = Object.fromEntries(statements.map((statement, index) => [`${index + 1}.sql`, statement]));
  return makeFolder({ 'weft.yaml': `name: ${name}\nphases:\n  - name: main\n    transaction: ${transaction}\n    steps: [{ run: "*.sql" }]\n`, ...files });
}

async function until(condition: string): Promise<void> {
  const isMet = async () => (await sql(database.url, `select (${condition}) as met`).catch(() => [{ met: false }]))[0].met;
  await expect.poll(isMet, { timeout: 20_000 }).toBe(true);
}

function countDeployments(bundle: string): Promise<{ count: number }[]> {
  return sql(database.url, 'select count(*)::int as count from weft.deployments where bundle = $1', [bundle]);
}

/** Whether a backend is at work on this file of a bundle's deployment. */
function isAt(path: string, bundle: string): string {
  return `exists (select from weft.deployments as d where d.bundle = '${bundle}' and weft.status(d.id) -> 'live' ->> 'path' = '${path}')`;
}

describe('weft deploy, through a Worker', () => {
  it('deploys a folder with one document on stdout, and ends with 0', async () => {
    const result = await weft(['deploy', makeBundle('plain', ['create table plain (n int);', 'insert into plain values (1);']), '--json']);
    expect(result.code).toBe(0);
    expect(deploymentSchema.parse(result.json())).toMatchObject({ state: 'succeeded', bundle: 'plain', target: 'shop', caller: 'ci' });
    expect(await sql(database.url, 'select n from plain')).toEqual([{ n: 1 }]);
  });

  it('and a receipt of it can be had, to the byte; who sends the same request again gets the first one’s', async () => {
    const words = ['deploy', makeBundle('receipted', ['create table receipted (n int);']), '--id', 'receipted-1', '--json'];
    const first = (await weft(words)).json();
    const { code, stdout } = await weft(['receipt', first.id, '--json']);
    expect(code).toBe(0);
    expect(await sql(database.url, `select document, sha256 from weft.receipts where deployment_id = '${first.id}'`)).toEqual([
      { document: stdout, sha256: first.receipt.sha256 },
    ]);
    const second = (await weft(words)).json();
    expect([second.id, second.receipt]).toEqual([first.id, first.receipt]);
    expect((await weft(['receipt', first.id, '--json'])).stdout).toBe(stdout);
    expect((await weft(['receipt', first.id, '--number', '2'])).code).toBe(2);
  });

  it('whoever asks for its receipt gets the same bytes: over HTTP, by the command line either way in, in SQL from any session; also when the journal has gone', async () => {
    const broken = makeBundle('asked', [
      'create table asked (at timestamptz default now(), word text);',
      "insert into asked (word) values ('ä \\ €'); select 1/0;",
    ]);
    const { id, receipt } = (await weft(['deploy', broken, '--json'])).json();
    expect(receipt.number).toBe(1);
    const token = await makeReadToken({ caller: 'ci', target: 'shop', expires: Math.floor(Date.now() / 1000) + 60 }, SECRET);
    const overHttp = async (): Promise<string> => {
      const answer = await fetch(`${proxy.origin}/v1/targets/shop/deployments/${id}/receipt`, { headers: { authorization: `Bearer ${token}` } });
      expect(answer.headers.get('etag')).toBe(`"${receipt.sha256}"`);
      return answer.text();
    };
    const inSql = async (settings: string): Promise<string> => {
      const client = new pg.Client({ connectionString: database.url, options: settings });
      await client.connect();
      return (await client.query('select weft.receipt($1) as bytes', [id]).finally(() => client.end())).rows[0].bytes;
    };
    const asked = async (): Promise<string[]> => [
      await overHttp(),
      (await weft(['receipt', id, '--json'])).stdout,
      (await weft(['receipt', id, '--json', '--number', '1'])).stdout,
      (await run(['receipt', id, '--json'], { env: { DATABASE_URL: database.url } })).stdout,
      await inSql(''),
      await inSql(
        '-c timezone=Asia/Tokyo -c datestyle=german -c intervalstyle=iso_8601 -c extra_float_digits=-3 -c bytea_output=escape -c search_path=weft,public',
      ),
    ];
    const before = await asked();
    await sql(database.url, `delete from weft._events where deployment_id = '${id}'`);
    for (const bytes of [...before, ...(await asked())]) expect(createHash('sha256').update(bytes).digest('hex')).toBe(receipt.sha256);
    expect(JSON.parse(before[0] ?? '')).toMatchObject({ id, state: 'failed', caller: 'ci', target: 'shop', error: { sqlstate: '22012' } });
  });

  it('takes address and target from options, before the environment', async () => {
    const folder = makeBundle('options', ['select 1;']);
    const { code, stdout } = await weft(['deploy', folder, '--to', proxy.origin, '--target', 'shop'], {
      WEFT_URL: undefined,
      WEFT_TARGET: 'elsewhere',
      DATABASE_URL: 'postgres://x',
    });
    expect(code).toBe(0);
    expect(stdout).toContain('Done.');
  });

  it('says what failed and where, and ends with 1', async () => {
    const { code, stdout } = await weft(['deploy', makeBundle('failing', ['create table f (n int);', 'select 1 / 0;'], 'single')]);
    expect(code).toBe(1);
    expect(stdout).toContain('22012: division by zero');
    expect(stdout).toContain('rolled back as a whole');
  });

  it('asks first what is missing when the bundle is large, and sends only that', async () => {
    const lines = () => Array.from({ length: 12_000 }, () => `-- ${randomBytes(40).toString('hex')}\n`).join('');
    const files = Array.from({ length: 9 }, (_, n) => `create table large_${n} (n int);\n${lines()}`);
    const first = await weft(['deploy', makeBundle('large', files)]);
    expect(first.code).toBe(0);
    let sentBytes = 0;
    proxy.cutWhen = (bytes) => {
      sentBytes += bytes.length;
      return false;
    };
    const second = await weft([
      'deploy',
      makeBundle(
        'large-again',
        files.map((text, n) => (n === 0 ? 'select 1;' : text)),
      ),
    ]);
    expect(second.code).toBe(1); // its tables are there already; its bytes were, too
    expect(sentBytes).toBeLessThan(1024 * 1024);
  });

  it('knocks again when the answer to the first request is lost: one deployment', async () => {
    let cuts = 0;
    proxy.cutAnswerWhen = (bytes) => {
      if (cuts >= 2 || !bytes.includes('HTTP/1.1 202')) return false;
      cuts += 1;
      return true;
    };
    const result = await weft(['deploy', makeBundle('knock', ['create table knock (n int);', 'insert into knock values (1); select pg_sleep(1);']), '--json']);
    expect(cuts).toBe(2);
    expect(result.code).toBe(0);
    expect(await countDeployments('knock')).toEqual([{ count: 1 }]);
    expect(await sql(database.url, 'select n from knock')).toEqual([{ n: 1 }]);
  });

  it('attaches again when the connection is lost while it follows', async () => {
    const running = weft(['deploy', makeBundle('follow', ['create table follow (n int);', 'insert into follow values (1); select pg_sleep(3);']), '--json']);
    let sent = '';
    proxy.cutWhen = (bytes) => {
      sent += bytes.toString('latin1');
      return false;
    };
    await until(isAt('2.sql', 'follow'));
    for (let cut = 0; cut < 10; cut += 1) {
      proxy.cutAll();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const result = await running;
    expect(result.code).toBe(0);
    expect(result.json().state).toBe('succeeded');
    expect(await countDeployments('follow')).toEqual([{ count: 1 }]);
    expect(sent).toMatch(/authorization: Bearer weft_read\./i);
    expect(sent).not.toContain('?token=');
  });

  it('outlives the Worker: another one is there, and the deployment is the same', async () => {
    const running = weft([
      'deploy',
      makeBundle('outlive', ['create table outlive (n int);', 'insert into outlive values (1); select pg_sleep(4);', 'insert into outlive values (2);']),
      '--json',
    ]);
    await until(isAt('2.sql', 'outlive'));
    proxy.port = null;
    await worker.stop();
    await startOurWorker();
    const result = await running;
    expect(result.code).toBe(0);
    expect(await sql(database.url, 'select n from outlive order by n')).toEqual([{ n: 1 }, { n: 2 }]);
    expect(await countDeployments('outlive')).toEqual([{ count: 1 }]);
  });

  it('sees the end also as a caller that may not read', async () => {
    const folder = makeBundle('unread', ['select pg_sleep(2);']);
    const result = await weft(['deploy', folder, '--json'], { WEFT_SECRET: DEPLOYERS_SECRET, WEFT_CALLER: undefined });
    expect(result.code).toBe(0);
    expect(result.json()).toMatchObject({ state: 'succeeded', caller: 'deployer' });
  });

  it('leaves on Ctrl-C with 3; resume attaches again', async () => {
    const leave = new AbortController();
    const seen = Promise.withResolvers<void>();
    const running = weft(
      ['deploy', makeBundle('leave', ['create table leave (n int);', 'insert into leave values (1); select pg_sleep(3);']), '--json'],
      {},
      { signal: leave.signal, onStderr: (text) => text.includes('2.sql: at work') && seen.resolve() },
    );
    await seen.promise;
    leave.abort();
    const result = await running;
    expect(result.code).toBe(3);
    const { deployment, detail } = result.json().problem;
    expect(detail).toContain(`weft resume ${deployment}`);
    const resumed = await weft(['resume', '--json']);
    expect(resumed.code).toBe(0);
    expect(resumed.json()).toMatchObject({ id: deployment, state: 'succeeded' });
    expect(await sql(database.url, 'select n from leave')).toEqual([{ n: 1 }]);
  });

  it('cancels what runs', async () => {
    const running = weft(['deploy', makeBundle('cancel', ['select pg_sleep(30);']), '--json']);
    await until(isAt('1.sql', 'cancel'));
    const [{ id }] = await sql(database.url, "select id from weft.deployments where bundle = 'cancel'");
    const cancelled = await weft(['cancel', id, '--json']);
    expect(cancelled.code).toBe(0);
    expect(cancelled.json()).toMatchObject({ id, state: 'cancelled' });
    expect((await running).code).toBe(1);
  });
});

describe('a cancel through a Worker that has to wait', () => {
  it('is answered at once, shows for whom it waits, ends with 3 when the deadline comes, and says on Ctrl-C what is taken away', async () => {
    await sql(database.url, 'create table held (n int); insert into held values (1)');
    const holder = await database.client();
    await holder.query('begin; update held set n = 2');
    const running = weft(['deploy', makeBundle('held', ['create index concurrently held_n on held (n);'], 'auto'), '--json']);
    await until(`exists (select from pg_stat_activity where wait_event_type = 'Lock' and query ~ '^create index concurrently held_n')`);
    const [{ id }] = await sql(database.url, "select id from weft.deployments where bundle = 'held'");
    const sent: string[] = [];
    proxy.cutWhen = (bytes) => {
      if (bytes.includes('/cancel')) sent.push(bytes.toString('latin1'));
      return false;
    };
    const late = await weft(['cancel', id, '--deadline', '3']);
    expect(sent[0]).toMatch(/^prefer: wait=1\r$/im);
    expect(late.code).toBe(3);
    expect(late.stdout).toMatch(/^Cancelling\. held goes no further\./);

    await until(`exists (select from pg_stat_activity where wait_event_type = 'Lock' and query ~ '^drop index concurrently public.held_n')`);
    const leave = new AbortController();
    const seen = Promise.withResolvers<void>();
    const waiting = weft(['cancel', id], {}, { signal: leave.signal, onStderr: (text) => text.includes('drop index concurrently') && seen.resolve() });
    await seen.promise;
    leave.abort();
    const left = await waiting;
    expect(left.code).toBe(3);
    expect(left.stderr).toContain(`Left. Deployment ${id} goes no further: it is being cancelled.`);
    expect(left.stderr).not.toContain('To stop it');

    await holder.query('rollback');
    await holder.end();
    expect((await running).code).toBe(1);
    expect(await sql(database.url, `select from pg_index where indrelid = 'held'::regclass and not indisvalid`)).toEqual([]);
    await sql(database.url, 'drop table held'); // which no deployment has made, so that it would be drift from now on
  });
});

describe('reading through a Worker', () => {
  it('lists deployments and history, shows one, and plans', async () => {
    const folder = makeBundle('reading', ['select 1;']);
    const { id } = (await weft(['deploy', folder, '--json'])).json();
    expect((await weft(['status', '--json'])).json().deployments[0]).toMatchObject({ id, state: 'succeeded' });
    expect((await weft(['status', id])).stdout).toContain('Done.');
    expect((await weft(['history', 'reading', '--json'])).json().history).toMatchObject([{ bundle: 'reading', path: '1.sql', deployment: id }]);
    expect((await weft(['drift', '--json'])).json()).toMatchObject({ verdict: 'none', since: { deployment: id } });
    expect((await weft(['drift', id])).stdout).toBe(`Deployment ${id} has changed nothing of the catalog.\n`);
    expect((await weft(['plan', folder, '--json'])).json().phases[0].steps[0].verdict).toBe('applied');
  });

  it('plans a bundle whose files would be larger in the question than on the disk: as many go along as there is room for', async () => {
    const names = ['1.sql', '2.sql', '3.sql'];
    const content = (what: string) => Object.fromEntries(names.map((name) => [name, `-- ${what}\nselect 1;\n`]));
    const words = { 'weft.yaml': 'name: wide\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]\n' };
    expect((await weft(['deploy', makeFolder({ ...words, ...content('as it was') })])).code).toBe(0);
    // A control character takes six in JSON: together they are more than a body may have.
    const { stdout, stderr } = await weft(['plan', makeFolder({ ...words, ...content('\u0001'.repeat(500_000)) })]);
    expect(stderr).toMatch(/^warning: The contents of 1 file did not fit into the question to the database: 3\.sql\. .* may run then\.$/m);
    expect(stdout).toMatch(/skip: comments changed +1\.sql[\s\S]*skip: comments changed +2\.sql/);
  });

  it('needs to know who reads', async () => {
    const { code, stderr } = await weft(['status'], { WEFT_CALLER: undefined });
    expect(code).toBe(2);
    expect(stderr).toContain('WEFT_CALLER');
  });
});

describe('what is not right', () => {
  it('is refused by the Worker, and comes out as its problem with 2', async () => {
    const folder = makeBundle('refused', ['select 1;']);
    const refusals: [Record<string, string>, string][] = [
      [{ WEFT_SECRET: generateSecret() }, 'signature_mismatch'],
      [{ WEFT_TARGET: 'elsewhere' }, 'unknown_target'],
    ];
    for (const [env, slug] of refusals) {
      const result = await weft(['deploy', folder, '--json'], env);
      expect(result.code).toBe(2);
      expect(result.json().problem.type).toMatch(new RegExp(`^urn:weft:problem:(${slug}|no_grant)$`));
      for (const secret of [SECRET, env.WEFT_SECRET]) if (secret) expect(result.stdout + result.stderr).not.toContain(secret.slice(6));
    }
  });

  it('is a Worker that is not there: 3, after the deadline', async () => {
    const result = await weft(['deploy', makeBundle('nowhere', ['select 1;']), '--deadline', '1', '--json'], { WEFT_URL: 'http://127.0.0.1:1' });
    expect(result.code).toBe(3);
    expect(result.json().problem.type).toBe('urn:weft:problem:worker_unreachable');
  });

  it('is a way that has gone silent: with a small bundle it is waited for hardly longer than for any answer, by its size', async () => {
    let leave = new AbortController();
    const silent = createServer(() => leave.abort()).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const timeouts = vi.spyOn(AbortSignal, 'timeout');
    const dense = Array.from({ length: 4 }, () => `-- ${randomBytes(90_000).toString('base64')}`); // what cannot be packed takes its time over a slow line
    for (const folder of [makeBundle('silent', ['select 1;']), makeBundle('dense', dense)]) {
      leave = new AbortController();
      const env = { WEFT_URL: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` };
      expect((await weft(['deploy', folder], env, { signal: leave.signal })).code).toBe(3);
    }
    const waited = timeouts.mock.calls.map(([milliseconds]) => milliseconds);
    expect(waited).toEqual([ANSWER_MS, expect.toBeOneOf([7, 8].map((seconds) => ANSWER_MS + seconds * 1000))]);
    timeouts.mockRestore();
    silent.close();
    silent.closeAllConnections();
  });

  it('is an address that redirects, or that is no Weft: no signed request goes anywhere else', async () => {
    let visits = 0;
    const elsewhere = createServer((_, response) => {
      visits += 1;
      response.end('hello');
    });
    const redirecting = createServer((request, response) => {
      request.resume();
      response.writeHead(307, { location: originOf(elsewhere) + request.url }).end();
    });
    const originOf = (server: typeof elsewhere) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await Promise.all([elsewhere, redirecting].map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))));
    const folder = makeBundle('redirected', ['select 1;']);
    const redirected = await weft(['deploy', folder, '--json'], { WEFT_URL: originOf(redirecting) });
    expect(redirected.code).toBe(2);
    expect(redirected.json().problem.detail).toContain('redirect');
    expect(visits).toBe(0);
    expect((await weft(['deploy', folder], { WEFT_URL: originOf(elsewhere) })).code).toBe(2);
    for (const server of [elsewhere, redirecting]) server.close();
  });
});
