import { execFileSync } from 'node:child_process';
import { appendFile, mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/bundle/chunks.ts';
import { readFolder } from '../../src/bundle/folder.ts';
import { wantedChunks } from '../../src/bundle/source.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { type Artifact, chunkDigests, manifestSchema } from '../../src/domain/manifest.ts';
import { collect, folderOf, problemOf } from './support.ts';

const MIB = LIMITS.chunk_bytes;
const digestsOf = (artifacts: readonly Artifact[]) => new Set(artifacts.flatMap(chunkDigests));

describe('readFolder', () => {
  it('reads a plain folder, named after it', async () => {
    const folder = await folderOf(
      { '2.sql': 'select 2;', '1.sql': 'select 1;', 'deep/3.sql': 'select 3;', '.env': 'SECRET', 'node_modules/x.sql': 'no' },
      'my shop',
    );
    const { manifest, warnings } = await readFolder(folder);
    expect(manifestSchema.parse(manifest)).toEqual(manifest);
    expect(manifest).toEqual({
      format: 1,
      bundle: 'my-shop',
      artifacts: await Promise.all(
        ['1.sql', '2.sql', 'deep/3.sql'].map(async (path, index) => ({ path, digest: await sha256(Buffer.from(`select ${index + 1};`)), size: 9 })),
      ),
      phases: [
        {
          name: 'main',
          transaction: 'auto',
          steps: ['1.sql', '2.sql', 'deep/3.sql'].map((path) => ({ kind: 'run', path })),
        },
      ],
    });
    expect(warnings).toEqual([]);
  });

  it('reads a folder through its weft.yaml', async () => {
    const folder = await folderOf({
      'weft.yaml': 'name: shop\nphases: [{name: m, transaction: single, steps: [{run: s/*.sql}]}]',
      's/1.sql': '',
      'other.csv': '',
    });
    const { manifest, warnings } = await readFolder(folder);
    expect(manifest.bundle).toBe('shop');
    expect(manifest.phases[0]?.steps).toEqual([{ kind: 'run', path: 's/1.sql' }]);
    expect(warnings).toEqual(['"s/1.sql" is empty.', 'No step runs "other.csv".']);
  });

  it('follows a link to the folder itself', async () => {
    const folder = await folderOf({ '1.sql': 'select 1;' }, 'real');
    await symlink(folder, `${folder}-link`);
    expect((await readFolder(`${folder}-link`)).manifest.bundle).toBe('real');
  });

  it('cuts a large file into chunks, also where a character is cut in two', async () => {
    const text = Buffer.concat([Buffer.alloc(MIB - 1, 'a'), Buffer.from('é'), Buffer.alloc(MIB, 'b')]);
    const bundle = await readFolder(await folderOf({ '1.sql': text }));
    const [artifact] = bundle.manifest.artifacts;
    expect(artifact).toMatchObject({ size: text.length, digest: await sha256(text) });
    expect(artifact?.chunks).toHaveLength(3);
    const chunks = await collect(wantedChunks(bundle, digestsOf(bundle.manifest.artifacts)));
    expect(Buffer.concat(chunks.map((chunk) => chunk.bytes)).equals(text)).toBe(true);
  });

  it('reads a file of 90 MiB without ever holding it', async () => {
    const folder = await folderOf({ '1.sql': '' });
    for (let part = 0; part < 90; part++) await appendFile(join(folder, '1.sql'), Buffer.alloc(MIB, 0x61 + (part % 26)));
    const code = `
      import { readFolder } from ${JSON.stringify(new URL('../../src/bundle/folder.ts', import.meta.url).href)};
      import { wantedChunks } from ${JSON.stringify(new URL('../../src/bundle/source.ts', import.meta.url).href)};
      let most = 0, count = 0;
      const look = () => { globalThis.gc(); most = Math.max(most, process.memoryUsage().arrayBuffers); };
      const bundle = await readFolder(${JSON.stringify(folder)});
      look();
      const wanted = new Set(bundle.manifest.artifacts[0].chunks);
      for await (const chunk of wantedChunks(bundle, wanted)) { count += chunk.bytes.length; look(); }
      console.log(JSON.stringify({ most, count, wanted: wanted.size }));`;
    // What the collector has found dead is freed by a thread of its own, at leisure, and counted until then; not so with this flag.
    const flags = ['--expose-gc', '--no-concurrent-array-buffer-sweeping'];
    const printed = execFileSync(process.execPath, [...flags, '--input-type=module', '-e', code], { encoding: 'utf8' });
    const { most, count, wanted } = JSON.parse(printed);
    expect({ count, wanted }).toEqual({ count: 26 * MIB, wanted: 26 });
    expect(most).toBeLessThan(4 * MIB);
  });

  it.each<[string, Record<string, string | Uint8Array>, string]>([
    ['an empty folder', {}, 'The bundle is empty'],
    ['a bundle file by another name', { 'weft.yml': 'name: x', 'a.sql': '' }, 'rename "weft.yml"'],
    ['a name with a backslash', { 'a\\b.sql': '' }, 'A bundle cannot hold a file called "a\\\\b.sql"'],
    ['a name with a line feed', { 'a\nb.sql': '' }, 'A bundle cannot hold a file called "a\\nb.sql"'],
  ])('refuses %s', async (_, files, words) => {
    expect((await problemOf(readFolder(await folderOf(files)), 'invalid_bundle')).message).toContain(words);
  });

  it('refuses a folder that is not there, and one that is a file', async () => {
    const folder = await folderOf({ 'a.sql': '' });
    expect((await problemOf(readFolder(join(folder, 'no')), 'invalid_bundle')).message).toContain('There is no folder');
    expect((await problemOf(readFolder(join(folder, 'a.sql')), 'invalid_bundle')).message).toContain('is not a folder');
  });

  it('refuses links by their name, and never follows them', async () => {
    const outside = await folderOf({ 'secret.sql': 'select 1' }, 'outside');
    for (const [target, name] of [
      [join(outside, 'secret.sql'), 'link.sql'],
      [outside, 'folder'],
      ['/nowhere', 'dangling.sql'],
    ] as const) {
      const folder = await folderOf({ 'a.sql': '' });
      await symlink(target, join(folder, name));
      const problem = await problemOf(readFolder(folder), 'invalid_bundle');
      expect(problem.message).toContain(`"${name}" is a link`);
    }
  });

  it('refuses a pipe by its name, and does not wait for it', async () => {
    const folder = await folderOf({ 'a.sql': '' });
    execFileSync('mkfifo', [join(folder, 'b.sql')]);
    expect((await problemOf(readFolder(folder), 'invalid_bundle')).message).toContain('"b.sql" is a pipe');
  });

  it('refuses a name that is not UTF-8', async () => {
    const folder = await folderOf({ 'sub/a.sql': '' });
    await writeFile(Buffer.concat([Buffer.from(`${folder}/sub/`), Buffer.from([0xe9]), Buffer.from('.sql')]), '');
    expect((await problemOf(readFolder(folder), 'invalid_bundle')).message).toBe(
      'The name of a file in "sub" is not UTF-8 (read as Latin-1 it is "é.sql"). Rename it.',
    );
  });

  it('refuses a file that is not UTF-8 or holds NUL, and names the path and the byte', async () => {
    const far = Buffer.alloc(MIB + 100, 'a');
    far[MIB + 7] = 0;
    expect((await problemOf(readFolder(await folderOf({ 'd/1.sql': far })), 'not_utf8')).facts).toEqual({ path: 'd/1.sql', byte: MIB + 7 });
    const cut = Buffer.concat([Buffer.alloc(MIB - 1, 'a'), Buffer.from([0xe7])]);
    expect((await problemOf(readFolder(await folderOf({ '1.sql': cut })), 'not_utf8')).facts).toEqual({ path: '1.sql', byte: MIB - 1 });
  });

  it('refuses what is above a limit, and names the limit', async () => {
    const large = await folderOf({ '1.sql': 'select 1;' });
    await truncate(join(large, '1.sql'), LIMITS.artifact_bytes + 1);
    expect((await problemOf(readFolder(large), 'too_large')).facts).toEqual({ path: '1.sql', limit: 'artifact_bytes' });
    const yaml = await folderOf({ 'a.sql': '', 'weft.yaml': '#'.repeat(LIMITS.bundle_file_bytes + 1) });
    expect((await problemOf(readFolder(yaml), 'too_large')).facts.limit).toBe('bundle_file_bytes');
  });
});

describe('wantedChunks', () => {
  it('gives each wanted chunk once, in the order of the manifest, and nothing else', async () => {
    const same = 'select 1;';
    const bundle = await readFolder(await folderOf({ '1.sql': same, '2.sql': 'select 2;', '3.sql': same, '4.sql': 'select 4;' }));
    const [one, two, , four] = bundle.manifest.artifacts.map(({ digest }) => digest);
    const given = async (...wanted: (string | undefined)[]) => (await collect(wantedChunks(bundle, new Set(wanted.map(String))))).map(({ digest }) => digest);
    expect(await given(four, one)).toEqual([one, four]);
    expect(await given(one, two, four)).toEqual([one, two, four]);
    expect(await given()).toEqual([]);
    expect(await given('0'.repeat(64))).toEqual([]);
  });

  it.each<[string, (folder: string) => Promise<unknown>, string?]>([
    ['has other bytes', (folder) => writeFile(join(folder, '2.sql'), 'select 3;')],
    ['is shorter', (folder) => truncate(join(folder, '2.sql'), MIB), 'it ends after 1 of 2 chunks'],
    ['is longer', (folder) => appendFile(join(folder, '2.sql'), 'x')],
    ['is gone', (folder) => rm(join(folder, '2.sql'))],
    [
      'has become a link',
      async (folder) => {
        await rename(join(folder, '2.sql'), join(folder, '.2.sql'));
        await symlink(join(folder, '.2.sql'), join(folder, '2.sql'));
      },
    ],
    [
      'has become a folder',
      async (folder) => {
        await rm(join(folder, '2.sql'));
        await mkdir(join(folder, '2.sql'));
      },
    ],
  ])('fails with digest_mismatch, naming the path, when a file %s', async (_, change, words = 'after the manifest was made') => {
    const folder = await folderOf({ '1.sql': 'select 1;', '2.sql': Buffer.alloc(2 * MIB, 'x') });
    const bundle = await readFolder(folder);
    await change(folder);
    const problem = await problemOf(collect(wantedChunks(bundle, digestsOf(bundle.manifest.artifacts))), 'digest_mismatch');
    expect(problem.facts.path).toBe('2.sql');
    expect(problem.message).toContain(words);
  });
});
