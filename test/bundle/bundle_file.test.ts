import { describe, expect, it } from 'vitest';
import { parseBundleFile } from '../../src/bundle/bundle_file.ts';
import { renderBundleFile } from '../../src/bundle/starter.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Problem } from '../../src/domain/problem.ts';
import { problemOf } from './support.ts';

const parse = (text: string) => parseBundleFile(new TextEncoder().encode(text));

async function refusal(text: string): Promise<Problem> {
  return await problemOf(() => parse(text), 'invalid_bundle');
}

const MAIN = 'phases: [{name: m, steps: [{run: x}]}]';

describe('parseBundleFile', () => {
  it('reads name, phases, transaction, lock_timeout and steps, and remembers the line of each step', () => {
    expect(
      parse(`name: shop
phases:
  - name: schema
    transaction: single
    lock_timeout: 2s
    when: not exists (select from x)
    steps:
      - run: schema/*.sql
      - { run: views/a.sql, done_when: "true", when: false }
  - name: later
    steps: [{ run: x.sql }]
`),
    ).toEqual({
      name: 'shop',
      order: 'any',
      parameters: [],
      unwatched: [],
      phases: [
        {
          name: 'schema',
          transaction: 'single',
          lock_timeout_ms: 2000,
          lock_timeouts_ms: null,
          when: 'not exists (select from x)',
          role: null,
          settings: {},
          steps: [
            { kind: 'run', glob: 'schema/*.sql', words: {}, line: 8 },
            { kind: 'run', glob: 'views/a.sql', words: { done_when: 'true', when: 'false' }, line: 9 },
          ],
        },
        {
          name: 'later',
          transaction: 'auto',
          lock_timeout_ms: null,
          lock_timeouts_ms: null,
          when: null,
          role: null,
          settings: {},
          steps: [{ kind: 'run', glob: 'x.sql', words: {}, line: 11 }],
        },
      ],
    });
  });

  it('reads role and settings, of the file and of a phase, whose own go before', () => {
    const { phases } = parse(`name: shop
role: shop_owner
settings: { search_path: "shop, public", work_mem: 64MB, jit: off }
phases:
  - { name: a, steps: [{ run: x }] }
  - { name: b, role: other, settings: { work_mem: 8192, app.tenant: acme, enable_seqscan: true }, steps: [{ run: y }] }
`);
    expect(phases.map(({ role, settings }) => ({ role, settings }))).toEqual([
      { role: 'shop_owner', settings: { search_path: 'shop, public', work_mem: '64MB', jit: 'off' } },
      { role: 'other', settings: { search_path: 'shop, public', work_mem: '8192', jit: 'off', 'app.tenant': 'acme', enable_seqscan: 'on' } },
    ]);
  });

  it.each([
    ['lock_timeout', 'it has a word of its own: "lock_timeout" of the phase'],
    ['session_authorization', 'it has a word of its own: "role"'],
    ['statement_timeout', 'no clock but lock_timeout ends it'],
    ['exit_on_error', 'the run needs it as it is'],
    ['default_transaction_read_only', 'the transactions are the run’s'],
    ['client_min_messages', 'the run needs it as it is'],
    ['weft.opened', 'it is the engine’s own'],
    ['Work_Mem', 'in lower case'],
  ])('refuses the setting "%s", says why, and names the line', async (name, why) => {
    const problem = await problemOf(() => parse(`name: a\nphases:\n- name: m\n  settings: { ${name}: 1 }\n  steps: [{run: x}]`), 'invalid_bundle');
    expect(problem.message).toContain(why);
    expect(problem.facts).toMatchObject({ line: 4 });
  });

  it('takes a byte order mark, Windows line ends, comments, and anchors', () => {
    expect(parse('\ufeffname: a # why\r\nphases:\r\n- name: one\r\n  steps: &s\r\n  - run: x.sql\r\n').phases[0]?.steps).toEqual([
      { kind: 'run', glob: 'x.sql', words: {}, line: 5 },
    ]);
    const { phases } = parse(
      'name: a\nphases:\n- name: one\n  lock_timeout: &t 5s\n  steps: [{run: x}]\n- name: two\n  lock_timeout: *t\n  steps: [{run: y}]\n',
    );
    expect(phases.map((phase) => phase.lock_timeout_ms)).toEqual([5000, 5000]);
  });

  it.each([
    ['500ms', 500],
    ['2s', 2000],
    ['2 s', 2000],
    ['1min', 60_000],
    ['1h', 3_600_000],
  ])('reads lock_timeout: %s as %d milliseconds', (text, milliseconds) => {
    expect(parse(`name: a\nphases: [{name: m, lock_timeout: ${text}, steps: [{run: x}]}]`).phases[0]?.lock_timeout_ms).toBe(milliseconds);
  });

  it('reads lock_timeout as one for each kind of statement', async () => {
    const read = (text: string) => parse(`name: a\nphases:\n- name: m\n  lock_timeout: ${text}\n  steps: [{run: x}]`).phases[0];
    expect(read('{ default: 2s, table: 500ms, concurrently: 1h }')).toMatchObject({
      lock_timeout_ms: 2000,
      lock_timeouts_ms: { table: 500, concurrently: 3_600_000 },
    });
    expect(read('{ data: 30s }')).toMatchObject({ lock_timeout_ms: null, lock_timeouts_ms: { data: 30_000 } });
    const yaml = (text: string) => `name: a\nphases:\n- name: m\n  lock_timeout: ${text}\n  steps: [{run: x}]`;
    expect((await refusal(yaml('{ tables: 2s }'))).message).toContain('"lock_timeout" has no "tables"; it has default, table, index, data, concurrently');
    expect((await refusal(yaml('{ table: soon }'))).message).toContain('line 4, column 26: "table" must be a duration from 1ms to 1h');
  });

  it('reads a batch, with durations in milliseconds', async () => {
    const yaml = (words: string) => `name: a\nphases:\n- name: m\n  steps:\n  - batch: x.sql\n    ${words}`;
    const [step] =
      parse(
        yaml(
          '{ size: 10, target: 500ms, pause: 0ms, max_lag: 1min, cursor: 0, max_rounds: 7, done_when: true }'.slice(1, -1).trim().split(', ').join('\n    '),
        ),
      ).phases[0]?.steps ?? [];
    expect(step).toMatchObject({
      kind: 'batch',
      glob: 'x.sql',
      words: { size: 10, target_ms: 500, pause_ms: 0, max_lag_ms: 60_000, cursor: '0', max_rounds: 7, done_when: 'true' },
    });
    expect((await refusal(yaml('size: 0'))).message).toContain('line 6, column 11: "size" must be at least 1');
    expect((await refusal(yaml('size: 2000000'))).message).toContain('"size" must be at most 1000000');
    expect((await refusal(yaml('target: 5ms'))).message).toContain('"target" must be a duration from 10ms to 1min');
    expect((await refusal(yaml('pauze: 5ms'))).message).toContain('a step has no "pauze"; did you mean "pause"?');
  });

  it.each(['0s', '2h', '-1s', '1.5s', 'forever', '1d', '2000000000000ms', '1', 'true'])(
    'refuses lock_timeout: %s with an example of what it could be',
    async (text) => {
      const problem = await refusal(`name: a\nphases: [{name: m, lock_timeout: ${text}, steps: [{run: x}]}]`);
      expect(problem.message).toContain('"lock_timeout" must be a duration from 1ms to 1h, such as 500ms, 2s or 1min');
    },
  );

  it.each<[string, string, { line: number; column: number }, string]>([
    ['what is not YAML', 'name: a\nphases: [', { line: 2, column: 10 }, 'this is not valid YAML'],
    ['a tab as indentation', 'name: a\nphases:\n\t- name: x', { line: 3, column: 1 }, 'this is not valid YAML'],
    ['a key that stands twice', 'name: a\nname: b\nphases: []', { line: 2, column: 1 }, 'this is not valid YAML: Map keys must be unique'],
    ['a second document', 'name: a\nphases: []\n---\nname: b', { line: 3, column: 1 }, 'a second document begins here, and a bundle file is one'],
    [
      'a NUL',
      'name: a\nphases:\n- name: m\n  when: "true\\0"\n  steps: [{run: x}]',
      { line: 4, column: 9 },
      'this text has a NUL in it, and PostgreSQL takes none',
    ],
    [
      'a NUL in what a parameter is without a value',
      'name: a\nparameters: {p: {type: text, default: "\\u0000"}}\nphases: [{name: m, steps: [{run: x}]}]',
      { line: 2, column: 39 },
      'this text has a NUL in it',
    ],
    [
      'an expression that is too long',
      `name: a\nphases:\n- name: m\n  when: "${'x'.repeat(LIMITS.expression_characters + 1)}"\n  steps: [{run: x}]`,
      { line: 4, column: 9 },
      '"when" has more than 10000 characters',
    ],
    [
      'a value that is too long',
      `name: a\nparameters: {p: {type: text, default: "${'x'.repeat(LIMITS.parameter_characters + 1)}"}}\nphases: [{name: m, steps: [{run: x}]}]`,
      { line: 2, column: 39 },
      '"default" has more than 65536 characters',
    ],
    ['an unknown tag', 'name: !secret a\nphases: []', { line: 1, column: 7 }, 'this is not valid YAML'],
    ['an empty file', '', { line: 1, column: 1 }, 'it must hold "name" and "phases", and is empty'],
    ['a list', '- run: x', { line: 1, column: 1 }, 'it must hold "name" and "phases", and is a list'],
    ['no name', 'phases: [{name: m, steps: [{run: x}]}]', { line: 1, column: 1 }, '"name" is missing'],
    ['no phases', 'name: a', { line: 1, column: 1 }, '"phases" is missing'],
    ['empty phases', 'name: a\nphases: []', { line: 2, column: 9 }, '"phases" must not be empty'],
    ['phases that are none', 'name: a\nphases: main', { line: 2, column: 9 }, '"phases" must be a list, and is text'],
    ['empty steps', 'name: a\nphases:\n- name: m\n  steps: []', { line: 4, column: 10 }, '"steps" must not be empty'],
    [
      'steps without a word',
      'name: a\nphases:\n- name: m\n  steps: [a.sql]',
      { line: 4, column: 11 },
      'entry 1 of "steps" must be a map, and is text, such as { run',
    ],
    [
      'a phase that is a list',
      'name: a\nphases:\n- [x]',
      { line: 3, column: 3 },
      'must be a map, and is a list, such as { name: main, steps: [{ run: schema/*.sql }] }.',
    ],
    [
      'a parameter that is a type',
      `name: a\nparameters: {p: text}\n${MAIN}`,
      { line: 2, column: 17 },
      '"p" must be a map, and is text, such as { type: text }.',
    ],
    ['parameters that are a list', `name: a\nparameters: [p]\n${MAIN}`, { line: 2, column: 13 }, '"parameters" must be a map, and is a list.'],
    ['settings that are a list', `name: a\nsettings: [p]\n${MAIN}`, { line: 2, column: 11 }, '"settings" must be a map, and is a list.'],
    [
      'a setting without a value',
      `name: a\nsettings: {work_mem: }\n${MAIN}`,
      { line: 2, column: 22 },
      'must be text that is not empty, a number, true or false, and is empty.',
    ],
    [
      'a number as condition',
      'name: a\nphases: [{name: m, steps: [{run: x, when: 5}]}]',
      { line: 2, column: 43 },
      '"when" must be an expression of SQL as text, or true or false, and is a number.',
    ],
    [
      'half a row as size',
      'name: a\nphases: [{name: m, steps: [{batch: x, size: 1.5}]}]',
      { line: 2, column: 45 },
      '"size" must be a whole number, and is a number.',
    ],
    ['a word as size', 'name: a\nphases: [{name: m, steps: [{batch: x, size: all}]}]', { line: 2, column: 45 }, '"size" must be a number, and is text.'],
    [
      'a word as truth',
      `name: a\nparameters: {p: {type: text, required: often}}\n${MAIN}`,
      { line: 2, column: 40 },
      '"required" must be true or false, and is text.',
    ],
    ['a list of files', 'name: a\nphases: [{name: m, steps: [{run: [x]}]}]', { line: 2, column: 34 }, '"run" must be text, and is a list.'],
    [
      'a number as name',
      'name: 12\nphases: [{name: m, steps: [{run: x}]}]',
      { line: 1, column: 7 },
      '"name" must be text, and is a number; if it is one, put it in quotes',
    ],
    ['an improper name', 'name: my shop\nphases: [{name: m, steps: [{run: x}]}]', { line: 1, column: 7 }, '"name" must be a name: letters, digits'],
    ['an unknown key', 'name: a\nfases: []', { line: 2, column: 1 }, 'a bundle file has no "fases"; did you mean "phases"?'],
    ['an unknown key of a phase', 'name: a\nphases:\n- name: m\n  setps: [{run: x}]', { line: 4, column: 3 }, 'a phase has no "setps"; did you mean "steps"?'],
    ['an unknown key of a step', 'name: a\nphases:\n- name: m\n  steps: [{run: x, zebra: 1}]', { line: 4, column: 20 }, 'a step has no "zebra"; it has run'],
    [
      'an unknown transaction',
      'name: a\nphases: [{name: m, transaction: singel, steps: [{run: x}]}]',
      { line: 2, column: 33 },
      'is "singel"; did you mean "single"?',
    ],
    [
      'two phases of one name',
      'name: a\nphases:\n- {name: m, steps: [{run: x}]}\n- {name: m, steps: [{run: y}]}',
      { line: 4, column: 10 },
      '"m" stands in line 3 already',
    ],
  ])('refuses %s, and says where', async (_, text, place, words) => {
    const problem = await refusal(text);
    expect(problem.message).toContain(words);
    expect(problem.message).toMatch(/^weft\.yaml, line \d+, column \d+: /);
    expect(problem.facts.file).toBe('weft.yaml');
    expect({ line: problem.facts.line, column: problem.facts.column }).toEqual(place);
  });

  it('refuses aliases that make a small file large', async () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x,x]', ...['b', 'c', 'd', 'e'].map((key, index) => `${key}: &${key} [${Array(10).fill(`*${'abcd'[index]}`)}]`)];
    expect((await refusal(bomb.join('\n'))).message).toContain('aliases');
  });

  it('says of a name that begins with * and stands in no quotes where it is, and what it needs', async () => {
    const problem = await refusal('name: shop\ndrift:\n  ignore:\n    - schema: "*_a"\n    - publication: *_dbz\nphases: []');
    expect(problem.message).toContain(
      'line 5, column 20: "*_dbz" refers to an anchor, and there is none of that name; a text that begins with * needs quotes around it',
    );
  });

  it('refuses a file above its limit, and names the limit', async () => {
    const problem = await problemOf(() => parseBundleFile(new Uint8Array(LIMITS.bundle_file_bytes + 1).fill(0x20)), 'too_large');
    expect(problem.facts.limit).toBe('bundle_file_bytes');
  });

  it('refuses what is not UTF-8, and names the byte', async () => {
    const problem = await problemOf(() => parseBundleFile(Uint8Array.from([0x6e, 0xe9, 0x0a])), 'not_utf8');
    expect(problem.facts).toEqual({ path: 'weft.yaml', byte: 1 });
  });

  const ignoring = (rules: string) => `name: a\ndrift:\n  ignore: ${rules}\nphases: [{name: m, steps: [{run: x}]}]`;

  it('reads what something else sees to, a name behind the first dot', () => {
    const { unwatched } = parse(ignoring('[{schema: part*}, {table: public.My table.x}, {partitions_of: a.b}, {event_trigger: t}]'));
    expect(unwatched).toEqual([{ schema: 'part*' }, { table: ['public', 'My table.x'] }, { partitions_of: ['a', 'b'] }, { event_trigger: 't' }]);
    expect(parse(`name: a\n${MAIN}`).unwatched).toEqual([]);
  });

  it.each([
    ['no list', '{schema: a}', 'must be a list'],
    ['an empty list', '[]', 'must not be empty'],
    ['an unknown word', '[{shema: a}]', 'is "shema"; did you mean "schema"?'],
    ['a word that is none of it', '[{column: a.b.c}]', 'must be one of schema, extension'],
    ['two words at once', '[{schema: a, table: a.b}]', 'must be one of schema'],
    ['a table without its schema', '[{table: goods}]', 'such as "table: public.events", and is "goods"'],
    ['a name in quotes of SQL', `[{table: 'public."Goods"'}]`, `without quotes around it, and is 'public."Goods"'`],
    ['a schema in them', `[{schema: '"Up"'}]`, `without quotes around it, and is '"Up"'`],
    ['a function with its arguments', '[{function: public.job(int)}]', 'a name without arguments, which means all of that name'],
    ['a number', '[{schema: 12}]', 'in quotes if it looks like a number'],
    ['a name that is too long', `[{schema: ${'a'.repeat(LIMITS.pattern_characters + 1)}}]`, 'pattern_characters'],
    ['too many', `[${'{schema: a},'.repeat(LIMITS.ignored_count + 1)}]`, `more than ${LIMITS.ignored_count} entries`],
  ])('refuses of what something else sees to %s, with its line', async (_, rules, words) => {
    const problem = await refusal(ignoring(rules));
    expect(problem.message).toContain(words);
    expect(problem.facts).toMatchObject({ file: 'weft.yaml', line: 3 });
  });

  it('says what "drift" is a map of', async () => {
    expect((await refusal(`name: a\ndrift:\n${MAIN}`)).message).toContain('"drift" must be a map, and is empty, such as { ignore: [{ schema: partman }] }');
  });

  it('refuses a word beside "ignore"', async () => {
    expect((await refusal(`name: a\ndrift: {ignored: []}\n${MAIN}`)).message).toContain('"drift" has no "ignored"; did you mean "ignore"?');
  });

  const declared = (parameter: string) => `name: a\nparameters:\n  ${parameter}\nphases: [{name: m, steps: [{run: x}]}]`;

  it('reads parameters in their order, with YAML’s own values as the server takes them', () => {
    const { parameters } = parse(
      declared(
        'b: { type: text, required: true }\n  a: { type: integer, default: 3 }\n  c: { type: boolean, default: no }\n  d: { type: jsonb, default: { x: [1, null] } }\n  e: { type: text, secret: true, required: false }',
      ),
    );
    expect(parameters).toEqual([
      { name: 'b', type: 'text', required: true },
      { name: 'a', type: 'integer', default: '3' },
      { name: 'c', type: 'boolean', default: 'no' },
      { name: 'd', type: 'jsonb', default: '{"x":[1,null]}' },
      { name: 'e', type: 'text', secret: true },
    ]);
  });

  it.each([
    ['a type that is none', 'a: { type: int }', '"type" must be one of text, integer'],
    ['a name that is none', '1a: { type: text }', 'must be the name of a parameter'],
    ['no type', 'a: {}', '"type"'],
    ['an unknown word', 'a: { type: text, secert: true }', 'a parameter has no "secert"; did you mean "secret"?'],
    ['a secret with a default', 'a: { type: text, secret: true, default: x }', 'without a default if it is secret'],
    ['a required one with a default', 'a: { type: text, required: true, default: x }', 'either required, or with a default'],
    ['a default that is null', 'a: { type: text, default: }', 'leave it out where there is none'],
    ['a number of too many digits', 'a: { type: bigint, default: 12345678901234567890 }', 'in quotes'],
  ])('refuses %s, with its line', async (_, parameter, words) => {
    const problem = await refusal(declared(parameter));
    expect(problem.message).toContain(words);
    expect(problem.facts).toMatchObject({ file: 'weft.yaml', line: 3 });
  });

  it.each([
    ['a version', 'a: { type: text, default: 1.10 }', 'the default of "a" must be in quotes: YAML reads 1.10 as 1.1'],
    ['zeros in front', 'a: { type: text, default: 01067 }', 'YAML reads 01067 as 1067'],
    ['an exponent', 'a: { type: text, default: 1e3 }', 'YAML reads 1e3 as 1000'],
    ['a scale', 'a: { type: numeric, default: 0.1000 }', 'YAML reads 0.1000 as 0.1'],
    ['a hexadecimal number', 'a: { type: jsonb, default: 0x10 }', 'YAML reads 0x10 as 16'],
    ['a word in capitals', 'a: { type: text, default: True }', 'YAML reads True as true'],
    ['the alias of one', 'b: { type: text, default: &v 1.10 }\n  a: { type: text, default: *v }', 'YAML reads 1.10 as 1.1'],
  ])('refuses a default whose text YAML does not keep: %s', async (_, parameter, words) => {
    const problem = await refusal(declared(parameter));
    expect(problem.message).toContain(words);
    expect(problem.facts).toMatchObject({ line: 3 });
  });

  it.each([
    ['of the file', 'name: a\nsettings:\n  work_mem: 64MB\n  app.version: 1.10\nphases: [{name: m, steps: [{run: x}]}]', { line: 4, column: 16 }],
    ['of a phase', 'name: a\nphases:\n- name: m\n  settings: { app.code: 007 }\n  steps: [{run: x}]', { line: 4, column: 25 }],
  ])('refuses a setting %s whose text YAML does not keep', async (_, file, place) => {
    const problem = await refusal(file);
    expect(problem.message).toMatch(/"app\.\w+" must be in quotes: YAML reads (1\.10 as 1\.1|007 as 7)/);
    expect(problem.facts).toMatchObject(place);
  });

  it('takes numbers whose text or value is kept', () => {
    const { parameters, phases } = parse(
      'name: a\nsettings: { work_mem: 4096, seq_page_cost: 1.5, app.neg: -2, jit: True, app.text: "1.10" }\n' +
        'parameters: { a: { type: integer, default: 007 }, b: { type: numeric, default: 1.5 }, c: { type: text, default: "1.10" }, d: { type: boolean, default: True } }\n' +
        'phases: [{name: m, steps: [{run: x}]}]',
    );
    expect(parameters.map(({ default: value }) => value)).toEqual(['7', '1.5', '1.10', 'true']);
    expect(phases[0]?.settings).toEqual({ work_mem: '4096', seq_page_cost: '1.5', 'app.neg': '-2', jit: 'on', 'app.text': '1.10' });
  });

  const _step = (line: string) => `name: a\nphases:\n- name: m\n  steps:\n  - run: x\n    ${line}`;
});

describe('renderBundleFile', () => {
  it('writes a bundle file that this version reads, under any name', () => {
    for (const name of ['shop', 'no', '1.0', 'a-b_c.d']) {
      const phase = { name: 'schema', transaction: 'single', lock_timeout_ms: 2000 };
      expect(parse(renderBundleFile(name, false))).toMatchObject({ name, phases: [{ ...phase, steps: [{ glob: '**/*.sql' }] }] });
      expect(parse(renderBundleFile(name, true))).toMatchObject({
        name,
        phases: [{ ...phase, steps: [{ glob: 'schema/*.sql', words: { undo: 'undo/*.sql' } }] }],
      });
    }
  });
});
