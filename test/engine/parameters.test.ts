/**
 * Parameters: what a bundle declares and a request gives, read in SQL as weft.parameter('x') and put into statements as psql does it.
 * In every lane: in a block, statement by statement, at top level, in conditions and in checks.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Problem } from '../../src/domain/problem.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, type OrderOptions, stageFiles } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table seen (place text, value text)');
});

afterEach(() => database.drop());

type Declared = Readonly<Record<string, unknown>>;

const DECLARED: Declared = {
  environment: { type: 'text', required: true },
  region: { type: 'text', default: 'eu' },
  retries: { type: 'integer', default: 3 },
  nothing: { type: 'date' },
};

const bundle = (phases: readonly object[], parameters: Declared = DECLARED, more: object = {}) => JSON.stringify({ name: 'shop', parameters, ...more, phases });

/** One phase called main, of these files. */
function deployOne(files: Readonly<Record<string, string>>, options: OrderOptions & { phase?: object; declared?: Declared; more?: object } = {}) {
  const phase = { name: 'main', transaction: 'single', steps: Object.keys(files).map((run) => ({ run })), ...options.phase };
  const given = { parameters: { environment: 'staging' }, ...options };
  return deployFiles(connectOver(database.url), { 'weft.yaml': bundle([phase], options.declared, options.more), ...files }, given);
}

const seen = async () => Object.fromEntries((await sql(database.url, 'select place, value from seen')).map(({ place, value }) => [place, value]));

const refusal = async (promise: Promise<unknown>) => {
  const thrown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(Problem);
  return thrown as Problem;
};

/** Reads all four in every way. */
const READING = `insert into seen values ('literal', :'environment'), ('plain', (:retries + 1)::text), ('function', weft.parameter('region')), ('none', :'nothing'),
  ('none of them', weft.parameter('nothing')), ('is there', :{?region}::text), ('is not there', :{?nothing}::text), ('unknown', ':environment');
create table :"environment" (n int); -- :'environment'`;

