/**
 * What pg_dump writes, as it is: the dump of `dumps/source.sql`, restored by a deployment, must come to what the source comes to. The dump was made by
 * pg_dump of the version in its name (`pg_dump --no-owner`); no package brings a pg_dump along.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { freshDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { passFiles, type Rule } from './support.ts';

const read = (name: string): string => readFileSync(new URL(`./dumps/${name}`, import.meta.url), 'utf8');

/** Every row of every table, and where sequences stand. */
async function contents(url: string): Promise<unknown> {
  const tables = await sql(
    url,
    `select c.oid::regclass::text as name from pg_class as c where c.relnamespace = 'shop'::regnamespace and c.relkind in ('r', 'p', 'm') order by 1`,
  );
  const found: Record<string, unknown> = { sequences: await sql(url, 'select sequencename, last_value::int from pg_sequences order by 1') };
  for (const { name } of tables) found[name] = (await sql(url, `select t::text as row from ${name} as t order by 1`)).map(({ row }) => row);
  return found;
}

describe('a dump of pg_dump', () => {
  it.each([
    ['15', 'single'],
    ['15', 'auto'],
  ] as [string, Rule][])('%s comes to the catalog and the rows of its source: %s', async (version, rule) => {
    const [source, target] = [await freshDatabase(), await freshDatabase()];
    try {
      await passFiles(source.url, { 'source.sql': read('source.sql') });
      await passFiles(target.url, { 'dump.sql': read(`pg_dump_${version}.sql`) }, rule);
      const fingerprint = 'select weft.fingerprint() as fingerprint';
      expect(await contents(target.url)).toEqual(await contents(source.url));
      expect(await sql(target.url, fingerprint)).toEqual(await sql(source.url, fingerprint));
    } finally {
      await source.drop();
      await target.drop();
    }
  });
});
