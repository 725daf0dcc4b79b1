/**
 * Files that run again and again. `repeat: on-change` when their content is another one, `repeat: always` with every deployment. Those next
 * to each other in a phase are a group: the server finds their order, and a fresh database and an old one come out the same.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Deployment } from '../../src/domain/deployment.ts';
import { makeFolder } from '../cli/folder.ts';
import { run } from '../cli/run.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table journal (n int)');
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
type Rule = 'single' | 'per-step' | 'auto' | 'none';

interface Phase {
  readonly name?: string;
  readonly transaction?: Rule;
  readonly on_error?: string;
  readonly when?: string;
  readonly steps: readonly object[];
}

const VIEWS = [{ run: 'views/*.sql', repeat: 'on-change' }];

const deployPhases = (phases: readonly Phase[], files: Files, url = database.url): Promise<Deployment> =>
  deployFiles(connectOver(url), {
    'weft.yaml': JSON.stringify({ name: 'shop', phases: phases.map((phase, at) => ({ name: `p${at + 1}`, ...phase })) }),
    ...files,
  });
const deploy = (files: Files, transaction: Rule = 'single', steps: readonly object[] = VIEWS) => deployPhases([{ transaction, steps }], files);
const view = (name: string, from = 'journal', as = 'n'): string => `create or replace view ${name} as select ${as} from ${from};`;
/** "end" is a name here, which the scanner takes for the end of the body. */
const ODD = 'create or replace function odd(out n int) language sql begin atomic select 1 as end; select 2; end;';
const write = (n: number): string => `insert into journal values (${n});`;
const journal = async () => (await sql(database.url, 'select n from journal order by n')).map(({ n }) => n);
const events = (...kinds: string[]) =>
  sql(
    database.url,
    'select e.kind, e.path, e.data from weft.events as e join weft.deployments as d on d.id = e.deployment_id where e.kind = any ($1) order by d.created_at, e.number',
    [kinds],
  );
const states = ({ phases }: Deployment) => phases.flatMap(({ steps }) => steps.map(({ path, state }) => `${path} ${state}`));
const order = ({ phases }: Deployment) => phases.flatMap(({ steps }) => steps.map(({ path }) => path));
const fingerprint = async (url = database.url) => (await sql(url, 'select weft.fingerprint() as print'))[0].print;

const passed = async (ending: Promise<Deployment>): Promise<Deployment> => {
  const end = await ending;
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end;
};

/** In a database that has never been deployed to. */
const fingerprintOfFresh = async (phases: readonly Phase[], files: Files): Promise<string> => {
  const fresh = await freshDatabase();
  try {
    await sql(fresh.url, 'create table journal (n int)');
    await passed(deployPhases(phases, files, fresh.url));
    return await fingerprint(fresh.url);
  } finally {
    await fresh.drop();
  }
};

describe.each(['single', 'per-step', 'auto', 'none'] as const)('transaction: %s', (transaction) => {
  it('repeat: on-change runs a file when its content is another one than the history has', async () => {
    const steps = [{ run: '*.sql', repeat: 'on-change' }];
    await passed(deploy({ '1.sql': write(1), '2.sql': write(2) }, transaction, steps));
    expect(states(await passed(deploy({ '1.sql': write(1), '2.sql': write(3) }, transaction, steps)))).toEqual(['1.sql skipped', '2.sql succeeded']);
    expect(await journal()).toEqual([1, 2, 3]);
    await passed(deploy({ '1.sql': write(1), '2.sql': write(2) }, transaction, steps));
    expect(await journal()).toEqual([1, 2, 2, 3]);
    expect(await sql(database.url, `select count(*)::int as n from weft.history`)).toEqual([{ n: 2 }]);
  });

  it('repeat: on-change does not run what differs in comments and white space only', async () => {
    const steps = [{ run: '*.sql', repeat: 'on-change' }];
    await passed(deploy({ '1.sql': write(1) }, transaction, steps));
    await passed(deploy({ '1.sql': `-- again\n${write(1)}` }, transaction, steps));
    expect(await journal()).toEqual([1]);
  });

  it('repeat: always runs a file with every deployment', async () => {
    const steps = [{ run: '1.sql' }, { run: '2.sql', repeat: 'always' }];
    for (const _ of [1, 2, 3]) await passed(deploy({ '1.sql': write(1), '2.sql': write(2) }, transaction, steps));
    expect(await journal()).toEqual([1, 2, 2, 2]);
  });
});

