/** A bundle that can be undone, file by file, and what is in the database of it. */
import { sql } from '../support/sql.ts';

export const YAML = `name: shop
phases:
  - name: schema
    transaction: single
    steps: [{ run: "schema/*.sql", undo: "undo/*.sql" }]
`;
export const FILES = {
  'weft.yaml': YAML,
  'schema/1_a.sql': 'create table a (n int);',
  'undo/1_a.sql': 'drop table a;',
  'schema/2_b.sql': 'create table b (n int);',
  'undo/2_b.sql': 'drop table b;',
};

export const tablesIn = async (url: string): Promise<string[]> =>
  (await sql(url, `select tablename from pg_tables where schemaname = 'public' order by 1`)).map(({ tablename }) => tablename);
