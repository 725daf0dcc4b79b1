/** Asking for the end of a deployment: from any session, in any state, with nobody waiting for the runner. */
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cancel } from '../../src/deployment/cancel.ts';
import { resume } from '../../src/deployment/resume.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { AT_THE_GATE, connectOver, deployFiles, type Gate, makeOrder, type OrderOptions, openOrder, shutGate, stageFiles, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table journal (n int); create table wanted (n int)');
});

afterEach(async () => {
  await database.drop();
});

const entry = (n: number, more = '') => `insert into journal values (${n}); ${more}`;
const files = (second: string) => ({ '1.sql': entry(1), '2.sql': entry(2, second), '3.sql': entry(3) });
const journal = async () => (await sql(database.url, 'select n from journal order by n')).map(({ n }) => n);

// biome-ignore lint/suspicious/noExplicitAny: the document of weft.status
const call = async (id: string): Promise<any> => (await sql(database.url, `call weft.run('${id}')`))[0].result;
// biome-ignore lint/suspicious/noExplicitAny: the document of weft.status
const request = async (id: string): Promise<any> => (await sql(database.url, `select weft.cancel('${id}', 'somebody') as answer`))[0].answer;

/** A CALL that stands at the gate in the second file; from a client that is given, so that it can be lost. */
async function runnerAtTheGate(options: OrderOptions = {}): Promise<{ id: string; gate: Gate; client: pg.Client; running: Promise<unknown> }> {
  const id = await stageFiles(database.url, files(AT_THE_GATE), options);
  const gate = await shutGate(database.url);
  const client = await database.client();
  const running = client.query(`call weft.run('${id}')`).then(({ rows }) => rows[0].result);
  running.catch(() => undefined);
  await gate.reached();
  return { id, gate, client, running };
}

const CANCELLED = { state: 'cancelled', error: { sqlstate: '57014', message: 'Cancelled by somebody.' } };

