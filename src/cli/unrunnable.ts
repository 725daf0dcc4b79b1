/**
 * What a file contains that cannot run as it is: psql commands, COPY that talks to a client, transactions that begin or end in the
 * middle of it; and what runs differently than one may think: transactions of its own. For `weft check` and `weft plan`, which have no
 * server to ask: for them a psql command is an error, and anything else that cannot run a warning. It skips strings, comments and
 * bodies as psql's scanner does; where statements really end is for `sql/51_split.sql`, and the engine decides.
 */
import type { Bundle } from '../bundle/source.ts';
import { Problem } from '../domain/problem.ts';
import { listSome } from '../words/text.ts';

/** A dump may be as large as an artifact; what is looked for shows at its beginning. */
const LOOKED_AT_BYTES = 16 * 1024 * 1024;

const ADVICE = {
  transaction:
    'begins or ends a transaction in the middle of the file, and the transactions are Weft\'s. In a phase with "transaction: auto" or "none" BEGIN and COMMIT, in pairs, make one; else cut the file in two there, or take it out.',
  psql: 'is a command of psql, which no server knows.',
  copy: 'talks to a client, and a run has none. Take it out.',
  rows: 'is followed by rows that no line "\\." ends: all that is behind it, up to the end of the file, would be taken for rows, and a deployment refuses that. Write \\. into a line of its own behind the last one.',
  swallowed:
    'stands among the rows of a COPY before it, and a deployment refuses that: is the line "\\." missing that ends those? Write it into a line of its own behind the last one.',
} as const;

/** What to use in weft.yaml, or in SQL, instead of a command of psql. */
const INSTEAD: readonly (readonly [RegExp, string])[] = [
  [/^\\(i|ir|include|include_relative)$/, 'Name the file in a step of its own in weft.yaml, in its place.'],
  [/^\\(set|unset|getenv|gset|prompt)$/, 'Values come in as parameters of the bundle.'],
  [/^\\copy$/, 'Load the file with "load:" in weft.yaml, or put the rows behind COPY … FROM STDIN;.'],
  [/^\\(if|elif|else|endif)$/, 'A condition stands in weft.yaml, as "when" of a step or a phase.'],
  [/^\\(g|gx|gexec|gdesc|watch|bind|parse)$/, 'End the statement with a semicolon; what a query writes a DO block can execute.'],
  [/^\\(c|connect)$/, 'A deployment goes to one database, and its role stands in weft.yaml.'],
];

export interface Finding {
  readonly kind: keyof typeof ADVICE;
  /** Counted from 1. */
  readonly line: number;
  /** What was found, in short. */
  readonly words: string;
}

export interface Look {
  /** A sentence for each file and each kind of finding in it, with the line of the first. */
  readonly warnings: readonly string[];
  /** By path, the lines at which files begin transactions of their own. */
  readonly begins: ReadonlyMap<string, readonly number[]>;
}

/** What is said about a file with its own transactions, in its line: what stays when the rest fails. */
export function remarkOnTransactions(lines: readonly number[] | undefined): string {
  if (lines === undefined) return '';
  return `its own BEGIN … COMMIT (${lines.length === 1 ? 'line' : 'lines'} ${listSome(lines.map(String), 3)}): runs statement by statement, and if it fails half-way, what it has committed stays`;
}

/** @throws Problem invalid_bundle where a file holds commands of psql */
export async function lookIntoFiles({ manifest, source }: Bundle): Promise<Look> {
  const warnings: string[] = [];
  const begins = new Map<string, number[]>();
  const run = new Set(manifest.phases.flatMap(({ steps }) => steps.filter(({ kind }) => kind === 'run').map(({ path }) => path)));
  const whole = new Set(
    manifest.phases.flatMap(({ steps, transaction: rule }) => (rule === 'single' || rule === 'per-step' ? steps.map(({ path }) => path) : [])),
  );
  for (const artifact of manifest.artifacts.filter(({ path }) => run.has(path))) {
    const { text, isWhole } = await readBeginning(source.open(artifact));
    const findings = findUnrunnable(text).filter(({ kind }) => isWhole || kind !== 'rows');
    const transactions = findings.filter(({ kind }) => kind === 'transaction');
    const isInBlocks = !whole.has(artifact.path) && arePairs(transactions);
    const lines = transactions.flatMap(({ line }, index) => (index % 2 === 0 ? [line] : []));
    if (isInBlocks && lines.length > 0) begins.set(artifact.path, lines);
    for (const kind of Object.keys(ADVICE) as Finding['kind'][]) {
      if (kind === 'transaction' && isInBlocks) continue;
      const [first, ...others] = findings.filter((finding) => finding.kind === kind);
      if (first === undefined) continue;
      const more = others.length === 0 ? '' : ` (${others.length} more of the kind in this file.)`;
      if (kind === 'psql') {
        const instead = INSTEAD.find(([command]) => command.test(first.words))?.[1] ?? 'Take it out.';
        throw new Problem('invalid_bundle', `"${artifact.path}", line ${first.line}: ${first.words} ${ADVICE.psql} ${instead}${more}`);
      }
      const sentence = kind === 'rows' || kind === 'swallowed' ? 'this will fail: ' : 'this will probably fail: ';
      warnings.push(`"${artifact.path}", line ${first.line}: ${sentence}${first.words} ${ADVICE[kind]}${more}`);
    }
  }
  return { warnings, begins };
}

