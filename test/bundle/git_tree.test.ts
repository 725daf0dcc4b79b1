/** A folder out of git's own objects: the same manifest as the folder itself, each object proved by its id, and what is refused. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readFolder } from '../../src/bundle/folder.ts';
import { type GitEntry, type GitPlace, readGitTree } from '../../src/bundle/git_tree.ts';
import { listTree, makeGitObjects } from '../support/git_objects.ts';
import type { ArchiveFiles } from '../support/github.ts';
import { makeZip, type ZipFile } from '../support/zips.ts';
import { collect, folderOf, problemOf, smallLimits } from './support.ts';
import { streamOf } from './tars.ts';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';

interface Bends {
  readonly folder?: string;
  readonly list?: (entries: GitEntry[], deep: boolean) => GitEntry[];
  readonly zip?: (files: ZipFile[]) => ZipFile[] | Buffer;
  readonly one?: (bytes: Buffer) => Buffer;
  readonly options?: Parameters<typeof streamOf>[1];
}

/** @returns a place with these files, and what was asked of it */
function placeOf(files: ArchiveFiles, { folder = 'db/shop', list = (entries) => entries, zip = (all) => all, one = (bytes) => bytes, options }: Bends = {}) {
  const objects = makeGitObjects(files);
  const asked: string[] = [];
  const blob = (id: string) => objects.blobs.get(id) ?? Buffer.from('there is no such file');
  const place: GitPlace = {
    folder,
    commit: COMMIT,
    repositoryName: 'shop-repository',
    findRoot: async () => objects.root,
    list: async (tree, deep) => {
      asked.push(deep ? 'all of a tree' : 'a tree');
      const found = listTree(objects, tree, deep) ?? [];
      return list(
        found.map(({ relativePath: path, mode, objectId: id, size }) => ({ path, mode, id, size })),
        deep,
      );
    },
    openMany: async (ids) => {
      asked.push(`${ids.length} files`);
      const made = zip(ids.map((id) => ({ name: id, content: blob(id) })));
      return streamOf(Array.isArray(made) ? makeZip(made) : made, options);
    },
    openOne: async (id) => {
      asked.push('a file');
      return streamOf(one(blob(id)), options);
    },
  };
  return { place, asked, objects };
}

const LONG = `${'long-'.repeat(18)}/${'name-'.repeat(18)}.sql`;
const FILES = {
  'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: "**/*.sql" }] }]\n',
  '001_a.sql': 'select 1;\n',
  '002_the_same.sql': 'select 1;\n',
  '003_empty.sql': '',
  'deep/é — 002.sql': 'select 2;\n',
  // In git's order a folder comes as if "/" stood behind its name.
  'deep.sql': 'select 4;\n',
  'deep-er/1.sql': 'select 5;\n',
  [LONG]: 'select 3;\n',
  'notes.md': 'of no step',
  '.hidden/x.sql': 'select hidden;',
  'node_modules/x.sql': 'select npm;',
};
const under = (folder: string, files: ArchiveFiles): ArchiveFiles =>
  Object.fromEntries(Object.entries(files).map(([path, content]) => [`${folder}/${path}`, content]));
const BESIDE = {
  'README.md': '# x',
  'db/shop2/001.sql': 'select 9;',
  'db/other.sql': 'select 8;',
  'bin/tool': new Uint8Array(3000),
  link: { link: '/etc/passwd' },
};
const ALL = { ...BESIDE, ...under('db/shop', FILES) };

describe('the manifest', () => {
  test('is that of the folder itself, with its bytes, whatever lies beside it', async () => {
    const folder = await readFolder(await folderOf(FILES, 'shop'));
    for (const options of [{}, { sizes: [1, 7, 511] }, { byob: true }]) {
      const { place, asked } = placeOf(ALL, { options });
      const bundle = await readGitTree(place);
      expect(bundle.manifest).toEqual(folder.manifest);
      const chunks = await collect(bundle.chunks(new Set([bundle.manifest.artifacts[0]?.digest ?? ''])));
      expect(chunks.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['select 1;\n']);
      expect(asked).toEqual(['a tree', 'a tree', 'all of a tree', '7 files']);
    }
  });

  test('of the root, and of a folder without weft.yaml, has the name that "weft deploy" would give it', async () => {
    expect((await readGitTree(placeOf({ 'db/shop/1.sql': 'select 1;' }).place)).manifest.bundle).toBe('shop');
    const { manifest } = await readGitTree(placeOf({ '1.sql': 'select 1;', 'x/2.sql': 'select 2;' }, { folder: '' }).place);
    expect(manifest).toMatchObject({ bundle: 'shop-repository', artifacts: [{ path: '1.sql' }, { path: 'x/2.sql' }] });
  });

  test('is made of the objects that git makes: the double has the same ids', async ({ skip }) => {
    const home = await folderOf({});
    const git = (...words: string[]) =>
      execFileSync('git', words, { cwd: home, stdio: ['ignore', 'pipe', 'ignore'] })
        .toString()
        .trim();
    try {
      git('init', '-q');
    } catch {
      return skip('there is no git');
    }
    const { link: _link, ...files } = ALL;
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(home, path)), { recursive: true });
      writeFileSync(join(home, path), content as string);
    }
    git('add', '-A', '--force');
    expect(makeGitObjects(files).root).toBe(git('write-tree'));
  });
});

