/** What bundles say something else sees to (`drift: ignore:`) is no drift, whatever becomes of it; everything else is told as ever. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PAIR_WORDS, SINGLE_WORDS } from '../../src/domain/unwatched.ts';
import { dropDatabase, freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const START = `create table goods (id int);
create table events (id bigint generated always as identity, at date not null, primary key (id, at)) partition by range (at);
create table events_1 partition of events for values from ('2026-01-01') to ('2026-02-01');
create index by_day on events_1 (at);
create function job_1() returns int language sql as 'select 1';
create table visits (id int primary key) partition by list (id);
create table visits_1 partition of visits for values in (1);
create table uses (id int primary key, visit int references visits (id));
alter table goods add primary key (id), add note text, add no serial;
create index goods_note on goods (note);
create statistics goods_both on id, note from goods;
create sequence free;
create publication mine; create publication ours;`;

const drift = () => sql(database.url, 'select change, kind, identity from weft.drift()');
const document = async () => (await sql(database.url, 'select weft.describe_drift() as document'))[0].document;
const names = (objects: readonly { change: string; kind: string; identity: string }[]) =>
  objects.map(({ change, kind, identity }) => `${change} ${kind} ${identity}`);

const bundleOf = (ignore: readonly object[] | null, files: Readonly<Record<string, string>>, name = 'shop') => ({
  'weft.yaml': JSON.stringify({ name, ...(ignore && { drift: { ignore } }), phases: [{ name: 'main', steps: [{ run: '**/*.sql' }] }] }),
  ...files,
});

async function deploy(ignore: readonly object[] | null, files: Readonly<Record<string, string>> = {}, name = 'shop') {
  const end = await deployFiles(connectOver(database.url), bundleOf(ignore, { [`${name}.sql`]: name === 'shop' ? START : 'select 1', ...files }, name));
  expect(end.error).toBeNull();
  expect(end.state).toBe('succeeded');
  return end;
}

