/** The same room in workerd: what Node writes is read there, plain and through gzip, at the reader's pace, and refused alike. */
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readInline } from '../../src/bundle/inline.ts';
import type { Bundle } from '../../src/bundle/source.ts';
import { writeTar } from '../../src/bundle/tar.ts';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { chunkDigests } from '../../src/domain/manifest.ts';
import { collect } from './support.ts';
import { END, entry } from './tars.ts';

const MIB = LIMITS.chunk_bytes;

let worker: LocalWorker;
beforeAll(async () => {
  worker = await startWorker({ entry: fileURLToPath(new URL('workerd_entry.ts', import.meta.url)), config: {}, secrets: {} });
});
afterAll(() => worker.stop());

async function tarOf({ manifest, source }: Bundle): Promise<Buffer> {
  return Buffer.concat(await collect(writeTar(Buffer.from(JSON.stringify(manifest)), manifest.artifacts, source)));
}

async function post(path: string, body: Buffer) {
  return (await (await worker.fetch(path, { method: 'POST', body: new Uint8Array(body) })).json()) as Record<string, unknown>;
}

const sizes = [0, 1, 512, 3000, MIB, 3 * MIB + 7];
const files = sizes.map((size, index) => ({ path: `${index}.sql`, content: `${index}`.repeat(size) }));

describe('in workerd', () => {
  it('a tar is read, plain and through gzip', async () => {
    const bundle = await readInline(files, 'shop');
    const tar = await tarOf(bundle);
    const digests = [...new Set(bundle.manifest.artifacts.flatMap(chunkDigests))];
    expect((await post('/identity', tar)).digests).toEqual(digests);
    expect((await post('/gzip', gzipSync(tar))).digests).toEqual(digests);
    expect((await post('/gzip', gzipSync(tar, { level: 0 }))).digests).toEqual(digests);
  });

  it('inline files make the manifest that they make in Node', async () => {
    const all = [...files, { path: 'weft.yaml', content: 'name: x\nphases: [{name: m, steps: [{run: "*.sql"}]}]' }];
    expect(await post('/inline', Buffer.from(JSON.stringify(all)))).toEqual((await readInline(all, 'shop')).manifest);
  });

  it('a gzip that expands a thousandfold is expanded only as fast as it is read', async () => {
    const tar = gzipSync(await tarOf(await readInline([{ path: 'a.sql', content: 'a'.repeat(96 * MIB) }], 'shop')), { level: 9 });
    const { fedBytes, fedBytesAtFirst, digests } = await post('/gzip', tar);
    expect(digests).toHaveLength(1);
    expect(fedBytes).toBe(tar.length);
    expect(fedBytesAtFirst).toBeLessThanOrEqual(2 * 16 * 1024);
  });

  it('refusals are those of Node, and leave the body unlocked and uncancelled, to be drained', async () => {
    const good = await tarOf(await readInline(files, 'shop'));
    const link = entry({ name: 'a'.repeat(64), type: '2' });
    const request = entry({ name: 'request.json', body: JSON.stringify((await readInline(files, 'shop')).manifest) });
    const rest = Buffer.alloc(3 * MIB, 'x');
    expect(await post('/identity', Buffer.concat([request, link, rest]))).toMatchObject({ slug: 'forbidden_entry', locked: false });
    expect(await post('/identity', Buffer.concat([link, rest]))).toMatchObject({ slug: 'forbidden_entry', locked: false });
    expect(await post('/gzip', gzipSync(Buffer.concat([request, link, rest]), { level: 0 }))).toMatchObject({ slug: 'forbidden_entry', locked: false });
    expect(await post('/gzip', good)).toMatchObject({ slug: 'malformed_gzip', locked: false });
    expect(await post('/gzip', gzipSync(good).subarray(0, -4))).toMatchObject({ slug: 'malformed_gzip', locked: false });
    expect(await post('/gzip', Buffer.concat([gzipSync(good), Buffer.from('x')]))).toMatchObject({ slug: 'malformed_gzip', locked: false });
    expect(await post('/identity', Buffer.concat([request, END.subarray(512)]))).toMatchObject({ slug: 'malformed_tar', locked: false });
    expect(await post('/identity', Buffer.concat([request, END]))).toMatchObject({ slug: 'artifact_missing', locked: false });
  });
});