describe.each(['single', 'per-step', 'auto', 'none'])('transaction: %s', (transaction) => {
  it('files read parameters as weft.parameter() and as psql variables', async () => {
    const end = await deployOne({ '1.sql': READING }, { phase: { transaction } });
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ statements: 2 }] }] });
    expect(await seen()).toEqual({
      literal: 'staging',
      plain: '4',
      function: 'eu',
      none: null,
      'none of them': null,
      'is there': 'true',
      'is not there': 'false',
      unknown: ':environment',
    });
    expect(await sql(database.url, 'select n from staging')).toEqual([]);
  });

  it('conditions of phases and steps, and files of a role that is not ours, read them', async () => {
    await sql(database.url, `do $$ begin create role weft_test_shop; exception when duplicate_object then null; end $$`);
    await sql(database.url, 'grant weft_test_shop to current_user; grant all on seen to weft_test_shop');
    const steps = [
      { run: '1.sql', when: `weft.parameter('environment') = 'staging'` },
      { run: '2.sql', when: `weft.parameter('environment') = 'production'` },
    ];
    const files = { '1.sql': `insert into seen values (current_user, weft.parameter('region'));`, '2.sql': 'select 1 / 0;' };
    const phase = { transaction, role: 'weft_test_shop', when: `weft.parameter('retries')::int = 3`, steps };
    const end = await deployOne(files, { phase });
    expect(end, JSON.stringify(end.error)).toMatchObject({
      state: 'succeeded',
      phases: [{ is_wanted: true, steps: [{ state: 'succeeded' }, { state: 'skipped' }] }],
    });
    expect(await seen()).toEqual({ weft_test_shop: 'eu' });
    const [{ acl }] = await sql(database.url, `select nspacl::text as acl from pg_namespace where nspname = 'weft'`);
    expect(acl).not.toContain('weft_test_shop');
  });

  it('errors tell the line and the statement as the file has them', async () => {
    const end = await deployOne({ '1.sql': `select 1;\n\nselect :'environment',\n  :retries / 0;` }, { phase: { transaction } });
    expect(end).toMatchObject({
      state: 'failed',
      error: { sqlstate: '22012', path: '1.sql', line: 3, statement: `select :'environment',\n  :retries / 0` },
    });
  });

  it('a name that is not declared is left alone, and the server says what it thinks of it', async () => {
    expect(await deployOne({ '1.sql': 'select :surprise;' }, { phase: { transaction } })).toMatchObject({ error: { sqlstate: '42601', line: 1 } });
    const end = await deployOne({ '2.sql': `select weft.parameter('surprise');` }, { phase: { transaction } });
    expect(end).toMatchObject({ error: { sqlstate: 'WF043', hint: 'The bundle declares: environment, nothing, region, retries.' } });
  });

  it('a rehearsal runs what the deployment would, under the role of the phase too, and shows statements as the file has them', async () => {
    await sql(database.url, `do $$ begin create role weft_test_shop; exception when duplicate_object then null; end $$`);
    await sql(database.url, 'grant weft_test_shop to current_user; grant all on seen to weft_test_shop');
    const file = `insert into seen values (:'environment', weft.parameter('region'));`;
    const steps = [{ run: '1.sql', when: `weft.parameter('retries') = '3'` }];
    const end = await deployOne({ '1.sql': file }, { phase: { transaction, role: 'weft_test_shop', steps }, mode: 'rehearse' });
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded', mode: 'rehearse' });
    const { statements } = (end.rehearsal as unknown as { steps: { statements: { statement?: string; rows?: number }[] }[] }).steps[0] ?? { statements: [] };
    expect(statements.filter(({ statement }) => statement !== undefined)).toMatchObject([{ statement: file.slice(0, -1), rows: 1 }]);
    expect(await seen()).toEqual({});
  });

  it('an undo runs with the values of the deployment that it takes back', async () => {
    const files = {
      '1.sql': `create table :"environment" (n int);`,
      'undo.sql': `drop table :"environment"; insert into seen values ('undone', weft.parameter('region'));`,
    };
    const done = await deployOne(files, { phase: { transaction, steps: [{ run: '1.sql', undo: 'undo.sql' }] } });
    expect(done, JSON.stringify(done.error)).toMatchObject({ state: 'succeeded' });
    const end = await undo(database.url, `'${done.id}'`);
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded', parameters: done.parameters });
    expect(await seen()).toEqual({ undone: 'eu' });
    expect(await sql(database.url, `select to_regclass('staging') as there`)).toEqual([{ there: null }]);
  });

  it('a file reads the same behind another that has thrown its settings away', async () => {
    const end = await deployOne(
      { '1.sql': 'reset all;', '2.sql': `insert into seen values ('behind', weft.parameter('region'));` },
      { phase: { transaction } },
    );
    expect(end.state).toBe('succeeded');
    expect(await seen()).toEqual({ behind: 'eu' });
  });
});

describe('in code and nowhere else', () => {
  const interpolated = async (text: string) => {
    await deployOne({ '1.sql': 'select 1;' });
    const values = { environment: `o'brien \\ x`, n: '5', type: 'integer' };
    const [{ text: made }] = await sql(database.url, 'select weft._interpolate($1, $2, weft._mark($2)) as text', [text, JSON.stringify(values)]);
    return made;
  };

  it.each([
    ['a plain one as it is', 'select :n', 'select 5'],
    ['a literal, quoted', `select :'environment'`, `select  E'o''brien \\\\ x'`.replace('  ', ' ')],
    ['a name, quoted', 'select :"environment"', `select "o'brien \\ x"`],
    ['a longer name is another one', 'select :nn, :n_, :n1', 'select :nn, :n_, :n1'],
    ['a cast', 'select x::n, x::"n", y :=n', 'select x::n, x::"n", y :=n'],
    ['a cast to what a parameter says', 'select x:::type', 'select x::integer'],
    ['a slice with a space', 'a[1 : 2]', 'a[1 : 2]'],
    ['a slice to a parameter, as psql', 'a[1:n]', 'a[15]'],
    ['a string', `select ':n', ':''n''', ':"n"'`, `select ':n', ':''n''', ':"n"'`],
    ['a string with escapes', `select E'\\':n', :n`, `select E'\\':n', 5`],
    ['a quoted name', 'select ":n", U&":n"', 'select ":n", U&":n"'],
    ['a dollar quote', "select $$ :n $$, $a$ :'n' $b$ $a$, :n", "select $$ :n $$, $a$ :'n' $b$ $a$, 5"],
    ['a comment', `select 1 -- :n\n, :n /* :n /* :n */ :'n' */`, `select 1 -- :n\n, 5 /* :n /* :n */ :'n' */`],
    ['right behind a string, which it does not become a part of', `select 'a':'n'`, `select 'a' '5'`],
    ['right behind a word', `select foo:'environment'`, `select foo E'o''brien \\\\ x'`],
    ['whether there is one', 'select :{?n}, :{?m}', 'select true, :{?m}'],
  ])('%s', async (_, text, expected) => {
    expect(await interpolated(text)).toBe(expected);
  });

  it('costs linear time', async () => {
    await deployOne({ '1.sql': 'select 1;' });
    const [{ length }] = await sql(database.url, `select length(weft._interpolate($1, '{"n": "5"}', weft._mark('{"n": "5"}'))) as length`, [
      `insert into t values ${`(:n, 'a:n''b', $$:n$$), `.repeat(30_000)}(:n)`,
    ]);
    expect(length).toBe(`insert into t values ${`(5, 'a:n''b', $$:n$$), `.repeat(30_000)}(5)`.length);
  });
});

