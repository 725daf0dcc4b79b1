/**
 * What a forge says has happened in a repository, as far as deployments follow from it; and the piece of work that a Worker makes of
 * it: one change for one target. It waits in the queue as a message until it is taken; it contains nothing secret.
 */
import * as z from 'zod';
import { digestSchema, nameSchema, pathSchema } from './manifest.ts';
import { deploymentIdSchema } from './request.ts';

export const forgeKindSchema = z.enum(['github', 'gitlab', 'azure']);
export type ForgeKind = z.infer<typeof forgeKindSchema>;

/** The id of a commit: SHA-1, or SHA-256 in repositories that have those. */
export const commitSchema = z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/, 'the id of a commit, in full');

export const changeSchema = z.strictObject({
  /** As the forge calls it. */
  event: z.string().max(64),
  repository: z.strictObject({
    /** Never changes. */
    id: z.string().max(64),
    /** By which its API finds it. */
    name: z.string().max(512),
  }),
  commit: commitSchema,
  /** The branch that was pushed or built, or into which a pull request is to go; of a deployment, what it was asked for; null where there is none. */
  branch: z.string().max(1024).nullable(),
  environment: z.string().max(255).nullable(),
  /** The file of a workflow, or at Azure the id of a pipeline's definition. */
  workflow: z.string().max(1024).nullable(),
  /** Of the pull request, the deployment or the run. */
  number: z.int().min(1).nullable(),
  /** What was asked for again, though the commit is the same: the how-manieth time it is. */
  attempt: z.int().min(1).nullable(),
  /** Where an answer is asked for, and whether a job may start depends on it. */
  answer_to: z.string().max(2048).optional(),
});
export type Change = z.infer<typeof changeSchema>;

/** How it is known that a forge said so: kept with the deployment, where a signed request has its signature. */
export const deliveryProofSchema = z.strictObject({
  /** SHA-256 of the delivery's body, which the signature is over. */
  delivery: digestSchema,
  signature: z.string().max(1024),
});
export type DeliveryProof = z.infer<typeof deliveryProofSchema>;

/** A remark at a line of a file. */
export const remarkSchema = z.strictObject({
  /** From the repository's root. */
  path: z.string(),
  /** Counted from 1. */
  line: z.int().min(1),
  level: z.enum(['failure', 'warning']),
  message: z.string(),
});
export type Remark = z.infer<typeof remarkSchema>;

/** What is told at a forge of how a change fares. */
export const accountSchema = z.strictObject({
  /** `waiting`: somebody has to approve it first. */
  state: z.enum(['running', 'waiting', 'success', 'failure', 'neutral']),
  /** By which a repeated account is found again: one for each folder and target. */
  name: z.string(),
  /** One line. */
  title: z.string(),
  /** Markdown. */
  text: z.string(),
  remarks: z.array(remarkSchema),
});
export type Account = z.infer<typeof accountSchema>;

/** Whether nothing further follows. */
export function isAccountOver({ state }: Account): boolean {
  return state !== 'running' && state !== 'waiting';
}

export const forgeWorkSchema = z.strictObject({
  kind: z.literal('change'),
  /** The caller that is the forge. */
  forge: nameSchema,
  change: changeSchema,
  proof: deliveryProofSchema,
  /** By which the source is found again in the configuration. */
  folder: pathSchema.nullable(),
  target: nameSchema,
  /** Once there is one. */
  deployment: deploymentIdSchema.nullable(),
  /** Once the forge has confirmed it: by which name it is told from then on, whatever becomes of its source. */
  mode: z.enum(['apply', 'rehearse', 'approve']).optional(),
  /** Once the forge knows that somebody has to approve it. */
  told_waiting: z.literal(true).optional(),
  /** What was left at the forge to report with, by names of the forge's own. */
  reports: z.record(z.string().max(64), z.string().max(256)),
  /** When it is over, and nothing is left but to tell it. */
  account: accountSchema.nullable(),
  /** How often somebody has taken it up before. */
  looks: z.int().min(0),
});
export type ForgeWork = z.infer<typeof forgeWorkSchema>;
