/**
 * A server that the tests start themselves, embedded or in a container (source.ts), and the role that they are on it.
 */
import pg from 'pg';
import { startPostgres } from '../../src/dev/postgres.ts';
import type { Source } from './source.ts';
import { installPostgres } from './versions.ts';

export interface Server {
  /** Of the superuser `postgres`, database `postgres`. */
  readonly url: string;
  readonly port: number;
  /** Stops it, and removes its data. */
  stop(): Promise<void>;
  /** Kills postmaster and backends at once, as a power cut would. The data stays. */
  kill9(): Promise<void>;
  /** Starts it again on the same data and port, after an ordered stop if it still runs. */
  restart(): Promise<void>;
}

export interface ServerOptions {
  readonly settings?: Readonly<Record<string, string>>;
  /** How passwords travel. */
  readonly authMethod?: 'scram-sha-256' | 'password';
}

/**
 * Starts a server of this source, for whoever stops it.
 * @throws Error on a source that is a server already: what needs one to kill stands under `runIf(offers('servers to kill'))`
 */
export async function startServer(source: Source, options: ServerOptions = {}): Promise<Server> {
  if (source.kind === 'given') throw new Error("No server is started beside a given one: put this test under runIf(offers('servers to kill'))");
  if (source.kind === 'container') return (await import('./container.ts')).startContainer(source.image, options);
  await installPostgres(source.version);
  return startPostgres({ ...options, version: source.version, inMemory: true, largePages: true });
}

/**
 * Makes the role `weft_test`, which is no superuser.
 * @param marks what it may do, in words of CREATE ROLE
 * @returns its address in the database `postgres`
 */
export async function makeRole({ url }: Server, marks: string, password: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  await client.query(`create role weft_test login ${marks} password ${pg.escapeLiteral(password)}`).finally(() => client.end());
  const own = new URL(url);
  own.username = 'weft_test';
  own.password = password;
  return own.href;
}
