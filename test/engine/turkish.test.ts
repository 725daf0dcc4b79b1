/** A database whose collation folds letters otherwise than the server folds names: in Turkish, lower('I') is 'ı'. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dropDatabase, freshDatabase, type TestDatabase, withDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { passFiles } from './support.ts';

let database: TestDatabase;
let url: string;
/** Databases have a collation of ICU's from PostgreSQL 15 on. */
let isTurkish: boolean;

beforeEach(async () => {
  database = await freshDatabase();
  const [{ version }] = await sql(database.url, `select current_setting('server_version_num')::int as version`);
  isTurkish = version >= 150000;
  if (!isTurkish) return;
  const name = `${database.name}_tr`;
  await sql(database.url, `create database ${name} template template0 encoding 'UTF8' locale_provider icu icu_locale 'tr' lc_collate 'C' lc_ctype 'C'`);
  url = withDatabase(database.url, name);
  expect(await sql(url, `select lower('I') as i`)).toEqual([{ i: 'ı' }]);
});

afterEach(async () => {
  if (isTurkish) await dropDatabase(database.url, `${database.name}_tr`);
  await database.drop();
});

describe('in capitals', () => {
  it.each(['auto', 'per-step', 'none'] as const)('files are cut and run as anywhere else: %s', async (transaction) => {
    if (!isTurkish) return;
    await passFiles(
      url,
      {
        '1.sql':
          'BEGIN;\nCREATE FUNCTION PUBLIC.FI() RETURNS INT LANGUAGE SQL BEGIN ATOMIC SELECT 1; SELECT 2; END;\nCREATE TABLE PUBLIC.CI (ID INT, "ID2" INT);\nCOMMIT;\n',
        '2.sql': `COPY PUBLIC.CI (ID, "ID2") FROM STDIN WITH (DELIMITER ',', FORMAT CSV);\n1,2\n\\.\n`,
        ...(transaction === 'none' && { '3.sql': 'CREATE INDEX CONCURRENTLY CI_ID ON PUBLIC.CI (ID);\nREINDEX INDEX CONCURRENTLY CI_ID;\n' }),
      },
      transaction,
    );
    expect(await sql(url, 'select fi(), ci.id, ci."ID2" as id2 from ci')).toEqual([{ fi: 2, id: 1, id2: 2 }]);
    const indexes = transaction === 'none' ? [{ indexname: 'ci_id' }] : [];
    expect(await sql(url, `select indexname from pg_indexes where tablename = 'ci'`)).toEqual(indexes);
  });
});
