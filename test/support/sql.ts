/**
 * Facts, looked at from a session of their own.
 */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';

/** Sessions that nobody is in, by address: to sign in takes longer than most of what is looked at. */
const idle = new Map<string, pg.Client[]>();
const idle_count_max = 8;

/**
 * Runs one statement (or several, without values) in a session that is as a new one: nothing that it sets or makes is left for the next.
 * What `alter role` and `alter database` set is what it was when the session began; `leave` ends it.
 * @returns the rows of the last one, as node-postgres reads them
 */
// biome-ignore lint/suspicious/noExplicitAny: rows of a test, of whatever shape it asked for
export async function sql(url: string, text: string, values?: readonly unknown[]): Promise<any[]> {
  return runIn(url, (await takeKept(url)) ?? (await connect(url)), text, values);
}

/** One that is kept and still there: it may have been ended while nobody was in it. */
async function takeKept(url: string): Promise<pg.Client | undefined> {
  const kept = idle.get(url)?.pop();
  return kept?.query('select').then(
    () => kept,
    () => undefined,
  );
}

/** The same in a session that begins now and ends with it: where sessions are counted, and servers killed all the time. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export async function sqlAnew(url: string, text: string, values?: readonly unknown[]): Promise<any[]> {
  const client = await connect(url);
  try {
    return rowsOf(await client.query(text, values as unknown[] | undefined));
  } finally {
    await client.end();
  }
}

/** Leaves a database alone: for who copies it or gives it another name, and nobody may be in it. */
export async function leave(url: string): Promise<void> {
  await Promise.all((idle.get(url) ?? []).map((client) => client.end()));
}

async function runIn(url: string, client: pg.Client, text: string, values: readonly unknown[] | undefined): ReturnType<typeof sql> {
  try {
    const rows = rowsOf(await client.query(text, values as unknown[] | undefined));
    if (/\bcall weft\./i.test(text)) {
      await client.end(); // who called the engine may be waited for
      return rows;
    }
    await client.query('discard all').then(
      () => keep(url, client),
      () => void client.end(), // a transaction is open
    );
    return rows;
  } catch (error) {
    void client.end();
    throw error;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: as above
const rowsOf = (result: pg.QueryResult | pg.QueryResult[]): any[] => (Array.isArray(result) ? result.at(-1) : result)?.rows ?? [];

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  const forget = () => {
    const sessions = idle.get(url)?.filter((other) => other !== client) ?? [];
    if (sessions.length > 0) idle.set(url, sessions);
    else idle.delete(url);
  };
  client.on('error', forget).on('end', forget);
  await client.connect();
  return client;
}

function keep(url: string, client: pg.Client): void {
  const sessions = idle.get(url) ?? [];
  idle.delete(url); // so that the one that was used last is the last
  idle.set(url, [...sessions, client]);
  for (const [oldest, clients] of idle) {
    if (idle.size <= idle_count_max) break;
    idle.delete(oldest);
    for (const old of clients) void old.end();
  }
}

/** What the server of this run has logged, where its files are on this machine (`offers('processes to stop')`). @param from where to begin, in bytes */
export async function serverLog(superuserUrl: string, from = 0): Promise<string> {
  const log = await open(await nameLog(superuserUrl));
  try {
    const { size } = await log.stat();
    return (await log.read(Buffer.alloc(size - from), 0, size - from, from)).buffer.toString('utf8');
  } finally {
    await log.close();
  }
}

/** Where the server's log ends now, in bytes: behind a run of all tests it is long, so whoever looks for what one test has left there begins here. */
export async function serverLogEnd(superuserUrl: string): Promise<number> {
  return (await stat(await nameLog(superuserUrl))).size;
}

async function nameLog(superuserUrl: string): Promise<string> {
  const [{ directory }] = await sql(superuserUrl, `select current_setting('data_directory') as directory`);
  return join(directory, '..', 'log');
}