describe('more than one lane has to do', () => {
  it('a file of several chunks', async () => {
    const rows = Array.from({ length: 2500 }, (_, n) => `insert into seen values ('${n}', :'environment'); -- ${'x'.repeat(900)}`);
    const end = await deployOne({ '1.sql': rows.join('\n') });
    expect(end.state).toBe('succeeded');
    expect(await sql(database.url, `select count(*)::int as count from seen where value = 'staging'`)).toEqual([{ count: 2500 }]);
  });

  it.each(['single', 'none'])('a file that is executed in one piece, because the split was wrong: %s', async (transaction) => {
    const odd = `create function odd() returns int language sql begin atomic select 1 as end; select :retries; end;\ninsert into seen values ('odd', :'region');`;
    const end = await deployOne({ '1.sql': odd }, { phase: { transaction } });
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
    expect(await seen()).toEqual({ odd: 'eu' });
    expect(await sql(database.url, 'select odd()')).toEqual([{ odd: 3 }]);
  });

  it('a statement that runs in no transaction: it goes out with the values, and what is kept of it has none', async () => {
    await sql(database.url, 'create table goods (n int)');
    const declared = { name: { type: 'text', default: 'Goods by n' } };
    const file = 'select 1;\ncreate index concurrently :"name" on goods (n);';
    const end = await deployOne({ '1.sql': file }, { phase: { transaction: 'auto' }, declared, parameters: {} });
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, `select indexrelid::regclass::text as name from pg_index where indrelid = 'goods'::regclass and indisvalid`)).toEqual([
      { name: '"Goods by n"' },
    ]);
    const [{ sent }] = await sql(database.url, `select data ->> 'sent' as sent from weft.events where kind = 'statement_sent'`);
    expect(sent).toBe('create index concurrently :"name" on goods (n)');
  });

  it('a procedure that commits, and the done_when of its step', async () => {
    await sql(database.url, `create procedure fill(v text) language plpgsql as $$ begin insert into seen values ('filled', v); commit; end $$`);
    const steps = [{ run: '1.sql', done_when: `exists (select from seen where value = weft.parameter('environment'))` }];
    const end = await deployOne({ '1.sql': `call fill(weft.parameter('environment'));` }, { phase: { transaction: 'auto', steps } });
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
    expect(await seen()).toEqual({ filled: 'staging' });
  });

  it('files that run again and again, under the role of the phase, also while their order is searched', async () => {
    await sql(database.url, `do $$ begin create role weft_test_shop; exception when duplicate_object then null; end $$`);
    await sql(database.url, 'grant weft_test_shop to current_user; create schema shop; grant all on schema shop to weft_test_shop');
    const files = {
      'a.sql': `create or replace view a as select b.*, :'environment' as environment from b;`,
      'b.sql': `do $$ begin perform weft.parameter('region'); end $$; create or replace view b as select :retries as n;`,
    };
    const phase = { role: 'weft_test_shop', settings: { search_path: 'shop' }, steps: [{ run: '*.sql', repeat: 'on-change' }] };
    const end = await deployOne(files, { phase });
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, `set role weft_test_shop; select * from shop.a`)).toEqual([{ n: 3, environment: 'staging' }]);
    expect(await sql(database.url, `select kind from weft.events where kind = 'order_found'`)).toHaveLength(1);
    const [{ acl }] = await sql(database.url, `select nspacl::text as acl from pg_namespace where nspname = 'weft'`);
    expect(acl).not.toContain('weft_test_shop');
  });

  it('a check', async () => {
    const phase = { checks: ['rule.sql'] };
    const files = {
      '1.sql': `insert into seen values ('a', 'staging');`,
      'rule.sql': `select place from seen where value = :'environment' and value = weft.parameter('environment')`,
    };
    const end = await deployFiles(
      connectOver(database.url),
      { 'weft.yaml': bundle([{ name: 'main', transaction: 'single', steps: [{ run: '1.sql' }], ...phase }]), ...files },
      { parameters: { environment: 'staging' } },
    );
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'WF022', check: { offenders: [{ place: 'a' }] } } });
  });

  it('no step makes an object of the user’s depend on weft.parameter()', async () => {
    const end = await deployOne({ '1.sql': `create view v as select weft.parameter('region');` });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'WF016' } });
  });

  it('outside of a run there is nothing to read', async () => {
    await deployOne({ '1.sql': 'select 1;' });
    await expect(sql(database.url, `select weft.parameter('region')`)).rejects.toMatchObject({ code: 'WF043' });
  });
});

