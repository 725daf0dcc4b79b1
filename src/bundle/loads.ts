/**
 * What a `load` of the bundle file means for each of its files: the format, by the end of its name if nothing is said. What can only be
 * judged when the files are known is refused here.
 */
import type { BundleFileStep } from './bundle_file.ts';
import { invalidAt } from './bundle_file.ts';

/** The end of a name, and what such a file is. */
const FORMATS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  csv: { format: 'csv' },
  tsv: { format: 'csv', delimiter: '\t' },
  json: { format: 'json' },
  ndjson: { format: 'ndjson' },
  jsonl: { format: 'ndjson' },
};

const OF_CSV = ['null_as', 'delimiter', 'columns'] as const;

/**
 * Completes the words of a load for one of its files.
 * @param matched all of its files
 * @throws Problem invalid_bundle with the line of the step: no format can be told, words of CSV for a file that is none, or a sync of several files
 */
export function wordsOfLoad(path: string, matched: readonly string[], { glob, line, words }: BundleFileStep): BundleFileStep['words'] {
  if (words.mode === 'sync' && matched.length > 1) {
    throw invalidAt(line, `"${glob}" matches ${matched.length} files, and with "mode: sync" each of them would delete the rows of the others`);
  }
  const ending = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
  const byName = FORMATS[ending];
  if (words.format === undefined && byName === undefined) {
    throw invalidAt(line, `what "${path}" is, its name does not say: it ends in none of .${Object.keys(FORMATS).join(', .')}; add "format"`);
  }
  const all = words.format === undefined ? { ...byName, ...words } : words;
  const stray = all.format === 'csv' ? undefined : OF_CSV.find((word) => words[word] !== undefined);
  if (stray !== undefined) throw invalidAt(line, `"${stray}" belongs to CSV, and "${path}" is ${String(all.format).toUpperCase()}`);
  return all;
}
