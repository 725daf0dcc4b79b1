/** `weft baseline`: a database that is there already is said to be at a bundle. Nothing runs, and the catalog is asked first. */
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { startTestStack } from '../support/stack.ts';
import { makeFolder, putFiles } from './folder.ts';
import { type Run, run } from './run.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(() => database.drop());

const weft = (...argv: string[]): Promise<Run> => run(argv, { env: { DATABASE_URL: database.url } });
const history = async () => (await sql(database.url, 'select path from weft.history order by path')).map(({ path }) => path);

const FILES = {
  '1.sql': `-- the tables
    create table goods (n int); create table if not exists public."Old Stock" (n int); create temporary table t (n int);
    create schema stock; create table renamed (n int); alter table renamed rename to final;`,
  '2.sql': `create index on goods (n); create unique index concurrently goods_n on goods (n); alter table goods add column price numeric(10, 2);
    create or replace function stock.twice(n int) returns int language sql as $$ select n * 2; $$; create type stock.state as enum ('here');`,
  '3.sql': `create view cheap as select n from goods; create materialized view counted as select count(*) from goods;
    create policy seen on goods using (true); create trigger watch after insert on goods for each row execute function tell(); drop view cheap;`,
  '4.sql': 'insert into goods values (1)',
  '5.sql': 'create table later (n int)',
};
const AS_IT_IS = `create table goods (n int, price numeric(10, 2)); create table "Old Stock" (n int); create schema stock; create table final (n int); create unique index goods_n on goods (n);
  create function stock.twice(n int) returns int language sql as 'select n * 2'; create type stock.state as enum ('here'); create materialized view counted as select count(*) from goods;
  create policy seen on goods using (true); create function tell() returns trigger language plpgsql as 'begin return null; end'; create trigger watch after insert on goods for each row execute function tell();`;

