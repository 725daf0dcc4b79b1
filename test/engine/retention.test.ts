/**
 * What is kept, and for how long: bytes that nobody needs go when they are old, in small transactions; whatever undo, plans, receipts or a deployment
 * that is not over need stays, however old it is.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, makeOrder, openOrder, shutGate, stageFiles, stageOrder } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, `select weft.change_setting('kept_deployments_count', 1)`);
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
const view = (n: number): string => `create or replace view v as select ${n} as n;`;
const WEFT_YAML = JSON.stringify({ name: 'shop', phases: [{ name: 'main', steps: [{ run: '*.sql', repeat: 'on-change' }] }] });
const deploy = (files: Files, options: Parameters<typeof deployFiles>[2] = {}) => deployFiles(connectOver(database.url), files, options);
const deployView = (n: number) => deploy({ 'weft.yaml': WEFT_YAML, 'v.sql': view(n) });

/** Everything that has happened so far is so many days older. */
async function age(days: number): Promise<void> {
  const by = `- interval '${days} days'`;
  await sql(
    database.url,
    `update weft._deployments set created_at = created_at ${by}, staged_at = staged_at ${by}, started_at = started_at ${by}, finished_at = finished_at ${by};
     update weft._chunks set staged_at = staged_at ${by}; update weft._events set at = at ${by}; update weft._sweeps set swept_at = swept_at ${by}`,
  );
}

const sweep = async () => (await sql(database.url, 'call weft.sweep()'))[0].result;
const has = async (content: string): Promise<boolean> =>
  (await sql(database.url, `select exists (select from weft._chunks where digest = sha256(convert_to($1, 'UTF8'))) as it`, [content]))[0].it;

