/** What something else manages in a database: objects of the catalog whose changes are no drift. */
import * as z from 'zod';
import { LIMITS } from './limits.ts';
import { textSchema } from './text.ts';

/** A name as PostgreSQL knows it, not quoted, in which `*` stands for any characters and `?` for one. */
const patternSchema = textSchema.min(1).max(LIMITS.pattern_characters);
const namePairSchema = z.tuple([patternSchema, patternSchema]);

/** By a name of their own. */
export const SINGLE_WORDS = ['schema', 'extension', 'publication', 'subscription', 'event_trigger'] as const;
/** By schema and name. */
export const PAIR_WORDS = ['table', 'partitions_of', 'function'] as const;

export const unwatchedSchema = z.union([
  ...SINGLE_WORDS.map((word) => z.strictObject({ [word]: patternSchema })),
  ...PAIR_WORDS.map((word) => z.strictObject({ [word]: namePairSchema })),
]);

export type Unwatched = z.infer<typeof unwatchedSchema>;