describe('no drift is', () => {
  it.each([
    [
      'a partition, at any depth, that came, went or changed, and what hangs on it',
      [{ partitions_of: 'public.events' }],
      `create table events_2 partition of events for values from ('2026-02-01') to ('2026-03-01') partition by hash (id);
       create table events_2a partition of events_2 for values with (modulus 1, remainder 0);
       create index by_day_too on events_2a ((at + 1));
       create statistics of_events_2a on id, at from events_2a;
       comment on table events_2a is 'a'; comment on column events_2a.at is 'b'; comment on index by_day_too is 'c'; comment on constraint events_2a_pkey on events_2a is 'd';
       create function public.touch() returns trigger language plpgsql as 'begin return new; end';
       create trigger touch before insert on events_2a for each row execute function touch(); comment on trigger touch on events_2a is 'e';
       create policy all_of_it on events_2a; create rule none as on delete to events_2a do instead nothing;
       grant select on events_2a to public;
       drop index by_day; alter table events_1 set (fillfactor = 50);
       create table events_3 (id bigint, at date)`,
      ['added function public.touch()', 'added table public.events_3'],
    ],
    ['a partition that is dropped', [{ partitions_of: 'public.ev*' }], 'drop table events_1', []],
    [
      'what stands in a schema, and the schema',
      [{ schema: 'part?an' }],
      `create schema partman; comment on schema partman is 'a'; create table partman.t (id serial primary key, s text check (s <> '')); create view partman.v as select * from partman.t;
       create function partman.f(a int, b text) returns int language sql as 'select 1'; comment on function partman.f(int, text) is 'b';
       create type partman.e as enum ('a'); create domain partman.d as int check (value > 0); comment on type partman.e is 'c';
       alter default privileges in schema partman grant select on tables to public;
       create table goods_partman (id int); create schema partmann; create schema "part.an"`,
      ['added schema partmann', 'added table public.goods_partman'],
    ],
    [
      'a table by its name, and what hangs on it',
      [{ table: 'public.tmp_?' }],
      `create table tmp_1 (id serial primary key, n int unique); create index on tmp_1 ((n + 1)); create view tmp_v as select 1 as one; create sequence tmp_s;
       create table tmp_10 (); create schema other; create table other.tmp_1 (); create function tmp_f() returns int language sql as 'select 1'; create type tmp_t as enum ('a')`,
      ['added enum public.tmp_t', 'added function public.tmp_f()', 'added schema other', 'added table other.tmp_1', 'added table public.tmp_10'],
    ],
    [
      'a function by its name, whatever its arguments',
      [{ function: 'public.job_*' }],
      `create or replace function job_1() returns int language sql as 'select 2'; create function job_2(a int, b text) returns int language sql as 'select 1';
       comment on function job_2(int, text) is 'a'; create procedure job_3() language sql as 'select 1'; create table job_4 ()`,
      ['added table public.job_4'],
    ],
    [
      'a publication',
      [{ publication: 'dbz_*' }],
      'create publication dbz_one for table goods; create publication other for table goods',
      ['added publication other', 'added table of a publication other: public.goods'],
    ],
    [
      'what the server makes of a foreign key for each partition that the key may point to',
      [{ partitions_of: 'public.visits' }],
      `create table visits_2 partition of visits for values in (2); create table visits_3 partition of visits for values in (3);
       alter table visits detach partition visits_1; drop table visits_1; alter table uses add constraint own foreign key (visit) references goods (id)`,
      ['added constraint public.uses.own'],
    ],
    [
      'the same where partitions stand in a schema of their own, which is what is said',
      [{ schema: 'parts' }],
      `create schema parts; create table parts.two partition of visits for values in (2);
       create table parts.plain (id int primary key); alter table uses add constraint own foreign key (visit) references parts.plain (id)`,
      ['added constraint public.uses.own'],
    ],
    [
      'what is said of an index, a key, a sequence or statistics of before, and of what stands in no schema',
      [{ table: 'public.goods' }, { publication: 'mine' }, { function: 'public.job_*' }],
      `comment on index goods_note is 'a'; comment on index goods_pkey is 'b'; comment on constraint goods_pkey on goods is 'c'; comment on sequence goods_no_seq is 'd';
       comment on statistics goods_both is 'e'; comment on publication mine is 'f'; comment on index uses_pkey is 'g'; comment on publication ours is 'h';
       comment on sequence free is 'i'; alter function job_1() depends on extension plpgsql`,
      ['added comment index public.uses_pkey', 'added comment publication ours', 'added comment sequence public.free'],
    ],
    [
      'what hangs on a table, whatever it and the table are called',
      [
        { table: 'public.a on b' },
        { table: 'public.q"u.ot' },
        { partitions_of: 'public.Ev.en ts' },
        { schema: 'up.PER "x"' },
        { table: 'public.w[x]+(y)|$^{1}\\' },
      ],
      `create table "a on b" (id int, n int constraint "x on y" check (n > 0)); comment on constraint "x on y" on "a on b" is 'a';
       create function touch() returns trigger language plpgsql as 'begin return new; end';
       create trigger "t on u" before insert on "a on b" for each row execute function touch(); comment on trigger "t on u" on "a on b" is 'b';
       create policy "p on q" on "a on b"; comment on policy "p on q" on "a on b" is 'c';
       create rule "r on s" as on delete to "a on b" do instead nothing; comment on rule "r on s" on "a on b" is 'd';
       create table "q""u.ot" ("c.d" serial primary key); comment on column "q""u.ot"."c.d" is 'e';
       create index "i ON public.goods USING " on "q""u.ot" ("c.d"); comment on index "i ON public.goods USING " is 'f';
       create table "Ev.en ts" (id int) partition by list (id); create table "Ev. 1" partition of "Ev.en ts" for values in (1) partition by list (id);
       create table "Ev. 1.1" partition of "Ev. 1" for values in (1); create index on "Ev. 1.1" ((id + 1));
       create schema "up.PER ""x"""; create table "up.PER ""x"""."b.a" (id serial);
       create function "up.PER ""x"""."f("(int) returns int language sql as 'select 1'; comment on function "up.PER ""x"""."f("(int) is 'g';
       create table "w[x]+(y)|$^{1}\\" (id int); create table "wx" (id int); create table "A on b" (id int)`,
      ['added function public.touch()', 'added partitioned table public."Ev.en ts"', 'added table public."A on b"', 'added table public.wx'],
    ],
    ['an extension', [{ extension: 'citext' }], 'create extension citext', []],
  ])('%s', async (_, ignore, byHand, told) => {
    await deploy(ignore);
    await sql(database.url, byHand);
    expect(names(await drift()).toSorted()).toEqual(told.toSorted());
    const found = await document();
    expect(found).toMatchObject({ verdict: told.length === 0 ? 'none' : 'drift', count: told.length });
    expect(found.unwatched.count).toBeGreaterThan(0);
    expect(found.unwatched.objects[0]).toMatchObject({ bundle: 'shop' });
    if (told.length === 0) expect(found.fingerprint.before).toBe(found.fingerprint.after);

    const next = await deploy(ignore, { '2.sql': 'create table two (n int)' });
    expect(next.drift_found ?? []).toMatchObject(told.length === 0 ? [] : [{ count: told.length }]);
    expect(names(await drift()).toSorted()).toEqual(told.toSorted());
    expect((await document()).unwatched).toBeNull();
  });

  it.runIf(offers('a superuser'))('an event trigger, which a platform makes', async () => {
    await deploy([{ event_trigger: 'pgrst_*' }, { function: 'public.watch' }]);
    const superuser = new URL(database.superuserUrl ?? '');
    superuser.pathname = `/${database.name}`;
    await sql(
      superuser.href,
      `create function public.watch() returns event_trigger language plpgsql as 'begin end'; create event trigger pgrst_ddl on ddl_command_end execute function public.watch()`,
    );
    expect(await document()).toMatchObject({ verdict: 'none', unwatched: { count: 2 } });
  });
});

