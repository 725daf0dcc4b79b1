/** What pages list, held against the sources: a row for each, and no row for what is gone. */
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { COMMANDS, COMMON_OPTIONS } from '../../src/cli/commands.ts';
import { PAGES, readPage } from '../readme/snippets.ts';
import { filesIn, read } from './house.ts';

/** The rows of the tables below a heading of a page, up to the next heading, each as its cells. */
function rowsBelow(page: string, heading: string): string[][] {
  const [, below = ''] = read(page).split(`\n${heading}\n`);
  const [section = ''] = below.split(/^#+ /m);
  const rows = section.split('\n').filter((line) => line.startsWith('|') && !line.startsWith('|---'));
  expect(rows.length, `${page}: ${heading}`).toBeGreaterThan(1);
  return rows.map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** What stands between backticks in the first cell of each row. */
function namesBelow(page: string, heading: string): string[] {
  return rowsBelow(page, heading).flatMap(([first = '']) => [...first.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
}

const FLOORS = filesIn('sql').filter((file) => /^sql\/\d\d_\w+\.sql$/.test(file));

test('ARCHITECTURE.md says of every floor of sql/ what it is, and names none that is gone', () => {
  expect(namesBelow('ARCHITECTURE.md', '### `sql/`: the engine, in floors').sort()).toEqual(FLOORS);
});

test('ENGINE.md says of every SQLSTATE of the engine what it means and what to do, and lists none that is gone', () => {
  const sources = [...filesIn('sql'), ...filesIn('src')].filter((file) => /\.(sql|ts)$/.test(file));
  const raised = new Set(sources.flatMap((file) => read(file).match(/\bWF[0-9A-Z]{3}\b/g) ?? []));
  expect(raised.size).toBeGreaterThan(60);
  expect(namesBelow('docs/ENGINE.md', '## Codes').filter((name) => name.startsWith('WF'))).toEqual([...raised].sort());
  for (const row of rowsBelow('docs/ENGINE.md', '## Codes'))
    expect(
      row.filter((cell) => cell !== ''),
      row[0],
    ).toHaveLength(4);
});

/** The arguments of a call whose first parenthesis has been read, or the items of a list up to a word: cut at commas outside of parentheses and quotes. */
function cutItems(text: string): string[] {
  const items = [''];
  let depth = 0;
  for (const [token] of text.matchAll(/'(?:[^']|'')*'|--[^\n]*|[\s\S]/g)) {
    if (token === '(' || token === '[') depth += 1;
    if (token === ')' || token === ']') depth -= 1;
    if (depth < 0) break;
    if (token === ',' && depth === 0) items.push('');
    else items[items.length - 1] += token;
  }
  return items.map((item) => item.trim());
}

/** What an expression that is no literal can come to. */
const KINDS_OF: Readonly<Record<string, readonly string[]>> = {
  p_kind: [], // of weft._tell itself
  'p_state::text': ['succeeded', 'degraded', 'failed', 'cancelled'],
  // of weft._follow_findings: the others are refused, or have been told otherwise
  'v_finding.verdict': ['renamed', 'superseded'],
};

/** The kinds of events that an expression can come to: a literal, one of those above, or what the branches of a CASE are. */
function kindsOf(expression: string): readonly string[] {
  const [, branches] = /^case (?:.*? )??(when .*) end$/s.exec(expression) ?? [];
  if (branches !== undefined) return [...branches.matchAll(/\b(?:then|else) (\S+)/g)].flatMap(([, branch = '']) => kindsOf(branch));
  const [, literal] = /^'(\w+)'$/.exec(expression) ?? [];
  const kinds = literal === undefined ? KINDS_OF[expression] : [literal];
  if (kinds === undefined) throw new Error(`Which kinds of events "${expression}" comes to stands in no test: say it in KINDS_OF.`);
  return kinds;
}

test('ENGINE.md says of every kind of event when it is written and what it holds, and lists none that is gone', () => {
  const told = new Set<string>();
  for (const file of FLOORS) {
    const text = read(file).replace(/^comment on [\s\S]*?;$/gm, '');
    for (const { index, 0: call } of text.matchAll(/\bweft\._tell\(/g)) {
      const [, kind = ''] = cutItems(text.slice(index + call.length));
      if (kind === 'p_kind text') continue;
      for (const one of kindsOf(kind)) told.add(one);
    }
    for (const { index, 0: insert, 1: columns = '' } of text.matchAll(/\binsert into weft\._events \(([^)]*)\)\s*select /g)) {
      const kind = cutItems(text.slice(index + insert.length))[columns.split(', ').indexOf('kind')] ?? '';
      for (const one of kindsOf(kind)) told.add(one);
    }
    expect(text.match(/\binsert into weft\._events\b(?! \([^)]*\)\s*select )/g), `${file}: this form of an insert is not read here`).toBeNull();
  }
  expect(told.size).toBeGreaterThan(40);
  expect(namesBelow('docs/ENGINE.md', '## Events').sort()).toEqual([...told].sort());
});

test('PIPELINES.md has a row for every input of the three files, and none for one that is gone', () => {
  const action = parse(read('action.yml')) as { inputs: Record<string, unknown> };
  const [gitlab] = parseAllDocuments(read('templates/gitlab.yml')).map((document) => document.toJS() as { spec?: { inputs: Record<string, unknown> } });
  const azure = parse(read('templates/azure.yml')) as { parameters: { name: string }[] };
  const [, ...rows] = rowsBelow('docs/PIPELINES.md', '## Inputs');
  const columns = [0, 1, 2].map((column) => rows.flatMap((row) => row[column]?.match(/[\w-]+/g) ?? []).sort());
  expect(columns).toEqual(
    [Object.keys(action.inputs), Object.keys(gitlab?.spec?.inputs ?? {}), azure.parameters.map(({ name }) => name)].map((names) => names.sort()),
  );
});

test('every command of weft, and every option of it, stands on a page', () => {
  const pages = PAGES.map(readPage).join('\n');
  const options = COMMANDS.flatMap((command) => Object.keys({ ...COMMON_OPTIONS, ...command.options }));
  expect(COMMANDS.map(({ name }) => name).filter((name) => !pages.includes(`weft ${name}`))).toEqual([]);
  expect([...new Set(options)].filter((option) => !new RegExp(`--${option}(?![\\w-])`).test(pages))).toEqual([]);
});
