/**
 * What is true of every object of the engine: it has a comment, it says in which search_path it runs, and it calls only what lies below it. And that
 * the engine leaves when asked: what was there before is there afterwards.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensureEngine } from '../../src/database/engine.ts';
import { passFiles } from '../engine/support.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, everyRow } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { filesIn, read } from './house.ts';

/** Every function has a SET clause for search_path but these. */
const WITHOUT_SEARCH_PATH: Readonly<Record<string, string>> = {
  run: 'a procedure that commits can have no SET clause',
  version: 'names nothing, and a SET clause would keep it from being inlined',
  _reset_session: 'sets search_path for whoever calls it; a SET clause would undo that at its end',
  _run_steps: 'runs the statements of files in their search_path; every name of its own is qualified, or comes after it took its own path back',
  _read_text: 'called for every small file, where a SET clause would cost more than the work; every name and operator is qualified',
};

const FLOORS = filesIn('sql').filter((file) => /^sql\/\d+_\w+\.sql$/.test(file));

/** Without comments and without COMMENT ON, line by line as it was. */
function codeOf(file: string): string {
  return read(file)
    .replace(/--.*$/gm, '')
    .replace(/^comment on [^;]*?is\s*'(?:[^']|'')*';/gm, (comment) => comment.replace(/[^\n]/g, ''));
}

/** `file:line: text` of each line of code that matches. */
function linesThat(isWrong: (line: string) => boolean): string[] {
  return FLOORS.flatMap((file) =>
    codeOf(file)
      .split('\n')
      .flatMap((line, index) => (isWrong(line) ? [`${file}:${index + 1}: ${line.trim().slice(0, 120)}`] : [])),
  );
}

const definedIn = (file: string): string[] =>
  [...codeOf(file).matchAll(/^create or replace (?:function|procedure) weft\.(\w+)/gm)].map(([, name = '']) => name);

async function install(database: TestDatabase): Promise<void> {
  const session = await connectOver(database.url)();
  try {
    await ensureEngine(session);
  } finally {
    await session.close();
  }
}

describe('the files of sql/', () => {
  test('are there, one for each floor, and the first names them all', () => {
    expect(FLOORS.length).toBeGreaterThan(10);
    const named = [...read('sql/00_schema.sql').matchAll(/^--\s+(\d\d) (\w+) /gm)].map(([, number, name]) => `sql/${number}_${name}.sql`);
    expect(named).toEqual(FLOORS);
  });

  test('begin with a comment', () => {
    expect(FLOORS.filter((file) => !/^-- \S/.test(read(file)))).toEqual([]);
  });

  test('write keywords in lower case', () => {
    expect(linesThat((line) => /^\s*[A-Z]{2,}\b/.test(line))).toEqual([]);
    expect(
      linesThat((line) =>
        /\b(?:SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|CREATE|ALTER|DROP|RETURNS?|BEGIN|END|THEN|NULL|NOT|AND|EXISTS)\b/.test(withoutStrings(line)),
      ),
    ).toEqual([]);
  });

  test('define every function once, so that none hides another', () => {
    const names = FLOORS.flatMap(definedIn);
    expect(names.length).toBeGreaterThan(50);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  test('call only the functions of their own floor and of those below', () => {
    const floorOf = new Map(FLOORS.flatMap((file, floor) => definedIn(file).map((name): [string, number] => [name, floor])));
    const calls = FLOORS.flatMap((file, floor) =>
      [...codeOf(file).matchAll(/(?<!insert into |references |create table |create index \w+ on )\bweft\.(\w+)\s*\(/g)].map(([, name = '']) => ({
        file,
        floor,
        name,
        is: floorOf.get(name),
      })),
    );
    expect(calls.length).toBeGreaterThan(100);
    expect(calls.filter(({ is }) => is === undefined).map(({ file, name }) => `${file} calls weft.${name}, which nobody defines`)).toEqual([]);
    expect(calls.filter(({ floor, is = 0 }) => is > floor).map(({ file, name, is = 0 }) => `${file} calls weft.${name} of ${FLOORS[is]}`)).toEqual([]);
  });
});

/** Strings that begin and end in one line are left out: they hold prose. */
function withoutStrings(line: string): string {
  return line.replace(/'(?:[^']|'')*'/g, "''");
}

describe('the engine in a database', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await freshDatabase();
    await install(database);
  });

  afterAll(async () => {
    await database.drop();
  });

  test('has a comment at every function, procedure, table, view and type', async () => {
    const objects = await sql(
      database.url,
      `select f.prokind::text as kind, f.oid::regprocedure::text as name, obj_description(f.oid, 'pg_proc') as comment
       from pg_proc as f where f.pronamespace = 'weft'::regnamespace
       union all
       select c.relkind::text, c.oid::regclass::text, obj_description(c.oid, 'pg_class')
       from pg_class as c where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
       union all
       select t.typtype::text, t.oid::regtype::text, obj_description(t.oid, 'pg_type')
       from pg_type as t left join pg_class as c on c.oid = t.typrelid
       where t.typnamespace = 'weft'::regnamespace and (t.typtype in ('e', 'd', 'r') or c.relkind = 'c')`,
    );
    expect([...new Set(objects.map(({ kind }) => kind))].sort()).toEqual(['c', 'e', 'f', 'p', 'r', 'v']);
    expect(objects.length).toBeGreaterThan(80);
    expect(objects.filter(({ comment }) => comment === null).map(({ name }) => name)).toEqual([]);
    expect(objects.filter(({ comment }) => !/^[A-Z][\s\S]*[.]$/.test(comment ?? '')).map(({ name }) => name)).toEqual([]); // a sentence
    expect((await sql(database.url, `select obj_description('weft'::regnamespace, 'pg_namespace') as comment`))[0].comment).toContain('drop it');
  });

  test('says of every function in which search_path it runs, but of those that cannot', async () => {
    const functions = await sql(
      database.url,
      `select f.proname as name, (select s from unnest(f.proconfig) as s where s like 'search_path=%') as path
       from pg_proc as f where f.pronamespace = 'weft'::regnamespace`,
    );
    expect(
      functions
        .filter(({ path }) => path === null)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(Object.keys(WITHOUT_SEARCH_PATH).sort());
    const others = functions.filter(({ path }) => path !== null && path !== 'search_path=pg_catalog, pg_temp');
    expect(others.map(({ name, path }) => `${name}: ${path}`)).toEqual([]);
  });

  test('runs nothing with the rights of its owner, and gives nobody else a way in', async () => {
    const [found] = await sql(
      database.url,
      `select array(select f.proname::text from pg_proc as f where f.pronamespace = 'weft'::regnamespace and f.prosecdef) as definers,
              has_schema_privilege('pg_monitor', 'weft', 'usage') or has_schema_privilege('pg_monitor', 'weft', 'create') as is_open`,
    );
    expect(found).toEqual({ definers: [], is_open: false });
  });
});

