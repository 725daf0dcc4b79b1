/**
 * The manifest: a bundle resolved, as JSON. Every step in order, under which rules, every artifact by path, size and digest.
 * It does not say where it goes. Its makers (a folder, files inline) and its reader (the engine) agree on it here.
 */
import * as z from 'zod';
import { LIMITS } from './limits.ts';
import { parametersSchema } from './parameters.ts';
import { textSchema } from './text.ts';
import { unwatchedSchema } from './unwatched.ts';

/** SHA-256 in lower-case hexadecimal. */
export const digestSchema = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 digest in lower-case hexadecimal');

/** A path inside a bundle: relative, `/` between parts, no `.` or `..`, no control characters, no backslash. */
export const pathSchema = z
  .string()
  .min(1)
  .refine(isPlainPath, 'a relative path with "/" between its parts, without ".", "..", empty parts, backslashes or control characters')
  .refine((path) => new TextEncoder().encode(path).length <= LIMITS.path_bytes, `a path of at most ${LIMITS.path_bytes} bytes (path_bytes)`);

/** Names of bundles, phases, parameters, targets, callers. */
export const nameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name: letters, digits, ".", "_" and "-", 63 at most, beginning with a letter or digit');

export const artifactSchema = z.strictObject({
  path: pathSchema,
  digest: digestSchema,
  size: z.int().min(0).max(LIMITS.artifact_bytes),
  /** SHA-256 of each chunk of `chunk_bytes`, in order; the last may be shorter. Absent when there is one chunk: then it is the artifact's own. */
  chunks: z.array(digestSchema).min(2).optional(),
});

/** A role of the database, as PostgreSQL knows it: not quoted, at most 63 bytes. */
export const roleSchema = textSchema
  .min(1)
  .refine((name) => name !== 'none' && new TextEncoder().encode(name).length <= 63, 'the name of a role: at most 63 bytes, and not "none"');

/** Settings that are the run's own, or that belong elsewhere, each with why (PostgreSQL manual, chapter 19). */
const REFUSED_SETTINGS: readonly (readonly [RegExp, string])[] = [
  [/^lock_timeout$/, 'it has a word of its own: "lock_timeout" of the phase'],
  [/^(role|session_authorization)$/, 'it has a word of its own: "role"'],
  [/^(statement|transaction|idle_session|idle_in_transaction_session)_timeout$/, 'the run sees to it that no clock but lock_timeout ends it'],
  [/^(default_)?transaction_(isolation|read_only|deferrable)$/, 'the transactions are the run’s'],
  [/^(client_min_messages|client_connection_check_interval|exit_on_error|standard_conforming_strings|application_name)$/, 'the run needs it as it is'],
  [/^weft\./, 'it is the engine’s own'],
];

/** A setting's name, in lower case: of the server, or of an extension with its prefix (PostgreSQL manual, 19.16). */
export const settingNameSchema = z
  .string()
  .max(126)
  .regex(/^[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)*$/, 'the name of a setting, in lower case')
  .superRefine((name, context) => {
    const [, why] = REFUSED_SETTINGS.find(([pattern]) => pattern.test(name)) ?? [];
    if (why !== undefined) context.addIssue({ code: 'custom', message: `another setting: ${why}` });
  });

export const settingsSchema = z.record(settingNameSchema, textSchema.max(LIMITS.setting_characters));

/** An SQL expression of type boolean. */
const expressionSchema = textSchema.min(1).max(LIMITS.expression_characters);

/** Which of a phase's steps share a transaction. */
export const transactionSchema = z.enum(['single', 'per-step', 'auto', 'none']);

/** What a check does that finds rows: error vetoes the commit, warn is recorded. */
export const severitySchema = z.enum(['error', 'warn']);

/** The rules that come with Weft; the engine knows the same ones (`weft._find_rule`). */
export const CHECK_RULES = ['primary-keys', 'indexed-foreign-keys', 'valid-indexes', 'valid-constraints', 'sequences-with-room', 'owners'] as const;
export const checkRuleSchema = z.enum(CHECK_RULES);

