/** An undo is a deployment: what holds for any holds for it. Cut anywhere, cancelled, in line, under its own caller's grant. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { resume } from '../../src/deployment/resume.ts';
import { undo as driveUndo } from '../../src/deployment/undo.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, shutGate, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { send } from './support.ts';
import { deployWays, openUndo, packWays, pathsIn } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table journal (word text, n int generated always as identity)');
});

afterEach(async () => {
  await database.drop();
});

const connect = () => connectTo({ connectionString: database.url, transport: 'tcp' });
const words = async () => (await sql(database.url, 'select word from journal order by n')).map(({ word }) => word);
const way = (word: string, gate = '') => ({ run: `insert into journal values ('${word}')`, undo: `insert into journal values ('not ${word}'); ${gate}` });

/** As the command line does it. */
function undo(deployment: string, id = 'undo-1') {
  const request = Buffer.from(JSON.stringify({ type: 'undo', id, deployment, expires_at: '2099-01-01T00:00:00Z' }));
  return driveUndo({ connect: connect(), order: { request, caller: 'direct', target: null, signature: null }, deadlineMs: 50_000 });
}

describe.each(['single', 'per-step', 'none'] as const)('transaction: %s', (transaction) => {
  it('killed in the middle, it goes on, and takes each thing back once', async () => {
    const { id } = await deployWays(database.url, { '1.sql': way('one'), '2.sql': way('two', AT_THE_GATE), '3.sql': way('three') }, transaction);
    const gate = await shutGate(database.url);
    const undoing = undo(id);
    await gate.reached();
    const before = await pathsIn(database.url);
    expect(before).toEqual(transaction === 'single' ? ['1.sql', '2.sql', '3.sql'] : ['1.sql', '2.sql']);
    await sql(database.url, 'select pg_terminate_backend(pid, 5000) from weft._lease');
    await gate.open();
    expect(await undoing).toMatchObject({ state: 'succeeded', undoes: id });
    expect(await words()).toEqual(['one', 'two', 'three', 'not three', 'not two', 'not one']);
    expect(await pathsIn(database.url)).toEqual([]);
  });

  it('cancelled in the middle, what is undone is out of the history, what is not is in it, and another undo goes on there', async () => {
    const { id } = await deployWays(database.url, { '1.sql': way('one'), '2.sql': way('two', AT_THE_GATE), '3.sql': way('three') }, transaction);
    const gate = await shutGate(database.url);
    const undoing = undo(id);
    await gate.reached();
    await sql(database.url, `select weft.cancel(id) from weft.deployments where undoes = '${id}'`);
    expect(await undoing).toMatchObject({ state: 'cancelled' });
    await gate.open();
    expect(await pathsIn(database.url)).toEqual(transaction === 'single' ? ['1.sql', '2.sql', '3.sql'] : ['1.sql', '2.sql']);
    expect(await undo(id, 'undo-2')).toMatchObject({ state: 'succeeded' });
    expect(await words()).toEqual(['one', 'two', 'three', 'not three', 'not two', 'not one']);
  });
});

it('staged and left, it is run by whoever comes next, in its place', async () => {
  await deployWays(database.url, { '1.sql': way('one') });
  const id = await openUndo(database.url);
  await resume({ connect: connect(), id: null, target: null, deadlineMs: 30_000 });
  expect((await sql(database.url, `select state from weft.deployments where id = '${id}'`))[0]).toEqual({ state: 'succeeded' });
  expect(await words()).toEqual(['one', 'not one']);
});

it('ahead in line, it is run only under a grant to undo, whatever else its caller may', async () => {
  await deployWays(database.url, { '1.sql': way('one') });
  await openUndo(database.url, `p_caller => 'ci'`);
  const other = await send(database.url, packWays([{ name: 'main', transaction: 'single', ways: { '1.sql': way('two') } }], { bundle: 'other' })).catch(
    () => null,
  );
  expect(other).toMatchObject({ state: 'succeeded' }); // straight to a database everybody's are run
  expect(await words()).toEqual(['one', 'not one', 'two']);
  await deployWays(database.url, { '1.sql': way('one') });
  await openUndo(database.url, `p_bundle => 'shop', p_caller => 'ci'`);
  await sql(database.url, `call weft.run(p_callers => array['ci'])`);
  expect(await words()).toEqual(['one', 'not one', 'two', 'one']);
  await sql(database.url, `call weft.run(p_callers => array['undo:ci'])`);
  expect((await words()).at(-1)).toBe('not one');
});

it('of a deployment that is not over nothing is undone', async () => {
  const gate = await shutGate(database.url);
  const deploying = deployWays(database.url, { '1.sql': { run: AT_THE_GATE, undo: 'select 1' } });
  await gate.reached();
  await until(database.url, `exists (select from weft.deployments where state = 'running')`);
  const [{ id }] = await sql(database.url, 'select id from weft.deployments');
  await expect(openUndo(database.url, `'${id}'`)).rejects.toMatchObject({ code: 'WF071' });
  await gate.open();
  await deploying;
});
