/**
 * The kinds of steps as `weft.yaml` writes them. The word that names a step's files tells its kind; each kind has a schema of its own,
 * and its words go into the manifest's step unchanged. To add a kind, add it here and in `domain/manifest.ts`.
 */
import * as z from 'zod';
import { LIMITS } from '../domain/limits.ts';
import {
  batchShape,
  checkRuleSchema,
  columnSchema,
  csvShape,
  loadFormatSchema,
  loadModeSchema,
  repeatSchema,
  roleSchema,
  schemaNameSchema,
  severitySchema,
} from '../domain/manifest.ts';

/** An SQL expression of type boolean; YAML reads "true" and "false" as values of its own. */
export const expressionSchema = z.union([z.boolean().transform(String), z.string().min(1)]).pipe(z.string().max(LIMITS.expression_characters));

/** Milliseconds in each unit of a duration, written as PostgreSQL writes them (manual, 19.1.1). */
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 };

function millisecondsOf(text: string): number {
  const [, count, unit] = /^(\d{1,9}) ?(ms|s|min|h)$/.exec(text) ?? [];
  return Number(count) * (UNITS_MS[unit ?? ''] ?? Number.NaN);
}

/** A length of time, as milliseconds. @param from and @param to are the shortest and the longest */
export function durationSchema(from: string, to: string) {
  return z.unknown().transform((value, context) => {
    const milliseconds = typeof value === 'string' ? millisecondsOf(value) : Number.NaN;
    if (milliseconds >= millisecondsOf(from) && milliseconds <= millisecondsOf(to)) return milliseconds;
    context.addIssue({ code: 'custom', message: `a duration from ${from} to ${to}, such as 500ms, 2s or 1min` });
    return z.NEVER;
  });
}

/** What follows when a step fails. */
export const onErrorSchema = z.enum(['stop', 'continue']);

/** A path, or a glob: each file once, in the order of the bytes of their paths. */
const globSchema = z.string().min(1);

const commonShape = {
  /** If it is not true when a file of the step would begin, that file does not run. */
  when: expressionSchema.optional(),
  on_error: onErrorSchema.optional(),
  /** What takes each file back: a path, or for a glob, a pattern with the same wildcards. */
  undo: globSchema.optional(),
};

/** Under `steps`, by the word that names the files. */
export const STEP_SCHEMAS = {
  run: z.strictObject({
    run: globSchema,
    /** An expression that is true once a statement is done that leaves no trace in the catalog. */
    done_when: expressionSchema.optional(),
    /** Without it each file runs once. */
    repeat: repeatSchema.optional(),
    ...commonShape,
  }),
  load: z
    .strictObject({
      load: globSchema,
      /** A table, as SQL names it. */
      into: z.string().min(1).max(LIMITS.expression_characters),
      mode: loadModeSchema.default('insert'),
      /** The columns by which rows are told apart. */
      key: z.array(columnSchema).min(1).optional(),
      /** An expression over the columns of the table: which rows a sync may delete; by default, all. */
      where: expressionSchema.optional(),
      /** By default, according to the extension of the file. */
      format: loadFormatSchema.optional(),
      ...csvShape,
      ...commonShape,
    })
    .superRefine(({ mode, key, where, null_as, delimiter = ',' }, context) => {
      const refuse = (word: string, message: string) => context.addIssue({ code: 'custom', path: [word], message });
      if (mode !== 'insert' && key === undefined) refuse('key', `given for "mode: ${mode}": the columns by which rows are told apart, such as [code]`);
      if (mode !== 'sync' && where !== undefined) refuse('where', `left out with "mode: ${mode}": it says what a sync may delete`);
      if (null_as?.includes(delimiter)) refuse('null_as', `text without the delimiter`);
    }),
  /** A statement that is run again and again, each time in a transaction of its own, until it touches no row. */
  batch: z.strictObject({
    batch: globSchema,
    size: batchShape.size.optional(),
    target: durationSchema('10ms', '1min').optional(),
    pause: durationSchema('0ms', '1h').optional(),
    max_lag: durationSchema('1ms', '24h').optional(),
    /** YAML reads numbers as values of its own; PostgreSQL takes their text. */
    cursor: z
      .union([z.number().transform(String), z.string()])
      .pipe(batchShape.cursor)
      .optional(),
    max_rounds: batchShape.max_rounds.optional(),
    on_change: batchShape.on_change.optional(),
    done_when: expressionSchema.optional(),
    ...commonShape,
  }),
} as const;