/** BEGIN and COMMIT in turn, to the end. */
function arePairs(findings: readonly Finding[]): boolean {
  return findings.length % 2 === 0 && findings.every(({ words }, index) => (index % 2 === 0 ? /^(BEGIN|START TRANSACTION)$/ : /^(COMMIT|END)$/).test(words));
}

async function readBeginning(parts: AsyncIterable<Uint8Array>): Promise<{ text: string; isWhole: boolean }> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const part of parts) {
    text += decoder.decode(part, { stream: true });
    bytes += part.length;
    if (bytes >= LOOKED_AT_BYTES) return { text, isWhole: false };
  }
  return { text, isWhole: true };
}

/** White space and comments to a line's end · what opens something longer · quoted identifiers · words · a backslash and what follows · anything else. */
const TOKEN = /\s+|--[^\n]*|\/\*|[eE]?'|"[^"]*"?|\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$|[\p{L}_][\p{L}\p{N}_$]*|\\[^\n]*|\d[\p{L}\p{N}_.]*|./guy;

const TRANSACTION_WORDS: ReadonlySet<string> = new Set([
  ...['begin', 'commit', 'end', 'rollback', 'abort', 'savepoint', 'release', 'start transaction', 'prepare transaction'],
]);

/** @returns what is found, in the order of the text */
export function findUnrunnable(text: string): Finding[] {
  const findings: Finding[] = [];
  /** In which statement of the file each of them stands. */
  const places = new Map<number, number>();
  let statements = 0;
  /** Each BEGIN of a block with large objects. */
  const objects = new Set<Finding>();
  let counted = 0;
  let line = 1;
  const note = (kind: Finding['kind'], words: string, at: number): void => {
    for (; counted < at; counted += 1) if (text[counted] === '\n') line += 1;
    findings.push({ kind, words, line });
    places.set(findings.length - 1, statements);
  };

  let first = '';
  let before = '';
  let begunAt = 0;
  let parentheses = 0;
  /** Of a body BEGIN ATOMIC … END, and CASE … END in it. */
  let blocks = 0;
  let readsRows = false;
  const endStatement = (): void => {
    first = '';
    parentheses = 0;
    readsRows = false;
  };

  for (let at = 0; at < text.length; ) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text)?.[0] ?? text.charAt(at);
    const start = at;
    at = endOfToken(text, token, at);
    if (/^(\s|--|\/\*)/u.test(token)) continue;
    if (token.startsWith('\\')) {
      const command = token.split(/\s/, 1)[0] ?? token;
      if (first !== '' || !/^\\(un)?restrict$/.test(command)) note('psql', command, start);
      continue;
    }
    const word = /^[\p{L}_]/u.test(token) && !token.endsWith("'") ? token.toLowerCase() : '';
    if (token === ';' && parentheses === 0 && blocks === 0) {
      if (readsRows) {
        const rowsAt = at;
        at = endOfRows(text, at);
        const header = isText(text.slice(begunAt, start)) ? HEADER.exec(text.slice(rowsAt, at)) : null;
        if (header !== null) note('swallowed', 'COPY … FROM STDIN', rowsAt + header.index + 1);
        else if (!/\n\\\.\r?$/.test(text.slice(Math.max(0, at - 4), at))) note('rows', 'COPY … FROM STDIN', begunAt);
      }
      endStatement();
    } else if (first === '') {
      first = word === '' ? token : word;
      begunAt = start;
      statements += 1;
      if (TRANSACTION_WORDS.has(word)) note('transaction', word.toUpperCase(), start);
      const last = findings.at(-1);
      if (word === 'select' && last?.words === 'BEGIN' && places.get(findings.length - 1) === statements - 1 && OBJECT.test(text.slice(start, start + 100)))
        objects.add(last);
    } else if (word !== '') {
      const pair = `${before} ${word}`;
      if (before === first && TRANSACTION_WORDS.has(pair) && !TRANSACTION_WORDS.has(first)) note('transaction', pair.toUpperCase(), begunAt);
      if (first === 'copy' && parentheses === 0 && pair === 'to stdout') note('copy', 'COPY … TO STDOUT', begunAt);
      readsRows ||= first === 'copy' && parentheses === 0 && (pair === 'from stdin' || pair === 'from stdout');
      if (first === 'create' && pair === 'begin atomic') blocks = 1;
      else if (blocks > 0 && word === 'case') blocks += 1;
      else if (blocks > 0 && word === 'end') blocks -= 1;
    } else if (token === '(') parentheses += 1;
    else if (token === ')') parentheses = Math.max(0, parentheses - 1);
    before = word;
  }
  // BEGIN and COMMIT around all of it say what Weft does anyway.
  const isAround = (finding: Finding, index: number): boolean =>
    (/^(BEGIN|START TRANSACTION)$/.test(finding.words) && places.get(index) === 1) ||
    (/^(COMMIT|END)$/.test(finding.words) && places.get(index) === statements);
  const inObjects = findings.filter(
    (finding, index) => objects.has(finding) || (objects.has(findings[index - 1] as Finding) && /^(COMMIT|END)$/.test(finding.words)),
  );
  if (inObjects.length > 0) return findings.filter((finding) => !inObjects.includes(finding));
  const around = findings.filter((finding, index) => finding.kind === 'transaction' && isAround(finding, index));
  const isAll = findings.filter(({ kind }) => kind === 'transaction').length === 2;
  return around.length === 2 && isAll ? findings.filter((finding) => !around.includes(finding)) : findings;
}

