/**
 * Where an error is: the line and the character of the very place, as psql shows it to whoever runs the file by hand. In each text here "»"
 * stands before the place, and is no part of the file; "»»" before a line of which no more than the line can be told.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { failFiles, type Rule } from './support.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    `create table item (id int primary key, price numeric, note text);
     create function inner_fault(n int) returns int language plpgsql as $$ begin return n / 0; end $$`,
  );
});

afterAll(() => database.drop());

let number = 0;

/** Fails with a file, and holds what is said of the place against the mark. */
async function expectPlace(marked: string, rule: Rule = 'single') {
  const at = marked.indexOf('»');
  const isExact = marked[at + 1] !== '»';
  const text = marked.replaceAll('»', '');
  const before = text.slice(0, at);
  const lineAt = before.lastIndexOf('\n') + 1;
  const error = await failFiles(database.url, { [`${++number}.sql`]: text }, rule);
  const bare = (line: string) => (line.split(/\r?\n/)[0] as string).replace(/;$/, ''); // the semicolon is no part of a statement
  const excerpt = error.excerpt as string;
  expect(error).toMatchObject({ line: before.split('\n').length, excerpt: expect.any(String) });
  expect(bare(excerpt)).toBe(bare(text.slice(lineAt)));
  expect(error.character ?? null, JSON.stringify(error)).toBe(isExact ? [...before.slice(lineAt)].length + 1 : null);
  if (isExact) expect(bare([...excerpt].slice((error.caret as number) - 1).join(''))).toBe(bare(text.slice(at)));
  return error;
}

it('of a value of the wrong type out of a query names the column', async () => {
  await expectPlace('insert into item (note,\n  »id) select note, note from item;');
  await expectPlace('merge into item as i using item as j on i.id = j.id\nwhen matched then update set note = j.note, id = »j.note;').catch(async (error) => {
    const [{ has_merge }] = await sql(database.url, `select current_setting('server_version_num')::int >= 150000 as has_merge`);
    if (has_merge) throw error;
  });
});

describe('an error names the line and the character of the very place', () => {
  it.each([
    ['a word in the wrong place', 'create table t (\n  id int,\n  price numeric »nott null\n);'],
    ['the same word in the right place before it', 'select 1 as a,\n  2 as b\nfrom item as »as x;'],
    ['a comma too many', 'select id,\n  price,\n  note,\n»from item;'],
    ['a parenthesis too many', 'select (1),\n  (2)»),\n  (3);'],
    ['an end too early', 'select 1;\n\nselect id\nfrom item\nwhere» ;'],
    ['a string that does not end', "select 1;\nselect 'a',\n  »'it;\n"],
    ['a column that is not there', 'select id,\n  price,\n  »cost\nfrom item;'],
    ['a column of a table that is not there', 'select i.id,\n  »j.price\nfrom item as i;'],
    ['a qualified column', 'select\n  i.id, »i.cost from item as i;'],
    ['a table', 'insert into item (id)\nselect id\nfrom »public.nowhere;'],
    ['a function', 'select id,\n  »price_of(id)\nfrom item;'],
    ['an operator', 'select id\nfrom item\nwhere id »+ note > 1;'],
    ['a type', 'create table t (\n  a int,\n  b »integr\n);'],
    ['a literal', "insert into item (id, price) values\n  (1, 1),\n  (»'two', 2);"],
    ['a value of the wrong type that a column is set to', "update item\nset price = 1, note = 'price',\n  id = »now()\nwhere id = 1;"],
    ['one of a row', "insert into item (price, id, note)\nvalues (1,\n  »'x'::text, 'id');"],
    ['the first of a row', "insert into item (id, price)\nvalues\n  (»'x'::text, (select price from item));"],
    ['one behind others with commas of their own', 'insert into item (price, note, id) values (coalesce(1, 2), (array[1, 2])[1],\n  »now());'],
    ['a date', "select\n  1,\n  date »'2024-02-30';"],
    ['a quoted name', 'select "id",\n  »"Price" from item;'],
    ['an ambiguous column', 'select\n  »id\nfrom item as a, item as b;'],
    ['a column that an INSERT has not', 'insert into item (id,\n  »cost) values (1, 2);'],
    ['characters of several bytes before it', "select 'größe 🎉', »cost from item;"],
    ['comments before the statement', '/* one;\n two */ -- three\nselect 1,\n -- cost\n »cost from item;'],
    ['a tab before it', 'select\n\t1,\t»cost from item;'],
    ['CRLF', 'select id,\r\n  »cost\r\nfrom item;\r\n'],
    ['a byte order mark', '\ufeffselect 1,\n »cost from item;'],
    ['a body BEGIN ATOMIC', 'create function f() returns int\nbegin atomic\n  select »cost from item;\nend;'],
    ['a table that the same transaction has made', 'create table made (a int);\ninsert into made (a,\n  »b) values (1, 2);'],
  ])('%s', async (_, text) => {
    await expectPlace(text);
    await expectPlace(text, 'auto');
    if (!text.includes('made')) await expectPlace(text, 'none');
  });

  it.each([
    ['a name', "select 'cost', (select 1 as cost)\nfrom item as i\nwhere i.note = 'cost'\n  and »cost = 1 /* cost */;"],
    ['a literal', "select '1.5'::numeric,\n  '1.5'::text,\n  »'1.5'::int;"],
    ['a word', 'select case when true then 1 end,\n  1 as x,\n  2 from item »when;'],
  ])('of several places the one that the server means: %s', async (_, text) => {
    await expectPlace(text);
  });

  it('with the values of parameters in the statement, and their words in the account', async () => {
    const end = await deployFiles(
      connectOver(database.url),
      {
        'weft.yaml': 'name: p\nparameters: { n: { type: integer, default: 1 } }\nphases: [{ name: m, steps: [{ run: a.sql }] }]\n',
        'a.sql': 'select :n,\n  :n as when,\n  :n from item when;\n',
      },
      {},
    );
    expect(end.error).toMatchObject({ line: 3, character: 16, excerpt: '  :n from item when' });
  });

  it('in a batch', async () => {
    const end = await deployFiles(
      connectOver(database.url),
      {
        'weft.yaml': 'name: p\nphases: [{ name: m, steps: [{ batch: b.sql, cursor: 0 }] }]\n',
        'b.sql': "update item set price = 0\nwhere id in (\n  select id from item where cost > :'cursor' order by id limit :size)\nreturning id as cursor;",
      },
      {},
    );
    expect(end.error).toMatchObject({ line: 3, character: 29, sqlstate: '42703' });
  });
});

