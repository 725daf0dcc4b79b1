/** A folder in the archive of a repository: the same manifest as the folder itself, whatever lies beside it; and what is refused. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type ArchivePlace, readArchive } from '../../src/bundle/archive.ts';
import { readFolder } from '../../src/bundle/folder.ts';
import { makeArchive } from '../support/github.ts';
import { collect, folderOf, problemOf, smallLimits } from './support.ts';
import { END, entry, paxRecord, streamOf } from './tars.ts';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';

/** @returns a place, and how often its archive was opened */
function placeOf(bytes: Uint8Array, folder = 'db/shop', options: Parameters<typeof streamOf>[1] = {}) {
  const streams: ReturnType<typeof streamOf>[] = [];
  const place: ArchivePlace = {
    open: async () => {
      const stream = streamOf(bytes, options);
      streams.push(stream);
      return stream;
    },
    folder,
    repositoryName: 'shop-repository',
    commit: COMMIT,
  };
  return { place, streams };
}

const archiveOf = (files: Parameters<typeof makeArchive>[2]) => makeArchive('octo/shop', COMMIT, files);
const tarOf = (...entries: Buffer[]) => gzipSync(Buffer.concat([...entries, END]));

/** That no gzip makes small. */
const noise = (bytes: number) =>
  new Uint8Array(Array.from({ length: bytes / 32 }, (_, index) => [...createHash('sha256').update(String(index)).digest()]).flat());
const NOISE = noise(12_800);

const LONG = `${'long-'.repeat(18)}/${'name-'.repeat(18)}.sql`;
const FILES = {
  'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: "**/*.sql" }] }]\n',
  '001_a.sql': 'select 1;\n',
  'deep/é — 002.sql': 'select 2;\n',
  [LONG]: 'select 3;\n',
  'notes.md': 'of no step',
  '.hidden/x.sql': 'select hidden;',
  'node_modules/x.sql': 'select npm;',
};
const under = (folder: string, files: Record<string, string | Uint8Array>) =>
  Object.fromEntries(Object.entries(files).map(([path, content]) => [`${folder}/${path}`, content]));

test('a repository of 34 MiB is never held: neither what lies beside the folder, nor a large bundle in it', () => {
  const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const code = `
    import { Readable } from 'node:stream';
    import { createGzip } from 'node:zlib';
    import { readArchive } from ${url('../../src/bundle/archive.ts')};
    import { END, entry } from ${url('./tars.ts')};
    const MIB = 1024 * 1024;
    let most = 0, begun = 0;
    const look = () => { globalThis.gc(); most = Math.max(most, process.memoryUsage().arrayBuffers - begun); };
    const large = (name, mib, byte) => [entry({ name, size: (mib * MIB).toString(8).padStart(11, '0') + '\\0' }), mib, byte];
    async function* tar() {
      yield entry({ name: 'shop/db/shop/001.sql', body: 'select 1;' });
      for (const [head, mib, byte] of [large('shop/video.bin', 24, 1), large('shop/db/shop/002.sql', 10, 0x61)]) {
        yield head;
        for (let part = 0; part < mib; part++) { if (part % 4 === 0) look(); yield Buffer.alloc(MIB, byte + (part % 20)); }
      }
      yield END;
    }
    const place = { folder: 'db/shop', repositoryName: 'shop', commit: ${JSON.stringify(COMMIT)}, open: async () => Readable.toWeb(Readable.from(tar()).pipe(createGzip({ level: 1 }))) };
    begun = process.memoryUsage().arrayBuffers;
    const { manifest, chunks } = await readArchive(place);
    let bytes = 0;
    for await (const chunk of chunks(new Set(manifest.artifacts.flatMap(({ digest, chunks }) => chunks ?? [digest])))) { bytes += chunk.bytes.length; look(); }
    console.log(JSON.stringify({ most, bytes }));`;
  const flags = ['--expose-gc', '--no-concurrent-array-buffer-sweeping'];
  const { most, bytes } = JSON.parse(execFileSync(process.execPath, [...flags, '--input-type=module', '-e', code], { encoding: 'utf8' }));
  expect(bytes).toBe(10 * 1024 * 1024 + 9);
  expect(most).toBeLessThan(6 * 1024 * 1024);
}, 60_000);

