/**
 * The local PostgreSQL: what it is started with, what a kill leaves behind, and who goes on with it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';
import { type Postgres, type PostgresOptions, startPostgres } from '../../src/dev/postgres.ts';
import { childrenOf, commandLineOf, isAlive } from '../../src/dev/processes.ts';
import { startRelay } from '../../src/dev/relay.ts';
import { Problem } from '../../src/domain/problem.ts';
import { sqlAnew as sql } from '../support/sql.ts';

const servers: Postgres[] = [];
const parents: ChildProcess[] = [];
const homes: string[] = [];

afterEach(async () => {
  for (const parent of parents.splice(0)) parent.kill('SIGKILL');
  for (const server of servers.splice(0)) await server.stop();
  for (const home of homes.splice(0)) rmSync(home, { recursive: true, force: true });
});

async function start(options: PostgresOptions = {}): Promise<Postgres> {
  const server = await startPostgres(options);
  servers.push(server);
  if (options.persistent) homes.push(server.home);
  return server;
}

/** Starts a server in a process of its own, which can then be killed. */
async function startElsewhere(options: PostgresOptions = {}): Promise<{ parent: ChildProcess; pid: number; home: string; url: string }> {
  const module = new URL('../../src/dev/postgres.ts', import.meta.url).href;
  const script = `const { startPostgres } = await import(${JSON.stringify(module)});
    const { pid, home, url } = await startPostgres(${JSON.stringify(options)});
    console.log(JSON.stringify({ pid, home, url }));
    setInterval(() => undefined, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  parents.push(parent);
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: parent.stdout as NodeJS.ReadableStream }).once('line', resolve);
    parent.once('exit', () => reject(new Error('the other process ended')));
  });
  return { parent, ...(JSON.parse(line) as { pid: number; home: string; url: string }) };
}

async function until(truth: () => boolean): Promise<void> {
  while (!truth()) await new Promise((resolve) => setTimeout(resolve, 20));
}

const uniqueName = (): string => `test-${randomBytes(4).toString('hex')}`;

describe('a server for a test', () => {
  test('listens on 127.0.0.1 with a random password, holds a hundred connections, speaks UTF-8', async () => {
    const server = await start({ settings: { work_mem: '7MB' } });
    const [facts] = await sql(
      server.url,
      `select current_setting('listen_addresses') as host, current_setting('max_connections') as connections, current_setting('server_encoding') as encoding,
              current_setting('work_mem') as work_mem, current_setting('unix_socket_directories') as sockets`,
    );
    expect(facts).toEqual({ host: '127.0.0.1', connections: '100', encoding: 'UTF8', work_mem: '7MB', sockets: '' });
    await expect(sql(server.url.replace(/:[^:@]+@/, ':wrong@'), 'select 1')).rejects.toThrow('password authentication failed');
  });

  test('leaves nothing when it is stopped', async () => {
    const server = await startPostgres();
    await server.stop();
    expect(isAlive(server.pid)).toBe(false);
    expect(existsSync(server.home)).toBe(false);
  });

  test('goes when its process is killed', async () => {
    const { parent, pid, home } = await startElsewhere();
    parent.kill('SIGKILL');
    await until(() => !isAlive(pid) && !existsSync(home));
  });

  test('is cleared by the next start when the watchdog was killed too', async () => {
    const { parent, pid, home } = await startElsewhere();
    for (const child of childrenOf(parent.pid ?? 0)) if (commandLineOf(child).startsWith('/bin/sh')) process.kill(child, 'SIGKILL');
    parent.kill('SIGKILL');
    await until(() => !isAlive(parent.pid ?? 0));
    await start();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(home)).toBe(false);
  });

  test('of a living process is left alone by the next start', async () => {
    const { pid, url } = await startElsewhere();
    await start();
    expect(isAlive(pid)).toBe(true);
    expect(await sql(url, 'select 1 as it')).toEqual([{ it: 1 }]);
  });

  test('after kill -9 with a statement in flight it restarts at the same address, with just what was committed', async () => {
    const server = await start();
    const { url, port } = server;
    await sql(url, 'create table fact as select 1 as id');
    const broken = sql(url, 'insert into fact values (2); select pg_sleep(60)').catch((error: Error) => error);
    while ((await sql(url, `select 1 from pg_stat_activity where query like '%pg_sleep(60)' and pid <> pg_backend_pid()`)).length === 0);
    await server.kill9();
    expect(await broken).toBeInstanceOf(Error);
    await server.restart();
    expect({ url: server.url, port: server.port }).toEqual({ url, port });
    expect(await sql(url, 'select id from fact')).toEqual([{ id: 1 }]);
  });

  test('asks for the password in clear when told so', async () => {
    for (const [authMethod, waits] of [
      ['password', 2],
      ['scram-sha-256', 3],
    ] as const) {
      const server = await start({ authMethod });
      const relay = await startRelay({ to: { host: '127.0.0.1', port: server.port } });
      const url = server.url.replace(`:${server.port}/`, `:${relay.tcpPort}/`);
      await sql(url, 'select 1');
      // The query is one wait more than signing in.
      expect(relay.connections[0]?.waits).toBe(waits + 1);
      await relay.stop();
    }
  });

  test('that cannot start says why', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => squatter.once('listening', resolve));
    const { port } = squatter.address() as { port: number };
    const refusal = await startPostgres({ port }).catch((error: unknown) => error);
    squatter.close();
    expect(refusal).toBeInstanceOf(Problem);
    expect(String(refusal)).toContain('Address already in use');
  });
});

describe('a persistent server', () => {
  test('keeps its data and its password over a stop', async () => {
    const name = uniqueName();
    const first = await start({ persistent: true, name });
    await sql(first.url, 'create table fact as select 1 as id');
    await first.stop();
    const second = await start({ persistent: true, name, port: first.port });
    expect(second.url).toBe(first.url);
    expect(await sql(second.url, 'select id from fact')).toEqual([{ id: 1 }]);
  });

  test('outlives the kill of its process; the next start finds it, and stops it in the end', async () => {
    const name = uniqueName();
    const { parent, pid } = await startElsewhere({ persistent: true, name });
    parent.kill('SIGKILL');
    await until(() => !isAlive(parent.pid ?? 0));
    const found = await start({ persistent: true, name });
    expect({ origin: found.origin, pid: found.pid }).toEqual({ origin: 'found', pid });
    await found.stop();
    expect(isAlive(pid)).toBe(false);
  });

  test('of a living process is shared, and not stopped by the guest', async () => {
    const name = uniqueName();
    const { pid } = await startElsewhere({ persistent: true, name });
    const guest = await start({ persistent: true, name });
    expect({ origin: guest.origin, pid: guest.pid }).toEqual({ origin: 'shared', pid });
    await guest.stop();
    expect(isAlive(pid)).toBe(true);
    // So that nothing is left: as its owner would.
    process.kill(pid, 'SIGINT');
    await until(() => !isAlive(pid));
  });

  test('that was killed with its process recovers at the next start, stale postmaster.pid or not', async () => {
    const name = uniqueName();
    const { parent, pid, url } = await startElsewhere({ persistent: true, name });
    await sql(url, 'create table fact as select 1 as id');
    process.kill(pid, 'SIGKILL');
    parent.kill('SIGKILL');
    await until(() => !isAlive(parent.pid ?? 0) && !isAlive(pid));
    const again = await start({ persistent: true, name });
    expect(again.origin).toBe('started');
    expect(await sql(again.url, 'select id from fact')).toEqual([{ id: 1 }]);
  });
});
