/**
 * One runner, always: the races of two CALLs, each made certain by a lock or a stopped process, or repeated many times. What proves
 * it is a journal without a key: a step that ran twice is there twice.
 */
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, COMMIT_FAILS, shutGate, stageFiles, until } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let clients: pg.Client[];

beforeEach(async () => {
  database = await freshDatabase();
  clients = [];
});

afterEach(async () => {
  for (const client of clients) await client.end().catch(() => undefined);
  await database.drop();
});

async function newClient(): Promise<pg.Client> {
  const client = await database.client();
  clients.push(client);
  return client;
}

/** The CALL, from a session of node-postgres. */
// biome-ignore lint/suspicious/noExplicitAny: the document of weft.status, with what the CALL adds
async function call(client: pg.Client, id: string): Promise<any> {
  return (await client.query(`call weft.run('${id}')`)).rows[0].result;
}

async function superuser(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.superuserUrl ?? '' });
  client.on('error', () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}

const pidOf = (client: pg.Client): number => (client as unknown as { processID: number }).processID;

/** Steps that each write a line into the journal. */
function journal(count: number, more: Readonly<Record<number, string>> = {}): Record<string, string> {
  const files: Record<string, string> = { '000.sql': 'create table journal (step int, pid int default pg_backend_pid());' };
  for (let n = 1; n <= count; n++) files[`${String(n).padStart(3, '0')}.sql`] = `insert into journal (step) values (${n}); ${more[n] ?? ''}`;
  return files;
}

const steps = async (url = database.url) => (await sql(url, 'select step from journal order by step')).map(({ step }) => step);
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

const lease = async () => (await sql(database.url, 'select * from weft._lease'))[0];

/** A deployment of three steps whose CALL stands at the gate in step 2, with a line in the journal that is not committed. */
async function runnerAtTheGate(client: pg.Client) {
  const gate = await shutGate(database.url);
  const id = await stageFiles(database.url, journal(3, { 2: AT_THE_GATE }));
  const running = call(client, id);
  running.catch(() => undefined);
  await gate.reached();
  return { id, gate, running };
}

