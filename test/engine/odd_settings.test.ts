/**
 * A database whose owner has turned every setting that changes how the server reads, writes or plans. What is deployed, recorded and undone is the same as
 * beside it, in a plain database. All at once, because none of them may matter.
 */
import { expect, it } from 'vitest';
import { emptyDatabase } from '../support/database.ts';
import { connectOver, deployFiles, within } from '../support/orders.ts';
import { sqlAnew as sql } from '../support/sql.ts';

const ODD: Readonly<Record<string, string>> = {
  array_nulls: 'off',
  backslash_quote: 'off',
  bytea_output: 'escape',
  check_function_bodies: 'off',
  constraint_exclusion: 'on',
  cursor_tuple_fraction: '1',
  DateStyle: 'SQL, DMY',
  default_transaction_deferrable: 'on',
  default_transaction_isolation: 'serializable',
  enable_hashjoin: 'off',
  enable_indexscan: 'off',
  enable_sort: 'off',
  exit_on_error: 'on',
  extra_float_digits: '-15',
  from_collapse_limit: '1',
  geqo_threshold: '2',
  gin_fuzzy_search_limit: '1',
  idle_in_transaction_session_timeout: '10ms',
  IntervalStyle: 'sql_standard',
  join_collapse_limit: '1',
  plan_cache_mode: 'force_generic_plan',
  'plpgsql.variable_conflict': 'use_column',
  quote_all_identifiers: 'on',
  row_security: 'off',
  search_path: 'nowhere',
  standard_conforming_strings: 'off',
  synchronous_commit: 'off',
  TimeZone: 'Asia/Kathmandu',
  transform_null_equals: 'on',
  work_mem: '64kB',
  xmlbinary: 'hex',
  xmloption: 'document',
};

/** Which only a superuser may turn. */
const ODDER: Readonly<Record<string, string>> = { 'plpgsql.extra_errors': 'all', session_replication_role: 'local', track_counts: 'off' };

const FILES = {
  'weft.yaml': JSON.stringify({
    name: 'shop',
    parameters: { who: { type: 'text', default: `o'brien \\` } },
    settings: { search_path: 'public' },
    phases: [
      {
        name: 'schema',
        transaction: 'single',
        steps: [
          { run: 'a/*.sql', undo: 'undo/*.sql' },
          { load: 'currencies.csv', into: 's.currency', key: ['code'], mode: 'sync' },
          { load: 'documents.json', into: 's.document', key: ['id'], mode: 'upsert' },
          { run: 'v/*.sql', repeat: 'on-change' },
        ],
        checks: ['checks/*.sql', { rule: 'primary-keys', schemas: ['s'] }],
      },
      { name: 'later', transaction: 'per-step', steps: [{ run: 'b/*.sql', on_error: 'continue', when: 'exists (select from s.item)' }] },
      { name: 'indexes', transaction: 'none', steps: [{ run: 'indexes/*.sql' }] },
      { name: 'fill', steps: [{ batch: 'fill.sql', size: 3, cursor: 0 }] },
    ],
  }),
  'a/1.sql': `create schema s;
    create table s.item (id int primary key, n text default 'x''y' check (n <> ''), at timestamptz default '2020-01-02 03:04:05+00', span interval default '1 day 02:00',
      bytes bytea default '\\x00ff', f float8 default 0.1, "Q" text, numbers int[] default '{1,2}');
    comment on table s.item is 'it''s';
    create index on s.item (lower(n) text_pattern_ops desc nulls last) where n <> 'q';
    insert into s.item (id) select generate_series(1, 10);`,
  'a/2.sql': `create function s.count_items(a int) returns int language plpgsql as $$ declare v int; begin select count(*) into v from s.item; return v + a; end $$;
    create policy p on s.item using (n is not null);
    grant select on s.item to public;`,
  'a/3.sql': `create table s.currency (code text primary key, name text, rate numeric);
    create table s.document (id int primary key, content jsonb, at timestamptz);
    create table s.fill (id int primary key, done boolean default false);
    insert into s.fill select generate_series(1, 10);`,
  'a/4.sql':
    'create table s.copied (a int primary key, b text, c timestamptz);\ncopy s.copied from stdin;\n1\tx\\\\\t2020-01-02 03:04:05+00\n2\t\\N\t\\N\n\\.\n',
  'undo/1.sql': 'drop schema s cascade;',
  'undo/2.sql': 'drop policy p on s.item; drop function s.count_items cascade;',
  'undo/3.sql': 'drop table s.currency, s.document, s.fill;',
  'undo/4.sql': 'drop table s.copied;',
  'currencies.csv': 'code,name,rate\nEUR,Euro,1.5\nUSD,"US, Dollar",2\n',
  'documents.json': '[{"id":1,"content":{"a":[1,null]},"at":"2020-01-02T03:04:05Z"},{"id":2,"content":null,"at":null}]',
  'v/1.sql': `create or replace view s.items as select id, n, at::text as at, span from s.item where n = 'x' or n is null;`,
  'v/2.sql': 'create or replace view s.counts as select i.id, s.count_items(i.id) as count from s.items as i left join s.currency as c on c.code = i.n;',
  'checks/1.sql': 'select id from s.item where n is null',
  'b/1.sql': 'select 1 / 0;',
  'b/2.sql': `insert into s.item (id, n) values (100, :'who');`,
  'indexes/1.sql': 'create index concurrently items_at on s.item (at);',
  'fill.sql':
    'with t as (select id from s.fill where id > :cursor order by id limit :size) update s.fill as f set done = true from t where f.id = t.id returning f.id as cursor',
};
const SECOND = { ...FILES, 'v/1.sql': FILES['v/1.sql'].replace(`n = 'x'`, `n <> 'x'`), 'currencies.csv': 'code,name,rate\nEUR,Euro,1.50\nGBP,Pound,3\n' };

