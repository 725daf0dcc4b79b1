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
let major: number;

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
  [{ major }] = (await sql(database.url, `select current_setting('server_version_num')::int / 10000 as major`)) as [{ major: number }];
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

const aggregate = (more: string): string =>
  `create or replace aggregate shop.total (int) (sfunc = shop.plus, stype = int, msfunc = shop.plus, minvfunc = shop.plus, mstype = int, mfinalfunc = abs${more})`;

/** A type in C that borrows the functions of the server's own. */
const base = (like: string, more: string): string =>
  `create type shop.odd; create function shop.odd_in(cstring) returns shop.odd language internal immutable strict as '${like}in';
   create function shop.odd_out(shop.odd) returns cstring language internal immutable strict as '${like}out';
   create type shop.odd (input = shop.odd_in, output = shop.odd_out${more})`;

describe('a detail that is changed shows:', () => {
  it.each([
    ['the space that a moving aggregate takes', aggregate(''), aggregate(', msspace = 99'), /^changed aggregate shop.total\(integer\): .*moving: sspace 99/],
    [
      'how the last function of a moving aggregate treats its state',
      aggregate(''),
      aggregate(', mfinalfunc_modify = read_write'),
      /^changed aggregate .*moving: final r.* => .*moving: final w/,
    ],
    [
      'a column that is inherited, and the own of its table as well',
      'create table shop.child () inherits (shop.parent); create table shop.other (a int, constraint positive check (a > 0))',
      'drop table shop.child; create table shop.child (a int) inherits (shop.parent)',
      /^changed column shop.child.a: integer => integer of its own too$/,
    ],
    [
      'a check that is inherited, and the own of its table as well',
      'create table shop.child () inherits (shop.parent)',
      'alter table shop.child add constraint positive check (a > 0)',
      /^changed constraint shop.child.positive: CHECK \(\(a > 0\)\) => CHECK \(\(a > 0\)\); of its own too$/,
    ],
    [
      'an index attached to one that has not all of its parts yet',
      'create index whole on only shop.days (n); create index part on shop.first (n)',
      'alter index shop.whole attach partition shop.part',
      /^changed index shop.whole: .* INVALID => .* INVALID, attached: shop.part$/,
    ],
    [
      'a function that goes with an extension',
      '',
      'alter function shop.plus(int, int) depends on extension plpgsql',
      /^added goes with an extension function shop.plus\(integer,integer\): plpgsql: {2}=> $/,
    ],
  ])('%s', async (_, before, change, expected) => {
    expect(await changesOf(before, change)).toEqual([expect.stringMatching(expected)]);
  });

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

  it('the name of the NOT NULL of a domain (since PostgreSQL 17)', async ({ skip }) => {
    if (major < 17) return skip();
    expect(await changesOf('create domain shop.name as text not null', 'alter domain shop.name rename constraint name_not_null to named')).toEqual([
      expect.stringMatching(/^changed domain shop.name: .*, text not null => .*, text not null constraint named$/),
    ]);
  });

  it.each([
    ['a type that is announced and not made', '', 'create type shop.odd', [/^added shell type shop.odd: /]],
    [
      'a type that is made of others',
      base('point_', ', internallength = 16, alignment = double, element = float8'),
      'drop type shop.odd cascade',
      [/^removed base type shop.odd: .*element double precision/],
    ],
    [
      'how a type writes its modifiers',
      `${base('int4', ', like = int')}; create function shop.odd_typmod(int) returns cstring language internal immutable strict as 'varchartypmodout'`,
      'alter type shop.odd set (typmod_out = shop.odd_typmod)',
      [/^changed base type shop.odd: .*modifiers out shop.odd_typmod/],
    ],
    [
      'how a type is analyzed',
      `${base('int4', ', like = int')}; create function shop.odd_analyze(internal) returns boolean language internal as 'range_typanalyze'`,
      'alter type shop.odd set (analyze = shop.odd_analyze)',
      [/^changed base type shop.odd: .*analyze shop.odd_analyze/],
    ],
    [
      'by which family an operator puts in order',
      'create operator family shop.near using gist; alter operator family shop.near using gist add operator 15 <-> (point, point) for order by float_ops',
      'alter operator family shop.near using gist drop operator 15 (point, point); alter operator family shop.near using gist add operator 15 <-> (point, point) for order by integer_ops',
      [/^changed operator family shop.near using gist: .* for order by pg_catalog.float_ops => .* for order by pg_catalog.integer_ops$/s],
    ],
    [
      'the column of an extension that a foreign key refers to',
      'create table shop.theirs (id int primary key, other int unique); alter extension plpgsql add table shop.theirs; create table shop.ours (n int references shop.theirs)',
      'alter table shop.ours drop constraint ours_n_fkey; alter table shop.ours add foreign key (n) references shop.theirs (other)',
      [/^changed constraint shop.ours.ours_n_fkey: FOREIGN KEY \(n\) REFERENCES shop.theirs\(id\) => FOREIGN KEY \(n\) REFERENCES shop.theirs\(other\)$/],
    ],
    [
      'a deferrable key that nobody enforces',
      'create table shop.keys (n int unique deferrable)',
      'alter table shop.keys disable trigger all',
      [/^changed constraint shop.keys.keys_n_key: UNIQUE \(n\) DEFERRABLE => UNIQUE \(n\) DEFERRABLE; not enforced: its trigger is disabled$/],
    ],
  ])('%s, which takes a superuser', async (_, before, change, expected) => {
    if (database.superuserUrl === null) return;
    const found = await changesOf(before, change, database.superuserUrl);
    for (const one of expected) expect(found).toContainEqual(expect.stringMatching(one));
  });
});
