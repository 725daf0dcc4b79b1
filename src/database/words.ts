/** What somebody says of a database: it runs nothing, and changes nothing but what the engine takes for so. */
import { type Drift, driftSchema } from '../domain/deployment.ts';
import { type Forgotten, forgottenSchema } from '../domain/history.ts';
import type { ForgetRequest } from '../domain/request.ts';
import { readDocument } from './reading.ts';
import type { Session } from './session.ts';

/** Says that the catalog is meant as it is. @param fingerprint of what was looked at @param caller null: the role of the session @throws Problem drift_not_accepted */
export async function acceptDrift(session: Session, fingerprint: string, caller: string | null): Promise<Drift> {
  return readDocument(session, 'select weft.accept_drift($1::text, $2::text) as document', [fingerprint, caller], driftSchema);
}

/**
 * Says that nothing of a file that stopped half-way is in the database any more.
 * @param caller null: the role of the session
 * @throws Problem not_forgotten
 */
export async function forget(
  session: Session,
  { path, bundle, why }: Pick<ForgetRequest, 'path' | 'bundle' | 'why'>,
  caller: string | null,
): Promise<Forgotten> {
  const values = [path, why, bundle ?? null, caller];
  return readDocument(session, 'select weft.forget($1::text, $2::text, $3::text, $4::text) as document', values, forgottenSchema);
}
