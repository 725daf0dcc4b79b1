/**
 * The server under the benchmarks: the embedded PostgreSQL 18 with its default settings, so with fsync, unlike that of the tests. Its
 * databases belong to a role that is no superuser, and none is dropped before the end: after a DROP DATABASE the file system takes seconds
 * to find free inodes, and the next run would pay for it.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { connectTo } from '../src/database/connect.ts';
import { ensureEngine } from '../src/database/engine.ts';
import { startPostgres } from '../src/dev/postgres.ts';

const ROLE = 'bench';

export interface BenchServer {
  readonly host: string;
  readonly port: number;
  /**
   * Makes a database.
   * @param engine whether Weft's engine is installed in it
   * @returns its connection string, for its owner
   */
  createDatabase(name: string, engine: boolean): Promise<string>;
  /** Writes out what is dirty, so that one run does not pay for the one before. */
  checkpoint(): Promise<void>;
  /** One statement, as the superuser, in the database of this connection string. */
  // biome-ignore lint/suspicious/noExplicitAny: rows of whatever shape was asked for
  query(database: string, text: string, values?: readonly unknown[]): Promise<any[]>;
  stop(): Promise<void>;
}

/**
 * Starts a server of its own for one benchmark, and prints what of it matters.
 * @param settings beside the defaults; they are printed
 */
export async function startBenchServer(settings: Readonly<Record<string, string>> = {}): Promise<BenchServer> {
  // What startPostgres() turns off for tests is on again here.
  const postgres = await startPostgres({ settings: { fsync: 'on', full_page_writes: 'on', ...settings } });
  const admin = new pg.Client({ connectionString: postgres.url });
  try {
    await admin.connect();
    const password = randomBytes(18).toString('base64url');
    await admin.query(`create role ${ROLE} login password '${password}'`);
    const { rows } = await admin.query(`select current_setting('server_version') as version, current_setting('fsync') as fsync`);
    const own = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
    console.log(`PostgreSQL ${rows[0].version}, embedded, default settings (fsync ${rows[0].fsync})${own.length === 0 ? '' : `, but ${own.join(', ')}`}`);
    return {
      host: '127.0.0.1',
      port: postgres.port,
      async createDatabase(name, engine) {
        await admin.query(`create database ${name} owner ${ROLE}`);
        const url = new URL(postgres.url);
        url.username = ROLE;
        url.password = password;
        url.pathname = `/${name}`;
        if (engine) await installEngine(url.href);
        return url.href;
      },
      checkpoint: async () => void (await admin.query('checkpoint')),
      query: async (database, text, values = []) => {
        const url = new URL(postgres.url);
        url.pathname = new URL(database).pathname;
        const client = new pg.Client({ connectionString: url.href });
        await client.connect();
        try {
          return (await client.query(text, [...values])).rows;
        } finally {
          await client.end();
        }
      },
      async stop() {
        await admin.end();
        await postgres.stop();
      },
    };
  } catch (error) {
    await admin.end().catch(() => undefined);
    await postgres.stop();
    throw error;
  }
}

async function installEngine(connectionString: string): Promise<void> {
  const session = await connectTo({ connectionString, transport: 'tcp', applicationName: 'bench install' })();
  try {
    await ensureEngine(session);
  } finally {
    await session.close();
  }
}

/** The same database, through another door. */
export function throughPort(connectionString: string, port: number): string {
  const url = new URL(connectionString);
  url.port = String(port);
  return url.href;
}
