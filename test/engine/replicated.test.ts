/** An engine whose rows a subscription brings from another database: its history tells of that one, and its lease is overwritten by it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { withDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { type OwnServer, startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let server: OwnServer;
let publisher: string;
let subscriber: string;

beforeAll(async () => {
  if (!offers('servers to kill')) return;
  server = await startOwnServer({ wal_level: 'logical' });
  [publisher, subscriber] = [await server.createDatabaseWithEngine(), await server.createDatabaseWithEngine()];
});

afterAll(async () => {
  await server?.postgres.stop();
});

const asSuperuser = (url: string, text: string) => sql(withDatabase(server.postgres.url, new URL(url).pathname.slice(1)), text);
const files = (second: string) => ({
  '1.sql': 'create table t (n int primary key)',
  '2.sql': second,
  'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'p', transaction: 'per-step', steps: [{ run: '*.sql' }] }] }),
});
const deploy = (url: string, second = 'select 2') => deployFiles(connectOver(url), files(second));

it.runIf(offers('servers to kill'))(
  'runs nothing, and takes no request, until the subscription has its tables no more: files would count as applied that are not there',
  { timeout: 60_000 },
  async () => {
    expect((await deploy(subscriber)).state).toBe('succeeded');
    await asSuperuser(publisher, 'create publication everything for all tables');
    await asSuperuser(publisher, `select pg_create_logical_replication_slot('sub', 'pgoutput')`);
    const { username, password } = new URL(server.postgres.url);
    const [{ port }] = await sql(publisher, `select current_setting('port') as port`); // a container has another one outside
    const where = `host=127.0.0.1 port=${port} dbname=${new URL(publisher).pathname.slice(1)} user=${username} password=${decodeURIComponent(password)}`;
    await asSuperuser(
      subscriber,
      `create subscription sub connection '${where}' publication everything with (create_slot = false, slot_name = 'sub', copy_data = false)`,
    );
    try {
      expect((await deploy(publisher)).state).toBe('succeeded'); // to whoever publishes it makes no difference
      const refusal = {
        slug: 'engine_replicated',
        facts: { sqlstate: 'WF026' },
        message: expect.stringMatching(/subscription sub brings rows .* of another database.*Nothing was changed.*refresh publication/s),
      };
      await expect(deploy(subscriber, 'create table missed ()')).rejects.toMatchObject(refusal);
      await expect(sql(subscriber, 'call weft.run()')).rejects.toMatchObject({ code: 'WF026' });
      await expect(sql(subscriber, 'select weft.undo()')).rejects.toMatchObject({ code: 'WF026' });
      expect(await sql(subscriber, `select path from weft.history order by 1`)).toHaveLength(2); // reading is no matter
      await asSuperuser(publisher, 'drop publication everything; create table plain (n int primary key); create publication everything for table plain');
      await asSuperuser(subscriber, 'create table plain (n int primary key)');
      await asSuperuser(subscriber, 'alter subscription sub refresh publication');
      expect((await deploy(subscriber)).state).toBe('succeeded');
    } finally {
      await asSuperuser(subscriber, 'drop subscription sub');
    }
  },
);
