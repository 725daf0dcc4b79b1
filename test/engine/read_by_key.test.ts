/**
 * What is looked up by its key is looked up by its key, also where a plan was made before there was anything to read, and where others have a lot. Rows
 * that were read are counted; how long it takes is the benchmarks' business.
 */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, stageFiles } from '../support/orders.ts';
import { countRead } from '../support/settled.ts';
import { sqlAnew as sql } from '../support/sql.ts';

const MANY = 400;

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(() => database.drop());

async function countReadOf(table: string): Promise<number> {
  return (await countRead(database.url))[table] ?? Number.NaN;
}

it('whether a chunk is here is asked by its digest, also where none was kept when that was planned', async () => {
  await sql(database.url, 'vacuum weft._chunks'); // by which the server knows that there is nothing in it
  await stageFiles(database.url, Object.fromEntries(Array.from({ length: MANY }, (_, n) => [`${n}.sql`, `select ${n};`])));
  expect(await countReadOf('weft._chunks')).toBeLessThan(10 * MANY);
});

it('what went along is looked for in the files that have run, not in those that were applied before', async () => {
  const files = Object.fromEntries(Array.from({ length: MANY }, (_, n) => [`${n}.sql`, `select ${n};`]));
  expect(await deployFiles(connectOver(database.url), files, { transaction: 'single' })).toMatchObject({ state: 'succeeded' });
  const before = await countReadOf('weft._chunks');
  expect(await deployFiles(connectOver(database.url), { ...files, 'z.sql': 'create table z (n int)' }, { transaction: 'single' })).toMatchObject({
    state: 'succeeded',
  });
  // whether each is here is asked a few times
  expect((await countReadOf('weft._chunks')) - before).toBeLessThan(4.5 * MANY);
});

it('whether a file has changed a part of the engine is asked of its parts, and not of all triggers that there are', async () => {
  await sql(
    database.url,
    `create table t (n int); create function f() returns trigger language plpgsql as $$ begin return new; end $$;
     do $$ begin for n in 1..${MANY} loop execute format('create trigger t%s before insert on t for each row execute function f()', n); end loop; end $$`,
  );
  const files = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`${10 + n}.sql`, `create table made_${n} (n int);`]));
  const before = await countReadOf('pg_trigger');
  expect(await deployFiles(connectOver(database.url), files, { transaction: 'per-step' })).toMatchObject({ state: 'succeeded' });
  // the catalog is read before and behind all of it
  expect((await countReadOf('pg_trigger')) - before).toBeLessThan(20 * MANY);
});

it('whose the engine is does not take longer where others have made a lot between its first and its last part', async () => {
  const role = `weft_test_guest_${randomBytes(6).toString('hex')}`;
  await sql(database.url, `create role ${role} login password 'x'; create schema guests; grant create, usage on schema guests to ${role}`);
  const guest = Object.assign(new URL(database.url), { username: role, password: 'x' });
  try {
    await sql(
      guest.href,
      `do $$ begin for n in 1..${MANY} loop execute format('create function guests.f%s() returns int language sql as %L', n, 'select 1'); end loop; end $$`,
    );
    await sql(database.url, 'create function weft.of_another_time() returns integer language sql as $$ select 1 $$');
    const before = await countReadOf('pg_depend');
    expect(await deployFiles(connectOver(database.url), { 'a.sql': 'select 1' })).toMatchObject({ state: 'succeeded' });
    expect((await countReadOf('pg_depend')) - before).toBeLessThan(MANY * 100);
  } finally {
    await sql(database.url, 'drop schema guests cascade').catch(() => undefined);
    const { href: elsewhere } = Object.assign(new URL(database.url), { pathname: '/postgres' });
    await database.drop();
    await sql(elsewhere, `drop role if exists ${role}`);
  }
});