describe('the manifest', () => {
  test('is that of the folder itself, with its bytes, whatever lies beside it', async () => {
    const folder = await readFolder(await folderOf(FILES, 'shop'));
    const beside = {
      'README.md': '# x',
      'db/shop2/001.sql': 'select 9;',
      'db/other.sql': 'select 8;',
      'bin/tool': new Uint8Array(3000),
      link: { link: '/etc/passwd' },
    };
    for (const options of [{}, { sizes: [1, 7, 511] }, { byob: true }]) {
      const { place } = placeOf(archiveOf({ ...beside, ...under('db/shop', FILES) }), 'db/shop', options);
      const bundle = await readArchive(place);
      expect(bundle.manifest).toEqual(folder.manifest);
      const [first] = bundle.manifest.artifacts;
      const chunks = await collect(bundle.chunks(new Set([first?.digest ?? ''])));
      expect(chunks.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['select 1;\n']);
    }
  });

  test('of the root, and of a folder without weft.yaml, has the name that "weft deploy" would give it', async () => {
    const { place } = placeOf(archiveOf({ 'db/shop/1.sql': 'select 1;' }));
    expect((await readArchive(place)).manifest.bundle).toBe('shop');
    const { place: root } = placeOf(archiveOf({ '1.sql': 'select 1;', 'x/2.sql': 'select 2;' }), '');
    expect((await readArchive(root)).manifest).toMatchObject({ bundle: 'shop-repository', artifacts: [{ path: '1.sql' }, { path: 'x/2.sql' }] });
  });

  test('is that of what git packs', async ({ skip }) => {
    const files = { ...under('db/shop', FILES), 'a/b.txt': 'beside', [`${'very-'.repeat(30)}/${'deep-'.repeat(30)}/x.txt`]: 'beside' };
    const home = await folderOf({});
    const git = (...words: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...words], { cwd: home, stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1e8 });
    try {
      git('init', '-q');
    } catch {
      return skip('there is no git');
    }
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(home, path)), { recursive: true });
      writeFileSync(join(home, path), content);
    }
    symlinkSync('/etc/passwd', join(home, 'link'));
    git('add', '-A', '-f');
    git('commit', '-q', '-m', 'x');
    const commit = git('rev-parse', 'HEAD').toString().trim();
    const packed = git('archive', '--format=tar.gz', '--prefix=octo-shop-0123456/', 'HEAD');
    const { place } = placeOf(packed);
    const bundle = await readArchive({ ...place, commit });
    expect(bundle.manifest).toEqual((await readFolder(join(home, 'db/shop'))).manifest);
    await problemOf(readArchive({ ...place, commit: COMMIT }), 'malformed_tar');
  });
});

describe('the bytes', () => {
  test('of a small bundle are held, those of a larger one are fetched again, and proved again', async () => {
    smallLimits({ archive_held_bytes: 20 });
    // Far more than a decompressor takes at once: nobody who stops at the first chunk has come to its end by then.
    const files = { 'db/shop/1.sql': 'select 1;', 'db/shop/2.sql': 'select 2, 2;', 'z.bin': noise(512 * 1024) };
    const { place, streams } = placeOf(archiveOf(files), 'db/shop', { sizes: [512] });
    const bundle = await readArchive(place);
    expect(streams).toHaveLength(1);
    const all = new Set(bundle.manifest.artifacts.map(({ digest }) => digest));
    for (const times of [2, 3]) {
      const chunks = await collect(bundle.chunks(all));
      expect(chunks.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['select 1;', 'select 2, 2;']);
      expect(streams).toHaveLength(times);
    }
    for await (const _ of bundle.chunks(all)) break;
    expect(streams.at(-1)?.cancelled).toBe(true); // whoever stops reading gives the connection up
    const changed = placeOf(archiveOf({ 'db/shop/1.sql': 'select 1;', 'db/shop/2.sql': 'select 3, 3;' }));
    const inTurns = (...places: ArchivePlace[]) => ({ ...place, open: () => (places.shift() ?? place).open() });
    const other = await readArchive(inTurns(place, changed.place));
    await problemOf(collect(other.chunks(all)), 'digest_mismatch');
    const gone = placeOf(archiveOf({ 'db/shop/1.sql': 'select 1;' }));
    const third = await readArchive(inTurns(place, gone.place));
    await problemOf(collect(third.chunks(all)), 'artifact_missing');
  });

  test('that are no text are refused where a step runs them, and passed over where none does', async () => {
    const yaml = 'name: shop\nphases: [{ name: main, steps: [{ run: "1.sql" }] }]\n';
    const bad = new Uint8Array([0x66, 0xff, 0x66]);
    await readArchive(placeOf(archiveOf(under('db/shop', { 'weft.yaml': yaml, '1.sql': 'select 1;', 'x.png': bad }))).place);
    const problem = await problemOf(readArchive(placeOf(archiveOf(under('db/shop', { '1.sql': bad }))).place), 'not_utf8');
    expect(problem.facts).toMatchObject({ path: '1.sql', byte: 1 });
  });
});

