/** A Worker that does nothing but read uploads and inline files, for `workerd.test.ts`. Their request is a manifest. */
import { readInline } from '../../src/bundle/inline.ts';
import { readTar } from '../../src/bundle/tar.ts';
import { chunkDigests, type Manifest } from '../../src/domain/manifest.ts';
import { Problem } from '../../src/domain/problem.ts';

/** What all writers have been given: the only one here feeds the decompressor. */
let fedBytes = 0;
const write = WritableStreamDefaultWriter.prototype.write;
WritableStreamDefaultWriter.prototype.write = function (this: WritableStreamDefaultWriter<Uint8Array>, part: Uint8Array) {
  fedBytes += part.length;
  return write.call(this, part);
};

async function upload(body: ReadableStream<Uint8Array>, encoding: 'identity' | 'gzip') {
  const tar = await readTar(body, encoding);
  const manifest: Manifest = JSON.parse(new TextDecoder().decode(tar.request));
  const digests: string[] = [];
  let fedBytesAtFirst = 0;
  for await (const chunk of tar.chunks(manifest, new Set(manifest.artifacts.flatMap(chunkDigests)))) {
    if (digests.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      fedBytesAtFirst = fedBytes;
    }
    digests.push(chunk.digest);
  }
  return { digests, fedBytesAtFirst, fedBytes };
}

export default {
  async fetch(request: Request): Promise<Response> {
    fedBytes = 0;
    const { pathname } = new URL(request.url);
    const body = request.body as ReadableStream<Uint8Array>;
    try {
      if (pathname === '/inline') return Response.json((await readInline((await request.json()) as [], 'shop')).manifest);
      return Response.json(await upload(body, pathname === '/gzip' ? 'gzip' : 'identity'));
    } catch (error) {
      if (!(error instanceof Problem)) return new Response(String(error), { status: 500 });
      const { locked } = body;
      let drained = 0;
      for await (const part of body) drained += part.length;
      return Response.json({ slug: error.slug, detail: error.message, locked, drained }, { status: error.status });
    }
  },
};
