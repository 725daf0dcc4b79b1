/**
 * What forges are still to be told, as the engine keeps it: taken, and settled. What it says, and whether to believe it, is for others.
 */
import * as z from 'zod';
import { type Deployment, deploymentSchema } from '../domain/deployment.ts';
import { readDocument } from './reading.ts';
import type { Session } from './session.ts';

/** What goes with an opening if somebody must be told how it ends. */
export interface OwedCall {
  /** One for each of those who are to be told. */
  readonly key: string;
  readonly errand: string;
  readonly proof: string;
  /** For which whoever opens it is about that. */
  readonly seconds: number;
}

export interface TakeOwed {
  /** For which nobody else takes the same. */
  readonly seconds: number;
  readonly count: number;
  /** Just this one; null: whatever is due. */
  readonly of: { readonly deployment: string; readonly key: string } | null;
}

export interface Owed {
  readonly key: string;
  readonly errand: string;
  readonly proof: string;
  /** How often it was taken, with this time. */
  readonly tries: number;
  readonly deployment: Deployment;
}

export interface TakenOwed {
  readonly taken: readonly Owed[];
  /** Whether the one that was named is owed; false when it was told. */
  readonly is_owed: boolean;
}

/** Reported, if there is no errand; otherwise to be tried again, after this many seconds at the earliest. */
export type SettledOwed = { readonly deployment: string; readonly key: string } & (
  | { readonly errand?: undefined }
  | { readonly errand: string; readonly proof: string; readonly seconds: number }
);

const takenSchema = z.object({
  taken: z.array(z.object({ key: z.string(), errand: z.string(), proof: z.string(), tries: z.int(), deployment: deploymentSchema })),
  is_owed: z.boolean(),
});

/** @throws Problem engine_missing, engine_older */
export async function takeOwed(session: Session, { seconds, count, of }: TakeOwed): Promise<TakenOwed> {
  const values = [String(seconds), String(count), of?.deployment ?? null, of?.key ?? null];
  return readDocument(session, 'select weft.take_owed($1::integer, $2::integer, $3::pg_catalog.uuid, $4::pg_catalog.text) as document', values, takenSchema);
}

/** @throws Problem engine_missing, engine_older */
export async function settleOwed(session: Session, settled: readonly SettledOwed[]): Promise<void> {
  await readDocument(session, 'select weft.settle_owed($1::pg_catalog.jsonb) as document', [JSON.stringify(settled)], z.int());
}
