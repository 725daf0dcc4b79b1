/** Several reports about one change: each that fits is made, and one that fails does not keep the others from being made. */
import { Problem } from '../domain/problem.ts';
import type { Reports } from './forge.ts';

/** What is kept of it, whether to make it now, and how; resolves with what to keep. */
export type Report = readonly [key: string, isWanted: boolean, make: () => Promise<string>];

/** @returns what is there now, and what went wrong, if something did: what passes by itself first, for it is worth another try. Never rejects */
export async function makeReports(before: Reports, reports: readonly Report[]): Promise<{ reports: Reports; error: unknown }> {
  const left: Record<string, string> = { ...before };
  const errors: unknown[] = [];
  for (const [key, isWanted, make] of reports) {
    if (!isWanted) continue;
    try {
      left[key] = await make();
    } catch (error) {
      errors.push(error);
    }
  }
  return { reports: left, error: errors.find((error) => !(error instanceof Problem && error.slug === 'forge_refused')) ?? errors[0] };
}