/** A schema of the database, as PostgreSQL knows it: not quoted, at most 63 bytes. */
export const schemaNameSchema = textSchema.min(1).refine((name) => new TextEncoder().encode(name).length <= 63, 'the name of a schema: at most 63 bytes');

/** How often a file runs that is not to run once: when its content is another one, or with every deployment. */
export const repeatSchema = z.enum(['on-change', 'always']);

/** What happens to a new file whose place is before one that was applied: it is refused, or runs. */
export const orderSchema = z.enum(['strict', 'any']);

const commonStepShape = {
  path: pathSchema,
  /** If it is not true when the step would begin, the step does not run. Evaluated in the step's transaction. */
  when: expressionSchema.optional(),
};

/** Of every kind that changes something. */
const undoShape = {
  /** The artifact that takes the step back. It is kept with the deployment, and run by an undo. */
  undo: pathSchema.optional(),
};

const runStepSchema = z.strictObject({
  kind: z.literal('run'),
  ...commonStepShape,
  ...undoShape,
  /** continue: if the step fails, the deployment goes on without it. */
  on_error: z.literal('continue').optional(),
  /** An SQL expression that is true once a statement is done that PostgreSQL runs in no transaction, and that leaves no trace in a catalog. */
  done_when: expressionSchema.optional(),
  /** Without it the file runs once. */
  repeat: repeatSchema.optional(),
});

/** What happens to rows: those of the file are inserted; or updated if their key exists; and also those that the file lacks deleted. */
export const loadModeSchema = z.enum(['insert', 'upsert', 'sync']);
export const loadFormatSchema = z.enum(['csv', 'json', 'ndjson']);

/** A column of a table, as PostgreSQL knows it: not quoted, at most 63 bytes. */
export const columnSchema = textSchema.min(1).refine((name) => new TextEncoder().encode(name).length <= 63, 'the name of a column: at most 63 bytes');

