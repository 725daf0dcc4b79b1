/**
 * A new database for a test, on the server of this run (global_setup.ts), with the engine in it or empty. It belongs to a role that is
 * no superuser, as in real life.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import type { TestServer } from './global_setup.ts';
import { keeper } from './keeper.ts';
import { sql } from './sql.ts';

export type { TestServer } from './global_setup.ts';

export interface TestDatabase {
  readonly name: string;
  /** Of the owner. */
  readonly url: string;
  /** Of the superuser, in this database; null on a server that was given (source.ts). */
  readonly superuserUrl: string | null;
  /** A plain session of node-postgres; whoever opens it ends it. */
  client(): Promise<pg.Client>;
  /** Drops it, whoever is still connected. */
  drop(): Promise<void>;
}

let server: Promise<TestServer> | undefined;

/** The server of this run; the first call starts it. */
export function testServer(): Promise<TestServer> {
  server ??= (async () => {
    const response = await fetch(inject('testServerAddress'));
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as TestServer;
  })();
  return server;
}

/** Makes a database that holds the engine and nothing else (template.ts). */
export async function freshDatabase(): Promise<TestDatabase> {
  return makeDatabase((await testServer()).copying.engine);
}

/** Makes an empty database, for who tests how the engine comes into one, or needs none. */
export async function emptyDatabase(): Promise<TestDatabase> {
  return makeDatabase((await testServer()).copying.nothing);
}

async function makeDatabase(clause: string): Promise<TestDatabase> {
  const { url, superuserUrl } = await testServer();
  const name = `weft_test_${randomBytes(6).toString('hex')}`;
  await keeper(url).run(`create database ${name}${clause}`);
  const own = withDatabase(url, name);
  return {
    name,
    url: own,
    superuserUrl: superuserUrl === null ? null : withDatabase(superuserUrl, name),
    client: async () => {
      const client = new pg.Client({ connectionString: own });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    },
    drop: async () => {
      await dropBy((statement) => keeper(superuserUrl ?? url).run(statement), name);
    },
  };
}

/** Drops a database that a test has made beside its own. */
export const dropDatabase = (url: string, name: string): Promise<void> => dropBy((statement) => sql(url, statement), name);

/** An autovacuum worker may be in it, which only a superuser may end (42501): anybody else waits until it has gone. */
async function dropBy(run: (statement: string) => Promise<unknown>, name: string): Promise<void> {
  const endAt = Date.now() + 30_000;
  for (;;) {
    try {
      await run(`drop database if exists ${name} with (force)`);
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== '42501' || Date.now() > endAt) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** The same address, another database. */
export function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
