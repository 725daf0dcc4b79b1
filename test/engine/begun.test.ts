/** Files of which a part is in the database, because the rest of them failed: they are in no history, and listed beside it until they are whole. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles as deployBundle, shutGate } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { deployFiles, passFiles } from './support.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const begun = () => sql(database.url, 'select bundle, path, deployment_id, statements, rounds, account from weft.begun');
const HALF = { '1.sql': 'create table one ();\nbegin; create table two (); commit;\nselect 1/0;\ncreate table three ();' };
const WHOLE = { '1.sql': HALF['1.sql'].replace('1/0', '1') };

describe('a file that was run statement by statement and failed', () => {
  it('is listed with how much of it stays, until it has been run to its end', async () => {
    const { id } = await deployFiles(database.url, HALF, 'auto');
    const row = { bundle: 'shop', path: '1.sql', deployment_id: id, statements: 2, rounds: null };
    expect(await begun()).toEqual([
      { ...row, account: expect.stringMatching(/^Statements 1 to 2 of 1\.sql stay in the database \(the 3rd, line 3, failed\)\./) },
    ]);
    const [{ listed }] = await sql(database.url, `select weft.list_begun('shop') as listed`);
    expect(listed).toMatchObject([{ path: '1.sql', deployment: id, statements: 2, at: expect.any(String) }]);
    expect(await sql(database.url, `select weft.list_begun('other') as listed`)).toEqual([{ listed: [] }]);
    expect(await sql(database.url, 'select path from weft.history')).toEqual([]);

    const again = await deployFiles(database.url, HALF, 'auto');
    expect(await begun()).toMatchObject([{ path: '1.sql', deployment_id: again.id, statements: 2 }]); // once, as it was last
    await deployFiles(database.url, WHOLE, 'auto');
    expect(await begun()).toEqual([]);
    expect(await sql(database.url, 'select path from weft.history')).toEqual([{ path: '1.sql' }]);
  });

  it('is not listed when nothing of it stays', async () => {
    await deployFiles(database.url, { '1.sql': 'begin; create table one (); select 1/0; commit; select 1;' }, 'auto');
    await deployFiles(database.url, { '2.sql': 'create table one (); select 1/0;' }, 'per-step');
    expect(await begun()).toEqual([]);
  });

  it('is listed while the rest of it still runs', async () => {
    const gate = await shutGate(database.url);
    const running = deployFiles(database.url, { '1.sql': `create table one ();\n${AT_THE_GATE}` }, 'none');
    await gate.reached();
    expect(await begun()).toMatchObject([{ path: '1.sql', statements: 1, account: 'Statement 1 of 1.sql stays in the database.' }]);
    await gate.open();
    await running;
    expect(await begun()).toEqual([]);
  });

  it('is not listed any more once it has been recorded as applied', async () => {
    await deployFiles(database.url, HALF, 'auto');
    await passFiles(database.url, { '2.sql': 'select 1' });
    await sql(database.url, `insert into weft._history select bundle, '1.sql', digest, deployment_id, now(), bytes_in, applied_path from weft._history`);
    expect(await begun()).toEqual([]);
  });
});

it('a batch that failed is listed with its rounds, until it has come to its end', async () => {
  await sql(
    database.url,
    'create table goods (id int primary key, n int check (id < 25 or n is null)); insert into goods select i from generate_series(1, 30) as i',
  );
  const batch = 'update goods set n = 1 where id in (select id from goods where n is null order by id limit :size)';
  const run = () =>
    deployBundle(connectOver(database.url), {
      'weft.yaml': JSON.stringify({ name: 'b', phases: [{ name: 'main', transaction: 'none', steps: [{ batch: 'fill.sql', size: 10 }] }] }),
      'fill.sql': batch,
    });
  const failed = await run();
  expect(failed.state).toBe('failed');
  expect(await begun()).toEqual([
    {
      ...{ bundle: 'b', path: 'fill.sql', deployment_id: failed.id, statements: null, rounds: 2 },
      account: 'fill.sql: 2 rounds of it, with 20 rows, are in the database. Deploy it again and it goes on behind them.',
    },
  ]);
  await sql(database.url, 'alter table goods drop constraint goods_check');
  expect((await run()).state).toBe('succeeded');
  expect(await begun()).toEqual([]);
});