describe('rivals', () => {
  it('of several who call at the same moment one runs; the others come back at once, without an error', async () => {
    for (let n = 0; n < 5; n++) await newClient();
    for (let round = 1; round <= 12; round++) {
      const files = Object.fromEntries(
        Object.entries(journal(10)).map(([path, text]) => [`r${round}/${path}`, text.replaceAll('journal', `journal_${round}`)]),
      );
      const id = await stageFiles(database.url, files);
      let calls = 0;
      await Promise.all(
        clients.map(async (client) => {
          for (let result = null; result?.state !== 'succeeded'; calls++) result = await call(client, id);
        }),
      );
      const [{ ran, runners }] = await sql(
        database.url,
        `select array_agg(step order by step) as ran, count(distinct pid)::int as runners from journal_${round}`,
      );
      expect(ran, `round ${round}, ${calls} calls`).toEqual(upTo(10));
      expect(runners).toBe(1);
    }
  });

  it('of two who wait for the lease in the same instant, the second looks only when it has it', async () => {
    const [one, two, holder] = [await newClient(), await newClient(), await newClient()];
    const gate = await shutGate(database.url);
    const id = await stageFiles(database.url, journal(3, { 2: AT_THE_GATE }));
    await holder.query('begin; select from weft._lease for update');
    const calls = [call(one, id), call(two, id)];
    await until(
      database.url,
      `(select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ~ '^call weft.run' and datname = current_database()) = 2`,
    );
    await holder.query('commit');
    const first = await Promise.race(calls);
    expect(first.attached).toMatchObject({ holder: 'alive', deployment: id });
    await gate.open();
    expect((await Promise.all(calls)).map(({ state, attached }) => [state, attached !== undefined])).toContainEqual(['succeeded', false]);
    expect(await steps()).toEqual(upTo(3));
  });

  it('who waits for the lease holds no other lock, so that the runner never waits for those who wait for it', async () => {
    const [late, holder] = [await newClient(), await newClient()];
    const id = await stageFiles(database.url, journal(1));
    await holder.query('begin; select from weft._lease for share');
    const calling = call(late, id);
    await until(
      database.url,
      `exists (select from pg_stat_activity where wait_event_type = 'Lock' and query ~ '^call weft.run' and datname = current_database())`,
    );
    await holder.query(`select from weft._deployments where id = '${id}' for update nowait`);
    await holder.query('commit');
    expect(await calling).toMatchObject({ state: 'succeeded' });
  });

  it('one that comes late learns who is at work, waits for nothing, and later reports what the first one did', async () => {
    const [first, late] = [await newClient(), await newClient()];
    const { id, gate, running } = await runnerAtTheGate(first);
    const answer = await call(late, id);
    expect(answer).toMatchObject({ id, state: 'running', attached: { holder: 'alive', pid: pidOf(first), deployment: id } });
    expect((await late.query('show search_path')).rows).toEqual([{ search_path: '"$user", public' }]);
    await gate.open();
    const end = await running;
    expect(end.state).toBe('succeeded');
    expect(await call(late, id)).toEqual(end);
    expect(await steps()).toEqual(upTo(3));
  });

  it('a CALL in the extended protocol is seen to live as well', async () => {
    const [first, late] = [await newClient(), await newClient()];
    const gate = await shutGate(database.url);
    const id = await stageFiles(database.url, journal(2, { 1: AT_THE_GATE }));
    const running = first.query('call weft.run($1::uuid)', [id]);
    await gate.reached();
    expect((await call(late, id)).attached).toMatchObject({ holder: 'alive', pid: pidOf(first) });
    await gate.open();
    expect((await running).rows[0].result.state).toBe('succeeded');
    expect(await steps()).toEqual(upTo(2));
  });

  it.each([
    { does: 'looks again behind it', forgets: '', sees: { fence: null, holder: 'alive' } },
    { does: 'would get in if it did not', forgets: 'perform pg_stat_clear_snapshot();', sees: { fence: '2', holder: 'us' } },
  ])('one whose transaction has looked around before the lock $does', async ({ forgets, sees }) => {
    const [early, first] = [await newClient(), await newClient()];
    await stageFiles(database.url, { 'nothing.sql': '' }); // installs the engine
    const source: string = (await first.query(`select pg_get_functiondef('weft._look_at_holder'::regproc) as source`)).rows[0].source;
    expect(source).toContain(forgets);
    await first.query(source.replace(forgets, ''));
    await early.query('begin; select count(*) from pg_stat_activity'); // frozen from here on: the other session is seen at rest
    const { id, gate, running } = await runnerAtTheGate(first);
    expect((await early.query(`select * from weft._take_lease('${id}')`)).rows).toEqual([sees]);
    await early.query('rollback');
    await gate.open();
    expect((await running).state).toBe('succeeded');
  });
});

