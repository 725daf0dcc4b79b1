/**
 * The house of sql/: every floor calls only itself and the ones below, everything public says what it is, and no function is led
 * astray by a search_path. The text is held to its floors; the rest is asked of a database with the engine in it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { passFiles } from '../engine/support.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { everyRow } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { filesIn, read } from './house.ts';

const FLOORS = filesIn('sql').filter((file) => /^sql\/\d\d_\w+\.sql$/.test(file));

/** Functions without a search_path of their own, and why. */
const WITHOUT_PATH: Readonly<Record<string, string>> = {
  run: 'a procedure that commits may have no SET clause',
  _run_steps: 'it runs files, whose path is theirs',
  _reset_session: 'a SET clause would undo the work',
  _settle_session: 'a SET clause would undo the work',
  _settle_path: 'a SET clause would undo the work',
  _settle_settings: 'a SET clause would undo the work',
  _restore_role: 'a SET clause would undo the work',
  _lend_session: 'a SET clause would undo the work',
  _enter_step: 'a SET clause would undo the work',
  _execute_round: 'it runs statements, whose path is theirs',
  _run_round: 'what it calls sets the path',
  _find_written: 'it asks under the search_path of a file',
  _run_statement: 'it runs statements, whose path is theirs',
  _advance_step: 'it runs statements, whose path is theirs',
  _become: 'it gives the role back, and changes nothing else',
  _begin_copy: 'it asks for a table under the path of the file',
  _insert_rows: 'it runs a statement under the path of the file',
  _enter_file: 'a SET clause would undo the work',
  _check: 'it asks under the search_path of a file',
  _name_columns: 'it asks under the search_path of a file',
  _evaluate: 'it asks under the search_path of a file',
  _rehearse: 'it runs statements, whose path is theirs',
  _enter_rehearsed_file: 'a SET clause would undo the work',
  sample: 'a procedure that commits may have no SET clause',
  sweep: 'a procedure that commits may have no SET clause',
  _is_phase_wanted: 'what it calls sets the path',
  _hurry_commit: 'a SET clause would undo the work',
  _take_secrets: 'a SET clause would undo the work',
  _scrub: 'a SET clause would cost more than what it does where there is nothing to do; every name in it is qualified',
  _show_progress: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _read_text: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _plain_pattern: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _cut_plain: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _mask: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _cut_masked: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _cut_other: 'called for every small file; every name in it is qualified',
  _unquote: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _fold_identifier: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _is_name_in: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _repeat_of: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _digest_statements: 'a SET clause would keep it from being inlined; every name in it is qualified',
  _make_executable: 'a SET clause would keep it from being inlined; every name in it is qualified',
  version: 'a constant',
};

/** The text of a file without its comments. */
function codeOf(file: string): string {
  return read(file).replace(/--[^\n]*/g, (comment) => ' '.repeat(comment.length));
}

interface Mention {
  readonly where: string;
  readonly name: string;
  readonly file: string;
}

/** Settings of a session, which stand in no schema. */
const SETTINGS = new Set(['opened', 'reported', 'round', 'met', 'secrets', 'values']);

/** What a file creates in schema weft. */
function createdIn(file: string): string[] {
  const text = codeOf(file);
  return [...text.matchAll(/^create (?:or replace )?(?:function|procedure|table|type|view|sequence) weft\.(\w+)/gm)].map((match) => match[1] ?? '');
}

