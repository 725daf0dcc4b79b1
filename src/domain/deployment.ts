/**
 * A deployment as people and programs read it: the document that the engine's `weft.status(id)` makes, that HTTP sends and
 * that `--json` prints. Rows are parsed where they enter; this is the shape they must have.
 */
import * as z from 'zod';
import { approvalSchema } from './approval.ts';
import { rehearsalSchema } from './rehearsal.ts';

const pathsSchema = z.array(z.string()).optional();
const verifiedSchema = z.looseObject({
  by: z.string(),
  objects_found: z.int().optional(),
  not_looked_at: pathsSchema,
  gone_again: pathsSchema,
  too_large: pathsSchema,
});

/** open → staged → running → succeeded | degraded | failed | cancelled */
export const deploymentStateSchema = z.enum(['open', 'staged', 'running', 'succeeded', 'degraded', 'failed', 'cancelled']);
export const stepStateSchema = z.enum(['pending', 'succeeded', 'skipped', 'failed']);
export const phaseStateSchema = z.enum(['pending', 'running', 'succeeded', 'skipped', 'failed', 'cancelled']);

/** An error kept whole: GET STACKED DIAGNOSTICS (PostgreSQL manual, 41.6.8.1), and where it was. */
export const deploymentErrorSchema = z.looseObject({
  sqlstate: z.string(),
  message: z.string(),
  detail: z.string().nullish(),
  hint: z.string().nullish(),
  /** Where in functions it was, innermost first, as the server tells it. */
  context: z.string().nullish(),
  phase: z.string().nullish(),
  path: z.string().nullish(),
  /** The exact place, if it is known: its line in the file, and the character of that line, counted from 1. Otherwise, where the statement begins. */
  line: z.int().nullish(),
  character: z.int().nullish(),
  /** The text of that line, or a stretch of it, and at which character of it the place is. */
  excerpt: z.string().nullish(),
  caret: z.int().nullish(),
  statement: z.string().nullish(),
  /** Where the statement begins, if `line` is another place. */
  statement_line: z.int().nullish(),
  /** What the server names besides its message, if it does. */
  schema: z.string().nullish(),
  table: z.string().nullish(),
  column: z.string().nullish(),
  constraint: z.string().nullish(),
  datatype: z.string().nullish(),
  /** What is half-made and could not be removed, each with the statement that removes it. */
  remains: z.array(z.looseObject({ object: z.string(), statement: z.string() })).nullish(),
  /** Whether it is about words of weft.yaml, and not about the file. */
  in_bundle_file: z.boolean().nullish(),
  /** For a check that vetoed: the same as the step's `result`. */
  check: z.looseObject({ offenders_count: z.number(), offenders: z.array(z.unknown()) }).nullish(),
});

export const stepStatusSchema = z.looseObject({
  path: z.string(),
  kind: z.string(),
  /** SHA-256 of the file, and its size in bytes. */
  digest: z.string().nullish(),
  size: z.int().nullish(),
  /** The file that takes this one back; and in an undo, the file that this one takes back. */
  undo: z.string().nullish(),
  undoes: z.string().nullish(),
  /** Its condition, an SQL expression, and its result when the step's turn came; null if there is none, or it was not evaluated. */
  when: z.string().nullish(),
  is_wanted: z.boolean().nullish(),
  /** continue: the deployment goes on without it if it fails. */
  on_error: z.string().nullish(),
  /** What the manifest says about it apart from the keys of all kinds, and what steps of its kind report: the rows that break a check's rule, say. */
  options: z.record(z.string(), z.unknown()).nullish(),
  result: z.record(z.string(), z.unknown()).nullish(),
  state: stepStateSchema,
  milliseconds: z.number().nullable(),
  rows: z.number().nullable(),
  /** How many there are; for a step that runs statement by statement and is not over, or failed: how many of them are done. */
  statements: z.int().nullable(),
  error: deploymentErrorSchema.nullable(),
  /** How far a batch is, after its last committed round; null if it has not begun, or the step is no batch. */
  batch: z
    .looseObject({
      rounds: z.int(),
      rows: z.number(),
      /** The size of the next round. */
      size: z.int(),
      /** The table that it writes to, and how many rows that had, as the planner estimated it; null where that is not known. */
      table: z.string().nullable(),
      table_rows_estimate: z.number().nullable(),
      rows_per_second: z.number().nullable(),
      /** Why it is slowed down: "others wait", or "a standby lags". */
      throttled_by: z.looseObject({ why: z.string() }).nullable(),
    })
    .nullish(),
  /** Which part of the step is in the database without the rest: a sentence, or null. */
  account: z.string().nullish(),
  /** In how many tries the step succeeded. `milliseconds` is what the last one took; for a step that ran statement by statement, it is all of its time. */
  tries: z.int().nullish(),
  /** How many of its statements were found done: an index was there already, say. */
  found_done: z.int().nullish(),
  /** Whether a statement that is not done has committed something, and runs again with the next deployment. */
  runs_again: z.boolean().nullish(),
});

