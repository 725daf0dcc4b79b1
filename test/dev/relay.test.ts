/**
 * The relay: what it refuses, what it counts, and each way in which it breaks a connection, seen by real clients of a real server.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { Client as NeonClient } from '@neondatabase/serverless';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let relay: Relay;
const clients: pg.Client[] = [];

beforeAll(async () => {
  database = await emptyDatabase();
});
afterAll(() => database.drop());

beforeEach(async () => {
  const { hostname, port } = new URL(database.url);
  relay = await startRelay({ to: { host: hostname, port: Number(port) } });
});
afterEach(async () => {
  // Not awaited: the end of a broken connection may never be told.
  for (const client of clients.splice(0)) void client.end().catch(() => undefined);
  await relay.stop();
});

async function overTcp(applicationName = 'test'): Promise<pg.Client> {
  const url = new URL(database.url);
  url.port = String(relay.tcpPort);
  const client = new pg.Client({ connectionString: url.href, application_name: applicationName });
  client.on('error', () => undefined);
  clients.push(client);
  await client.connect();
  return client;
}

async function overWebSocket(): Promise<pg.Client> {
  const client = new NeonClient({ connectionString: database.url, application_name: 'test' });
  client.neonConfig.wsProxy = (host, port) => `127.0.0.1:${relay.port}/v1?address=${host}:${port}`;
  client.neonConfig.useSecureWebSocket = false;
  client.neonConfig.pipelineConnect = false;
  client.on('error', () => undefined);
  await client.connect();
  // It copies the interface of node-postgres, with types of its own.
  clients.push(client as unknown as pg.Client);
  return client as unknown as pg.Client;
}

const ways = [
  ['TCP', overTcp],
  ['WebSocket', overWebSocket],
] as const;

function only() {
  const [connection] = relay.connections;
  if (connection === undefined) throw new Error('no connection came');
  return connection;
}

async function backends(applicationName = 'test'): Promise<number> {
  const rows = await sql(database.url, 'select 1 from pg_stat_activity where application_name = $1 and datname = current_database()', [applicationName]);
  return rows.length;
}

async function until(truth: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await truth())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** The outcome of opening a WebSocket: 'open', or the status it was refused with. */
function knock(path: string, headers: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${relay.url}${path}`, { headers });
    socket.on('error', () => undefined);
    socket.on('open', () => {
      socket.terminate();
      resolve('open');
    });
    socket.on('unexpected-response', (_request, response) => {
      response.destroy();
      resolve(`${response.statusCode}`);
    });
  });
}

describe('the door', () => {
  test('opens for the configured address only, whatever the address parameter says', async () => {
    const { port } = new URL(database.url);
    expect(await knock(`/v1?address=127.0.0.1:${port}`)).toBe('open');
    expect(await knock(`/v1?address=localhost:${port}`)).toBe('open');
    expect(await knock('/v2')).toBe('open');
    expect(await knock('/v1')).toBe('400');
    expect(await knock('/v1?address=127.0.0.1:22')).toBe('403');
    expect(await knock(`/v1?address=example.com:${port}`)).toBe('403');
    expect(await knock(`/v3?address=127.0.0.1:${port}`)).toBe('404');
  });

  test('stays shut for web pages and for other names of this machine', async () => {
    expect(await knock('/v2', { Origin: 'https://example.com' })).toBe('403');
    expect(await knock('/v2', { Origin: 'http://127.0.0.1:1' })).toBe('403');
    expect(await knock('/v2', { Origin: 'null' })).toBe('403');
    expect(await knock('/v2', { Host: 'rebound.example.com' })).toBe('403');
    expect(await knock('/v2', { Origin: `http://127.0.0.1:${relay.port}` })).toBe('open');
  });

  test('is on 127.0.0.1 and on no other address', async () => {
    const socket = connect({ host: '127.0.0.2', port: relay.port });
    const [error] = await once(socket, 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
  });
});

