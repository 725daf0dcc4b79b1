/**
 * What those learn who ask: the second one with the same request, one whose connection broke behind the staging, and one who asks for
 * what is not there or not ready.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { cancel } from '../../src/deployment/cancel.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { resume } from '../../src/deployment/resume.ts';
import { startRelay } from '../../src/dev/relay.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { problemOf, through, ways } from '../database/ways.ts';
import { emptyDatabase, type TestDatabase, withDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, makeOrder, shutGate, stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(async () => {
  await database.drop();
});

const FILES = {
  '1.sql': 'create table journal (n int, pid int default pg_backend_pid()); insert into journal values (1);',
  '2.sql': `insert into journal values (2); ${AT_THE_GATE}`,
  '3.sql': 'insert into journal values (3);',
};
const UNKNOWN = '0190a0de-0000-7000-8000-00000000000a';

it('the same request, once more while the first one runs, attaches and reports what the first one did', async () => {
  const gate = await shutGate(database.url);
  const connect = connectOver(database.url);
  const [one, two] = [await makeOrder(FILES, { id: 'same' }), await makeOrder(FILES, { id: 'same' })];
  const first = deploy({ connect, ...one, deadlineMs: 50_000 });
  await gate.reached();
  const seen = Promise.withResolvers<Deployment>();
  const second = deploy({ connect, ...two, onStatus: seen.resolve, deadlineMs: 50_000 });
  expect(await seen.promise).toMatchObject({ state: 'running', live: { path: '2.sql' } });
  await gate.open();
  const end = await first.done;
  expect(end.state).toBe('succeeded');
  expect(await second.done).toEqual(end);
  expect(await first.opened).toMatchObject({ id: end.id, repeated: false });
  expect(await second.opened).toMatchObject({ id: end.id, repeated: true, missing: [] });
  expect(await sql(database.url, 'select array_agg(n order by n) as ran, count(distinct pid)::int as runners from journal')).toEqual([
    { ran: [1, 2, 3], runners: 1 },
  ]);
});

it.each(ways)('over %s, whoever waits for the opening learns of it also when the connection broke behind the CALL', async (way) => {
  const { hostname: host, port } = new URL(database.url);
  const relay = await startRelay({ to: { host, port: Number(port) } });
  try {
    const gate = await shutGate(database.url);
    const order = await makeOrder(FILES);
    const { opened, done } = deploy({ connect: connectTo(through(relay, way, database.url)), ...order, deadlineMs: 50_000 });
    await gate.reached();
    relay.cutAll();
    await gate.open();
    const { id, state } = await done;
    expect(state).toBe('succeeded');
    expect(await Promise.race([opened, new Promise((resolve) => setTimeout(resolve, 5_000, 'never'))])).toMatchObject({ id, repeated: false, missing: [] });
    expect(await sql(database.url, 'select n from journal order by n')).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  } finally {
    await relay.stop();
  }
});

it('a deployment that is not there is not found, by resume and by cancel, and nothing is changed', async () => {
  await stageFiles(database.url, FILES);
  const connect = connectOver(database.url);
  await problemOf(resume({ connect, id: UNKNOWN, target: null, deadlineMs: 20_000 }), 'deployment_not_found');
  await problemOf(cancel({ connect, id: UNKNOWN, caller: 'direct', target: null }), 'deployment_not_found');
  expect(await sql(database.url, 'select state from weft.deployments')).toEqual([{ state: 'staged' }]);
});

it('a deployment whose artifacts are missing is not resumed, and stays open', async () => {
  const { order } = await makeOrder(FILES);
  const connect = connectOver(database.url);
  const { id, state } = await deploy({ connect, order, deadlineMs: 20_000 }).done;
  expect(state).toBe('open');
  const problem = await problemOf(resume({ connect, id, target: null, deadlineMs: 20_000 }), 'deployment_not_staged');
  expect(problem.message).toMatch(/lacks 3 of its chunks.*Deploy the same bundle again/);
  expect(await sql(database.url, 'select state from weft.deployments')).toEqual([{ state: 'open' }]);
});

it('a database that is not there is told as such, without a secret', async () => {
  const url = withDatabase(database.url, 'weft_test_nowhere');
  const order = await makeOrder(FILES);
  const problem = await problemOf(deploy({ connect: connectOver(url), ...order, deadlineMs: 20_000 }).done, 'database_missing', [new URL(url).password]);
  expect(problem.message).toContain('Nothing was changed');
});