describe('a repeatable file outside of transactions', () => {
  it('that failed half-way runs from its beginning, whatever has become of that', async () => {
    const steps = [{ run: '1.sql', repeat: 'on-change' }];
    expect(await deploy({ '1.sql': `${write(1)} insert into nowhere values (1);` }, 'none', steps)).toMatchObject({ state: 'failed' });
    await passed(deploy({ '1.sql': `${write(2)} ${write(3)}` }, 'none', steps));
    expect(await journal()).toEqual([1, 2, 3]);
    expect(await sql(database.url, 'select count(*)::int as n from weft._statements')).toEqual([{ n: 0 }]);
  });

  it('leaves its group where the server refuses it in a transaction, and runs in its place', async () => {
    const files = { 'views/a.sql': view('a'), 'views/b.sql': 'vacuum journal;', 'views/c.sql': view('c', 'd'), 'views/d.sql': view('d') };
    const end = await passed(deploy(files, 'auto'));
    expect(order(end)).toEqual(['views/a.sql', 'views/b.sql', 'views/d.sql', 'views/c.sql']);
  });
});

describe.each(['single', 'per-step', 'auto'] as const)('a group under transaction: %s', (transaction) => {
  /** Each needs the one behind it; the last but one is a policy with a function. */
  const adverse: Files = {
    'views/a.sql': view('a', 'b'),
    'views/b.sql': view('b', 'c'),
    'views/c.sql': view('c', 'd where f(n) > 0'),
    'views/d.sql': view('d', 'journal'),
    'views/e.sql': 'drop policy if exists p on journal; create policy p on journal using (f(n) > 1);',
    'views/f.sql': 'create or replace function f(n int) returns int language sql as $$ select g(n) $$;',
    'views/g.sql': 'create or replace function g(n int) returns int language sql as $$ select n + 1 $$;',
  };
  const worked = ['g', 'f', 'e', 'd', 'c', 'b', 'a'].map((name) => `views/${name}.sql`);

  it('whose file has to run in one piece, because its split is wrong, finds an order as others do', async () => {
    const end = await passed(deploy({ 'views/a.sql': view('a', 'odd() as t'), 'views/b.sql': ODD }, transaction));
    expect(order(end)).toEqual(['views/b.sql', 'views/a.sql']);
    expect(await events('split_given_up', 'order_found')).toMatchObject([{ kind: 'split_given_up', path: 'views/b.sql' }, { kind: 'order_found' }]);
  });

  it('whose files need each other in adverse order finds an order, runs in it, and records it', async () => {
    const end = await passed(deploy(adverse, transaction));
    expect(states(end)).toHaveLength(7);
    expect(new Set(states(end).map((state) => state.split(' ')[1]))).toEqual(new Set(['succeeded']));
    const found = await events('order_found');
    expect(found).toMatchObject([
      { path: 'views/a.sql', data: { order: order(end), because: { sqlstate: '42P01', message: expect.stringContaining('"b" does not exist') } } },
    ]);
    const place = (name: string): number => order(end).indexOf(`views/${name}.sql`);
    for (const [one, needs] of ['ab', 'bc', 'cd', 'cf', 'ef', 'fg']) expect(place(needs as string)).toBeLessThan(place(one as string));
    expect(end.phases[0]).toMatchObject({ order_found: { order: order(end) } });
    expect(end.phases[0]?.steps.map(({ path, place: _, ...step }) => [path, step.state])).toEqual(order(end).map((path) => [path, 'succeeded']));
  });

  it('tries the order that worked last first, in one block: nothing is searched', async () => {
    await passed(deploy(adverse, transaction));
    const first = await sql(database.url, 'select path from weft._history order by place');
    const changed = Object.fromEntries(
      Object.entries(adverse).map(([path, text]) => [
        path,
        text.replace('n + 1', 'n + 2').replace('select n from', 'select n as n from').replace('> 1', '> 2').replace('g(n)', 'g( n)'),
      ]),
    );
    const end = await passed(deploy(changed, transaction));
    expect(order(end)).toEqual(first.map(({ path }) => path));
    expect(await events('order_found')).toHaveLength(1);
    expect(end.phases[0]).toMatchObject({ order_found: null });
  });

  it('comes out the same in a fresh database and in an old one, whatever changed on the way', async () => {
    const phases = [{ transaction, steps: VIEWS }];
    await passed(deploy({ 'views/a.sql': view('a'), 'views/g.sql': adverse['views/g.sql'] as string }, transaction));
    await passed(deploy({ ...adverse, 'views/a.sql': view('a') }, transaction));
    const grown = { ...adverse, 'views/0.sql': view('zero', 'a'), 'views/d.sql': view('d', 'z'), 'views/z.sql': view('z') };
    await passed(deploy(grown, transaction));
    expect(await fingerprint()).toBe(await fingerprintOfFresh(phases, grown));
    expect(worked).toHaveLength(7);
  });

  it('commits no more than the one subtransaction of its block', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 80 }, (_, n) => [`views/${String(n).padStart(2, '0')}.sql`, view(`v${n}`, n === 79 ? 'journal' : `v${n + 1}`)]),
    );
    await passed(deploy({ ...many, 'views/zz.sql': `create or replace view zz as select n from v0; ${write(1)}` }, transaction));
    // the row was written behind all of the savepoints that were taken back: in the same subtransaction as the records of the block
    const [row] = await sql(
      database.url,
      `select (select xmin::text from journal) = (select min(h.xmin::text) from weft._history as h where path = 'views/zz.sql') as same`,
    );
    expect(row.same).toBe(true);
  });

  it('for which there is no order fails, and names every file that is left, the culprits before those that wait for them', async () => {
    const circle = { 'views/a.sql': view('a', 'b'), 'views/b.sql': view('b', 'a') };
    const files = { ...circle, 'views/0.sql': view('"0"', 'd'), 'views/c.sql': view('c'), 'views/d.sql': `\n\n${view('d', 'nowhere.x')}` };
    const end = await deploy(files, transaction);
    expect(end).toMatchObject({
      state: 'failed',
      error: { sqlstate: '42P01', path: 'views/d.sql', line: 3, statement: expect.stringContaining('create or replace view d') },
    });
    expect(end.error?.detail?.split('\n')).toEqual([
      'No order of the group works: 4 files are left.',
      'No file of it makes what is lacking here:',
      expect.stringMatching(/^views\/d\.sql:3: (3F000|42P01): .*nowhere/),
      'These wait for each other:',
      'views/a.sql:1: 42P01: relation "b" does not exist',
      'views/b.sql:1: 42P01: relation "a" does not exist',
      'These wait for what failed:',
      'views/0.sql:1: 42P01: relation "d" does not exist',
    ]);
    expect(states(end)).toEqual(['views/0.sql failed', 'views/a.sql failed', 'views/b.sql failed', 'views/c.sql pending', 'views/d.sql failed']);
    expect(await sql(database.url, `select to_regclass('c') as c`)).toEqual([{ c: null }]);
    expect(await sql(database.url, 'select count(*)::int as n from weft.history')).toEqual([{ n: 0 }]);
  });

  it('for which there is no order tells names with quotes in them apart', async () => {
    const end = await deploy({
      'views/1.sql': view('"q"""', 'nowhere.x'),
      'views/2.sql': view('two', 'q'),
      'views/3.sql': view('"r""s"', 'nowhere.x'),
      'views/4.sql': view('four', '"r""s"'),
    });
    expect(end.error?.detail?.split('\n').slice(1)).toEqual([
      'No file of it makes what is lacking here:',
      expect.stringMatching(/^views\/1/),
      'views/2.sql:1: 42P01: relation "q" does not exist',
      expect.stringMatching(/^views\/3/),
      'These wait for what failed:',
      'views/4.sql:1: 42P01: relation "r"s" does not exist',
    ]);
  });

  it('fails at once, with path and line, where a file does not lack anything', async () => {
    const files = { 'views/a.sql': view('a', 'b'), 'views/b.sql': `\n${view('b', 'journal', '1 / 0 as n')} select 1 / 0;`, 'views/c.sql': view('c') };
    const end = await deploy(files, transaction);
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: '22012', path: 'views/b.sql', line: 2 } });
    expect(states(end)).toContain('views/c.sql pending');
  });

  it('is searched also for files that may fail, and those that no order helps are the ones that have failed', async () => {
    const files = { 'views/a.sql': view('a', 'b'), 'views/b.sql': view('b'), 'views/c.sql': view('c', 'nowhere') };
    const end = await deployPhases([{ transaction, on_error: 'continue', steps: VIEWS }], files);
    expect(end).toMatchObject({ state: 'degraded' });
    expect(states(end)).toEqual(['views/b.sql succeeded', 'views/a.sql succeeded', 'views/c.sql failed']);
  });

  it('is of all repeatable files that stand next to each other, from whichever entry', async () => {
    const steps = [{ run: 'policies/*.sql', repeat: 'always' }, ...VIEWS, { run: '1.sql' }, { run: 'more/*.sql', repeat: 'on-change' }];
    const files = { 'policies/p.sql': view('p', 'v'), 'views/v.sql': view('v'), '1.sql': write(1), 'more/m.sql': view('m', 'p') };
    expect(order(await passed(deploy(files, transaction, steps)))).toEqual(['views/v.sql', 'policies/p.sql', '1.sql', 'more/m.sql']);
    expect(states(await passed(deploy(files, transaction, steps)))).toEqual([
      'views/v.sql skipped',
      'policies/p.sql succeeded',
      '1.sql skipped',
      'more/m.sql skipped',
    ]);
  });

  it('asks the condition of each of its files where that would run', async () => {
    const steps = [
      { run: 'views/a.sql', repeat: 'on-change', when: `to_regclass('b') is not null` },
      { run: 'views/b.sql', repeat: 'on-change' },
      { run: 'views/c.sql', repeat: 'on-change', when: 'false' },
    ];
    const files = { 'views/a.sql': view('a', 'b'), 'views/b.sql': view('b'), 'views/c.sql': view('c') };
    expect(states(await passed(deploy(files, transaction, steps)))).toEqual(['views/a.sql skipped', 'views/b.sql succeeded', 'views/c.sql skipped']);
    expect(states(await passed(deploy(files, transaction, steps)))).toEqual(['views/b.sql skipped', 'views/a.sql succeeded', 'views/c.sql skipped']);
  });
});

