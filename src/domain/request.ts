/**
 * The request: the JSON document that is signed. It binds type, id, audience, target, mode, expiry and, by digest, every
 * artifact; its exact bytes are kept in the database. What may accompany it (files inline) is part of the same document.
 */
import * as z from 'zod';
import { LIMITS } from './limits.ts';
import { digestSchema, manifestSchema, nameSchema, pathSchema } from './manifest.ts';
import { givenSchema, secretDigestsSchema } from './parameters.ts';
import { textSchema } from './text.ts';

/** The webhook-id of Standard Webhooks: signed together with the timestamp by ".", so it holds none. */
export const requestIdSchema = z.string().regex(/^[A-Za-z0-9_:-]{1,128}$/, 'an id: letters, digits, "_", ":" and "-", 128 at most');

export const deploymentIdSchema = z.uuid();

/** A file inside a JSON document: text, or any bytes in base64. */
export const inlineFileSchema = z.union([z.strictObject({ path: pathSchema, content: z.string() }), z.strictObject({ path: pathSchema, base64: z.base64() })]);

const common = {
  id: requestIdSchema,
  /** The origin of the Worker it is meant for; null when it goes straight to a database. */
  audience: z.string().max(512).nullable(),
  /** The name of the target; null when it goes straight to a database. */
  target: nameSchema.nullable(),
  expires_at: z.iso.datetime({ offset: true }),
};

export const deployRequestSchema = z.strictObject({
  type: z.literal('deploy'),
  ...common,
  /** `rehearse`: all of it in one transaction that is rolled back, with a report. `baseline`: nothing runs, the files are recorded as applied. */
  mode: z.enum(['apply', 'rehearse', 'baseline']).default('apply'),
  /** For a baseline: the fingerprint that the database must have; without it, the objects that the files create are looked up by name. */
  fingerprint: textSchema.max(200).optional(),
  /** For a baseline: `none` takes the caller's word for it. */
  verify: z.enum(['catalog', 'none']).optional(),
  /** Values of the parameters that the bundle declares, by name; secret ones travel beside the request. */
  parameters: givenSchema.optional(),
  /** The secret ones that are given, each bound by a keyed digest (`trust/secrets.ts`). */
  secrets: secretDigestsSchema.optional(),
  /** May be left out when `files` are there: then the receiver resolves it. */
  manifest: manifestSchema.optional(),
  /** Only in a JSON document, never in a tar. */
  files: z.array(inlineFileSchema).optional(),
  /** The name of the folder that the files come from. Without a weft.yaml, it is the name of their bundle, as with `weft deploy`. */
  folder: textSchema
    .regex(/^[^/]+$/, 'the name of a folder, without "/"')
    .max(255)
    .optional(),
});

export const resumeRequestSchema = z.strictObject({
  type: z.literal('resume'),
  ...common,
  deployment: deploymentIdSchema,
  /** Secrets are kept nowhere, so they come along again; the digests are this request's own. */
  secrets: secretDigestsSchema.optional(),
});
export const cancelRequestSchema = z.strictObject({ type: z.literal('cancel'), ...common, deployment: deploymentIdSchema });
export const undoRequestSchema = z.strictObject({
  type: z.literal('undo'),
  ...common,
  /** Which deployment is taken back. */
  deployment: deploymentIdSchema,
  /** Whether what has no undo may stay; else nothing is undone when anything has none. */
  partly: z.boolean().default(false),
  /** `rehearse`: all of it in one transaction that is rolled back, with a report. */
  mode: z.enum(['apply', 'rehearse']).default('apply'),
  /** Secrets that the undo files name: kept nowhere, so they are given again. */
  secrets: secretDigestsSchema.optional(),
});

export const approveRequestSchema = z.strictObject({
  type: z.literal('approve'),
  ...common,
  deployment: deploymentIdSchema,
  /** The digest of what would run (`approval.digest` of the deployment), so that only what was looked at is approved. */
  digest: digestSchema,
});

export const acceptDriftRequestSchema = z.strictObject({
  type: z.literal('accept_drift'),
  ...common,
  /** The fingerprint of the catalog that was looked at (`fingerprint.after` of the drift), so that later changes are not accepted. */
  fingerprint: textSchema.min(1).max(200),
});

export const forgetRequestSchema = z.strictObject({
  type: z.literal('forget'),
  ...common,
  /** The path of the file that stopped half-way, and of which nothing is left. */
  path: pathSchema,
  /** May be left out where a file of that path stopped half-way in one bundle alone. */
  bundle: nameSchema.optional(),
  why: textSchema.trim().min(1).max(LIMITS.why_characters),
});

export const requestSchema = z.discriminatedUnion('type', [
  deployRequestSchema,
  resumeRequestSchema,
  cancelRequestSchema,
  undoRequestSchema,
  approveRequestSchema,
  acceptDriftRequestSchema,
  forgetRequestSchema,
]);

export type InlineFile = z.infer<typeof inlineFileSchema>;
export type DeployRequest = z.infer<typeof deployRequestSchema>;
export type ResumeRequest = z.infer<typeof resumeRequestSchema>;
export type CancelRequest = z.infer<typeof cancelRequestSchema>;
export type UndoRequest = z.infer<typeof undoRequestSchema>;
export type ApproveRequest = z.infer<typeof approveRequestSchema>;
export type AcceptDriftRequest = z.infer<typeof acceptDriftRequestSchema>;
export type ForgetRequest = z.infer<typeof forgetRequestSchema>;
export type WeftRequest = z.infer<typeof requestSchema>;
export type RequestType = WeftRequest['type'];

/** What a grant can allow. `read` is not a request: it is asked for with a reading token. */
export const actionSchema = z.enum(['deploy', 'resume', 'cancel', 'undo', 'approve', 'baseline', 'accept_drift', 'forget', 'read']);
export type Action = z.infer<typeof actionSchema>;

/** What a reading token says. Bound to one deployment when it names one, else good for the whole target. */
export const readClaimsSchema = z.strictObject({
  caller: nameSchema,
  target: nameSchema,
  /** Seconds since 1970. */
  expires: z.int().positive(),
  deployment: deploymentIdSchema.optional(),
});
export type ReadClaims = z.infer<typeof readClaimsSchema>;

/** The caller of whoever deploys straight to a database. */
export const DIRECT_CALLER = 'direct';