describe('a holder', () => {
  it('whose CALL died in a session that rests, or is at work on something else, holds nothing any more', async () => {
    const [first, second] = [await newClient(), await newClient()];
    const id = await stageFiles(database.url, {
      '000.sql': `create table journal (step int, pid int default pg_backend_pid()); ${COMMIT_FAILS} insert into doom values ('yes');`,
      '001.sql': 'insert into journal values (1); insert into doomed values (1);',
      '002.sql': 'insert into journal values (2);',
    });
    await expect(call(first, id)).rejects.toThrow('failed at the commit itself');
    expect(await lease()).toMatchObject({ pid: pidOf(first), deployment_id: id });
    await expect(call(second, id), 'the session of the first rests').rejects.toThrow('failed at the commit itself');
    expect(await lease()).toMatchObject({ pid: pidOf(second), fence: '2' });

    const gate = await shutGate(database.url);
    const busy = second.query(AT_THE_GATE);
    await gate.reached();
    await sql(database.url, 'delete from doom');
    expect(await call(first, id), 'the session of the second is at work on something else').toMatchObject({ state: 'succeeded' });
    expect(await steps()).toEqual([1, 2]);
    await gate.open();
    await busy;
  });

  it('whose session has ended holds nothing any more', async () => {
    const [first, late] = [await newClient(), await newClient()];
    const { id, gate, running } = await runnerAtTheGate(first);
    await sql(database.url, `select pg_terminate_backend(${pidOf(first)}, 10000)`);
    await expect(running).rejects.toThrow();
    await gate.open();
    expect(await call(late, id)).toMatchObject({ state: 'succeeded' });
    expect(await steps()).toEqual(upTo(3));
  });

  it('whose number another session of ours has by now is gone, whatever that session is doing', async () => {
    const [stranger, late] = [await newClient(), await newClient()];
    const id = await stageFiles(database.url, journal(1));
    const gate = await shutGate(database.url);
    const busy = stranger.query(AT_THE_GATE);
    await gate.reached();
    await forgeLease(id, pidOf(stranger), `clock_timestamp() - interval '1 hour'`);
    await sql(database.url, 'update weft._lease set query_start = (select query_start from pg_stat_activity where pid = _lease.pid)');
    expect(await call(late, id)).toMatchObject({ state: 'succeeded' });
    await gate.open();
    await busy;
  });

  it('whose number a process of the server itself has by now is gone', async () => {
    const id = await stageFiles(database.url, journal(1));
    const [{ pid }] = await sql(database.url, 'select pid from pg_stat_activity where usesysid is null limit 1');
    await forgeLease(id, pid, 'clock_timestamp()');
    expect(await call(await newClient(), id)).toMatchObject({ state: 'succeeded' });
  });

  it.runIf(offers('a superuser'))('whose number a session of another role has by now is gone when the server was started since', async () => {
    const id = await stageFiles(database.url, journal(1));
    await forgeLease(id, pidOf(await superuser()), `pg_postmaster_start_time() - interval '1 minute'`);
    expect(await call(await newClient(), id)).toMatchObject({ state: 'succeeded' });
  });

  it.runIf(offers('a superuser'))('whose number a session of another role has by now is gone, as that role never held it', async () => {
    const [other, first, late] = [await superuser(), await newClient(), await newClient()];
    const { id, gate } = await runnerAtTheGate(first);
    expect(await sql(database.url, 'select oid from pg_roles where rolname = current_user')).toEqual([{ oid: (await lease()).role_id }]);
    await sql(database.url, `select pg_terminate_backend(${pidOf(first)}, 5000)`);
    await sql(database.url, 'update weft._lease set pid = $1', [pidOf(other)]); // as the system may give it away, while the server has been up all the time
    await gate.open();
    expect(await call(late, id)).toMatchObject({ state: 'succeeded' });
  });

  it.runIf(offers('a superuser'))('of another role is unknown, never dead: whoever cannot see it waits, until it is gone', async () => {
    const [other, ours] = [await superuser(), await newClient()];
    const { id, gate, running } = await runnerAtTheGate(other);
    const before = await lease();
    expect((await call(ours, id)).attached).toMatchObject({ holder: 'unknown', pid: pidOf(other), deployment: id });
    expect(await lease()).toEqual(before);
    await gate.open();
    expect(await running).toMatchObject({ state: 'succeeded' });
    expect(await call(ours, id)).toMatchObject({ state: 'succeeded' });
    expect(await steps(database.superuserUrl ?? '')).toEqual(upTo(3));
  });

  it.runIf(offers('a superuser'))('of another role may be anybody: no signal goes to it, and the request to cancel stands', async () => {
    const [other, ours] = [await superuser(), await newClient()];
    const { id, gate, running } = await runnerAtTheGate(other);
    const answer = (await ours.query(`select weft.cancel('${id}') as answer`)).rows[0].answer;
    expect(answer).toMatchObject({ state: 'running', cancelling: true });
    await gate.open();
    expect(await running).toMatchObject({ state: 'cancelled' });
    expect(await steps(database.superuserUrl ?? ''), 'what was committed before the runner saw the request').toEqual([1, 2]);
  });
});

describe('a session', () => {
  it.runIf(offers('a superuser'))('that could not see the holder is refused, and says what to grant', async () => {
    const id = await stageFiles(database.url, journal(1));
    const admin = await superuser();
    const role = `weft_blind_${database.name.slice(-12)}`;
    await admin.query(
      `create role ${role} login password 'blind'; grant usage on schema weft to ${role}; grant all on all tables in schema weft to ${role}; grant execute on all routines in schema weft to ${role}`,
    );
    try {
      const url = new URL(database.url);
      url.username = role;
      url.password = 'blind';
      const blind = new pg.Client({ connectionString: url.href });
      clients.push(blind);
      await blind.connect();
      await expect(call(blind, id)).rejects.toMatchObject({ code: 'WF009', hint: expect.stringContaining(`grant pg_read_all_stats to ${role}`) });
      await admin.query(`grant pg_read_all_stats to ${role}; grant usage on all sequences in schema weft to ${role}; grant create on schema public to ${role}`);
      expect(await call(blind, id)).toMatchObject({ state: 'succeeded' });
    } finally {
      await admin.query(`drop owned by ${role}; drop role ${role}`);
    }
  });

  it.runIf(offers('a superuser'))('in which nobody can be seen (track_activities) is refused', async () => {
    const id = await stageFiles(database.url, journal(1));
    const admin = await superuser();
    await admin.query(`alter database ${database.name} set track_activities = off`);
    await expect(call(await newClient(), id)).rejects.toMatchObject({ code: 'WF008' });
  });

  it('that plays another role sees as much as before, and its CALL takes that role off', async () => {
    const [first, late] = [await newClient(), await newClient()];
    const role = `weft_actor_${database.name.slice(-12)}`;
    await late
      .query(`create role ${role}; grant ${role} to current_user with set true`)
      .catch(() => late.query(`create role ${role}; grant ${role} to current_user`));
    const { id, gate, running } = await runnerAtTheGate(first);
    await late.query(`grant usage on schema weft to ${role}; grant execute on all routines in schema weft to ${role}; set role ${role}`);
    expect((await call(late, id)).attached).toMatchObject({ holder: 'alive', pid: pidOf(first) });
    await gate.open();
    await running;
    await late.query(`reset role; drop owned by ${role}; drop role ${role}`);
  });
});

