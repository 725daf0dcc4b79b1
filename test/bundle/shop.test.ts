/** examples/shop, the bundle that `npm start` deploys: well-formed, and good SQL for a plain PostgreSQL of any supported version. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { readFolder } from '../../src/bundle/folder.ts';
import { manifestSchema } from '../../src/domain/manifest.ts';
import { emptyDatabase } from '../support/database.ts';

const SHOP = new URL('../../examples/shop/', import.meta.url);

describe('examples/shop', () => {
  it('is a bundle without a warning, of one all-or-nothing phase and one of single files', async () => {
    const { manifest, warnings } = await readFolder(SHOP.pathname);
    expect(manifestSchema.parse(manifest)).toEqual(manifest);
    expect(warnings).toEqual([]);
    expect(manifest.bundle).toBe('shop');
    expect(manifest.phases.map(({ name, transaction, steps }) => [name, transaction, steps.length])).toEqual([
      ['schema', 'single', 7],
      ['code', 'per-step', 5],
    ]);
  });

  it('runs in an empty database, file by file, under the search_path that the engine gives each', async () => {
    const { manifest } = await readFolder(SHOP.pathname);
    const database = await emptyDatabase();
    const client = await database.client();
    try {
      for (const { path } of manifest.artifacts) {
        await client.query('set search_path = pg_catalog, pg_temp');
        await client.query(await readFile(new URL(path, SHOP), 'utf8'));
      }
      const { rows } = await client.query("select total_minor, currency from shop.order_totals join shop.customers using (customer_id) where name = 'Ada'");
      expect(rows).toEqual([{ total_minor: '3700', currency: 'EUR' }]);
      await client.query("insert into shop.customers (email, name) values ('bo@example.com', 'Bo')");
      await expect(client.query("select shop.place_order('bo@example.com', 'LOOM-01', 5)")).rejects.toThrow('stock_is_not_negative');
    } finally {
      await client.end();
      await database.drop();
    }
  });
});