export const phaseStatusSchema = z.looseObject({
  name: z.string(),
  transaction: z.string(),
  /** Its condition, and what that came to when the phase began. */
  when: z.string().nullish(),
  is_wanted: z.boolean().nullish(),
  /** As whom each of its files begins, and with which settings; null for the role that deploys. */
  role: z.string().nullish(),
  settings: z.record(z.string(), z.string()).nullish(),
  state: phaseStateSchema,
  started_at: z.string().nullish(),
  finished_at: z.string().nullish(),
  steps: z.array(stepStatusSchema),
});

/** A statement that PostgreSQL runs in no transaction, and that a session was handed. */
const handedOutSchema = z.looseObject({ path: z.string(), number: z.int(), line: z.int(), statement: z.string() });

/** Another session, as far as the role that deploys may see it; its statement without its literals. Or a prepared transaction, which has none. */
const sessionSchema = z.looseObject({
  pid: z.int().nullish(),
  application: z.string().nullish(),
  role: z.string().nullable(),
  /** The identifier of a prepared transaction. */
  prepared: z.string().nullish(),
  /** For a backend without a client: "autovacuum worker", say. */
  kind: z.string().nullish(),
  state: z.string().nullish(),
  state_seconds: z.number().nullish(),
  transaction_seconds: z.number().nullish(),
  query: z.string().nullish(),
});

/** What is going on right now, seen in pg_stat_activity from another session; also inside an open transaction. */
export const liveSchema = z.looseObject({
  pid: z.int(),
  since: z.string().nullable(),
  phase: z.string().nullable(),
  /** The running step, counted from 1 over all phases, out of `steps`. */
  step: z.int().nullable(),
  steps: z.int().nullable(),
  path: z.string().nullable(),
  /** What the backend waits for, such as "Lock: relation", and which pids hold it; 0 is a prepared transaction. */
  waiting_for: z.string().nullable(),
  /** The lock itself: its mode, and the table or other object it is on, where the server tells. */
  waiting_on: z.looseObject({ mode: z.string(), object: z.string().nullable() }).nullish(),
  /** Of a commit that waits for a synchronous standby at this moment, as each does for a while: its transaction. */
  committing: z.string().nullish(),
  blocked_by: z.array(z.int()),
  /** The same, with what everybody may know of them. */
  blockers: z.array(sessionSchema).nullish(),
  /** Which try is running, and after how many the step fails: it is tried again if it could not get a lock. */
  attempt: z.looseObject({ number: z.int(), of: z.int() }).nullish(),
  /** Set while an index is built or rebuilt: pg_stat_progress_create_index. What is counted depends on the phase; null when nothing is. */
  build: z
    .looseObject({
      command: z.string(),
      table: z.string(),
      phase: z.string(),
      done: z.number().nullable(),
      total: z.number().nullable(),
      unit: z.string().nullable(),
    })
    .nullish(),
  /** Set while the session runs a statement that PostgreSQL runs in no transaction: without its client, the backend ends after it. */
  handed_out: handedOutSchema.nullish(),
});