describe('an error in a body names the line of the file', () => {
  it.each([
    ['raised in a DO block', 'select 1;\n\ndo $$\ndeclare\n  n int;\nbegin\n  n := 1;\n»»  raise exception \'no column "n" here\';\nend $$;'],
    [
      'of a statement in a DO block',
      'do $$\nbegin\n  perform 1;\n  insert into item (id)\n    values (1);\n  insert into item (id, »cost)\n    values (1);\nend $$;',
    ],
    ['of the second line of a statement in it', 'do $$\nbegin\n  insert into item (id)\n  select id from »nowhere;\nend $$;'],
    ['without a place, in a DO block', 'do $do$\nbegin\n  perform 1;\n»»  perform 1 / (id - id) from (values (1)) as v (id);\nend $do$;'],
    ['in a function that it calls', 'do $$\nbegin\n»»  perform inner_fault(1);\nend $$;'],
    ['of what it executes', "do $$\nbegin\n»»  execute 'select cost from item';\nend $$;"],
    [
      'of a value, which shows only while it runs',
      "do $$\ndeclare\n  y text := 'x';\n  v int;\nbegin\n»»  v := case when y <> 'a' then y::int when y = 'x' then 1 end;\nend $$;",
    ],
    ['of a value that a condition asks for', "do $$\ndeclare\n  y text := 'x';\nbegin\n»»  if y::int > 0 or y = 'x' then null; end if;\nend $$;"],
    ['of one of two statements in a line', 'do $$\nbegin\n»»  perform 1 as cost; perform cost from item;\nend $$;'],
    ['of the one of them that it can be', 'do $$\nbegin\n  perform 1; perform »cost from item;\n  perform 1 as cost;\nend $$;'],
    ['of a name that a value says', "do $$\nbegin\n  perform 1;\n»»  perform nextval('item_id') as item_id;\nend $$;"],
    ['of an operator that a word stands for', "do $$\nbegin\n»»  perform 1 from item where id in ('a'::text) and id = 1;\nend $$;"],
    ['in CRLF', 'do $$\r\nbegin\r\n  perform »cost from item;\r\nend $$;\r\n'],
    ['of the grammar of plpgsql', 'select 1;\ncreate function f() returns void language plpgsql as $$\nbegin\n  if true then\n    null;\n  end »iff;\nend $$;'],
    [
      'of the grammar of a statement in a function',
      'create function f() returns void language plpgsql as $body$\nbegin\n  perform 1 from item;\n  insert into item »form item;\nend $body$;',
    ],
    ['of a body in SQL', 'create function f() returns int\nlanguage sql\nas $$\n  select »cost from item\n$$;'],
  ])('%s', async (_, text) => {
    await expectPlace(text);
    await expectPlace(text, 'none');
  });
});