describe.each(['single', 'per-step'] as const)('a changed file among unchanged ones, under transaction: %s', (transaction) => {
  const phases = [{ transaction, steps: [{ run: 'schema/*.sql' }, ...VIEWS] }];
  const files: Files = {
    'schema/1.sql': 'create table t (n int, m int);',
    'views/a.sql': view('a', 't'),
    'views/b.sql': view('b', 'a'),
    'views/c.sql': view('c', 'b'),
    'views/x.sql': view('x'),
  };

  it('runs alone where that can be', async () => {
    await passed(deployPhases(phases, files));
    const end = await passed(deployPhases(phases, { ...files, 'views/a.sql': view('a', 't where n > 0') }));
    expect(states(end)).toEqual(['schema/1.sql skipped', 'views/a.sql succeeded', 'views/b.sql skipped', 'views/c.sql skipped', 'views/x.sql skipped']);
  });

  it('that drops what it made, and what depends on that, has those made again that went with it', async () => {
    await passed(deployPhases(phases, files));
    const changed = { ...files, 'views/a.sql': `drop view if exists a cascade; ${view('a', 't', 'm as n')}` };
    const end = await passed(deployPhases(phases, changed));
    expect(states(end)).toEqual(['schema/1.sql skipped', 'views/a.sql succeeded', 'views/b.sql succeeded', 'views/c.sql succeeded', 'views/x.sql skipped']);
    expect(await events('called_back')).toEqual([
      { kind: 'called_back', path: 'views/b.sql', data: { missing: [{ kind: 'relation', name: 'public.b' }] } },
      { kind: 'called_back', path: 'views/c.sql', data: { missing: [{ kind: 'relation', name: 'public.c' }] } },
    ]);
    expect(await fingerprint()).toBe(await fingerprintOfFresh(phases, changed));
  });

  it('that cannot be replaced alone fails, and the hint says what can be done', async () => {
    await passed(deployPhases(phases, files));
    const end = await deployPhases(phases, { ...files, 'views/a.sql': `drop view if exists a; ${view('a', 't', 'm as n')}` });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: '2BP01', path: 'views/a.sql', hint: expect.stringContaining('CASCADE') } });
  });

  it('that lacks what an unchanged one made, and somebody dropped, has that made again', async () => {
    await passed(deployPhases(phases, files));
    await sql(database.url, 'drop view b cascade');
    const end = await passed(deployPhases(phases, { ...files, 'views/x.sql': view('x', 'c') }));
    expect(states(end)).toEqual(['schema/1.sql skipped', 'views/a.sql skipped', 'views/b.sql succeeded', 'views/c.sql succeeded', 'views/x.sql succeeded']);
  });

  it('does not matter: views that a migration had to drop are made again behind it', async () => {
    await passed(deployPhases(phases, files));
    const grown = { ...files, 'schema/2.sql': 'drop view a cascade; alter table t alter n type bigint;' };
    const end = await passed(deployPhases(phases, grown));
    expect(states(end).slice(2)).toEqual(['views/a.sql succeeded', 'views/b.sql succeeded', 'views/c.sql succeeded', 'views/x.sql skipped']);
    expect(await sql(database.url, `select format_type(atttypid, null) as type from pg_attribute where attrelid = 'c'::regclass and attname = 'n'`)).toEqual([
      { type: 'bigint' },
    ]);
  });

  it('does not matter either where the migration stands in a phase before', async () => {
    const two = [
      { transaction, steps: [{ run: 'schema/*.sql' }] },
      { transaction, steps: VIEWS },
    ];
    await passed(deployPhases(two, files));
    const end = await passed(deployPhases(two, { ...files, 'schema/2.sql': 'drop view a cascade; alter table t alter n type bigint;' }));
    expect(states(end).slice(2)).toEqual(['views/a.sql succeeded', 'views/b.sql succeeded', 'views/c.sql succeeded', 'views/x.sql skipped']);
  });

  it('what comes behind it and drops is believed: it is gone in a fresh database, too', async () => {
    const three = [{ transaction, steps: [{ run: 'schema/*.sql' }, ...VIEWS, { run: 'later/*.sql' }] }];
    await passed(deployPhases(three, { ...files, 'later/0.sql': write(0) }));
    const later = { ...files, 'later/0.sql': write(0), 'later/1.sql': 'drop view c;' };
    await passed(deployPhases(three, later));
    await passed(deployPhases(three, later));
    expect(await fingerprint()).toBe(await fingerprintOfFresh(three, later));
    expect(await sql(database.url, `select to_regclass('c') as c`)).toEqual([{ c: null }]);
  });

  it('in a phase that a condition leaves out, nothing is called back', async () => {
    await passed(deployPhases([{ ...phases[0], when: 'true' } as Phase], files));
    await sql(database.url, 'drop view c');
    const end = await passed(deployPhases([{ ...phases[0], when: 'false' } as Phase], files));
    expect(end.phases[0]?.state).toBe('skipped');
  });
});