const namedDifferencesSchema = z.looseObject({
  count: z.int(),
  objects: z.array(
    z.looseObject({
      change: z.enum(['added', 'missing', 'changed']),
      kind: z.string(),
      identity: z.string(),
      /** Both definitions, where the catalogs of then are kept and were asked for. */
      before: z.string().nullish(),
      after: z.string().nullish(),
      /** After an undo: the statement that would drop an object that was not there before, if it contains no data. */
      drop: z.string().nullish(),
    }),
  ),
});

/** Once when it began, and once for each time it was opened again, where that met anything. */
const driftFoundSchema = z.array(namedDifferencesSchema.extend({ since: z.string(), reopened: z.boolean() }));

/** What only informs: where it reads otherwise than is known here, it is left out, and all the rest can be read. */
const informing = <Kind extends z.ZodType>(schema: Kind) => schema.nullish().catch(null);

const comparedSchema = namedDifferencesSchema.extend({ verdict: z.enum(['same', 'differs', 'unknown']), reason: z.string().nullish() });

export const deploymentSchema = z.looseObject({
  id: z.string(),
  state: deploymentStateSchema,
  /** `rehearse`: everything was rolled back, and `rehearsal` has the report. `baseline`: nothing was run, the files were recorded as applied. */
  mode: z.enum(['apply', 'rehearse', 'baseline']).optional(),
  /** The deployment that this one takes back; and those that have begun to take this one back. */
  undoes: z.string().nullish(),
  undone_by: z.array(z.string()).nullish(),
  /** For an undo that has succeeded: how the catalog compares with what it was before the deployment that was taken back. */
  compared: informing(comparedSchema),
  /** The newest of those, how it ended, and whether nothing of this one is left. */
  undone: z.looseObject({ by: z.string(), state: deploymentStateSchema, finished_at: z.string().nullable(), whole: z.boolean() }).nullish(),
  /** For the undo of a baseline: files that have left the history, and those that are in it again as before. */
  withdrawn: z.looseObject({ files: z.int(), paths: z.array(z.string()), as_before: z.array(z.string()) }).nullish(),
  /** For an undo: what it leaves in the database, because that has no undo; `is_gone` if it went with its table, and so left the history. */
  without_undo: z.array(z.looseObject({ phase: z.string(), path: z.string(), kind: z.string().nullish(), is_gone: z.boolean().nullish() })).nullish(),
  /** What it found when it began, or was opened again, that was not as deployments had left it (the last of them: `since`): how many objects, and the first of them by name. */
  drift_found: informing(driftFoundSchema),
  /** Once it is over: objects that went with what it dropped (`cascade`), and that no file names or has made again: how many, and the first of them. */
  gone_along: informing(z.looseObject({ count: z.int(), objects: z.array(z.looseObject({ kind: z.string(), identity: z.string() })) })),
  /** Once it is over: data and batches whose table it has made anew, or dropped; those that the next deployment runs again have left the history. */
  made_anew: informing(z.array(z.looseObject({ path: z.string(), kind: z.string().nullable(), table: z.string(), runs_again: z.boolean() }))),
  files_gone: z.looseObject({ count: z.int(), paths: z.array(z.string()) }).nullish(),
  /** Once it is over: whether it has left anything in the database. If not, drift is still measured since the one before. */
  has_committed: z.boolean().nullish(),
  target: z.string().nullable(),
  bundle: z.string(),
  caller: z.string(),
  /** From which repository and commit it comes, as far as a webhook or an identity token has said so; null if there is only a signature. */
  source: z
    .looseObject({
      /** From a webhook: "github", say. */
      forge: z.string().nullish(),
      /** From an identity token. */
      issuer: z.string().nullish(),
      event: z.string().nullish(),
      repository: z.string().nullish(),
      commit: z.string().nullish(),
      folder: z.string().nullish(),
      ref: z.string().nullish(),
      run: z.string().nullish(),
      actor: z.string().nullish(),
    })
    .nullish(),
  request_id: z.string(),
  created_at: z.string(),
  staged_at: z.string().nullable(),
  started_at: z.string().nullable(),
  finished_at: z.string().nullable(),
  /** What the bundle declares, with what was given; never the value of a secret. */
  parameters: z
    .array(
      z.looseObject({
        name: z.string(),
        type: z.string(),
        secret: z.boolean(),
        given: z.boolean(),
        value: z.string().nullable(),
        digest: z.string().nullish(),
      }),
    )
    .nullish(),
  phases: z.array(phaseStatusSchema),
  error: deploymentErrorSchema.nullable(),
  fingerprint: z.looseObject({ before: z.string().nullable(), after: z.string().nullable() }),
  wal: z.looseObject({ before: z.string().nullable(), after: z.string().nullable() }),
  /** Once it is over: its newest receipt, whose bytes never change. */
  receipt: z.looseObject({ number: z.int(), sha256: z.string(), written_at: z.string() }).nullish(),
  /** Whose approval it needs, and who has given it; null when it needs none. */
  approval: approvalSchema.nullish(),
  /** From an end until it was opened again, when nobody worked; null if it never was. */
  rests: z.array(z.looseObject({ since: z.string(), until: z.string() })).nullish(),
  /** Deployments that are staged before this one and not over. */
  ahead: z.array(z.string()),
  /** Set while a live backend runs this deployment. */
  live: liveSchema.nullable(),
  /** Set from when a statement was handed out until the next CALL has found out what became of it. */
  handed_out: handedOutSchema.nullish(),
  /** In the answer to a CALL: its statement was cancelled on the server, not by whoever may end the deployment. */
  interrupted: deploymentErrorSchema.nullish(),
  /** Whether somebody has asked for its end, and it is not there yet. */
  cancelling: z.boolean().optional(),
  /** Who first asked to cancel it, and when, even if it had already ended. Null if nobody did. */
  cancellation: z.looseObject({ caller: z.string(), requested_at: z.string() }).nullish(),
  /** Set while the engine removes what a statement outside of a transaction has left half-made: which statement left it, why, and what is removing it now. */
  cleaning: z.looseObject({ path: z.string(), line: z.int().nullable(), sent: z.string().nullable(), error: deploymentErrorSchema }).nullish(),
  /** Invalid indexes that it left behind and that only a superuser may drop, each with the statement for it. */
  leftovers: z.array(z.looseObject({ index: z.string(), path: z.string().nullable(), statement: z.string() })).nullish(),
  /** For a baseline that was recorded: how many files were new to the history, which ones it had with other content, and how that was verified. */
  baseline: z.looseObject({ files: z.int(), replaced: z.array(z.string()).nullish(), verified: verifiedSchema }).nullish(),
  /** For a rehearsal that is over: what it has shown, and what it could not show. */
  rehearsal: informing(rehearsalSchema),
});

