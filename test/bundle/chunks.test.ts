import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutChunks, sha256 } from '../../src/bundle/chunks.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { collect, cut, SEED } from './support.ts';

const MIB = LIMITS.chunk_bytes;

/** Bytes that differ everywhere, so that a piece in the wrong place shows. */
function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 17 + (index >> 16)) & 0xff);
}

describe('cutChunks', () => {
  it.each([
    ['an empty stream', 0, [0]],
    ['one byte', 1, [1]],
    ['a byte less than a chunk', MIB - 1, [MIB - 1]],
    ['exactly a chunk', MIB, [MIB]],
    ['a byte more than a chunk', MIB + 1, [MIB, 1]],
    ['two and a half chunks', 2.5 * MIB, [MIB, MIB, MIB / 2]],
  ])('cuts %s into chunks of chunk_bytes, the last one shorter', async (_, length, sizes) => {
    const chunks = await collect(cutChunks(cut(pattern(length), [65_536])));
    expect(chunks.map((chunk) => chunk.length)).toEqual(sizes);
  });

  it('gives the same chunks wherever the stream is cut, in memory of their own', async () => {
    const bytes = pattern(2 * MIB + 12_345);
    const whole = await Promise.all([0, 1, 2].map((index) => sha256(bytes.subarray(index * MIB, (index + 1) * MIB))));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(fc.integer({ min: 1000, max: 3 * MIB }), fc.constant(MIB)), { minLength: 1, maxLength: 20 }), async (sizes) => {
        const chunks = await collect(cutChunks(cut(bytes, sizes)));
        expect(await Promise.all(chunks.map(sha256))).toEqual(whole);
      }),
      { seed: SEED, numRuns: 30 },
    );
  });

  it('passes over empty parts', async () => {
    async function* parts() {
      yield new Uint8Array(0);
      yield pattern(3);
      yield new Uint8Array(0);
    }
    expect(await collect(cutChunks(parts()))).toEqual([pattern(3)]);
  });
});

describe('sha256', () => {
  it('is lower-case hexadecimal', async () => {
    expect(await sha256(new TextEncoder().encode('abc'))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(await sha256(pattern(5000))).toBe(createHash('sha256').update(pattern(5000)).digest('hex'));
  });
});
