/**
 * Chunks: what is digested, staged and acknowledged at a time. Cutting a stream into them, and their digests. What a chunk
 * belongs to, and whether its digest is the announced one, is for `source.ts` and `tar.ts`.
 */
import { createHash } from 'node:crypto';
import { LIMITS } from '../domain/limits.ts';

export interface Chunk {
  /** SHA-256 of this chunk, in lower-case hexadecimal. */
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/**
 * Cuts a stream into chunks. Wherever the stream itself is cut, the chunks are the same.
 * @param stream the parts; they are copied, so their memory may be used again once the next part is asked for
 * @returns pieces of exactly `chunk_bytes` each, the last one shorter; an empty stream is one empty chunk. Each has memory of its own
 */
export async function* cutChunks(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let chunk = new Uint8Array(0);
  let used = 0;
  let yielded = false;
  for await (const part of stream) {
    let rest = part;
    while (rest.length > 0) {
      const wanted = Math.min(used + rest.length, LIMITS.chunk_bytes);
      // A small file gets a small buffer; whoever has filled one chunk is large, and gets whole ones from then on.
      if (wanted > chunk.length) chunk = grow(chunk, used, yielded ? LIMITS.chunk_bytes : wanted);
      chunk.set(rest.subarray(0, wanted - used), used);
      rest = rest.subarray(wanted - used);
      used = wanted;
      if (used === LIMITS.chunk_bytes) {
        yield chunk;
        chunk = new Uint8Array(0);
        used = 0;
        yielded = true;
      }
    }
  }
  if (used > 0 || !yielded) yield chunk.subarray(0, used);
}

/** SHA-256 in lower-case hexadecimal (FIPS 180-4). */
export async function sha256(bytes: Uint8Array): Promise<string> {
  return createHash('sha256').update(bytes).digest('hex');
}

function grow(chunk: Uint8Array, used: number, least: number): Uint8Array<ArrayBuffer> {
  const grown = new Uint8Array(Math.min(Math.max(least, chunk.length * 2), LIMITS.chunk_bytes));
  grown.set(chunk.subarray(0, used));
  return grown;
}
