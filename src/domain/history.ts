/** What has been applied to a database: the documents that the engine's `weft.list_history` and `weft.list_begun` make. */
import * as z from 'zod';

export const historyEntrySchema = z.looseObject({
  bundle: z.string(),
  path: z.string(),
  digest: z.string(),
  deployment: z.string(),
  applied_at: z.string(),
});

/** A file that was run in part, and not to its end. */
export const begunEntrySchema = z.looseObject({
  bundle: z.string(),
  path: z.string(),
  deployment: z.string(),
  at: z.string().nullable(),
  /** That are committed. */
  statements: z.int().nullable(),
  rounds: z.int().nullable(),
  /** Whether it is an undo file, which has taken its file back in part. */
  of_undo: z.boolean().optional(),
  /** What stays, and how it goes on. */
  account: z.string().nullable(),
});

/** What has been applied to a database, and what of it has only begun. */
export const historySchema = z.looseObject({ history: z.array(historyEntrySchema), begun: z.array(begunEntrySchema) });

/** What was forgotten of a file that stopped half-way, and whose word that was. */
export const forgottenSchema = z.looseObject({
  bundle: z.string(),
  path: z.string(),
  /** Which had run it in part. */
  deployment: z.string(),
  statements: z.int().nullable(),
  rounds: z.int().nullable(),
  by: z.string(),
  at: z.string(),
  why: z.string(),
});

export type Forgotten = z.infer<typeof forgottenSchema>;
export type HistoryEntry = z.infer<typeof historyEntrySchema>;
export type BegunEntry = z.infer<typeof begunEntrySchema>;
export type History = z.infer<typeof historySchema>;
