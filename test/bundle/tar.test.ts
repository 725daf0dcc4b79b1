import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { unpackTar } from 'modern-tar';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sha256 } from '../../src/bundle/chunks.ts';
import { readFolder } from '../../src/bundle/folder.ts';
import { readInline } from '../../src/bundle/inline.ts';
import type { Bundle } from '../../src/bundle/source.ts';
import { readTar, writeTar } from '../../src/bundle/tar.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { chunkDigests } from '../../src/domain/manifest.ts';
import type { ProblemSlug } from '../../src/domain/problem.ts';
import { collect, folderOf, problemOf, SEED } from './support.ts';
import { END, type EntryShape, entry, paxRecord, streamOf } from './tars.ts';

const MIB = LIMITS.chunk_bytes;
const REQUEST = Buffer.from('{"type":"deploy"}');
const request: EntryShape = { name: 'request.json', body: REQUEST };

/** Three small files, the same wherever they are. */
const small = (): Promise<Bundle> =>
  readInline(
    ['1', '2', '3'].map((name) => ({ path: `${name}.sql`, content: `select ${name};` })),
    'shop',
  );

const allOf = (bundle: Bundle) => new Set(bundle.manifest.artifacts.flatMap(chunkDigests));

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await collect(stream));
}

/** Reads a whole upload; whatever happens, the body must be neither cancelled nor locked. */
async function read(
  bundle: Bundle,
  tar: Uint8Array,
  o: { wanted?: ReadonlySet<string>; gzip?: boolean; sizes?: readonly number[]; byob?: boolean; failure?: Error } = {},
) {
  const body = streamOf(tar, o);
  try {
    const upload = await readTar(body, o.gzip ? 'gzip' : 'identity');
    expect(body.locked).toBe(false);
    const chunks = await collect(upload.chunks(bundle.manifest, o.wanted ?? allOf(bundle)));
    return { request: Buffer.from(upload.request), digests: chunks.map(({ digest }) => digest), bytes: Buffer.concat(chunks.map((chunk) => chunk.bytes)) };
  } finally {
    expect(body.cancelled).toBe(false);
    expect(body.locked).toBe(false);
  }
}

/** The entries of a bundle's artifacts, as they should be. */
async function entriesOf(bundle: Bundle): Promise<EntryShape[]> {
  return Promise.all(
    bundle.manifest.artifacts.map(async (artifact) => ({ name: artifact.digest, body: Buffer.concat(await collect(bundle.source.open(artifact))) })),
  );
}

describe('writeTar', () => {
  it('writes request.json first, then the artifacts by their SHA-256, in order, each digest once; another reader agrees', async () => {
    const bundle = await readInline(
      [...'2132'].map((name, index) => ({ path: `${index}.sql`, content: `select ${name};` })),
      'shop',
    );
    const entries = await unpackTar(await bytesOf(writeTar(REQUEST, bundle.manifest.artifacts, bundle.source)), { strict: true });
    expect(entries.map(({ header, data }) => [header.type, header.name, Buffer.from(data ?? []).toString()])).toEqual([
      ['file', 'request.json', REQUEST.toString()],
      ...[0, 1, 2].map((index) => ['file', bundle.manifest.artifacts[index]?.digest, `select ${'213'[index]};`]),
    ]);
  });

  it('writes the same bytes for the same bundle', async () => {
    const write = async () => bytesOf(writeTar(REQUEST, (await small()).manifest.artifacts, (await small()).source));
    expect((await write()).equals(await write())).toBe(true);
  });

  it('reads files only as fast as it is read, and stops reading when it is cancelled', async () => {
    const [artifact] = (await readInline([{ path: 'a.sql', content: 'x'.repeat(30 * MIB) }], 'x')).manifest.artifacts;
    if (artifact === undefined) throw new Error('no artifact');
    let asked = 0;
    let closed = false;
    async function* open() {
      try {
        for (; asked < 30; asked++) yield Buffer.alloc(MIB, 'x');
      } finally {
        closed = true;
      }
    }
    const stream = writeTar(REQUEST, [artifact], { open });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(asked).toBeLessThanOrEqual(10);
    await stream.cancel();
    await expect.poll(() => closed).toBe(true);
    expect(asked).toBeLessThanOrEqual(11);
  });

  it('fails with digest_mismatch, naming the path, when a file changed after the manifest was made', async () => {
    const folder = await folderOf({ '1.sql': 'select 1;', '2.sql': 'select 2;' });
    const { manifest, source } = await readFolder(folder);
    await writeFile(join(folder, '2.sql'), 'select 3;');
    expect((await problemOf(bytesOf(writeTar(REQUEST, manifest.artifacts, source)), 'digest_mismatch')).facts.path).toBe('2.sql');
  });

  it('refuses a request above its limit', async () => {
    const { source } = await small();
    expect((await problemOf(() => writeTar(new Uint8Array(LIMITS.request_bytes + 1), [], source), 'too_large')).facts.limit).toBe('request_bytes');
  });
});

