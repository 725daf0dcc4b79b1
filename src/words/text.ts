/**
 * Small things about text that people read: sizes, durations, tables, cut lines, control characters made visible. No
 * knowledge of deployments.
 */

/** Control characters, those that turn the direction of writing, and those that nobody sees. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const SHOWN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u115f\u1160\u180e\u200b\u2060-\u2064\u3164\ufeff\uffa0\u{e0000}-\u{e007f}\p{Bidi_Control}]/gu;

/**
 * Text that came from a file, a server or a database, safe on a terminal: control characters are shown, not obeyed, and so are those that turn the
 * direction of writing, or that nobody sees, by which a name can look like another one. Keeps line feeds and tabs; CRLF becomes a line feed; and what
 * joins letters or emoji (U+200C, U+200D, variation selectors) stays.
 */
export function harmless(text: string): string {
  const lines = text.replaceAll('\r\n', '\n');
  return lines.replace(SHOWN, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16);
    return code.length > 4 ? `\\u{${code}}` : code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
  });
}

/** The same on one line. */
export function oneLine(text: string): string {
  return harmless(text.replace(/\s+/g, ' ').trim());
}

/** The text of a file without the byte order mark that editors of Windows put before it. */
export function withoutMark(text: string): string {
  return text.replace(/^\ufeff/, '');
}

/** What takes two cells of a terminal: East Asian characters that are wide or full-width (Unicode Standard Annex 11), and emoji. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1aff0}-\u{1b2ff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]$/u;
/** Characters that take none: they combine with the one before. Accents in file names of macOS are written so. */
const JOINED = /^[\p{Mn}\p{Me}\u200b-\u200f\u2060-\u2064\ufeff]$/u;

function cellsOf(character: string): number {
  if (character < '\u0300') return 1;
  return WIDE.test(character) ? 2 : JOINED.test(character) ? 0 : 1;
}

/** How many cells of a terminal a line takes; control characters are not looked for. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += cellsOf(character);
  return width;
}

/** Cut to a width in cells of a terminal, with "…" where something is missing. */
export function cut(text: string, width: number): string {
  return widthOf(text) <= width ? text : `${takeCells([...text], width - 1).join('')}…`;
}

/** Cut at the front, because the end of a path says more. */
export function cutFront(text: string, width: number): string {
  return widthOf(text) <= width
    ? text
    : `…${takeCells([...text].reverse(), width - 1)
        .reverse()
        .join('')}`;
}

/** The first of the characters, as many as there is room for. */
function takeCells(characters: readonly string[], width: number): string[] {
  let left = width;
  const end = characters.findIndex((character) => {
    left -= cellsOf(character);
    return left < 0;
  });
  return characters.slice(0, end);
}

/** @param bytes a number of bytes, shown in powers of 1024 */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** @param milliseconds "12 ms", "3.4 s", "2 s", "2 min 05 s", "1 h 02 min" */
export function duration(milliseconds: number): string {
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 59_950) return `${Number((milliseconds / 1000).toFixed(1))} s`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
  return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, '0')} min`;
}

/** From one moment to another, without the times between in which nobody worked. @returns milliseconds; NaN where one is no moment */
export function timeWorked(from: string, to: string, rests: readonly { readonly since: string; readonly until: string }[] = []): number {
  const [start, end] = [Date.parse(from), Date.parse(to)];
  const rested = rests.map(({ since, until }) => Math.max(0, Math.min(end, Date.parse(until)) - Math.max(start, Date.parse(since))));
  return Math.max(
    0,
    rested.reduce((left, rest) => left - rest, end - start),
  );
}

/** The same for something that may not have begun, or not have ended: then 0. */
export function timeBetween(from: string | null | undefined, to: string | null | undefined): number {
  return from && to ? timeWorked(from, to) || 0 : 0;
}

/** @param milliseconds as a clock: "0:07", "12:30", "1:02:03" */
export function clock(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** @returns "1 file", "2 files" */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** What is left out of a list: "… and 3 more", "… and 1 more row"; empty if nothing is. */
export function andMore(left: number, one = ''): string[] {
  return left > 0 ? [`… and ${one === '' ? `${left} more` : count(left, `more ${one}`)}`] : [];
}

/** The first of some names, in a sentence: "a, b, c and 4 more". @param total how many there are, where `names` are but the first of them */
export function listSome(names: readonly string[], most: number, total: number = names.length): string {
  return `${names.slice(0, most).join(', ')}${total > most ? ` and ${total - most} more` : ''}`;
}

/** Rows of cells under each other, two spaces between columns, the last one not padded. */
export function columns(rows: readonly (readonly string[])[], indent = ''): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, widthOf(cell));
  }
  return rows.map((row) => {
    const cells = row.map((cell, index) => (index === row.length - 1 ? cell : cell + ' '.repeat((widths[index] ?? 0) - widthOf(cell))));
    return `${indent}${cells.join('  ')}`.trimEnd();
  });
}

/** Prose in lines of at most `width` characters. */
export function wrap(text: string, width: number, indent = ''): string {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > width - indent.length) {
        lines.push(line);
        line = word;
      } else {
        line = line === '' ? word : `${line} ${word}`;
      }
    }
    lines.push(line);
  }
  return lines.map((line) => `${indent}${line}`.trimEnd()).join('\n');
}

/** How many single-character changes turn one word into the other (Levenshtein). */
function distance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i += 1) {
    const current = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const change = from[i - 1] === to[j - 1] ? 0 : 1;
      current.push(Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + change));
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}

/** The known name that was probably meant, or null when none is near. */
export function nearest(name: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const steps = candidate.startsWith(name) && name.length > 1 ? 1 : distance(name, candidate);
    if (steps < bestDistance) {
      best = candidate;
      bestDistance = steps;
    }
  }
  return best !== null && bestDistance <= Math.max(1, Math.ceil(best.length / 3)) ? best : null;
}

/** A time of the database, to the second, in UTC. */
export function moment(text: string): string {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : `${time.toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

/** A prepared transaction belongs to no session: people need its identifier to find it. */
export function preparedOf(id: string): string {
  return `the prepared transaction '${oneLine(id).replaceAll("'", "''")}'`;
}
