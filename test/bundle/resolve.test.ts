/** What folder and inline files share: which files a step means, in which order, and what is refused or warned of. */
import { describe, expect, it } from 'vitest';
import { readInline } from '../../src/bundle/inline.ts';
import type { Bundle } from '../../src/bundle/source.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { type Manifest, manifestSchema } from '../../src/domain/manifest.ts';
import { problemOf } from './support.ts';

/** Files of these paths, each holding `select 1;` unless it says otherwise, and a weft.yaml with these lines when there is one. */
function bundle(paths: readonly string[], yaml?: string, name = 'shop'): Promise<Bundle> {
  const files = paths.map((path) => ({ path, content: 'select 1;' }));
  return readInline(yaml === undefined ? files : [...files, { path: 'weft.yaml', content: yaml }], name);
}

/** A weft.yaml of one phase with these steps, the first of them in line 4. */
const runs = (...steps: readonly string[]) => `name: shop\nphases:\n- name: main\n  steps: [${steps.map((step) => `{run: "${step}"}`).join(',\n    ')}]`;

const pathsOf = (manifest: Manifest) => manifest.phases.flatMap((phase) => phase.steps.map((step) => step.path));

describe('without weft.yaml', () => {
  it('makes one phase "main", transaction auto, of every *.sql at any depth, in the order of the bytes of their paths', async () => {
    const { manifest, warnings } = await bundle(['b.sql', 'Z.sql', 'a/x.sql', 'a-x.sql', 'README.md', 'ä.sql']);
    expect(manifestSchema.parse(manifest)).toEqual(manifest);
    expect(manifest.phases).toHaveLength(1);
    expect(manifest.phases[0]).toMatchObject({ name: 'main', transaction: 'auto' });
    expect(pathsOf(manifest)).toEqual(['Z.sql', 'a-x.sql', 'a/x.sql', 'b.sql', 'ä.sql']);
    expect(manifest.artifacts.map(({ path }) => path)).toEqual(pathsOf(manifest));
    expect(warnings).toEqual([]);
  });

  it('ignores hidden files and folders, and node_modules', async () => {
    const { manifest, warnings } = await bundle(['.x.sql', '.git/y.sql', 'node_modules/p/z.sql', 'a/node_modules/z.sql', 'a.sql']);
    expect(pathsOf(manifest)).toEqual(['a.sql']);
    expect(warnings).toHaveLength(4);
    expect(warnings[0]).toBe('".x.sql" is ignored: hidden files and node_modules are no part of a bundle.');
  });

  it.each([
    ['shop', 'shop'],
    ['my shop', 'my-shop'],
    ['.hidden', 'hidden'],
    ['Größe', 'Gro-e'],
    ['Café', 'Cafe'],
    ['x'.repeat(80), 'x'.repeat(63)],
  ])('is called after its folder: %s becomes %s', async (folder, name) => {
    expect((await bundle(['a.sql'], undefined, folder)).manifest.bundle).toBe(name);
  });

  it('asks for a weft.yaml when no name can be made of the folder', async () => {
    expect((await problemOf(bundle(['a.sql'], undefined, '織物'), 'invalid_bundle')).message).toContain('Write a weft.yaml with a name');
  });

  it('refuses a bundle in which nothing is to be run', async () => {
    expect((await problemOf(bundle([]), 'invalid_bundle')).message).toContain('The bundle is empty');
    await problemOf(bundle(['README.md', 'data.csv']), 'invalid_bundle');
  });
});

