/** What a bundle can say, crossed with going back over it and with rehearsing it: loads, batches, repeatable files, conditions, failures that may be, secrets. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, type OrderOptions, shutGate } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { openUndo, pathsIn, undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
interface Phase {
  readonly name: string;
  readonly transaction?: string;
  readonly [word: string]: unknown;
}

const bundle = (phases: readonly Phase[], files: Files, more: object = {}): Files => ({
  ...files,
  'weft.yaml': JSON.stringify({ name: 'shop', phases, ...more }),
});
const send = (files: Files, options: OrderOptions = {}) => deployFiles(connectOver(database.url), files, options);

async function deployed(files: Files, options: OrderOptions = {}, state = 'succeeded') {
  const end = await send(files, options);
  expect(end.state, JSON.stringify(end.error)).toBe(state);
  return end;
}

async function undone(what = '') {
  const end = await undo(database.url, what);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end;
}

const fingerprint = async () => (await sql(database.url, 'select weft.fingerprint() as print'))[0].print;
const rowsOf = async (table: string) => (await sql(database.url, `select t::text as row from ${table} as t order by 1`)).map(({ row }) => row);
const history = async () =>
  sql(
    database.url,
    `select path, encode(digest, 'hex') as digest, made, rank() over (order by case when path ~ '^views' then place end) as place from weft._history order by path`,
  );

/** One of everything. The data and the views have changed from the first release to the second. */
const FIRST: Files = bundle(
  [
    { name: 'schema', transaction: 'single', steps: [{ run: 'schema/*.sql', undo: 'undo/*.sql' }] },
    { name: 'data', transaction: 'per-step', steps: [{ load: 'data/c.csv', into: 'c', mode: 'sync', key: ['code'] }] },
    { name: 'views', transaction: 'single', steps: [{ run: 'views/*.sql', repeat: 'on-change' }] },
  ],
  {
    'schema/1.sql':
      'create table c (code text primary key, name text); create table big (id int primary key, total int); insert into big select g, null from generate_series(1, 50) as g',
    'undo/1.sql': 'drop table c, big',
    'data/c.csv': 'code,name\na,A\nb,B\n',
    'views/v.sql': 'create or replace view v as select code from c',
    'views/w.sql': 'create or replace view w as select count(*) as n from v',
  },
);

const SECOND: Files = bundle(
  [
    { name: 'schema', transaction: 'single', steps: [{ run: 'schema/*.sql', undo: 'undo/*.sql' }] },
    {
      name: 'data',
      transaction: 'per-step',
      steps: [
        { load: 'data/c.csv', into: 'c', mode: 'sync', key: ['code'] },
        { load: 'data/more.csv', into: 'c', mode: 'upsert', key: ['code'], undo: 'data/less.sql' },
        { run: 'never.sql', when: 'false' },
        { run: 'may.sql', on_error: 'continue' },
      ],
    },
    { name: 'fill', steps: [{ batch: 'fill.sql', size: 20, undo: 'unfill.sql' }] },
    { name: 'views', transaction: 'single', steps: [{ run: 'views/*.sql', repeat: 'on-change' }] },
    { name: 'indexes', transaction: 'none', steps: [{ run: 'indexes/*.sql', undo: 'unindex/*.sql' }] },
  ],
  {
    ...FIRST,
    'schema/2.sql': 'alter table c add note text',
    'undo/2.sql': 'alter table c drop note',
    'data/c.csv': 'code,name\na,AA\nc,C\n',
    'data/more.csv': 'code,name\nd,D\n',
    'data/less.sql': `delete from c where code = 'd'`,
    'never.sql': 'create table never (n int)',
    'may.sql': 'select 1 / 0',
    'fill.sql': 'update big set total = 1 where id in (select id from big where total is null limit :size)',
    'unfill.sql': 'update big set total = null',
    'views/v.sql': 'create or replace view v as select code, note from c',
    'indexes/i.sql': 'create index concurrently c_name on c (name)',
    'unindex/i.sql': 'drop index concurrently c_name',
  },
);