describe('a bundle that is not held', () => {
  test('is fetched again for the chunks that are wanted, and for no others', async () => {
    smallLimits({ archive_held_bytes: 20 });
    const { place, asked } = placeOf(ALL);
    const { manifest, chunks } = await readGitTree(place);
    asked.length = 0;
    const artifact = manifest.artifacts.find(({ path }) => path === LONG);
    expect((await collect(chunks(new Set([artifact?.digest ?? ''])))).map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['select 3;\n']);
    expect(asked).toEqual(['a file']);
    await problemOf(collect(chunks(new Set(['f'.repeat(64)]))), 'artifact_missing');
  });

  test('comes in zips of bounded size and number, and what is larger by itself', async () => {
    smallLimits({ archive_held_bytes: 20, forge_batch_bytes: 20 });
    const large = `select '${'x'.repeat(100)}';\n`;
    const { place, asked } = placeOf({ ...ALL, 'db/shop/large.sql': large });
    const folder = await readFolder(await folderOf({ ...FILES, 'large.sql': large }, 'shop'));
    expect((await readGitTree(place)).manifest).toEqual(folder.manifest);
    expect(asked.slice(3)).toEqual(['1 files', '2 files', 'a file', '2 files', 'a file', 'a file']);
    smallLimits({ forge_batch_bytes: 8 * 1024 * 1024, forge_batch_files_count: 2 });
    const few = placeOf(ALL);
    await readGitTree(few.place);
    expect(few.asked.slice(3).filter((one) => /[3-9] files/.test(one))).toEqual([]);
  });
});

describe('what a forge lists is proved by the ids of the trees', () => {
  const drop = (path: string) => (entries: GitEntry[]) => entries.filter((one) => one.path !== path);
  const change = (path: string, with_: Partial<GitEntry>) => (entries: GitEntry[]) => entries.map((one) => (one.path === path ? { ...one, ...with_ } : one));
  test.each<[string, (entries: GitEntry[], deep: boolean) => GitEntry[]]>([
    ['a file is left out', drop('001_a.sql')],
    ['a file of a folder below is left out', drop('deep/é — 002.sql')],
    ['a folder is left out, and all in it', (entries) => entries.filter(({ path }) => !path.startsWith('deep/') && path !== 'deep')],
    ['a folder is left out, and not what is in it', drop('deep')],
    ['a hidden file is left out', drop('.hidden/x.sql')],
    ['a file has another name', change('001_a.sql', { path: '000_a.sql' })],
    ['a file has another content', change('001_a.sql', { id: 'a'.repeat(40) })],
    ['a file is said to be a link', change('001_a.sql', { mode: '120000' })],
    ['a file is added', (entries) => [...entries, { path: '9.sql', mode: '100644', id: 'a'.repeat(40), size: 1 }]],
    ['a file is there twice', (entries) => entries.flatMap((one) => (one.path === '001_a.sql' ? [one, one] : [one]))],
    ['the listing was cut', (entries) => entries.slice(0, 4)],
    ['there is nothing', () => []],
    ['a folder above is another one', (entries, deep) => (deep ? entries : entries.map((one) => (one.path === 'db' ? { ...one, id: 'a'.repeat(40) } : one)))],
    ['a file beside a folder above is left out', (entries, deep) => (deep ? entries : drop('README.md')(entries))],
  ])('in a listing, %s', async (_name, list) => {
    const { place, asked } = placeOf(ALL, { list });
    await problemOf(readGitTree(place), 'digest_mismatch');
    expect(asked.filter((one) => one.includes('file'))).toEqual([]);
  });
});