/** Deploys both, undoes the second and then, of the first, what can be undone; and tells all that could differ. */
async function goThrough(settings: Readonly<Record<string, string>>): Promise<unknown> {
  const database = await emptyDatabase();
  try {
    for (const [name, value] of Object.entries(settings)) {
      if (name in ODDER && database.superuserUrl === null) continue;
      await sql(
        database.superuserUrl ?? database.url,
        `alter database ${database.name} set ${name} = ${name === 'DateStyle' || name === 'search_path' ? value : `'${value}'`}`,
      );
    }
    const seen: unknown[] = [];
    for (const files of [FILES, SECOND]) {
      const { state, phases } = await deployFiles(connectOver(database.url), files);
      seen.push(
        state,
        phases.map((phase) => [phase.state, phase.steps.map((step) => [step.path, step.state, step.rows, step.error?.message])]),
      );
    }
    // with the settings of Weft's own sessions
    const plainly = (text: string) =>
      within(database.url, async (session) => {
        await session.query('set bytea_output = hex'); // what they write is looked at here, not how it is shown
        return session.query(text);
      });
    for (const table of ['item', 'currency', 'document', 'fill', 'copied']) seen.push(await plainly(`select t::text as row from s.${table} as t order by 1`));
    for (const words of ['', ', p_partly => true']) {
      await plainly(`select weft.undo(p_bundle => 'shop'${words})`);
      await sql(database.url, 'call weft.run()'); // as psql would: with the settings of the database
    }
    seen.push(
      await plainly('select state::text, fingerprint_before, fingerprint_after from weft._deployments order by place'),
      await plainly('select kind, count(*)::int as count from weft._events group by kind order by kind collate "C"'),
    );
    return seen;
  } finally {
    await database.drop();
  }
}

it('settings of the database make no difference to what is deployed, recorded and undone', async () => {
  const plain = await goThrough({});
  expect(plain).toMatchObject({ 0: 'degraded', 2: 'degraded' });
  expect(await goThrough({ ...ODD, ...ODDER })).toEqual(plain);
});
