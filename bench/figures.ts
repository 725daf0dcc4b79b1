/**
 * Figures as text: tables, medians, and numbers from the command line.
 */

/** A table with its columns aligned; the first one to the left, the others to the right. */
export function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** @throws RangeError without values */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const low = sorted[Math.floor((sorted.length - 1) / 2)];
  const high = sorted[Math.ceil((sorted.length - 1) / 2)];
  if (low === undefined || high === undefined) throw new RangeError('there is no median of nothing');
  return (low + high) / 2;
}

export function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3);
}

export function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

/**
 * Whole numbers, separated by commas.
 * @param least the smallest that is allowed
 * @throws RangeError for anything else
 */
export function readNumbers(option: string, text: string, least: number): number[] {
  const numbers = text.split(',').map(Number);
  if (numbers.some((number) => !Number.isInteger(number) || number < least)) {
    throw new RangeError(`--${option} takes whole numbers from ${least} on, separated by commas; not "${text}"`);
  }
  return numbers;
}

/** One whole number. @throws RangeError for anything else */
export function readNumber(option: string, text: string, least: number): number {
  const [number, ...more] = readNumbers(option, text, least);
  if (number === undefined || more.length > 0) throw new RangeError(`--${option} takes one number; not "${text}"`);
  return number;
}