it('an error in a block that commits, and so runs at top level, names the line of the file too', async () => {
  const end = await deployFiles(
    connectOver(database.url),
    {
      'weft.yaml': 'name: p\nphases: [{ name: m, steps: [{ run: c.sql, done_when: "false" }] }]\n',
      'c.sql': "select 1;\n\ndo $$\nbegin\n  commit;\n  perform 1;\n  raise exception 'no';\nend $$;",
    },
    {},
  );
  expect(end.error).toMatchObject({ sqlstate: 'P0001', line: 7, excerpt: "  raise exception 'no';", statement_line: 3 });
});

describe('where the place is not known', () => {
  it.each([
    ['an error of the data', 'insert into item (id) values (1);\ninsert into item (id)\nvalues (1);', 2],
    ['an error while it runs', 'select 1;\nselect 1,\n  inner_fault(id) from (values (1)) as v (id);', 2],
    [
      'a trigger that says a name',
      'select 1;\ncreate function cost() returns trigger language plpgsql as $$ begin raise exception \'column "id" is wrong\'; end $$;\ncreate trigger c before insert on item for each row execute function cost();\ninsert into item\n  (id) values (1);',
      4,
    ],
    [
      'one of several words in a body',
      'select 1;\ncreate function f() returns void language plpgsql as $$\nbegin\n  perform 1 from item form item\n    where exists (\n      select from item);\nend $$;',
      2,
    ],
    ['a condition that is none', 'select 1;\ndo $$\ndeclare\n  nope int;\nbegin\n  perform 1;\nexception when nope then\n  nope := 1;\nend $$;', 2],
  ])('the line of the statement is named, and no other: %s', async (_, text, line) => {
    const error = await failFiles(database.url, { [`${++number}.sql`]: text });
    expect(error).toMatchObject({ line });
    expect(error.character).toBeUndefined();
  });

  it.each([
    ['a value out of the table', "select 1;\nselect note::int\nfrom item where note = 'x';", '22P02'],
    ['a value out of a literal that holds more', "select 1;\nselect '{1,x}'::int[],\n  'x';", '22P02'],
    ['a literal that looks like a name elsewhere', "select 1;\nselect nextval('item_id'),\n  1 as item_id;", '42P01'],
    ['such a name with its schema', "select 1;\nselect 'Public.Nowhere'::regclass,\n  public.nowhere from (values (1)) as public (nowhere);", '42P01'],
    ['an operator that a word stands for', "select 1;\nselect 1 from item\nwhere id in ('a'::text)\n  and id = 1;", '42883'],
    ['a column that a function was asked for', "select 1;\nselect pg_get_serial_sequence('item', 'cost'),\n  1 as cost;", '42703'],
  ])('as it is not of a word that only looks like the culprit: %s', async (_, text, sqlstate) => {
    await sql(database.url, "insert into item (id, note) values (77, 'x') on conflict do nothing");
    for (const rule of ['single', 'auto', 'none'] as const) {
      const error = await failFiles(database.url, { [`${++number}.sql`]: text }, rule);
      expect(error).toMatchObject({ sqlstate, line: 2 });
      expect(error.character, JSON.stringify(error)).toBeUndefined();
    }
  });

  it('a statement that is very long is not searched', async () => {
    const limits = await setLimits(database.url, { placed_characters: 1000 });
    const error = await failFiles(database.url, { [`${++number}.sql`]: `select 1;\nselect ${'1,\n'.repeat(400)} cost from item;` });
    expect(error).toMatchObject({ line: 2, sqlstate: '42703' });
    expect(error.character).toBeUndefined();
    void limits;
  });

  it('of a very long line the stretch around the place is shown', async () => {
    await setLimits(database.url, { placed_characters: 262144 });
    const error = await failFiles(database.url, { [`${++number}.sql`]: `select ${'1, '.repeat(400)}cost, ${'1, '.repeat(400)}1 from item;` });
    expect(error).toMatchObject({ line: 1, character: 1208, sqlstate: '42703' });
    expect((error.excerpt as string).slice((error.caret as number) - 1)).toMatch(/^cost, 1, /);
    expect((error.excerpt as string).length).toBe(160);
  });
});
