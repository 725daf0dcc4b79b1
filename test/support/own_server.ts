/**
 * A PostgreSQL of a test's own, to be killed: from where this run's comes, with a role that is no superuser. For tests under
 * `runIf(offers('servers to kill'))`.
 */
import { withDatabase } from './database.ts';
import { makeRole, type Server, startServer } from './server.ts';
import { chooseSource } from './source.ts';
import { sql } from './sql.ts';
import { makeTemplate } from './template.ts';

export interface OwnServer {
  readonly postgres: Server;
  /** Of the role, in the database `postgres`. */
  readonly url: string;
  /** Makes a database that belongs to the role. @returns its address, for the role */
  createDatabase(): Promise<string>;
  /** The same with the engine in it. */
  createDatabaseWithEngine(): Promise<string>;
}

export async function startOwnServer(settings: Readonly<Record<string, string>> = {}): Promise<OwnServer> {
  const postgres = await startServer(chooseSource(), { settings });
  const url = await makeRole(postgres, 'createdb', 'weft_test');
  let count = 0;
  let template: Promise<string> | undefined;
  const create = async (copied: string | null): Promise<string> => {
    const name = `weft_test_${++count}`;
    await sql(postgres.url, `create database ${name} owner weft_test${copied === null ? '' : ` template ${copied}`}`);
    return withDatabase(url, name);
  };
  return {
    postgres,
    url,
    createDatabase: () => create(null),
    async createDatabaseWithEngine() {
      template ??= makeTemplate(url);
      return create(await template);
    },
  };
}
