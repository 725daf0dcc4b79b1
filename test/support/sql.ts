/**
 * Facts, looked at from a session of their own.
 */
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