/** Every weft.name that a file writes, in code and in the bodies of its functions. */
function mentionsIn(file: string): Mention[] {
  const text = codeOf(file)
    .replace(/^comment on [\s\S]*?';$/gm, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/'(?:[^'\n]|'')*'/g, (literal) => (/^'weft\.\w+'$/.test(literal) ? literal : literal.replace(/[^\n]/g, ' ')));
  return [...text.matchAll(/\bweft\.(\w+)/g)].map((match) => ({
    where: `${file}:${text.slice(0, match.index).split('\n').length}`,
    name: match[1] ?? '',
    file,
  }));
}

describe('the floors of sql/', () => {
  const homes = new Map(FLOORS.flatMap((file) => createdIn(file).map((name) => [name, file] as const)));

  it('are numbered, and 00_schema.sql lists them in their order', () => {
    const listed = [...read('sql/00_schema.sql').matchAll(/^-- {3}(\d\d) (\w+)/gm)].map((match) => `sql/${match[1]}_${match[2]}.sql`);
    expect(listed).toEqual(FLOORS);
  });

  it('hold what there is to look at', () => {
    expect(homes.size).toBeGreaterThan(60);
    expect(FLOORS.flatMap(mentionsIn).length).toBeGreaterThan(300);
  });

  it('name nothing in schema weft that is not there', () => {
    expect(
      FLOORS.flatMap(mentionsIn)
        .filter(({ name }) => !homes.has(name) && !SETTINGS.has(name))
        .map(({ where, name }) => `${where}: weft.${name}`),
    ).toEqual([]);
  });

  it('call only themselves and lower ones', () => {
    const wrong = FLOORS.flatMap(mentionsIn).filter(({ name, file }) => (homes.get(name) ?? '') > file);
    expect(wrong.map(({ where, name }) => `${where}: weft.${name} stands higher, in ${homes.get(name)}`)).toEqual([]);
  });

  it('write keywords in lower case', () => {
    const shouted = /^\s*[A-Z]{2,}\b|\b(?:SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|CREATE|ALTER|DROP|RETURNS?|BEGIN|END|IF|THEN|NULL|NOT|AND|EXISTS)\b/;
    const withoutStrings = (line: string): string => line.replace(/'(?:[^']|'')*'/g, "''");
    const wrong = FLOORS.flatMap((file) =>
      codeOf(file)
        .split('\n')
        .flatMap((line, index) => (shouted.test(withoutStrings(line)) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
    );
    expect(wrong).toEqual([]);
  });

  it('are ASCII, so that a database of any encoding takes them', () => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII, and nothing else
    expect(FLOORS.filter((file) => /[^\u0000-\u007f]/.test(read(file)))).toEqual([]);
  });

  it('and what the doorman says to a database, name the types of pg_catalog as such: another of that name may stand before them in the search_path', () => {
    const settled = ['src/database/guard.ts', 'src/database/install.ts', 'src/database/install_rights.ts']; // set a search_path of their own first
    const said = filesIn('src/database').filter((file) => file.endsWith('.ts') && !settled.includes(file));
    expect(said.length).toBeGreaterThan(10);
    expect(
      said.flatMap(
        (file) =>
          read(file)
            .match(/[\w)'\]}]::(?:text|uuid|jsonb?|bytea|name|oid)\b/g)
            ?.map((cast) => `${file}: ${cast}`) ?? [],
      ),
    ).toEqual([]);
  });

  it("write a vertical tab as \\x0b: before 16, E'\\v' is the letter", () => {
    expect(FLOORS.filter((file) => /\bE'(?:[^'\\]|''|\\[^v])*\\v/.test(read(file)))).toEqual([]);
  });

  it('begin with a comment', () => {
    expect(FLOORS.filter((file) => !/^-- \S/.test(read(file)))).toEqual([]);
  });

  it('define every name once, so that none hides another', () => {
    const names = FLOORS.flatMap(createdIn);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });
});

describe('in a database with the engine', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await emptyDatabase();
    const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
    await ensureEngine(session);
    await session.close();
  });

  afterAll(async () => {
    await database.drop();
  });

  it('compiles no plan that nested loops are kept out of: forbidding them makes a plan look dear, and compiling it takes a second', async () => {
    const found = await sql(
      database.url,
      `select f.proname from pg_proc as f
       where f.pronamespace = 'weft'::regnamespace and 'enable_nestloop=off' = any (f.proconfig) and not 'jit=off' = any (f.proconfig)`,
    );
    expect(found).toEqual([]);
  });

  it('joins what the steps of a block leave with rows that were just written by no nested loops: of some hundred files it would compare all triples', async () => {
    const found = await sql(
      database.url,
      `select f.proname from pg_proc as f
       where f.pronamespace = 'weft'::regnamespace and f.prosrc ~ 'unnest\\(p_records\\)' and not 'enable_nestloop=off' = any (f.proconfig)
         and not 'plan_cache_mode=force_generic_plan' = any (f.proconfig)  -- what each block does has its plan from the beginning, by keys`,
    );
    expect(found).toEqual([]);
  });

  it.each([
    [
      'function',
      `select f.oid::regprocedure::text as name from pg_proc as f where f.pronamespace = 'weft'::regnamespace and obj_description(f.oid, 'pg_proc') is null`,
    ],
    [
      'table and view',
      `select c.oid::regclass::text as name from pg_class as c where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'v', 'm') and obj_description(c.oid, 'pg_class') is null`,
    ],
    [
      'type',
      `select t.oid::regtype::text as name from pg_type as t left join pg_class as c on c.oid = t.typrelid
       where t.typnamespace = 'weft'::regnamespace and t.typelem = 0 and (c.oid is null or c.relkind = 'c') and obj_description(t.oid, 'pg_type') is null`,
    ],
    ['schema', `select n.nspname::text as name from pg_namespace as n where n.nspname = 'weft' and obj_description(n.oid, 'pg_namespace') is null`],
  ])('every %s says what it is', async (_, question) => {
    expect(await sql(database.url, question)).toEqual([]);
  });

  it('comments are sentences', async () => {
    const wrong = await sql(
      database.url,
      `select d.objoid::regprocedure::text as name from pg_description as d join pg_proc as f on f.oid = d.objoid and d.classoid = 'pg_proc'::regclass
       where f.pronamespace = 'weft'::regnamespace and d.description !~ '^[A-Z].*[.]$'`,
    );
    expect(wrong).toEqual([]);
  });

  it('every function pins its search_path, but for the ones that say why not', async () => {
    const open = await sql(
      database.url,
      `select f.proname::text as name from pg_proc as f
       where f.pronamespace = 'weft'::regnamespace and not coalesce('search_path=pg_catalog, pg_temp' = any (f.proconfig), false) order by 1`,
    );
    expect(open.map((row) => row.name)).toEqual(Object.keys(WITHOUT_PATH).sort());
  });

  it("no function runs with its owner's rights, and none can be called by strangers", async () => {
    const question = `select f.proname::text as name from pg_proc as f where f.pronamespace = 'weft'::regnamespace and f.prosecdef`;
    expect(await sql(database.url, question)).toEqual([]);
    const [row] = await sql(database.url, `select has_schema_privilege('pg_monitor', 'weft', 'usage') as usage`);
    expect(row.usage).toBe(false);
  });

  it('every check and every unique constraint is a sentence', async () => {
    const short = await sql(
      database.url,
      `select c.conname::text as name from pg_constraint as c
       where c.connamespace = 'weft'::regnamespace and c.contype in ('c', 'u') and c.conname !~ '_.*_' and c.conname not like '%\\_key'`,
    );
    expect(short).toEqual([]);
  });

  it('every parameter is called p_', async () => {
    const names = await sql(
      database.url,
      `select f.proname::text as function, a.name from pg_proc as f cross join unnest(f.proargnames, f.proargmodes) as a (name, mode)
       where f.pronamespace = 'weft'::regnamespace and coalesce(a.mode, 'i') in ('i', 'b') and a.name !~ '^p_' and f.proname not in ('run', 'sweep')`,
    );
    expect(names).toEqual([]);
  });

  it("every SQLSTATE of Weft's own that the doorman knows is raised by somebody", () => {
    const statesIn = (text: string) => [...text.matchAll(/'(WF\d\d\d)'/g)].map((match) => match[1] ?? '');
    const raised = new Set(statesIn([...FLOORS.map(codeOf), read('src/database/install.ts'), read('src/database/guard.ts')].join('\n')));
    expect(statesIn(read('src/database/engine_problems.ts')).filter((state) => !raised.has(state))).toEqual([]);
  });

  it('plpgsql finds nothing to warn of when the engine is laid', async () => {
    const client = await database.client();
    const heard: string[] = [];
    client.on('notice', (notice) => heard.push(String(notice.message)));
    try {
      await client.query(`set plpgsql.extra_warnings = 'shadowed_variables'`);
      for (const file of FLOORS.filter((one) => one >= 'sql/30')) await client.query(read(file));
      expect(heard).toEqual([]);
    } finally {
      await client.end();
    }
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
       union all select 'trigger', t.oid::text, t.tgname from pg_trigger as t join pg_class as r on r.oid = t.tgrelid where not t.tgisinternal and r.relnamespace is distinct from to_regnamespace('weft')
       union all select 'constraint', k.oid::text, k.conname from pg_constraint as k where k.connamespace in ('public'::regnamespace, 'stock'::regnamespace)
       order by 1, 2`,
    );

  it('leaves the tables, views and data of the user alone, and the next deployment installs it anew', async () => {
    const database = await emptyDatabase();
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

  it('leaves nothing of Weft in any catalog of the database', async () => {
    const database = await emptyDatabase();
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
    await passFiles(database.url, { '1.sql': 'select 1;' });
    expect((await count()).pg_class).toBeGreaterThan(before.pg_class ?? 0);
    await sql(database.url, 'drop schema weft cascade');
    expect(await count()).toEqual(before);
    await database.drop();
  });
});

it("folds letters as the server folds names, whatever the collation of the database: in Turkish lower('I') is another letter", () => {
  const folding = /(?<![\w.])(?:lower|upper|initcap)\((?!b\.stretch\)|v_stretch\))/g;
  const found = FLOORS.flatMap((file) => {
    const code = codeOf(file);
    return [...code.matchAll(folding)].flatMap(({ index }) => {
      let depth = 0;
      let end = code.indexOf('(', index);
      do {
        depth += { '(': 1, ')': -1 }[code[end] ?? ''] ?? 0;
        end += 1;
      } while (depth > 0);
      const call = code.slice(index, end);
      return / collate "C"\)$/.test(call) ? [] : [`${file}:${code.slice(0, index).split('\n').length}: ${call}`];
    });
  });
  // Of texts that people wrote, letter by letter.
  expect(found).toEqual([
    expect.stringMatching(/^sql\/66_secrets\.sql:\d+: lower\(p_text\)$/),
    expect.stringMatching(/^sql\/66_secrets\.sql:\d+: lower\(p_text\)$/),
  ]);
});