/** With a session that obeys directives. */
async function undoneByDrive(id: string) {
  const undoing = await openUndo(database.url, `'${id}'`);
  const end = await resume({ connect: connectOver(database.url), id: undoing, target: null, deadlineMs: 50_000 });
  return end as NonNullable<typeof end>;
}

describe('a release with loads, a batch, views, an index, a condition and a failure that may be', () => {
  it('is taken back: catalog, data and history are as they were, and it can be deployed and taken back again', async () => {
    await deployed(FIRST);
    const before = { print: await fingerprint(), rows: await rowsOf('c'), big: await rowsOf('big'), history: await history() };
    for (const round of [1, 2]) {
      const end = await deployed(SECOND, {}, 'degraded');
      expect(await rowsOf('c'), `round ${round}`).toEqual(['(a,AA,)', '(c,C,)', '(d,D,)']);
      const back = await undoneByDrive(end.id);
      expect(back, JSON.stringify(back.error)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
      expect({ print: await fingerprint(), rows: await rowsOf('c'), big: await rowsOf('big'), history: await history() }).toEqual(before);
    }
    const { plan } = (await sql(database.url, `select weft.plan_undo() as plan`))[0];
    expect(plan.lacking.map(({ path }: { path: string }) => path).sort()).toEqual(['data/c.csv', 'views/v.sql', 'views/w.sql']);
  });

  it('is rehearsed with its undo files, and nothing of it stays', async () => {
    await deployed(FIRST);
    const before = { print: await fingerprint(), rows: await rowsOf('c'), big: await rowsOf('big'), history: await history() };
    const end = await deployed(SECOND, { mode: 'rehearse' }, 'degraded');
    const states = Object.fromEntries((end.rehearsal?.steps ?? []).map(({ path, state }) => [path, state]));
    expect(states).toMatchObject({
      'data/c.csv': 'succeeded',
      'data/more.csv': 'succeeded',
      'never.sql': 'skipped',
      'may.sql': 'tolerated',
      'views/v.sql': 'succeeded',
    });
    expect({ print: await fingerprint(), rows: await rowsOf('c'), big: await rowsOf('big'), history: await history() }).toEqual(before);
    expect((await deployed(SECOND, {}, 'degraded')).phases.flatMap(({ steps }) => steps.filter(({ state }) => state === 'failed')).length).toBe(1);
  });
});

describe('a rehearsal of data', () => {
  const files = (mode: string, more: object = {}): Files =>
    bundle([{ name: 'data', steps: [{ load: 'c.csv', into: 'c', mode, ...(mode === 'insert' ? {} : { key: ['code'] }), ...more }] }], {
      'c.csv': 'code,name\na,AA\nc,C\n',
    });

  it.each([
    ['sync', { inserted: 1, updated: 1, deleted: 1 }],
    ['upsert', { inserted: 1, updated: 1, deleted: 0 }],
  ] as const)('mode: %s counts what a deployment would do, and leaves the rows alone', async (mode, counts) => {
    await sql(database.url, `create table c (code text primary key, name text); insert into c values ('a', 'A'), ('b', 'B')`);
    const end = await deployed(files(mode), { mode: 'rehearse' });
    expect(end.rehearsal?.steps[0]).toMatchObject({ path: 'c.csv', state: 'succeeded', result: counts });
    expect(await rowsOf('c')).toEqual(['(a,A)', '(b,B)']);
    expect(await pathsIn(database.url)).toEqual([]);
    const real = await deployed(files(mode));
    expect(real.phases[0]?.steps[0]?.result).toMatchObject(counts);
  });

  it('mode: insert names the row that a constraint refuses, as the deployment would', async () => {
    await sql(database.url, `create table c (code text primary key, name text); insert into c values ('c', 'old')`);
    const rehearsed = await send(files('insert'), { mode: 'rehearse' });
    const real = await send(files('insert'));
    expect(rehearsed).toMatchObject({ state: 'failed', error: { sqlstate: '23505', path: 'c.csv' } });
    expect(rehearsed.error?.message).toBe(real.error?.message);
    expect(await rowsOf('c')).toEqual(['(c,old)']);
  });
});

describe('data that comes back', () => {
  const release = (content: string, mode = 'sync', more: Files = {}, steps: readonly object[] = []): Files =>
    bundle([{ name: 'data', transaction: 'single', steps: [{ load: 'c.csv', into: 'c', mode, ...(mode === 'insert' ? {} : { key: ['code'] }) }, ...steps] }], {
      'c.csv': content,
      ...more,
    });

  beforeEach(() => sql(database.url, 'create table c (code text primary key, name text); create table d (code text primary key, name text)'));

  it('goes into its own table, also where another file has the same bytes', async () => {
    const both = (content: string): Files =>
      bundle([{ name: 'data', steps: ['d', 'c'].map((into) => ({ load: `${into}.csv`, into, mode: 'sync', key: ['code'] })) }], {
        'c.csv': content,
        'd.csv': content,
      });
    await deployed(both('code,name\na,A\n'));
    await deployed(both('code,name\nb,B\n'));
    await undone();
    expect([await rowsOf('c'), await rowsOf('d')]).toEqual([['(a,A)'], ['(a,A)']]);
  });

  it('does not where it was only added before: that has no undo, and it is said first', async () => {
    await deployed(release('code,name\na,A\n', 'insert'));
    await sql(database.url, `delete from weft._history`); // as if it had been another file's
    await deployed(release('code,name\na,A\n', 'upsert'));
    await deployed(release('code,name\na,AA\n', 'sync'));
    await expect(openUndo(database.url)).rejects.toMatchObject({ code: 'WF072', message: expect.stringContaining('c.csv') });
    expect(await rowsOf('c')).toEqual(['(a,AA)']);
  });

  it('that a constraint refuses leaves all as it was, and says which row', async () => {
    await deployed(release('code,name\na,A\nb,B\n'));
    await deployed(release('code,name\na,A\nc,C\n'));
    await sql(database.url, `alter table c add constraint no_b check (code <> 'b')`);
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'failed', error: { path: 'c.csv', sqlstate: '23514' } });
    expect(JSON.stringify(back.error)).toContain('no_b');
    expect(await rowsOf('c')).toEqual(['(a,A)', '(c,C)']);
  });
});

