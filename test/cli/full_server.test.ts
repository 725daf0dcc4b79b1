/** A server whose disk is full where the engine itself writes: what is said, and that the same request goes on when there is room. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder } from './folder.ts';
import { run } from './run.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(() => database.drop());

/** Behaves like a full disk for whoever writes into that table. @returns what makes room again */
async function fillDisk(table: string, when: string): Promise<() => Promise<unknown>> {
  await sql(
    database.url,
    `create function no_room() returns trigger language plpgsql as $$
     begin raise exception 'could not extend file "base/5/16384": No space left on device' using errcode = '53100', hint = 'Check free disk space.'; end $$`,
  );
  await sql(database.url, `create trigger no_room before ${when} on weft.${table} for each row execute function no_room()`);
  return () => sql(database.url, 'drop function no_room() cascade');
}

it.each([
  ['while files are staged', '_chunks', 'insert'],
  ['while the deployment is taken up', '_deployments', 'update'],
])('%s: exit code 3, what to do, and no second try by itself; with room the same request runs to its end', async (_, table, when) => {
  const makeRoom = await fillDisk(table, when);
  const deploy = ['deploy', makeFolder({ '1.sql': 'create table a (n int);' }), '--id', 'run-1', '--json'];
  const env = { DATABASE_URL: database.url };
  const full = await run(deploy, { env });
  expect([full.code, full.json().problem.type]).toEqual([3, 'urn:weft:problem:server_exhausted']);
  expect(full.json().problem.detail).toMatch(/No space left on device\. Check free disk space\. What was committed stays.* send the same request once more/);
  await makeRoom();
  const end = await run(deploy, { env });
  expect([end.code, end.json().state]).toEqual([0, 'succeeded']);
});
