/** Casts and operators that somebody has made over types: whoever reads, shows or compares values asks the types alone. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    `create schema s; create table s.asked (what text); create type s.mood as enum ('ok', 'bad', 'a "b\\c"'); create type s.pair as (a int, b text)`,
  );
});

afterEach(() => database.drop());

const deploy = (phase: object, files: Readonly<Record<string, string>>) =>
  deployFiles(connectOver(database.url), {
    ...files,
    'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'p', settings: { search_path: 's' }, ...phase }] }),
  });
const asked = () => sql(database.url, 'select distinct what from s.asked');

/** A cast that says when it is asked, and another value than the type itself would have. */
const castFromText = (type: string, value: string) =>
  sql(
    database.url,
    `create function s.f(text) returns ${type} language plpgsql as $$ begin insert into s.asked values ('${type}'); return ${value}; end $$;
     create cast (text as ${type}) with function s.f(text)`,
  );

describe('rows behind COPY, of a type over which somebody has made a cast from text', () => {
  it.each(['single', 'none'])('are read as the type reads them: an enum, also in a domain (%s)', async (transaction) => {
    await castFromText('s.mood', `'bad'`);
    await sql(database.url, `create domain s.mild as s.mood check (value <> 'bad'); create table s.t (n int, m s.mood, d s.mild)`);
    const end = await deploy(
      { transaction, steps: [{ run: '1.sql' }] },
      { '1.sql': `copy t from stdin;\n1\tok\tok\n2\ta "b\\\\c"\t\\N\n3\tbad\ta "b\\\\c"\n\\.\n` },
    );
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(await sql(database.url, 'select m::text, d::text from s.t order by n')).toEqual([
      { m: 'ok', d: 'ok' },
      { m: 'a "b\\c"', d: null },
      { m: 'bad', d: 'a "b\\c"' },
    ]);
    expect(await asked()).toEqual([]);
  });

  it('are read as the type reads them: rows, and ranges', async () => {
    await castFromText('s.pair', `row(9, 'nine')::s.pair`);
    await sql(database.url, `create type s.span as range (subtype = int8); create table s.t (p s.pair, r s.span)`);
    await sql(
      database.url,
      `create function s.g(text) returns s.span language plpgsql as $$ begin insert into s.asked values ('s.span'); return 'empty'; end $$;
       create cast (text as s.span) with function s.g(text)`,
    );
    const end = await deploy({ steps: [{ run: '1.sql' }] }, { '1.sql': `copy t from stdin;\n(1,"x ""y""")\t[1,5)\n\\.\n` });
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(await sql(database.url, 'select (p).a, (p).b, r::text from s.t')).toEqual([{ a: 1, b: 'x "y"', r: '[1,5)' }]);
    expect(await asked()).toEqual([]);
  });

  it('name the line and the column of a value that is none of it', async () => {
    await castFromText('s.mood', `'bad'`);
    await sql(database.url, 'create table s.t (n int, m s.mood)');
    const end = await deploy({ steps: [{ run: '1.sql' }] }, { '1.sql': 'copy t from stdin;\n1\tok\n2\tnone\n\\.\n' });
    expect(end.error).toMatchObject({ sqlstate: '22P02', message: 'Line 3, column "m": invalid input value for enum mood: "none"', line: 3, column: 'm' });
    expect(await asked()).toEqual([]);
  });

  it('are refused where the cast stands before every way that there is: over an array', async () => {
    await castFromText('s.mood[]', `'{}'`);
    await sql(database.url, 'create table s.t (m s.mood[])');
    const end = await deploy({ steps: [{ run: '1.sql' }] }, { '1.sql': 'copy t from stdin;\n{ok}\n\\.\n' });
    expect(end.error).toMatchObject({
      sqlstate: 'WF083',
      message: 'Somebody has made a cast from text over the type s.mood[], and it would read the rows, not the type itself.',
    });
    expect(await asked()).toEqual([]);
  });
});