/** The end of a token, with what it opens. What is not closed extends to the end of the text. */
function endOfToken(text: string, token: string, at: number): number {
  const behind = at + token.length;
  const find = (end: string): number => {
    const found = text.indexOf(end, behind);
    return found < 0 ? text.length : found + end.length;
  };
  // A doubled quote is the end of one string and the beginning of the next: for us that is the same.
  if (token === "'") return find("'");
  if (token === '/*') return endOfComment(text, behind);
  if (/^[eE]'$/.test(token)) return endOfEscaped(text, behind);
  return token.startsWith('$') && token.length > 1 ? find(token) : behind;
}

/** Comments nest (manual, 4.1.5). */
function endOfComment(text: string, behind: number): number {
  const marks = /\/\*|\*\//g;
  marks.lastIndex = behind;
  for (let depth = 1; ; ) {
    const mark = marks.exec(text)?.[0];
    if (mark === undefined) return text.length;
    depth += mark === '/*' ? 1 : -1;
    if (depth === 0) return marks.lastIndex;
  }
}

const CONTINUED = /(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*'/y;

/** A string with backslashes (manual, 4.1.2.2). */
function endOfEscaped(text: string, behind: number): number {
  for (let at = behind; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === "'" && text[at + 1] === "'") at += 1;
    else if (text[at] === "'") {
      // In the next line it may go on, and still knows escapes.
      CONTINUED.lastIndex = at + 1;
      if (!CONTINUED.test(text)) return at + 1;
      at = CONTINUED.lastIndex - 1;
    }
  }
  return text.length;
}

/** A line that is a COPY whose rows follow, as the engine has it (`weft._refuse_another_copy`). */
const HEADER = /\ncopy [^\n]* from stdin[^\n]*;[ \t]*\r?(?=\n)/i;

/** Rows of text format are lines; a field of CSV may hold some. */
function isText(statement: string): boolean {
  return !/\bcsv\b/i.test(statement);
}

/** pg_dump writes large objects between BEGIN and COMMIT; the engine leaves the pair out (`weft._leave_out_object_blocks`). */
const OBJECT = /^select\s+pg_catalog\.lo_open\s*\(/i;

/** Rows follow a COPY FROM STDIN up to a line with nothing but "\." */
function endOfRows(text: string, at: number): number {
  const end = /^\\\.\r?$/gm;
  end.lastIndex = at;
  return end.exec(text) === null ? text.length : end.lastIndex;
}
