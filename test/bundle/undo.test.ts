/** Undo files in weft.yaml: which belongs to which file, and what is refused. */
import { describe, expect, it } from 'vitest';
import { readInline } from '../../src/bundle/inline.ts';
import { pairUndos } from '../../src/bundle/undo.ts';

const yaml = (steps: string) => `name: shop\nphases:\n  - name: main\n    steps:\n${steps.replace(/^/gm, '      ')}\n`;

const read = (steps: string, ...paths: readonly string[]) =>
  readInline([{ path: 'weft.yaml', content: yaml(steps) }, ...paths.map((path) => ({ path, content: 'select 1' }))], 'shop');

const pairs = (paths: string, glob: string, undo: string) => {
  const all = paths.split(' ');
  const matched = all.filter((path) => !path.startsWith('undo/'));
  return Object.fromEntries(pairUndos(all, glob, matched, undo, 1).undos);
};

describe('a pattern with the wildcards of the glob', () => {
  it.each([
    ['a/1.sql undo/1.sql', 'a/*.sql', 'undo/*.sql', { 'a/1.sql': 'undo/1.sql' }],
    ['a/1.sql a/2.sql undo/2_down.sql undo/1_down.sql', 'a/*.sql', 'undo/*_down.sql', { 'a/1.sql': 'undo/1_down.sql', 'a/2.sql': 'undo/2_down.sql' }],
    ['a/b/c/1.sql a/2.sql undo/b/c/1.sql undo/2.sql', 'a/**/*.sql', 'undo/**/*.sql', { 'a/b/c/1.sql': 'undo/b/c/1.sql', 'a/2.sql': 'undo/2.sql' }],
    ['v1/x.sql v2/x.sql undo/1/x.sql undo/2/x.sql', 'v?/*.sql', 'undo/?/*.sql', { 'v1/x.sql': 'undo/1/x.sql', 'v2/x.sql': 'undo/2/x.sql' }],
    ['a.b/1.sql undo/1.sql', 'a.b/*.sql', 'undo/*.sql', { 'a.b/1.sql': 'undo/1.sql' }],
  ])('%s: %s, undone by %s', (paths, glob, undo, expected) => {
    expect(pairs(paths, glob, undo)).toEqual(expected);
  });

  it.each([
    ['a/1.sql undo/1.sql', 'a/*.sql', 'undo/1.sql'],
    ['a/1.sql undo/1.sql', 'a/*.sql', 'undo/**/*.sql'],
    ['a/1.sql undo/1.sql', 'a/[0-9].sql', 'undo/[0-9].sql'],
    ['a/1.sql undo/1.sql', '{a,b}/*.sql', 'undo/*.sql'],
  ])('%s: %s and %s do not fit together', (paths, glob, undo) => {
    expect(() => pairs(paths, glob, undo)).toThrow(/must hold the same wildcards/);
  });
});

