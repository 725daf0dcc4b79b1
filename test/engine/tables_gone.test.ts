/** Data and batches whose table is dropped: what went into it is gone with it, and the history is not to say that it is there. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { undoPlanLines } from '../../src/cli/undo_plan.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { pathsIn, undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
type Rule = 'single' | 'per-step' | 'auto' | 'none';

const MIGRATIONS = { run: 's/*.sql', undo: 'u/*.sql' };
const COUNTRIES = { load: 'c.csv', into: 'country', mode: 'sync', key: ['iso'] };
const FIRST: Files = {
  's/1.sql': 'create table country (iso text primary key, name text)',
  'u/1.sql': 'drop table country',
  'c.csv': 'iso,name\nDE,Germany\nFR,France\n',
};
const ANEW = 'drop table country; create table country (iso text primary key, name text, more int)';
const inPhases = (phases: readonly object[], files: Files): Files => ({ ...files, 'weft.yaml': JSON.stringify({ name: 'shop', phases }) });
const inOne = (transaction: Rule, steps: readonly object[], files: Files) => inPhases([{ name: 'p', transaction, steps }], files);
const countries = async () => (await sql(database.url, 'select iso from country order by 1')).map(({ iso }) => iso);
const calledBack = async () => sql(database.url, `select path, data -> 'missing' -> 0 ->> 'name' as name from weft.events where kind = 'called_back'`);

async function deployed(files: Files) {
  const end = await deployFiles(connectOver(database.url), files);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end;
}

describe('an undo that drops a table', () => {
  it('takes data and batches that went into it out of the history, says so, and the next deployment runs them again', async () => {
    const phases = [
      { name: 'p', transaction: 'single', steps: [MIGRATIONS, COUNTRIES, { load: 'more.csv', into: 'country' }, { run: 'grants.sql' }] },
      { name: 'b', steps: [{ batch: 'upper.sql', size: 10 }] },
    ];
    const bundle = inPhases(phases, {
      ...FIRST,
      'more.csv': 'iso,name\nIT,Italy\n',
      'grants.sql': 'grant select on country to public',
      'upper.sql': `update country set name = upper(name) where iso in (select iso from country where name <> upper(name) limit :size)`,
    });
    const first = await deployed(bundle);
    expect(undoPlanLines((await sql(database.url, 'select weft.plan_undo() as plan'))[0].plan, UNCOLOURED, false).join('\n')).toMatch(
      /c\.csv +p +if its table goes, out of the history with it/,
    );
    const back = await undo(database.url, 'p_partly => true');
    expect(back).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
    expect(await pathsIn(database.url)).toEqual(['grants.sql']);
    const summary = renderSummary(back, UNCOLOURED);
    expect(summary).toMatch(
      /gone with what it needs: out of the history too, so that the next deployment makes it again:\n {2}upper\.sql\n {2}more\.csv\n {2}c\.csv\n/,
    );
    expect(summary).toContain(
      `No undo; what it made in the catalog is gone all the same. It stays in the history, and the next deployment does not run it:\n  grants.sql\nTo have it run again, give it an undo file ("select 1" will do), and: weft undo ${first.id} --with FOLDER`,
    );
    expect(summary).not.toContain('stays in the database');
    await deployed(bundle);
    expect(await sql(database.url, 'select name from country order by 1')).toEqual([{ name: 'FRANCE' }, { name: 'GERMANY' }, { name: 'ITALY' }]);
  });

  it('keeps in the history what went into a table that stays, and says that it stays', async () => {
    await sql(database.url, 'create table kept (n int)');
    const bundle = inOne('single', [MIGRATIONS, { load: 'k.csv', into: 'kept' }], { ...FIRST, 'k.csv': 'n\n1\n' });
    await deployed(bundle);
    const back = await undo(database.url, 'p_partly => true');
    expect(renderSummary(back, UNCOLOURED)).toMatch(/No undo, stays in the database:\n {2}k\.csv\n/);
    expect(await pathsIn(database.url)).toEqual(['k.csv']);
    await deployed(bundle);
    expect(await sql(database.url, 'select n from kept')).toEqual([{ n: 1 }]);
  });

  it('does so too where it stopped behind the drop, and another one goes on', async () => {
    const files = { ...FIRST, 's/0.sql': 'select 1', 'u/0.sql': 'select 1 / (select count(*) from way)' };
    await sql(database.url, 'create table way (n int)');
    await deployed(inOne('per-step', [MIGRATIONS, COUNTRIES], files));
    expect(await undo(database.url, 'p_partly => true')).toMatchObject({ state: 'failed', error: { path: 'u/0.sql' } });
    await sql(database.url, 'insert into way values (1)');
    expect(await undo(database.url, 'p_partly => true')).toMatchObject({ state: 'succeeded' });
    expect(await pathsIn(database.url)).toEqual([]);
  });

  it('keeps what went into a table that its own deployment has dropped again', async () => {
    const steps = [{ run: 'stage.sql' }, { load: 'n.csv', into: 'staging' }, { run: 'done.sql' }, MIGRATIONS];
    await deployed(inOne('single', steps, { ...FIRST, 'stage.sql': 'create table staging (n int)', 'n.csv': 'n\n1\n', 'done.sql': 'drop table staging' }));
    await undo(database.url, 'p_partly => true');
    expect(await pathsIn(database.url)).toEqual(['c.csv', 'done.sql', 'n.csv', 'stage.sql'].filter((path) => path !== 'c.csv'));
  });

  it('lets data of an earlier deployment come again where it has made the table anew', async () => {
    await deployed(inOne('single', [MIGRATIONS, COUNTRIES], FIRST));
    const later = { ...FIRST, 's/2.sql': ANEW, 'u/2.sql': 'drop table country; create table country (iso text primary key, name text)' };
    await deployed(inOne('single', [MIGRATIONS], later));
    expect(await countries()).toEqual([]);
    await undo(database.url, 'p_partly => true');
    await deployed(inOne('single', [MIGRATIONS, COUNTRIES], FIRST));
    expect(await countries()).toEqual(['DE', 'FR']);
  });
});

describe.each(['single', 'per-step', 'auto', 'none'] as const)('a migration that makes a table anew, in a phase that is %s', (rule) => {
  it('calls unchanged data back that stands behind it', async () => {
    const steps = [MIGRATIONS, COUNTRIES, { load: 'once.csv', into: 'country' }];
    const first = { ...FIRST, 'once.csv': 'iso\nIT\n' };
    await deployed(inOne(rule, steps.slice(0, 2), first));
    await deployed(inOne(rule, steps.slice(0, 2), { ...first, 's/2.sql': ANEW, 'u/2.sql': 'select 1' }));
    expect(await countries()).toEqual(['DE', 'FR']);
    expect(await calledBack()).toEqual([{ path: 'c.csv', name: 'public.country' }]);
    expect(await deployed(inOne(rule, steps.slice(0, 2), { ...first, 's/2.sql': ANEW, 'u/2.sql': 'select 1' }))).toMatchObject({
      phases: [{ steps: [{ state: 'skipped' }, { state: 'skipped' }, { state: 'skipped' }] }],
    });
  });
});

it('a migration in a phase before calls it back too, and one behind it does not: so it would be in a new database', async () => {
  const early = { name: 'early', steps: [MIGRATIONS] };
  const data = { name: 'data', steps: [COUNTRIES] };
  const late = { name: 'late', steps: [{ run: 'late.sql' }] };
  await deployed(inPhases([early, data], FIRST));
  const second = { ...FIRST, 's/2.sql': ANEW, 'u/2.sql': 'select 1' };
  await deployed(inPhases([early, data], second));
  expect(await countries()).toEqual(['DE', 'FR']);
  await deployed(inPhases([early, data, late], { ...second, 'late.sql': ANEW }));
  expect(await countries()).toEqual([]);
});

describe('a deployment that makes a table anew and stops before its data', () => {
  const data = { name: 'data', steps: [{ ...COUNTRIES, on_error: 'continue' }] };
  const inTwo = (files: Files) => inPhases([{ name: 'early', transaction: 'per-step', steps: [{ run: 's/*.sql' }] }, data], files);
  const second = { ...FIRST, 's/2.sql': ANEW };

  it('leaves them to the next one that comes to them, however many stop in between, and whoever rehearses it', async () => {
    await deployed(inTwo(FIRST));
    const broken = inTwo({ ...second, 's/3.sql': 'select 1 / 0' });
    expect((await deployFiles(connectOver(database.url), broken)).state).toBe('failed');
    expect(await countries()).toEqual([]);
    expect((await deployFiles(connectOver(database.url), broken)).state).toBe('failed');
    await deployFiles(connectOver(database.url), inTwo({ ...second, 's/3.sql': 'select 1' }), { mode: 'rehearse' });
    await deployed(inTwo({ ...second, 's/3.sql': 'select 1' }));
    expect(await countries()).toEqual(['DE', 'FR']);
  });

  it('does so too where they may fail, and did', async () => {
    await deployed(inTwo(FIRST));
    const strict = ANEW.replace('more int', 'more int not null');
    const degraded = await deployFiles(connectOver(database.url), inTwo({ ...FIRST, 's/2.sql': strict }));
    expect(degraded.state).toBe('degraded');
    await deployed(inTwo({ ...FIRST, 's/2.sql': strict, 's/3.sql': 'alter table country alter more drop not null' }));
    expect(await countries()).toEqual(['DE', 'FR']);
  });
});

it('a database that was restored, where all numbers are others, has lost nothing', async () => {
  const bundle = inOne('single', [MIGRATIONS, COUNTRIES], FIRST);
  await deployed(bundle);
  await sql(database.url, 'update weft._history set table_oid = 1 where table_oid is not null');
  await deployed({ ...bundle, 's/2.sql': 'select 1', 'u/2.sql': 'select 1' });
  expect(await calledBack()).toEqual([]);
});

it('a file that ran once before it runs again and again says what it lacks: the version before does not run again', async () => {
  const files = { 's.sql': 'create table t (a int, b int)', 'v/1.sql': 'create view v1 as select a from t' };
  const once = await deployed(inOne('single', [{ run: 's.sql' }, { run: 'v/*.sql' }], files));
  const again = { ...files, 'v/1.sql': 'create or replace view v1 as select a, b from t' };
  await deployed(inOne('single', [{ run: 's.sql' }, { run: 'v/*.sql', repeat: 'on-change' }], again));
  const words = undoPlanLines((await sql(database.url, 'select weft.plan_undo() as plan'))[0].plan, UNCOLOURED, false).join('\n');
  expect(words).toContain(`the version before was applied once, by deployment ${once.id}, and what runs once does not run again: it needs an undo file`);
  expect(words).not.toContain('there is no version before');
});

describe('what ran once for a table that is made anew', () => {
  const steps = [MIGRATIONS, { load: 'once.csv', into: 'country' }];
  const files = {
    ...FIRST,
    'once.csv': 'iso,name\nIT,Italy\n',
    'upper.sql': 'update country set name = upper(name) where iso in (select iso from country where name <> upper(name) limit :size)',
  };
  const phases = [
    { name: 'p', transaction: 'single', steps },
    { name: 'b', steps: [{ batch: 'upper.sql', size: 10 }] },
  ];
  const second = { ...files, 's/2.sql': ANEW, 'u/2.sql': ANEW.replace(', more int', '') };

  it('is not run again, and is named at the end of the migration, with what to do', async () => {
    await deployed(inPhases(phases, files));
    const end = await deployed(inPhases(phases, second));
    expect(await countries()).toEqual([]);
    expect(end.made_anew).toEqual([
      { path: 'once.csv', kind: 'load', table: 'public.country', runs_again: false },
      { path: 'upper.sql', kind: 'batch', table: 'public.country', runs_again: false },
    ]);
    expect(renderSummary(end, UNCOLOURED)).toContain(
      `The table of these was made anew. They run once, so they have not run again; in a new database they would.
  once.csv   data   public.country
  upper.sql  batch  public.country
If the rows were moved along, nothing needs to be done. Data runs again with a key and "mode: upsert". A batch runs again as a copy under another name.`,
    );
    expect((await deployed(inPhases(phases, { ...second, 's/3.sql': 'select 1', 'u/3.sql': 'select 1' }))).made_anew).toBeNull();
    const upsert = [{ name: 'p', transaction: 'single', steps: [MIGRATIONS, { load: 'once.csv', into: 'country', key: ['iso'], mode: 'upsert' }] }];
    await deployed(inPhases(upsert, { ...second, 's/3.sql': 'select 1', 'u/3.sql': 'select 1' }));
    expect(await countries()).toEqual(['IT']);
  });

  it('is named, too, where the table of before has another name now, and one with other insides has its own: cut into partitions, say', async () => {
    const swap =
      'alter table country rename to old_country; create table country (iso text primary key, name text) partition by list (iso); create table rest partition of country default';
    await deployed(inPhases(phases, files));
    const end = await deployed(inPhases(phases, { ...files, 's/2.sql': swap, 'u/2.sql': 'select 1' }));
    expect(end.made_anew?.map(({ path, table }) => [path, table])).toEqual([
      ['once.csv', 'public.country'],
      ['upper.sql', 'public.country'],
    ]);
    const renamed = { ...files, 's/2.sql': swap, 'u/2.sql': 'select 1', 's/3.sql': 'alter table old_country rename to older', 'u/3.sql': 'select 1' };
    expect((await deployed(inPhases(phases, renamed))).made_anew).toBeNull();
  });

  it('is named at the end of an undo that makes the table anew behind it', async () => {
    await deployed(inPhases(phases, files));
    const grows = { ...files, 's/2.sql': 'alter table country add more int', 'u/2.sql': second['u/2.sql'] };
    await deployed(inPhases(phases, grows));
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'succeeded' });
    expect(back.made_anew.map(({ path }: { path: string }) => path)).toEqual(['once.csv', 'upper.sql']);
  });

  it('is not named where it stands before what made the table anew: in a new database it would be gone, too', async () => {
    const late = (more: object[]) => [{ name: 'p', transaction: 'single', steps: [MIGRATIONS, { load: 'once.csv', into: 'country' }, ...more] }];
    await deployed(inPhases(late([]), files));
    const end = await deployed(inPhases(late([{ run: 'late.sql' }]), { ...files, 'late.sql': ANEW }));
    expect(end.made_anew).toBeNull();
  });
});

it.each(['single', 'per-step', 'auto', 'none'] as const)(
  'older data that an undo has brought back comes again behind what makes its table anew: %s',
  async (rule) => {
    await deployed(inOne(rule, [MIGRATIONS, COUNTRIES], FIRST));
    const second = { ...FIRST, 's/2.sql': 'alter table country add more int', 'u/2.sql': ANEW.replace(', more int', ''), 'c.csv': 'iso,name\nIT,Italy\n' };
    await deployed(inOne(rule, [MIGRATIONS, COUNTRIES], second));
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'succeeded', made_anew: null });
    expect(await countries()).toEqual(['DE', 'FR']);
    expect(await deployed(inOne(rule, [MIGRATIONS, COUNTRIES], FIRST))).toMatchObject({ phases: [{ steps: [{ state: 'skipped' }, { state: 'skipped' }] }] });
  },
);
