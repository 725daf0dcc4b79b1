/**
 * What a Worker leaves for whoever comes after it: a deployment that was not over when the request had its answer. It waits as a
 * message in a queue until it is due; a memory keeps the same without its secrets. Both are hints: the database alone knows what is
 * true.
 */
import * as z from 'zod';
import { nameSchema } from './manifest.ts';
import { deploymentIdSchema } from './request.ts';

export const unfinishedSchema = z.strictObject({
  target: nameSchema,
  deployment: deploymentIdSchema,
  /** How often somebody has looked since. */
  looks: z.int().min(0),
  /** Its secret parameters, encrypted with a key of the Worker's; null when it has none, or the Worker has no key. */
  sealed: z.string().nullable(),
});

export type Unfinished = z.infer<typeof unfinishedSchema>;

/**
 * What a look has found. `at_work`: somebody runs it, or what stands before it in line. `waiting`: nobody does, and nothing of it can be run now. `unapproved`: somebody has
 * to approve it first, and who does sees to it then.
 */
export type Finding = 'over' | 'at_work' | 'waiting' | 'unapproved' | 'unreachable' | 'lost';
