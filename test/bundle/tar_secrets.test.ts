/** `secrets.json`, right behind the request of a tar: read only when it is asked for, and nowhere else. */
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readInline } from '../../src/bundle/inline.ts';
import { readTar, writeTar } from '../../src/bundle/tar.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { chunkDigests } from '../../src/domain/manifest.ts';
import { collect, problemOf } from './support.ts';
import { END, type EntryShape, entry, streamOf } from './tars.ts';

const REQUEST = Buffer.from('{"type":"deploy"}');
const SECRETS = Buffer.from('{"token":"it’s"}');
const small = () => readInline([{ path: '1.sql', content: 'select 1;' }], 'shop');

const tarOf = (entries: readonly EntryShape[]) => Buffer.concat([...entries.map(entry), END]);
const request = { name: 'request.json', body: REQUEST };
const secrets = { name: 'secrets.json', body: SECRETS };

describe.each([false, true])('a tar, gzip: %s', (gzip) => {
  const open = (tar: Uint8Array) => readTar(streamOf(gzip ? gzipSync(tar) : tar), gzip ? 'gzip' : 'identity');

  it.each([null, SECRETS])('is read as it was written, secrets: %s', async (beside) => {
    const { manifest, source } = await small();
    const tar = Buffer.concat(await collect(writeTar(REQUEST, manifest.artifacts, source, beside)));
    const upload = await open(tar);
    expect(Buffer.from(upload.request)).toEqual(REQUEST);
    const read = await upload.secrets();
    expect(read === null ? null : Buffer.from(read)).toEqual(beside);
    const chunks = await collect(upload.chunks(manifest, new Set(manifest.artifacts.flatMap(chunkDigests))));
    expect(chunks.map(({ digest }) => digest)).toEqual(manifest.artifacts.map(({ digest }) => digest));
  });

  it('with nothing behind the request has none', async () => {
    const upload = await open(tarOf([request]));
    expect(await upload.secrets()).toBeNull();
    expect(await collect(upload.chunks((await small()).manifest, new Set()))).toEqual([]);
  });

  it('has them once, and not behind an artifact', async () => {
    const { manifest, source } = await small();
    const [artifact] = manifest.artifacts;
    if (artifact === undefined) throw new Error('there is one');
    const file = { name: artifact.digest, body: Buffer.concat(await collect(source.open(artifact))) };
    for (const entries of [
      [request, secrets, secrets],
      [request, file, secrets],
    ]) {
      const upload = await open(tarOf(entries));
      await upload.secrets();
      await problemOf(() => collect(upload.chunks(manifest, new Set())), 'forbidden_entry');
    }
  });

  it('that is too large is refused before it is read', async () => {
    const upload = await open(tarOf([request, { name: 'secrets.json', body: Buffer.alloc(LIMITS.secrets_bytes + 1, 0x20) }]));
    expect((await problemOf(() => upload.secrets(), 'too_large')).facts.limit).toBe('secrets_bytes');
    const { manifest, source } = await small();
    expect(() => writeTar(REQUEST, manifest.artifacts, source, new Uint8Array(LIMITS.secrets_bytes + 1))).toThrow(
      expect.objectContaining({ slug: 'too_large' }),
    );
  });
});
