/** What a baseline looks for in the catalog: what the files of a bundle leave there, and nothing that is rightly gone by their end. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const baseline = (files: Readonly<Record<string, string>>) => deployFiles(connectOver(database.url), files, { mode: 'baseline' });

describe('a database to which the files were deployed is at their bundle', () => {
  it.each([
    ['statistics gone with their table', 'create table keep (n int); create table t (a int, b int); create statistics s on a, b from t;', 'drop table t;'],
    ['statistics gone with a column', 'create table t (a int, b int, c int); create statistics s on a, b from t;', 'alter table t drop column b;'],
    ['an index gone with a column', 'create table t (a int, b int); create index i on t (a, b);', 'alter table t drop column b;'],
    [
      'an index gone with a table that was renamed',
      'create table t (a int, b int); create index i on t (a); create index j on t (b);',
      'alter table t rename to u; alter table u drop column b; drop table u;',
    ],
    [
      'a trigger gone with its function',
      `create table t (a int); create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger g before insert on t for each row execute function f();`,
      'drop function f() cascade;',
    ],
    ['statistics of an expression', 'create table t (a date, b int); create statistics s on a, (extract(year from a)) from public.t;', 'drop table t;'],
    [
      'an operator gone with its function',
      `create function eq(int, text) returns bool language sql as 'select true'; create operator === (leftarg = int, rightarg = text, function = eq);`,
      'drop function eq cascade;',
    ],
    ['a constraint renamed by its index', 'create table t (a int, constraint u unique (a));', 'alter index u rename to u2;'],
    ['a constraint of a temporary table', 'create temp table tt (a int); alter table tt add constraint k check (a > 0);', 'create table t (a int);'],
    ['columns of a temporary table', 'create temp table tt (a int); alter table tt add column b int, add column c int;', 'create table t (a int);'],
    ['an index on a temporary table', 'create local temporary table if not exists tt (a int); create index i on tt (a);', 'create table t (a int);'],
    ['a table in pg_temp', 'create table pg_temp.tt (a int); alter table pg_temp.tt add b int, add c int;', 'create table t (a int);'],
    ['an index that became a constraint', 'create table t (a int); create unique index i on t (a);', 'alter table t add constraint c unique using index i;'],
    [
      'an index that became a primary key of another name in the end',
      'create table t (a int not null); create unique index i on t (a);',
      'alter table t add constraint c primary key using index i; alter table t rename constraint c to d;',
    ],
    [
      'a column of a partition renamed with that of its table, and one gone with it',
      'create table p (k int, c text, d text) partition by list (k); create table a (k int); alter table a add c text, add d text; alter table p attach partition a default;',
      'alter table p rename c to e; alter table p drop column d;',
    ],
    [
      'a column of an heir, and of its heir',
      'create table p (c text); create table a () inherits (p); create table b (); alter table b add c text; alter table b inherit a;',
      'alter table p rename c to e;',
    ],
    [
      'a constraint of a partition renamed with that of its table',
      'create table p (k int) partition by list (k); create table a (k int); alter table a add constraint c check (k > 0); alter table p add constraint c check (k > 0);',
      'alter table p attach partition a default; alter table p rename constraint c to d;',
    ],
    [
      'an index gone with a column that was renamed',
      'create table t (a int, b int); create index i on t (a); create index j on t (b);',
      'alter table t rename a to c; create index k on t (c); alter table t drop column c;',
    ],
    [
      'sequences gone with the column that owns them, and with its table',
      'create table t (a int, b int); create sequence s; create sequence r; alter sequence s owned by public.t.a; alter sequence r owned by t.b; create table u (a int); create sequence q start 2 owned by u.a;',
      'alter table t drop column a; alter table t rename to v; drop table v; drop table u;',
    ],
    [
      'what a table had without a name, renamed with it and gone with it',
      'create table t (a serial primary key); create table keep (a int);',
      'alter table t rename to u; alter sequence t_a_seq rename to u_a_seq; alter index t_pkey rename to u_pkey; drop table u;',
    ],
    [
      'partitions gone with their table, under its new name',
      'create table p (k int) partition by list (k); create table a partition of p for values in (1) partition by list (k); create table b (k int); alter table b add c int; alter table b drop c; create index i on b (k);',
      'alter table a attach partition b default; alter table p rename to q; drop table q;',
    ],
    [
      'an index of a partition gone with that of its table',
      'create table p (k int) partition by list (k); create table a partition of p default; create index i on a (k);',
      'create index j on only p (k); alter index j attach partition i; drop index j;',
    ],
    ['words in a text', `create table t (a int); alter table t add column b text default 'x, add foo bar', add column c int;`, 'select 1;'],
    ['words in a text with escapes', `create table t (a int, b text default E'it\\'s a constraint x check');`, 'select 1;'],
    ['words in a name', `create table t (a int); alter table t add column "it's, add foo bar" int, add column "'" int;`, 'select 1;'],
  ])('%s', async (_, one, two) => {
    const files = { '1.sql': one, '2.sql': two };
    expect(await deployFiles(connectOver(database.url), files)).toMatchObject({ state: 'succeeded' });
    await sql(database.url, 'delete from weft._history');
    const end = await baseline(files);
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  });
});

describe('what the files leave is missed where it is not there', () => {
  it.each([
    ['statistics', 'create statistics s on a, b from t;', 'alter table u drop column b;', 'statistics s'],
    ['an index on other columns than the one that goes', 'create index i on t (b);', 'alter table t drop column a;', 'relation i'],
    [
      'an index on a table of the name that one had before',
      'alter table u rename to v; create table u (a int);',
      'create index i on u (a); drop table v;',
      'relation i',
    ],
    [
      'a trigger whose function is there',
      'create trigger g before update on t for each row execute function suppress_redundant_updates_trigger();',
      'drop function if exists f;',
      'trigger g',
    ],
    [
      'a column of a partition that had left, or was made one later',
      'alter table t add column c int; create table p (c int) partition by list (c); alter table p attach partition t default; alter table p detach partition t; alter table p rename c to d;',
      'alter table p attach partition t default;',
      'column c of t',
    ],
    ['a sequence of another column than the one that goes', 'create sequence s; alter sequence s owned by t.a;', 'alter table t drop column b;', 'relation s'],
    ['what is renamed', 'alter index i rename to j;', 'select 1;', 'relation j'],
    ['a constraint', 'alter table t add constraint k check (a > 0);', 'drop table u;', 'constraint k of t'],
    ['an index that became a constraint', 'create unique index i on t (a);', 'alter table t add constraint c unique using index i;', 'constraint c of t'],
    ['a column behind a text', `alter table t add column c text default 'x, y', add column d int;`, 'select 1;', 'column c of t.*column d of t'],
    [
      'a column of a table whose name a temporary one had',
      'create temp table t (a int); drop table t;',
      'alter table t add column c int, add column d int;',
      'column c of t.*column d of t',
    ],
    [
      'a constraint of a table that was made behind a temporary one',
      'create temp table t (a int); create table t (a int);',
      'alter table t add constraint k check (a > 0);',
      'constraint k of t',
    ],
  ])('%s', async (_, one, two, missing) => {
    await sql(database.url, 'create table t (a int, b int); create table u (a int)');
    const end = await baseline({ '0.sql': 'create table if not exists t (a int, b int);', '1.sql': one, '2.sql': two });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'WF062', detail: expect.stringMatching(missing) } });
  });
});

interface PlanNode {
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Join Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** Rows that the query passes on, or looks at and drops. */
function countHandled(node: PlanNode): number {
  const own = node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Join Filter'] ?? 0);
  return own * node['Actual Loops'] + (node.Plans ?? []).reduce((sum, plan) => sum + countHandled(plan), 0);
}