describe('the files of a step', () => {
  it('are those its glob matches, in byte order; steps run as they are written', async () => {
    const { manifest } = await bundle(['s/2.sql', 's/1.sql', 's/deep/3.sql', 'a.sql', 'b[1].sql'], runs('s/*.sql', 's/**/3.sql', 'b[1].sql', '{a,c}.sql'));
    expect(pathsOf(manifest)).toEqual(['s/1.sql', 's/2.sql', 's/deep/3.sql', 'b[1].sql', 'a.sql']);
    expect(manifestSchema.parse(manifest)).toEqual(manifest);
  });

  it('carry their phase’s rules', async () => {
    const yaml = 'name: shop\nphases:\n- {name: one, transaction: single, lock_timeout: 500ms, steps: [{run: a.sql}]}\n- {name: two, steps: [{run: b.sql}]}';
    expect((await bundle(['a.sql', 'b.sql'], yaml)).manifest.phases).toEqual([
      { name: 'one', transaction: 'single', lock_timeout_ms: 500, steps: [{ kind: 'run', path: 'a.sql' }] },
      { name: 'two', transaction: 'auto', steps: [{ kind: 'run', path: 'b.sql' }] },
    ]);
  });

  it.each([
    ['a glob that matches nothing', ['x/*.sql'], '"x/*.sql" matches no file'],
    ['a file that is not there, with the nearest name', ['scheme/1.sql'], 'there is no file "scheme/1.sql"; did you mean "schema/1.sql"?'],
    ['a path that leaves the folder', ['../a.sql'], '"../a.sql" leaves the bundle\'s folder'],
    ['a glob that leaves the folder', ['schema/../../*.sql'], "leaves the bundle's folder"],
    ['an absolute path', ['/etc/passwd'], 'is an absolute path'],
    ['an absolute path of Windows', ['C:/x.sql'], 'is an absolute path'],
    ['a backslash', ['schema\\\\1.sql'], 'holds a backslash'],
    ['a path with a dot', ['./a.sql'], 'write it without "./"'],
    ['a hidden file', ['.git/*.sql'], 'is hidden or in node_modules'],
    ['the bundle file', ['weft.yaml'], 'is the bundle file itself'],
  ])('refuses %s, and names the line', async (_, [step = ''], words) => {
    const problem = await problemOf(bundle(['schema/1.sql', 'a.sql', '.git/x.sql'], runs('a.sql', step)), 'invalid_bundle');
    expect(problem.message).toContain('weft.yaml, line 5: ');
    expect(problem.message).toContain(words);
    expect(problem.facts).toMatchObject({ file: 'weft.yaml', line: 5 });
  });

  it('are told apart by entry, where there are several: the order of a bundle is one among the files of an entry', async () => {
    const { manifest } = await bundle(['a/1.sql', 'a/2.sql', 'b.sql'], `order: strict\n${runs('a/*.sql', 'b.sql')}`);
    expect(manifestSchema.parse(manifest)).toMatchObject({ order: 'strict', phases: [{ entries: [2, 1] }] });
    const plain = (await bundle(['a.sql', 'b.sql'], runs('*.sql'))).manifest;
    expect(plain.phases[0]).not.toHaveProperty('entries');
    expect(plain).not.toHaveProperty('order');
    const wrong = manifestSchema.safeParse({ ...manifest, phases: [{ ...manifest.phases[0], entries: [2, 2] }] });
    expect(wrong.error?.issues[0]?.message).toBe('the entries do not add up to 3 steps');
  });

  it('refuses a file that two steps match, and names both places', async () => {
    const problem = await problemOf(bundle(['s/1.sql', 's/2.sql'], runs('s/*.sql', 's/2.sql')), 'invalid_bundle');
    expect(problem.message).toContain('"s/2.sql" would run twice: by line 4 (phase "main", run: s/*.sql) and by line 5 (phase "main", run: s/2.sql)');
  });

  it('never include weft.yaml itself', async () => {
    expect(pathsOf((await bundle(['a.sql'], runs('*'))).manifest)).toEqual(['a.sql']);
  });

  it('are limited in number, and the limit is named', async () => {
    const paths = Array.from({ length: LIMITS.artifacts_count + 1 }, (_, index) => `${index}.sql`);
    expect((await problemOf(bundle(paths), 'too_large')).facts.limit).toBe('artifacts_count');
    expect((await problemOf(bundle(paths, runs('*.sql')), 'too_large')).facts.limit).toBe('artifacts_count');
  });
});

