/** The result of a load, in words, for progress and summary alike. Pure. */
import type { StepStatus } from '../domain/deployment.ts';

/** The words of a load's result, and how they are shown. */
export const COUNTS = { inserted: 'inserted', updated: 'updated', deleted: 'deleted', unchanged: 'unchanged', left_out: 'left out' } as const;

/** `3 inserted, 1 updated, 120 unchanged`; null for a step that is no load, or has not succeeded. */
export function countsOf({ kind, state, result }: StepStatus): string | null {
  if (kind !== 'load' || state !== 'succeeded') return null;
  const counts = Object.entries(COUNTS).flatMap(([key, word]) => (Number(result?.[key] ?? 0) > 0 ? [`${Number(result?.[key])} ${word}`] : []));
  return counts.length === 0 ? 'no rows' : counts.join(', ');
}
