/**
 * A small bundle goes out in one breath with the request, before anything is known of the database. What of it has an effect, and what
 * has none: the same request comes twice, its id is taken, the engine is missing, artifacts are missing or wrong.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../src/bundle/chunks.ts';
import { type DeployOptions, deploy } from '../../src/deployment/deploy.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { Problem } from '../../src/domain/problem.ts';
import { problemOf } from '../database/ways.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, makeOrder, openOrder, shutGate, stageFiles, type TestOrder } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let connected: number;

beforeEach(async () => {
  database = await emptyDatabase();
  connected = 0;
});

afterEach(() => database.drop());

const FILES = {
  '1.sql': 'create table journal (n int); insert into journal values (1);',
  '2.sql': 'insert into journal values (2);',
};

const connect = () => {
  connected += 1;
  return connectOver(database.url)();
};

const start = (order: TestOrder, more: Partial<DeployOptions> = {}) => deploy({ connect, ...order, deadlineMs: 50_000, ...more });
const journal = async () => (await sql(database.url, 'select n from journal order by n')).map(({ n }) => n);
const deployments = () => sql(database.url, `select state from weft.deployments order by created_at`);
const install = () => stageFiles(database.url, { 'installs.sql': '' }, { bundle: 'other' });

/** A source that brings only these files, and says so at its end, as a tar does. */
const only = ({ order, chunks }: TestOrder, paths: readonly string[]): TestOrder => ({
  order,
  chunks: async function* (wanted) {
    const brought = new Set(order.manifest.artifacts.filter(({ path }) => paths.includes(path)).map(({ digest }) => digest));
    yield* chunks(new Set([...wanted].filter((digest) => brought.has(digest))));
    if ([...wanted].some((digest) => !brought.has(digest))) throw new Problem('artifact_missing', 'The tar ended.');
  },
});

describe('a request that came before', () => {
  it.each(['open', 'staged', 'succeeded'])('and is %s: one deployment, each effect once', async (state) => {
    const order = await makeOrder(FILES, { id: 'same' });
    if (state === 'open') {
      const session = await connect();
      await openOrder(session, order);
      await session.close();
    } else if (state === 'staged') await stageFiles(database.url, FILES, { id: 'same' });
    else await start(order).done;
    expect(await deployments()).toEqual([{ state }]);

    const { opened, done } = start(order);
    expect(await opened).toMatchObject({ repeated: true, missing: [] });
    expect(await done).toMatchObject({ state: 'succeeded', phases: [{ attempts: 1 }] });
    expect(await deployments()).toEqual([{ state: 'succeeded' }]);
    expect(await journal()).toEqual([1, 2]);
  });

  it('with other content is refused, and nothing of the new content is kept or run', async () => {
    await start(await makeOrder({ '1.sql': 'create table kept (n int);' }, { id: 'same' })).done;
    const chunks = () => sql(database.url, 'select digest from weft._chunks');
    const before = await chunks();
    await problemOf(start(await makeOrder(FILES, { id: 'same' })).done, 'id_conflict');
    expect(await sql(database.url, `select to_regclass('journal') as journal`)).toEqual([{ journal: null }]);
    expect(await chunks()).toEqual(before);
    expect(await deployments()).toEqual([{ state: 'succeeded' }]);
  });
});

it('a database without the engine gets it, and the artifacts again, although their source can be read only once', async () => {
  const { order, chunks } = await makeOrder(FILES);
  let calls = 0;
  const once: TestOrder['chunks'] = (wanted) => {
    calls += 1;
    return chunks(wanted);
  };
  expect(await start({ order, chunks: once }).done).toMatchObject({ state: 'succeeded' });
  expect(calls).toBe(1);
  expect(await journal()).toEqual([1, 2]);
});

it.each([0, LIMITS.chunk_bytes])('whoever waits for the opening learns of it while the CALL still runs (%d bytes more)', async (bytes) => {
  const gate = await shutGate(database.url);
  const { opened, done } = start(await makeOrder({ '1.sql': AT_THE_GATE, '2.sql': ''.padEnd(bytes, '-') }));
  await gate.reached();
  expect(await opened).toMatchObject({ state: 'staged', repeated: false, missing: [] });
  await gate.open();
  expect(await done).toMatchObject({ state: 'succeeded' });
});

describe('a source with only some of the artifacts', () => {
  it('is enough when the database has the others', async () => {
    const other = await stageFiles(database.url, { '1.sql': FILES['1.sql'] }, { bundle: 'other' });
    await sql(database.url, `select weft.cancel('${other}')`);
    expect(await start(only(await makeOrder(FILES), ['2.sql'])).done).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 2]);
  });

  it('is not enough when it has not: what came is kept, and the others alone are enough then', async () => {
    await install();
    const order = await makeOrder(FILES, { id: 'same' });
    const { opened, done } = start(only(order, ['2.sql']));
    const problem = await problemOf(done, 'artifact_missing');
    await expect(opened).rejects.toBe(problem);
    expect(await deployments()).toEqual([{ state: 'staged' }, { state: 'open' }]);
    expect(await start(only(order, ['1.sql'])).done).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 2]);
  });
});

describe('artifacts that are not what the manifest says', () => {
  it('and are refused by their source: no database is touched', async () => {
    const { order } = await makeOrder(FILES);
    const refusing: TestOrder['chunks'] = async function* () {
      yield* [];
      throw new Problem('digest_mismatch', 'The file changed.');
    };
    await problemOf(start({ order, chunks: refusing }).done, 'digest_mismatch');
    expect(connected).toBe(0);
  });

  it.each([0, LIMITS.chunk_bytes])('and are refused by the database: nothing is kept, nothing is run (%d bytes more)', async (bytes) => {
    await install();
    const { order, chunks } = await makeOrder({ ...FILES, '3.sql': ''.padEnd(bytes, '-') });
    const lying: TestOrder['chunks'] = async function* (wanted) {
      for await (const chunk of chunks(wanted)) yield { digest: chunk.digest, bytes: Buffer.from('drop database production') };
    };
    await problemOf(start({ order, chunks: lying }).done, 'digest_mismatch');
    expect(await sql(database.url, `select to_regclass('journal') as journal`)).toEqual([{ journal: null }]);
    const wrong = await sha256(Buffer.from('drop database production'));
    expect(await sql(database.url, `select from weft._chunks where digest = decode('${wrong}', 'hex')`)).toEqual([]);
    expect(await deployments()).toEqual([{ state: 'staged' }, { state: 'open' }]);
  });
});