describe.each(ways)('over %s', (_way, open) => {
  test('a query passes, and bytes and messages are counted', async () => {
    const client = await open();
    const before = { ...only().toServer };
    await client.query('select 1');
    // One Query message: type, length, "select 1" and a zero.
    expect(only().toServer).toEqual({ messages: before.messages + 1, bytes: before.bytes + 1 + 4 + 9 });
    expect(only().startup).toMatchObject({ user: new URL(database.url).username, application_name: 'test', database: database.name });
  });

  test('every answer that the client waits for is one wait', async () => {
    const client = await open();
    const start = only().waits;
    // SCRAM (RFC 5802): start-up, client-first, client-final.
    expect(start).toBe(3);
    for (let i = 0; i < 5; i++) await client.query('select 1');
    expect(only().waits - start).toBe(5);
    await client.query('select $1::int', [1]);
    expect(only().waits - start).toBe(6);
    await client.query('select 1; select 2; select 3');
    expect(only().waits - start).toBe(7);
    await expect(client.query('select 1/0')).rejects.toThrow('division by zero');
    // The driver rejects at the error; ReadyForQuery follows.
    await until(() => only().waits - start === 8);
  });

  test('many megabytes arrive unchanged', async () => {
    const client = await open();
    const size = 24 * 1024 * 1024;
    const result = await client.query('select length($1::text) as length, md5($1::text) as there, repeat($2, 1000000) as back', ['x'.repeat(size), 'yz']);
    expect(result.rows[0].length).toBe(size);
    expect(result.rows[0].back).toBe('yz'.repeat(1_000_000));
  });

  test('latency delays each way, and what comes late comes unchanged', async () => {
    const client = await open();
    relay.setDelay(100);
    const began = performance.now();
    await client.query('select 1');
    expect(performance.now() - began).toBeGreaterThan(198);
    const { rows } = await client.query('select md5($1::text) as md5', ['0123456789abcdef'.repeat(512 * 1024)]);
    expect(rows[0].md5).toBe((await sql(database.url, `select md5(repeat('0123456789abcdef', 512 * 1024)) as md5`))[0].md5);
  });

  test('turns count what waits cannot see, once there is latency', async () => {
    const client = await open();
    relay.setDelay(30);
    const { waits, turns } = only();
    for (let i = 0; i < 3; i++) await client.query('select 1');
    expect({ waits: only().waits - waits, turns: only().turns - turns }).toEqual({ waits: 3, turns: 3 });
  });

  test('a reset after the k-th message to the server: that one is executed, the next is not', async () => {
    const client = await open();
    await client.query('create table if not exists fact (id int); truncate fact');
    const { fired } = relay.plan({ direction: 'to-server', afterMessages: 2, how: 'reset' });
    await client.query('insert into fact values (1)');
    await expect(client.query('insert into fact values (2)')).rejects.toBeDefined();
    expect(await fired).toBe(only());
    await expect(client.query('insert into fact values (3)')).rejects.toBeDefined();
    await until(async () => (await backends()) === 0);
    expect((await sql(database.url, 'select id from fact order by id')).map(({ id }) => id)).toEqual([1, 2]);
  });

  test('a reset in the middle of a message: nothing of it is executed', async () => {
    const client = await open();
    await client.query('create table if not exists fact (id int); truncate fact');
    const { bytes, messages } = only().toServer;
    relay.plan({ direction: 'to-server', afterMessages: 0, extraBytes: 9, how: 'reset' });
    await expect(client.query('insert into fact values (1)')).rejects.toBeDefined();
    expect(only().toServer).toEqual({ messages, bytes: bytes + 9 });
    await until(async () => (await backends()) === 0);
    expect(await sql(database.url, 'select id from fact')).toEqual([]);
  });

  test('a reset after the k-th message to the client: it was done, and the client cannot know', async () => {
    const client = await open();
    await client.query('create table if not exists fact (id int); truncate fact');
    relay.plan({ direction: 'to-client', afterMessages: 0, how: 'reset' });
    await expect(client.query('insert into fact values (1)')).rejects.toBeDefined();
    expect(await sql(database.url, 'select id from fact')).toEqual([{ id: 1 }]);
  });

  test('silence: nothing comes, nothing is closed; and what was held comes when it ends', async () => {
    const client = await open();
    relay.silence();
    let answered = false;
    const answer = client.query('select 42 as it').then((result) => {
      answered = true;
      return result;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(answered).toBe(false);
    expect(await backends()).toBe(1);
    relay.endSilence();
    expect((await answer).rows).toEqual([{ it: 42 }]);
  });

  test('silence swallows new connections too', async () => {
    relay.silence();
    let opened = false;
    const opening = open().then(() => {
      opened = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(opened).toBe(false);
    relay.endSilence();
    await opening;
  });

  test('silence after the k-th message is for one connection; the others live', async () => {
    const client = await open();
    const { fired } = relay.plan({ direction: 'to-client', afterMessages: 0, how: 'silence' });
    let settled = false;
    client.query('select 1').then(
      () => (settled = true),
      () => (settled = true),
    );
    await fired;
    const other = await open();
    expect((await other.query('select 1 as it')).rows).toEqual([{ it: 1 }]);
    expect(settled).toBe(false);
    expect(only().open).toBe(true);
  });

  test('the client alone can be cut off: the server does not notice and works on', async () => {
    const client = await open();
    await client.query('create table if not exists fact (id int); truncate fact');
    const broken = client.query('insert into fact select 1 from pg_sleep(0.3)').then(
      () => 'answered',
      () => 'broken',
    );
    await until(async () => (await sql(database.url, `select 1 from pg_stat_activity where application_name = 'test' and state = 'active'`)).length === 1);
    only().cut('client');
    expect(await broken).toBe('broken');
    await until(async () => (await sql(database.url, 'select id from fact')).length === 1);
    expect(await backends()).toBe(1);
  });

  test('the server alone can be cut off: the client is told nothing', async () => {
    const client = await open();
    only().cut('server');
    let settled = false;
    client.query('select 1').then(
      () => (settled = true),
      () => (settled = true),
    );
    await until(async () => (await backends()) === 0);
    expect(settled).toBe(false);
  });

  test('a delay holds one direction from the k-th message on, loses nothing, and leaves the other connections alone', async () => {
    const client = await open();
    const { fired } = relay.plan({ direction: 'to-client', afterMessages: 0, how: 'delay', delayMs: 600 });
    const order: string[] = [];
    const late = client.query('select 1 as it').then(({ rows }) => order.push(`late ${rows[0]?.it}`));
    await until(
      async () => (await sql(database.url, `select 1 from pg_stat_activity where application_name = 'test' and query = 'select 1 as it'`)).length === 1,
    );
    const other = await open();
    order.push(`other ${(await other.query('select 2 as it')).rows[0]?.it}`);
    await fired;
    await late;
    expect(order).toEqual(['other 2', 'late 1']);
    expect((await client.query('select 3 as it')).rows).toEqual([{ it: 3 }]);
  });

  test('a duplicate brings the server everything once more: a proof of the password that was used before is refused, and nothing of it runs', async () => {
    relay.plan({ direction: 'to-server', afterMessages: 4, how: 'duplicate' });
    const client = await open();
    await client.query('create table if not exists once (n int)');
    await client.query('truncate once');
    await client.query('insert into once values (1)');
    await until(() => only().copies[0]?.includes('invalid SCRAM response') === true);
    expect((await client.query('select count(*)::int from once')).rows).toEqual([{ count: 1 }]);
    expect(await backends()).toBe(1);
  });

  test('a fault chooses its connections and its times', async () => {
    relay.plan({ direction: 'to-server', afterMessages: 1, how: 'reset', times: 2, where: (connection) => connection.startup.application_name === 'test' });
    await expect(open()).rejects.toBeDefined();
    await expect(open()).rejects.toBeDefined();
    const client = await open();
    expect((await client.query('select 1 as it')).rows).toEqual([{ it: 1 }]);
  });

  test('cutAll ends every connection on both sides', async () => {
    const all = await Promise.all([open(), open(), open()]);
    relay.cutAll();
    for (const client of all) await expect(client.query('select 1')).rejects.toBeDefined();
    await until(async () => (await backends()) === 0);
    expect(relay.connections.map(({ open: isOpen }) => isOpen)).toEqual([false, false, false]);
  });

  test('a client that leaves takes its backend along', async () => {
    const client = await open();
    expect(await backends()).toBe(1);
    await client.end();
    await until(async () => (await backends()) === 0);
    await until(() => !only().open);
  });
});

describe('a machine that asks whether the other one is there still', () => {
  let asking: Relay;

  beforeEach(async () => {
    const { hostname, port } = new URL(database.url);
    asking = await startRelay({ to: { host: hostname, port: Number(port) }, noticedAfterMs: 200 });
  });
  afterEach(() => asking.stop());

  async function openWith(options: string): Promise<pg.Client> {
    const url = new URL(database.url);
    url.port = String(asking.tcpPort);
    const client = new pg.Client({ connectionString: url.href, application_name: 'test', options });
    client.on('error', () => undefined);
    clients.push(client);
    await client.connect();
    return client;
  }

  test('ends the backend of a connection that has fallen silent, if the session wants that, and tells the client nothing', async () => {
    const client = await openWith('-c tcp_keepalives_idle=30');
    const { fired } = asking.plan({ direction: 'to-server', afterMessages: 0, how: 'silence' });
    let settled = false;
    const settle = (): boolean => (settled = true);
    client.query('select 1').then(settle, settle);
    await fired;
    await until(async () => (await backends()) === 0);
    expect(settled).toBe(false);
  });

  test('leaves one alone that does not', async () => {
    const client = await openWith('-c lock_timeout=0');
    const { fired } = asking.plan({ direction: 'to-server', afterMessages: 0, how: 'silence' });
    client.query('select 1').catch(() => undefined);
    await fired;
    const other = await openWith('-c tcp_keepalives_idle=30');
    asking.plan({ direction: 'to-server', afterMessages: 0, how: 'silence' });
    other.query('select 1').catch(() => undefined);
    await until(async () => (await backends()) === 1);
  });
});

describe('half-close', () => {
  test('to the server: it sees the end of the stream, and its last answers still arrive', async () => {
    const client = await overTcp();
    relay.plan({ direction: 'to-server', afterMessages: 1, how: 'half-close' });
    const { rows } = await client.query('select 7 as it from pg_sleep(0.1)');
    expect(rows).toEqual([{ it: 7 }]);
    await until(async () => (await backends()) === 0);
  });

  test('to the client: it sees the end of the stream', async () => {
    const client = await overTcp();
    relay.plan({ direction: 'to-client', afterMessages: 0, how: 'half-close' });
    await expect(client.query('select 1')).rejects.toThrow('Connection terminated');
  });
});

describe('waits', () => {
  test('a pipeline of many statements and Syncs is one', async () => {
    const client = await overTcp();
    const { waits } = only();
    const { connection } = client as unknown as { connection: pg.Connection & { parse(q: object): void; sync(): void } };
    relay.setDelay(20);
    await new Promise<void>((resolve) => {
      let ready = 0;
      connection.on('readyForQuery', () => ++ready === 10 && resolve());
      connection.stream.cork();
      for (let i = 0; i < 10; i++) {
        connection.parse({ text: `select ${i}` });
        connection.sync();
      }
      connection.stream.uncork();
    });
    expect(only().waits - waits).toBe(1);
  });

  test('an SSLRequest is one, and so is each later answer', async () => {
    const url = new URL(database.url);
    url.port = String(relay.tcpPort);
    const refused = new pg.Client({ connectionString: url.href, ssl: { rejectUnauthorized: false } });
    await expect(refused.connect()).rejects.toThrow('does not support SSL');
    expect(only()).toMatchObject({ waits: 1, toServer: { messages: 1, bytes: 8 }, toClient: { messages: 1, bytes: 1 } });
  });
});
