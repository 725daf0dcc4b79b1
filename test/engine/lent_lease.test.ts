/**
 * The lease while a statement is out: it names the backend that is to run it, at work or idle for a short while (directive_silence_seconds,
 * half a minute; tests that wait for its end make it a second, in their own database). What rivals see of it, and who takes over when.
 */
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { resume } from '../../src/deployment/resume.ts';
import { type Fault, startRelay } from '../../src/dev/relay.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { problemOf, through } from '../database/ways.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, makeOrder, stageFiles, until } from '../support/orders.ts';
import { startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let clients: pg.Client[];

beforeEach(async () => {
  database = await newDatabase();
  clients = [];
});

async function newDatabase(): Promise<TestDatabase> {
  const made = await freshDatabase();
  await sql(made.url, `create table items (id int, name text); insert into items select i, 'item ' || i from generate_series(1, 500) as i`);
  return made;
}

afterEach(async () => {
  for (const client of clients) await client.end().catch(() => undefined);
  await database.drop();
});

const FILES = {
  '1.sql': 'create table journal (n int); insert into journal values (1);',
  '2.sql': 'insert into journal values (2); create index concurrently items_name on items (name); insert into journal values (3);',
  '3.sql': 'insert into journal values (4);',
};

async function newClient(url = database.url): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}

const pidOf = (client: pg.Client): number => (client as unknown as { processID: number }).processID;

// biome-ignore lint/suspicious/noExplicitAny: the document of weft.status, with what the CALL adds
async function call(client: pg.Client, id: string, more = ''): Promise<any> {
  return (await client.query(`call weft.run('${id}'${more})`)).rows[0].result;
}

/** A statement is out, and its session rests. */
async function lend(files: Readonly<Record<string, string>> = FILES, url = database.url, holderUrl = url) {
  const id = await stageFiles(url, files, { transaction: 'auto' });
  const holder = await newClient(holderUrl);
  const { directive } = await call(holder, id);
  expect(directive).toMatchObject({ statement: expect.stringContaining('concurrently'), report: expect.any(String) });
  return { id, holder, directive };
}

/** Somebody who writes: a concurrent build does not begin before he ends. */
async function holdBuilds(): Promise<() => Promise<void>> {
  const keeper = await newClient();
  await keeper.query('begin; lock table items in row exclusive mode');
  return () => keeper.end();
}

const BUILDING = `exists (select from pg_stat_progress_create_index where datname = current_database() and command = 'CREATE INDEX CONCURRENTLY')`;
const building = () => until(database.url, BUILDING);

/** Idle sessions count as lost after a second, in this database. */
async function loseSoon(url = database.url): Promise<void> {
  const [{ source }] = await sql(url, `select pg_get_functiondef('weft._limit'::regproc) as source`);
  const changed = source.replace(/('directive_silence_seconds' +then) 30\b/, '$1 1');
  expect(changed).not.toBe(source);
  await sql(url, changed);
}

/** The next trigger. @returns the deployment as it ended */
function goOn(id: string, url = database.url): Promise<Deployment> {
  return resume({ connect: connectOver(url), id, target: null, deadlineMs: 50_000 });
}

const lease = async () => (await sql(database.url, 'select * from weft._lease'))[0];

async function expectDone(url = database.url): Promise<void> {
  expect(await sql(url, 'select n from journal order by n')).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
  expect(await sql(url, `select indexrelid::regclass::text as name, indisvalid from pg_index where indrelid = 'items'::regclass`)).toEqual([
    { name: 'items_name', indisvalid: true },
  ]);
  expect(await sql(url, 'select distinct state from weft.deployments')).toEqual([{ state: 'succeeded' }]);
  expect(await sql(url, 'select pid, directive_at from weft._lease')).toEqual([{ pid: null, directive_at: null }]);
}