describe('what is given', () => {
  it.each([
    ['an undeclared name', { parameters: { environment: 'a', surprise: 'b' } }, 'The bundle declares no parameter "surprise".'],
    ['no value for a required one', { parameters: {} }, 'The parameter "environment" has no value, and needs one.'],
    [
      'a value of another type',
      { parameters: { environment: 'a', retries: 'many' } },
      'The parameter "retries" is no integer: invalid input syntax for type integer: "many"',
    ],
    ['a value out of range', { parameters: { environment: 'a', retries: '3000000000' } }, 'value "3000000000" is out of range for type integer'],
  ])('%s is refused in the server’s words, and nothing is opened', async (_, given, words) => {
    const problem = await refusal(deployOne({ '1.sql': 'create table t ();' }, given));
    expect(problem.slug).toBe('invalid_parameters');
    expect(problem.message).toContain(words);
    expect(await sql(database.url, 'select id from weft.deployments')).toEqual([]);
  });

  it('a default that is not of its type is refused too', async () => {
    const problem = await refusal(deployOne({ '1.sql': 'select 1;' }, { declared: { retries: { type: 'integer', default: 'many' } }, parameters: {} }));
    expect(problem).toMatchObject({ slug: 'invalid_parameters' });
  });

  it.each([
    ['integer', '007', '7'],
    ['bigint', '9007199254740993', '9007199254740993'],
    ['numeric', '1.50', '1.50'],
    ['boolean', 'yes', 'true'],
    ['date', '2026-11-22', '2026-11-22'],
    ['timestamp', '2026-11-22 12:00', '2026-11-22 12:00:00'],
    ['timestamptz', '2026-11-22T12:00:00+02:00', '2026-11-22 10:00:00+00'],
    ['interval', '90 minutes', '01:30:00'],
    ['uuid', '0192F0C1-7B1A-7CC3-8A52-3F0D5A6B7C8D', '0192f0c1-7b1a-7cc3-8a52-3f0d5a6b7c8d'],
    ['jsonb', '{"a":1}', '{"a": 1}'],
    ['text', ' as it is ', ' as it is '],
  ])('%s: the server writes it as the type does', async (type, given, expected) => {
    const end = await deployOne({ '1.sql': `insert into seen values ('x', weft.parameter('x'));` }, { declared: { x: { type } }, parameters: { x: given } });
    expect(end.state).toBe('succeeded');
    expect(await seen()).toEqual({ x: expected });
    expect(end.parameters).toEqual([{ name: 'x', type, secret: false, given: true, value: expected, digest: null }]);
    expect(await sql(database.url, 'select name, type, is_secret, is_given, value from weft.parameters')).toEqual([
      { name: 'x', type, is_secret: false, is_given: true, value: expected },
    ]);
  });

  it('numbers and truth values of JSON are taken with all their digits', async () => {
    const declared = { n: { type: 'numeric' }, b: { type: 'boolean' } };
    await deployOne({ '1.sql': `insert into seen values ('n', :n), ('b', :b);` }, { declared, parameters: { n: 0.1, b: true } });
    expect(await seen()).toEqual({ n: '0.1', b: 'true' });
  });

  it('belongs to the request: the same again is the same deployment, another value is a conflict', async () => {
    const one = await deployOne({ '1.sql': 'select 1;' }, { id: 'run-1' });
    expect((await deployOne({ '1.sql': 'select 1;' }, { id: 'run-1' })).id).toBe(one.id);
    expect(await refusal(deployOne({ '1.sql': 'select 1;' }, { id: 'run-1', parameters: { environment: 'production' } }))).toMatchObject({
      slug: 'id_conflict',
    });
  });
});