describe('readTar', () => {
  it('gives back what writeTar wrote, however the bytes are cut, plain or through gzip, from a byte stream or another', async () => {
    const bundle = await readInline(
      [0, 1, 511, 512, 513, 3000, MIB, 2 * MIB + 7].map((size, index) => ({ path: `${index}.sql`, content: 'a;\nb'.repeat(size / 4 + 1).slice(0, size) })),
      'shop',
    );
    const plain = await bytesOf(writeTar(REQUEST, bundle.manifest.artifacts, bundle.source));
    const packed = gzipSync(plain);
    const sizes = fc.array(fc.oneof(fc.integer({ min: 200, max: 3000 }), fc.integer({ min: 100_000, max: 2_000_000 })), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.boolean(), fc.boolean(), async (parts, gzip, byob) => {
        const given = await read(bundle, gzip ? packed : plain, { sizes: parts, gzip, byob });
        // Two files begin with the same chunk: it comes once.
        expect(given.digests).toEqual([...allOf(bundle)]);
        expect(given.request.equals(REQUEST)).toBe(true);
      }),
      { seed: SEED, numRuns: 30 },
    );
  });

  it('gives the same answer for the same bytes wherever they are cut, also to what is damaged', async () => {
    const bundle = await small();
    const whole = await bytesOf(writeTar(REQUEST, bundle.manifest.artifacts, bundle.source));
    const answer = (bytes: Uint8Array, sizes: readonly number[]) =>
      read(bundle, bytes, { sizes }).then(
        ({ digests }) => digests.join(),
        (error: Error) => error.message,
      );
    await fc.assert(
      fc.asyncProperty(
        fc.nat(whole.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 2000 }),
        async (at, bits, ends, size) => {
          const bent = Buffer.from(ends ? whole.subarray(0, at) : whole);
          if (!ends) bent[at] = (bent[at] ?? 0) ^ bits;
          expect(await answer(bent, [size])).toBe(await answer(bent, [bent.length + 1]));
        },
      ),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('never lets a byte through that does not have its digest, whatever is bent', async () => {
    const bundle = await small();
    const whole = await bytesOf(writeTar(REQUEST, bundle.manifest.artifacts, bundle.source));
    const original = await read(bundle, whole);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, bits) => {
        const bent = Buffer.from(whole);
        bent[at] = (bent[at] ?? 0) ^ bits;
        const given = await read(bundle, bent).catch(() => null);
        if (given !== null) expect(given.bytes.equals(original.bytes)).toBe(true);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('yields only what is wanted, and takes an upload of just that', async () => {
    const bundle = await small();
    const [one, two, three] = bundle.manifest.artifacts.map(({ digest }) => digest) as [string, string, string];
    const whole = await bytesOf(writeTar(REQUEST, bundle.manifest.artifacts, bundle.source));
    expect((await read(bundle, whole, { wanted: new Set([three, one]) })).digests).toEqual([one, three]);
    expect((await read(bundle, whole, { wanted: new Set() })).digests).toEqual([]);
    const part = await bytesOf(writeTar(REQUEST, bundle.manifest.artifacts.slice(1), bundle.source));
    expect((await read(bundle, part, { wanted: new Set([two, three]) })).digests).toEqual([two, three]);
  });

  it('looks at nothing behind the request before it is asked to, and leaves the body to whoever drains it', async () => {
    const body = streamOf(Buffer.concat([entry(request), Buffer.alloc(100_000, 'garbage')]), { sizes: [1024] });
    const upload = await readTar(body, 'identity');
    expect(Buffer.from(upload.request)).toEqual(REQUEST);
    expect((await bytesOf(body)).length).toBe(100_000);
  });

  it('reads the body no faster than its chunks are read', async () => {
    const bundle = await readInline(
      [
        { path: 'a.sql', content: 'x'.repeat(20 * MIB - 1) },
        { path: 'b.sql', content: 'y'.repeat(20 * MIB) },
      ],
      'x',
    );
    const tar = Buffer.concat([entry(request), ...(await entriesOf(bundle)).map(entry), END]);
    for (const encoding of ['identity', 'gzip'] as const) {
      let pulled = 0;
      const bytes = encoding === 'gzip' ? gzipSync(tar, { level: 0 }) : tar;
      const body = new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            controller.enqueue(bytes.subarray(pulled, pulled + 65_536));
            pulled += 65_536;
            if (pulled >= bytes.length) controller.close();
          },
        },
        { highWaterMark: 0 },
      );
      const upload = await readTar(body, encoding);
      expect(pulled).toBeLessThan(MIB);
      const chunks = upload.chunks(bundle.manifest, allOf(bundle))[Symbol.asyncIterator]();
      await chunks.next();
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(pulled).toBeLessThan(3 * MIB);
      await chunks.return?.();
      expect(body.locked).toBe(false);
    }
  });

  it('takes what GNU tar writes, in each of its formats', async ({ skip }) => {
    const bundle = await small();
    const folder = await mkdtemp(join(tmpdir(), 'weft-tar-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const entries = [request, ...(await entriesOf(bundle))];
    for (const { name, body } of entries) await writeFile(join(folder, String(name)), body ?? '');
    for (const format of ['ustar', 'gnu', 'pax']) {
      const args = [`--format=${format}`, '-cf', '-', ...entries.map(({ name }) => String(name))];
      const { status, stdout: tar } = spawnSync('tar', args, { cwd: folder });
      if (status !== 0) skip('no GNU tar here');
      expect((await read(bundle, tar)).digests).toEqual([...allOf(bundle)]);
      expect((await read(bundle, gzipSync(tar), { gzip: true })).digests).toEqual([...allOf(bundle)]);
    }
  });
});

describe('readTar refuses', () => {
  /** What each tar is made of, from the entries of the three artifacts as they should be. */
  type Case = [string, ProblemSlug, (good: readonly EntryShape[]) => readonly (EntryShape | Buffer)[], string];
  const cases: Case[] = [
    ['an empty body', 'malformed_tar', () => [], 'it ends without the two blocks of zeros'],
    ['an empty tar', 'invalid_request', () => [END], 'The tar is empty'],
    ['a tar that does not begin with the request', 'invalid_request', ([a = {}]) => [a, request, END], 'it must begin with the signed request'],
    ['a request by another path', 'invalid_request', () => [{ ...request, name: './request.json' }, END], 'without "./"'],
    ['a request that is a link', 'forbidden_entry', () => [{ ...request, type: '2' }, END], 'is a symbolic link'],
    ['a second request', 'forbidden_entry', () => [request, request, END], 'The entry "request.json" is not named by a SHA-256'],
    ['a path that leaves the folder', 'forbidden_entry', () => [request, { name: '../../etc/passwd' }, END], '"../../etc/passwd"'],
    ['an absolute path', 'forbidden_entry', () => [request, { name: '/etc/passwd' }, END], '"/etc/passwd"'],
    ['an upper-case digest', 'forbidden_entry', ([a]) => [request, { ...a, name: String(a?.name).toUpperCase() }, END], 'lower-case hexadecimal'],
    ['a symbolic link', 'forbidden_entry', ([a]) => [request, { ...a, type: '2' }, END], 'is a symbolic link'],
    ['a hard link', 'forbidden_entry', ([a]) => [request, { ...a, type: '1' }, END], 'is a hard link'],
    ['a folder', 'forbidden_entry', () => [request, { name: 'x/', type: '5' }, END], 'is a folder'],
    ['a device', 'forbidden_entry', ([a]) => [request, { ...a, type: '3' }, END], 'is a device'],
    ['a pipe', 'forbidden_entry', ([a]) => [request, { ...a, type: '6' }, END], 'is a pipe'],
    ['a sparse file', 'forbidden_entry', ([a]) => [request, { ...a, type: 'S' }, END], 'is a sparse file'],
    ['an entry of a type nobody knows', 'forbidden_entry', ([a]) => [request, { ...a, type: 'Z' }, END], 'unknown type "Z"'],
    ['a name that goes on after a NUL', 'forbidden_entry', ([a]) => [request, { ...a, name: `${a?.name}\0/../x` }, END], 'goes on after a NUL'],
    ['a name in two parts', 'forbidden_entry', ([a]) => [request, { ...a, prefix: '../..' }, END], 'prefix field'],
    ['a GNU long name', 'forbidden_entry', ([a = {}]) => [request, { name: '././@LongLink', type: 'L', body: 'x'.repeat(200) }, a, END], 'a long name (GNU)'],
    ['a pax header that renames', 'forbidden_entry', ([a = {}]) => [request, { type: 'x', body: paxRecord('path', '../x') }, a, END], 'sets "path"'],
    ['a pax header that resizes', 'forbidden_entry', ([a = {}]) => [request, { type: 'x', body: paxRecord('size', '1') }, a, END], 'sets "size"'],
    ['a global pax header that renames', 'forbidden_entry', ([a = {}]) => [request, { type: 'g', body: paxRecord('path', 'x') }, a, END], 'sets "path"'],
    ['a damaged pax header', 'malformed_tar', ([a = {}]) => [request, { type: 'x', body: '999 mtime=1\n' }, a, END], 'not a list of records'],
    ['a huge pax header', 'malformed_tar', () => [request, { type: 'x', body: Buffer.alloc(70_000) }, END], 'tar_pax_bytes'],
    ['one pax header after the other', 'malformed_tar', () => [...Array(130).fill({ type: 'x', body: '' }), request, END], 'tar_pax_bytes'],
    [
      'the same behind the request',
      'malformed_tar',
      ([a = {}]) => [request, ...Array(70).fill({ type: 'g', body: paxRecord('comment', 'x'.repeat(500)) }), a, END],
      'tar_pax_bytes',
    ],
    ['an entry that the manifest does not name', 'artifact_unnamed', () => [request, { name: 'a'.repeat(64), body: 'x' }, END], 'no artifact of the manifest'],
    ['an entry that comes twice', 'artifact_doubled', ([a = {}]) => [request, a, a, END], 'twice'],
    ['entries out of order', 'artifact_out_of_order', ([a = {}, b = {}]) => [request, b, a, END], '"1.sql" '],
    ['a tar without a wanted artifact', 'artifact_missing', ([a = {}, , c = {}]) => [request, a, c, END], '"2.sql"'],
    ['other bytes than the digest says', 'digest_mismatch', ([a]) => [request, { ...a, body: 'select 9;' }, END], '"1.sql"'],
    [
      'more bytes than the manifest says',
      'digest_mismatch',
      ([a]) => [request, { ...a, body: 'select 1;;' }, END],
      'has 10 bytes, and the manifest announces 9',
    ],
    ['a wrong checksum', 'malformed_tar', ([a]) => [request, { ...a, spoilt: true }, END], 'checksum'],
    ['another magic', 'malformed_tar', ([a]) => [request, { ...a, magic: 'rats!\x0000' }, END], 'ustar'],
    ['a size that is no number', 'malformed_tar', ([a]) => [request, { ...a, size: '0000000009x\0' }, END], 'no octal number'],
    ['a size in base 256', 'malformed_tar', ([a]) => [request, { ...a, size: '\x80\0\0\0\0\0\0\0\0\0\0\x09' }, END], 'no octal number'],
    ['a tar without its end', 'malformed_tar', (good) => [request, ...good], 'it ends without the two blocks of zeros'],
    ['a tar with half of its end', 'malformed_tar', (good) => [request, ...good, END.subarray(512)], 'it ends after one of the two blocks'],
    ['a block of zeros in the middle', 'malformed_tar', ([a = {}]) => [request, END.subarray(512), a, END], 'stands alone'],
    ['something behind the end', 'malformed_tar', (good) => [request, ...good, END, Buffer.from('x')], 'something follows its end'],
    ['endless zeros behind the end', 'malformed_tar', (good) => [request, ...good, END, Buffer.alloc(MIB + 1)], 'tar_padding_bytes'],
    ['a tar cut inside an entry', 'malformed_tar', ([a = {}]) => [request, entry(a).subarray(0, 515)], 'it ends inside an entry'],
    ['a tar cut inside a header', 'malformed_tar', ([a = {}]) => [request, entry(a).subarray(0, 100)], 'it ends'],
    ['what is no tar', 'malformed_tar', () => [Buffer.from('{"type":"deploy"}'.repeat(100))], 'ustar header'],
  ];

  it.each(cases)('%s: %s', async (_, slug, make, words) => {
    const bundle = await small();
    const tar = Buffer.concat(make(await entriesOf(bundle)).map((part) => (part instanceof Buffer ? part : entry(part as EntryShape))));
    expect((await problemOf(read(bundle, tar), slug)).message).toContain(words);
    expect((await problemOf(read(bundle, gzipSync(tar), { gzip: true }), slug)).message).toContain(words);
    expect((await problemOf(read(bundle, tar, { sizes: [1], byob: true }), slug)).message).toContain(words);
  });

  it('a request above its limit, before reading it: too_large', async () => {
    const tar = entry({ name: 'request.json', size: `${(LIMITS.request_bytes + 1).toString(8).padStart(11, '0')}\0` });
    expect((await problemOf(read(await small(), tar), 'too_large')).facts.limit).toBe('request_bytes');
  });

  it('an artifact that is not text: not_utf8, with its path and byte', async () => {
    const bundle = await small();
    const [artifact] = bundle.manifest.artifacts;
    const body = Buffer.from('select \xe9;', 'latin1');
    const digest = await sha256(body);
    const manifest = { ...bundle.manifest, artifacts: [{ path: artifact?.path ?? '', digest, size: body.length }] };
    const tar = Buffer.concat([entry(request), entry({ name: digest, body }), END]);
    expect((await problemOf(read({ ...bundle, manifest }, tar), 'not_utf8')).facts).toEqual({ path: '1.sql', byte: 7 });
  });

  it('a manifest whose chunks and digest do not belong together: digest_mismatch', async () => {
    const bundle = await readInline([{ path: 'a.sql', content: 'x'.repeat(MIB + 1) }], 'x');
    const [artifact] = bundle.manifest.artifacts;
    const digest = 'a'.repeat(64);
    const manifest = { ...bundle.manifest, artifacts: [{ path: 'a.sql', size: MIB + 1, digest, chunks: [...(artifact?.chunks ?? [])] }] };
    const tar = Buffer.concat([entry(request), entry({ name: digest, body: 'x'.repeat(MIB + 1) }), END]);
    expect((await problemOf(read({ ...bundle, manifest }, tar), 'digest_mismatch')).message).toContain('all of them together');
  });

  it('a sender that is cut off: interrupted, and not a word about the tar', async () => {
    const bundle = await small();
    const tar = Buffer.concat([entry(request), entry({ name: 'x' }).subarray(0, 100)]);
    for (const gzip of [false, true]) {
      const failure = new TypeError('Network connection lost.');
      await problemOf(read(bundle, gzip ? gzipSync(tar).subarray(0, 60) : tar, { gzip, failure }), 'interrupted');
    }
  });

  it.each<[string, (gzip: Buffer) => Buffer]>([
    ['is none', () => Buffer.from('this is not gzip at all')],
    ['is empty', () => Buffer.alloc(0)],
    ['ends too early', (gzip) => gzip.subarray(0, gzip.length - 9)],
    ['has a wrong checksum', (gzip) => Buffer.concat([gzip.subarray(0, -8), Buffer.alloc(4), gzip.subarray(-4)])],
    ['has something behind it', (gzip) => Buffer.concat([gzip, Buffer.from('x')])],
    ['has a second member', (gzip) => Buffer.concat([gzip, gzipSync('x')])],
    ['is damaged in the middle', (gzip) => Buffer.concat([gzip.subarray(0, 40), Buffer.alloc(40, 0xff), gzip.subarray(80)])],
  ])('gzip that %s: malformed_gzip', async (_, spoil) => {
    const bundle = await small();
    const tar = await bytesOf(writeTar(REQUEST, bundle.manifest.artifacts, bundle.source));
    await problemOf(read(bundle, spoil(gzipSync(tar)), { gzip: true }), 'malformed_gzip');
    await problemOf(read(bundle, spoil(gzipSync(tar)), { gzip: true, sizes: [1] }), 'malformed_gzip');
  });
});