describe('weft baseline', () => {
  it('records the files up to one as applied, without running them, after it has found what they create', async () => {
    await sql(database.url, AS_IT_IS);
    const folder = makeFolder(FILES);
    const { code, stdout, stderr } = await weft('baseline', folder, '--up-to', '4.sql');
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^Recorded\. This database is taken to be at shop, up to 4\.sql; nothing was run\./);
    expect(stdout).toContain(
      '4 files recorded. Looked for in the catalog by name: 11 objects, all there. Not checked, because they create nothing that can be looked for by name: 4.sql.',
    );
    expect(stdout).toContain('  main  auto  recorded: 4 files\n\nNext: "weft plan" shows what is still to be run.');
    expect(stderr).toContain('4/4 main: 4.sql: recorded\n');
    expect(stdout + stderr).not.toMatch(/left out|skipped/);
    expect(await history()).toEqual(['1.sql', '2.sql', '3.sql', '4.sql']);
    expect(await sql(database.url, 'select count(*)::int as n from goods')).toEqual([{ n: 0 }]);
    expect(await sql(database.url, 'select mode, state, caller from weft.deployments')).toEqual([{ mode: 'baseline', state: 'succeeded', caller: 'direct' }]);
    expect((await weft('deploy', folder, '--json')).json().phases[0].steps.map(({ state }: { state: string }) => state)).toEqual([
      ...Array(4).fill('skipped'),
      'succeeded',
    ]);
  });

  it('looks for what stands behind the rows of a COPY, as in a dump', async () => {
    const folder = makeFolder({
      '1.sql': `create table t (id int, n text);\ncopy t from stdin;\n1\tit's; create view no as select 1;\n\\.\ncreate index t_n\n  on t (n);
copy t from stdin (format csv);\n2,"two\nlines;"\n\\.\ncreate view seen as select 1 as one; copy t from stdin (force_null (n), format csv);\n3,x\n\\.\nalter table t add constraint t_key primary key (id);`,
    });
    await sql(database.url, 'create table t (id int, n text)');
    const missing = await weft('baseline', folder);
    expect(missing.code).toBe(1);
    expect(missing.stdout).toContain('3 of the 4 objects that its files create are not there');
    expect(missing.stdout).toContain('Not there: relation t_n (1.sql:5), relation seen (1.sql:11), constraint t_key of t (1.sql:14)');
    await sql(database.url, 'create index t_n on t (n); create view seen as select 1 as one; alter table t add constraint t_key primary key (id)');
    expect((await weft('baseline', folder)).stdout).toContain('Looked for in the catalog by name: 4 objects, all there.');
  });

  it('says of a file that is too large to be looked through that nobody has looked', async () => {
    const rows = Array.from({ length: 180_000 }, (_, n) => n).join('\n');
    await sql(database.url, 'create table t (n int)');
    const { code, stdout } = await weft(
      'baseline',
      makeFolder({ '1.sql': 'create table t (n int);', '2.sql': `copy t from stdin;\n${rows}\n\\.\ncreate view no as select 1;` }),
    );
    expect(code, stdout).toBe(0);
    expect(stdout).toContain('1 object, all there. Not read, because larger than 1 MiB (compared_bytes): 2.sql.');
    expect(stdout).not.toContain('create nothing');
  });

  it('looks for a trigger and a policy on their table, and for a function with its arguments: a name alone may be another one’s', async () => {
    const made = (table: string) =>
      `create trigger touched before insert on ${table} for each row execute function touch();\ncreate policy tenant on public.${table} using (true);`;
    const start = `create table a (n int); create table b (n int); create type level as enum ('low'); create function touch() returns trigger language plpgsql as 'begin return new; end';`;
    const calc = (args: string) => `create or replace function calc(${args}) returns text language sql as 'select $t$x$t$';`;
    await sql(database.url, `${start} ${made('a')} ${calc('n int')} ${calc(`l level, x numeric(10, 2) default 0`)}`);
    const folder = makeFolder({
      '1.sql': start,
      '2.sql': [made('a'), calc('int'), calc(`"of" level, x numeric default (1 + 2)`), calc(`n integer, out done text`).replace('returns text ', '')].join(
        '\n',
      ),
      '3.sql': [made('b'), calc('text'), calc(`n int, m text default ')'`)].join('\n'),
    });
    const { code, stdout, stderr } = await weft('baseline', folder, '--json');
    expect(code, stdout + stderr).not.toBe(0);
    expect(JSON.parse(stdout).error).toMatchObject({
      sqlstate: 'WF062',
      message: expect.stringContaining('4 of the 13 objects'),
      detail: expect.stringContaining(
        'Not there: trigger touched of b (3.sql:1), policy tenant of public.b (3.sql:2), function calc (3.sql:3), function calc (3.sql:4).',
      ),
    });
    await sql(database.url, `${made('b')} ${calc('text')} ${calc('int, text')}`);
    expect((await weft('baseline', folder)).code).toBe(0);
    expect(await sql(database.url, `select from pg_proc where proname = 'weft_asks'`)).toEqual([]);
  });

  it('that was a mistake is withdrawn by its id, and by nothing else: its files are to be run again, and both stay on record', async () => {
    const folder = makeFolder({
      'weft.yaml': 'name: shop\nphases: [{ name: main, transaction: single, steps: [{ run: "*.sql", undo: "u/*.sql" }] }]\n',
      '1.sql': 'create table if not exists goods (n int);',
      'u/1.sql': 'drop table goods;',
    });
    await sql(database.url, 'create table goods (n int); insert into goods values (1)');
    const { id } = (await weft('baseline', folder, '--json')).json();
    const unnamed = await weft('undo', '--json');
    expect([unnamed.code, unnamed.json().problem.type, unnamed.stderr]).toEqual([2, 'urn:weft:problem:undo_ambiguous', expect.stringContaining(id)]);
    const plan = await weft('undo', '--plan', id);
    expect([plan.code, plan.stdout]).toEqual([0, expect.stringMatching(/It was a baseline, which has run nothing\..*\n +1\.sql +leaves the history/)]);
    expect((await weft('undo', '--rehearse', id, '--json')).json().problem.type).toBe('urn:weft:problem:nothing_to_undo');
    const { code, stdout, stderr } = await weft('undo', id);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(new RegExp(`^Withdrawn\\. Baseline ${id} of shop: 1 file taken out of the history \\(1.sql\\); nothing was run or dropped\\.`));
    expect(await sql(database.url, 'select n from goods')).toEqual([{ n: 1 }]);
    expect(await history()).toEqual([]);
    const list = (await weft('status')).stdout;
    expect(list).toMatch(new RegExp(`withdraws baseline ${id.slice(0, 8)}\n.*baseline; withdrawn by `));
    expect((await weft('status', id)).stdout).toMatch(/^Withdrawn\. shop had been recorded as applied; deployment .* has taken that out of the history/);
    expect((await weft('undo', id, '--json')).json().problem.type).toBe('urn:weft:problem:nothing_to_undo');
    expect((await weft('deploy', folder, '--json')).json().phases[0].steps).toMatchObject([{ path: '1.sql', state: 'succeeded' }]);
  });

  it('withdrawn puts back what the history had before it', async () => {
    const before = makeFolder({ '1.sql': 'create table goods (n int);', '2.sql': 'select 1;' });
    const deployed = (await weft('deploy', before, '--json')).json();
    const known = await sql(database.url, 'select * from weft._history order by path');
    const { id } = (
      await weft('baseline', makeFolder({ '1.sql': 'create table goods (m int);', '2.sql': 'select 1;', '3.sql': 'select 3;' }), '--json')
    ).json();
    expect(await history()).toEqual(['1.sql', '2.sql', '3.sql']);
    expect((await weft('undo', '--plan', id)).stdout).toMatch(/1\.sql +is again what the history had before\n +3\.sql +leaves the history/);
    const undone = (await weft('undo', id, '--json')).json();
    expect(undone.withdrawn).toEqual({ files: 2, paths: ['1.sql', '3.sql'], as_before: ['1.sql'] });
    expect((await weft('status', undone.id)).stdout).toContain(
      '1 file taken out of the history (3.sql); 1 file put back as the history had it before (1.sql); nothing was run or dropped.',
    );
    expect((await weft('receipt', undone.id, '--json')).json()).toMatchObject({ undoes: id, withdrawn: undone.withdrawn });
    expect(await sql(database.url, 'select * from weft._history order by path')).toEqual(known);
    expect((await weft('undo', '--plan', '--json')).json()).toMatchObject({ deployment: deployed.id });
  });

  it('says what could be undone behind it only where that has an undo', async () => {
    const failing = { '1.sql': 'create table goods (n int);', '2.sql': 'select 1 / 0;' };
    expect((await weft('deploy', makeFolder(failing))).code).toBe(1); // each file in a transaction of its own
    expect(await history()).toEqual(['1.sql']);
    await weft('baseline', makeFolder({ ...failing, '2.sql': 'select 2;' }));
    const { code, stderr } = await weft('undo');
    expect([code, stderr.replace(/\s+/g, ' ')]).toEqual([2, expect.stringContaining('To withdraw it')]);
    expect(stderr.replace(/\s+/g, ' ')).not.toContain('To undo what was deployed before it');
  });

  it('on which something was deployed is not withdrawn before that is undone', async () => {
    await sql(database.url, 'create table goods (n int)');
    const { id } = (await weft('baseline', makeFolder({ '1.sql': 'create table goods (n int);' }), '--json')).json();
    await weft('deploy', makeFolder({ '1.sql': 'create table goods (n int);', '2.sql': 'select 2;' }));
    expect((await weft('undo', id, '--json')).json().problem.type).toBe('urn:weft:problem:undo_out_of_order');
    expect(await history()).toEqual(['1.sql', '2.sql']);
  });

  it('behind which another one was recorded is not withdrawn before that: nothing comes back into the history that was withdrawn', async () => {
    const first = (await weft('baseline', makeFolder({ '1.sql': 'select 1;', 'v.sql': 'select 2;' }), '--json')).json();
    const second = (await weft('baseline', makeFolder({ '1.sql': 'select 1;', 'v.sql': 'select 3;' }), '--json')).json();
    const refused = await weft('undo', first.id, '--json');
    expect(refused.json().problem.type).toBe('urn:weft:problem:undo_out_of_order');
    expect(refused.stderr.replaceAll(/\s+/g, ' ')).toContain(`Baseline ${second.id} of the bundle shop came after it, and is in the history.`);

    expect((await weft('undo', second.id)).code).toBe(0);
    expect(await sql(database.url, 'select path, deployment_id as by from weft.history order by path')).toEqual([
      { path: '1.sql', by: first.id },
      { path: 'v.sql', by: first.id },
    ]);
    expect((await weft('undo', first.id)).code).toBe(0);
    expect(await history()).toEqual([]);
    expect((await weft('deploy', makeFolder({ '1.sql': 'select 1;', 'v.sql': 'select 2;' }), '--json')).json().phases[0].steps).toMatchObject([
      { path: '1.sql', state: 'succeeded' },
      { path: 'v.sql', state: 'succeeded' },
    ]);
  });

  it('withdrawn takes nothing for meant any more: what had drifted before it is drift again', async () => {
    const { id: first } = (await weft('deploy', makeFolder({ '1.sql': 'create table goods (n int);' }), '--json')).json();
    await sql(database.url, 'alter table goods add by_hand int');
    const { id } = (await weft('baseline', makeFolder({ '1.sql': 'create table goods (n int);', '2.sql': 'select 1;' }), '--json')).json();
    expect((await weft('drift', '--json')).json()).toMatchObject({ verdict: 'none', since: { deployment: id } });
    expect((await weft('undo', id)).code).toBe(0);
    const by = { verdict: 'drift', since: { deployment: first }, objects: [{ change: 'added', identity: 'public.goods.by_hand' }] };
    expect((await weft('drift', '--json')).json()).toMatchObject(by);
    const later = (await weft('deploy', makeFolder({ '1.sql': 'create table goods (n int);', '3.sql': 'select 3;' }), '--json')).json();
    expect(later.drift_found).toMatchObject([{ since: first, count: 1 }]);
    expect((await weft('drift', '--json')).json()).toMatchObject({ ...by, since: { deployment: later.id } });
  });

  it('withdrawn leaves what was accepted by name behind it, and with nothing before it there is nothing to compare with', async () => {
    await sql(database.url, 'create table goods (n int)');
    const folder = makeFolder({ '1.sql': 'create table goods (n int);' });
    const mistaken = (await weft('baseline', folder, '--json')).json();
    expect((await weft('undo', mistaken.id)).code).toBe(0);
    expect((await weft('drift', '--json')).json()).toMatchObject({ verdict: 'unknown', since: null });

    const { id } = (await weft('baseline', folder, '--json')).json();
    await sql(database.url, 'alter table goods add by_hand int');
    expect((await weft('drift', '--accept')).code).toBe(0);
    expect((await weft('undo', id)).code).toBe(0);
    expect((await weft('drift', '--json')).json()).toMatchObject({ verdict: 'none', since: { deployment: id } });
  });

  it('withdrawn leaves to a later deployment of another bundle what that one has met: for it nothing had drifted', async () => {
    await weft('deploy', makeFolder({ '1.sql': 'create table goods (n int);' }));
    await sql(database.url, 'alter table goods add by_hand int');
    const { id } = (await weft('baseline', makeFolder({ '1.sql': 'create table goods (n int);', '2.sql': 'select 1;' }), '--json')).json();
    const other = (
      await weft(
        'deploy',
        makeFolder({ 'weft.yaml': 'name: other\nphases: [{ name: p, steps: [{ run: o.sql }] }]\n', 'o.sql': 'create table other ();' }),
        '--json',
      )
    ).json();
    expect((await weft('undo', id)).code).toBe(0);
    expect((await weft('drift', '--json')).json()).toMatchObject({ verdict: 'none', since: { deployment: other.id } });
  });

  it('names what it records with another content than was applied, since that is never run', async () => {
    const view = (columns: string) => ({
      'weft.yaml': 'name: shop\nphases: [{ name: p, steps: [{ run: 1.sql }, { run: v.sql, repeat: on-change }] }]\n',
      '1.sql': 'create table goods (n int, m int);',
      'v.sql': `create or replace view v as select ${columns} from goods;`,
    });
    await weft('deploy', makeFolder(view('n')));
    const { code, stdout } = await weft('baseline', makeFolder(view('n, m')));
    expect([code, stdout]).toEqual([
      0,
      expect.stringContaining('1 file (of these v.sql with another content than was applied: it was not run, and never will be), 1 known before'),
    ]);
  });

  it('keeps the bytes, so that a later change is shown', async () => {
    await weft('baseline', makeFolder({ '1.sql': 'insert into t values (1);' }));
    const changed = (await weft('deploy', makeFolder({ '1.sql': 'insert into t values (2);' }), '--json')).json();
    expect(changed).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF013', changed: [{ difference: expect.stringContaining('+insert into t values (2);') }] },
    });
  });

  it('records nothing where the catalog lacks something, and says what, with path and line', async () => {
    await sql(database.url, AS_IT_IS.replace('create policy seen on goods using (true);', 'alter table goods drop column price;'));
    const { code, stdout } = await weft('baseline', makeFolder(FILES), '--json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: 'WF062',
        path: '2.sql',
        line: 1,
        message: 'The database is not at this bundle: 3 of the 12 objects that its files create are not there.',
        detail: 'Nothing was recorded. Not there: column price of goods (2.sql:1), policy seen of goods (3.sql:2), relation later (5.sql:1).',
        hint: expect.stringMatching(/^Up to 1\.sql all is there: .* --up-to 1\.sql, and the next deployment runs the rest\. .* --unverified/),
      },
    });
    expect(await history()).toEqual([]);
    const told = await weft('baseline', makeFolder(FILES));
    expect(told.stdout).toContain('Next: as the hint says.');
  });

  it.each([
    ['one object', ['1.sql'], 'the one object that its files create is not there.', /^None of .* deploy it\. /],
    ['one of several', ['2.sql', '1.sql'], 'one of the 2 objects that its files create is not there.', /^None of .* deploy it\. /],
    ['one that is said to be there by --up-to', ['0.sql', '1.sql', '2.sql'], 'one of the 2 objects that its files create is not there.', /^Up to 0\.sql /],
  ])('says so in words that fit: %s', async (_, paths, message, hint) => {
    await sql(database.url, 'create table a0 (); create table a2 ()');
    const folder = makeFolder(Object.fromEntries(paths.map((path) => [path, `create table a${path.slice(0, 1)} ();`])));
    const upTo = paths.includes('0.sql') ? ['--up-to', '1.sql'] : [];
    const { stdout, json } = await weft('baseline', folder, ...upTo, '--json');
    expect(stdout).toContain(message);
    expect(json().error).toMatchObject({ message: `The database is not at this bundle: ${message}`, path: '1.sql', hint: expect.stringMatching(hint) });
  });

  it('goes by the order in which the files run, not by that of their paths', async () => {
    await sql(database.url, 'create table a1 (); create table a2 ()');
    const steps = '    steps: [{ run: "V?__*.sql" }, { run: "V??__*.sql" }]';
    const folder = makeFolder({
      'weft.yaml': `name: shop\nphases:\n  - name: main\n${steps}\n`,
      'V1__a.sql': 'create table a1 ();',
      'V2__a.sql': 'create table a2 ();',
      'V3__a.sql': 'create table a3 ();',
      'V10__a.sql': 'create table a10 ();',
    });
    expect((await weft('baseline', folder, '--json')).json().error).toMatchObject({
      path: 'V3__a.sql',
      detail: 'Nothing was recorded. Not there: relation a3 (V3__a.sql:1), relation a10 (V10__a.sql:1).',
      hint: expect.stringMatching(/^Up to V2__a\.sql all is there: /),
    });
  });

  describe('of what has a name, and is rarer', () => {
    const TABLES = `create table public.t (id int primary key, n int); create type public.mood as enum ('ok');`;
    const RARE: readonly (readonly [string, string])[] = [
      ['constraint n_pos of public.t', 'alter table only public.t add constraint n_pos check (n > 0)'],
      ['constraint n_fk of public.t', 'alter table public.t add constraint n_fk foreign key (n) references public.t'],
      ['constraint u_key of public.u', 'create table public.u (id int, constraint u_key unique (id))'],
      ['column m of public.t', 'alter table public.t add column k int, add column m numeric(10, 2)'],
      ['rule r2 of public.t', 'create rule r2 as on delete to public.t do instead nothing'],
      ['statistics st2', 'create statistics st2 (ndistinct) on id, n from public.t'],
      ['collation c2', `create collation c2 (locale = 'C')`],
      ['operator public."==="', 'create operator public.=== (leftarg = int, rightarg = int, function = int4eq)'],
      ['text search configuration public.words', 'create text search configuration public.words (copy = simple)'],
      ['enum value "new mood" of public.mood', `alter type public.mood add value 'new mood'`],
    ];

    it('each is looked for by it, on its table', async () => {
      await sql(
        database.url,
        `${TABLES} create table u (id int); alter table public.t add column k int; create table other (n int constraint n_pos check (n > 0))`,
      );
      const folder = makeFolder({ '0.sql': TABLES, '1.sql': RARE.map(([, statement]) => `${statement};`).join('\n') });
      const { code, json } = await weft('baseline', folder, '--json');
      expect(code).toBe(1);
      const { missing } = json().error;
      expect(missing.map(({ kind, name, on }: Record<string, string>) => `${kind} ${name}${on === undefined ? '' : ` of ${on}`}`)).toEqual(
        RARE.map(([what]) => what),
      );
      for (const [, statement] of RARE)
        await sql(
          database.url,
          statement.replace('create table public.u (id int, ', 'alter table u add ').replace('unique (id))', 'unique (id)').replace('add column k int, ', ''),
        );
      expect((await weft('baseline', folder)).code).toBe(0);
    });

    it('none is that a later statement drops, renames, or may have taken along', async () => {
      await sql(database.url, `${TABLES} alter table t add constraint c check (n > 1); create collation c3 (locale = 'C')`);
      const folder = makeFolder({
        '0.sql': TABLES,
        '1.sql': `${RARE.slice(0, 2)
          .map(([, statement]) => `${statement};`)
          .join(
            '\n',
          )} create rule r2 as on delete to public.t do instead nothing; create collation c2 (locale = 'C'); create operator public.=== (leftarg = int, rightarg = int, function = int4eq);`,
        '2.sql':
          'alter table t rename constraint n_pos to c; alter table t drop constraint n_fk; drop rule r2 on t; alter collation c2 rename to c3; drop operator public.=== (int, int);',
        '3.sql':
          'create table w (a int, b int, constraint w_a check (a > 0)); alter table w drop column a; create table x (id int constraint x_key primary key); drop schema if exists gone cascade;',
      });
      await sql(database.url, 'create table w (b int); create table x (id int)');
      const { code, stdout, stderr } = await weft('baseline', folder);
      expect(code, stdout + stderr).toBe(0);
    });
  });

  it.each([
    'alter table t rename a to b',
    'alter table t rename column a to b',
    'alter table t drop column a',
    'alter table t drop column if exists a, drop if exists a2',
    'alter table only public.t alter a drop not null',
    'alter table t alter column a drop default, alter a drop identity if exists',
    'alter table t drop constraint if exists x',
    'alter table t add x int; alter table t drop x',
    'alter table t rename constraint x to y',
    'drop trigger watch on t',
    'drop policy if exists seen on t',
    'alter trigger watch on t rename to look',
    'alter table t alter a set not null',
    'alter table t owner to dev',
    'drop index t_a',
    'drop table u, v cascade',
    'drop function t(int)',
    'drop table if exists other.t',
    `do $$ begin alter table t add c int; end $$`,
  ])('looks for a table of which a later file changes something: %s', async (change) => {
    await sql(database.url, 'create table k (id int)');
    const { code, json } = await weft(
      'baseline',
      makeFolder({ '0.sql': 'create table k (id int);', '1.sql': 'create table public.t (id int, a int);', '2.sql': `${change};` }),
      '--json',
    );
    expect(code).toBe(1);
    expect(json().error).toMatchObject({
      sqlstate: 'WF062',
      path: '1.sql',
      missing: expect.arrayContaining([{ kind: 'relation', name: 'public.t', path: '1.sql', line: 1 }]),
    });
  });

  it.each([
    ['drops', 'drop table if exists k2, t cascade', 1],
    ['drops with its schema', 'drop schema public cascade', 0],
    ['drops in a block', 'do $$ begin drop table t; end $$', 1],
    ['renames', 'alter table t rename to "k"', 2],
    ['moves', 'alter table only t set schema kept', 2],
    [
      'drops, as its index and its column',
      'create index t_a on t (a); create trigger w before insert on t execute function f(); alter table t add b int; drop table t',
      1,
    ],
    ['renames, and something else takes its place', 'alter table t rename to k; create table t_new (); alter table t_new rename to l', 3],
  ])('looks for no table that a later statement %s, but for what it is then', async (_, change, found) => {
    await sql(database.url, 'create table k (id int); create table l (id int); create schema kept; create table kept.t (id int)');
    const { code, stdout } = await weft(
      'baseline',
      makeFolder({ '0.sql': 'create table public.l (id int);', '1.sql': 'create table public.t (id int, a int);', '2.sql': `${change};` }),
    );
    expect(code, stdout).toBe(0);
    expect(stdout).toContain(`by name: ${found} object${found === 1 ? '' : 's'}, all there.`);
    expect(stdout).toMatch(/Not checked, because later statements drop, rename or move what they create: (0\.sql, )?1\.sql/);
  });

  it('looks for what is made again behind its end, and for the column’s new name', async () => {
    await sql(database.url, 'create table k (id int)');
    const folder = makeFolder({ '1.sql': 'drop table if exists t; create table t (a int); alter table k rename id to key;' });
    expect((await weft('baseline', folder, '--json')).json().error.missing).toMatchObject([
      { kind: 'relation', name: 't' },
      { kind: 'column', name: 'key', on: 'k' },
    ]);
  });

  it('takes its caller’s word for it with --unverified', async () => {
    const { code, stdout } = await weft('baseline', makeFolder(FILES), '--unverified');
    expect(code).toBe(0);
    expect(stdout).toContain('5 files recorded. Nothing was checked.');
    expect(await history()).toHaveLength(5);
  });

  it('with a fingerprint compares the whole catalog', async () => {
    const files = { '1.sql': 'create table goods (n int);' };
    const other = await emptyDatabase();
    const made = (await run(['deploy', makeFolder(files), '--json'], { env: { DATABASE_URL: other.url } })).json();
    await other.drop();
    await sql(database.url, 'create table goods (n int, m int)');
    expect((await weft('baseline', makeFolder(files), '--fingerprint', made.fingerprint.after, '--json')).json()).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF063' },
    });
    await sql(database.url, 'alter table goods drop column m');
    const { code, stdout } = await weft('baseline', makeFolder(files), '--fingerprint', made.fingerprint.after);
    expect(code).toBe(0);
    expect(stdout).toContain('The catalog has the fingerprint that was asked for.');
  });

  it('with a fingerprint counts what something else sees to, and the hint says so', async () => {
    const ignoring = (ignore: object) => ({
      'weft.yaml': JSON.stringify({ name: 'shop', ...ignore, phases: [{ name: 'main', steps: [{ run: '1.sql' }] }] }),
      '1.sql': 'create table goods (n int);',
    });
    const drift = { ignore: [{ schema: 'jobs' }] };
    await weft('install');
    await sql(database.url, 'create table goods (n int); create schema jobs');
    const [{ fingerprint }] = await sql(database.url, 'select weft.fingerprint() as fingerprint');
    await sql(database.url, 'create table jobs.by_night (n int)');
    const baseline = async (files: Record<string, string>, ...more: string[]) => (await weft('baseline', makeFolder(files), ...more, '--json')).json();
    const { state, error } = await baseline(ignoring({ drift }), '--fingerprint', fingerprint);
    expect({ state, sqlstate: error.sqlstate }).toEqual({ state: 'failed', sqlstate: 'WF063' });
    expect(error.hint).toContain('What something else sees to (drift: ignore:) counts, too');
    expect((await baseline(ignoring({}), '--fingerprint', fingerprint)).error.hint).not.toContain('ignore');
    expect(await baseline(ignoring({ drift }))).toMatchObject({ state: 'succeeded' });
  });

  it('replaces what the history has of a file with other bytes, and the journal says so', async () => {
    await weft('deploy', makeFolder({ '1.sql': 'create table goods (n int);' }));
    await weft('baseline', makeFolder({ '1.sql': 'create table goods (n bigint);' }));
    expect(await sql(database.url, `select path, data ? 'digest_before' as told from weft.events where kind = 'content_replaced'`)).toEqual([
      { path: '1.sql', told: true },
    ]);
    expect((await weft('deploy', makeFolder({ '1.sql': 'create table goods (n bigint);' }), '--json')).json().state).toBe('succeeded');
  });

  it('of one file leaves the others to be run, and of a whole folder names what was applied with other content', async () => {
    const folder = (files: Readonly<Record<string, string>>) =>
      makeFolder({
        'weft.yaml': 'name: shop\nphases: [{ name: p, transaction: single, steps: [{ run: s/*.sql }, { run: v/*.sql, repeat: on-change }] }]\n',
        ...files,
      });
    await weft('deploy', folder({ 's/1.sql': 'create table goods (n int)', 'v/a.sql': 'create or replace view a as select n from goods' }));
    await sql(database.url, 'alter table goods add m int');
    const newer = folder({ 's/1.sql': 'create table goods (n int, m int)', 'v/a.sql': 'create or replace view a as select n, m from goods' });
    expect((await weft('deploy', newer)).stdout).toContain('say so of this file alone: weft baseline FOLDER --only s/1.sql.');
    expect((await weft('baseline', newer, '--only', 's/9.sql')).stderr).toContain('--only: no step of the bundle runs "s/9.sql"');
    const whole = await weft('baseline', newer);
    const [, id] = whole.stdout.match(/and now recorded as it is in the folder, which was not run: s\/1\.sql, v\/a\.sql\.\n.* weft undo ([0-9a-f-]+)\n/) ?? [];
    expect(id, whole.stdout).toBeDefined();
    expect((await weft('undo', id as string)).code).toBe(0);
    expect((await weft('baseline', newer, '--only', 's/1.sql')).stdout).toMatch(
      /^Recorded\. This database is taken to have s\/1\.sql of shop; nothing was run\.\n/,
    );
    expect((await weft('deploy', newer, '--json')).json().phases[0].steps).toMatchObject([{ state: 'skipped' }, { path: 'v/a.sql', state: 'succeeded' }]);
  });

  it('refuses an --up-to that no step runs', async () => {
    const { code, stderr } = await weft('baseline', makeFolder(FILES), '--up-to', '9.sql');
    expect(code).toBe(2);
    expect(stderr).toContain('no step of the bundle runs "9.sql"');
  });
});

