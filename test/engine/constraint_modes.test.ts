/** SET CONSTRAINTS of one file holds for that file: each step of a transaction finds constraints checked when their definitions say. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    `create table pa (id int primary key); create table late (id int references pa initially deferred); create table soon (id int references pa deferrable);
     create schema s; create table s.seen (who int);
     create function note() returns trigger language plpgsql as $$ begin insert into seen values (1); return null; end $$;
     create constraint trigger note after insert on soon deferrable initially immediate for each row execute function note()`,
  );
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
const run = (files: Files, mode?: 'rehearse', more: object = {}) => {
  const steps = Object.keys(files).map((path) => ({ run: path, ...more }));
  const weft = JSON.stringify({ name: 'shop', phases: [{ name: 'main', transaction: 'single', settings: { search_path: 's, public' }, steps }] });
  return deployFiles(connectOver(database.url), { 'weft.yaml': weft, ...files }, { mode });
};

describe.each([undefined, 'rehearse'] as const)('mode %s', (mode) => {
  it.each(['set constraints all immediate;', 'SET CONSTRAINTS ALL IMMEDIATE;', "do $$ begin execute 'set constraints all immediate'; end $$;"])(
    '%s in one file leaves the next ones what is deferred',
    async (statement) => {
      const files = { '1.sql': `insert into pa values (1); ${statement}`, '2.sql': 'insert into late values (2); insert into pa values (2);' };
      expect(await run(files, mode)).toMatchObject({ state: 'succeeded', error: null });
    },
  );

  it('what it has put off is looked at when its file ends, and not on behalf of the others', async () => {
    const files = { '1.sql': 'set constraints all deferred; insert into soon values (7);', '2.sql': 'select 2;' };
    expect(await run(files, mode)).toMatchObject({ state: 'failed', error: { sqlstate: '23503', path: '1.sql' } });
  });

  it('in the session of that file', async () => {
    const files = {
      '1.sql': 'set constraints all deferred; insert into pa values (1); insert into soon values (1);',
      '2.sql': 'insert into pa values (2); insert into soon values (2);',
    };
    expect(await run(files, mode)).toMatchObject({ state: 'succeeded', error: null });
  });
});

it('behind a step that may fail, too', async () => {
  const files = { '1.sql': 'insert into pa values (1); set constraints all immediate;', '2.sql': 'insert into late values (2); insert into pa values (2);' };
  expect(await run(files, undefined, { on_error: 'continue' })).toMatchObject({ state: 'succeeded' });
  expect(await sql(database.url, 'select id from late')).toEqual([{ id: 2 }]);
});
