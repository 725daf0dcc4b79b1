/** What has changed in the catalog: outside of deployments, and by one of them. */
import { type Changes, changesSchema, type Drift, driftSchema } from '../domain/deployment.ts';
import { readDocument } from './reading.ts';
import type { Session } from './session.ts';

/** How the catalog differs from what deployments have left. */
export async function readDrift(session: Session): Promise<Drift> {
  return readDocument(session, `select weft.describe_drift() || jsonb_build_object('half_undone', weft.list_half_undone()) as document`, [], driftSchema);
}

/** What of the catalog a deployment has changed. @throws Problem deployment_not_found */
export async function readChanges(session: Session, id: string): Promise<Changes> {
  return readDocument(session, 'select weft.describe_changes($1::pg_catalog.uuid) as document', [id], changesSchema);
}
