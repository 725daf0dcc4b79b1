/** What stands around a load: the transaction of its phase, roles and policies, triggers, the history, a backend that dies, and what people are shown. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { linesBetween } from '../../src/cli/progress.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, randomId, shutGate } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { load, passLoad, tableOf } from './loading.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table item (id int primary key, name text)');
});

afterEach(() => database.drop());

const run = (statements: string) => sql(database.url, statements);
const items = () => tableOf(database, 'select id, name from item order by id');
const deployPhases = (phases: readonly object[], files: Readonly<Record<string, string>>, name = randomId()) =>
  deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name, phases }), ...files });

describe('the transaction of its phase', () => {
  it('is all or nothing where the phase is: a load goes with the step that fails behind it', async () => {
    const steps = [{ run: '1.sql' }, { load: '2.csv', into: 'made' }, { run: '3.sql' }];
    const files = { '1.sql': 'create table made (id int);', '2.csv': 'id\n1\n', '3.sql': 'select 1 / (select count(*) - 1 from made);' };
    expect(await deployPhases([{ name: 'main', transaction: 'single', steps }], files)).toMatchObject({
      state: 'failed',
      error: { path: '3.sql', sqlstate: '22012' },
    });
    expect(await tableOf(database, `select to_regclass('made')`)).toEqual([[null]]);
  });

  it('looks at deferred constraints at its end', async () => {
    await run('create table child (id int references item deferrable initially deferred)');
    const steps = [
      { load: 'child.csv', into: 'child' },
      { load: 'item.csv', into: 'item' },
    ];
    const files = { 'child.csv': 'id\n1\n2\n', 'item.csv': 'id\n1\n' };
    const end = await deployPhases([{ name: 'main', transaction: 'single', steps }], files);
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: '23503', detail: expect.stringContaining('(id)=(2)') } });
    expect(await deployPhases([{ name: 'main', transaction: 'single', steps }], { ...files, 'item.csv': 'id\n1\n2\n' })).toMatchObject({ state: 'succeeded' });
  });

  it('goes on without a load that may fail', async () => {
    const steps = [
      { load: '1.csv', into: 'item' },
      { load: '2.csv', into: 'item', on_error: 'continue' },
      { load: '3.csv', into: 'item' },
    ];
    const files = { '1.csv': 'id,name\n1,a\n', '2.csv': 'id,name\n2,b\nx,c\n', '3.csv': 'id,name\n3,c\n' };
    const end = await deployPhases([{ name: 'main', transaction: 'single', steps }], files);
    expect(end).toMatchObject({ state: 'degraded', phases: [{ steps: [{}, { state: 'failed', error: { sqlstate: 'WF030', line: 3 } }, {}] }] });
    expect(await items()).toEqual([
      [1, 'a'],
      [3, 'c'],
    ]);
  });

  it('leaves out a load whose condition is not true', async () => {
    const steps = [{ load: '1.csv', into: 'item', when: 'exists (select from item)' }];
    expect(await deployPhases([{ name: 'main', steps }], { '1.csv': 'id\nx\n' })).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{ state: 'skipped', is_wanted: false }] }],
    });
  });

  it('takes one subtransaction, whatever the mode: what is read and what it comes to are written by the same one', async () => {
    await run(`create table seen (read_by text, written_by text);
      create function see() returns trigger language plpgsql as $$ begin
        insert into seen select (select l.xmin::text from pg_temp._weft_load as l limit 1), (select i.xmin::text from item as i where i.id = new.id);
        return null;
      end $$;
      create trigger see after insert on item for each row execute function see()`);
    await passLoad(database, { into: 'item' }, 'id,name\n1,a\n');
    await passLoad(database, { into: 'item', mode: 'upsert', key: ['id'] }, 'id,name\n2,b\n');
    await passLoad(database, { into: 'item', mode: 'sync', key: ['id'] }, 'id,name\n3,b\n');
    expect(await tableOf(database, 'select read_by = written_by from seen')).toEqual([[true], [true], [true]]);
  });

  it('leaves nothing of the load in the session', async () => {
    const steps = [{ load: '1.csv', into: 'item' }, { run: '2.sql' }];
    const files = {
      '1.csv': 'id\n1\n',
      '2.sql': `do $$ begin assert to_regclass('pg_temp._weft_load') is null and to_regtype('pg_temp._weft_row') is null; end $$;`,
    };
    expect(await deployPhases([{ name: 'main', transaction: 'single', steps }], files)).toMatchObject({ state: 'succeeded' });
  });
});

describe('the role of its phase', () => {
  const role = `loader_${randomId().replaceAll('-', '_')}`;

  beforeEach(() => run(`create role ${role}; grant ${role} to current_user; grant create on schema public to ${role}`));
  afterEach(() => run(`drop owned by ${role}; drop role ${role}`));

  it('owns nothing of Weft’s, and loads all the same what is its own', async () => {
    await run(
      `create schema theirs authorization ${role}; set role ${role}; create type theirs.kind as enum ('a', 'b'); create table theirs.thing (id int primary key, kind theirs.kind)`,
    );
    const phase = { role, settings: { search_path: 'theirs' } };
    const words = { into: 'thing', mode: 'sync', key: ['id'] };
    expect(await passLoad(database, words, 'id,kind\n1,a\n', phase)).toEqual([1, 0, 0, 0]);
    expect(await passLoad(database, words, 'id,kind\n1,b\n2,a\n', phase)).toEqual([1, 1, 0, 0]);
    const lines = Array.from({ length: 120_000 }, (_, n) => `${n},a`).join('\n');
    expect(await passLoad(database, words, `id,kind\n${lines}\n`, phase)).toEqual([119_998, 1, 0, 1]);
    expect(await load(database, words, 'id,kind\n1,x\n', phase)).toMatchObject({ state: 'failed', error: { sqlstate: 'WF030', line: 2, column: 'kind' } });
  });

  it('must have the rights that the statements need', async () => {
    await run(`grant insert on item to ${role}`);
    expect(await passLoad(database, { into: 'item' }, 'id,name\n1,a\n', { role })).toEqual([1, 0, 0, 0]);
    const end = await load(database, { into: 'item', mode: 'sync', key: ['id'] }, 'id,name\n1,a\n', { role });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: '42501', path: 'data.csv' } });
  });

  it('is held to the policies of the table', async () => {
    await run(`grant select, insert, update, delete on item to ${role}; alter table item enable row level security;
      create policy small on item to ${role} using (id < 10) with check (id < 10); insert into item values (1, 'a'), (50, 'b')`);
    expect(await passLoad(database, { into: 'item', mode: 'sync', key: ['id'] }, 'id,name\n2,c\n', { role })).toEqual([1, 0, 1, 0]);
    expect(await items()).toEqual([
      [2, 'c'],
      [50, 'b'],
    ]);
    expect(await load(database, { into: 'item' }, 'id,name\n11,c\n', { role })).toMatchObject({ state: 'failed', error: { sqlstate: '42501' } });
  });
});

describe('triggers', () => {
  it('of a statement fire once for each, with all of its rows', async () => {
    await run(`create table fired (what text, rows int);
      create function note_new() returns trigger language plpgsql as $$ begin insert into public.fired select tg_op, count(*) from new_rows; return null; end $$;
      create function note_old() returns trigger language plpgsql as $$ begin insert into public.fired select tg_op, count(*) from old_rows; return null; end $$;
      create trigger i after insert on item referencing new table as new_rows for each statement execute function note_new();
      create trigger u after update on item referencing new table as new_rows for each statement execute function note_new();
      create trigger d after delete on item referencing old table as old_rows for each statement execute function note_old();`);
    const lines = Array.from({ length: 50_000 }, (_, n) => `${n},the name of number ${n} of them all`);
    expect(await passLoad(database, { into: 'item' }, `id,name\n${lines.join('\n')}\n`)).toEqual([50_000, 0, 0, 0]);
    expect(await tableOf(database, 'select what, rows from fired')).toEqual([['INSERT', 50_000]]);
    await run('truncate fired');
    expect(await passLoad(database, { into: 'item', mode: 'sync', key: ['id'] }, `id,name\n${lines.slice(2).join('\n')}!\n50000,x\n`)).toEqual([
      1, 1, 2, 49_997,
    ]);
    expect(await tableOf(database, 'select what, rows from fired order by what')).toEqual([
      ['DELETE', 2],
      ['INSERT', 1],
      ['UPDATE', 1],
    ]);
  });

  it.each(['insert', 'upsert', 'sync'])('that leave rows as they are have them counted under a word of their own: %s', async (mode) => {
    const words = { into: 'item', mode, ...(mode === 'insert' ? {} : { key: ['id'] }) };
    const counts = async (file: string) => {
      const end = await load(database, words, file);
      expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
      return { ...end.phases[0]?.steps[0]?.result, shown: linesBetween(null, end).join('\n') };
    };
    await run(`create function skip() returns trigger language plpgsql as $$ begin return case when coalesce(new.id, old.id) % 2 = 0 then coalesce(new, old) end; end $$;
      create trigger skip before insert or update or delete on item for each row execute function skip()`);
    const first = await counts('id,name\n1,a\n2,b\n3,c\n');
    expect(first).toMatchObject({ inserted: 1, updated: 0, deleted: 0, unchanged: 0, left_out: 2, shown: expect.stringContaining('1 inserted, 2 left out') });
    if (mode === 'insert') return;
    await run(
      `alter table item disable trigger skip; insert into item values (1, 'a'), (3, 'c'), (4, 'd'), (5, 'e'), (6, 'f'); alter table item enable trigger skip`,
    );
    const second = await counts('id,name\n1,z\n2,z\n3,c\n4,d\n7,g\n8,h\n');
    expect(second).toMatchObject({ inserted: 1, updated: 1, deleted: mode === 'sync' ? 1 : 0, unchanged: 2, left_out: mode === 'sync' ? 3 : 2 });
    await run(`delete from item; alter table item disable trigger skip`);
    expect(await counts('id,name\n1,z\n2,z\n')).not.toHaveProperty('left_out');
  });

  it.each(['single', 'per-step'])('of a statement refuse without naming a line that is none: %s', async (transaction) => {
    await run(`insert into item values (1, 'a');
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'maintenance'; end $$;
      create trigger refuse before insert on item for each statement execute function refuse()`);
    const end = await load(database, { into: 'item', mode: 'sync', key: ['id'] }, 'id,name\n1,a\n2,b\n', { transaction });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'P0001', message: 'maintenance', hint: expect.stringContaining('whatever its rows') } });
    expect(end.error).not.toHaveProperty('line');
  });

  it('run under the search_path of the phase, and operators of a user’s schema lead nobody astray', async () => {
    await run(`create schema wild; create table wild.item (like public.item including all);
      create function wild.never(int, int) returns boolean language sql as 'select false'; create operator wild.= (leftarg = int, rightarg = int, function = wild.never);
      create function wild.stamp() returns trigger language plpgsql as $$ begin new.name := current_setting('search_path') || case when 1 = 1 then '!' else '' end; return new; end $$;
      create trigger stamp before insert on wild.item for each row execute function wild.stamp();`);
    const phase = { settings: { search_path: 'wild, pg_catalog' } };
    expect(await passLoad(database, { into: 'item', mode: 'sync', key: ['id'] }, 'id,name\n1,a\n2,b\n', phase)).toEqual([2, 0, 0, 0]);
    expect(await tableOf(database, 'select name from wild.item')).toEqual([['wild, pg_catalog'], ['wild, pg_catalog']]);
    expect(await passLoad(database, { into: 'item', mode: 'sync', key: ['id'] }, 'id\n1\n2\n', phase)).toEqual([0, 0, 0, 2]);
  });
});

it('compares keys with the operator of their type’s own class: nobody else’s is ever called', async () => {
  await run(`create schema lowly; create table lowly.loot (who name); create type mood as enum ('a', 'b');
    create table shelf (code varchar, moods mood, many int[], name text, primary key (code, moods, many));
    create function lowly.eq(varchar, varchar) returns bool language plpgsql as $$ begin insert into lowly.loot values (current_user); return true; end $$;
    create function lowly.eq(mood, mood) returns bool language plpgsql as $$ begin insert into lowly.loot values (current_user); return true; end $$;
    create function lowly.eq(int[], int[]) returns bool language plpgsql as $$ begin insert into lowly.loot values (current_user); return true; end $$;
    create operator lowly.= (leftarg = varchar, rightarg = varchar, function = lowly.eq);
    create operator lowly.= (leftarg = mood, rightarg = mood, function = lowly.eq);
    create operator lowly.= (leftarg = int[], rightarg = int[], function = lowly.eq)`);
  const words = { into: 'shelf', mode: 'sync', key: ['code', 'moods', 'many'] };
  expect(await passLoad(database, words, 'code,moods,many,name\nx,a,{1},one\ny,b,{2},two\n')).toEqual([2, 0, 0, 0]);
  expect(await passLoad(database, words, 'code,moods,many,name\nx,a,{1},one\ny,b,{2},TWO\n')).toEqual([0, 1, 0, 1]);
  expect(await tableOf(database, 'select count(*)::int from lowly.loot')).toEqual([[0]]);
});

it('a sync into a table from which others inherit looks at its own rows: of theirs the file says nothing', async () => {
  await run(`create table par (k int primary key, v text); create table chi (extra int) inherits (par);
    insert into chi values (7, 'child', 1), (1, 'of the child', 1); insert into par values (1, 'one'), (2, 'two')`);
  expect(await passLoad(database, { into: 'par', mode: 'sync', key: ['k'] }, 'k,v\n1,eins\n3,drei\n')).toEqual([1, 1, 1, 0]);
  expect(await tableOf(database, 'select tableoid::regclass::text, k, v from par order by 1, 2')).toEqual([
    ['chi', 1, 'of the child'],
    ['chi', 7, 'child'],
    ['par', 1, 'eins'],
    ['par', 3, 'drei'],
  ]);
});

describe('row security', () => {
  it.each([
    ['insert', undefined],
    ['sync', ['id']],
  ])('that refuses a row is told with its line: %s', async (mode, key) => {
    const role = `writer_${randomId().replaceAll('-', '_')}`;
    await run(`create role ${role}; grant ${role} to current_user; grant all on schema public to ${role}; grant all on item to ${role}; alter table item enable row level security;
      create policy few on item using (id < 100) with check (id < 100)`);
    try {
      const refused = await load(database, { into: 'item', mode, ...(key && { key }) }, 'id,name\n1,a\n200,b\n300,c\n', { role });
      expect(refused).toMatchObject({
        state: 'failed',
        error: { sqlstate: '42501', line: 3, message: expect.stringMatching(/^Line 3: .*row-level security/) },
      });
      await run(`revoke insert on item from ${role}`);
      const denied = await load(database, { into: 'item', mode, ...(key && { key }) }, 'id,name\n1,a\n2,b\n', { role });
      expect(denied, 'what no row is the reason of').toMatchObject({
        state: 'failed',
        error: { sqlstate: '42501', message: 'permission denied for table item' },
      });
      expect(denied.error).not.toHaveProperty('line');
    } finally {
      await run(`drop owned by ${role}; drop role ${role}`);
    }
  });

  it('that hides rows from an update has them counted as left out', async () => {
    const role = `reader_${randomId().replaceAll('-', '_')}`;
    await run(`create role ${role}; grant ${role} to current_user; grant all on schema public to ${role}; grant all on item to ${role}; alter table item enable row level security;
      create policy reads on item for select using (true); create policy writes on item for update using (id > 1); insert into item values (1, 'a'), (2, 'b'), (3, 'c')`);
    try {
      const end = await load(database, { into: 'item', mode: 'upsert', key: ['id'] }, 'id,name\n1,z\n2,z\n3,c\n', { role });
      expect(end.phases[0]?.steps[0]?.result, JSON.stringify(end.error)).toEqual({ inserted: 0, updated: 1, deleted: 0, unchanged: 1, left_out: 1 });
    } finally {
      await run(`drop owned by ${role}; drop role ${role}`);
    }
  });
});

describe('other targets', () => {
  it('a partitioned table takes its rows, and moves them', async () => {
    await run(`create table part (id int, day date, primary key (id, day)) partition by range (day);
      create table part_1 partition of part for values from ('2024-01-01') to ('2025-01-01'); create table part_2 partition of part default`);
    const words = { into: 'part', mode: 'sync', key: ['id'] };
    expect(await passLoad(database, words, 'id,day\n1,2024-05-01\n2,2025-05-01\n')).toEqual([2, 0, 0, 0]);
    expect(await passLoad(database, words, 'id,day\n1,2025-05-01\n2,2025-05-01\n')).toEqual([0, 1, 0, 1]);
    expect(await tableOf(database, 'select count(*)::int from part_2')).toEqual([[2]]);
  });

  it('a view takes rows', async () => {
    await run('create view named as select id, name from item');
    expect(await passLoad(database, { into: 'named' }, 'id,name\n1,a\n')).toEqual([1, 0, 0, 0]);
  });
});

describe('the history', () => {
  const deploy = (name: string, mode: string, content: string) =>
    deployPhases(
      [{ name: 'main', steps: [{ load: 'item.csv', into: 'item', mode, ...(mode === 'insert' ? {} : { key: ['id'] }) }] }],
      { 'item.csv': content },
      name,
    );

  it.each(['upsert', 'sync'])('%s: the same bytes are skipped, and others are loaded', async (mode) => {
    const name = randomId();
    expect(await deploy(name, mode, 'id,name\n1,a\n')).toMatchObject({ phases: [{ steps: [{ state: 'succeeded', rows: 1 }] }] });
    expect(await deploy(name, mode, 'id,name\n1,a\n')).toMatchObject({ phases: [{ steps: [{ state: 'skipped' }] }] });
    expect(await deploy(name, mode, 'id,name\n1,b\n')).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{ state: 'succeeded', rows: 1, result: { updated: 1 } }] }],
    });
    expect(await deploy(name, mode, 'id,name\n1,b\n')).toMatchObject({ phases: [{ steps: [{ state: 'skipped' }] }] });
    expect(await items()).toEqual([[1, 'b']]);
  });

  it('insert: other bytes are a quarrel, as with any file that runs once', async () => {
    const name = randomId();
    await deploy(name, 'insert', 'id,name\n1,a\n');
    expect(await deploy(name, 'insert', 'id,name\n1,a\n')).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ state: 'skipped' }] }] });
    expect(await deploy(name, 'insert', 'id,name\n2,b\n')).toMatchObject({ state: 'failed', error: { sqlstate: 'WF013', path: 'item.csv' } });
  });
});

it('a backend that dies in the middle of a load leaves nothing of it, and the next call loads it once', async () => {
  const gate = await shutGate(database.url);
  await run(`create function gate() returns trigger language plpgsql as $$ begin if new.id = 2 then ${AT_THE_GATE.replace('select', 'perform')} end if; return new; end $$;
    create trigger gate before insert on item for each row execute function gate()`);
  const loading = load(database, { into: 'item' }, 'id,name\n1,a\n2,b\n', { lock_timeout: '1h' });
  await gate.reached();
  await run(`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and not granted`);
  await gate.open();
  expect(await loading).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 2 }] }] });
  expect(await items()).toEqual([
    [1, 'a'],
    [2, 'b'],
  ]);
});

it('is shown with its counts, in progress, summary, journal and views', async () => {
  await run(`insert into item values (1, 'a'), (2, 'b'), (3, 'c')`);
  const end = await load(database, { into: 'item', mode: 'sync', key: ['id'] }, 'id,name\n1,a\n2,x\n4,d\n');
  expect(end.phases[0]?.steps[0]).toMatchObject({ kind: 'load', rows: 3, result: { inserted: 1, updated: 1, deleted: 1, unchanged: 1 } });
  expect(linesBetween(null, end).join('\n')).toContain('1 inserted, 1 updated, 1 deleted, 1 unchanged');
  expect(renderSummary(end, UNCOLOURED)).toMatch(/data\.csv\s+into item\s+1 inserted, 1 updated, 1 deleted, 1 unchanged/);
  expect(await tableOf(database, `select data ->> 'inserted' as inserted, data ->> 'rows' as rows from weft.events where kind = 'step_succeeded'`)).toEqual([
    ['1', '3'],
  ]);
  expect(await tableOf(database, `select kind, rows::int, result ->> 'unchanged' from weft.steps`)).toEqual([['load', 3, '1']]);
});

it.runIf(offers('a superuser'))('an event trigger that forbids DROP forbids no load, for nothing of the bundle drops anything', async () => {
  await sql(
    database.superuserUrl as string,
    `create function no_drop() returns event_trigger language plpgsql as $$ begin raise 'no drop here'; end $$;
     create event trigger no_drop on ddl_command_start when tag in ('DROP TABLE', 'DROP TYPE') execute function no_drop();`,
  );
  const steps = [
    { load: '1.csv', into: 'item' },
    { load: '2.csv', into: 'item' },
  ];
  const files = { '1.csv': 'id,name\n1,one\n', '2.csv': 'id,name\n2,two\n' };
  for (const transaction of ['single', 'none']) {
    expect(await deployPhases([{ name: 'main', transaction, steps }], files)).toMatchObject({ state: 'succeeded' });
    expect(await items()).toEqual([
      [1, 'one'],
      [2, 'two'],
    ]);
    await run('truncate item');
  }
});
