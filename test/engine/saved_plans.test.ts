/**
 * What a deployment leaves in its session before the files run: each expression of PL/pgSQL that was evaluated is a saved plan (PostgreSQL manual,
 * 41.11.2), and each statement of DDL walks past all of them, some seventy times. So they are counted, of a bundle that asks for nothing special.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sqlAnew as sql } from '../support/sql.ts';

/** On 18, where functions in SQL save theirs, too. Whoever needs more of them says here what for. */
const plans_max = 200;

let database: TestDatabase;

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

it.runIf(offers('a superuser'))('a plain bundle leaves few plans in the session for its statements to walk past', async () => {
  await sql(
    database.superuserUrl ?? '',
    'grant select on pg_backend_memory_contexts to public; grant execute on function pg_get_backend_memory_contexts() to public',
  );
  const end = await deployFiles(connectOver(database.url), {
    'a.sql': 'create table a (n int);',
    'b.sql': 'create table b (n int);',
    'c.sql': `create table plans as select ident from pg_backend_memory_contexts where name = 'CachedPlanSource';`,
    'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'main', transaction: 'single', steps: [{ run: '*.sql' }] }] }),
  });
  expect(end).toMatchObject({ state: 'succeeded' });
  const plans = await sql(database.url, 'select ident from plans');
  // the loop over the files is among them: else none would have been seen
  expect(plans.some(({ ident }) => ident === 'not v_script.is_streamed or v_reader.is_done')).toBe(true);
  expect(plans.length).toBeLessThanOrEqual(plans_max);
});
