/**
 * Every statement that PostgreSQL runs in no transaction, and every place at which it can be cut. The catalog says what became of it, and
 * the end is that of an undisturbed run: each effect once, nothing invalid, nothing left over, nobody's act needed.
 */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { testServer } from '../support/database.ts';
import { offers } from '../support/source.ts';
import { type Case, DISTURBANCES, runDisturbed, runUndisturbed } from './cells.ts';

let relay: Relay;

beforeAll(async () => {
  const { hostname, port } = new URL((await testServer()).url);
  relay = await startRelay({ to: { host: hostname, port: Number(port) } });
});

afterAll(() => relay.stop());

const TABLE = `create table t (a int, b text);
insert into t select n, 'row ' || n from generate_series(1, 200) as n;
`;
const INDEXED = `${TABLE}create index t_a on t (a);
create unique index t_b on t (b);
`;
const PARTITIONED = `create table p (a int, b text) partition by range (a);
create table p_1 partition of p for values from (0) to (100);
create table p_2 partition of p for values from (100) to (200);
insert into p select n, 'row ' || n from generate_series(0, 199) as n;
`;
/** What there was before is gone, each index replaced. */
const OLD_INDEXES = `create materialized view old_indexes as select i.indexrelid as oid from pg_index as i join pg_class as t on t.oid = i.indrelid where t.relname in ('t', 'u');
`;
const REPLACED = 'select (select count(*)::int from old_indexes) as old, (select count(*)::int from old_indexes join pg_class using (oid)) as still';
const READER = 'select * from t';
const WRITER = `insert into t values (1000, 'never committed')`;

