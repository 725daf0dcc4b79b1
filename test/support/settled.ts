/** What sessions have read is counted when they are over. */
import { until } from './orders.ts';
import { sqlAnew } from './sql.ts';

/** Waits until nobody else is in the database, and all have told what they have read; servers before 15 hear of it half a second later. */
export async function untilCounted(url: string): Promise<void> {
  await until(url, 'not exists (select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid())');
  const [{ version }] = await sqlAnew(url, `select current_setting('server_version_num')::int as version`);
  if (version < 150000) await new Promise((resolve) => setTimeout(resolve, 1_000));
}

/**
 * Keeps autovacuum from the engine's tables. Whoever compares what two databases read must take statistics in both or in neither: the server looks
 * after one of them whenever it likes, and other plans count other rows.
 */
export async function withoutAutovacuum(url: string): Promise<void> {
  await sqlAnew(
    url,
    `do $$ declare v_table regclass; begin
       for v_table in select c.oid from pg_class as c where c.relnamespace = 'weft'::regnamespace and c.relkind = 'r' loop
         execute format('alter table %s set (autovacuum_enabled = off, toast.autovacuum_enabled = off)', v_table);
       end loop;
     end $$`,
  );
}

/** Rows that have been read so far of each table, by all whose sessions are over. */
export async function countRead(url: string): Promise<Record<string, number>> {
  await untilCounted(url);
  const rows = await sqlAnew(
    url,
    `select t.relid::regclass::text as name,
            (coalesce(t.seq_tup_read, 0) + coalesce((select sum(i.idx_tup_read) from pg_stat_all_indexes as i where i.relid = t.relid), 0))::float8 as count
     from pg_stat_all_tables as t join pg_class as c on c.oid = t.relid where not c.relisshared`,
  );
  return Object.fromEntries(rows.map(({ name, count }) => [name, count]));
}
