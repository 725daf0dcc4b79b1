/**
 * A database that holds nothing but the engine, to be copied: to lay the engine anew in each database of two thousand tests would take
 * longer than the tests. That it is laid, and how, is shown by tests that begin with an empty database.
 */
import { randomBytes } from 'node:crypto';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { sql } from './sql.ts';

/** Makes it. @param url of the role that shall own it and its copies @returns its name */
export async function makeTemplate(url: string): Promise<string> {
  const name = `weft_test_template_${randomBytes(6).toString('hex')}`;
  await sql(url, `create database ${name}`);
  const within = new URL(url);
  within.pathname = `/${name}`;
  const session = await connectTo({ connectionString: within.href, transport: 'tcp', applicationName: 'the template' })();
  try {
    await ensureEngine(session);
  } finally {
    await session.close();
  }
  // A database that somebody is in is not copied.
  await sql(url, `alter database ${name} with allow_connections false`);
  return name;
}

/**
 * What stands behind `create database NAME`.
 * @param copied null for an empty database
 * @param version of the server, as `server_version_num`
 * @param isForgetful whether the server may forget all in a power cut: then whole files are copied, which is far cheaper, and before
 * PostgreSQL 15 the only way
 */
export function copyClause(copied: string | null, version: number, isForgetful: boolean): string {
  return `${copied === null ? '' : ` template ${copied}`}${isForgetful && version >= 150000 ? ' strategy file_copy' : ''}`;
}
