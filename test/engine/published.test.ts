/** A publication FOR ALL TABLES would send the engine's tables to subscribers that have none of that name, and stop those. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { readEngine, renderInstallation } from '../../src/database/install.ts';
import type { Session } from '../../src/database/session.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let sessions: Session[] = [];

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(async () => {
  await Promise.all(sessions.map((session) => session.close()));
  sessions = [];
  await database.drop();
});

async function connect(): Promise<Session> {
  const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  sessions.push(session);
  return session;
}

it.runIf(offers('a superuser'))(
  'a database that publishes all of its tables does not get the engine unasked: a subscriber without its tables would stop, for all tables',
  async () => {
    await sql(database.superuserUrl ?? '', 'create publication everything for all tables');
    const session = await connect();
    await expect(ensureEngine(session)).rejects.toMatchObject({
      slug: 'all_tables_published',
      message: expect.stringMatching(/publication everything publishes all tables.*Nothing was changed.*weft install --published/),
    });
    expect(await sql(database.url, `select to_regnamespace('weft') as there`)).toEqual([{ there: null }]);
    await expect(sql(database.url, renderInstallation(null, await readEngine()))).rejects.toMatchObject({ code: 'WF025' });
    await session.pipeline([{ kind: 'simple', text: `set weft.published = 'yes'` }]);
    expect(await ensureEngine(session)).toMatchObject({ changed: true });
    expect(await ensureEngine(await connect())).toMatchObject({ changed: false });
  },
);

it('a publication of some tables is no hindrance', async () => {
  await sql(database.url, 'create table t (n int); create publication part for table t');
  expect(await ensureEngine(await connect())).toMatchObject({ changed: true });
});