describe('in a bundle', () => {
  it('of more than two files without an undo, one line is said', async () => {
    const lines = async (count: number) =>
      (await read('- { run: "a/*.sql", undo: "undo/*.sql" }', 'undo/0.sql', ...Array.from({ length: count }, (_, n) => `a/${n}.sql`))).warnings;
    expect(await lines(3)).toEqual([1, 2].map((n) => `"a/${n}.sql" has no undo: there is no file "undo/${n}.sql".`));
    expect(await lines(9)).toEqual(['"a/1.sql" and 7 more files have no undo: there is no file "undo/1.sql", for example.']);
  });

  it('what is said of many undo files that hold nothing is said of five, and of the others together', async () => {
    const empty = Array.from({ length: 9 }, (_, n) => [`a/${n}.sql`, `undo/${n}.sql`]).flatMap(([path = '', undo = '']) => [
      { path, content: 'select 1' },
      { path: undo, content: '' },
    ]);
    const { warnings } = await readInline([{ path: 'weft.yaml', content: yaml('- { run: "a/*.sql", undo: "undo/*.sql" }') }, ...empty], 'shop');
    expect(warnings).toHaveLength(6);
    expect(warnings[5]).toBe('4 more files that take others back hold no statement.');
  });

  const warningsOf = async (undo: string) => {
    const files = [
      { path: 'weft.yaml', content: yaml('- { run: "a/*.sql", undo: "undo/*.sql" }') },
      { path: 'a/1.sql', content: '-- nothing yet' },
      { path: 'undo/1.sql', content: undo },
    ];
    return (await readInline(files, 'shop')).warnings;
  };

  it.each([
    ['is empty', ''],
    ['holds no statement', '-- nothing\n'],
    ['holds no statement', '\ufeff\r\n /* a -- /* b */ ; **/;\t\f-- c\r-- d'],
    ['holds no statement', `-- ${'x'.repeat(64 * 1024 - 3)}`],
  ])('an undo file that %s is told of, with what an undo makes of it: %j', async (how, undo) => {
    expect(await warningsOf(undo)).toEqual([
      expect.stringContaining(`"undo/1.sql" ${how}: an undo takes "a/1.sql" out of the history, and nothing of it back.`),
    ]);
  });

  it.each(['select 1', '-- a\nselect 1', '/* a */*b', '- -a', '/* a /* b */', '-', '\\i x.sql', '\u00a0'])(
    'of one with something to be run, or with what the server refuses, nothing is told: %j',
    async (undo) => {
      expect(await warningsOf(undo)).toEqual([]);
    },
  );

  it('undo files are artifacts, right behind the file that they take back, and run by no step', async () => {
    const { manifest, warnings } = await read('- { run: "a/*.sql", undo: "undo/*.sql" }', 'a/1.sql', 'a/2.sql', 'undo/1.sql', 'undo/2.sql');
    expect(manifest.artifacts.map(({ path }) => path)).toEqual(['a/1.sql', 'undo/1.sql', 'a/2.sql', 'undo/2.sql']);
    expect(manifest.phases[0]?.steps).toEqual([
      { kind: 'run', path: 'a/1.sql', undo: 'undo/1.sql' },
      { kind: 'run', path: 'a/2.sql', undo: 'undo/2.sql' },
    ]);
    expect(warnings).toEqual([]);
  });

  it('what has no undo is named, with the path at which it was looked for', async () => {
    const { manifest, warnings } = await read('- { run: "a/*.sql", undo: "undo/*.sql" }', 'a/1.sql', 'a/2.sql', 'undo/1.sql');
    expect(manifest.phases[0]?.steps).toEqual([
      { kind: 'run', path: 'a/1.sql', undo: 'undo/1.sql' },
      { kind: 'run', path: 'a/2.sql' },
    ]);
    expect(warnings).toEqual(['"a/2.sql" has no undo: there is no file "undo/2.sql".']);
  });

  it.each([
    [
      'a file that is not there',
      '- { run: "a/1.sql", undo: "undo/2.sql" }',
      /line 5: there is no file "undo\/2.sql" to undo "a\/1.sql"; did you mean "undo\/1.sql"/,
    ],
    [
      'a pattern of which none is there',
      '- { run: "a/*.sql", undo: "gone/*.sql" }',
      /line 5: undo: "gone\/\*.sql" is there for none of the files.*"gone\/1.sql"/,
    ],
    ['an undo that is run, too', '- { run: "**/*.sql" }\n- { run: "b.sql", undo: "undo/1.sql" }', /would run twice/],
    [
      'an undo of two files',
      '- { run: "a/1.sql", undo: "undo/1.sql" }\n- { run: "b.sql", undo: "undo/1.sql" }',
      /line 6: "undo\/1.sql" would undo two files, "a\/1.sql" and "b.sql"/,
    ],
  ])('refuses %s', async (_, steps, words) => {
    await expect(read(steps, 'a/1.sql', 'b.sql', 'undo/1.sql')).rejects.toMatchObject({ slug: 'invalid_bundle', message: expect.stringMatching(words) });
  });

  it('refuses an undo that a step runs', async () => {
    const steps = '- { run: "a/1.sql", undo: "undo/1.sql" }\n- { run: "undo/1.sql" }';
    await expect(read(steps, 'a/1.sql', 'undo/1.sql')).rejects.toMatchObject({
      message: expect.stringMatching(/"undo\/1.sql" undoes "a\/1.sql", and would also be run, by line 6/),
    });
  });
});
