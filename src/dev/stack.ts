/**
 * The local stack: PostgreSQL with data that stays, the relay, and the Worker. `npm start` and `weft dev` bring it up; what they then do with
 * it is theirs.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { makeCallerSecret, startEdge } from './edge.ts';
import { type Postgres, startPostgres } from './postgres.ts';

const TARGET = 'local';
const CALLER = 'you';
const DATABASE = 'local';
/** Owns the database; no superuser, because Weft needs none. Not called like the schema, which would stand first in its search_path. */
const ROLE = 'developer';
const PREFERRED_PORTS = { worker: 8787, relay: 54330, postgres: 54329 };

export interface StackOptions {
  /** Names the data, so that there can be several. */
  readonly data?: string;
  /** Of the Worker, when it is free. */
  readonly port?: number;
  /** Receives what happens, a line at a time. */
  readonly log?: (line: string) => void;
  /** Receives what the Worker writes to its console. */
  readonly onWorkerLog?: (line: string, level: string) => void;
}

export interface Stack {
  /** Origin of the Worker. */
  readonly url: string;
  /** Connection string of the database, for psql. */
  readonly database: string;
  readonly target: string;
  readonly caller: string;
  /** The caller's secret; the same at every start. */
  readonly secret: string;
  /** The folder with the data. */
  readonly folder: string;
  close(): Promise<void>;
}

/**
 * Brings the stack up. Ports that are taken are replaced by free ones, and `log` hears of it.
 * @throws Problem invalid_configuration when PostgreSQL cannot run here
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const log = options.log ?? (() => undefined);
  const ports = { ...PREFERRED_PORTS, worker: options.port ?? PREFERRED_PORTS.worker };
  const postgres = await startPostgres({ persistent: true, name: options.data ?? 'main', preferredPort: ports.postgres });
  try {
    log(describe(postgres));
    sayIfOther(log, 'PostgreSQL', ports.postgres, postgres.port);
    const { rolePassword, callerSecret } = keptSecrets(postgres.home);
    const database = await prepareDatabase(postgres.url, DATABASE, rolePassword);
    const edge = await startEdge({
      databaseUrl: database,
      target: TARGET,
      caller: CALLER,
      secret: callerSecret,
      preferredPorts: ports,
      ...(options.onWorkerLog === undefined ? {} : { onLog: options.onWorkerLog }),
    });
    sayIfOther(log, 'the relay', ports.relay, edge.relay.port);
    sayIfOther(log, 'the Worker', ports.worker, Number(new URL(edge.origin).port));
    log(`The Worker runs in workerd at ${edge.origin}; between them a WebSocket relay at ${edge.relay.url}.`);
    return {
      url: edge.origin,
      database,
      target: TARGET,
      caller: CALLER,
      secret: callerSecret,
      folder: postgres.home,
      close: async () => {
        await edge.stop();
        await postgres.stop();
      },
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

function describe({ origin, port }: Postgres): string {
  const where = `at 127.0.0.1:${port}`;
  if (origin === 'found') return `PostgreSQL 18 was still running ${where} after an earlier start was killed; going on with it.`;
  if (origin === 'shared') return `PostgreSQL 18 runs ${where} already, for another local stack; sharing it. It ends with that one.`;
  return `PostgreSQL 18 runs ${where}.`;
}

function sayIfOther(log: (line: string) => void, what: string, wanted: number, got: number): void {
  if (wanted !== got) log(`Port ${wanted} is taken; ${what} listens at ${got}.`);
}

/** Passwords of this data folder, made once, so that what was copied from an earlier start still works. */
function keptSecrets(home: string): { rolePassword: string; callerSecret: string } {
  const file = join(home, 'stack.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as { rolePassword: string; callerSecret: string };
  const secrets = { rolePassword: randomBytes(18).toString('base64url'), callerSecret: makeCallerSecret() };
  writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
  return secrets;
}

/** Makes the role and a database of its own where they are missing. @returns the role's connection string */
export async function prepareDatabase(superuserUrl: string, database: string, password: string): Promise<string> {
  const client = new pg.Client({ connectionString: superuserUrl });
  await client.connect();
  try {
    const roles = await client.query('select 1 from pg_roles where rolname = $1', [ROLE]);
    if (roles.rowCount === 0) await client.query(`create role ${ROLE} login password ${pg.escapeLiteral(password)}`);
    const databases = await client.query('select 1 from pg_database where datname = $1', [database]);
    if (databases.rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(database)} owner ${ROLE}`);
  } finally {
    await client.end();
  }
  const url = new URL(superuserUrl);
  url.username = ROLE;
  url.password = password;
  url.pathname = `/${database}`;
  return url.href;
}
