/** What the words of a deployment say of its approval. Pure. */
import { isUnapproved } from '../domain/approval.ts';
import type { Deployment } from '../domain/deployment.ts';
import type { Style } from './io.ts';
import { moment, oneLine } from './text.ts';

/** Whether it could begin, and only waits for secrets that are kept nowhere. */
export function waitsForSecrets({ state, live, ahead, parameters }: Deployment): boolean {
  return state === 'staged' && live === null && ahead.length === 0 && (parameters ?? []).some(({ secret, given }) => secret && given);
}

/** @returns null when it does not wait for that */
export function approvalWait(deployment: Deployment): string | null {
  const { approval } = deployment;
  return approval && isUnapproved(deployment) ? `waits for the approval of somebody else than ${oneLine(approval.not_by)}` : null;
}

export function unapprovedHeadline(subject: string, { approval }: Deployment, style: Style): string {
  const whose = approval?.environment ? `, as the environment "${oneLine(approval.environment)}" asks for` : '';
  return `${style.yellow(style.bold('Waits for approval.'))} ${subject} has not begun. Somebody else than ${oneLine(approval?.not_by ?? '')} has to approve it${whose}.`;
}

export function unapprovedLines({ id, approval }: Deployment): string[] {
  const until = approval?.until ? ` Until ${moment(approval.until)}; then it is cancelled.` : '';
  return [`Next: whoever approves it says: weft approve ${id} --digest ${approval?.digest}${until}`, `It holds up nobody. "weft cancel ${id}" ends it.`];
}

/** Of one that is approved. */
export function approvedFact({ approval }: Deployment): string | null {
  return approval?.by ? `${oneLine(approval.by)}${approval.at === null ? '' : `, ${moment(approval.at)}`}` : null;
}
