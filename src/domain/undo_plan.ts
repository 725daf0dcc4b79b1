/**
 * The plan of an undo: the document that the engine's `weft.plan_undo(id)` makes, that HTTP sends and that `--json` prints. And what must be undone
 * to bring the database back to where a deployment has left it: `weft.list_later(id)`.
 */
import * as z from 'zod';
import { deploymentStateSchema } from './deployment.ts';

/** What an undo would run, in order, and which files of the deployment have no undo. */
export const undoPlanSchema = z.looseObject({
  deployment: z.string(),
  bundle: z.string(),
  /** Undoing a baseline runs nothing: files leave the history, or are in it again as before. */
  mode: z.string().nullish(),
  withdraws: z.array(z.looseObject({ path: z.string(), as_before: z.boolean() })).nullish(),
  state: deploymentStateSchema,
  finished_at: z.string().nullable(),
  phases: z.array(
    z.looseObject({
      name: z.string(),
      transaction: z.string(),
      steps: z.array(
        z.looseObject({
          /** What is taken back, and by what. */
          path: z.string(),
          undo: z.string(),
          kind: z.string(),
          digest: z.string(),
          size: z.number(),
          /** The later deployment with which the undo file came; null when it came with the file. */
          given_by: z.string().nullable(),
          /** For a repeatable file: its previous content runs. */
          restores: z.boolean().optional(),
          /** If it cannot come back in its place, because it needs something that is undone later, it runs at the end of the undo. */
          may_wait: z.boolean().optional(),
          /** For a file that ran only half-way: how many of its statements are in the database. */
          statements_done: z.int().nullable(),
        }),
      ),
    }),
  ),
  /** The secret parameters that files of the undo name, and that it must be given, because they are stored nowhere. */
  secrets: z.array(z.looseObject({ name: z.string(), paths: z.array(z.string()) })).optional(),
  /** Its errors, as far as they can be known beforehand, in the words of the refusal. */
  foreseen: z
    .array(
      z.looseObject({
        phase: z.string(),
        path: z.string().nullish(),
        sqlstate: z.string(),
        message: z.string(),
        detail: z.string().nullish(),
        hint: z.string().nullish(),
        /** Only if that has to be dropped which is in the way of older content: whether it has, shows when it runs. */
        if: z.literal('dropped').nullish(),
        /** And only if the file does not make it again. */
        unless_made_again: z.boolean().nullish(),
      }),
    )
    .optional(),
  /** Repeatable files that have not changed, and are called back if something of theirs goes with what is undone. */
  stand_by: z.array(z.string()).optional(),
  lacking: z.array(
    z.looseObject({
      phase: z.string(),
      path: z.string(),
      kind: z.string(),
      /** It runs again and again, and came with that deployment: there is nothing before to go back to. */
      repeat: z.string().nullish(),
      /** The deployment that applied the version before, as a file that runs once: that version does not run again. */
      ran_once: z.string().nullish(),
      /** It stays, and is made again if something of it goes with what is undone. */
      stands_by: z.boolean().nullish(),
      statements_done: z.int().nullable(),
    }),
  ),
});

export type UndoPlan = z.infer<typeof undoPlanSchema>;

/** What came after a deployment of the same bundle and is in the database, the newest first: in this order it can be undone. */
export const laterSchema = z.looseObject({
  deployment: z.string(),
  bundle: z.string(),
  /** The key with which it was deployed (`--id`). */
  request_id: z.string(),
  state: deploymentStateSchema,
  finished_at: z.string().nullable(),
  later: z.array(
    z.looseObject({
      deployment: z.string(),
      request_id: z.string(),
      mode: z.string(),
      state: deploymentStateSchema,
      finished_at: z.string().nullable(),
      /** Its files that have no undo. */
      lacking: z.array(z.string()),
      secrets: z.array(z.looseObject({ name: z.string(), paths: z.array(z.string()) })),
    }),
  ),
});

export type Later = z.infer<typeof laterSchema>;
