/** The approval of a second person: what a deployment says about it, and whether it waits for one. */
import * as z from 'zod';

export const approvalSchema = z.looseObject({
  /** Whose rule it is. */
  environment: z.string().nullable(),
  /** SHA-256 of what would be run: what an approval names. */
  digest: z.string(),
  /** Who can never give it: whoever has opened the deployment. */
  not_by: z.string(),
  /** Since when nothing lacks but the approval, and until when it may be given; null while artifacts are missing. */
  asked_at: z.string().nullable(),
  until: z.string().nullable(),
  /** Whether the deployment waits for it, and for nothing else. */
  waits: z.boolean(),
  /** Who has given it, and when; null when nobody has. */
  by: z.string().nullable(),
  at: z.string().nullable(),
});
export type Approval = z.infer<typeof approvalSchema>;

/** What the environment of a target asks of a deployment there; it goes with the request that opens it. */
export interface Protection {
  /** The name of the environment. */
  readonly environment: string;
  readonly second_person: boolean;
  readonly rehearsal_first: boolean;
}

/** Whether a deployment waits for nothing but its approval. */
export function isUnapproved({ approval }: { readonly approval?: Approval | null | undefined }): boolean {
  return approval?.waits === true;
}

/** Whether it still has to be approved, also while some of its artifacts are missing. */
export function lacksApproval({ state, approval }: { readonly state: string; readonly approval?: Approval | null | undefined }): boolean {
  return state === 'open' && approval !== null && approval !== undefined && approval.by === null;
}