/** What changes in a deployment while it runs, for clients that poll. */
export const glanceSchema = z.looseObject({
  id: z.string(),
  state: deploymentStateSchema,
  ahead: z.array(z.string()),
  live: liveSchema.nullable(),
  /** The number of its newest event; 0 when there is none. */
  event: z.int(),
  /** While it stays the same, the deployment has committed nothing, and the rest of its document is the same. */
  mark: z.string(),
});

export const eventSchema = z.looseObject({
  deployment: z.string(),
  /** Counted from 1 in each deployment, without gaps, in the order of commits: the `id:` of a server-sent event. */
  number: z.int(),
  at: z.string(),
  kind: z.string(),
  phase: z.string().nullable(),
  path: z.string().nullable(),
  data: z.record(z.string(), z.unknown()),
});

/** An object of the catalog that differs: its definition then and now, null if it did or does not exist. */
export const differenceSchema = z.looseObject({
  change: z.enum(['added', 'removed', 'missing', 'changed']),
  kind: z.string(),
  identity: z.string(),
  before: z.string().nullable(),
  after: z.string().nullable(),
});

const differencesSchema = z.looseObject({
  /** Why it cannot be told; else null. */
  reason: z.string().nullable(),
  fingerprint: z.looseObject({ before: z.string().nullable(), after: z.string().nullable() }),
  /** Of all of them; `objects` may be fewer (`differences_listed_count_max`). */
  count: z.int(),
  objects: z.array(differenceSchema),
});

