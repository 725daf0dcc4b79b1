/** The word that nothing of a file that stopped half-way is in the database any more: who may say it of what, and what becomes of it then. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles as deployBundle } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { deployFiles } from './support.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const HALF = { '1.sql': 'create table one ();\nbegin; create table two (); commit;\nselect 1/0;' };
const begun = async () => (await sql(database.url, 'select path from weft.begun order by path')).map(({ path }) => path);
const forget = async (path: string, bundle: string | null = null, why = 'by hand') =>
  (await sql(database.url, 'select weft.forget($1, $2, $3, $4) as document', [path, why, bundle, 'ci']))[0].document;

describe('a file that was run statement by statement and failed', () => {
  it('is begun no more, nothing of it is undone, and who said so and why stays with its step and in the journal', async () => {
    const { id } = await deployFiles(database.url, HALF, 'auto');
    const document = await forget('1.sql');
    expect(document).toEqual({ by: 'ci', at: expect.any(String), why: 'by hand', bundle: 'shop', path: '1.sql', deployment: id, statements: 2, rounds: null });
    expect(await begun()).toEqual([]);
    const [{ status }] = await sql(database.url, 'select weft.status($1) as status', [id]);
    expect(status.phases[0].steps[0]).toMatchObject({
      state: 'failed',
      statements: 2,
      result: { forgotten: { by: 'ci', why: 'by hand' } },
      account: expect.stringMatching(/^Statements 1 to 2 of 1\.sql were committed\. ci said at 20.*Z that nothing of it is there any more: by hand\.$/),
    });
    expect(await sql(database.url, 'select account from weft.steps')).toEqual([{ account: status.phases[0].steps[0].account }]);
    expect(await sql(database.url, `select deployment_id, path, data from weft.events where kind = 'forgotten'`)).toEqual([
      { deployment_id: id, path: '1.sql', data: { by: 'ci', why: 'by hand', statements: 2 } },
    ]);
    await expect(sql(database.url, `select weft.plan_undo('${id}')`)).rejects.toMatchObject({ code: 'WF070' });
  });

  it('of an undo that stopped half-way is refused: there is another way', async () => {
    const files = {
      'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: 1.sql, undo: u.sql }] }]',
      '1.sql': 'create table one ();\ncreate table two ();',
      'u.sql': 'drop table two;\nvacuum;\nselect 1/0;',
    };
    const { id } = await deployBundle(connectOver(database.url), files);
    await sql(database.url, `select weft.undo('${id}')`);
    await sql(database.url, 'call weft.run()');
    await expect(forget('u.sql')).rejects.toMatchObject({
      code: 'WF093',
      message: expect.stringMatching(/^u\.sql is an undo file/),
      hint: expect.stringContaining(`weft undo ${id}`),
    });
  });

  it('is chosen by its bundle where it stopped half-way in several', async () => {
    const file = (name: string) => ({
      'weft.yaml': `name: ${name}\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]`,
      '1.sql': `create table ${name} ();\nvacuum;\nselect 1/0;`,
    });
    await deployBundle(connectOver(database.url), file('one'));
    await deployBundle(connectOver(database.url), file('two'));
    await expect(forget('1.sql')).rejects.toMatchObject({
      code: 'WF093',
      message: '1.sql stopped half-way in several bundles, and none of them was named: one, two.',
    });
    expect(await forget('1.sql', 'two')).toMatchObject({ bundle: 'two' });
    expect(await sql(database.url, 'select bundle from weft.begun')).toEqual([{ bundle: 'one' }]);
    await expect(forget('1.sql', 'two')).rejects.toMatchObject({
      code: 'WF093',
      message: 'No file 1.sql of the bundle two has stopped half-way.',
    });
    await expect(forget('1.sql', 'one', ' ')).rejects.toMatchObject({ code: 'WF093', message: 'What of which file is gone, and why, has to be said.' });
  });

  it('is not forgotten while a deployment that holds it has begun and is not over', async () => {
    const { id } = await deployFiles(database.url, HALF, 'auto');
    await sql(database.url, `update weft._deployments set state = 'running', finished_at = null`);
    await expect(forget('1.sql')).rejects.toMatchObject({
      code: 'WF093',
      message: `Deployment ${id} of the bundle shop has begun and is not over, and 1.sql is one of its files.`,
    });
    expect(await begun()).toEqual(['1.sql']);
  });

  it('whose failure was tolerated runs from its beginning when its deployment is opened again', async () => {
    const files = (what: string) => ({
      'weft.yaml': 'name: shop\nphases: [{ name: main, transaction: none, steps: [{ run: 1.sql, on_error: continue }] }]',
      '1.sql': `create table one ();\nselect ${what};`,
    });
    const { id, state } = await deployBundle(connectOver(database.url), files('n from later'));
    expect(state).toBe('degraded');
    await sql(database.url, 'drop table one');
    await forget('1.sql');
    await sql(database.url, 'create table later as select 1 as n');
    await sql(database.url, `call weft.run('${id}', p_reopen => '{}')`);
    expect(await sql(database.url, `select state, statements, result, to_regclass('one') is not null as made from weft.steps`)).toEqual([
      { state: 'succeeded', statements: 2, result: null, made: true },
    ]);
  });
});

it('a batch that stopped half-way begins anew from its cursor', async () => {
  const filled = 'create table goods (id int primary key, n int check (id < 25 or n is null)); insert into goods select i from generate_series(1, 30) as i';
  await sql(database.url, filled);
  const run = () =>
    deployBundle(connectOver(database.url), {
      'weft.yaml': JSON.stringify({ name: 'b', phases: [{ name: 'main', transaction: 'none', steps: [{ batch: 'fill.sql', size: 10, cursor: 0 }] }] }),
      'fill.sql': `update goods set n = 1 where id in (select id from goods where id > :'cursor' order by id limit :size) returning id as cursor`,
    });
  const failed = await run();
  expect([failed.state, await begun()]).toEqual(['failed', ['fill.sql']]);
  await sql(database.url, `drop table goods; ${filled}; alter table goods drop constraint goods_check`);
  expect(await forget('fill.sql')).toMatchObject({ statements: null, rounds: 2, deployment: failed.id });
  expect(await begun()).toEqual([]);
  expect(await sql(database.url, `select weft.status($1) #>> '{phases,0,steps,0,account}' as account`, [failed.id])).toEqual([
    {
      account: expect.stringMatching(
        /^fill\.sql: 2 rounds of it, with 20 rows, are in the database\. ci said at .* that nothing of it is there any more: by hand\.$/,
      ),
    },
  ]);
  expect((await run()).state).toBe('succeeded');
  expect(await sql(database.url, 'select count(*)::int as n from goods where n = 1')).toEqual([{ n: 30 }]);
});