describe('a rival', () => {
  it('attaches while the first one builds, and reports what came of it', async () => {
    const letGo = await holdBuilds();
    const request = await makeOrder(FILES, { id: 'the-request', transaction: 'auto' });
    const first = deploy({ connect: connectOver(database.url), ...request, deadlineMs: 50_000 }).done;
    await building();
    const before = await lease();
    expect(before).toMatchObject({ directive_at: expect.any(Date) });
    const [{ id }] = await sql(database.url, 'select id from weft.deployments');
    expect((await call(await newClient(), id)).attached).toMatchObject({ holder: 'alive', pid: before.pid, deployment: id });

    const seen = Promise.withResolvers<void>();
    const same = deploy({ connect: connectOver(database.url), ...request, onStatus: ({ live }) => live && seen.resolve(), deadlineMs: 50_000 }).done;
    const other = deployFiles(connectOver(database.url), FILES, { caller: 'other', transaction: 'auto' });
    await seen.promise;
    await until(database.url, `(select count(*) from weft.deployments where state = 'staged') = 1`);
    expect(await lease()).toEqual(before);
    await letGo();
    const end = await first;
    expect(end).toMatchObject({ id, state: 'succeeded' });
    expect(await same).toEqual(end);
    expect(await other).toMatchObject({ state: 'succeeded', phases: [{ steps: FILES_SKIPPED }] });
    expect((await sql(database.url, `select kind from weft.events where kind = 'statement_sent'`)).length).toBe(1);
    await expectDone();
  });

  it('reports a failure of the first one as well', async () => {
    await sql(database.url, 'insert into items values (1)');
    const letGo = await holdBuilds();
    const files = { '1.sql': 'create unique index concurrently items_id on items (id);' };
    const request = await makeOrder(files, { id: 'the-request', transaction: 'auto' });
    const first = deploy({ connect: connectOver(database.url), ...request, deadlineMs: 50_000 }).done;
    await building();
    const seen = Promise.withResolvers<void>();
    const same = deploy({ connect: connectOver(database.url), ...request, onStatus: ({ live }) => live && seen.resolve(), deadlineMs: 50_000 }).done;
    await seen.promise;
    await letGo();
    const end = await first;
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: '23505', path: '1.sql' } });
    expect(await same).toEqual(end);
    expect(await sql(database.url, `select from pg_index where indrelid = 'items'::regclass`), 'nothing half-made stays').toEqual([]);
  });
});

const FILES_SKIPPED = Object.keys(FILES).map((path) => expect.objectContaining({ path, state: 'skipped' }));

