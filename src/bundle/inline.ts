/**
 * Files inside a JSON document, turned into a bundle: for callers that have only curl and openssl. They are resolved as a folder with
 * these files would be. The bytes are in memory already, so the document's limit (inline_document_bytes) is theirs too.
 */
import { Buffer } from 'node:buffer';
import { Problem } from '../domain/problem.ts';
import type { InlineFile } from '../domain/request.ts';
import { BUNDLE_FILE } from './bundle_file.ts';
import { assertPlainPath, isIgnored, resolveBundle } from './resolve.ts';
import { type Bundle, describeArtifact } from './source.ts';

/**
 * Makes a bundle of inline files; a weft.yaml among them is its bundle file.
 * @param fallbackName what the bundle is called when there is no weft.yaml
 * @throws Problem invalid_bundle (doubled or improper paths, mistakes in weft.yaml), not_utf8, too_large
 */
export async function readInline(files: readonly InlineFile[], fallbackName: string): Promise<Bundle> {
  const contents = new Map<string, Uint8Array>();
  for (const file of files) {
    assertPlainPath(file.path);
    if (contents.has(file.path)) {
      throw new Problem('invalid_bundle', `"${file.path}" stands twice among the files of the document. Send it once.`, { path: file.path });
    }
    contents.set(file.path, bytesOf(file));
  }
  const contentOf = (path: string): Uint8Array => {
    const bytes = contents.get(path);
    if (bytes === undefined) throw new Problem('artifact_missing', `"${path}" is not among the files of the document.`, { path });
    return bytes;
  };
  const ignored = [...contents.keys()].filter(isIgnored);
  const { manifest, warnings } = await resolveBundle({
    paths: [...contents.keys()].filter((path) => path !== BUNDLE_FILE && !isIgnored(path)),
    bundleFile: contents.get(BUNDLE_FILE) ?? null,
    fallbackName,
    describe: (path) => describeArtifact(path, once(contentOf(path))),
  });
  return {
    manifest,
    source: { open: (artifact) => once(contentOf(artifact.path)) },
    warnings: [...warnings, ...ignored.map((path) => `"${path}" is ignored: hidden files and node_modules are no part of a bundle.`)],
  };
}

function bytesOf(file: InlineFile): Uint8Array {
  if ('base64' in file) return Buffer.from(file.base64, 'base64');
  const { path, content } = file;
  if (!content.isWellFormed()) {
    const before = content.slice(0, content.search(/\p{Surrogate}/u));
    const byte = Buffer.byteLength(before);
    throw new Problem('not_utf8', `"${path}" is not UTF-8 text: at byte ${byte} (counted from 0) half a surrogate pair stands alone.`, { path, byte });
  }
  return Buffer.from(content);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
