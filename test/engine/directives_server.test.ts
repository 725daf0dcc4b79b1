/**
 * What reaches beyond one database, on servers of the test's own: ALTER SYSTEM, which writes a file, and subscriptions, which talk to another
 * server. The catalog here knows nothing of what lies there: a replication slot that an interrupted CREATE SUBSCRIPTION has left with its
 * publisher is named by the server's error, and nobody but its owner can know whether it may go.
 */
import { spawn, spawnSync } from 'node:child_process';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { connectOver, deployFiles, stageFiles, until } from '../support/orders.ts';
import { type OwnServer, startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { type Case, DISTURBANCES, type Holder, hold, kindsOf, runDisturbed, runUndisturbed } from './cells.ts';

let server: OwnServer;
let relay: Relay;

/** A database on the server of these tests, for its superuser. */
async function ownDatabase(): Promise<TestDatabase> {
  const url = new URL(await server.createDatabase());
  const name = url.pathname.slice(1);
  const superuserUrl = withDatabase(server.postgres.url, name);
  return {
    name,
    url: superuserUrl,
    superuserUrl,
    client: () => Promise.reject(new Error('not here')),
    drop: async () => {
      await sql(server.postgres.url, `drop database ${name} with (force)`);
    },
  };
}

beforeAll(async () => {
  if (!offers('servers to kill')) return;
  server = await startOwnServer({ wal_level: 'logical' });
  relay = await startRelay({ to: { host: '127.0.0.1', port: server.postgres.port } });
});

afterAll(async () => {
  await relay?.stop();
  await server?.postgres.stop();
});

describe.runIf(offers('processes to stop'))('alter system', () => {
  const folder = async () => (await sql(server.postgres.url, 'show data_directory'))[0].data_directory as string;
  const AT_WORK = `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where a.query ~ '^\\s*alter system' and a.state = 'active')`;

  /** The file that ALTER SYSTEM reads first becomes a pipe that says nothing. */
  async function silenceSettings(): Promise<Holder> {
    const file = join(await folder(), 'postgresql.auto.conf');
    renameSync(file, `${file}.kept`);
    spawnSync('mkfifo', ['-m', '666', file]);
    let isOver = false;
    return {
      end: async () => {
        if (isOver) return;
        isOver = true;
        // whoever reads the pipe gets what the file held; where nobody does any more, the file comes back
        const writer = spawn('timeout', ['1', 'sh', '-c', `cat '${file}.kept' > '${file}'`], { stdio: 'ignore' });
        const code = await new Promise((resolve) => writer.on('exit', resolve));
        if (code !== 0) renameSync(`${file}.kept`, file);
      },
    };
  }

  const one: Case = {
    makeDatabase: ownDatabase,
    asSuperuser: true,
    statement: `alter system set log_autovacuum_min_duration = '4711s'`,
    hold: '',
    holdBy: silenceSettings,
    atWork: AT_WORK,
    repeats: true,
    facts: `select setting from pg_file_settings where name = 'log_autovacuum_min_duration' and sourcefile ~ 'auto.conf$'`,
    cleanUp: 'alter system reset log_autovacuum_min_duration',
  };

  it('undisturbed', async () => {
    expect((await runUndisturbed(one)).facts).toEqual([{ setting: '4711s' }]);
  });

  // While it reads the file no signal reaches it but the one that takes the whole server along.
  it.each([DISTURBANCES[0], DISTURBANCES[3], DISTURBANCES[4]])('%s', (disturbance) => runDisturbed(one, disturbance, relay));

  it('the server killed while it is at work', async () => {
    const database = await ownDatabase();
    const id = await stageFiles(database.url, { '1.sql': one.statement }, { transaction: 'none' });
    const holder = await silenceSettings();
    const lost = resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 50_000 });
    await until(database.url, AT_WORK, 'it is at work');
    await server.postgres.kill9();
    await holder.end();
    await server.postgres.restart();
    expect(await lost).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, one.facts ?? '')).toEqual([{ setting: '4711s' }]);
    await sql(database.url, one.cleanUp ?? '');
    await database.drop();
  });
});