/** Under `checks`: queries that return the rows which break a rule, or a rule that comes with Weft. */
export const CHECK_SCHEMAS = {
  check: z.strictObject({ check: globSchema, severity: severitySchema.optional(), when: expressionSchema.optional() }),
  rule: z.strictObject({
    rule: checkRuleSchema,
    /** The schemas in which it must hold; by default, all of the user's. */
    schemas: z.array(schemaNameSchema).min(1).optional(),
    /** Who should own everything, for the rule "owners"; by default, the role of the phase. */
    owner: roleSchema.optional(),
    severity: severitySchema.optional(),
    when: expressionSchema.optional(),
  }),
} as const;

/** A step as the resolver takes it: its files, and what goes into the manifest's step with each. */
export interface WrittenStep {
  readonly kind: 'run' | 'load' | 'batch' | 'check';
  /** Null if there is no file, for a rule that comes with Weft. */
  readonly glob: string | null;
  readonly words: Readonly<Record<string, unknown>>;
}

/** Chooses a schema by the first of its keys that is present; if there is none, the first schema, whose error then names what is missing. */
function byKey<T>(schemas: Readonly<Record<string, z.ZodType>>, make: (key: string, value: Record<string, unknown>) => T) {
  return z.unknown().transform((value, context): T => {
    const keys = Object.keys(schemas);
    const key = keys.find((word) => typeof value === 'object' && value !== null && word in value) ?? (keys[0] as string);
    const parsed = (schemas[key] as z.ZodType).safeParse(value);
    if (parsed.success) return make(key, parsed.data as Record<string, unknown>);
    context.issues.push(...parsed.error.issues.map((issue) => ({ ...issue, input: value }) as z.core.$ZodRawIssue));
    return z.NEVER;
  });
}

export const writtenStepSchema = byKey(
  STEP_SCHEMAS,
  (key, { [key]: glob, target, pause, max_lag, ...words }): WrittenStep => ({
    kind: key as 'run' | 'load' | 'batch',
    glob: glob as string,
    words: { ...words, ...inMilliseconds({ target, pause, max_lag }) },
  }),
);

/** The durations that are given, under the names of the manifest. */
function inMilliseconds(durations: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(durations).flatMap(([word, value]) => (value === undefined ? [] : [[`${word}_ms`, value]])));
}

const checkEntrySchema = byKey(CHECK_SCHEMAS, (key, value): WrittenStep => {
  if (key === 'rule') return { kind: 'check', glob: null, words: value };
  const { check, ...words } = value;
  return { kind: 'check', glob: check as string, words };
});

export const writtenCheckSchema = z.preprocess((value) => (typeof value === 'string' ? { check: value } : value), checkEntrySchema);

/** The keys that an entry may have, for an error about a misspelled one. @param list that contains it */
export function wordsOf(list: 'steps' | 'checks', entry: unknown): readonly string[] {
  const schemas: Readonly<Record<string, z.ZodObject>> = list === 'steps' ? STEP_SCHEMAS : CHECK_SCHEMAS;
  const keys = Object.keys(schemas);
  const key = keys.find((word) => typeof entry === 'object' && entry !== null && word in entry) ?? (keys[0] as string);
  return Object.keys((schemas[key] as z.ZodObject).shape);
}
