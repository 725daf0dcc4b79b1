/** The rows that break the rule of a check, as a table. */
import { andMore, columns, cut, oneLine } from './text.ts';

/** How wide a value may be. */
const OFFENDER_WIDTH = 40;

/** @param check its result; whatever is none has no rows */
export function offenderLines(check: unknown): string[] {
  const { offenders = [], columns: names = [], offenders_count = 0 } = (check ?? {}) as { offenders?: unknown[]; columns?: string[]; offenders_count?: number };
  if (offenders.length === 0) return [];
  const cell = (value: unknown) => cut(oneLine(typeof value === 'string' ? value : JSON.stringify(value)), OFFENDER_WIDTH);
  const rows = offenders.map((row) =>
    typeof row === 'object' && row !== null ? names.map((name) => cell((row as Record<string, unknown>)[name] ?? null)) : [cell(row)],
  );
  const more = offenders_count - offenders.length;
  return [...columns([names.map((name) => oneLine(name)), ...rows], '  | '), ...andMore(more, 'row').map((words) => `  | ${words}`)];
}
