/** The command line through a Worker, attached to a deployment while the address of the database is led from a primary that died to a standby. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { absentDeployment } from '../../src/database/absent.ts';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { Problem } from '../../src/domain/problem.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder } from './folder.ts';
import { run } from './run.ts';

const SECRET = generateSecret();

let database: TestDatabase;
let worker: LocalWorker;
/** What is answered in place of the Worker, one problem a request. */
let instead: Problem[] = [];
/** Passes on to the Worker, else. */
const front = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const problem = instead.shift();
  if (problem !== undefined) {
    response.writeHead(problem.status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
    return;
  }
  const headers = Object.entries(request.headers).flatMap(([name, value]): [string, string][] =>
    ['host', 'connection', 'transfer-encoding', 'content-length', 'expect'].includes(name) ? [] : [[name, String(value)]],
  );
  const answer = await fetch(new URL(request.url ?? '/', worker.origin), {
    method: request.method ?? 'GET',
    headers,
    ...(request.method === 'POST' ? { body: Buffer.concat(chunks) } : {}),
  });
  const passed = ['content-type', 'location', 'retry-after'].flatMap((name): [string, string][] =>
    answer.headers.has(name) ? [[name, answer.headers.get(name) ?? '']] : [],
  );
  response.writeHead(answer.status, Object.fromEntries(passed)).end(await answer.text());
});

beforeAll(async () => {
  database = await emptyDatabase();
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  worker = await startWorker({
    config: {
      origin: originOfFront(),
      targets: { shop: { database: 'SHOP_URL', transport: 'tcp' } },
      callers: { ci: { secrets: ['CI_SECRET'] } },
      grants: [{ caller: 'ci', targets: ['shop'], actions: ['deploy', 'read'] }],
    },
    secrets: { SHOP_URL: database.url, CI_SECRET: SECRET },
  });
});

afterEach(() => {
  instead = [];
});

afterAll(async () => {
  front.closeAllConnections();
  front.close();
  await worker?.stop();
  await database?.drop();
});

const originOfFront = () => `http://127.0.0.1:${(front.address() as AddressInfo).port}`;

/** Deploys two files, and has these answers come while the second one waits behind a lock. @param until when that is opened */
async function deployInto(name: string, answers: readonly Problem[], until: () => boolean) {
  await sql(database.url, `create table gate_${name} (n int)`);
  const gate = await database.client();
  await gate.query(`begin; lock table gate_${name}`);
  const folder = makeFolder({
    'weft.yaml': `name: ${name}\nphases: [{ name: main, transaction: per-step, lock_timeout: 1h, steps: [{ run: "*.sql" }] }]\n`,
    '1.sql': `create table ${name} (n int)`,
    '2.sql': `insert into ${name} select 1 from (select count(*) from gate_${name}) as g`,
  });
  const env = { WEFT_URL: originOfFront(), WEFT_TARGET: 'shop', WEFT_CALLER: 'ci', WEFT_SECRET: SECRET };
  let hasMet = false;
  const onStderr = (text: string) => {
    if (!hasMet && text.includes('2.sql: at work')) instead.push(...answers);
    hasMet ||= instead.length > 0;
  };
  const running = run(['deploy', folder, '--json'], { env, onStderr });
  const ended = running.then(() => true);
  await expect.poll(async () => (hasMet && until()) || (await Promise.race([ended, false])), { timeout: 30_000 }).toBe(true);
  await gate.query('commit');
  await gate.end();
  return running;
}

const standby = () => new Problem('standby_server', 'The address leads to a standby in recovery. Nothing was changed. Use the address of the primary.');

it('stays while the address leads to a standby, and sees the end when that is promoted', async () => {
  const result = await deployInto('promoted', [standby(), standby()], () => instead.length === 0);
  expect(result.code).toBe(0);
  expect(result.json().state).toBe('succeeded');
  expect(result.stderr).not.toContain('Nothing was changed');
  expect(await sql(database.url, 'select n from promoted')).toEqual([{ n: 1 }]);
});

it('is told when what was promoted has not received the deployment: it can be sent again', async () => {
  const lost = absentDeployment('There is no deployment 0190f0b0-0000-7000-8000-000000000000 in this database.');
  const result = await deployInto('lost', [lost], () => false);
  expect(result.code).toBe(3);
  expect(result.json().problem.detail).toMatch(
    /^There is no deployment \S+ in this database\. It was there before: .*has lost what was committed last.*Send the same request again/,
  );
  expect(result.json().problem.detail).not.toContain('another target');
});

it('is told of an id that the database does not have what that can mean, and what to do: through a Worker, and straight to it', async () => {
  await run(['install'], { env: { DATABASE_URL: database.url } });
  const id = '0190f0b0-0000-7000-8000-000000000000';
  const words =
    /^There is no deployment \S+ in this database\. Weft removes none, so it is another target's, or this database was taken back to an earlier state .*: send the same request again/;
  for (const env of [{ WEFT_URL: originOfFront(), WEFT_TARGET: 'shop', WEFT_CALLER: 'ci', WEFT_SECRET: SECRET }, { DATABASE_URL: database.url }]) {
    for (const command of ['status', 'receipt']) {
      const { code, json } = await run([command, id, '--json'], { env });
      expect([code, json().problem.status, json().problem.detail]).toEqual([2, 404, expect.stringMatching(words)]);
    }
  }
});
