/**
 * What the history of a database says about a bundle before it is deployed: the document that the engine's `weft.plan` makes, and the
 * query that is sent for it.
 */
import * as z from 'zod';
import { deploymentErrorSchema } from './deployment.ts';
import { begunEntrySchema } from './history.ts';
import { manifestSchema, pathSchema } from './manifest.ts';
import { givenSchema } from './parameters.ts';
import { textSchema } from './text.ts';

/**
 * `texts`: the contents, by path, of files that changed or are new. `parameters`: plain values that a deployment would be given. Without them
 * less can be told.
 */
export const foresightQuestionSchema = z.strictObject({
  manifest: manifestSchema,
  texts: z.record(pathSchema, textSchema).default({}),
  parameters: givenSchema.optional(),
});

export const findingSchema = z.looseObject({
  path: z.string(),
  /**
   * unchanged: but for comments and white space · changed: refused · renamed, or ambiguous: refused · late: in front of what was applied ·
   * half_undone: an undo stopped half-way, refused · reworded: applied with these bytes and other words; `data.does` says what becomes of it ·
   * superseded: applied, and a file that is gone has made its objects anew since: it runs again.
   */
  verdict: z.enum(['unchanged', 'changed', 'renamed', 'ambiguous', 'late', 'half_undone', 'reworded', 'superseded']),
  data: z.record(z.string(), z.unknown()),
});

export const foresightSchema = z.looseObject({
  findings: z.array(findingSchema),
  /** Why a deployment of the bundle would fail before anything runs. */
  refusal: deploymentErrorSchema.nullable(),
  /** Repeatable files next to each other, in the order that would be tried. */
  groups: z.array(z.array(z.string())),
  /** Repeatable files that have made something that is gone. */
  lost: z.array(z.looseObject({ path: z.string(), missing: z.array(z.looseObject({ kind: z.string(), name: z.string() })) })),
  /** Batches of which an earlier deployment has committed rounds. */
  batches: z
    .array(
      z.looseObject({
        path: z.string(),
        rounds: z.int(),
        rows: z.number(),
        goes_on: z.enum(['behind', 'anew', 'refused']),
        refusal: deploymentErrorSchema.nullable(),
      }),
    )
    .nullish(),
  /** Files of which an earlier deployment has committed a part; `unknown`: their texts are needed to tell. */
  halves: z
    .array(
      z.looseObject({
        path: z.string(),
        statements: z.int(),
        runs_again: z.boolean(),
        /** Where it continues, as far as that is known. */
        next_line: z.int().nullable(),
        goes_on: z.enum(['behind', 'refused', 'unknown']),
        refusal: deploymentErrorSchema.nullable(),
      }),
    )
    .nullish(),
  /** Files that stopped half-way, and that the bundle does not hold. */
  begun: z.array(begunEntrySchema).nullish(),
  /** Files that run once, were applied, and are not in the bundle, under no other name either. */
  gone: z.array(z.string()).nullish(),
  /** Bundles of another name that have brought the same files, where nothing is known of this one: `paths` are the first of them. */
  elsewhere: z.array(z.looseObject({ bundle: z.string(), count: z.int(), paths: z.array(z.string()) })).nullish(),
  /** What the environment of the target requires of a deployment there; only a Worker knows that. */
  protection: z.looseObject({ environment: z.string(), second_person: z.boolean(), rehearsal_first: z.boolean() }).nullish(),
  /** Whether the catalog is as the last deployment left it; `count`: how many objects are not. */
  drift: z.looseObject({ verdict: z.string(), count: z.int(), since: z.string().nullable(), running: z.string().nullable() }).nullish(),
});

export type ForesightQuestion = z.infer<typeof foresightQuestionSchema>;
export type Foresight = z.infer<typeof foresightSchema>;
