/**
 * Files as they are in the world, deployed under each rule: what a file may hold that another reader of SQL would cut in the wrong place or
 * read by other rules. What comes out is what psql would have made of it.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { passFiles, type Rule } from './support.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const RULES: readonly Rule[] = ['single', 'per-step', 'auto', 'none'];
let number = 0;

/** Deploys a file of a name and a content that were not there before (else it would be a rename), and tells of how many statements. */
async function pass(text: string, rule: Rule, url = database.url): Promise<number> {
  const path = `${++number}.sql`;
  await passFiles(url, { [path]: `${text}\n;select ${number};` }, rule);
  return (await sql(url, 'select statements - 1 as statements from weft.steps where path = $1', [path]))[0].statements;
}

const texts = async () => (await sql(database.url, 'select a from t order by a collate "C"')).map(({ a }) => a);

describe.each(RULES)('under %s', (rule) => {
  it('DO blocks run as one statement, whatever stands in them', async () => {
    const count = await pass(
      `create table t (a text);
do $$ begin insert into t values ('1;'); end $$;
do $body$
declare
  v text := $$it's; -- no comment $$;  -- a comment; with 'a quote
begin
  /* begin; /* commit; */ ' */
  begin
    perform 1 / 0;
  exception when division_by_zero then
    insert into t values ('2' || v);
  end;
  execute $q$insert into t values ('3;')$q$;
end
$body$ language plpgsql;
do language plpgsql 'begin insert into t values (''4;''); end';
do $größe$ begin insert into t values ('5$$'); end $größe$;`,
      rule,
    );
    expect(count).toBe(5);
    expect(await texts()).toEqual(['1;', "2it's; -- no comment ", '3;', '4;', '5$$']);
  });

  it('functions BEGIN ATOMIC are one statement, with all that ends in them', async () => {
    const count = await pass(
      `create table t (a text);
create function f(n int) returns text language sql
begin atomic
  insert into t values ('f;');
  select case when n > 0 then case n when 1 then 'one;' else 'many' end /* end; */ end as "end";
end;
create or replace procedure p() begin atomic insert into t values ('p'); insert into t values (f(1)); end;
call p();
create function g() returns int return 1;
create function begin_atomic() returns int language sql as 'select 1; select 2';
select f(2), g(), begin_atomic();`,
      rule,
    );
    expect(count).toBe(7);
    expect(await texts()).toEqual(['f;', 'f;', 'one;', 'p']);
  });

  it('comments stand wherever they like', async () => {
    const count = await pass(
      `-- first; 'a
/* a /* nested; */ one */;;
create /* table; */ table -- t;
t/**/(a/*;*/text)--;
;
insert into t values ('/* no; comment */'), ('-- nor; this')--;
, ('x' /* ' */);/* behind */ insert into t values ('y');
;
/* 'a ; " $$ */
-- "`,
      rule,
    );
    expect(count).toBe(3);
    expect(await texts()).toEqual(['-- nor; this', '/* no; comment */', 'x', 'y']);
  });

  it('standard_conforming_strings = off is read as the server reads it from there on, and on again', async () => {
    await pass(
      String.raw`create table t (a text);
insert into t values ('\');
set standard_conforming_strings = off;
insert into t values ('it\'s; \\ ');
insert into t values ('\'; insert into t values (\'no\'); --');
set standard_conforming_strings = on;
insert into t values ('\''');
select 'a\';`,
      rule,
    );
    expect(await texts()).toEqual(["'; insert into t values ('no'); --", '\\', "\\'", "it's; \\ "]);
  });

  it('CRLF ends lines as LF does, and stays in strings and bodies', async () => {
    const count = await pass(
      [
        'create table t (a text); -- one',
        "insert into t values ('1",
        "2');",
        "insert into t values ('a'",
        " 'b');",
        'do $$',
        'begin -- so',
        "  insert into t values ('3;');",
        'end $$;',
        'create function f() returns int begin atomic',
        '  select 1;',
        'end;',
      ].join('\r\n'),
      rule,
    );
    expect(count).toBe(5);
    expect(await texts()).toEqual(['1\r\n2', '3;', 'ab']);
  });

  it('a byte-order mark is no part of the first statement; one further on is what it says', async () => {
    expect(await pass("\ufeffcreate table t (a text);\ninsert into t values ('\ufeff');", rule)).toBe(2);
    expect(await texts()).toEqual(['\ufeff']);
    expect(await pass('\ufeff-- no more than a comment', rule)).toBe(0);
  });

  it.runIf(offers('a superuser'))('event triggers are made, and see what files do, each statement once, and nothing of Weft', async () => {
    const url = database.superuserUrl as string;
    const count = await pass(
      `create table log (n serial, tag text, name text);
create function note() returns event_trigger language plpgsql as $$
begin
  insert into public.log (tag, name) select tg_tag, object_identity from pg_event_trigger_ddl_commands() where object_type <> 'index';
end $$;
create event trigger noted on ddl_command_end when tag in ('CREATE TABLE', 'CREATE FUNCTION', 'ALTER TABLE') execute function note();
create table seen (a int);
create function seen() returns int language sql as 'select 1; select 2';
do $$ begin alter table seen add column b int; end $$;`,
      rule,
      url,
    );
    expect(count).toBe(6);
    await pass('create table later (a int);\ncreate index on later (a);', rule, url);
    expect(await sql(url, 'select tag, name from log order by n')).toEqual([
      { tag: 'CREATE TABLE', name: 'public.seen' },
      { tag: 'CREATE FUNCTION', name: 'public.seen()' },
      { tag: 'ALTER TABLE', name: 'public.seen' },
      { tag: 'CREATE TABLE', name: 'public.later' },
    ]);
  });
});