describe('a rehearsal', () => {
  it('finds the order of a group in which a file has to run in one piece', async () => {
    const folder = {
      'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'code', steps: VIEWS }] }),
      'views/a.sql': view('a', 'odd() as t'),
      'views/b.sql': ODD,
    };
    const { code, stdout } = await run(['deploy', makeFolder(folder), '--rehearse', '--json'], { env: { DATABASE_URL: database.url } });
    expect(code, stdout).toBe(0);
    expect(await sql(database.url, `select to_regclass('a') as a`)).toEqual([{ a: null }]);
  });

  it('finds the order of a group as the deployment would, and leaves nothing behind', async () => {
    const folder = {
      'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'code', transaction: 'single', steps: [{ run: '0.sql' }, ...VIEWS] }] }),
      '0.sql': 'create table t (n int);',
      'views/a.sql': view('a', 'b'),
      'views/b.sql': view('b', 'c'),
      'views/c.sql': view('c', 't'),
    };
    const { code, stdout } = await run(['deploy', makeFolder(folder), '--rehearse', '--json'], { env: { DATABASE_URL: database.url } });
    expect(code, stdout).toBe(0);
    expect(JSON.parse(stdout).rehearsal.steps.map(({ path }: { path: string }) => path)).toEqual(['0.sql', 'views/c.sql', 'views/b.sql', 'views/a.sql']);
    expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
  });

  it('tells which unchanged files would be called back, and because of what', async () => {
    const VIEW = { 'views/v.sql': view('v') };
    const steps = [{ run: 'schema/*.sql' }, ...VIEWS];
    await passed(deploy({ 'schema/1.sql': 'select 1', ...VIEW }, 'single', steps));
    const folder = makeFolder({
      'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'p1', transaction: 'single', steps }] }),
      'schema/1.sql': 'select 1',
      'schema/2.sql': 'drop view v; alter table journal alter n type bigint;',
      ...VIEW,
    });
    const env = { DATABASE_URL: database.url };
    const { stdout } = await run(['deploy', folder, '--rehearse', '--json'], { env });
    expect(JSON.parse(stdout).rehearsal.steps).toMatchObject([
      { path: 'schema/2.sql' },
      { path: 'views/v.sql', called_back: [{ kind: 'relation', name: 'public.v' }] },
    ]);
    expect((await run(['deploy', folder, '--rehearse'], { env })).stdout).toMatch(/views\/v\.sql .*unchanged, called back: public\.v would be gone/);
  });
});