describe('a deployment that nobody runs is cancelled at once', () => {
  it('while it is open; what was staged of it is of no use to it any more', async () => {
    const session = await connectOver(database.url)();
    const { id } = await openOrder(session, await makeOrder(files('')));
    await session.close();
    expect(await request(id)).toMatchObject({ ...CANCELLED, started_at: null });
    expect(await call(id)).toMatchObject(CANCELLED);
    expect(await journal()).toEqual([]);
  });

  it('while it is staged', async () => {
    const id = await stageFiles(database.url, files(''));
    expect(await request(id)).toMatchObject({ ...CANCELLED, started_at: null });
    expect(await call(id)).toMatchObject(CANCELLED);
    expect(await journal()).toEqual([]);
  });

  it('while another one is running, which is left alone', async () => {
    const { id, gate, client, running } = await runnerAtTheGate();
    const waiting = await stageFiles(database.url, { '4.sql': entry(4) }, { bundle: 'other' });
    expect(await request(waiting)).toMatchObject(CANCELLED);
    await gate.open();
    expect(await running).toMatchObject({ id, state: 'succeeded' });
    await client.end();
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it('after its runner has died', async () => {
    const { id, gate, running } = await runnerAtTheGate();
    await sql(database.url, 'select pg_terminate_backend(pid, 10000) from weft._lease');
    await expect(running).rejects.toThrow();
    await gate.open();
    expect(await request(id)).toMatchObject({ ...CANCELLED, started_at: expect.any(String) });
    expect(await journal(), 'what it had done stays').toEqual([1]);
    expect(await call(id)).toMatchObject(CANCELLED);
  });
});

describe('a deployment that is over', () => {
  it.each(['succeeded', 'failed', 'cancelled'])('stays %s', async (state) => {
    const id = await stageFiles(database.url, files(state === 'failed' ? 'select 1/0' : ''));
    if (state === 'cancelled') await sql(database.url, `select weft.cancel('${id}', 'earlier')`);
    const before = await call(id);
    expect(before.state).toBe(state);
    expect(await request(id)).toEqual(before);
  });

  it('or that there is none, is said', async () => {
    await stageFiles(database.url, files(''));
    await expect(request('00000000-0000-0000-0000-000000000000')).rejects.toMatchObject({ code: 'WF002' });
  });
});

describe('a deployment at work', () => {
  it('is ended in the middle of a statement; what was done before it stays (per-step)', async () => {
    const { id, gate, client, running } = await runnerAtTheGate();
    expect(await request(id)).toMatchObject({ cancelling: true });
    expect(await running, 'the statement is not waited for').toMatchObject({
      ...CANCELLED,
      phases: [{ steps: [{ state: 'succeeded' }, { state: 'pending' }, { state: 'pending' }] }],
    });
    await Promise.all([gate.open(), client.end()]);
    expect(await journal()).toEqual([1]);
    const events = await sql(database.url, 'select kind from weft.events order by number');
    expect(events.at(-1)).toEqual({ kind: 'cancelled' });
  });

  it('vanishes as a whole (single)', async () => {
    const { id, gate, client, running } = await runnerAtTheGate({ transaction: 'single' });
    await request(id);
    expect(await running).toMatchObject(CANCELLED);
    await Promise.all([gate.open(), client.end()]);
    expect(await journal()).toEqual([]);
  });

  it('is ended although its client is gone', async () => {
    const { id, gate, client } = await runnerAtTheGate();
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await request(id);
    await until(database.url, `(select state from weft.deployments) = 'cancelled'`);
    await gate.open();
    expect(await journal()).toEqual([1]);
  });

  it('is ended between two tries, while it waits for a lock that is not to be had', async () => {
    const id = await stageFiles(database.url, files('lock table wanted;'), { lockTimeout: '10ms' });
    const locker = await database.client();
    await locker.query('begin; lock table wanted');
    const running = call(id);
    running.catch(() => undefined);
    await until(database.url, `(select count(*) from weft.events where kind = 'lock_not_available') >= 4`);
    await until(database.url, `exists (select from pg_stat_activity as a join weft._lease as l using (pid) where a.wait_event = 'PgSleep')`);
    await request(id);
    expect(await running).toMatchObject(CANCELLED);
    await locker.end();
    expect(await journal()).toEqual([1]);
  });

  it('is ended between two statements of a file that swallows the signal', async () => {
    const swallows = `do $$ begin perform pg_advisory_xact_lock_shared(47); exception when query_canceled then null; end $$; select 1;`;
    const id = await stageFiles(database.url, files(swallows));
    const gate = await shutGate(database.url);
    const running = call(id);
    await gate.reached();
    await request(id);
    expect(await running).toMatchObject(CANCELLED);
    await gate.open();
    expect(await journal(), 'the file that had swallowed it came to its end').toEqual([1, 2]);
  });

  it('is ended by the next runner, when its own died of the signal', async () => {
    const { id, gate, running } = await runnerAtTheGate();
    // The request alone, as if the signal had met the runner where it cannot be caught.
    await sql(
      database.url,
      `insert into weft._cancellations (deployment_id, caller) values ('${id}', 'somebody'); select pg_terminate_backend(pid, 10000) from weft._lease`,
    );
    await expect(running).rejects.toThrow();
    await gate.open();
    expect(await call(id)).toMatchObject(CANCELLED);
    expect(await journal()).toEqual([1]);
  });

  it('ends one, and the next in line goes on', async () => {
    const { id, gate, client, running } = await runnerAtTheGate();
    const next = await stageFiles(database.url, { '4.sql': entry(4) }, { bundle: 'other' });
    const nextRunning = resume({ connect: connectOver(database.url), id: next, target: null, deadlineMs: 50_000 });
    await until(database.url, `weft.status('${next}') ->> 'ahead' like '%${id}%'`);
    await request(id);
    expect(await running).toMatchObject(CANCELLED);
    expect(await nextRunning).toMatchObject({ state: 'succeeded' });
    await Promise.all([gate.open(), client.end()]);
    expect(await journal()).toEqual([1, 4]);
  });
});

describe('a client that went without a word before the commit of its request', () => {
  // Parse, Bind and Execute, and no Sync: as if the network had swallowed it.
  async function ask(text: string): Promise<pg.Client> {
    const client = await database.client();
    // biome-ignore lint/suspicious/noExplicitAny: the driver's own connection
    const { connection } = client as any;
    connection.parse({ text });
    connection.bind({});
    connection.execute({});
    connection.flush();
    await until(
      database.url,
      `exists (select from pg_stat_activity where pid = ${(client as unknown as { processID: number }).processID} and backend_xid is not null and wait_event = 'ClientRead')`,
    );
    return client;
  }

  it.each(['cancel', 'open'])('is in nobody’s way: its session is ended by the next CALL, or the next order (%s)', async (what) => {
    const id = await stageFiles(database.url, files(''));
    const order = await makeOrder({ '4.sql': entry(4) }, { bundle: 'other', id: 'the-same' });
    const { request: body } = order.order;
    const lost = await ask(what === 'cancel' ? `select weft.cancel('${id}')` : `select weft.open('\\x${Buffer.from(body).toString('hex')}')`);
    await sql(
      database.url,
      `alter function weft._limit(text) rename to _limit_of_old;
       create function weft._limit(text) returns int language sql as $$ select case $1 when 'client_silence_seconds' then 0 else weft._limit_of_old($1) end $$;
       select weft._note_other_parts()`,
    );
    if (what === 'cancel') {
      expect(await call(id)).toMatchObject({ state: 'succeeded', cancelling: false });
    } else {
      const session = await connectOver(database.url)();
      expect(await openOrder(session, order)).toMatchObject({ repeated: false, state: 'open' });
      await session.close();
    }
    await lost.end().catch(() => undefined);
  });

  it('is in no concurrent build’s way, with no more than a snapshot: whoever follows the deployment ends its session', async () => {
    await setLimits(database.url, { client_silence_seconds: 3 });
    const lost = await database.client();
    // biome-ignore lint/suspicious/noExplicitAny: the driver's own connection
    const { connection, processID } = lost as any;
    connection.parse({ text: 'select weft.version() as engine, pg_backend_pid() as backend' });
    connection.bind({});
    connection.flush();
    await until(database.url, `exists (select from pg_stat_activity where pid = ${processID} and backend_xmin is not null and wait_event = 'ClientRead')`);
    const built = { '1.sql': 'create table built (i int);', '2.sql': 'create index concurrently built_i on built (i);' };
    expect(await deployFiles(connectOver(database.url), built, { transaction: 'auto' })).toMatchObject({ state: 'succeeded', error: null });
    expect(await sql(database.url, `select from pg_stat_activity where pid = ${processID}`)).toEqual([]);
    await lost.end().catch(() => undefined);
  });

  it('is not taken for somebody whose client is at work, whatever stands in the statement', async () => {
    await setLimits(database.url, { client_silence_seconds: 0 });
    await sql(database.url, 'create table restored (n int)');
    const client = await database.client();
    // biome-ignore lint/suspicious/noExplicitAny: the driver's own connection
    const { connection, processID } = client as any;
    connection.query('copy restored from stdin -- weft.yaml names it too');
    await until(database.url, `exists (select from pg_stat_activity where pid = ${processID} and backend_xmin is not null and wait_event = 'ClientRead')`);
    await sql(database.url, 'select weft.end_lost_sessions()');
    expect(await sql(database.url, `select pid from pg_stat_activity where pid = ${processID}`)).toEqual([{ pid: processID }]);
    await client.end().catch(() => undefined);
  });
});

it('a request that comes when everything has run changes nothing', async () => {
  const id = await stageFiles(database.url, files(''));
  await sql(
    database.url,
    `update weft._deployments set state = 'running', started_at = now();
     update weft._steps set state = 'succeeded'; update weft._phases set state = 'succeeded';
     insert into weft._cancellations (deployment_id, caller) values ('${id}', 'somebody')`,
  );
  expect(await call(id)).toMatchObject({ state: 'succeeded', error: null });
});

describe('a signal of a stranger', () => {
  it('interrupts, and cancels nothing: the deployment can be resumed', async () => {
    const { id, gate, client, running } = await runnerAtTheGate();
    await sql(database.url, 'select pg_cancel_backend(pid) from weft._lease');
    expect(await running).toMatchObject({ state: 'running', error: null, interrupted: { sqlstate: '57014', phase: 'main', path: '2.sql' } });
    expect((await sql(database.url, 'select pid from weft._lease'))[0].pid, 'the lease is given back').toBeNull();
    await Promise.all([gate.open(), client.end()]);
    expect(await call(id)).toMatchObject({ state: 'succeeded', phases: [{ attempts: 2 }] });
    expect(await journal()).toEqual([1, 2, 3]);
  });
});

describe('the drive', () => {
  it('cancels, and comes back when it is done', async () => {
    const { id, gate, client, running } = await runnerAtTheGate();
    const options = { connect: connectOver(database.url), id, caller: 'somebody', target: null };
    expect(await cancel(options)).toMatchObject(CANCELLED);
    expect(await running).toMatchObject(CANCELLED);
    expect(await cancel(options), 'once more').toMatchObject(CANCELLED);
    await Promise.all([gate.open(), client.end()]);
  });

  it('that follows the deployment reports that it was cancelled', async () => {
    const id = await stageFiles(database.url, files(AT_THE_GATE));
    const gate = await shutGate(database.url);
    const following = resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 50_000 });
    await gate.reached();
    await request(id);
    expect(await following).toMatchObject(CANCELLED);
    await gate.open();
  });
});

it.each([
  ['PL/pgSQL function weft._parses(text) line 7 at RAISE\nPL/pgSQL function weft._lay_out_statements(uuid) line 9 at PERFORM', true],
  ['PL/pgSQL function inline_code_block line 1 at SQL statement', true],
  ['PL/pgSQL function inline_code_block line 1 at RAISE\nPL/pgSQL function weft._run_steps(uuid) line 9 at EXECUTE', false],
  ['PL/pgSQL function public.weft_like() line 3 at RAISE', false],
])('a signal that meets the engine where it raises something is no error of a file, and what a file raises is: %s', async (context, is_interruption) => {
  expect(await sql(database.url, `select weft._is_interruption('57014', $1) as is_interruption`, [context])).toEqual([{ is_interruption }]);
});