/** How CSV is written, where it is not as RFC 4180 has it, with a first line that names the columns. */
export const csvShape = {
  /** The unquoted text that means NULL; by default, the empty one. */
  null_as: textSchema
    .max(63)
    .regex(/^[^"\r\n]*$/, 'text without quotes and line ends')
    .optional(),
  delimiter: textSchema.regex(/^[^"\\\r\nA-Za-z0-9]$/u, 'one character that is no letter, digit, quote or backslash').optional(),
  /** The columns of a file whose first line is a row like the others. */
  columns: z.array(columnSchema).min(1).optional(),
};

const loadStepSchema = z
  .strictObject({
    kind: z.literal('load'),
    ...commonStepShape,
    ...undoShape,
    on_error: z.literal('continue').optional(),
    /** A table, as SQL names it. */
    into: textSchema.min(1).max(LIMITS.expression_characters),
    mode: loadModeSchema,
    /** The columns by which rows are told apart. */
    key: z.array(columnSchema).min(1).optional(),
    /** An SQL expression over the table's columns: what a sync may delete. */
    where: expressionSchema.optional(),
    format: loadFormatSchema,
    ...csvShape,
  })
  .superRefine((step, context) => {
    if (step.mode !== 'insert' && step.key === undefined) context.addIssue({ code: 'custom', path: ['key'], message: `the mode ${step.mode} needs a key` });
    if (step.mode !== 'sync' && step.where !== undefined) context.addIssue({ code: 'custom', path: ['where'], message: 'only a sync deletes' });
    if (step.null_as?.includes(step.delimiter ?? ',')) context.addIssue({ code: 'custom', path: ['null_as'], message: 'the delimiter cannot be in it' });
    for (const word of ['null_as', 'delimiter', 'columns'] as const) {
      if (step.format !== 'csv' && step[word] !== undefined) context.addIssue({ code: 'custom', path: [word], message: 'it belongs to CSV' });
    }
  });

/** What a batch says about its rounds. */
export const batchShape = {
  /** How many rows a round may touch; where a target steers it, in the first one. */
  size: z.int().min(1).max(LIMITS.batch_size_max),
  /** Where it begins: smaller than every value of the cursor, in the form in which PostgreSQL reads them. */
  cursor: textSchema.max(LIMITS.cursor_characters),
  max_rounds: z.int().min(1).max(1_000_000_000),
  /** If rounds of it are in the database, but its statement or the parameters that it names have changed: continue after them, or begin anew. */
  on_change: z.enum(['continue', 'restart']),
};

const batchStepSchema = z.strictObject({
  kind: z.literal('batch'),
  ...commonStepShape,
  ...undoShape,
  on_error: z.literal('continue').optional(),
  size: batchShape.size.optional(),
  cursor: batchShape.cursor.optional(),
  max_rounds: batchShape.max_rounds.optional(),
  on_change: batchShape.on_change.optional(),
  /** About how long a round should take: its size is adjusted to that. */
  target_ms: z.int().min(10).max(60_000).optional(),
  /** Between two rounds. */
  pause_ms: z.int().min(0).max(3_600_000).optional(),
  /** How far a standby may lag behind while rounds are run. */
  max_lag_ms: z.int().min(1).max(86_400_000).optional(),
  /** Evaluated once a round has touched no row: if it is not true, the batch begins anew, a few times. */
  done_when: expressionSchema.optional(),
});

const checkStepSchema = z.strictObject({
  kind: z.literal('check'),
  /** The path of its query; for a rule that comes with Weft, "rule:" and its name, without an artifact. */
  ...commonStepShape,
  severity: severitySchema.optional(),
  rule: checkRuleSchema.optional(),
  schemas: z.array(schemaNameSchema).min(1).optional(),
  owner: roleSchema.optional(),
});

export const stepSchema = z.discriminatedUnion('kind', [runStepSchema, loadStepSchema, batchStepSchema, checkStepSchema]);

/** Kinds of statements by what waiting for a lock does to others; the engine knows the same ones (`weft._name_lock_kind`). */
const lockTimeoutSchema = z.int().min(1).max(3_600_000);
const lockTimeoutsSchema = z
  .strictObject({ table: lockTimeoutSchema, index: lockTimeoutSchema, data: lockTimeoutSchema, concurrently: lockTimeoutSchema })
  .partial();

export const phaseSchema = z.strictObject({
  name: nameSchema,
  transaction: transactionSchema,
  /** How long a statement may wait for a lock, in milliseconds. */
  lock_timeout_ms: lockTimeoutSchema.optional(),
  /** The same for statements of some kinds, where that differs. */
  lock_timeouts_ms: lockTimeoutsSchema.optional(),
  /** If it is not true when the phase begins, none of its steps runs. Evaluated in the first transaction of the phase. */
  when: expressionSchema.optional(),
  /** The role as which each of its files begins; by default, the one that deploys. */
  role: roleSchema.optional(),
  /** The settings with which each of its files begins. */
  settings: settingsSchema.optional(),
  /** How many of the steps come from each entry of the bundle file: the files of one entry have an order. Absent if there is only one entry. */
  entries: z.array(z.int().min(1)).min(2).optional(),
  steps: z.array(stepSchema).min(1),
});

export const manifestSchema = z
  .strictObject({
    format: z.literal(1),
    bundle: nameSchema,
    /** Absent: any. */
    order: z.literal('strict').optional(),
    /** The parameters that the bundle declares; absent if there are none. */
    parameters: parametersSchema.optional(),
    /** Objects that something else manages; absent if there are none. */
    unwatched: z.array(unwatchedSchema).min(1).max(LIMITS.ignored_count).optional(),
    /** In the order in which the steps first name them; the order of the tar. */
    artifacts: z.array(artifactSchema).max(LIMITS.artifacts_count),
    /** Files of the bundle that this deployment does not run (`--up-to`, `--only`): they are not gone from the bundle, nor renamed. */
    left_out: z.array(pathSchema).min(1).max(LIMITS.artifacts_count).optional(),
    phases: z.array(phaseSchema).min(1).max(LIMITS.phases_count),
  })
  .superRefine((manifest, context) => {
    const paths = new Set<string>();
    for (const [index, artifact] of manifest.artifacts.entries()) {
      if (paths.has(artifact.path)) {
        context.addIssue({ code: 'custom', path: ['artifacts', index, 'path'], message: `"${artifact.path}" stands here twice` });
      }
      paths.add(artifact.path);
      const chunksCount = Math.max(1, Math.ceil(artifact.size / LIMITS.chunk_bytes));
      if ((artifact.chunks?.length ?? 1) !== chunksCount) {
        context.addIssue({ code: 'custom', path: ['artifacts', index, 'chunks'], message: `${artifact.size} bytes make ${chunksCount} chunks` });
      }
    }
    const names = new Set<string>();
    const used = new Map<string, string>();
    const undos = new Set<string>();
    for (const [index, phase] of manifest.phases.entries()) {
      if (names.has(phase.name)) {
        context.addIssue({ code: 'custom', path: ['phases', index, 'name'], message: `two phases are called "${phase.name}"` });
      }
      names.add(phase.name);
      if (phase.entries !== undefined && phase.entries.reduce((sum, count) => sum + count) !== phase.steps.length) {
        context.addIssue({ code: 'custom', path: ['phases', index, 'entries'], message: `the entries do not add up to ${phase.steps.length} steps` });
      }
      for (const [position, step] of phase.steps.entries()) {
        const where = ['phases', index, 'steps', position, 'path'];
        if (step.kind === 'batch' && phase.transaction === 'single') {
          context.addIssue({ code: 'custom', path: where, message: 'a batch commits each of its rounds, and its phase is all or nothing (single)' });
        }
        if (step.kind === 'check' && step.rule !== undefined) continue;
        if (!paths.has(step.path)) context.addIssue({ code: 'custom', path: where, message: `no artifact has the path "${step.path}"` });
        // A rule may hold after several phases, so a check may run several times.
        if (used.has(step.path) && !(step.kind === 'check' && used.get(step.path) === 'check')) {
          context.addIssue({ code: 'custom', path: where, message: `"${step.path}" is run twice` });
        }
        used.set(step.path, step.kind);
        if (!('undo' in step) || step.undo === undefined) continue;
        if (!paths.has(step.undo))
          context.addIssue({ code: 'custom', path: [...where.slice(0, -1), 'undo'], message: `no artifact has the path "${step.undo}"` });
        if (undos.has(step.undo)) context.addIssue({ code: 'custom', path: [...where.slice(0, -1), 'undo'], message: `"${step.undo}" undoes two steps` });
        undos.add(step.undo);
      }
      const inPhase = new Set<string>();
      const twice = phase.steps.find(({ path }) => inPhase.size === inPhase.add(path).size)?.path;
      if (twice !== undefined) context.addIssue({ code: 'custom', path: ['phases', index, 'steps'], message: `"${twice}" stands in the phase twice` });
    }
    for (const [index, artifact] of manifest.artifacts.entries()) {
      if (used.has(artifact.path) && undos.has(artifact.path)) {
        context.addIssue({ code: 'custom', path: ['artifacts', index, 'path'], message: `"${artifact.path}" is run by a step, and undoes one` });
      }
      if (!used.has(artifact.path) && !undos.has(artifact.path)) {
        context.addIssue({ code: 'custom', path: ['artifacts', index, 'path'], message: `no step names "${artifact.path}"` });
      }
    }
  });

export type Artifact = z.infer<typeof artifactSchema>;
export type Step = z.infer<typeof stepSchema>;
export type Phase = z.infer<typeof phaseSchema>;
export type Manifest = z.infer<typeof manifestSchema>;

/** The digests of an artifact's chunks, in order: only its own, if it is not larger than a chunk. */
export function chunkDigests(artifact: Artifact): readonly string[] {
  return artifact.chunks ?? [artifact.digest];
}

function isPlainPath(path: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (/[\\\u0000-\u001f\u007f]/.test(path)) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}
