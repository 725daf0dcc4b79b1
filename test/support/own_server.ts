/** A PostgreSQL of a test's own, to be killed: of the version that this run is for, with a role that is no superuser. */
import pg from 'pg';
import { type Postgres, startPostgres } from '../../src/dev/postgres.ts';
import { POSTGRES_VERSIONS } from '../../src/dev/postgres_binaries.ts';
import { withDatabase } from './database.ts';
import { installPostgres } from './versions.ts';

export interface OwnServer {
  readonly postgres: Postgres;
  /** Makes a database that belongs to the role. @returns its address, for the role */
  createDatabase(): Promise<string>;
}

export async function startOwnServer(settings: Readonly<Record<string, string>> = {}): Promise<OwnServer> {
  const version = POSTGRES_VERSIONS.find((known) => known === (process.env.WEFT_TEST_POSTGRES || '18')) ?? '18';
  await installPostgres(version);
  const postgres = await startPostgres({ version, settings });
  const admin = async (text: string) => {
    const client = new pg.Client({ connectionString: postgres.url });
    client.on('error', () => undefined);
    await client.connect();
    await client.query(text).finally(() => client.end());
  };
  await admin(`create role weft_test login createdb password 'weft_test'`);
  let count = 0;
  return {
    postgres,
    async createDatabase() {
      const name = `weft_test_${++count}`;
      await admin(`create database ${name} owner weft_test`);
      const url = new URL(withDatabase(postgres.url, name));
      url.username = 'weft_test';
      url.password = 'weft_test';
      return url.href;
    },
  };
}