const CASES: Record<string, Case> = {
  'create index concurrently': { before: TABLE, statement: 'create index concurrently t_a on t (a)', hold: 'snapshot' },
  'create index concurrently, which waits for a writer before it builds': { before: TABLE, statement: 'create index concurrently t_a on t (a)', hold: WRITER },
  'create unique index concurrently': { before: TABLE, statement: 'create unique index concurrently t_a on t (a) include (b)', hold: 'snapshot' },
  'create index concurrently if not exists': { before: TABLE, statement: 'create index concurrently if not exists t_a on t (a)', hold: 'snapshot' },
  'create index concurrently over an expression, of a part of the rows': {
    before: TABLE,
    statement: `create index concurrently t_a on public.t using btree (lower(b) collate "C" text_pattern_ops desc nulls last, (a + 1)) with (fillfactor = 70) where a > 10 and b <> 'it''s'`,
    hold: 'snapshot',
  },
  'create index concurrently of a partition': { before: PARTITIONED, statement: 'create index concurrently p_1_b on p_1 (b)', hold: 'snapshot' },
  'create index concurrently with quoted names, and comments in odd places': {
    before: `create schema "odd ""one""";
create table "odd ""one"""."a table; on (x)" ("on" int, "Col""umn" text);
insert into "odd ""one"""."a table; on (x)" values (1, 'x');
`,
    statement: `-- create index concurrently other on other (a);
/* on /* nested */ t */ CREATE/**/INDEX -- here
concurrently /* if not exists */ "an index; on (y)" on/* only */"odd ""one""" /* dot */ . "a table; on (x)" -- there
  ("Col""umn", /* ; */ "on")`,
    hold: 'snapshot',
  },
  'drop index concurrently': { before: INDEXED, statement: 'drop index concurrently t_a', hold: READER },
  'drop index concurrently if exists': { before: INDEXED, statement: 'drop index concurrently if exists public.t_a', hold: READER },
  'reindex index concurrently': { before: INDEXED, statement: 'reindex index concurrently t_a', hold: 'snapshot' },
  'reindex index concurrently, which waits for a reader before it drops the old one': {
    before: INDEXED,
    statement: 'reindex index concurrently t_a',
    hold: READER,
  },
  'reindex table concurrently': { before: `${INDEXED}${OLD_INDEXES}`, statement: 'reindex table concurrently t', facts: REPLACED, hold: 'snapshot' },
  'reindex table concurrently as a superuser, who can drop what is left in TOAST': {
    before: `${INDEXED}${OLD_INDEXES}`,
    statement: 'reindex table concurrently t',
    facts: REPLACED,
    hold: 'snapshot',
    asSuperuser: true,
  },
  'reindex table concurrently, which waits for a reader before it drops the old ones': {
    before: `${INDEXED}${OLD_INDEXES}`,
    statement: 'reindex (verbose) table concurrently t',
    facts: REPLACED,
    hold: READER,
    asSuperuser: true,
  },
  'reindex schema concurrently': {
    before: `create schema s;
create table s.t (a int primary key, b text unique);
create table s.u (a int primary key, b text unique);
${OLD_INDEXES}`,
    statement: 'reindex schema concurrently s',
    facts: REPLACED,
    hold: 'select * from s.t',
  },
  'alter table detach partition concurrently': { before: PARTITIONED, statement: 'alter table p detach partition p_1 concurrently', hold: 'select * from p' },
  'alter type add value, and its first use': {
    before: `create type mood as enum ('calm');
create table moods (m mood);
`,
    statement: `alter type mood add value 'glad'`,
    tail: `insert into journal values (2); insert into moods values ('glad');`,
    hold: `alter type mood add value 'never'`,
    isOrdinary: true,
    options: { transaction: 'none' },
  },
  'create database from a template': {
    before: 'create database $db_template;\n',
    statement: 'create database $db_other template $db_template',
    hold: 'alter database $db_template rename to $db_renamed',
    facts: `select count(*)::int from pg_database where datname = '$db_other'`,
    cleanUp: 'drop database if exists $db_other;\ndrop database if exists $db_template',
  },
  'drop database': {
    before: 'create database $db_other;\n',
    statement: 'drop database $db_other',
    hold: `comment on database $db_other is 'never said'`,
    facts: `select count(*)::int from pg_database where datname = '$db_other'`,
    cleanUp: 'drop database if exists $db_other',
  },
  'drop database if exists': {
    before: 'create database $db_other;\n',
    statement: 'drop database if exists $db_other with (force)',
    hold: `comment on database $db_other is 'never said'`,
    facts: `select count(*)::int from pg_database where datname = '$db_other'`,
    cleanUp: 'drop database if exists $db_other',
  },
  'vacuum of a table': {
    before: TABLE,
    statement: 'vacuum t',
    hold: 'lock table t in share update exclusive mode',
    isCounted: true,
  },
  'vacuum analyze of a table': {
    before: TABLE,
    statement: 'vacuum (analyze, verbose) public.t (a)',
    hold: 'lock table t in share update exclusive mode',
    isCounted: true,
  },
  'vacuum full of a table': { before: TABLE, statement: 'vacuum full t', hold: READER, repeats: true },
  'vacuum of two tables': {
    before: `${TABLE}create table u (a int);
`,
    statement: 'vacuum t, u',
    hold: 'lock table u in share update exclusive mode',
    repeats: true,
  },
  'vacuum of everything': { before: TABLE, statement: 'vacuum', hold: 'lock table t in share update exclusive mode', repeats: true },
  'cluster without a table': {
    before: `${INDEXED}alter table t cluster on t_a;
`,
    statement: 'cluster',
    hold: READER,
    repeats: true,
  },
  'cluster without a table, with many words': {
    before: `${INDEXED}alter table t cluster on t_a;
`,
    statement: 'cluster /* all */ verbose',
    hold: READER,
    repeats: true,
  },
  'reindex schema': {
    before: 'create schema s;\ncreate table s.t (a int primary key);\n',
    statement: 'reindex schema s',
    hold: 'select * from s.t',
    repeats: true,
  },
  'a DO block that commits, with done_when': {
    before: 'create table done (n int primary key);\n',
    statement: `do $do$ begin
  insert into done values (1) on conflict do nothing; commit;
  perform count(*) from journal; perform pg_advisory_xact_lock(47);
  insert into done values (2) on conflict do nothing; commit;
end $do$`,
    hold: 'select pg_advisory_xact_lock(47)',
    options: { doneWhen: 'exists (select from done where n = 2) -- both' },
  },
  'a CALL that commits, with done_when': {
    before: `create table done (n int primary key);
create procedure work() language plpgsql as $work$ begin insert into done values (1) on conflict do nothing; commit; perform pg_advisory_xact_lock(47); insert into done values (2) on conflict do nothing; end $work$;
`,
    statement: 'call work()',
    hold: 'select pg_advisory_xact_lock(47)',
    options: { doneWhen: '(select count(*) from done) = 2' },
  },
};

describe.each(Object.entries(CASES))('%s', (_, one) => {
  const test = it.runIf(one.asSuperuser === undefined || offers('a superuser'));
  test('undisturbed', async () => {
    await runUndisturbed(one);
  });

  test.each(DISTURBANCES)('%s', (disturbance) => runDisturbed(one, disturbance, relay));
});
