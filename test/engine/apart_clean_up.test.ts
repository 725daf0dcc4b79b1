/** What a statement outside of a transaction has left half-made is taken away, however long that has to wait and however often somebody asks; or said. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cancel } from '../../src/deployment/cancel.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, shutGate, stageFiles, until } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { expectNothingHalfMade, type Holder, hold } from './cells.ts';

let database: TestDatabase;
let url: string;
let holder: Holder | undefined;

beforeEach(async () => {
  database = await freshDatabase();
  url = database.url;
  await sql(
    url,
    `create table t (a int primary key, b char(9), c int); create index t_b on t (b); create index t_c on t (c); insert into t select n from generate_series(1, 9) as n`,
  );
});

afterEach(async () => {
  await holder?.end();
  holder = undefined;
  await database.drop();
});

const BUILD = 'create index concurrently t_new on t (c)';
const DIRECTIVE_WAITS = `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where l.directive_at is not null and a.wait_event_type = 'Lock')`;
const DROP_WAITS = `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where a.wait_event_type = 'Lock' and a.query ~ '^drop index')`;

const eventsOf = async (kind: string) => (await sql(url, 'select data from weft.events where kind = $1 order by at, number', [kind])).map(({ data }) => data);
const request = async (id: string) => (await sql(url, `select weft.cancel('${id}', 'somebody') as answer`))[0].answer;
const status = async (id: string) => (await sql(url, `select weft.status('${id}') as answer`))[0].answer;
const holderPid = () => (holder as unknown as { processID: number }).processID;

interface Held {
  readonly id: string;
  readonly ended: Promise<Deployment>;
}

/** Deploys a file whose statement waits for somebody who has changed the table and does not end. */
async function heldAtWork(file: string): Promise<Held> {
  holder = await hold(url, 'update t set c = 1');
  const ended = deployFiles(connectOver(url), { '1.sql': file }, { transaction: 'none' });
  ended.catch(() => undefined);
  await until(url, DIRECTIVE_WAITS, 'it is at work');
  const [{ id }] = await sql(url, 'select id from weft.deployments');
  return { id, ended };
}

async function letGo(): Promise<void> {
  await holder?.end();
  holder = undefined;
}

/** Cancelled, with an invalid index in the database and nobody at work. */
async function leaveOrphan(): Promise<string> {
  holder = await hold(url, 'update t set c = 1');
  const id = await stageFiles(url, { '1.sql': `select 1;\n${BUILD};\nselect 2;` }, { transaction: 'none' });
  const runner = await database.client();
  const { directive } = (await runner.query(`call weft.run('${id}')`)).rows[0].result;
  const built = runner.query(directive.statement).catch(() => undefined);
  await until(url, DIRECTIVE_WAITS, 'it is at work');
  await sql(url, 'select pg_terminate_backend(pid, 10000) from weft._lease');
  await built;
  await letGo();
  expect(await request(id)).toMatchObject({ state: 'running', cancelling: true });
  return id;
}

async function limit(name: string, value: number): Promise<void> {
  await sql(
    url,
    `alter function weft._limit(text) rename to _limit_of_old;
     create function weft._limit(text) returns int language sql as $$ select case $1 when '${name}' then ${value} else weft._limit_of_old($1) end $$;
     select weft._note_other_parts()`,
  );
}