describe('an undo that is cut', () => {
  const views = (n: number): Files =>
    bundle(
      [
        {
          name: 'views',
          transaction: 'per-step',
          steps: [{ run: 'views/*.sql', repeat: 'on-change' }, { run: 'last.sql' }, { run: 'policies/*.sql', repeat: 'on-change' }].slice(0, n === 0 ? 1 : 3),
        },
      ],
      {
        'views/a.sql':
          n > 1 ? 'drop view if exists a cascade; create view a as select 1 as x, 2 as y' : `${AT_THE_GATE} create or replace view a as select 1 as x`,
        'views/b.sql': 'create or replace view b as select x from a',
        'last.sql': 'select 1',
        'policies/p.sql': `create or replace view p as select ${n} as n`,
      },
    );

  it('in the middle of what comes back goes on, and all of it comes back once', async () => {
    await deployed(views(1));
    const before = await fingerprint();
    const second = await deployed(views(2));
    const gate = await shutGate(database.url);
    const undoing = undoneByDrive(second.id);
    await gate.reached();
    await sql(database.url, 'select pg_terminate_backend(pid, 5000) from weft._lease');
    await gate.open();
    expect(await undoing).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
    expect(await fingerprint()).toBe(before);
    expect((await sql(database.url, `select count(*)::int as n from weft.events where kind = 'resumed'`))[0].n).toBe(1);
  });

  it('or cancelled there, it leaves what is not undone as it was, and another one goes on', async () => {
    await deployed(views(1));
    const before = await fingerprint();
    const second = await deployed(views(2));
    const gate = await shutGate(database.url);
    const undoing = undoneByDrive(second.id);
    await gate.reached();
    await sql(database.url, `select weft.cancel(id) from weft.deployments where undoes = '${second.id}'`);
    expect(await undoing).toMatchObject({ state: 'cancelled' });
    await gate.open();
    expect(await sql(database.url, 'select * from a')).toEqual([{ x: 1, y: 2 }]);
    expect(await undone()).toMatchObject({ compared: { verdict: 'same' } });
    expect(await fingerprint()).toBe(before);
  });

  it('what was put off and called back is not forgotten by whoever goes on', async () => {
    const release = (n: number): Files =>
      bundle(
        [
          { name: 'schema', transaction: 'single', steps: [{ run: 'schema/*.sql', undo: 'undo/*.sql' }] },
          { name: 'code', transaction: 'per-step', steps: [{ run: 'views/*.sql', repeat: 'on-change' }] },
        ],
        {
          'schema/1.sql': 'create table t (old int, z int)',
          'undo/1.sql': 'drop table t',
          ...(n === 1
            ? {}
            : { 'schema/2.sql': 'alter table t rename old to new', 'undo/2.sql': `${AT_THE_GATE} alter table t rename new to old; drop view u cascade` }),
          'views/u.sql': 'create or replace view u as select z from t',
          'views/v.sql': `create or replace view v as select ${n === 1 ? 'old' : 'new'} as n from t`,
        },
      );
    await deployed(release(1));
    const before = await fingerprint();
    const second = await deployed(release(2));
    const gate = await shutGate(database.url);
    const undoing = undoneByDrive(second.id);
    await gate.reached();
    await sql(database.url, 'select pg_terminate_backend(pid, 5000) from weft._lease');
    await gate.open();
    const back = await undoing;
    expect(back, JSON.stringify(back.error)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
    expect(await fingerprint()).toBe(before);
  });
});

describe('one undo after the other', () => {
  const release = (n: number): Files =>
    bundle([{ name: 'code', transaction: 'single', steps: [{ run: 'views/*.sql', repeat: 'on-change', undo: 'undo/*.sql' }] }], {
      'views/a.sql': `create or replace view a as select 0 as z${Array.from({ length: n }, (_, at) => `, ${at} as c${at}`).join('')}`,
      'views/b.sql': 'create or replace view b as select z from a',
      'undo/a.sql': 'drop view a',
      'undo/b.sql': 'drop view b',
    });

  it('goes back release by release, and forward again', async () => {
    const prints: string[] = [];
    for (const n of [1, 2, 3]) {
      await deployed(release(n));
      prints.push(await fingerprint());
    }
    for (const at of [1, 0]) {
      expect(await undone()).toMatchObject({ compared: { verdict: 'same' } });
      expect(await fingerprint()).toBe(prints[at]);
    }
    await deployed(release(3));
    expect(await fingerprint()).toBe(prints[2]);
    await undone();
    await undone();
    expect(await pathsIn(database.url)).toEqual([]);
  });
});

describe('files that may fail', () => {
  it('are not taken back where they failed, and their older content is what there is', async () => {
    const release = (n: number): Files =>
      bundle([{ name: 'code', transaction: 'single', on_error: 'continue', steps: [{ run: 'views/*.sql', repeat: 'on-change' }] }], {
        'views/a.sql': `create or replace view a as select ${n} as n`,
        'views/b.sql': n === 1 ? 'create or replace view b as select n from a' : 'create or replace view b as select nothing from a',
      });
    await deployed(release(1));
    const before = await fingerprint();
    await deployed(release(2), {}, 'degraded');
    const back = await undone();
    expect(back.phases[0].steps.filter(({ state }: { state: string }) => state === 'succeeded').map(({ path }: { path: string }) => path)).toEqual([
      'views/a.sql',
    ]);
    expect(await fingerprint()).toBe(before);
  });
});

describe('parameters', () => {
  it('a secret that older content names is needed again: without it nothing is opened, with it the content comes back', async () => {
    const release = (n: number): Files =>
      bundle(
        [{ name: 'code', transaction: 'single', steps: [{ run: 'f.sql', repeat: 'on-change' }] }],
        { 'f.sql': `create or replace view f as select ${n} as n, length(:'token') as l` },
        {
          parameters: { token: { type: 'text', secret: true }, region: { type: 'text', default: 'eu' } },
        },
      );
    await deployed(release(1), { secrets: { token: 'only-for-the-tests' } });
    const first = await fingerprint();
    await deployed(release(2), { secrets: { token: 'only-for-the-tests' }, parameters: { region: 'us' } });
    const before = await fingerprint();
    await expect(openUndo(database.url)).rejects.toMatchObject({ code: 'WF075', message: expect.stringContaining('"token", which is named in f.sql') });
    expect(await fingerprint()).toBe(before);
    const given = `select set_config('weft.secrets', '{"token": "only-for-the-tests"}', false)`;
    const back = (await sql(database.url, `${given}; select weft.undo() ->> 'deployment' as id`))[0].id;
    const result = await resume({ connect: connectOver(database.url), id: back, target: null, secrets: { token: 'only-for-the-tests' }, deadlineMs: 30_000 });
    expect(result).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
    expect(JSON.stringify(result)).not.toContain('only-for-the-tests');
    expect(await fingerprint()).toBe(first);
  });

  it('older content comes back with the values that it had then', async () => {
    const release = (): Files =>
      bundle(
        [{ name: 'code', transaction: 'single', steps: [{ run: 'f.sql', repeat: 'always' }] }],
        { 'f.sql': `create or replace view f as select :'region'::text as region` },
        {
          parameters: { region: { type: 'text', default: 'eu' } },
        },
      );
    await deployed(release());
    const before = await fingerprint();
    await deployed(release(), { parameters: { region: 'us' } });
    expect(await sql(database.url, 'select region from f')).toEqual([{ region: 'us' }]);
    expect(await undone()).toMatchObject({ compared: { verdict: 'same' } });
    expect(await sql(database.url, 'select region from f')).toEqual([{ region: 'eu' }]);
    expect(await fingerprint()).toBe(before);
  });
});

describe('the role of a phase', () => {
  it('drops and makes again what it owns, and what it had granted', async () => {
    const owner = `weft_test_owner_${randomBytes(6).toString('hex')}`;
    await sql(database.url, `create role "${owner}"; grant "${owner}" to current_user; create schema s; grant all on schema s to "${owner}"`);
    try {
      const release = (columns: string): Files =>
        bundle([{ name: 'code', transaction: 'per-step', role: owner, settings: { search_path: 's' }, steps: [{ run: 'views/*.sql', repeat: 'on-change' }] }], {
          'views/a.sql': `create or replace view a as select ${columns}; create or replace function f() returns text language sql as $$ select '${columns}'::text $$; revoke all on function f() from public`,
          'views/b.sql': 'create or replace view b as select x from a',
        });
      await deployed(release('1 as x'));
      await sql(database.url, `set role "${owner}"; grant select (x) on s.a to public; grant select on s.b to public`);
      const before = await fingerprint();
      await deployed(release('1 as x, 2 as y'));
      expect(await undone()).toMatchObject({ compared: { verdict: 'same' } });
      expect(await fingerprint()).toBe(before);
    } finally {
      await sql(database.url, `drop owned by "${owner}" cascade; drop role "${owner}"`);
    }
  });
});
