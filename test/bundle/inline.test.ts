import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/bundle/chunks.ts';
import { readFolder } from '../../src/bundle/folder.ts';
import { readInline } from '../../src/bundle/inline.ts';
import { wantedChunks } from '../../src/bundle/source.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { chunkDigests } from '../../src/domain/manifest.ts';
import { collect, folderOf, problemOf } from './support.ts';

describe('readInline', () => {
  it('makes the same manifest as a folder with these files', async () => {
    const files = { 'b/1.sql': 'select 1;', 'a.sql': 'select ‘ü’;', 'weft.yaml': 'name: x\nphases: [{name: m, steps: [{run: "**/*.sql"}]}]' };
    const inline = await readInline(
      Object.entries(files).map(([path, content]) => ({ path, content })),
      'unused',
    );
    expect(inline.manifest).toEqual((await readFolder(await folderOf(files))).manifest);
  });

  it('takes base64 beside text, and gives the bytes back as they were', async () => {
    const bytes = Buffer.from('\ufeffselect 1;\r\n');
    const bundle = await readInline([{ path: 'a.sql', base64: bytes.toString('base64') }], 'x');
    const chunks = await collect(wantedChunks(bundle, new Set(bundle.manifest.artifacts.flatMap(chunkDigests))));
    expect(chunks.map((chunk) => Buffer.from(chunk.bytes))).toEqual([bytes]);
    expect(bundle.manifest.artifacts).toEqual([{ path: 'a.sql', digest: await sha256(bytes), size: bytes.length }]);
  });

  it('describes a large file by its chunks', async () => {
    const content = 'x'.repeat(2 * LIMITS.chunk_bytes + 1);
    const [artifact] = (await readInline([{ path: 'a.sql', content }], 'x')).manifest.artifacts;
    expect(artifact?.chunks).toEqual([
      await sha256(Buffer.alloc(LIMITS.chunk_bytes, 'x')),
      await sha256(Buffer.alloc(LIMITS.chunk_bytes, 'x')),
      await sha256(Buffer.from('x')),
    ]);
    expect(artifact?.digest).toBe(await sha256(Buffer.from(content)));
  });

  it('refuses a path that stands there twice', async () => {
    const twice = [
      { path: 'a.sql', content: 'select 1' },
      { path: 'a.sql', content: 'select 2' },
    ];
    expect((await problemOf(readInline(twice, 'x'), 'invalid_bundle')).message).toContain('"a.sql" stands twice');
  });

  it.each(['../a.sql', '/a.sql', 'a//b.sql', './a.sql', 'a\\b.sql', 'a\nb.sql', '', 'a\ud800.sql'])('refuses the path %j', async (path) => {
    await problemOf(readInline([{ path, content: '' }], 'x'), 'invalid_bundle');
  });

  it('refuses a path above its limit, and names the limit', async () => {
    expect((await problemOf(readInline([{ path: 'ü'.repeat(600), content: '' }], 'x'), 'too_large')).facts.limit).toBe('path_bytes');
  });

  it('refuses what is not text, and names the path and the byte', async () => {
    const latin1 = { path: 'a.sql', base64: Buffer.from('select \xe9', 'latin1').toString('base64') };
    expect((await problemOf(readInline([latin1], 'x'), 'not_utf8')).facts).toEqual({ path: 'a.sql', byte: 7 });
    expect((await problemOf(readInline([{ path: 'a.sql', content: 'é\0' }], 'x'), 'not_utf8')).facts).toEqual({ path: 'a.sql', byte: 2 });
    expect((await problemOf(readInline([{ path: 'a.sql', content: 'é🧵\udc00' }], 'x'), 'not_utf8')).facts).toEqual({ path: 'a.sql', byte: 6 });
  });
});