describe('what is said of it', () => {
  const PARTITIONS = [{ partitions_of: 'public.events' }];
  const more = (month: number) =>
    sql(database.url, `create table events_${month} partition of events for values from ('2026-0${month}-01') to ('2026-0${month + 1}-01')`);

  it('holds for the database, whichever bundle deploys', async () => {
    await deploy(PARTITIONS);
    await more(3);
    const other = await deploy(null, {}, 'other');
    expect(other.drift_found ?? []).toEqual([]);
    await more(4);
    expect(await document()).toMatchObject({
      verdict: 'none',
      unwatched: { objects: expect.arrayContaining([{ change: 'added', kind: 'table', identity: 'public.events_4', bundle: 'shop' }]) },
    });
  });

  it('counts from the deployment on that says so, also for what differed before', async () => {
    await deploy(null);
    await more(3);
    await sql(database.url, 'alter table goods add by_hand int');
    expect(names(await drift())).toContain('added table public.events_3');
    const saying = await deploy(PARTITIONS, { '2.sql': 'select 2' });
    expect(saying.drift_found).toMatchObject([{ count: 1, objects: [{ identity: 'public.goods.by_hand' }] }]);
    expect(names(await drift())).toEqual(['added column public.goods.by_hand']);
  });

  it('ends with the deployment that says it no more: what came before is meant, what comes then is told', async () => {
    await deploy(PARTITIONS);
    await more(3);
    await deploy(PARTITIONS, { '2.sql': 'select 2' });
    await deploy(null, { '2.sql': 'select 2', '3.sql': 'select 3' });
    expect(await drift()).toEqual([]);
    await more(4);
    expect(names(await drift())).toContain('added table public.events_4');
  });

  it('is not taken from a rehearsal', async () => {
    await deploy(null);
    const rehearsed = await deployFiles(connectOver(database.url), bundleOf(PARTITIONS, { 'shop.sql': START, '2.sql': 'select 2' }), { mode: 'rehearse' });
    expect(rehearsed.state).toBe('succeeded');
    await more(3);
    expect(names(await drift())).toContain('added table public.events_3');
  });

  it('is not forgotten by an undo, which leaves the catalog as it was before, but for that', async () => {
    const steps = [{ run: 'shop.sql' }, { run: '2.sql', undo: '2.undo.sql' }];
    const ways = { '2.sql': 'create table two (n int)', '2.undo.sql': 'drop table two' };
    await deploy(PARTITIONS);
    await deploy(PARTITIONS, { ...ways, 'weft.yaml': JSON.stringify({ name: 'shop', drift: { ignore: PARTITIONS }, phases: [{ name: 'main', steps }] }) });
    await more(3);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
    await more(4);
    expect(await document()).toMatchObject({ verdict: 'none' });
  });

  it('is in nobody’s way who has looked, and then says that the rest is meant', async () => {
    await deploy(PARTITIONS);
    await more(3);
    await sql(database.url, 'alter table goods add by_hand int');
    const { fingerprint } = await document();
    const accept = () => sql(database.url, `select weft.accept_drift('${fingerprint.after}') as accepted`);
    await more(4);
    expect((await document()).fingerprint).toEqual(fingerprint);
    await sql(database.url, 'alter table goods add by_hand_too int');
    await expect(accept()).rejects.toMatchObject({ code: 'WF088' });
    await sql(database.url, 'alter table goods drop by_hand_too');
    expect((await accept())[0].accepted).toMatchObject({
      verdict: 'none',
      unwatched: null,
      since: { accepted: { count: 1, objects: [{ identity: 'public.goods.by_hand' }] } },
    });
  });

  it('is no drift either beside what is, in front of deployments that fail, half-way or whole, and behind them', async () => {
    await deploy(PARTITIONS);
    await sql(database.url, 'alter table goods add by_hand int');
    const failing = ['select 1/0', 'create table two (n int); vacuum goods; select 1/0'];
    for (const [index, content] of failing.entries()) {
      await more(3 + 2 * index);
      const end = await deployFiles(connectOver(database.url), bundleOf(PARTITIONS, { 'shop.sql': START, '2.sql': content }));
      expect(end).toMatchObject({ state: 'failed', drift_found: [{ count: 1, objects: [{ identity: 'public.goods.by_hand' }] }] });
      await more(4 + 2 * index);
      expect(names(await drift())).toEqual(['added column public.goods.by_hand']);
    }
    await deploy(PARTITIONS, { '2.sql': 'create table two (n int); vacuum goods; select 1' });
    expect(await document()).toMatchObject({ count: 1, objects: [{ identity: 'public.goods.by_hand' }], unwatched: null });
  });

  it('can be told from a database without an encoding, whatever bytes are in names', async () => {
    const name = `${database.name}_ascii`;
    await sql(database.url, `create database ${name} encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0`);
    const url = new URL(database.url);
    url.pathname = `/${name}`;
    try {
      await deployFiles(connectOver(url.href), bundleOf([{ table: 'public.größe*' }], { 'shop.sql': 'select 1' }));
      await sql(
        url.href,
        `create table "größe" (id int); create table gr (id int); do $$ begin execute format('create table %I ()', concat('größe', convert_from('\\xe9', 'SQL_ASCII'))); end $$`,
      );
      const [{ found }] = await sql(url.href, 'select weft.describe_drift() as found');
      expect(found).toMatchObject({ verdict: 'drift', objects: [{ identity: 'public.gr' }] });
      expect(found.unwatched).toMatchObject({
        count: 2,
        objects: [{ identity: expect.stringMatching(/^public\."gr\?+e"$/) }, { identity: expect.stringContaining('?"') }],
      });
    } finally {
      await dropDatabase(database.url, name);
    }
  });

  it('leaves nothing to accept', async () => {
    const { id } = await deploy(PARTITIONS);
    await more(3);
    const [{ accepted }] = await sql(database.url, 'select weft.accept_drift() as accepted');
    expect(accepted).toMatchObject({ verdict: 'none', count: 0, unwatched: null, since: { deployment: id, accepted: null } });
  });
});

