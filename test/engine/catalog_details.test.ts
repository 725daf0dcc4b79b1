/**
 * What little can be changed about an object, and is as much of it as the rest: each shows as a change of that object. The kinds themselves are in
 * catalog_kinds.test.ts.
 */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

const SHOP = `
  create schema shop;
  create function shop.plus(a int, b int) returns int language sql immutable as 'select a + b';
  create table shop.parent (a int, constraint positive check (a > 0));
  create table shop.days (n int) partition by list (n);
  create table shop.first partition of shop.days for values in (1);
  create table shop.second partition of shop.days for values in (2);
`;

beforeAll(async () => {
  database = await freshDatabase();
  const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  await ensureEngine(session);
  await session.close();
  await sql(database.url, SHOP);
});

afterAll(async () => {
  await database.drop();
});

/** What a change makes of the catalog, in a transaction that is taken back. */
async function changesOf(before: string, change: string, url = database.url): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`begin; ${before}`);
    const was = (await client.query('select weft._read_catalog() as text')).rows[0].text;
    await client.query(change);
    const { rows } = await client.query('select * from weft._compare_catalogs($1, weft._read_catalog())', [was]);
    return rows.map((row) => `${row.change} ${row.kind} ${row.identity}: ${row.before ?? ''} => ${row.after ?? ''}`);
  } finally {
    await client.end();
  }
}

describe('a detail that is changed shows:', () => {
  it('the functions of an aggregate by their names, which are the same in every database', async () => {
    const functions = `create function shop.end_of(n int) returns int language sql immutable as 'select n'`;
    const [total] = await changesOf(
      functions,
      `create aggregate shop.total (int) (sfunc = shop.plus, stype = int, finalfunc = shop.end_of, combinefunc = shop.plus, msfunc = shop.plus, minvfunc = shop.plus, mstype = int, mfinalfunc = shop.end_of)`,
    );
    expect(total).toMatch(
      /sfunc shop.plus, .*, finalfunc shop.end_of, .*, combine shop.plus, moving: sfunc shop.plus, moving: inverse shop.plus, moving: finalfunc shop.end_of, /,
    );
  });
});
