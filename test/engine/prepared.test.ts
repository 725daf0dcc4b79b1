/** A transaction that was prepared belongs to no session any more. The server says 0 for its backend; whoever it hinders needs its name. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Deployment, deploymentSchema } from '../../src/domain/deployment.ts';
import { renderRehearsal } from '../../src/words/rehearsal.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { waitOf } from '../../src/words/waits.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { connectOver, deployFiles, until } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let gid: string;

beforeEach(async () => {
  database = await freshDatabase();
  gid = `it's of ${database.name}`;
  await deployFiles(connectOver(database.url), { '1.sql': 'create table t (n int); create index t_n on t (n);' });
});

afterEach(async () => {
  for (const { name } of await sql(database.url, `select quote_literal(gid) as name from pg_prepared_xacts where database = current_database()`))
    await sql(database.url, `rollback prepared ${name}`);
  await database.drop();
});

async function prepare(...statements: readonly string[]): Promise<void> {
  const client = await database.client();
  for (const statement of ['begin', ...statements, `prepare transaction '${gid.replaceAll("'", "''")}'`]) await client.query(statement);
  await client.end();
}

const status = async (): Promise<Deployment> => {
  const [{ status: found }] = await sql(database.url, `select weft.status(id) as status from weft._deployments where state = 'running'`);
  return deploymentSchema.parse(found);
};

const end = () => sql(database.url, `rollback prepared '${gid.replaceAll("'", "''")}'`);

describe.runIf(offers('a superuser'))('a prepared transaction is named', () => {
  it('while a concurrent build waits for it', async () => {
    await prepare('insert into t values (1)');
    const deployment = deployFiles(connectOver(database.url), { '2.sql': 'create index concurrently t_m on t (n)' }, { transaction: 'none' });
    await until(database.url, `exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`);
    const seen = await status();
    expect(seen.live?.blockers).toEqual([{ prepared: gid, role: expect.any(String), transaction_seconds: expect.any(Number) }]);
    expect(waitOf(seen, false)).toMatch(
      new RegExp(`held by the prepared transaction 'it''s of ${database.name}' \\(role \\w+; rollback prepared, or commit prepared, ends it\\)$`),
    );
    await end();
    expect(await deployment).toMatchObject({ state: 'succeeded' });
  });

  it('when an index is to be dropped concurrently, before that waits', async () => {
    await prepare('select from t');
    const deployment = deployFiles(connectOver(database.url), { '2.sql': 'drop index concurrently t_n' }, { transaction: 'none' });
    await until(database.url, `exists (select from weft.events where kind = 'statement_sent')`);
    const [{ waits }] = await sql(database.url, `select data -> 'waits_for' as waits from weft.events where kind = 'statement_sent'`);
    await end();
    expect(await deployment).toMatchObject({ state: 'succeeded' });
    expect(waits).toEqual([{ prepared: gid, role: expect.any(String), transaction_seconds: expect.any(Number) }]);
  });

  it('by a rehearsal that waited for it in vain, and as whom it waited for', async () => {
    await setLimits(database.url, { lock_attempts_count: 1 });
    await prepare('insert into t values (1)');
    const rehearsed = await deployFiles(connectOver(database.url), { '2.sql': 'alter table t add m int' }, { mode: 'rehearse', lockTimeout: '1s' });
    expect(rehearsed).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: '55P03',
        blockers: [{ prepared: gid, object: 'public.t', mode: 'RowExclusiveLock' }],
        hint: expect.stringContaining(`rollback prepared 'it''s of ${database.name}'`),
      },
    });
    expect(rehearsed.rehearsal?.waits?.[0]).toMatchObject({ who: 'rehearsal', blocked_by: [{ prepared: gid }] });
    expect(renderRehearsal(rehearsed, UNCOLOURED)).toContain(`for public.t, which the prepared transaction 'it''s of ${database.name}' had`);
  });
});
