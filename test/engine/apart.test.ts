/** Steps that the server runs in no transaction: statement by statement, and at top level what is handed out. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

const deployed = (files: Record<string, string>, options: Parameters<typeof deployFiles>[2] = {}) => deployFiles(connectOver(database.url), files, options);
const kinds = async () => (await sql(database.url, 'select kind from weft.events order by at, number')).map(({ kind }) => kind);

describe.each(['auto', 'none'] as const)('transaction: %s', (transaction) => {
  it('builds an index concurrently, in its place between other statements', async () => {
    const done = await deployed(
      {
        'a.sql': 'create table t (a int);\ninsert into t select generate_series(1, 100);\ncreate index concurrently t_a on t (a);\ninsert into t values (101);',
      },
      { transaction },
    );
    expect(done).toMatchObject({ state: 'succeeded', error: null });
    expect(await sql(database.url, `select indisvalid from pg_index where indexrelid = 't_a'::regclass`)).toEqual([{ indisvalid: true }]);
    expect(await sql(database.url, 'select count(*)::int from t')).toEqual([{ count: 101 }]);
    expect(done.phases[0]?.steps[0]).toMatchObject({ state: 'succeeded', statements: 4 });
    expect(await kinds()).toContain('statement_sent');
    expect(await sql(database.url, 'select from weft._statements')).toEqual([]);
  });
});