describe('a session that was handed a statement', () => {
  it('and does nothing holds the lease for half a minute: a rival attaches', async () => {
    const { id, holder, directive } = await lend();
    const before = await lease();
    await sql(database.url, `update weft._lease set directive_at = directive_at - interval '1 hour'`); // its own last move counts too
    expect((await call(await newClient(), id)).attached).toMatchObject({ holder: 'alive', pid: pidOf(holder), deployment: id });
    expect(await lease()).toMatchObject({ pid: before.pid, fence: before.fence });
    expect((await sql(database.url, `select weft.status('${id}') as status`))[0].status.live).toMatchObject({ pid: pidOf(holder), path: '2.sql' });
    await holder.query(directive.statement);
    await holder.query(directive.report);
    expect(await call(holder, id)).toMatchObject({ state: 'succeeded' });
    await expectDone();
  });

  it('and goes on doing nothing is ended, and its statement never runs: of several rivals one takes over', async () => {
    const { id, holder, directive } = await lend();
    await loseSoon();
    const gone = new Promise((resolve) => holder.once('end', resolve));
    await until(database.url, `(select weft._look_at_holder(l) from weft._lease as l) = 'silent'`);
    const rivals = await Promise.all([1, 2, 3].map(() => goOn(id)));
    expect(rivals.map(({ state }) => state)).toEqual(['succeeded', 'succeeded', 'succeeded']);
    await gone;
    await expect(holder.query(directive.statement)).rejects.toThrow();
    await expectDone();
  });

  it('and does something else by hand, and rests then, is ended too', async () => {
    const { id, holder } = await lend();
    await loseSoon();
    await holder.query('begin; select count(*) from journal');
    await until(database.url, `(select weft._look_at_holder(l) from weft._lease as l) = 'silent'`);
    expect(await goOn(id)).toMatchObject({ state: 'succeeded' });
    await expectDone();
  });

  it('and builds for however long is alive', async () => {
    const letGo = await holdBuilds();
    const { id, holder, directive } = await lend();
    await loseSoon();
    const built = holder.query(directive.statement);
    await building();
    await until(database.url, `(select query_start from pg_stat_activity where pid = ${pidOf(holder)}) < clock_timestamp() - interval '1.5 s'`);
    expect((await call(await newClient(), id)).attached).toMatchObject({ holder: 'alive', pid: pidOf(holder) });
    await letGo();
    await built;
    expect(await call(holder, id), 'it does not say what the server said, and need not: the catalog does').toMatchObject({ state: 'succeeded' });
    await expectDone();
  });

  it.each([
    { what: 'is done', spoils: '' },
    { what: 'has failed', spoils: 'alter table items rename to other_items' },
  ])('of which the network swallowed the end, so that the server waits for more when the statement $what, is ended', async ({ spoils }) => {
    const { id, holder, directive } = await lend();
    await loseSoon();
    if (spoils) await sql(database.url, spoils);
    // in the extended protocol, without a Sync: its server says "active" for ever
    const { connection } = holder as unknown as { connection: pg.Connection };
    connection.parse({ text: directive.statement, name: '', types: [] } as never, true);
    connection.bind({} as never, true);
    connection.execute({} as never, true);
    connection.flush();
    await until(database.url, `(select wait_event = 'ClientRead' and state = 'active' from pg_stat_activity where pid = ${pidOf(holder)})`);
    await until(database.url, `(select weft._look_at_holder(l) from weft._lease as l) = 'silent'`);
    if (spoils) await sql(database.url, `alter table other_items rename to items`);
    expect(await goOn(id)).toMatchObject({ state: 'succeeded' });
    await expectDone();
  });

  it.runIf(offers('servers to kill'))('and whose server is killed and started again holds nothing any more', async () => {
    const server = await startOwnServer();
    try {
      const url = await server.createDatabase();
      await sql(url, 'create table items (id int, name text)');
      const { id } = await lend(FILES, url);
      await server.postgres.kill9();
      await server.postgres.restart();
      expect(await sql(url, 'select directive_at is not null as is_out from weft._lease')).toEqual([{ is_out: true }]);
      const end = await goOn(id, url);
      expect(end).toMatchObject({ state: 'succeeded' });
      await expectDone(url);
    } finally {
      for (const client of clients) await client.end().catch(() => undefined);
      await server.postgres.stop();
    }
  });

  it('is believed what the server said; no other session is', async () => {
    const { id, holder } = await lend();
    const [{ reported }] = await sql(
      database.url,
      `select format('%s/%s/%s/%s', deployment_id, step, number, attempts) as reported from weft._statements where state = 'sent'`,
    );
    await holder.end();
    await until(database.url, `not exists (select from pg_stat_activity where pid = ${pidOf(holder)})`);
    const stranger = await newClient();
    await stranger.query(`select set_config('weft.reported', '${reported}', false)`);
    const answer = await call(stranger, id, `, p_report => '{"sqlstate": "XX000", "message": "made up"}'`);
    expect(answer).toMatchObject({ state: 'running', directive: { attempt: 2 } });
    await stranger.end();
    expect(await goOn(id)).toMatchObject({ state: 'succeeded' });
    await expectDone();
  });
});

