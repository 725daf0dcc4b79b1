/** The one preference that is understood: `Prefer: wait=SECONDS` (RFC 7240, section 4.3). Others are ignored, as section 2 asks. */
import { LIMITS } from '../domain/limits.ts';

/**
 * @param prefer the header's value, several headers joined by commas
 * @returns seconds to wait, cut at `prefer_wait_seconds_max`; null when there is no such preference, or none that can be read
 */
export function readWait(prefer: string | undefined): number | null {
  for (const preference of (prefer ?? '').split(',')) {
    const [first = ''] = preference.split(';');
    const match = /^\s*wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))\s*$/i.exec(first);
    if (match !== null) return Math.min(Number(match[1] ?? match[2]), LIMITS.prefer_wait_seconds_max);
    if (/^\s*wait\b/i.test(first)) return null; // only the first instance counts
  }
  return null;
}
