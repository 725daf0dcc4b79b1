/** The newest deployments in one document, which somebody has to hold as a whole. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  for (const name of ['1', '2', '3']) await deployFiles(connectOver(database.url), { [`${name}.sql`]: 'select 1;' });
});

afterEach(() => database.drop());

const listed = async (count: number): Promise<unknown[]> =>
  (await sql(database.url, `select d ->> 'id' as id from jsonb_array_elements(weft.list_deployments(${count})) as d`)).map(({ id }) => id);
const newest = async (): Promise<unknown[]> => (await sql(database.url, 'select id from weft.deployments order by created_at desc')).map(({ id }) => id);
const grow = (megabytes: number) =>
  sql(database.url, `update weft._deployments set error = jsonb_build_object('message', repeat('x', ${megabytes} * 1000000))`);

it('are listed from the newest on, as many as were asked for', async () => {
  expect(await listed(20)).toEqual(await newest());
  expect(await listed(2)).toEqual((await newest()).slice(0, 2));
  expect(await listed(0)).toEqual([]);
});

it('are fewer where they are large', async () => {
  await grow(3);
  expect(await listed(20)).toEqual((await newest()).slice(0, 2));
});

it('are one at least, however large', async () => {
  await grow(9);
  expect(await listed(20)).toEqual((await newest()).slice(0, 1));
});