describe('a folder of another tool, without weft.yaml', () => {
  it.each([
    ['Flyway', ['V1__a.sql', 'V2__b.sql', 'sql/U2__b.sql'], '"sql/U2__b.sql"', 'undo: "**/U*.sql"'],
    ['Sqitch', ['sqitch.plan', 'deploy/a.sql', 'revert/a.sql', 'verify/a.sql'], '"revert/a.sql"', 'undo: revert/NAME.sql'],
    ['a folder for each', ['1_a/down.sql', '1_a/up.sql'], '"1_a/down.sql"', 'undo: "**/down.sql"'],
    ['a pair of names', ['1_a.down.sql', '1_a.up.sql'], '"1_a.down.sql" is the way to take "1_a.up.sql" back', 'undo: "**/*.down.sql"'],
    ['folders for the two', ['m/down/1_a.sql', 'm/up/1_a.sql'], '"m/down/1_a.sql" is the way to take "m/up/1_a.sql" back', 'undo: "**/down/*.sql"'],
    ["Sqitch's folders without its plan", ['deploy/a.sql', 'revert/a.sql', 'verify/a.sql'], '"revert/a.sql"', 'undo: revert/NAME.sql'],
    ['with a hyphen', ['sqls/1-a-down.sql', 'sqls/1-a-up.sql'], '"sqls/1-a-down.sql"', 'undo: "**/*-down.sql"'],
    ['with do and undo', ['001.do.a.sql', '001.undo.a.sql'], '"001.undo.a.sql"', 'undo: "**/*.undo.*sql"'],
    ['beside a plain name', ['1.a.rollback.sql', '1.a.sql'], '"1.a.rollback.sql"', 'undo: "down/*.sql"'],
  ])('is not run with the files that take others back: %s', async (_, paths, path, words) => {
    const problem = await problemOf(bundle(paths), 'invalid_bundle');
    for (const said of [path, words, 'weft init']) expect(problem.message).toContain(said);
  });

  it('with weft.yaml means what that says, and what is called so by chance is run', async () => {
    const { manifest, warnings } = await bundle(['V1__a.sql', 'U1__a.sql'], runs('**/V*.sql", undo: "**/U*.sql'));
    expect(manifest.phases[0]?.steps).toMatchObject([{ path: 'V1__a.sql', undo: 'U1__a.sql' }]);
    expect(warnings).toEqual([]);
    expect((await bundle(['users/U_before.sql', 'revert/a.sql', 'R_2.sql', 'after_all.sql', 'Update.sql'])).warnings).toEqual([]);
    expect((await bundle(['down.sql', 'scale_down.sql', 'scale_up.sql', 'x.down.sql'])).warnings).toEqual([]);
  });

  it('with a weft.yaml that runs both of a pair, is told', async () => {
    const { warnings } = await bundle(['m/1.down.sql', 'm/1.up.sql'], runs('m/*.sql'));
    expect(warnings).toEqual([expect.stringContaining('"m/1.down.sql" is run like any other file; by its name it takes "m/1.up.sql" back')]);
    expect((await bundle(['m/1.down.sql', 'm/1.up.sql'], runs('m/*.up.sql", undo: "m/*.down.sql'))).warnings).toEqual([]);
  });

  it.each(['-- +goose Down', '--+goose down', '-- +migrate Down notransaction', '-- migrate:down', '-- Down Migration', '---- create above / drop below ----'])(
    'is not run where a file holds its own way back, whatever weft.yaml says: %s',
    async (mark) => {
      const content = `-- up\r\ncreate table a (n int);\r\n\r\n${mark}\r\n-- äh\r\ndrop table a;`;
      for (const files of [
        [{ path: 'a.sql', content }],
        [
          { path: 'a.sql', content },
          { path: 'weft.yaml', content: runs('*.sql') },
        ],
      ]) {
        const problem = await problemOf(readInline(files, 'x'), 'invalid_bundle');
        for (const said of ['"a.sql"', mark, 'undo: "down/*.sql"']) expect(problem.message).toContain(said);
      }
      // What stands behind it may come in the next part.
      const file = { path: 'a.sql', content: `${mark}\n${'\n'.repeat(1024 * 1024)}drop table a;` };
      await problemOf(readInline([file], 'x'), 'invalid_bundle');
    },
  );

  it('is run where nothing stands behind such a line, or the line is none', async () => {
    for (const content of [
      'select 1;\n-- +goose Down\n-- nothing\n\n',
      'select 1; -- +goose Down\nselect 2;',
      '-- migrate:downstream\nselect 1;',
      '-- go down\nselect 1',
    ])
      await readInline([{ path: 'a.sql', content }], 'x');
  });
});

describe('warnings', () => {
  it.each<[string, readonly string[], string | undefined, string]>([
    ['a number that counts for less than its digits', ['V10__b.sql', 'V2__a.sql'], undefined, '"V10__b.sql" runs before "V2__a.sql"'],
    ['the same within a step', ['s/V10.sql', 's/V2.sql'], runs('s/*'), '"s/V10.sql" runs before "s/V2.sql"'],
    ['a file that no step runs', ['a.sql', 'b.sql'], runs('a.sql'), 'No step runs "b.sql".'],
    ['a file that a folder without weft.yaml does not run', ['a.sql', 'b.SQL'], undefined, 'No step runs "b.SQL".'],
    ['two paths that differ only in case', ['a.sql', 'A.sql'], undefined, '"A.sql" and "a.sql" differ only in upper and lower case'],
    ['two paths that differ only in normalisation', ['caf\u00e9.sql', 'cafe\u0301.sql'], undefined, 'two Unicode normalisations'],
    ['two folders that differ only in case, once', ['V/a.sql', 'v/a.sql', 'v/b.sql'], undefined, 'The folders "V" and "v" differ only in upper and lower case'],
    ['two such folders within others', ['x/V/a.sql', 'x/v/b.sql'], undefined, 'The folders "x/V" and "x/v" differ only in'],
    ['two folders that differ only in normalisation', ['caf\u00e9/a.sql', 'cafe\u0301/b.sql'], undefined, 'The folder "cafe\u0301" stands there twice'],
    ['Flyway’s repeatable files', ['R__view.sql', 'V1__a.sql'], undefined, 'repeat: on-change }, behind'],
    ['Flyway’s callbacks', ['V1__a.sql', 'beforeMigrate.sql'], undefined, '"beforeMigrate.sql" is called as Flyway calls a callback'],
    ['what is run and does not end in .sql', ['a.txt'], runs('a.txt'), '"a.txt" is run as SQL'],
  ])('tell of %s', async (_, paths, yaml, words) => {
    const { warnings } = await bundle(paths, yaml);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(words);
  });

  it('tell of an empty file', async () => {
    const { manifest, warnings } = await readInline([{ path: 'a.sql', content: '' }], 'x');
    expect(warnings).toEqual(['"a.sql" is empty.']);
    expect(manifestSchema.parse(manifest).artifacts[0]).toMatchObject({ size: 0 });
  });

  it('do not stop at notes for people', async () => {
    expect((await bundle(['a.sql', 'README.md', 'docs/why.md'], runs('a.sql'))).warnings).toEqual([]);
  });
});
