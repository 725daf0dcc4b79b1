/**
 * What pg_dump writes, as it is: the dump of a source (`dumps/source.sql`, `dumps/objects.sql`), restored by a deployment, must come to what the source
 * comes to. Dumps were made by pg_dump of the version in their names (`pg_dump --no-owner`, one with `--inserts`); no package brings a pg_dump along.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { freshDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { failFiles, passFiles, type Rule } from './support.ts';

const read = (name: string): string => readFileSync(new URL(`./dumps/${name}`, import.meta.url), 'utf8');

/** Every row of every table, and where sequences stand. */
async function contents(url: string): Promise<unknown> {
  const tables = await sql(
    url,
    `select c.oid::regclass::text as name from pg_class as c where c.relnamespace = 'shop'::regnamespace and c.relkind in ('r', 'p', 'm') and c.relispopulated order by 1`,
  );
  const found: Record<string, unknown> = { sequences: await sql(url, 'select sequencename, last_value::int from pg_sequences order by 1') };
  found.objects = await sql(
    url,
    `select m.oid::int, encode(lo_get(m.oid), 'hex') as content, obj_description(m.oid) from pg_largeobject_metadata as m order by 1`,
  );
  for (const { name } of tables) found[name] = (await sql(url, `select t::text as row from ${name} as t order by 1`)).map(({ row }) => row);
  return found;
}

describe('BEGIN and COMMIT around large objects are left out, and the event says so', () => {
  const BLOCK =
    "\n-- so\nBEGIN;\n\nSELECT pg_catalog.lo_open('47', 131072);\nSELECT pg_catalog.lowrite(0, '\\x3b');\nSELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n\n";
  const START = `select pg_catalog.lo_create('47');\ncreate table t (a text);\n`;
  const ROWS = 'copy t from stdin;\na\n\\.\n';

  it.each([
    ['behind rows', START + ROWS + BLOCK, 8, {}],
    ['before rows, twice', START + BLOCK + BLOCK + ROWS, 5, {}],
    ['without rows', START + BLOCK, 5, {}],
    ['in pieces', START + ROWS + BLOCK, 8, { copy_piece_characters: 7 }],
  ])('%s', async (_, text, line, limits) => {
    const database = await freshDatabase();
    try {
      await setLimits(database.url, limits);
      await passFiles(database.url, { '1.sql': text });
      expect(await sql(database.url, `select lo_get(47)::text as content`)).toEqual([{ content: '\\x3b' }]);
      const told = await sql(database.url, `select (data ->> 'line')::int as line from weft.events where kind = 'wrapper_left_out' order by number limit 1`);
      expect(told).toEqual([{ line }]);
    } finally {
      await database.drop();
    }
  });

  it.each(['single', 'per-step', 'auto'] as const)('in a rehearsal too: %s', async (transaction) => {
    const database = await freshDatabase();
    try {
      const files = { '1.sql': `${START}${BLOCK}insert into t values ('a');\n` };
      const rehearsal = await deployFiles(connectOver(database.url), files, { transaction, mode: 'rehearse' });
      expect(rehearsal).toMatchObject({ state: 'succeeded', error: null });
    } finally {
      await database.drop();
    }
  });

  it('and no other pair in the middle of a file, nor one without an end', async () => {
    const database = await freshDatabase();
    try {
      const other = await failFiles(database.url, { '1.sql': `${START}begin;\nselect 1;\nselect pg_catalog.lo_open('47', 131072);\ncommit;\n` });
      expect(other).toMatchObject({ sqlstate: '0A000', line: 3 });
      const open = await failFiles(database.url, { '1.sql': START + ROWS + BLOCK.replace('COMMIT;', '') });
      expect(open).toMatchObject({ sqlstate: 'WF085', message: 'Line 8: no COMMIT at the end of the file answers this BEGIN.' });
      expect(await failFiles(database.url, { '1.sql': START + BLOCK.replace('COMMIT;', '') })).toMatchObject({ sqlstate: 'WF085' });
    } finally {
      await database.drop();
    }
  });
});

describe('a dump of pg_dump', () => {
  it.each([
    ['source.sql', 'pg_dump_15.sql', 'single'],
    ['source.sql', 'pg_dump_15.sql', 'auto'],
    ['objects.sql', 'objects_pg_dump_15.sql', 'single'],
    ['objects.sql', 'objects_pg_dump_15.sql', 'auto'],
    ['objects.sql', 'objects_pg_dump_15_inserts.sql', 'per-step'],
    ['objects.sql', 'objects_pg_dump_15_inserts.sql', 'none'],
  ] as [string, string, Rule][])('of %s comes to the catalog and the rows of its source: %s (%s)', async (made, dump, rule) => {
    const [source, target] = [await freshDatabase(), await freshDatabase()];
    try {
      await passFiles(source.url, { 'source.sql': read(made) });
      await passFiles(target.url, { 'dump.sql': read(dump) }, rule);
      const fingerprint = 'select weft.fingerprint() as fingerprint';
      expect(await contents(target.url)).toEqual(await contents(source.url));
      expect(await sql(target.url, fingerprint)).toEqual(await sql(source.url, fingerprint));
    } finally {
      await source.drop();
      await target.drop();
    }
  });
});
