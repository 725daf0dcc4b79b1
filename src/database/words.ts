/** What somebody declares about a database, or a deployment: it runs nothing, and only changes the engine's own records. */
import * as z from 'zod';
import { type Deployment, type Drift, deploymentSchema, driftSchema } from '../domain/deployment.ts';
import { type Forgotten, forgottenSchema } from '../domain/history.ts';
import type { Manifest } from '../domain/manifest.ts';
import type { ForgetRequest } from '../domain/request.ts';
import { readDocument } from './reading.ts';
import type { Session } from './session.ts';

/** Says that the catalog is meant as it is. @param fingerprint of what was looked at @param caller null: the role of the session @throws Problem drift_not_accepted */
export async function acceptDrift(session: Session, fingerprint: string, caller: string | null): Promise<Drift> {
  return readDocument(session, 'select weft.accept_drift($1::pg_catalog.text, $2::pg_catalog.text) as document', [fingerprint, caller], driftSchema);
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
  return readDocument(
    session,
    'select weft.forget($1::pg_catalog.text, $2::pg_catalog.text, $3::pg_catalog.text, $4::pg_catalog.text) as document',
    values,
    forgottenSchema,
  );
}

const waitingSchema = z.array(z.object({ deployment: z.string(), digest: z.string(), caller: z.string(), actor: z.string().nullable() }));

/** A deployment that waits for its approval. */
export type Waiting = z.infer<typeof waitingSchema>[number];

/** Those that would run just this, the newest first. @param parameters values of plain ones */
export async function findWaiting(session: Session, manifest: Manifest, parameters: object): Promise<Waiting[]> {
  const values = [JSON.stringify(manifest), JSON.stringify(parameters)];
  return readDocument(session, 'select weft.find_waiting($1::pg_catalog.jsonb, $2::pg_catalog.jsonb) as document', values, waitingSchema);
}

/** @param proof everything that the approval's proof must contain @returns the newest that this caller has approved so; null if there is none */
export async function findApproved(session: Session, caller: string, proof: object): Promise<string | null> {
  const values = [caller, JSON.stringify(proof)];
  return readDocument(session, 'select weft.find_approved($1::pg_catalog.text, $2::pg_catalog.jsonb) as document', values, z.string().nullable());
}

/** An approval, and what proves it. */
export interface ApprovalCall {
  readonly deployment: string;
  /** The digest of what is approved. */
  readonly digest: string;
  /** Null: the role of the session. */
  readonly caller: string | null;
  /** The signed bytes, and the headers of the signature, to be kept; null where nobody signed. */
  readonly request: Uint8Array | null;
  readonly signature: Readonly<Record<string, string>> | null;
}

/**
 * Approves a deployment that waits for that.
 * @returns the deployment: it has its place in line, unless some of its artifacts are missing
 * @throws Problem deployment_not_found, not_approved, own_approval, rehearsal_missing
 */
export async function approve(session: Session, { deployment, digest, caller, request, signature }: ApprovalCall): Promise<Deployment> {
  const values = [deployment, digest, caller, request, signature === null ? null : JSON.stringify(signature)];
  return readDocument(
    session,
    'select weft.approve($1::pg_catalog.uuid, $2::pg_catalog.text, $3::pg_catalog.text, $4::pg_catalog.bytea, $5::pg_catalog.jsonb) as document',
    values,
    deploymentSchema,
  );
}