describe('the schema', () => {
  it.runIf(offers('a superuser'))('opens under the search_path that an event trigger knows its tables by', async () => {
    await sql(database.url, `do $$ begin create role weft_test_shop; exception when duplicate_object then null; end $$`);
    await sql(database.url, 'grant weft_test_shop to current_user; create schema audit; create table audit.log (tag text)');
    await sql(database.url, `grant usage on schema audit to public; grant insert on audit.log to public; grant all on seen to weft_test_shop`);
    await sql(database.url, `alter database ${database.name} set search_path = audit, public`);
    await sql(
      database.superuserUrl ?? '',
      `set search_path = audit; create function audit.note() returns event_trigger language plpgsql as $$ begin insert into log values (tg_tag); end $$;
       create event trigger noted on ddl_command_end execute function audit.note()`,
    );
    for (const [path, transaction] of [
      ['1.sql', 'single'],
      ['2.sql', 'none'],
    ] as const) {
      const end = await deployOne(
        { [path]: `insert into seen values ('${path}', weft.parameter('region'));` },
        { phase: { role: 'weft_test_shop', transaction } },
      );
      expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
    }
    expect(await seen()).toEqual({ '1.sql': 'eu', '2.sql': 'eu' });
  });

  it('opens for nobody: a role of a phase reads weft.parameter() within its transaction, and no table, ever', async () => {
    await sql(database.url, `do $$ begin create role weft_test_shop; exception when duplicate_object then null; end $$`);
    await sql(database.url, 'grant weft_test_shop to current_user');
    const phase = { role: 'weft_test_shop' };
    expect(await deployOne({ '1.sql': 'select * from weft._deployments;' }, { phase })).toMatchObject({
      error: { sqlstate: '42501', message: expect.stringContaining('_deployments'), hint: expect.stringMatching(/^That is the engine's, in schema weft/) },
    });
    expect(await deployOne({ '2.sql': 'select weft.version();' }, { phase })).toMatchObject({
      error: { sqlstate: '42501', message: expect.stringContaining('version') },
    });
    expect(await deployOne({ '4.sql': 'select weft.glance(null);' }, { phase })).toMatchObject({
      error: { sqlstate: '42501', hint: expect.stringMatching(/^That is the engine's, in schema weft/) },
    });
    const end = await deployOne({ '3.sql': `set role weft_test_shop; select weft.parameter('region');` });
    expect(end).toMatchObject({ error: { sqlstate: '42501', hint: expect.stringContaining(`as :'name'`) } });
    const open = await sql(
      database.url,
      `select f.oid::regprocedure::text as name from pg_proc as f where f.pronamespace = 'weft'::regnamespace and has_function_privilege('weft_test_shop', f.oid, 'execute')`,
    );
    expect(open).toEqual([{ name: 'weft.parameter(text)' }]);
  });
});

describe('a bundle without parameters', () => {
  it('is left as it is: psql’s variables mean nothing in it', async () => {
    const id = await stageFiles(database.url, { '1.sql': `insert into seen values ('x', ':region');` });
    await sql(database.url, 'call weft.run($1)', [id]);
    expect(await seen()).toEqual({ x: ':region' });
  });
});
