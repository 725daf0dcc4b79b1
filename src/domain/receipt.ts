/** The receipt: the permanent record of how a deployment ended, as the engine has written it. */
import * as z from 'zod';
import { deploymentErrorSchema, deploymentSchema, deploymentStateSchema, phaseStatusSchema } from './deployment.ts';

/** The account of how a deployment ended. What counts are the bytes; this is what is read of them. */
export const receiptSchema = z.looseObject({
  format: z.literal(1),
  id: z.string(),
  number: z.int(),
  written_at: z.string(),
  state: deploymentStateSchema,
  bundle: z.string(),
  target: z.string().nullable(),
  mode: z.string(),
  undoes: z.string().nullable(),
  caller: z.string(),
  /** The role of the session in which it ended. */
  run_as: z.string(),
  request: z.looseObject({ id: z.string(), size: z.int(), sha256: z.string(), sha256_without_expiry: z.string(), signature_sha256: z.string().nullable() }),
  manifest: z.looseObject({ sha256: z.string() }),
  /** Files that no step has run: those that would undo one. */
  artifacts: z.array(z.looseObject({ path: z.string(), size: z.int(), sha256: z.string() })),
  parameters: deploymentSchema.shape.parameters,
  approval: deploymentSchema.shape.approval,
  rehearsed_by: z.string().nullish(),
  created_at: z.string(),
  started_at: z.string().nullable(),
  finished_at: z.string(),
  reopened: z.array(z.looseObject({ at: z.string(), caller: z.string().nullish() })),
  cancelled: z.looseObject({ at: z.string(), caller: z.string() }).nullable(),
  phases: z.array(phaseStatusSchema),
  error: deploymentErrorSchema.nullable(),
  fingerprint: z.looseObject({ before: z.string().nullable(), after: z.string().nullable() }),
  wal: z.looseObject({ before: z.string().nullable(), after: z.string().nullable() }),
  engine_version: z.looseObject({ before: z.int().nullable(), after: z.int() }),
  server_version: z.looseObject({ before: z.string().nullable(), after: z.string() }),
});
export type Receipt = z.infer<typeof receiptSchema>;