describe('the drive', () => {
  it('whose backend is ended while it builds comes back, and goes on', async () => {
    const letGo = await holdBuilds();
    const troubles: string[] = [];
    const request = await makeOrder(FILES, { transaction: 'auto' });
    const { done } = deploy({ connect: connectOver(database.url), ...request, onTrouble: ({ slug }) => troubles.push(slug), deadlineMs: 50_000 });
    await building();
    await sql(database.url, 'select pg_terminate_backend(pid) from weft._lease');
    await until(database.url, `exists (select from weft.events where kind = 'statement_repaired')`);
    await letGo();
    expect(await done).toMatchObject({ state: 'succeeded' });
    expect(troubles).toEqual(['session_lost']);
    await expectDone();
  });

  /** Deploys through a relay of its own into a database of its own. @returns what went over its connection */
  async function deployThrough(fault: Omit<Fault, 'where' | 'extraBytes'> | null) {
    const its = await newDatabase();
    const { hostname, port } = new URL(its.url);
    const relay = await startRelay({ to: { host: hostname, port: Number(port) } });
    try {
      await stageFiles(its.url, { 'installs.sql': '' }, { bundle: 'other' });
      await loseSoon(its.url);
      let hasHappened = false;
      if (fault !== null) {
        void relay.plan({ ...fault, extraBytes: 1, where: ({ number }) => number === 1 }).fired.then(() => {
          hasHappened = true;
        });
      }
      const request = await makeOrder(FILES, { transaction: 'auto' });
      const { done } = deploy({ connect: connectTo(through(relay, 'tcp', its.url)), ...request, deadlineMs: 50_000 });
      expect(await done).toMatchObject({ state: 'succeeded' });
      await expectDone(its.url);
      const [connection] = relay.connections;
      return { hasHappened, messages: { 'to-server': connection?.toServer.messages ?? 0, 'to-client': connection?.toClient.messages ?? 0 } };
    } finally {
      await relay.stop();
      await its.drop();
    }
  }

  // To the server: Parse, Bind, Describe, Execute of the statement, the same of what reports it, a Sync, what takes the role off, the CALL.
  // To the client: the end of what the first CALL said (4), what is said of the statement (4), of the report (6), of the role (3), of the last CALL (4).
  it.each([
    { how: 'reset', direction: 'to-server', last: 11, which: 'any', each: 1 },
    { how: 'silence', direction: 'to-server', last: 11, which: 'any', each: 1 },
    { how: 'reset', direction: 'to-client', last: 21, which: 'every other', each: 2 },
    { how: 'silence', direction: 'to-client', last: 21, which: 'every other', each: 2 },
  ] as const)(
    'whose connection suffers a $how in $which of the last $last messages $direction comes to the same end',
    async ({ how, direction, last, each }) => {
      const { messages } = await deployThrough(null);
      const faults = [];
      for (let n = last; n > 0; n -= each) faults.push({ how, direction, afterMessages: messages[direction] - n });
      const ends = await Promise.all(faults.map(deployThrough));
      expect(ends.map(({ hasHappened }) => hasHappened)).toEqual(ends.map(() => true));
    },
  );
});

describe.runIf(offers('a superuser'))('a session of another role that was handed a statement', () => {
  const index = { '1.sql': 'create index concurrently items_name on items (name);' };
  const isWhole = () => sql(database.url, `select indisvalid from pg_index where indexrelid = 'items_name'::regclass`);

  it('is unknown, never dead, however long it rests: whoever cannot see it waits, and a request to cancel stands', async () => {
    const { id, holder } = await lend(index, database.url, database.superuserUrl ?? '');
    await loseSoon();
    const before = await lease();
    await until(database.url, `clock_timestamp() > (select directive_at from weft._lease) + interval '1.5 s'`);
    expect((await call(await newClient(), id)).attached).toMatchObject({ holder: 'unknown', pid: pidOf(holder), deployment: id });
    await problemOf(resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 500 }), 'holder_unknown');
    expect(await lease()).toEqual(before);
    expect((await sql(database.url, `select weft.status('${id}') -> 'live' as live`))[0].live).toBeNull();
    expect((await sql(database.url, `select weft.cancel('${id}') as status`))[0].status).toMatchObject({ state: 'running', cancelling: true });
    await holder.end();
    expect(await goOn(id)).toMatchObject({ state: 'cancelled' });
    expect(await sql(database.url, `select from pg_index where indrelid = 'items'::regclass`)).toEqual([]);
  });

  it('and which can be seen, but not ended, is waited for', async () => {
    const role = `weft_watcher_${database.name.slice(-12)}`;
    const admin = await newClient(database.superuserUrl ?? '');
    await admin.query(`create role ${role} login password 'watcher'; grant pg_read_all_stats, weft_test to ${role}`);
    try {
      const url = new URL(database.url);
      url.username = role;
      url.password = 'watcher';
      const { id, holder } = await lend(index, database.url, database.superuserUrl ?? '');
      await loseSoon();
      await until(url.href, `(select weft._look_at_holder(l) from weft._lease as l) = 'silent'`);
      expect((await call(await newClient(url.href), id)).attached).toMatchObject({ holder: 'silent', pid: pidOf(holder), deployment: id });
      const { message } = await problemOf(resume({ connect: connectOver(url.href), id, target: null, deadlineMs: 500 }), 'holder_unknown');
      expect(message).toContain('may not end');
      await holder.end();
      expect(await goOn(id, url.href)).toMatchObject({ state: 'succeeded' });
      expect(await isWhole()).toEqual([{ indisvalid: true }]);
    } finally {
      for (const client of clients) if (client !== admin) await client.end().catch(() => undefined);
      await admin.query(`drop owned by ${role}; drop role ${role}`);
    }
  });
});