describe('a paused runner', () => {
  it.runIf(offers('processes to stop'))('that wakes up after its fence was raised commits nothing any more', async () => {
    const first = await newClient();
    const { id, gate, running } = await runnerAtTheGate(first);
    process.kill(pidOf(first), 'SIGSTOP');
    await sql(database.url, 'update weft._lease set fence = fence + 1, pid = null, backend_start = null, query_start = null');
    await gate.open();
    process.kill(pidOf(first), 'SIGCONT');
    await expect(running).rejects.toMatchObject({ code: 'WF012' });
    expect(await steps(), 'what it had committed before').toEqual([1]);
    expect(await call(await newClient(), id)).toMatchObject({ state: 'succeeded' });
    expect(await steps()).toEqual(upTo(3));
  });

  it.runIf(offers('processes to stop'))('that wakes up after another one has finished commits nothing any more', async () => {
    const first = await newClient();
    const { id, gate, running } = await runnerAtTheGate(first);
    process.kill(pidOf(first), 'SIGSTOP');
    expect((await call(await newClient(), id)).attached, 'paused is alive').toMatchObject({ holder: 'alive' });
    await sql(database.url, 'update weft._lease set pid = null, backend_start = null, query_start = null');
    await gate.open();
    const end = await call(await newClient(), id);
    expect(end.state).toBe('succeeded');
    process.kill(pidOf(first), 'SIGCONT');
    await expect(running).rejects.toMatchObject({ code: 'WF012' });
    expect(await steps()).toEqual(upTo(3));
    expect(await call(await newClient(), id), 'the record is that of the other one').toEqual(end);
  });
});

describe('a runner inside COMMIT', () => {
  const COMMIT_WAITS = `${COMMIT_FAILS}
    create or replace function fail_late() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(47); return null; end $$;`;

  it('holds the lease until it has committed: who would take it meanwhile waits, and what the one has done the other does not do again', async () => {
    const files = journal(3, { 2: 'insert into doomed values (1);' });
    const id = await stageFiles(database.url, { ...files, '000.sql': `${files['000.sql']} ${COMMIT_WAITS}` });
    const gate = await shutGate(database.url);
    const running = call(await newClient(), id);
    running.catch(() => undefined);
    await gate.reached();
    const rival = await newClient();
    const taking = rival.query('update weft._lease set fence = fence + 1, pid = null, backend_start = null, query_start = null'); // as if nobody could be seen there
    const waiting = until(database.url, `exists (select from pg_locks where pid = ${pidOf(rival)} and not granted)`);
    waiting.catch(() => undefined);
    const what = await Promise.race([taking.then(() => 'has taken it'), waiting.then(() => 'waits')]);
    await gate.open();
    expect(what).toBe('waits');
    await taking;
    await running.catch(({ code }) => expect(code).toBe('WF012')); // or it was through before the other one had it
    expect(await call(rival, id)).toMatchObject({ state: 'succeeded' });
    expect(await steps()).toEqual(upTo(3));
  });
});

/** Writes a holder into the lease that never was. */
async function forgeLease(id: string, pid: number, backendStart: string): Promise<void> {
  await sql(
    database.url,
    `update weft._lease set fence = 7, deployment_id = '${id}', pid = ${pid}, backend_start = ${backendStart}, query_start = clock_timestamp(), taken_at = clock_timestamp()`,
  );
}