describe('a file whose objects another one of its group drops again behind it', () => {
  const FIRST = { 'views/m.sql': 'create or replace view m as select 1 as n', 'views/z.sql': 'create or replace view z as select 1 as n' };
  const SECOND = { 'views/m.sql': view('m', 'z'), 'views/z.sql': 'drop view if exists z cascade; create view z as select 1 as n, 2 as k' };

  it.each(['single', 'per-step'] as const)('runs behind it, and that order is kept: transaction: %s', async (rule) => {
    await passed(deploy(FIRST, rule));
    const end = await passed(deploy(SECOND, rule));
    expect(order(end)).toEqual(['views/z.sql', 'views/m.sql']);
    expect(await events('moved_behind')).toMatchObject([{ path: 'views/m.sql', data: { missing: [{ name: 'public.m' }] } }]);
    expect(await fingerprint()).toBe(await fingerprintOfFresh([{ transaction: rule, steps: VIEWS }], SECOND));
  });

  it('is rehearsed in that order, too', async () => {
    await passed(deploy(FIRST));
    const rehearsed = await deployFiles(
      connectOver(database.url),
      { 'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'p1', transaction: 'single', steps: VIEWS }] }), ...SECOND },
      { mode: 'rehearse' },
    );
    expect(rehearsed.rehearsal?.steps.map(({ path, state }) => [path, state])).toEqual([
      ['views/z.sql', 'succeeded'],
      ['views/m.sql', 'succeeded'],
    ]);
    expect(rehearsed.rehearsal?.catalog?.filter(({ change }) => change === 'removed')).toEqual([]);
  });
});