describe('what is refused', () => {
  const top = (name: string, shape: Parameters<typeof entry>[0] = {}) => entry({ body: 'select 1;', ...shape, name: `top/${name}` });

  test.each([
    ['a link in the folder', [entry({ name: 'top/db/shop/x.sql', type: '2' })], 'invalid_bundle', 'a symbolic link'],
    ['a hard link in the folder', [entry({ name: 'top/db/shop/x.sql', type: '1' })], 'invalid_bundle', 'a hard link'],
    ['a device in the folder', [entry({ name: 'top/db/shop/x.sql', type: '3' })], 'invalid_bundle', 'a device'],
    ['the folder as a link', [entry({ name: 'top/db/shop', type: '2' })], 'invalid_bundle', 'is a symbolic link'],
    ['a folder above it as a link', [entry({ name: 'top/db', type: '2' })], 'invalid_bundle', '"db" in the repository is a symbolic link'],
    ['the folder as a file', [top('db/shop')], 'invalid_bundle', 'is a file'],
    ['no such folder', [top('db/shopping/1.sql')], 'invalid_bundle', 'There is no folder "db/shop"'],
    ['a way out of the folder', [top('db/shop/../../x.sql')], 'malformed_tar', 'not a plain one'],
    ['a control character in a name', [top('db/shop/a\u0001.sql')], 'invalid_bundle', 'cannot hold'],
    ['a name that is not UTF-8', [entry({ name: Buffer.from('top/db/shop/\xff.sql', 'latin1'), body: 'x' })], 'invalid_bundle', 'not UTF-8'],
    ['a file twice', [top('db/shop/1.sql'), top('db/shop/1.sql')], 'malformed_tar', 'twice'],
    ['two folders at the top', [top('db/shop/1.sql'), entry({ name: 'other/db/shop/2.sql' })], 'malformed_tar', 'one folder at its top'],
    ['an absolute path', [entry({ name: '/db/shop/1.sql' })], 'malformed_tar', 'one folder at its top'],
    ['a path that begins with ".."', [entry({ name: '../db/shop/1.sql' })], 'malformed_tar', 'one folder at its top'],
    ['a folder with a body', [entry({ name: 'top/db/', type: '5', body: 'x' })], 'malformed_tar', 'has a body'],
    ['a path for all entries', [entry({ type: 'g', body: paxRecord('path', 'top/db/shop/x.sql') }), top('a')], 'malformed_tar', '"path"'],
    ['a sparse file', [entry({ type: 'x', body: paxRecord('GNU.sparse.major', '1') }), top('db/shop/1.sql')], 'malformed_tar', 'GNU.sparse'],
    ['a long name of GNU', [entry({ name: '././@LongLink', type: 'L', body: 'x' })], 'malformed_tar', 'has a body'],
    ['a spoilt checksum', [top('db/shop/1.sql', { spoilt: true })], 'malformed_tar', 'checksum'],
    ['a size that is none', [top('db/shop/1.sql', { size: 'abcdefghijkl' })], 'malformed_tar', 'size'],
    ['a weft.yml', [top('db/shop/weft.yml')], 'invalid_bundle', 'rename'],
  ] as const)('%s', async (_name, entries, slug, words) => {
    const problem = await problemOf(readArchive(placeOf(tarOf(...entries)).place), slug);
    expect(problem.message).toContain(words);
  });

  test('what is cut off, is no gzip, or goes on behind its end', async () => {
    const whole = archiveOf({ 'db/shop/1.sql': 'select 1;', 'noise.bin': NOISE });
    await problemOf(readArchive(placeOf(whole.subarray(0, whole.length - 9)).place), 'malformed_gzip');
    await problemOf(readArchive(placeOf(Buffer.from('<html>')).place), 'malformed_gzip');
    await problemOf(readArchive(placeOf(gzipSync(Buffer.concat([entry({ name: 'top/db/shop/1.sql', body: 'x' })]))).place), 'malformed_tar');
    const { place, streams } = placeOf(whole.subarray(0, 40), 'db/shop', { failure: new Error('reset') });
    await problemOf(readArchive(place), 'forge_unreachable');
    expect(streams).toHaveLength(1);
  });

  test('more of anything than its limit, by the name of the limit', async () => {
    const zeros = archiveOf({ 'big.bin': new Uint8Array(3_000_000), 'db/shop/1.sql': 'select 1;' });
    const small = archiveOf({ 'db/shop/1.sql': 'select 1;', 'db/shop/2.sql': 'select 2;', 'a.txt': 'x' });
    const yaml = archiveOf({ 'db/shop/weft.yaml': `# ${'x'.repeat(200)}`, 'db/shop/1.sql': 'select 1;' });
    for (const [bytes, limits] of [
      [zeros, { archive_bytes: 2_000_000 }],
      [zeros, { archive_ratio_bytes: 1_000_000 }],
      [small, { archive_entries_count: 4 }],
      [small, { folder_entries_count: 1 }],
      [small, { artifact_bytes: 5 }],
      [yaml, { bundle_file_bytes: 100 }],
    ] as const) {
      const restore = smallLimits(limits);
      const problem = await problemOf(readArchive(placeOf(bytes).place), 'too_large');
      expect(problem.message).toContain(Object.keys(limits)[0] === 'archive_ratio_bytes' ? 'archive_ratio_max' : Object.keys(limits)[0]);
      restore();
    }
  });
});
