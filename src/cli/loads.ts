/** What a load came to, in words, for progress and summary alike. Pure. */
import type { StepStatus } from '../domain/deployment.ts';

const COUNTS = ['inserted', 'updated', 'deleted', 'unchanged'] as const;

/** `3 inserted, 1 updated, 120 unchanged`; null for a step that is no load, or has not succeeded. */
export function countsOf({ kind, state, result }: StepStatus): string | null {
  if (kind !== 'load' || state !== 'succeeded') return null;
  const counts = COUNTS.flatMap((what) => (Number(result?.[what] ?? 0) > 0 ? [`${Number(result?.[what])} ${what}`] : []));
  return counts.length === 0 ? 'no rows' : counts.join(', ');
}