describe.runIf(offers('servers to kill'))('a subscription', () => {
  let publisher: OwnServer;
  let source: string;

  beforeAll(async () => {
    publisher = await startOwnServer({ wal_level: 'logical' });
    source = withDatabase(publisher.postgres.url, new URL(await publisher.createDatabase()).pathname.slice(1));
    await sql(source, 'create table t (a int primary key); insert into t values (1), (2); create publication pub for table t');
  });

  afterAll(() => publisher?.postgres.stop());

  /** The publisher's address as libpq wants it. */
  function conninfo(): string {
    const { hostname, port, username, password, pathname } = new URL(source);
    return `host=${hostname} port=${port} user=${username} password=${password} dbname=${pathname.slice(1)}`;
  }

  const slots = async (name: string) => sql(source, `select slot_name from pg_replication_slots where slot_name = '${name}' and not temporary`);

  /** A new slot waits for transactions that are open there. */
  const anOpenTransaction = () => hold(source, 'insert into t values (4711)');
  const AT_WORK = `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where a.query ~ '^\\s*(create|drop) subscription' and a.state = 'active' and l.directive_at is not null)`;

  /** A slot that somebody reads is dropped when he has gone. */
  async function readSlot(): Promise<Holder> {
    const reader = new pg.Client({ connectionString: `${source}?replication=database` });
    reader.on('error', () => undefined);
    await reader.connect();
    reader.query(`START_REPLICATION SLOT sub LOGICAL 0/0 (proto_version '1', publication_names 'pub')`).catch(() => undefined);
    await until(source, `(select active from pg_replication_slots where slot_name = 'sub')`);
    return { end: () => sql(source, `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'sub'`) };
  }

  const make: Case = {
    makeDatabase: ownDatabase,
    asSuperuser: true,
    before: 'create table t (a int primary key);\n',
    get statement() {
      return `create subscription sub connection '${conninfo()}' publication pub with (copy_data = false)`;
    },
    hold: '',
    holdBy: anOpenTransaction,
    atWork: AT_WORK,
    facts:
      'select subenabled, subslotname = subname as has_slot from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())',
    cleanUp: 'drop subscription sub',
  };
  const drop: Case = {
    makeDatabase: ownDatabase,
    asSuperuser: true,
    hold: '',
    holdBy: readSlot,
    atWork: AT_WORK,
    facts: 'select 1 from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())',
    get before() {
      return `create table t (a int primary key);\n${make.statement.replace('copy_data = false', 'copy_data = false, enabled = false')};\n`;
    },
    statement: 'drop subscription if exists sub',
    cleanUp: 'drop subscription if exists sub',
  };

  it.each([
    ['create subscription', make, 1],
    ['drop subscription', drop, 0],
  ])('%s: undisturbed', async (_, one, count) => {
    expect((await runUndisturbed(one)).facts).toHaveLength(count);
  });

  it.each([DISTURBANCES[0], DISTURBANCES[4]])('create subscription: %s', (disturbance) => runDisturbed(make, disturbance, relay));
  it('create subscription: the connection reset while it is at work, and the backend goes on', () => runDisturbed(make, DISTURBANCES[3], relay));
  it('drop subscription: the connection reset while it is at work, and the backend goes on', () => runDisturbed(drop, DISTURBANCES[3], relay));
  it.each([DISTURBANCES[0], DISTURBANCES[4]])('drop subscription: %s', (disturbance) => runDisturbed(drop, disturbance, relay));

  it('that is cut while it makes its slot may leave that with the publisher: then it fails, and says which', async () => {
    const database = await ownDatabase();
    await sql(database.url, 'create table t (a int primary key)');
    const name = `${database.name}_left`;
    await sql(source, `select pg_create_logical_replication_slot('${name}', 'pgoutput')`);
    const statement = make.statement.replace('subscription sub', `subscription ${name}`);
    const deployed = () => deployFiles(connectOver(database.url), { '1.sql': statement }, { transaction: 'none' });
    const { state, error } = await deployed();
    expect({ state, error }).toMatchObject({ state: 'failed', error: { message: expect.stringContaining(`replication slot "${name}" already exists`) } });
    await sql(source, `select pg_drop_replication_slot('${name}')`);
    expect(await deployed()).toMatchObject({ state: 'succeeded' });
    expect(await slots(name)).toHaveLength(1);
    await sql(database.url, `drop subscription ${name}`);
    await database.drop();
  });

  it('without a slot of its own runs in a transaction like anything else', async () => {
    const database = await ownDatabase();
    const files = {
      '1.sql': `create subscription s connection 'host=127.0.0.1' publication pub with (connect = false, slot_name = none)`,
      '2.sql': 'drop subscription s',
    };
    expect(await deployFiles(connectOver(database.url), files, { transaction: 'auto' })).toMatchObject({ state: 'succeeded' });
    expect(await kindsOf(database.url)).not.toContain('run_apart');
    await database.drop();
  });
});