it.each(
  [
    null,
    {},
    'schema',
    [null],
    [1],
    [[]],
    [{}],
    [{ schema: 'a', table: ['a', 'b'] }],
    [{ sequence: 'a' }],
    [{ column: ['a', 'b'] }],
    [{ schema: null }],
    [{ schema: ['a'] }],
    [{ schema: '' }],
    [{ schema: '*?'.repeat(101) }],
    [{ table: 'a' }],
    [{ table: ['a'] }],
    [{ table: ['a', 'b', 'c'] }],
    [{ table: ['a', 1] }],
    [{ schema: 'a' }, { partitions_of: ['a', 'x'.repeat(201)] }],
  ].map((unwatched) => ({ unwatched })),
)('what could not be read later on is refused, and nothing is opened: %j', async ({ unwatched }) => {
  const manifest = { format: 1, bundle: 'shop', artifacts: [], phases: [], unwatched };
  const open = (more: object) =>
    sql(database.url, `select weft.open(convert_to('${JSON.stringify({ type: 'deploy', id: 'one', manifest: { ...manifest, ...more } })}', 'UTF8'))`);
  await expect(open({})).rejects.toMatchObject({ code: 'WF006', message: expect.stringContaining('something else sees to') });
  expect(await sql(database.url, 'select count(*)::int as count from weft._deployments')).toEqual([{ count: 0 }]);
  await open({ unwatched: [{ schema: '*' }, { function: ['?', 'x'.repeat(200)] }] });
});

it('the engine knows the words that a bundle file knows, and no others', async () => {
  const [{ body }] = await sql(database.url, `select prosrc as body from pg_proc where oid = 'weft._check_unwatched(jsonb)'::regprocedure`);
  const words = (before: string) => new RegExp(`${before} \\(('[a-z_]+'(?:, '[a-z_]+')*)\\)`).exec(body)?.[1]?.replaceAll("'", '').split(', ');
  expect(words('v_is_pair := v_word in')?.toSorted()).toEqual(PAIR_WORDS.toSorted());
  expect(words('not v_is_pair and v_word not in')?.toSorted()).toEqual(SINGLE_WORDS.toSorted());
  const check = (rule: object) => sql(database.url, 'select weft._check_unwatched($1)', [JSON.stringify([rule])]);
  for (const word of SINGLE_WORDS) await check({ [word]: 'a' });
  for (const word of PAIR_WORDS) await check({ [word]: ['a', 'b'] });
  const [{ hint }] = await check({ other: 'a' }).then(
    () => [{ hint: '' }],
    (error) => [error],
  );
  expect(hint).toBe(
    `unwatched is an array of objects of one word each: ${SINGLE_WORDS.join(', ').replace(/, (?=\w+$)/, ' or ')} and a name, or ${PAIR_WORDS.join(', ').replace(/, (?=\w+$)/, ' or ')} and an array of schema and name.`,
  );
});
