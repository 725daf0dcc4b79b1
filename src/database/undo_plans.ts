/** Going back, in advance: what an undo would run, and how many undos it takes. */
import { type Later, laterSchema, type UndoPlan, undoPlanSchema } from '../domain/undo_plan.ts';
import { readDocument } from './reading.ts';
import type { Session } from './session.ts';

/**
 * What an undo would run, and which files have no undo.
 * @param id null: the newest deployment of which something is in the database
 * @param bundle of which bundle; null: of the only one
 * @throws Problem nothing_to_undo, undo_out_of_order, undo_ambiguous, deployment_not_found, engine_missing
 */
export async function readUndoPlan(session: Session, id: string | null, bundle: string | null = null): Promise<UndoPlan> {
  return readDocument(session, 'select weft.plan_undo($1::pg_catalog.uuid, $2) as document', [id, bundle], undoPlanSchema);
}

/**
 * What has to be undone for the database to stand where a deployment has left its bundle.
 * @throws Problem nothing_to_undo, undo_out_of_order, deployment_not_found, engine_missing
 */
export async function readLater(session: Session, id: string): Promise<Later> {
  return readDocument(session, 'select weft.list_later($1::pg_catalog.uuid) as document', [id], laterSchema);
}