/** How the catalog differs from what deployments have left. */
export const driftSchema = differencesSchema.extend({
  verdict: z.enum(['none', 'drift', 'other version', 'unknown']),
  since: z
    .looseObject({
      deployment: z.string(),
      bundle: z.string(),
      state: deploymentStateSchema,
      finished_at: z.string(),
      /** What that one found when it began, or was opened again. */
      drift_found: driftFoundSchema.nullish(),
      /** After it, somebody accepted the catalog as it was then; `count` is null if it could not be compared with what it should have been. */
      accepted: z.looseObject({ at: z.string(), by: z.string(), count: z.int().nullable() }).nullish(),
    })
    .nullable(),
  /** A deployment that has begun and is not over: its changes are among the objects. */
  running: z.string().nullable(),
  /** Files that an undo has taken back in part: what that has removed is no drift, and the history has them still. */
  half_undone: z.array(z.looseObject({ bundle: z.string(), path: z.string(), undoes: z.string(), account: z.string() })).nullish(),
  /** Other differences that are no drift: bundles say that something else manages these objects. Null if there are none. */
  unwatched: z
    .looseObject({ count: z.int(), objects: z.array(z.looseObject({ change: z.string(), kind: z.string(), identity: z.string(), bundle: z.string() })) })
    .nullish(),
});

/** What a deployment has changed in the catalog. */
export const changesSchema = differencesSchema.extend({
  deployment: z.string(),
  verdict: z.enum(['none', 'changed', 'unknown']),
  /** What it found when it began, or was opened again, that was not as deployments had left it. */
  drift_found: driftFoundSchema.nullish(),
  /** For an undo that has succeeded: how the catalog compares with what it was before the deployment that was taken back. */
  compared: comparedSchema.nullish(),
});

export type DeploymentState = z.infer<typeof deploymentStateSchema>;
export type DeploymentError = z.infer<typeof deploymentErrorSchema>;
export type StepStatus = z.infer<typeof stepStatusSchema>;
export type PhaseStatus = z.infer<typeof phaseStatusSchema>;
export type Live = z.infer<typeof liveSchema>;
export type Deployment = z.infer<typeof deploymentSchema>;
export type Glance = z.infer<typeof glanceSchema>;
export type DeploymentEvent = z.infer<typeof eventSchema>;
export type Difference = z.infer<typeof differenceSchema>;
export type NamedDifferences = z.infer<typeof namedDifferencesSchema>;
export type DriftFound = z.infer<typeof driftFoundSchema>[number];
export type Drift = z.infer<typeof driftSchema>;
export type Changes = z.infer<typeof changesSchema>;

/** Whether a state is an end. */
export function isOver(state: DeploymentState): boolean {
  return state === 'succeeded' || state === 'degraded' || state === 'failed' || state === 'cancelled';
}

/** The exit code of a command that ended with this deployment: 0 done · 1 failed or cancelled · 3 not over, can be resumed. */
export function exitCodeOf(state: DeploymentState, strict: boolean): 0 | 1 | 3 {
  if (state === 'succeeded' || (state === 'degraded' && !strict)) return 0;
  return isOver(state) ? 1 : 3;
}
