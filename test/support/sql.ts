/**
 * Facts, looked at from a session of their own.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';

/**
 * Runs one statement (or several, without values) in a new session.
 * @returns the rows of the last one, as node-postgres reads them
 */
// biome-ignore lint/suspicious/noExplicitAny: rows of a test, of whatever shape it asked for
export async function sql(url: string, text: string, values?: readonly unknown[]): Promise<any[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const result = await client.query(text, values as unknown[] | undefined);
    return (Array.isArray(result) ? result.at(-1) : result).rows;
  } finally {
    await client.end();
  }
}

/** All that the server of this run has logged, where its files are on this machine (`offers('processes to stop')`). */
export async function serverLog(superuserUrl: string): Promise<string> {
  const [{ directory }] = await sql(superuserUrl, `select current_setting('data_directory') as directory`);
  return readFile(join(directory, '..', 'log'), 'utf8');
}
