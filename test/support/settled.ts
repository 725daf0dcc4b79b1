/** What sessions have read is counted when they are over. */
import { until } from './orders.ts';
import { sqlAnew } from './sql.ts';

/** Waits until nobody else is in the database, and all have told what they have read; servers before 15 hear of it half a second later. */
export async function untilCounted(url: string): Promise<void> {
  await until(url, 'not exists (select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid())');
  const [{ version }] = await sqlAnew(url, `select current_setting('server_version_num')::int as version`);
  if (version < 150000) await new Promise((resolve) => setTimeout(resolve, 1_000));
}