describe('bytes of files', () => {
  it('go when they are old, not in the history any more, and no undo gives them back', async () => {
    for (const n of [1, 2, 3, 4]) await deployView(n);
    await age(89);
    expect(await sweep()).toEqual({ chunks: 0, events: 0, requests: 0 });
    await age(2);
    expect(await sweep()).toEqual({ chunks: 2, events: 0, requests: 0 });
    expect(await Promise.all([1, 2, 3, 4].map((n) => has(view(n))))).toEqual([false, false, true, true]);
  });

  it('stay as long as their deployment is one of the newest of its bundle, whatever others do', async () => {
    await sql(database.url, `select weft.change_setting('kept_deployments_count', 3)`);
    for (const n of [1, 2, 3, 4]) await deployView(n);
    await deploy({ '1.sql': 'select 1;' }, { bundle: 'other' });
    await age(1000);
    await sweep();
    expect(await Promise.all([1, 2, 3, 4].map((n) => has(view(n))))).toEqual([false, true, true, true]);
  });

  it('that the history has stay: a change is shown as what it is after years', async () => {
    await deploy({ '1.sql': 'create table shelf (n integer);' });
    for (const n of [2, 3]) await deploy({ [`${n}.sql`]: `select ${n};` });
    await age(2000);
    await sweep();
    expect((await sql(database.url, `select convert_from(weft.kept_file('shop', '1.sql'), 'UTF8') as text`))[0].text).toBe('create table shelf (n integer);');
    const changed = await deploy({ '1.sql': 'create table shelf (n bigint);' });
    expect(changed.error).toMatchObject({ sqlstate: 'WF013', detail: expect.stringContaining('+create table shelf (n bigint);') });
  });

  it('that an undo needs stay: the newest is undone after years, and gives back what was before', async () => {
    const phases = [
      {
        name: 'main',
        steps: [
          { run: '1.sql', undo: 'undo/1.sql' },
          { run: 'v.sql', repeat: 'on-change' },
        ],
      },
    ];
    const files = { 'weft.yaml': JSON.stringify({ name: 'shop', phases }), '1.sql': 'create table shelf (n integer);', 'undo/1.sql': 'drop table shelf;' };
    await deploy({ ...files, 'v.sql': view(1) });
    await deploy({ ...files, 'v.sql': view(2) });
    await deploy({ ...files, 'v.sql': view(3) });
    await age(2000);
    expect(await sweep()).toMatchObject({ chunks: 1 });
    const undo = async () => {
      const [{ id }] = await sql(database.url, `select weft.undo() ->> 'deployment' as id`);
      return (await sql(database.url, `call weft.run('${id}')`))[0].result;
    };
    expect(await undo()).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, 'select n from v')).toEqual([{ n: 2 }]);
    await expect(undo(), 'what was before that is not kept, and it says so before anything is opened').rejects.toMatchObject({
      code: 'WF072',
      message: expect.stringContaining('no undo: v.sql'),
    });
    expect(await has('drop table shelf;')).toBe(true);
  });

  it('that take back what only an old deployment has brought stay: it is undone after years, though nothing newer has its files', async () => {
    const one = (n: number) => ({
      'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'main', steps: [{ run: `${n}.sql`, undo: `undo/${n}.sql` }] }] }),
      [`${n}.sql`]: `create table shelf_${n} (n integer);`,
      [`undo/${n}.sql`]: `drop table shelf_${n};`,
    });
    for (const n of [1, 2]) await deploy(one(n));
    await age(2000);
    await sweep();
    for (const n of [2, 1]) {
      const [{ id }] = await sql(database.url, `select weft.undo() ->> 'deployment' as id`);
      expect((await sql(database.url, `call weft.run('${id}')`))[0].result).toMatchObject({ state: 'succeeded' });
      expect(await sql(database.url, `select to_regclass('shelf_${n}') as shelf`)).toEqual([{ shelf: null }]);
    }
  });

  it('of a deployment that is not over stay; those of one whose files never all came go after a day, and are asked for again', async () => {
    const staged = await stageFiles(database.url, { '1.sql': 'select 1;' }, { bundle: 'staged' });
    await stageFiles(database.url, { '2.sql': 'select 2;' }, { bundle: 'staged' }); // which is the newest
    const order = await makeOrder({ '1.sql': 'select 11;', '2.sql': 'select 22;' }, { id: 'half', bundle: 'half' });
    const session = await connectOver(database.url)();
    const opened = await openOrder(session, order);
    await stageOrder(session, order, { ...opened, missing: opened.missing.slice(0, 1) });
    const came = async () => (await has('select 11;')) || (await has('select 22;'));
    expect(await sweep()).toMatchObject({ chunks: 0 });
    expect(await came()).toBe(true);
    await age(2);
    expect(await sweep()).toMatchObject({ chunks: 1 });
    expect([await has('select 1;'), await came()]).toEqual([true, false]);
    const again = await openOrder(session, order);
    expect(again).toMatchObject({ id: opened.id, state: 'open' });
    expect(again.missing).toHaveLength(2);
    await stageOrder(session, order, again);
    await session.close();
    expect((await sql(database.url, `call weft.run('${again.id}')`))[0].result).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, `select state from weft.deployments where id = '${staged}'`)).toEqual([{ state: 'succeeded' }]);
  });

  it('of what is half done stay, so that it goes on where it stopped', async () => {
    const half = { '1.sql': 'create table halfway (n integer); select 1 / 0;' };
    expect(await deploy(half, { transaction: 'none' })).toMatchObject({ state: 'failed' });
    for (const n of [2, 3]) await deploy({ [`${n}.sql`]: `select ${n};` });
    await age(2000);
    await sweep();
    expect(await has(half['1.sql'])).toBe(true);
  });

  it('of what was tolerated stay, with the checks behind it, so that it is tried again after years', async () => {
    const phases = [{ name: 'main', transaction: 'per-step', steps: [{ run: '1.sql', on_error: 'continue' }], checks: ['check.sql'] }];
    const files = {
      'weft.yaml': JSON.stringify({ name: 'shop', phases }),
      '1.sql': 'create table late as select * from missing;',
      'check.sql': 'select 1 where false',
    };
    const { id, state } = await deploy(files);
    expect(state).toBe('degraded');
    for (const n of [2, 3]) await deploy({ [`${n}.sql`]: `select ${n};` });
    await age(2000);
    await sweep();
    await sql(database.url, 'create table missing as select 1 as n');
    expect((await sql(database.url, `call weft.run('${id}', p_reopen => '{}')`))[0].result).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, 'select n from late')).toEqual([{ n: 1 }]);
  });

  it('are swept by hand beside a deployment at work, which neither waits nor lacks anything', async () => {
    for (const n of [1, 2, 3]) await deployView(n);
    await age(100);
    const id = await stageFiles(database.url, { '1.sql': AT_THE_GATE, '2.sql': view(1) }, { transaction: 'single' });
    const gate = await shutGate(database.url);
    const running = sql(database.url, `call weft.run('${id}')`);
    await gate.reached();
    expect(await sweep()).toMatchObject({ chunks: 0 }); // the one that is at work has it again
    await gate.open();
    expect((await running)[0].result).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, 'select n from v')).toEqual([{ n: 1 }]);
  });

  it('are not swept while somebody opens a deployment that counts on them', async () => {
    for (const n of [1, 2, 3]) await deployView(n);
    await age(100);
    const client = await database.client();
    await client.query('begin');
    const { order } = await makeOrder({ 'weft.yaml': WEFT_YAML, 'v.sql': view(1) });
    await client.query('select weft.open($1, $2) as opened', [order.request, JSON.stringify(order.manifest)]);
    expect(await sql(database.url, 'select * from weft._sweep_portion(false)')).toEqual([{ what: 'nothing yet', count: '0' }]);
    const swept = sweep();
    await client.query('commit');
    await client.end();
    expect(await swept).toMatchObject({ chunks: 0 });
    expect(await has(view(1))).toBe(true);
  });
});

