/** A commit that waits for a synchronous standby answers nobody. Another session of the same role can see what it waits for. */
import { asking } from './engine_problems.ts';
import type { Session } from './session.ts';

const question = `select a.backend_xid::pg_catalog.text as id from pg_catalog.pg_stat_activity as a
where a.datname operator(pg_catalog.=) pg_catalog.current_database() and a.usename operator(pg_catalog.=) session_user
  and a.wait_event operator(pg_catalog.=) 'SyncRep' and a.backend_xid is not null`;

/**
 * Transactions of this role in this database whose commit waits for a standby at this moment: each does for a moment where replication is synchronous. It
 * reads alone, and so does not wait itself.
 * @throws Problem session_lost
 */
export async function readWaitingCommits(session: Session): Promise<readonly string[]> {
  const rows = await asking(() => session.query(question));
  return rows.map(({ id }) => id ?? '');
}