describe.each([
  ['create index concurrently', BUILD, 1],
  ['reindex table concurrently', 'reindex table concurrently t', 3],
])('%s, cancelled while somebody holds the table', (_, file, drops) => {
  it('waits with the drop, and nothing is left, however often somebody asks', async () => {
    const { id, ended } = await heldAtWork(file);
    await request(id);
    await until(url, DROP_WAITS, 'the drop waits');
    for (let n = 0; n < 15; n++) {
      expect(await request(id)).toMatchObject({ state: 'running', cancelling: true });
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    expect(await eventsOf('remains_being_dropped')).toMatchObject([{ waits_for: [{ pid: holderPid(), application: 'the holder' }] }]);
    await letGo();
    expect(await ended).toMatchObject({ id, state: 'cancelled', error: { message: 'Cancelled by somebody.' } });
    await expectNothingHalfMade(url);
    expect((await eventsOf('remains_being_dropped')).length).toBe(drops);
    expect(await eventsOf('leftover')).toEqual([]);
  });
});

it('the drop does not share the impatience of the file', async () => {
  await deployFiles(connectOver(url), { '0.sql': 'select 0' });
  await limit('directive_attempts_count', 1);
  holder = await hold(url, 'update t set c = 1');
  const ended = deployFiles(connectOver(url), { '1.sql': `set lock_timeout = '100ms'; ${BUILD}` }, { transaction: 'none' });
  await until(
    url,
    DROP_WAITS.replace("~ '^drop index'", "~ '^drop index' and a.query_start < clock_timestamp() - interval '0.5 s'"),
    'the drop has waited for longer than that',
  );
  await letGo();
  expect(await ended).toMatchObject({ state: 'failed', error: { sqlstate: '55P03' } });
  expect((await eventsOf('remains_being_dropped')).length).toBe(1);
  await expectNothingHalfMade(url);
});

describe('the drive that cancels', () => {
  it('stops waiting before the drop does, and says what it waits for; asked again, it comes back when it is done', async () => {
    const { id, ended } = await heldAtWork(BUILD);
    const seen: Deployment[] = [];
    const options = { connect: connectOver(url), id, caller: 'somebody', target: null, deadlineMs: 1_500 };
    const left = await cancel({ ...options, onStatus: (deployment) => seen.push(deployment) });
    expect(left).toMatchObject({
      state: 'running',
      cancelling: true,
      cleaning: { path: '1.sql', line: 1, sent: 'drop index concurrently public.t_new', error: { message: 'Cancelled by somebody.' } },
      live: { blocked_by: [holderPid()] },
    });
    expect(seen.length).toBeGreaterThan(1);
    expect((await eventsOf('remains_being_dropped')).length).toBe(1);
    await letGo();
    expect(await ended).toMatchObject({ state: 'cancelled' });
    expect(await cancel(options)).toMatchObject({ state: 'cancelled', cleaning: null });
    await expectNothingHalfMade(url);
  });

  it('and clears up itself, where nobody is at work any more, leaves the drop to the server, and the end to whoever comes next', async () => {
    const id = await leaveOrphan();
    holder = await hold(url, 'update t set c = 1');
    const options = { connect: connectOver(url), id, caller: 'somebody', target: null, deadlineMs: 1_500 };
    expect(await cancel(options)).toMatchObject({ state: 'running', cancelling: true, cleaning: { path: '1.sql' }, live: { blocked_by: [holderPid()] } });
    expect((await status(id)).live, 'the server needs nobody for it').toMatchObject({ blocked_by: [holderPid()] });
    await letGo();
    await until(url, `not ${DROP_WAITS}`);
    expect(await cancel({ ...options, deadlineMs: undefined })).toMatchObject({ state: 'cancelled' });
    await expectNothingHalfMade(url);
  });
});

it('whoever works on the table is waited for before the drop, and named', async () => {
  const id = await leaveOrphan();
  holder = await hold(url, 'lock table t in share mode');
  const options = { connect: connectOver(url), id, caller: 'somebody', target: null, deadlineMs: 1_500 };
  expect(await cancel(options)).toMatchObject({
    state: 'running',
    cancelling: true,
    live: { waiting_for: 'others at work on public.t', blocked_by: [holderPid()] },
  });
  for (let n = 0; n < 15; n++) await request(id);
  await letGo();
  await until(url, `(select state from weft.deployments) = 'cancelled' or weft.status('${id}') -> 'live' = 'null'`);
  expect(await cancel(options)).toMatchObject({ state: 'cancelled', error: { message: 'Cancelled by somebody.' } });
  await expectNothingHalfMade(url);
});

describe('a signal that meets the drop all the same', () => {
  it('is no try of it: it is made again, as often as that may be', async () => {
    const { id, ended } = await heldAtWork(BUILD);
    await request(id);
    for (let n = 0; n < 12; n++) {
      await until(url, `${DROP_WAITS} and (select count(*) from weft.events where kind = 'remains_being_dropped') = ${n + 1}`, `drop ${n + 1} waits`);
      await sql(url, 'select pg_cancel_backend(pid) from weft._lease');
    }
    await letGo();
    expect(await ended).toMatchObject({ state: 'cancelled' });
    await expectNothingHalfMade(url);
  });
});

describe('a statement that failed by itself', () => {
  const UNIQUE = `select 1;\n\ncreate unique index concurrently t_new on t (b)`;

  /** It has failed, and somebody who came meanwhile keeps what it has left from being dropped. */
  async function heldCleaning(): Promise<Held> {
    await sql(url, `update t set b = 'the same'`);
    // two: the build waits for the first, and fails; by then the second has come, for whom the drop waits
    const first = await hold(url, 'update t set c = 1 where a = 1');
    const ended = deployFiles(connectOver(url), { '1.sql': UNIQUE }, { transaction: 'none' });
    ended.catch(() => undefined);
    await until(url, DIRECTIVE_WAITS, 'it is at work');
    holder = await hold(url, 'select * from t');
    await first.end();
    await until(url, DROP_WAITS, 'the drop waits');
    const [{ id }] = await sql(url, 'select id from weft.deployments');
    return { id, ended };
  }

  it('is shown with its error while what it left is being taken away', async () => {
    const { id, ended } = await heldCleaning();
    expect(await status(id)).toMatchObject({
      state: 'running',
      cancelling: false,
      cleaning: { path: '1.sql', line: 3, sent: 'drop index concurrently public.t_new', error: { sqlstate: '23505', path: '1.sql', line: 3 } },
      live: { blocked_by: [holderPid()] },
    });
    await letGo();
    expect(await ended).toMatchObject({ state: 'failed', error: { sqlstate: '23505', path: '1.sql', line: 3 }, cleaning: null });
    await expectNothingHalfMade(url);
  });

  it('and cancelled then, is told of in the account of the cancellation', async () => {
    const { id, ended } = await heldCleaning();
    await request(id);
    await request(id);
    await letGo();
    const { state, error } = await ended;
    expect(state).toBe('cancelled');
    expect(error?.detail).toBe(
      'What had ended before stays. Of 1.sql, which ran statement by statement, 1 of 2 statements is in the database (line 1); the one in line 3 had failed before, and has left nothing half-made: 23505: could not create unique index "t_new".',
    );
    await expectNothingHalfMade(url);
  });

  it('interrupted by a stranger while that is so, goes on with the next CALL', async () => {
    const { id, ended } = await heldCleaning();
    await sql(url, 'select pg_cancel_backend(pid) from weft._lease');
    expect(await ended).toMatchObject({ state: 'running', cleaning: { error: { sqlstate: '23505' }, sent: null }, live: null });
    await letGo();
    const [{ result }] = await sql(url, `call weft.run('${id}')`);
    expect(result.directive.statement).toBe('drop index concurrently public.t_new');
    await sql(url, 'update weft._lease set directive_at = null, pid = null, backend_start = null, query_start = null');
    expect(await cancel({ connect: connectOver(url), id, caller: 'somebody', target: null })).toMatchObject({ state: 'cancelled' });
    await expectNothingHalfMade(url);
  });
});

describe('what cannot be taken away', () => {
  const REMAINS = [{ object: 'public.t_new', statement: 'drop index concurrently public.t_new' }];

  async function expectTold(ended: Deployment): Promise<void> {
    expect(ended).toMatchObject({ state: 'cancelled', error: { message: 'Cancelled by somebody.', remains: REMAINS } });
    expect(ended.error?.detail).toContain(
      '1 of 3 statements is in the database (line 1); the one in line 2 was ended at work, and has left something half-made; from line 3 on nothing has run.',
    );
    expect(ended.error?.detail).toContain('Half-made, and still in the database: public.t_new.');
    expect(ended.error?.hint).toBe('To take it away: drop index concurrently public.t_new; or deploy the same file again, which does it first.');
    expect(await eventsOf('leftover')).toMatchObject([{ remains: REMAINS }]);
  }

  it('because it was tried too often, is named with the statement that does it, and goes with the next deployment of the file', async () => {
    const id = await leaveOrphan();
    await limit('directive_attempts_count', 0);
    const ended = await cancel({ connect: connectOver(url), id, caller: 'somebody', target: null });
    await expectTold(ended);
    await sql(url, `drop function weft._limit; alter function weft._limit_of_old(text) rename to _limit; select weft._note_other_parts()`);
    expect(await deployFiles(connectOver(url), { '1.sql': `select 1;\n${BUILD};\nselect 2;` }, { transaction: 'none' })).toMatchObject({ state: 'succeeded' });
    await expectNothingHalfMade(url);
  });

  it.runIf(offers('a superuser'))('because the table belongs to another role now, is named with what the server said, after one try', async () => {
    if (database.superuserUrl === null) throw new Error('there is no superuser');
    const id = await leaveOrphan();
    await sql(database.superuserUrl, 'alter table t owner to current_user; alter schema public owner to current_user');
    const ended = await cancel({ connect: connectOver(url), id, caller: 'somebody', target: null });
    await expectTold(ended);
    expect(ended.error?.detail).toContain('Dropping it failed: 42501: must be owner');
    expect((await eventsOf('remains_being_dropped')).length).toBe(1);
  });

  it.runIf(offers('a superuser'))('because it is of TOAST, is named with who may drop it; what else there is goes', async () => {
    await sql(url, 'alter table t add column d text');
    const { id, ended } = await heldAtWork('reindex table concurrently t');
    await request(id);
    await until(url, DROP_WAITS, 'the drop waits');
    await letGo();
    const { state, error } = await ended;
    expect(state).toBe('cancelled');
    await expectNothingHalfMade(url);
    const [{ name }] = await sql(url, `select indexrelid::regclass::text as name from pg_index where not indisvalid`);
    expect(error?.remains).toEqual([{ object: name, statement: `drop index concurrently ${name}`, needs: 'superuser' }]);
    expect(error?.detail).toContain(`Half-made, and still in the database: ${name}.`);
    expect(error?.hint).toBe(`Only a superuser may drop an index of TOAST: drop index concurrently ${name}.`);
    await sql(database.superuserUrl ?? '', `drop index concurrently ${name}`);
  });

  it('because the deployment died too often, is named as well', async () => {
    const id = await leaveOrphan();
    await sql(url, `update weft._deployments set deaths = 4; update weft._attempts set ended_at = null, outcome = null`);
    const ended = await cancel({ connect: connectOver(url), id, caller: 'somebody', target: null });
    expect(ended).toMatchObject({ state: 'failed', error: { sqlstate: 'WF018', remains: REMAINS } });
    expect(ended.error?.hint).toContain('To take it away: drop index concurrently public.t_new;');
  });
});

describe('the account of a cancellation', () => {
  it.each([
    [
      'between two statements',
      `select 1;\nselect 2;\nselect pg_advisory_xact_lock_shared(47);\nselect 4;`,
      '2 of 4 statements are in the database (lines 1 to 2); from line 3 on nothing has run.',
    ],
    ['in the first one', `select pg_advisory_xact_lock_shared(47);\nselect 4;`, 'none of 2 statements is in the database; from line 1 on nothing has run.'],
  ])('of a file that runs statement by statement says what of it stays: %s', async (_where, file, said) => {
    const gate = await shutGate(url);
    const id = await stageFiles(url, { '1.sql': file }, { transaction: 'none' });
    const running = sql(url, `call weft.run('${id}')`);
    await gate.reached();
    await request(id);
    const [{ result }] = await running;
    expect(result.error.detail).toBe(`What had ended before stays. Of 1.sql, which ran statement by statement, ${said}`);
    await gate.open();
  });
});
