/** `load` in the bundle file: which files it means, what each of them is, and what is refused before any database is asked. */
import { describe, expect, it } from 'vitest';
import { readInline } from '../../src/bundle/inline.ts';
import { manifestSchema, type Step } from '../../src/domain/manifest.ts';
import { problemOf } from './support.ts';

/** A weft.yaml with this one step, in line 5, and files of these paths. */
async function stepsOf(step: string, paths: readonly string[] = ['data/a.csv']): Promise<{ steps: readonly Step[]; warnings: readonly string[] }> {
  const yaml = `name: shop\nphases:\n- name: main\n  steps:\n  - ${step}\n`;
  const { manifest, warnings } = await readInline([...paths.map((path) => ({ path, content: 'x' })), { path: 'weft.yaml', content: yaml }], 'shop');
  expect(manifestSchema.parse(manifest)).toEqual(manifest);
  return { steps: manifest.phases.flatMap((phase) => phase.steps), warnings };
}

describe('a load', () => {
  it('inserts, when nothing else is said, and the manifest says so', async () => {
    const { steps, warnings } = await stepsOf('{ load: data/a.csv, into: shop.a }');
    expect(steps).toEqual([{ kind: 'load', path: 'data/a.csv', into: 'shop.a', mode: 'insert', format: 'csv' }]);
    expect(warnings).toEqual([]);
  });

  it('of a glob is a step for each of its files, in their order', async () => {
    const { steps } = await stepsOf('{ load: data/*, into: a, mode: upsert, key: [id], when: true, on_error: continue }', ['data/b.json', 'data/a.csv']);
    const words = { into: 'a', mode: 'upsert', key: ['id'], when: 'true', on_error: 'continue' };
    expect(steps).toEqual([
      { kind: 'load', path: 'data/a.csv', format: 'csv', ...words },
      { kind: 'load', path: 'data/b.json', format: 'json', ...words },
    ]);
  });

  it.each([
    ['a.csv', { format: 'csv' }],
    ['a.CSV', { format: 'csv' }],
    ['a.tsv', { format: 'csv', delimiter: '\t' }],
    ['a.json', { format: 'json' }],
    ['a.ndjson', { format: 'ndjson' }],
    ['a.b.jsonl', { format: 'ndjson' }],
  ])('knows what %s is', async (path, words) => {
    const { steps } = await stepsOf(`{ load: ${path}, into: a }`, [path]);
    expect(steps).toEqual([{ kind: 'load', path, into: 'a', mode: 'insert', ...words }]);
  });

  it('takes the format that is said, and the words of CSV', async () => {
    const { steps } = await stepsOf(`{ load: a.txt, into: a, format: csv, delimiter: ';', null_as: '\\N', columns: [id, Full Name] }`, ['a.txt']);
    expect(steps).toEqual([
      { kind: 'load', path: 'a.txt', into: 'a', mode: 'insert', format: 'csv', delimiter: ';', null_as: '\\N', columns: ['id', 'Full Name'] },
    ]);
  });

  it('of a file that looks like SQL is warned of', async () => {
    const { warnings } = await stepsOf('{ load: a.sql, into: a, format: csv }', ['a.sql']);
    expect(warnings).toEqual(['"a.sql" is loaded as data, although its name ends in .sql.']);
  });

  it.each([
    ['no table', '{ load: data/a.csv }', '"into" is missing'],
    ['an upsert without a key', '{ load: data/a.csv, into: a, mode: upsert }', '"key" must be given for "mode: upsert"'],
    ['a sync without a key', '{ load: data/a.csv, into: a, mode: sync }', '"key" must be given for "mode: sync"'],
    ['a key that is no list', '{ load: data/a.csv, into: a, mode: sync, key: id }', '"key" must be a list, and is text'],
    ['a mode that there is not', '{ load: data/a.csv, into: a, mode: synch, key: [id] }', 'did you mean "sync"?'],
    ['a condition on what nothing deletes', '{ load: data/a.csv, into: a, where: id > 1 }', '"where" must be left out with "mode: insert"'],
    ['a mark of NULL with the delimiter in it', `{ load: data/a.csv, into: a, null_as: 'a,b' }`, '"null_as" must be text without the delimiter'],
    ['a delimiter of two characters', `{ load: data/a.csv, into: a, delimiter: '||' }`, '"delimiter" must be one character'],
    ['a word that belongs to another kind', '{ load: data/a.csv, into: a, done_when: true }', 'a step has no "done_when"'],
    ['a file that is no known kind', '{ load: data/a.txt, into: a }', 'add "format"'],
    ['words of CSV for JSON', '{ load: data/a.json, into: a, columns: [id] }', '"columns" belongs to CSV, and "data/a.json" is JSON'],
    ['a sync of several files', '{ load: "data/*", into: a, mode: sync, key: [id], format: csv }', 'each of them would delete the rows of the others'],
    ['a file that is not there', '{ load: data/b.csv, into: a }', 'did you mean "data/a.csv"?'],
  ])('refuses %s, with the line', async (_, step, message) => {
    const problem = await problemOf(stepsOf(step, ['data/a.csv', 'data/a.json', 'data/a.txt']), 'invalid_bundle');
    expect(problem.message).toContain(message);
    expect(problem.facts.line).toBe(5);
  });
});
