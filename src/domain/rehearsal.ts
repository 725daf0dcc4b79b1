/**
 * The report of a rehearsal, as the engine makes it: what each statement of a deployment takes and does, though nothing of it stays.
 */
import * as z from 'zod';

const placeSchema = z.looseObject({ path: z.string().nullish(), line: z.int().nullish() });

const measuredStatementSchema = z.looseObject({
  /** Of its file, counted from 1; absent for what is measured as a whole, and for a condition. */
  number: z.int().nullish(),
  line: z.int().nullish(),
  statement: z.string().nullish(),
  started_at: z.string(),
  milliseconds: z.number(),
  rows: z.number().nullish(),
  /** On what was there before the deployment; what is held already is not shown again. Modes as pg_locks calls them. */
  locks: z.array(z.looseObject({ object: z.string(), mode: z.string() })),
  /** What was rewritten, with its new size. */
  rewritten: z.array(z.looseObject({ object: z.string(), kind: z.string(), bytes: z.number() })),
  /** For a statement that PostgreSQL runs in no transaction: in which form it was rehearsed, or why it was not. */
  instead: z
    .looseObject({ why: z.enum(['form', 'none', 'commit', 'done', 'work', 'group', 'round', 'behind']), text: z.string(), form: z.string().nullish() })
    .nullish(),
});

export const rehearsalSchema = z.looseObject({
  milliseconds: z.number(),
  /** How often the rehearsal began anew, because of what it had found out. */
  passes: z.int(),
  steps: z.array(
    z.looseObject({
      phase: z.string(),
      transaction: z.string().nullish(),
      path: z.string(),
      kind: z.string(),
      /** tolerated: it failed, and the manifest says that the deployment goes on. */
      state: z.enum(['succeeded', 'skipped', 'tolerated', 'failed']),
      rows: z.number().nullish(),
      milliseconds: z.number().nullish(),
      statements: z.array(measuredStatementSchema).nullish(),
      /** What steps of its kind report: the verdict of a check, the counts of a load. */
      result: z.record(z.string(), z.unknown()).nullish(),
      /** For a repeatable file that has not changed: its objects that would be gone, so that it runs again. */
      called_back: z.array(z.looseObject({ kind: z.string(), name: z.string() })).nullish(),
      error: z.looseObject({ sqlstate: z.string(), message: z.string() }).nullish(),
    }),
  ),
  /** The strongest first: who takes it first, and how long the deployment would hold it, until the end of that transaction. */
  locks: z.array(z.looseObject({ object: z.string(), mode: z.string(), path: z.string(), line: z.int().nullish(), held_milliseconds: z.number() })),
  /** Null when it could not be told. */
  catalog: z
    .array(
      z.looseObject({
        kind: z.string(),
        identity: z.string(),
        change: z.enum(['added', 'removed', 'changed']),
        before: z.string().nullable(),
        after: z.string().nullable(),
      }),
    )
    .nullable(),
  /** Sequences whose values were used up, which no rollback restores. Null: none. put_back: the rehearsal had moved it back, and it was reset to its old value. */
  sequences: z
    .array(z.looseObject({ sequence: z.string(), before: z.number().nullable(), after: z.number().nullable(), put_back: z.boolean().nullish() }))
    .nullish(),
  /** Who waited for a lock, as a second session has seen it: the rehearsal itself, or others because of it. Null when nobody has looked. */
  waits: z
    .array(
      z.looseObject({
        who: z.enum(['rehearsal', 'other']),
        pid: z.int(),
        application: z.string().nullish(),
        role: z.string().nullish(),
        /** Without its literals, as far as the role that deploys may see it. */
        query: z.string().nullish(),
        waited_for: z.string(),
        mode: z.string().nullish(),
        milliseconds: z.number(),
        blocked_by: z
          .array(z.looseObject({ pid: z.int().nullish(), application: z.string().nullish(), role: z.string().nullish(), prepared: z.string().nullish() }))
          .nullish(),
        /** The statement that had taken the lock, and the one that was running. */
        because_of: placeSchema.nullish(),
        during: placeSchema.nullish(),
      }),
    )
    .nullish(),
  sampled: z.looseObject({ looks: z.int(), every_milliseconds: z.int(), from: z.string(), to: z.string() }).nullish(),
  /** What one transaction cannot show, in sentences, with the places (path:line). */
  not_shown: z.array(z.looseObject({ why: z.string(), text: z.string(), places: z.array(z.string()).nullish() })).nullish(),
});

export type Rehearsal = z.infer<typeof rehearsalSchema>;
export type MeasuredStatement = z.infer<typeof measuredStatementSchema>;
