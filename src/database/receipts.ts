/** Receipts, read as they were written. What counts are the bytes: nothing here parses them. */
import { readText } from './reading.ts';
import type { Session } from './session.ts';

/**
 * The account of how a deployment ended, byte for byte as it was written then.
 * @param number null: the newest
 * @throws Problem deployment_not_found, receipt_not_found, engine_missing
 */
export async function readReceipt(session: Session, id: string, number: number | null): Promise<string> {
  return (await readText(session, 'select weft.receipt($1::pg_catalog.uuid, $2::integer) as document', [id, number === null ? null : String(number)])) ?? '';
}