it('weft plan, baseline and drift say the same through a Worker as straight to the database', async () => {
  const stack = await startTestStack();
  onTestFinished(() => stack.stop());
  await sql(stack.databaseUrl, 'create table goods (n int)');
  const folder = makeFolder({ '1.sql': 'create table goods (n int);', '2.sql': 'create table later (n int);' });
  const worker = (...argv: string[]) => run(argv, { env: stack.env });
  const straight = (...argv: string[]) => run(argv, { env: { DATABASE_URL: stack.databaseUrl } });

  const recorded = await worker('baseline', folder, '--up-to', '1.sql');
  expect(recorded.code, recorded.stderr).toBe(0);
  expect(recorded.stdout).toMatch(/^Recorded\. This database is taken to have 1\.sql of shop; nothing was run\.\n\n {2}1 file recorded\./);
  const refused = await worker('baseline', folder);
  expect([refused.code, refused.stdout]).toEqual([1, expect.stringMatching(/^Failed\. Nothing of shop was recorded\./)]);

  const plan = await worker('plan', folder);
  expect(plan.stdout).toContain('1 of 2 steps would run.');
  expect(plan.stdout).toBe((await straight('plan', folder)).stdout);

  await sql(stack.databaseUrl, 'alter table goods add m int');
  const drift = await worker('drift');
  expect([drift.code, drift.stdout]).toEqual([1, expect.stringContaining('added column public.goods.m\n  + integer\n')]);
  expect(drift.stdout).toBe((await straight('drift')).stdout);
  const accepted = await worker('drift', '--accept', '--json');
  expect([accepted.code, accepted.json()]).toMatchObject([0, { verdict: 'none', since: { accepted: { by: stack.env.WEFT_CALLER, count: 1 } } }]);
  expect((await straight('drift')).stdout).toContain(
    `${stack.env.WEFT_CALLER} accepted the catalog as it was then: 1 object had been changed outside of deployments.`,
  );
  putFiles(folder, { '2.sql': 'create table later (n int);\nvacuum later;\nselect 1/0;' });
  expect((await worker('deploy', folder)).code).toBe(1);
  expect((await worker('forget', '3.sql', '--why', 'x')).stderr).toContain('No file 3.sql of any bundle has stopped half-way.');
  const forgotten = await worker('forget', '2.sql', '--why', 'dropped by hand', '--json');
  expect([forgotten.code, forgotten.json()]).toMatchObject([0, { path: '2.sql', statements: 2, by: stack.env.WEFT_CALLER, why: 'dropped by hand' }]);
  const listed = await worker('status');
  expect(listed.stdout.split('\n').map((line) => line.replace(/^.*? {2}\S+ +/, ''))).toEqual([
    expect.stringMatching(/^failed +1\/2 +shop +failed: 2\.sql: 22012/),
    expect.stringMatching(/^failed +0\/2 +shop +baseline; WF062: The database is not at this bundle/),
    expect.stringMatching(/^succeeded +1\/1 +shop +baseline$/),
    '',
  ]);
});
