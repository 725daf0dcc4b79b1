/** What only tells of a deployment never stops it; what has begun goes first; a file that ends oddly ends. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { AT_THE_GATE, shutGate, stageFiles, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { deployFiles, failFiles } from './support.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

const BROKEN = `create or replace function weft._read_catalog(p_escaped boolean default false) returns text language plpgsql as $$ begin raise 'no catalog today'; end $$`;

describe('a fingerprint that cannot be taken', () => {
  it('stops neither a deployment nor the line', async () => {
    await deployFiles(database.url, { 'a.sql': 'create table a ()' });
    await sql(database.url, BROKEN);
    const deployment = await deployFiles(database.url, { 'b.sql': 'create table b ()' });
    expect(deployment).toMatchObject({ state: 'succeeded', fingerprint: { before: null, after: null } });
  });

  it('stops no cancellation', async () => {
    const id = await stageFiles(database.url, { 'a.sql': 'create table a ()' });
    await sql(database.url, BROKEN);
    const [row] = await sql(database.url, `select weft.cancel('${id}') ->> 'state' as state`);
    expect(row.state).toBe('cancelled');
  });

  it('is not waited for behind a lock of somebody else', async () => {
    await deployFiles(database.url, { 'a.sql': 'create table a (x int); create view v as select x from a' });
    const stranger = await database.client();
    await stranger.query('begin; lock table a in access exclusive mode');
    const deployment = await deployFiles(database.url, { 'b.sql': 'create table b ()' });
    await stranger.query('rollback');
    expect(deployment).toMatchObject({ state: 'succeeded', fingerprint: { before: null, after: null } });
  });
});

describe('the line', () => {
  it('goes on with what has begun before it begins anything else, whatever the places', async () => {
    const first = await stageFiles(
      database.url,
      { '1.sql': 'create table journal (n serial, file text)', '2.sql': `${AT_THE_GATE} insert into journal (file) values ('2')` },
      { transaction: 'per-step' },
    );
    const gate = await shutGate(database.url);
    const dying = sql(database.url, `call weft.run('${first}')`).catch(() => null);
    await until(database.url, "exists (select from weft.steps where path = '1.sql' and state = 'succeeded')");
    await until(database.url, "exists (select from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'weft 2/2%')");
    const second = await stageFiles(database.url, { '3.sql': "insert into journal (file) values ('3')" });
    await sql(database.url, `select pg_terminate_backend(pid) from weft._lease`);
    await dying;
    await gate.open();
    // as if its place had become visible late
    await sql(database.url, `update weft._deployments set place = 0 where id = '${second}'`);
    await sql(database.url, `call weft.run('${second}')`);
    expect((await sql(database.url, 'select file from journal order by n')).map(({ file }) => file)).toEqual(['2', '3']);
  });
});

describe('a file', () => {
  it('that raises query_canceled by itself has failed, and blocks nobody', async () => {
    const error = await failFiles(database.url, { 'a.sql': "do $$ begin raise exception 'no more' using errcode = '57014'; end $$" });
    expect(error).toMatchObject({ sqlstate: '57014', message: 'no more', path: 'a.sql' });
  });

  it('may select into a table, behind whatever comments', async () => {
    const deployment = await deployFiles(database.url, {
      'a.sql': '/** about **/ -- it\nselect 1 as a into x; with y as (select 2 as a) select a into z from y',
    });
    expect(deployment.state).toBe('succeeded');
    expect(await sql(database.url, 'select x.a as x, z.a as z from x, z')).toEqual([{ x: 1, z: 2 }]);
  });

  it('may select into a table behind a name that ends as INSERT does', async () => {
    const deployment = await deployFiles(database.url, {
      '1.sql': 'create table n as select 1 as n;',
      '2.sql': 'insert into n values (2);\nselect max(n) as last_insert into y from n;\nselect 3 as reinsert into w;',
    });
    expect(deployment.state).toBe('succeeded');
    expect(await sql(database.url, 'select last_insert, reinsert from y, w')).toEqual([{ last_insert: 2, reinsert: 3 }]);
  });

  it('whose statements are read as it goes is told of with no line of what has run, where it cannot be read on', async () => {
    await setLimits(database.url, { statement_bytes: 1000 });
    const error = await failFiles(database.url, { 'a.sql': `create table t (n int);\ncopy t from stdin;\n1\n\\.\nselect '${'x'.repeat(1000)}` });
    expect(error).toMatchObject({
      sqlstate: '54000',
      path: 'a.sql',
      message: 'A statement that begins at line 5 is larger than 1000 bytes (statement_bytes).',
    });
    expect(error?.line ?? null).toBeNull();
  });

  it('has the rows counted that a WITH inserts', async () => {
    const deployment = await deployFiles(database.url, {
      'a.sql': 'create table t (n int); with r as (select generate_series(1, 5) as n) insert into t select n from r',
    });
    expect(deployment.phases[0]?.steps[0]?.rows).toBe(5);
  });
});
