/** What is deferred to the commit has happened before a check is asked: what it does may break the rule. And it happens in the session of the phase. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
const PHASE = { name: 'main', transaction: 'single', steps: [{ run: '*.sql' }], checks: ['checks/*.sql'] };

const deployShop = (phase: object, files: Files, mode?: 'rehearse') =>
  deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ ...PHASE, ...phase }] }), ...files }, { mode });

/** Names are looked for in the path of the moment. */
const DEFERRED = `create table o (n int); create table q (n int);
create function note() returns trigger language plpgsql as $$ begin insert into q values (-new.n); return null; end $$;
create constraint trigger late after insert on o deferrable initially deferred for each row execute function note();`;
const CHECK = { 'checks/c.sql': 'select * from q where n < 0' };

describe.each([undefined, 'rehearse'] as const)('in a phase that is all or nothing, mode %s', (mode) => {
  it('what a deferred trigger writes is seen by a check, which vetoes', async () => {
    const end = await deployShop({}, { '1.sql': `${DEFERRED} insert into o values (1);`, '2.sql': 'select 1;', ...CHECK }, mode);
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'WF022', path: 'checks/c.sql', check: { offenders: [{ n: -1 }] } } });
    expect(await sql(database.url, `select to_regclass('q') as q`)).toEqual([{ q: null }]);
  });

  it('and by a check that may fail, behind a step that may fail', async () => {
    await sql(database.url, DEFERRED);
    const end = await deployShop({ on_error: 'continue' }, { '1.sql': 'insert into o values (1);', ...CHECK }, mode);
    expect(end).toMatchObject({ phases: [{ steps: [{}, { kind: 'check' }] }] });
    expect(mode === undefined ? end.phases[0]?.steps[1] : end.rehearsal?.steps[1]).toMatchObject({ error: { sqlstate: 'WF022' } });
  });

  it('a deferred constraint is told before a check is asked, with the file where there is one', async () => {
    const files = { '1.sql': 'create table p (n int primary key); create table c (n int references p initially deferred); insert into c values (1);' };
    expect(await deployShop({}, { ...files, 'checks/c.sql': 'select * from c' }, mode)).toMatchObject({
      state: 'failed',
      error: { sqlstate: '23503', constraint: 'c_n_fkey', ...(mode === undefined ? { path: '1.sql' } : {}) },
    });
  });

  it('it fires in the path of the phase, which no check has to know', async () => {
    await sql(database.url, `create schema theirs; set search_path = theirs; ${DEFERRED}`);
    const phase = { settings: { search_path: 'theirs' } };
    for (const file of [{ '1.sql': 'insert into o values (0);' }, { '1.sql': 'insert into o values (0);', '2.sql': 'set search_path = nowhere;' }]) {
      const end = await deployShop(
        { ...phase, ...('2.sql' in file ? { steps: [{ run: '1.sql' }, { run: '2.sql', when: 'false' }] } : {}) },
        { ...file, ...CHECK },
        mode,
      );
      expect(end).toMatchObject({ state: 'succeeded', error: null });
    }
  });
});

describe('what the steps before a step that may fail have deferred', () => {
  const steps = [{ run: '1.sql' }, { run: '2.sql', on_error: 'continue' }];

  it('is looked at behind it where it is the last one, and fails the phase', async () => {
    await sql(database.url, 'create table p (n int primary key); create table c (n int references p initially deferred)');
    const end = await deployShop({ steps, checks: [] }, { '1.sql': 'insert into c values (1);', '2.sql': 'create table two ();' });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: '23503', constraint: 'c_n_fkey' } });
    expect(await sql(database.url, `select to_regclass('two') as two, (select count(*)::int from c) as rows`)).toEqual([{ two: null, rows: 0 }]);
  });

  it.each([0, 1])('fires where its names are found, and keeps no step from going on (%s)', async (before) => {
    await sql(database.url, DEFERRED);
    const insert = 'insert into o values (1);';
    const end = await deployShop({ steps, checks: [] }, { '1.sql': before === 1 ? insert : 'select 1;', '2.sql': insert });
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ state: 'succeeded' }, { state: 'succeeded' }] }] });
    expect(await sql(database.url, 'select n from q')).toHaveLength(before + 1);
  });

  it.each(['deploy', 'rehearse'] as const)('fires in the session that the file itself has made, also where it is the last one (%s)', async (mode) => {
    await sql(database.url, `create schema theirs; set search_path = theirs; ${DEFERRED}`);
    const insert = 'set search_path = theirs; insert into o values (1);';
    for (const name of ['2.sql', '3.sql']) {
      const files = { '1.sql': insert, '2.sql': name === '2.sql' ? insert : 'select 2;', '3.sql': insert };
      const phase = { steps: Object.keys(files).map((run) => (run === name ? { run, on_error: 'continue' } : { run })), checks: [] };
      expect(await deployShop(phase, files, mode === 'deploy' ? undefined : mode)).toMatchObject({ state: 'succeeded', error: null });
      await sql(database.url, 'delete from weft._history');
    }
    expect(await sql(database.url, 'select n from theirs.q')).toHaveLength(mode === 'deploy' ? 5 : 0);
  });

  it('breaks a constraint in the step that may fail: that step fails, whatever path it has set', async () => {
    await sql(database.url, 'create schema theirs; create table p (n int primary key); create table c (n int references p initially deferred)');
    const end = await deployShop({ steps, checks: [] }, { '1.sql': 'select 1;', '2.sql': 'insert into c values (1); set search_path = theirs;' });
    expect(end).toMatchObject({
      state: 'degraded',
      phases: [{ steps: [{ state: 'succeeded' }, { state: 'failed', error: { sqlstate: '23503', path: '2.sql' } }] }],
    });
  });
});