/** Each table with what stands on it, a temporary one that goes by its end, and all that a later file drops again. */
function makeAndDrop(count: number): Readonly<Record<string, string>> {
  const each = (write: (n: number) => string) => Array.from({ length: count }, (_, n) => write(n)).join('\n');
  return {
    '1.sql': each(
      (n) => `create table t${n} (a int, constraint k${n} check (a > 0)); create index i${n} on t${n} (a); alter table t${n} add column note text;`,
    ),
    '2.sql': each((n) => `create temp table e${n} (a int); create index on e${n} (a); drop table e${n};`),
    '3.sql': each((n) => `drop index i${n}; alter table t${n} drop column note; alter table t${n} drop constraint k${n}; drop table t${n} cascade;`),
  };
}

it('with four times the statements that make and drop, about four times the rows are compared, and not each with each', async () => {
  const [{ body, set }] = await sql(
    database.url,
    `select prosrc as body, (select string_agg('set ' || c, ';') from unnest(proconfig) as c) as set from pg_proc where oid = 'weft._look_for_created(uuid)'::regprocedure`,
  );
  const handled = async (count: number) => {
    const id = await stageFiles(database.url, makeAndDrop(count), { mode: 'baseline' });
    const [{ 'QUERY PLAN': plan }] = await sql(
      database.url,
      `${set}; explain (analyze, timing off, summary off, format json) ${body.replaceAll(/\bp_deployment\b/g, `'${id}'`)}`,
    );
    return countHandled(plan[0].Plan);
  };
  const few = await handled(25);
  expect((await handled(100)) / few).toBeLessThan(6);
});
