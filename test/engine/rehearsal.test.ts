/** A rehearsal: all of a deployment in one transaction that is rolled back, and the report of it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { send } from './support.ts';
import { type PhaseOfWays, packWays, type Ways } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

// biome-ignore lint/suspicious/noExplicitAny: the document of weft.status
async function rehearse(phases: readonly PhaseOfWays[] | Ways, transaction: PhaseOfWays['transaction'] = 'single'): Promise<any> {
  const all = Array.isArray(phases) ? (phases as PhaseOfWays[]) : [{ name: 'main', transaction, ways: phases as Ways }];
  return send(database.url, packWays(all, { mode: 'rehearse' }));
}

// biome-ignore lint/suspicious/noExplicitAny: the report
const statementsOf = (done: any, step = 0) => done.rehearsal.steps[step].statements;

it('changes nothing: no effect, no history, the same fingerprint, and the next deployment runs everything', async () => {
  await sql(database.url, 'create table t (n int); insert into t values (1)');
  const ways = { '1.sql': { run: 'insert into t values (2); create table u (n int)' }, '2.sql': { run: 'drop table t' } };
  const done = await rehearse(ways);
  expect(done).toMatchObject({ state: 'succeeded', mode: 'rehearse', error: null });
  expect(done.fingerprint.after).toBe(done.fingerprint.before);
  expect(await sql(database.url, 'select n from t')).toEqual([{ n: 1 }]);
  expect(await sql(database.url, `select to_regclass('u') as u`)).toEqual([{ u: null }]);
  expect(await sql(database.url, 'select from weft.history')).toEqual([]);
  expect(await sql(database.url, 'select from weft._statements')).toEqual([]);
  expect(done.phases[0].steps.map(({ state }: { state: string }) => state)).toEqual(['pending', 'pending']);
  const deployed = await send(database.url, packWays([{ name: 'main', transaction: 'single', ways }]));
  expect(deployed).toMatchObject({ state: 'succeeded' });
});

it('tells of each statement its line, rows, time, and the locks that it takes on what was there before', async () => {
  await sql(database.url, 'create table t (n int); create table other (n int)');
  const done = await rehearse({
    '1.sql': {
      run: '-- first\ninsert into t select generate_series(1, 5);\nalter table other add column m int;\ncreate table u (n int);\ninsert into t values (6);',
    },
  });
  expect(statementsOf(done)).toMatchObject([
    {
      number: 1,
      line: 2,
      rows: 5,
      statement: expect.stringContaining('insert into t'),
      locks: [{ object: 'public.t', mode: 'RowExclusiveLock' }],
      rewritten: [],
    },
    { number: 2, line: 3, rows: 0, locks: [{ object: 'public.other', mode: 'AccessExclusiveLock' }], rewritten: [] },
    { number: 3, line: 4, locks: [] },
    { number: 4, line: 5, rows: 1, locks: [] },
  ]);
  for (const { milliseconds } of statementsOf(done)) expect(milliseconds).toBeGreaterThanOrEqual(0);
  expect(done.rehearsal.steps[0]).toMatchObject({ phase: 'main', path: '1.sql', state: 'succeeded', rows: 6 });
  expect(done.rehearsal.locks).toMatchObject([
    { object: 'public.other', mode: 'AccessExclusiveLock', path: '1.sql', line: 3 },
    { object: 'public.t', mode: 'RowExclusiveLock', path: '1.sql', line: 2 },
  ]);
});

it('tells which tables are written anew, and which indexes', async () => {
  await sql(
    database.url,
    'create table t (n int, m int); create index t_m on t (m); insert into t select generate_series(1, 100); create table v (n varchar(5)); create table w (n int); create index w_n on w (n)',
  );
  const run = 'alter table t alter column n type bigint; alter table v alter column n type varchar(9); reindex table w; truncate t;';
  const done = await rehearse({ '1.sql': { run } });
  expect(statementsOf(done).map(({ rewritten }: { rewritten: object }) => rewritten)).toEqual([
    [{ object: 'public.t', kind: 'table', bytes: 8192 }],
    [],
    [{ object: 'public.w_n', kind: 'index', bytes: expect.any(Number) }],
    [],
  ]);
});

it('tells what the catalog would differ in, with both definitions', async () => {
  await sql(database.url, 'create table t (n int); create view v as select 1 as one; create table gone ()');
  const done = await rehearse({
    '1.sql': { run: 'alter table t add m int; create or replace view v as select 1 as one, 2 as two; drop table gone; create index t_n on t (n)' },
  });
  const differences = done.rehearsal.catalog.map(({ kind, identity, change }: Record<string, string>) => `${change} ${kind} ${identity}`);
  expect(differences).toContain('added index public.t_n');
  expect(differences).toContain('removed table public.gone');
  expect(differences.some((line: string) => line.startsWith('changed') && line.endsWith('public.v'))).toBe(true);
});

it('hides no drift: what the last deployment has left is still what is compared with', async () => {
  const ways = { '1.sql': { run: 'create table t (n int)' } };
  await send(database.url, packWays([{ name: 'main', transaction: 'single', ways }]));
  await sql(database.url, 'alter table t add drifted int');
  const done = await rehearse({ ...ways, '2.sql': { run: 'create table u (n int)' } });
  expect(done.rehearsal.catalog.map(({ identity }: { identity: string }) => identity)).toEqual(['public.u']);
  expect(await sql(database.url, 'select identity from weft.drift()')).toEqual([{ identity: 'public.t.drifted' }]);
});

it('names the sequences of which something is used up, for no rollback takes that back', async () => {
  await sql(database.url, 'create table t (id int generated always as identity, n int); create sequence s; insert into t (n) values (1)');
  const done = await rehearse({ '1.sql': { run: `insert into t (n) values (2), (3); select nextval('s'); create sequence mine; select nextval('mine')` } });
  expect(done.rehearsal.sequences).toEqual([
    { sequence: 'public.s', before: null, after: 1 },
    { sequence: 'public.t_id_seq', before: 1, after: 3 },
  ]);
  expect(done.rehearsal.not_shown).toContainEqual(expect.objectContaining({ why: 'sequences', places: ['public.s', 'public.t_id_seq'] }));
});

describe('a sequence that a file sets back', () => {
  it.each([
    ['a number', `select setval('s', 10)`, 10],
    ['its beginning, as pg_dump writes it of one that was never used', `select setval('s', 1, false)`, null],
  ])('to %s: stands where it stood behind the rehearsal, and the report says so', async (_, set, after) => {
    await sql(database.url, `create sequence s; select setval('s', 5000)`);
    const done = await rehearse({ '1.sql': { run: set } });
    expect(done).toMatchObject({ state: 'succeeded', rehearsal: { sequences: [{ sequence: 'public.s', before: 5000, after, put_back: true }] } });
    expect(await sql(database.url, `select nextval('s')::int as next`)).toEqual([{ next: 5001 }]);
  });

  it('stands where it stood also behind a rehearsal that failed, and one that counts down', async () => {
    await sql(database.url, `create sequence s; create sequence down increment -1; select setval('s', 5000), setval('down', -70)`);
    const done = await rehearse({ '1.sql': { run: `select setval('s', 10), setval('down', -7); select nothing` } });
    expect(done).toMatchObject({ state: 'failed', rehearsal: { sequences: [{ sequence: 'public.down' }, { sequence: 'public.s', put_back: true }] } });
    expect(await sql(database.url, `select nextval('s')::int as s, nextval('down')::int as down`)).toEqual([{ s: 5001, down: -71 }]);
  });
});

describe('what lacks something behind what could not be rehearsed', () => {
  it('is no failure: it is named as not known, and the rest goes on', async () => {
    await sql(database.url, `create type en as enum ('a'); create table kept (n int)`);
    const ways = {
      '1.sql': { run: `alter type en add value 'b'; create table z (e en default 'b'); insert into z values ('b'); insert into kept values (1)` },
    };
    const done = await rehearse(ways, 'auto');
    expect(done).toMatchObject({
      state: 'succeeded',
      rehearsal: {
        error: null,
        steps: [
          {
            state: 'succeeded',
            statements: [{}, { instead: { why: 'commit' } }, { instead: { why: 'behind', text: expect.stringContaining('42P01') } }, { rows: 1 }],
          },
        ],
      },
    });
    expect(done.rehearsal.not_shown).toContainEqual(expect.objectContaining({ why: 'behind', places: ['1.sql:1'] }));
    expect(await send(database.url, packWays([{ name: 'main', transaction: 'auto', ways }]))).toMatchObject({ state: 'succeeded' });
  });

  it.each(['', 'vacuum kept; '])('fails where nothing was left out before it that brings anything: "%s"', async (before) => {
    await sql(database.url, 'create table kept (n int)');
    const done = await rehearse({ '1.sql': { run: `${before}insert into nowhere values (1)` } }, 'auto');
    expect(done).toMatchObject({ state: 'failed', error: { sqlstate: '42P01' } });
  });
});

describe('what PostgreSQL runs in no transaction', () => {
  it('is named, and rehearsed in the form that a transaction takes, where there is one', async () => {
    await sql(
      database.url,
      'create table t (n int); create index t_old on t (n); create table p (n int) partition by list (n); create table p1 partition of p for values in (1)',
    );
    const ways = {
      '1.sql': {
        run: 'create unique index concurrently t_n on t (n);\ndrop index concurrently t_old;\nreindex (verbose) table concurrently t;\nreindex index concurrently t_n;\nalter table p detach partition p1 concurrently;\nvacuum t;\nselect 1',
      },
    };
    for (const transaction of ['auto', 'none'] as const) {
      const done = await rehearse(ways, transaction);
      expect(done).toMatchObject({ state: 'succeeded' });
      expect(statementsOf(done).map(({ instead }: { instead?: { why: string; form?: string } }) => instead && (instead.form ?? instead.why))).toEqual([
        'create unique index t_n on t (n)',
        'drop index t_old',
        'reindex table t',
        'reindex index t_n',
        'alter table p detach partition p1',
        'none',
        undefined,
      ]);
      expect(statementsOf(done)[0].locks).toContainEqual({ object: 'public.t', mode: 'ShareLock' });
      expect(done.rehearsal.not_shown).toContainEqual(expect.objectContaining({ why: 'none', places: ['1.sql:6'] }));
      expect(done.rehearsal.passes).toBe(1);
      expect(await sql(database.url, `select to_regclass('t_n') as new, to_regclass('t_old')::text as old`)).toEqual([{ new: null, old: 't_old' }]);
    }
  });

  it('fails where the deployment would: in a phase whose steps are transactions, without a done_when, or when the name is taken', async () => {
    await sql(database.url, 'create table t (n int, m int); create index t_n on t (m)');
    expect(await rehearse({ '1.sql': { run: 'vacuum t' } }, 'single')).toMatchObject({ state: 'failed', error: { sqlstate: '25001', path: '1.sql' } });
    expect(await rehearse({ '1.sql': { run: 'do $$ begin commit; end $$' } }, 'auto')).toMatchObject({
      state: 'failed',
      error: { sqlstate: '2D000', hint: expect.stringContaining('done_when') },
    });
    expect(await rehearse({ '1.sql': { run: 'create index concurrently t_n on t (n)' } }, 'auto')).toMatchObject({
      state: 'failed',
      error: { sqlstate: '42P07' },
    });
    expect(await rehearse({ '1.sql': { run: 'create index concurrently on t (n)' } }, 'auto')).toMatchObject({ state: 'failed', error: { sqlstate: 'WF020' } });
  });

  it('an index that is there already is found done', async () => {
    await sql(database.url, 'create table t (n int); create index t_n on t (n)');
    const done = await rehearse({ '1.sql': { run: 'create index concurrently t_n on t (n)' } }, 'auto');
    expect(statementsOf(done)[0].instead).toMatchObject({ why: 'done' });
  });

  it('what needs a commit before it is named, and the rest rehearsed', async () => {
    await sql(database.url, `create type mood as enum ('calm'); create table moods (m mood)`);
    const phases: PhaseOfWays[] = [
      { name: 'add', transaction: 'single', ways: { '1.sql': { run: `alter type mood add value 'glad'` } } },
      { name: 'use', transaction: 'single', ways: { '2.sql': { run: `insert into moods values ('glad'); insert into moods values ('calm')` } } },
    ];
    const done = await rehearse(phases);
    expect(done).toMatchObject({ state: 'succeeded' });
    expect(statementsOf(done, 1)).toMatchObject([{ instead: { why: 'commit' } }, { rows: 1 }]);
    expect(done.rehearsal.not_shown).toContainEqual(expect.objectContaining({ why: 'commit', places: ['2.sql:1'] }));
    const together = await rehearse([{ name: 'both', transaction: 'single', ways: { ...phases[0]?.ways, ...phases[1]?.ways } }]);
    expect(together).toMatchObject({ state: 'failed', error: { sqlstate: '55P04' } });
  });
});

describe('a rehearsal that fails', () => {
  it('says where, as the deployment would, and reports what came before', async () => {
    const done = await rehearse({
      '1.sql': { run: 'create table a (n int)' },
      '2.sql': { run: 'create table b (n int);\n\nselect 1 / 0;' },
      '3.sql': { run: 'select 1' },
    });
    expect(done).toMatchObject({ state: 'failed', error: { sqlstate: '22012', path: '2.sql', line: 3, phase: 'main' } });
    expect(done.rehearsal.steps.map(({ path, state }: Record<string, string>) => [path, state])).toEqual([
      ['1.sql', 'succeeded'],
      ['2.sql', 'failed'],
    ]);
    expect(statementsOf(done, 1)).toHaveLength(1);
    expect(done.rehearsal.not_shown).toContainEqual(expect.objectContaining({ why: 'rest' }));
    expect(await sql(database.url, 'select from weft.history')).toEqual([]);
  });

  it('finds what a deferred constraint says at the end of its transaction', async () => {
    await sql(database.url, 'create table a (n int primary key); create table b (n int references a deferrable initially deferred)');
    const done = await rehearse({ '1.sql': { run: 'insert into b values (1)' }, '2.sql': { run: 'insert into a values (1)' } }, 'per-step');
    expect(done).toMatchObject({ state: 'failed', error: { sqlstate: '23503', path: '1.sql' } });
    expect(await rehearse({ '1.sql': { run: 'insert into b values (1)' }, '2.sql': { run: 'insert into a values (1)' } })).toMatchObject({
      state: 'succeeded',
    });
  });

  it('behind each transaction of the deployment constraints are deferred again, as far as they say so', async () => {
    await sql(
      database.url,
      'create table a (n int primary key); create table b (n int references a deferrable initially deferred); create table c (n int references a deferrable initially immediate)',
    );
    const late = { run: 'insert into b values (1); insert into a values (1)' };
    const later = { run: 'insert into b values (2); insert into a values (2)' };
    for (const transaction of ['per-step', 'none'] as const) {
      const ways = transaction === 'none' ? { '1.sql': { run: 'insert into a values (7)' } } : { '1.sql': late, '2.sql': later };
      expect(await rehearse(ways, transaction)).toMatchObject({ state: 'succeeded', error: null });
    }
    const now = { run: 'insert into c values (3); insert into a values (3)' };
    expect(await rehearse({ '1.sql': late, '2.sql': now }, 'per-step')).toMatchObject({
      state: 'failed',
      error: { sqlstate: '23503', path: '2.sql', line: 1 },
    });
    expect(await rehearse({ '1.sql': { run: 'select 1' }, '2.sql': late }, 'none')).toMatchObject({
      state: 'failed',
      error: { sqlstate: '23503', path: '2.sql', line: 1 },
    });
  });

  it('ends with a changed artifact as the deployment would', async () => {
    await send(database.url, packWays([{ name: 'main', transaction: 'single', ways: { '1.sql': { run: 'select 1' } } }]));
    expect(await rehearse({ '1.sql': { run: 'select 2' } })).toMatchObject({ state: 'failed', error: { sqlstate: 'WF013' } });
  });
});

it('conditions are asked where the deployment asks them, and what they leave out is told', async () => {
  const phases: PhaseOfWays[] = [
    { name: 'one', transaction: 'single', ways: { '1.sql': { run: 'create table a (n int)' } } },
    { name: 'two', transaction: 'single', ways: { '2.sql': { run: 'select 1 / 0' } }, more: { when: `to_regclass('a') is null` } },
    { name: 'three', transaction: 'single', ways: { '3.sql': { run: 'select 1' } }, more: { when: `to_regclass('a') is not null` } },
  ];
  const done = await rehearse(phases);
  expect(done).toMatchObject({ state: 'succeeded' });
  expect(done.rehearsal.steps.map(({ path, state }: Record<string, string>) => [path, state])).toEqual([
    ['1.sql', 'succeeded'],
    ['2.sql', 'skipped'],
    ['3.sql', 'succeeded'],
  ]);
});

it('nothing of one file leaks into the next, and each begins with the role and settings of its phase', async () => {
  const phases: PhaseOfWays[] = [
    {
      name: 'one',
      transaction: 'single',
      ways: {
        '1.sql': { run: `set search_path = pg_catalog; create temp table leak (n int); close all; set work_mem = '1MB'` },
        '2.sql': {
          run: `do $$ begin assert to_regclass('leak') is null and current_setting('app.tenant') = 'acme' and current_setting('work_mem') <> '1MB'; end $$`,
        },
      },
      more: { settings: { 'app.tenant': 'acme' } },
    },
  ];
  expect(await rehearse(phases)).toMatchObject({ state: 'succeeded', error: null });
});