describe('the journal and requests', () => {
  it('go after a year; the last word, what the status tells of it, the digests and the receipt stay', async () => {
    const first = await deploy({ '1.sql': 'select 1;' }, { id: 'first' });
    await deploy({ '1.sql': 'select 1;', '2.sql': 'select 2;' });
    const receipts = await sql(database.url, 'select * from weft._receipts order by written_at');
    await age(364);
    expect(await sweep()).toMatchObject({ events: 0, requests: 0 });
    await age(2);
    expect(await sweep()).toMatchObject({ events: expect.any(Number), requests: 1 });
    expect(await sql(database.url, `select kind from weft.events where deployment_id = '${first.id}' order by number`)).toEqual([
      { kind: 'opened' },
      { kind: 'succeeded' },
    ]);
    expect(await sql(database.url, 'select * from weft._receipts order by written_at')).toEqual(receipts);
    expect(await deploy({ '1.sql': 'select 1;' }, { id: 'first' })).toMatchObject({ id: first.id, receipt: first.receipt });
  });

  it('keep every end, and everybody who has accepted drift, however much came behind', async () => {
    const { id } = await deploy({ '1.sql': 'create table shelf (n integer);' });
    for (const column of ['a', 'b']) await sql(database.url, `alter table shelf add ${column} int; select weft.accept_drift()`);
    await deploy({ '1.sql': 'create table shelf (n integer);' });
    await age(366);
    await sweep();
    expect(
      await sql(database.url, `select kind, data -> 'objects' -> 0 ->> 'identity' as what from weft.events where deployment_id = $1 order by number`, [id]),
    ).toEqual([
      { kind: 'opened', what: null },
      { kind: 'succeeded', what: null },
      { kind: 'drift_accepted', what: 'public.shelf.a' },
      { kind: 'drift_accepted', what: 'public.shelf.b' },
    ]);
  });

  it('leave their digests to every later receipt: of what is opened again after years', async () => {
    const phases = [{ name: 'main', steps: [{ run: '1.sql', on_error: 'continue' }] }];
    const { id } = await deploy({ 'weft.yaml': JSON.stringify({ name: 'shop', phases }), '1.sql': 'select * from missing;' });
    await deploy({ '2.sql': 'select 2;' });
    await age(366);
    expect(await sweep()).toMatchObject({ requests: 1 });
    for (let end = 2; end <= 3; end++) await sql(database.url, `call weft.run('${id}', p_reopen => '{}')`);
    const requests = await sql(database.url, `select document::json -> 'request' as request from weft._receipts where deployment_id = $1 order by number`, [
      id,
    ]);
    expect(requests[0]?.request).toMatchObject({ size: expect.any(Number), sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(requests).toEqual(Array(3).fill(requests[0]));
  });
});

describe('a run sweeps when it is over', () => {
  it('once a day, and what it could not take away in its time is left to the next', async () => {
    for (const n of [1, 2, 3]) await deployView(n);
    await age(100);
    await deployView(4);
    expect([await has(view(1)), await has(view(2)), await has(view(3))]).toEqual([false, false, true]);
    await age(100);
    await sql(database.url, 'update weft._sweeps set swept_at = clock_timestamp()');
    await deployView(5);
    expect(await has(view(3))).toBe(true);
    await sql(database.url, `select weft.change_setting('sweep_every_hours', 0)`);
    await deployView(6);
    expect(await has(view(3))).toBe(false);
  });

  it('not while another deployment is staged', async () => {
    for (const n of [1, 2, 3]) await deployView(n);
    await age(100);
    const id = await stageFiles(database.url, { 'weft.yaml': WEFT_YAML, 'v.sql': view(4) });
    await stageFiles(database.url, { '1.sql': 'select 1;' }, { bundle: 'other' });
    await sql(database.url, `call weft.run('${id}')`);
    expect(await has(view(1))).toBe(true);
    await sql(database.url, 'call weft.run()');
    expect(await has(view(1))).toBe(false);
  });
});

describe('weft.change_setting', () => {
  it('is shown with who did it, gives the default back for null, and refuses what there is not', async () => {
    const set = async (name: string, value: string) => (await sql(database.url, `select weft.change_setting('${name}', ${value}) as now`))[0].now;
    expect(await set('kept_artifacts_days', '7')).toBe(7);
    expect(
      await sql(database.url, `select value, default_value, changed_by = session_user as mine from weft.settings where name = 'kept_artifacts_days'`),
    ).toEqual([{ value: 7, default_value: 90, mine: true }]);
    expect(await set('kept_artifacts_days', 'null')).toBe(90);
    await expect(set('kept_things_days', '1')).rejects.toMatchObject({ code: 'WF092', hint: expect.stringContaining('kept_artifacts_days') });
    await expect(set('kept_deployments_count', '0')).rejects.toMatchObject({ code: 'WF092', message: 'kept_deployments_count is 1 at least, not 0.' });
  });
});

describe('a deployment that somebody deletes by hand', () => {
  const stage = () =>
    stageFiles(database.url, {
      'weft.yaml': JSON.stringify({
        name: 'shop',
        parameters: { n: { type: 'integer', default: 1 } },
        phases: [{ name: 'main', steps: [{ run: '1.sql', undo: 'undo/1.sql' }, { run: '2.sql' }] }],
      }),
      '1.sql': 'create table shelf (n integer);',
      '2.sql': 'insert into shelf values (1);',
      'undo/1.sql': 'drop table shelf;',
    });
  /** Of each table that has rows of it: how many. */
  const rowsOf = async (id: string): Promise<Record<string, number>> => {
    const tables = await sql(
      database.url,
      `select c.oid::regclass::text as name from pg_class as c join pg_attribute as a on a.attrelid = c.oid
       where c.relnamespace = 'weft'::regnamespace and c.relkind = 'r' and a.attname = 'deployment_id' and c.relname <> '_lease'`,
    );
    const counted = await Promise.all(
      tables.map(
        async ({ name }) => [name, (await sql(database.url, `select count(*)::integer as n from ${name} where deployment_id = $1`, [id]))[0].n] as const,
      ),
    );
    return Object.fromEntries(counted.filter(([, n]) => n > 0));
  };

  it('takes along all that is its own, and nothing of another one', async () => {
    const ids = [await stage(), await stage()] as const;
    for (const id of ids) {
      await sql(database.url, `insert into weft._statements (deployment_id, step, number, line, digest, statement) values ($1, 1, 1, 1, '', '')`, [id]);
    }
    const before = await rowsOf(ids[0]);
    expect(before).toMatchObject({
      'weft._artifacts': 3,
      'weft._steps': 2,
      'weft._statements': 1,
      'weft._phases': 1,
      'weft._parameters': 1,
      'weft._events': 2,
    });
    await sql(database.url, 'delete from weft._deployments where id = $1', [ids[0]]);
    expect(await rowsOf(ids[0])).toEqual({});
    expect(await rowsOf(ids[1])).toEqual(before);
  });

  it.each(['deployment_id', 'bytes_in'])('stays as long as the history names it as %s', async (column) => {
    await deploy({ '0.sql': 'select 0;' });
    const id = await stage();
    const before = await rowsOf(id);
    await sql(database.url, `update weft._history set ${column} = $1`, [id]);
    await expect(sql(database.url, 'delete from weft._deployments where id = $1', [id])).rejects.toMatchObject({ code: '23503' });
    expect(await rowsOf(id)).toMatchObject(before);
  });

  it.each([
    ['what has run', 'continue', 'create table shelf (n integer);'],
    ['an event', 'stop', 'begin; create table shelf (n integer); commit;'],
  ])('stays as long as a transaction that runs has written down %s of it', async (_, on_error, first) => {
    const gate = await shutGate(database.url);
    const steps = [{ run: '1.sql', on_error }, { run: '2.sql' }];
    const run = deploy({
      'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'main', transaction: 'single', steps }] }),
      '1.sql': first,
      '2.sql': AT_THE_GATE,
    });
    await gate.reached();
    let end: string | undefined;
    const deletion = sql(database.url, 'delete from weft._deployments').then(
      () => (end = 'deleted'),
      ({ code }) => (end = code),
    );
    const isWaiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query ~ '^delete'`;
    await expect.poll(async () => end ?? (await sql(database.url, isWaiting)).length).toBe(1);
    await gate.open();
    expect((await run).state).toBe('succeeded');
    await deletion;
    expect(end).toBe('23503');
    expect(await sql(database.url, 'select path from weft._history order by path')).toEqual([{ path: '1.sql' }, { path: '2.sql' }]);
  });
});
