/**
 * Reading the catalog takes so much for each object, and not for each pair of them: no list is read again for each row of another one. The server says
 * itself how often it read what; how long it takes is the benchmarks' business.
 */
import pg from 'pg';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { offers } from '../support/source.ts';
import { sqlAnew as sql } from '../support/sql.ts';

const TABLES = 120;
/** Each list is read for a few purposes, and a table brings some rows of it: columns, indexes, constraints, triggers. */
const rows_read_of_a_table_max = 25;
/** What every catalog holds of the server's own. */
const rows_of_the_server_count = 15_000;

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(() => database.drop());

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'CTE Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly Plan[];
}

const withParts = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(withParts)];

/** Reads the catalog in a new session. @returns what was read more often than there is a reason for */
async function listReadAgain(): Promise<string[]> {
  const client = new pg.Client({ connectionString: database.superuserUrl ?? '' });
  const plans: Plan[] = [];
  client.on('notice', ({ message }) => {
    const json = /plan:\n(\{[\s\S]*)/.exec(message ?? '')?.[1];
    if (json !== undefined) plans.push(JSON.parse(json).Plan);
  });
  await client.connect();
  try {
    await client.query(`load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; set auto_explain.log_analyze = on;
      set auto_explain.log_timing = off; set auto_explain.log_format = json; set auto_explain.log_level = notice`);
    await client.query('select weft.fingerprint()');
  } finally {
    await client.end();
  }
  const lists = plans.flatMap(withParts).filter((plan) => ['Seq Scan', 'CTE Scan', 'Function Scan'].includes(plan['Node Type']));
  expect(lists.some((plan) => plan['CTE Name'] === 'tables')).toBe(true);
  return lists.flatMap((plan) => {
    const rows = Math.round((plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops']);
    if (rows <= rows_of_the_server_count + rows_read_of_a_table_max * TABLES) return [];
    return [`${plan['CTE Name'] ?? plan['Relation Name'] ?? plan['Node Type']}: ${rows} rows in ${plan['Actual Loops']} readings`];
  });
}

it.runIf(offers('a superuser'))('no list is read for each row of another, whether or not the server knows how much there is', async () => {
  await sql(
    database.url,
    `create function touch() returns trigger language plpgsql as $$ begin return new; end $$;
     do $$ begin
       for n in 1..${TABLES} loop
         execute format('create schema c%1$s; set local search_path to c%1$s, public', n);
         execute 'create table t (id bigint generated always as identity primary key, code text unique, of bigint references t, amount numeric check (amount > 0))';
         execute 'create index on t (of, code); create index on t (lower(code)); create trigger touch before update on t for each row execute function touch()';
         execute 'create view v as select id, code from t; comment on table t is ''a table''; comment on column t.code is ''a column''; create sequence s owned by t.of';
       end loop;
     end $$`,
  );
  expect(await listReadAgain()).toEqual([]);
  await sql(database.url, 'vacuum analyze');
  expect(await listReadAgain()).toEqual([]);
});
