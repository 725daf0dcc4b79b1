/** docs/MOVING.md: a database that Flyway has made goes on with Weft, and a changelog of Liquibase is taken apart. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeWorkplace, runShell, snippet } from './snippets.ts';

const PAGE = 'docs/MOVING.md';
const place = makeWorkplace();
let database: TestDatabase;

beforeAll(async () => {
  database = await emptyDatabase();
});

afterAll(async () => {
  await database.drop();
  place.remove();
});

const put = (folder: string, files: Readonly<Record<string, string>>): void => {
  mkdirSync(join(place.path, folder), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(place.path, folder, name), text);
};
const shell = (name: string) => runShell(snippet(PAGE, name), { cwd: place.path, env: { DATABASE_URL: database.url } });

describe('from Flyway', () => {
  const MIGRATIONS = {
    'V1__shop.sql': 'create table orders (id int primary key);\n',
    'V2__total.sql': 'alter table orders add column total numeric;\n',
    'V10__staff.sql': 'create table staff (id int primary key);\n',
    'V11__paid.sql': 'alter table orders add column paid boolean;\n',
    'R__unpaid.sql': 'create or replace view unpaid as select id from orders where total is null;\n',
  };

  test('the folder is a bundle in the order of its versions', async () => {
    put('migrations', MIGRATIONS);
    const { code, stdout, all } = await shell('flyway');
    expect(code, all).toBe(0);
    expect([...stdout.matchAll(/[VR]\d*__\w+\.sql/g)].map(String)).toEqual(Object.keys(MIGRATIONS));
    expect(all).not.toContain('warning');
  });

  test('what Flyway has run is recorded, and only the rest is still to be run', async () => {
    const done = Object.entries(MIGRATIONS).filter(([name]) => name !== 'V11__paid.sql');
    for (const [, text] of done) await sql(database.url, text);
    await sql(database.url, 'create table flyway_schema_history (installed_rank int primary key, script text, success boolean)');
    const { code, stdout, all } = await shell('record');
    expect(code, all).toBe(0);
    expect(stdout).toContain('2 of 5 steps would run');
  });

  test('the next deployment runs it, and drift is none', async () => {
    const { code, all } = await shell('deploy');
    expect(code, all).toBe(0);
    expect(await sql(database.url, 'select id, total, paid from orders')).toEqual([]);
    const drift = await runShell('npx weft drift', { cwd: place.path, env: { DATABASE_URL: database.url } });
    expect(drift.code, drift.all).toBe(0);
  });
});

test('a changelog of Liquibase becomes a file for each changeset, with its undo', async () => {
  put('changelog', {
    '001_shop.sql':
      '--liquibase formatted sql\n\n--changeset ana:orders splitStatements:false\ncreate table orders (id int);\n--rollback drop table orders;\n\n-- changeset bo:total/1\nalter table orders add column total numeric;\n-- rollback alter table orders\n-- rollback   drop column total;\n',
    '002_staff.sql': '--liquibase formatted sql\n--changeset ana:staff runOnChange:true\ncreate table staff (id int);\n',
  });
  const { code, all } = await shell('liquibase');
  expect(code, all).toBe(0);
  const shown = (kind: string): Record<string, string> =>
    Object.fromEntries(
      readdirSync(join(place.path, 'shop', kind))
        .sort()
        .map((name) => [name, readFileSync(join(place.path, 'shop', kind, name), 'utf8')]),
    );
  expect(shown('down')).toEqual({ '0001_ana_orders.sql': 'drop table orders;\n', '0002_bo_total_1.sql': 'alter table orders\ndrop column total;\n' });
  expect(Object.keys(shown('up'))).toEqual(['0001_ana_orders.sql', '0002_bo_total_1.sql', '0003_ana_staff.sql']);
  expect(shown('up')['0003_ana_staff.sql']).toBe('--changeset ana:staff runOnChange:true\ncreate table staff (id int);\n');
});