describe('drop schema weft cascade', () => {
  const USERS = {
    '1.sql': `create table public.goods (id int generated always as identity primary key, name text not null unique, price numeric default 1);
      insert into public.goods (name) select 'good ' || n from generate_series(1, 47) as n;
      create view public.cheap as select * from public.goods where price < 2;
      create materialized view public.counted as select count(*) as many from public.goods;`,
    '2.sql': `create schema stock; create type stock.state as enum ('here', 'gone');
      create table stock.places (n int references public.goods, state stock.state default 'here'); insert into stock.places values (1), (2);
      create function stock.twice(n int) returns int language sql as 'select n * 2';
      create function stock.watch() returns trigger language plpgsql as 'begin return new; end';
      create trigger watch before insert on stock.places for each row execute function stock.watch();`,
  };

  /** The user's objects with their OIDs: the very same, not made again. */
  const objects = (url: string) =>
    sql(
      url,
      `select 'class' as kind, c.oid::text, c.relname as name from pg_class as c where c.relnamespace in ('public'::regnamespace, 'stock'::regnamespace)
       union all select 'proc', f.oid::text, f.proname from pg_proc as f where f.pronamespace in ('public'::regnamespace, 'stock'::regnamespace)
       union all select 'trigger', t.oid::text, t.tgname from pg_trigger as t where not t.tgisinternal
       union all select 'constraint', k.oid::text, k.conname from pg_constraint as k where k.connamespace in ('public'::regnamespace, 'stock'::regnamespace)
       order by 1, 2`,
    );

  test('leaves the tables, views and data of the user alone, and the next deployment installs it anew', async () => {
    const database = await freshDatabase();
    await passFiles(database.url, USERS);
    const snapshot = 'select * from weft.snapshot() order by kind, identity, definition';
    const before = { rows: await everyRow(database.url), objects: await objects(database.url), catalog: await sql(database.url, snapshot) };
    expect(before.rows['public.goods']).toHaveLength(47);

    await sql(database.url, 'drop schema weft cascade');
    expect(await everyRow(database.url)).toEqual(before.rows);
    expect(await objects(database.url)).toEqual(before.objects);
    const [seen] = await sql(
      database.url,
      'select (select count(*)::int from cheap) as cheap, (select many::int from counted) as counted, stock.twice(4) as twice',
    );
    expect(seen).toEqual({ cheap: 47, counted: 47, twice: 8 });

    const deployment = await passFiles(database.url, { '3.sql': `insert into public.goods (name) values ('after'); insert into stock.places values (48);` });
    expect(deployment.fingerprint.after).toBe(deployment.fingerprint.before);
    expect(await sql(database.url, snapshot)).toEqual(before.catalog);
    expect(await sql(database.url, 'select path from weft.history')).toEqual([{ path: '3.sql' }]); // it remembers nothing of before
    expect((await everyRow(database.url))['public.goods']).toHaveLength(48);
    await database.drop();
  });

  test('leaves nothing of Weft in any catalog of the database', async () => {
    const database = await freshDatabase();
    const count = async (): Promise<Record<string, number>> => {
      const catalogs = await sql(
        database.url,
        `select c.relname as name from pg_class as c
         where c.relnamespace = 'pg_catalog'::regnamespace and c.relkind = 'r' and not c.relisshared and c.relname not in ('pg_statistic', 'pg_statistic_ext_data')
           and has_table_privilege(c.oid, 'select')`,
      );
      const all = catalogs.map(({ name }) => `select '${name}' as name, count(*)::int as count from pg_catalog.${name}`).join(' union all ');
      return Object.fromEntries((await sql(database.url, all)).map(({ name, count: rows }) => [name, rows]));
    };
    const before = await count();
    await install(database);
    await passFiles(database.url, { '1.sql': 'select 1;' });
    expect((await count()).pg_class).toBeGreaterThan(before.pg_class ?? 0);
    await sql(database.url, 'drop schema weft cascade');
    expect(await count()).toEqual(before);
    await database.drop();
  });
});