describe('values of a type over which somebody has made a cast to json', () => {
  beforeEach(() =>
    sql(
      database.url,
      `create function s.j(s.mood) returns json language plpgsql as $$ begin insert into s.asked values ('json'); return '"?"'; end $$;
       create cast (s.mood as json) with function s.j(s.mood);
       create table s.t (n int primary key, m s.mood, l s.mood[], p jsonb, done boolean);
       insert into s.t values (1, 'ok', '{}', null, false), (2, 'bad', '{ok,bad}', '{"a": [1]}', false)`,
    ),
  );

  it('are shown by a check as the type writes them, and all else as ever', async () => {
    const check = { check: 'c.sql', severity: 'warn' };
    const end = await deploy(
      { steps: [{ run: '1.sql' }], checks: [check] },
      { '1.sql': 'select 1', 'c.sql': `select n, m, l, p, row(m) as r, done from t where m = 'bad' -- one` },
    );
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(end.phases[0]?.steps[1]?.result).toMatchObject({
      columns: ['n', 'm', 'l', 'p', 'r', 'done'],
      offenders: [{ n: 2, m: 'bad', l: '{ok,bad}', p: { a: [1] }, r: '(bad)', done: false }],
    });
    expect(await asked()).toEqual([]);
  });

  it('are shown as a text where two columns have one name', async () => {
    const check = { check: 'c.sql', severity: 'warn' };
    const end = await deploy({ steps: [{ run: '1.sql' }], checks: [check] }, { '1.sql': 'select 1', 'c.sql': `select n, m, m from t where m = 'bad'` });
    expect(end.phases[0]?.steps[1]?.result).toMatchObject({ offenders: ['(2,bad,bad)'] });
    expect(await asked()).toEqual([]);
  });

  const MANY = `create table s.many (m s.mood); insert into s.many select (array['ok', 'bad', 'bad'])[1 + i % 3]::s.mood from generate_series(1, 100) as i; analyze s.many`;
  const OF_MANY = `from pg_stats as p where p.schemaname = 's' and p.tablename = 'many'`;
  it.each([
    ['a column that may be of any type', `select p.most_common_vals as v ${OF_MANY}`, '{bad,ok}'],
    ['a row of a view of the server’s', `select p as v ${OF_MANY}`, /^\(s,many,m,.*"\{bad,ok\}"/],
    ['an array of such rows', `select array_agg(p) as v ${OF_MANY}`, /^\{"\(s,many,m,.*\{bad,ok\}/],
    ['an array of rows of no type', 'select array_agg(r) as v from (select m from s.t where n = 1) as r', '{(ok)}'],
  ])('are shown as text also where the type of the column is the server’s: %s', async (_, query, text) => {
    await sql(database.url, MANY);
    const end = await deploy({ steps: [{ run: '1.sql' }], checks: [{ check: 'c.sql', severity: 'warn' }] }, { '1.sql': 'select 1', 'c.sql': query });
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(end.phases[0]?.steps[1]?.result).toMatchObject({ offenders: [{ v: typeof text === 'string' ? text : expect.stringMatching(text) }] });
    expect(await asked()).toEqual([]);
  });

  it('do not change how a check shows what is the server’s through and through, or rows that have no column', async () => {
    const checks = ['c.sql', 'd.sql'].map((check) => ({ check, severity: 'warn' }));
    const files = {
      'c.sql': `select array[1, 2] as a, int4range(1, 3) as r, array[int4range(1, 3)] as rs, 5::information_schema.cardinal_number as d, '{"a": 1}'::json as j, 'x'::name as n`,
      'd.sql': 'select from t',
    };
    const end = await deploy({ steps: [{ run: '1.sql' }], checks }, { '1.sql': 'select 1', ...files });
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(end.phases[0]?.steps[1]?.result).toMatchObject({ offenders: [{ a: [1, 2], r: '[1,3)', rs: ['[1,3)'], d: 5, j: { a: 1 }, n: 'x' }] });
    expect(end.phases[0]?.steps[2]?.result).toMatchObject({ offenders_count: 2, offenders: [{}, {}] });
    expect(await asked()).toEqual([]);
  });

  it.each(['p.most_common_vals', 'p'])('are not asked for JSON by a batch that returns %s as its cursor', async (cursor) => {
    await sql(database.url, MANY);
    const end = await deploy(
      { steps: [{ batch: 'b.sql', size: 5, cursor: 'a' }] },
      {
        'b.sql': `with done as (update t set done = true where n in (select n from t where not done and :'cursor' <> '' order by n limit :size) returning n)
          select (select ${cursor} ${OF_MANY}) as cursor, count(*) as rows from done`,
      },
    );
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(await sql(database.url, 'select n from s.t where done')).toHaveLength(2);
    expect(await asked()).toEqual([]);
  });

  it.each(['returning *, n as cursor', 'returning n as cursor, m, 1 as rows'])('are no matter to a batch, whatever it returns: %s', async (returning) => {
    const batch = { batch: 'b.sql', size: 1, cursor: 0 };
    const end = await deploy(
      { steps: [batch] },
      { 'b.sql': `update t set done = true where n in (select n from t where n > :'cursor' order by n limit :size) ${returning}` },
    );
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(end.phases[0]?.steps[0]).toMatchObject({ rows: 2 });
    expect(await asked()).toEqual([]);
  });

  it('may be cursors', async () => {
    const batch = { batch: 'b.sql', size: 5, cursor: 'ok' };
    const end = await deploy(
      { steps: [batch] },
      { 'b.sql': `update t set done = true where n in (select n from t where m > :'cursor' order by m limit :size) returning m as cursor` },
    );
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(await sql(database.url, 'select n from s.t where done')).toEqual([{ n: 2 }]);
    expect(await asked()).toEqual([]);
  });
});

it('an operator that somebody has made for a domain is not asked whether keys of a load are equal', async ({ skip }) => {
  const [{ there }] = await sql(database.url, `select exists (select from pg_available_extensions where name = 'citext') as there`);
  if (!there) return skip();
  await sql(
    database.url,
    `create extension citext schema s; create domain s.email as s.citext; create table s.users (mail s.email primary key, n int);
     create function s.eq(s.email, s.email) returns boolean language plpgsql as $$ begin insert into s.asked values ('='); return false; end $$;
     create operator s.= (leftarg = s.email, rightarg = s.email, function = s.eq)`,
  );
  const load = { load: 'u.csv', into: 'users', mode: 'sync', key: ['mail'] };
  await deploy({ steps: [load] }, { 'u.csv': 'mail,n\na@b,1\nc@d,2\n' });
  const end = await deploy({ steps: [load] }, { 'u.csv': 'mail,n\nA@b,1\nc@d,3\n' });
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  expect(end.phases[0]?.steps[0]?.result).toMatchObject({ inserted: 0, updated: 2, deleted: 0 });
  expect(await asked()).toEqual([]);
});
