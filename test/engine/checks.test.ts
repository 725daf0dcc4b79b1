/**
 * Checks: a query that returns the rows which break a rule, looked at inside the transaction, before the commit.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CHECK_RULES } from '../../src/domain/manifest.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

interface Phase {
  readonly transaction?: string;
  readonly steps: readonly object[];
  readonly checks?: readonly unknown[];
  readonly [word: string]: unknown;
}

function deployPhases(phases: readonly Phase[], files: Readonly<Record<string, string>>) {
  const named = phases.map((phase, index) => ({ name: `p${index + 1}`, ...phase }));
  return deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: 'shop', phases: named }), ...files });
}

const exists = async (table: string) => (await sql(database.url, 'select to_regclass($1) is not null as is_there', [table]))[0].is_there;

const FILES = {
  '1.sql': 'create table price (n int); insert into price select g from generate_series(-25, 3) as g;',
  'checks/no_negative.sql': '-- prices\nselect n, "n" * 2 as twice from price where n < 0 order by n',
};

describe('a check in a phase that is all or nothing', () => {
  const phase = (severity?: string): Phase => ({
    transaction: 'single',
    steps: [{ run: '1.sql' }],
    checks: [severity === undefined ? 'checks/*.sql' : { check: 'checks/*.sql', severity }],
  });

  it('vetoes the commit: nothing of the phase stays, and the first 20 offenders are kept with their number', async () => {
    const end = await deployPhases([phase()], FILES);
    expect(end).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF022', path: 'checks/no_negative.sql', message: '25 rows break the rule.', check: { offenders_count: 25, columns: ['n', 'twice'] } },
      phases: [{ state: 'failed', steps: [{ state: 'pending' }, { kind: 'check', state: 'failed', result: { offenders_count: 25, severity: 'error' } }] }],
    });
    expect(end.error?.check?.offenders).toHaveLength(20);
    expect(end.error?.check?.offenders[0]).toEqual({ n: -25, twice: -50 });
    expect(await exists('price')).toBe(false);
  });

  it('is shown with its offenders as a table', async () => {
    const summary = renderSummary(await deployPhases([phase()], FILES), UNCOLOURED);
    expect(summary).toContain('checks/no_negative.sql  in phase p1');
    expect(summary).toMatch(/\| n {4}twice\n {2}\| -25 {2}-50\n/);
    expect(summary).toContain('| … and 5 more rows');
    expect(summary).toContain('rolled back as a whole: nothing of it is left');
  });

  it('only warns: the phase is committed, and the offenders are in the record', async () => {
    const end = await deployPhases([phase('warn')], FILES);
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{}, { state: 'succeeded', result: { severity: 'warn', offenders_count: 25 } }] }] });
    expect(await exists('price')).toBe(true);
    expect(renderSummary(end, UNCOLOURED)).toContain('Warning: checks/no_negative.sql: 25 rows break the rule.');
  });

  it('holds: it is in no history, and the next deployment asks again', async () => {
    const files = { ...FILES, 'checks/no_negative.sql': 'select * from price where n > 3' };
    expect(await deployPhases([phase()], files)).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{}, { state: 'succeeded', result: { offenders_count: 0 } }] }],
    });
    await sql(database.url, 'insert into price values (4)');
    expect(await deployPhases([phase()], files)).toMatchObject({ state: 'failed', error: { sqlstate: 'WF022', message: '1 row breaks the rule.' } });
    expect(await sql(database.url, 'select path from weft.history')).toEqual([{ path: '1.sql' }]);
  });

  it('sees what is not committed yet, under the role and settings of its phase', async () => {
    const end = await deployPhases([{ ...phase(), settings: { search_path: 'elsewhere' } }], {
      '1.sql': 'create schema elsewhere; create table price (n int); insert into price values (-1);',
      'checks/no_negative.sql': 'table price',
    });
    expect(end).toMatchObject({ error: { sqlstate: 'WF022', check: { offenders: [{ n: -1 }] } } });
  });

  it('is asked as the role of its phase, which may do nothing in schema weft', async () => {
    const role = `${database.name}_reader`;
    await sql(database.url, `create role ${role}; grant ${role} to current_user`);
    try {
      const files = { '1.sql': 'create table public.seen (who text)', 'checks/no_negative.sql': 'select current_user as who' };
      await sql(database.url, `grant create on schema public to ${role}`);
      const end = await deployPhases([{ ...phase('warn'), role }], files);
      expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{}, { state: 'succeeded', result: { offenders: [{ who: role }] } }] }] });
    } finally {
      await sql(database.url, `drop owned by ${role}; drop role ${role}`);
    }
  });

  it('keeps columns of any name', async () => {
    const end = await deployPhases([phase('warn')], { ...FILES, 'checks/no_negative.sql': 'select 1 as n, 2 as q, 3 as j, 4 as x' });
    expect(end).toMatchObject({ phases: [{ steps: [{}, { result: { columns: ['n', 'q', 'j', 'x'], offenders: [{ n: 1, q: 2, j: 3, x: 4 }] } }] }] });
  });

  it('cuts a row that is too long to be kept', async () => {
    const end = await deployPhases([phase()], { ...FILES, 'checks/no_negative.sql': "select repeat('x', 5000) as long" });
    expect(String(end.error?.check?.offenders[0])).toHaveLength(2000);
  });
});

describe('what is no check', () => {
  it.each([
    ['two statements', 'select 1; select 2', 'WF023', /2 statements/],
    ['no statement', '-- nothing', 'WF023', /0 statements/],
    ['a statement that writes', 'delete from price returning *', 'WF023', /one query/],
    ['a writing with', 'with d as (delete from price returning *) select * from d', '0A000', /WITH/],
    ['a query that fails', 'select nothing from price', '42703', /nothing/],
  ])('%s: it is refused with its path', async (_, text, sqlstate, message) => {
    const end = await deployPhases([{ transaction: 'single', steps: [{ run: '1.sql' }], checks: ['checks/*.sql'] }], {
      ...FILES,
      'checks/no_negative.sql': text,
    });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate, path: 'checks/no_negative.sql', message: expect.stringMatching(message) } });
    expect(await exists('price')).toBe(false);
  });
});

describe('a check in other phases', () => {
  it.each(['per-step', 'auto', 'none'])('%s: has a transaction of its own; what ran before it stays', async (transaction) => {
    const end = await deployPhases([{ transaction, steps: [{ run: '1.sql' }], checks: ['checks/*.sql'] }], FILES);
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'WF022' }, phases: [{ steps: [{ state: 'succeeded' }, { state: 'failed' }] }] });
    expect(await exists('price')).toBe(true);
  });

  it('may warn of rows that no jsonb holds', async () => {
    const end = await deployPhases([{ transaction: 'single', steps: [{ run: '1.sql' }], checks: [{ check: 'c.sql', severity: 'warn' }] }], {
      '1.sql': 'create table t (id int); insert into t values (1), (2)',
      'c.sql': `select id, case id when 1 then json '{"a":"\\u0000"}' else '{}' end as j from t order by id`,
    });
    expect(end).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{}, { result: { offenders_count: 2, offenders: [expect.stringContaining('\\u0000'), { id: 2, j: {} }] } }] }],
    });
  });

  it('may be asked after several phases', async () => {
    const end = await deployPhases(
      [
        { transaction: 'single', steps: [{ run: '1.sql' }], checks: ['checks/*.sql'] },
        { transaction: 'single', steps: [{ run: '2.sql' }], checks: ['checks/*.sql'] },
      ],
      { '1.sql': 'create table price (n int)', '2.sql': 'insert into price values (-1)', 'checks/no_negative.sql': FILES['checks/no_negative.sql'] },
    );
    expect(end).toMatchObject({ state: 'failed', phases: [{ state: 'succeeded' }, { state: 'failed' }] });
  });

  it('is left out where its condition is not true', async () => {
    const end = await deployPhases([{ transaction: 'single', steps: [{ run: '1.sql' }], checks: [{ check: 'checks/*.sql', when: false }] }], FILES);
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{}, { state: 'skipped', is_wanted: false }] }] });
  });
});

describe('the rules that come with Weft', () => {
  const BROKEN: Readonly<Record<(typeof CHECK_RULES)[number], { readonly before: string; readonly mended: string; readonly offender: object }>> = {
    'primary-keys': {
      before: 'create table bare (n int)',
      mended: 'alter table bare add primary key (n)',
      offender: { table: 'public.bare' },
    },
    'indexed-foreign-keys': {
      before: 'create table a (x int, y int, primary key (x, y)); create table b (y int, x int, foreign key (x, y) references a (x, y)); create index on b (x)',
      mended: 'create index on b (y, x)',
      offender: { table: 'public.b', 'foreign key': 'b_x_y_fkey', columns: 'x, y' },
    },
    'valid-indexes': {
      before: 'create table p (n int) partition by range (n); create table c partition of p for values from (1) to (2); create index i on only p (n)',
      mended: 'create index c_i on c (n); alter index i attach partition c_i',
      offender: { index: 'public.i', table: 'public.p' },
    },
    'valid-constraints': {
      before: 'create table t (n int); alter table t add constraint positive check (n > 0) not valid',
      mended: 'alter table t validate constraint positive',
      offender: { table: 'public.t', constraint: 'positive' },
    },
    'sequences-with-room': {
      before: "create sequence s maxvalue 10; select setval('s', 9)",
      mended: 'alter sequence s maxvalue 1000',
      offender: { sequence: 'public.s', last_value: 9, max_value: 10 },
    },
    owners: {
      before: 'create table mine (n int)',
      mended: '',
      offender: { object: 'table public.mine' },
    },
  };

  const ask = (check: object) => deployPhases([{ transaction: 'single', steps: [{ run: '1.sql' }], checks: [check] }], { '1.sql': 'select 1' });

  it.each([
    ['that it is of', "create table t (id int primary key default nextval('s')); alter sequence s owned by t.id"],
    ['whose default it is', "create table t (id int primary key default nextval('s'))"],
  ])('sequences-with-room: a column may hold less than the sequence: one %s', async (_, table) => {
    await sql(database.url, `create sequence s; ${table}; select setval('s', 2147480000)`);
    expect(await ask({ rule: 'sequences-with-room' })).toMatchObject({
      state: 'failed',
      error: { check: { offenders: [{ sequence: 'public.s', last_value: 2147480000, max_value: 2147483647, percent: 100 }] } },
    });
    await sql(database.url, 'alter table t alter id type bigint');
    expect(await ask({ rule: 'sequences-with-room' })).toMatchObject({ state: 'succeeded' });
  });

  it('sequences-with-room: one that this role may not read is named, for nobody can tell', async () => {
    await sql(database.url, "create sequence s maxvalue 10; select setval('s', 9); revoke all on sequence s from current_user");
    expect(await ask({ rule: 'sequences-with-room' })).toMatchObject({
      state: 'failed',
      error: { check: { offenders: [{ sequence: 'public.s', last_value: 'not for this role to read', max_value: 10 }] } },
    });
    await sql(database.url, 'grant select on sequence s to current_user; alter sequence s maxvalue 1000');
    expect(await ask({ rule: 'sequences-with-room' })).toMatchObject({ state: 'succeeded' });
  });

  it('indexed-foreign-keys: an index that finds no single key is none', async () => {
    await sql(database.url, 'create table a (id int primary key); create table b (a int references a); create index on b using brin (a)');
    expect(await ask({ rule: 'indexed-foreign-keys' })).toMatchObject({ state: 'failed', error: { check: { offenders: [{ table: 'public.b' }] } } });
    await sql(database.url, 'create index on b using hash (a)');
    expect(await ask({ rule: 'indexed-foreign-keys' })).toMatchObject({ state: 'succeeded' });
  });

  it('valid-constraints: one that is not to be enforced is none that waits for it (since PostgreSQL 18)', async () => {
    const [{ major }] = await sql(database.url, `select current_setting('server_version_num')::int / 10000 as major`);
    await sql(database.url, `create table t (n int); alter table t add constraint positive check (n > 0) ${major >= 18 ? 'not enforced' : ''}`);
    expect(await ask({ rule: 'valid-constraints' })).toMatchObject({ state: 'succeeded' });
    if (major >= 18) await sql(database.url, 'create table p (id int primary key); create table c (p int references p not enforced)');
    expect(await ask({ rule: 'indexed-foreign-keys' })).toMatchObject({ state: 'succeeded' });
  });

  it('owners: also of what is no table', async () => {
    await sql(
      database.url,
      `create table mine (a int, b int); create statistics counted on a, b from mine; create text search configuration words (copy = simple); create collation letters from "C"`,
    );
    expect(await ask({ rule: 'owners', owner: 'nobody_at_all' })).toMatchObject({
      error: {
        check: {
          offenders: expect.arrayContaining(
            ['statistics object counted', 'text search configuration words', 'collation letters'].map((name) =>
              expect.objectContaining({ object: expect.stringContaining(name.split(' ').at(-1) as string) }),
            ),
          ),
        },
      },
    });
  });

  it.each(CHECK_RULES)('%s: names what breaks it, and is quiet once that is mended', async (rule) => {
    const { before, mended, offender } = BROKEN[rule];
    await sql(database.url, before);
    const owner = rule === 'owners' ? { owner: 'nobody_at_all' } : {};
    expect(await ask({ rule, ...owner })).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF022', path: `rule:${rule}`, check: { offenders: expect.arrayContaining([expect.objectContaining(offender)]) } },
    });
    const nowhere = { offenders: [{ schema: 'elsewhere', is: 'not there' }], offenders_count: 1 };
    expect(await ask({ rule, ...owner, schemas: ['elsewhere'] }), 'what looks at nothing does not hold').toMatchObject({
      state: 'failed',
      error: { check: nowhere },
    });
    expect((await ask({ rule, ...owner, schemas: ['elsewhere'], severity: 'warn' })).phases[0]?.steps.at(-1)?.result).toMatchObject(nowhere);
    await sql(database.url, 'create schema elsewhere');
    expect(await ask({ rule, ...owner, schemas: ['elsewhere'] })).toMatchObject({ state: rule === 'owners' ? 'failed' : 'succeeded' });
    for (const statement of mended === '' ? [] : [mended]) await sql(database.url, statement);
    expect(await ask({ rule })).toMatchObject({ state: 'succeeded' });
  });
});