describe('what a forge sends of a file is proved by its id', () => {
  const bendFile = (to: Partial<ZipFile>) => (files: ZipFile[]) =>
    files.map((file) => (Buffer.from(file.content).includes('select 2') ? { ...file, ...to } : file));
  test.each<[string, (files: ZipFile[]) => ZipFile[]]>([
    ['another content', bendFile({ content: Buffer.from('select 9;\n') })],
    ['a longer one', bendFile({ content: Buffer.from('select 2;\n\n') })],
    ['a shorter one', bendFile({ content: Buffer.from('select 2;') })],
    ['that of another file', (files) => files.map((file) => ({ ...file, content: files[0]?.content ?? file.content }))],
  ])('in a zip, %s', async (_name, zip) => {
    await problemOf(readGitTree(placeOf(ALL, { zip }).place), 'digest_mismatch');
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['another content', (bytes) => Buffer.from(bytes.toString().replace('select', 'SELECT'))],
    ['a longer one', (bytes) => Buffer.concat([bytes, bytes])],
    ['a shorter one', (bytes) => bytes.subarray(1)],
    ['nothing', () => Buffer.alloc(0)],
  ])('by itself, %s', async (_name, one) => {
    await problemOf(readGitTree(placeOf({ 'db/shop/1.sql': 'select 1;\n' }, { one }).place), 'digest_mismatch');
  });

  test('and a size that is not the file’s is found out, though no tree has it', async () => {
    for (const size of [0, 1, 100]) {
      const list = (entries: GitEntry[]) => entries.map((one) => (one.path === '001_a.sql' ? { ...one, size } : one));
      await problemOf(readGitTree(placeOf(ALL, { list }).place), 'digest_mismatch');
    }
  });

  test('names of a zip may have more than the id, and a file that is not in it comes by itself', async () => {
    const { place, asked } = placeOf(ALL, { zip: (files) => files.slice(1).map((file) => ({ ...file, name: `blobs/${file.name}.txt` })) });
    const folder = await readFolder(await folderOf(FILES, 'shop'));
    expect((await readGitTree(place)).manifest).toEqual(folder.manifest);
    expect(asked.slice(3).sort()).toEqual(['7 files', 'a file', 'a file']);
  });
});

describe('refused is', () => {
  const one = { 'db/shop/1.sql': 'select 1;' };
  test.each<[string, ArchiveFiles, RegExp]>([
    ['a link in the folder', { ...one, 'db/shop/2.sql': { link: '/etc/passwd' } }, /"2\.sql" is a symbolic link/],
    ['a submodule in the folder', { ...one, 'db/shop/other/': '' }, /"other" is a submodule/],
    ['a folder above it as a link', { db: { link: 'elsewhere' } }, /"db" in the repository is a symbolic link/],
    ['a folder above it as a submodule', { 'db/': '' }, /"db" in the repository is a submodule/],
    ['a file in place of the folder', { 'db/shop': 'select 1;' }, /"db\/shop" in the repository is a file/],
    ['no such folder', { 'db/shop2/1.sql': 'select 1;' }, /no folder "db\/shop"/],
    ['a folder without anything to run', { 'db/shop/notes.md': 'x' }, /empty/],
    ['a name that no bundle can hold', { 'db/shop/a\\b.sql': 'x' }, /cannot hold/],
    ['a bundle file that is nearly called so', { 'db/shop/Weft.yaml': 'x', 'db/shop/1.sql': 'x' }, /rename/],
  ])('in a repository, %s', async (_name, files, message) => {
    expect((await problemOf(readGitTree(placeOf(files).place), 'invalid_bundle')).message).toMatch(message);
  });

  test('what is larger than a limit, by its name, before its bytes are asked for', async () => {
    const refuse = async (limits: Parameters<typeof smallLimits>[0], files: ArchiveFiles = ALL, bends: Bends = {}) => {
      const restore = smallLimits(limits);
      const { place, asked } = placeOf(files, bends);
      const { facts } = await problemOf(readGitTree(place), 'too_large');
      restore();
      return [facts.limit, asked.filter((line) => line.includes('file')).length];
    };
    expect(await refuse({ folder_entries_count: 3 })).toEqual(['folder_entries_count', 0]);
    expect(await refuse({ archive_bytes: 30 })).toEqual(['archive_bytes', 0]);
    expect(await refuse({ artifact_bytes: 5 }, one)).toEqual(['artifact_bytes', 0]);
    expect(await refuse({ path_bytes: 5 })).toEqual(['path_bytes', 0]);
    expect(await refuse({ forge_files_alone_count: 1 }, ALL, { zip: () => [] })).toEqual(['forge_files_alone_count', 2]);
  });

  test('a zip that is longer than its files need, or no zip at all', async () => {
    for (const zip of [Buffer.alloc(200_000), Buffer.from('<html>Sign in</html>')])
      await problemOf(readGitTree(placeOf(ALL, { zip: () => zip }).place), 'forge_refused');
  });

  test('a stream that breaks off, as something that passes by itself', async () => {
    const { place } = placeOf(ALL);
    const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error('ECONNRESET')) });
    await problemOf(readGitTree({ ...place, openMany: async () => broken }), 'forge_unreachable');
  });
});
