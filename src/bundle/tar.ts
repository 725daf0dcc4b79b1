/**
 * A bundle on the wire: a tar whose first entry is the signed request, then perhaps the secrets that it binds by digest; the others are
 * artifacts, named by their SHA-256, in manifest order, regular files, once each. It is written with modern-tar, but read here, block
 * by block, because what follows the request must not even be looked at before the request is verified, and must be refused exactly
 * where it is.
 */
import { createTarPacker, type TarPackController } from 'modern-tar';
import { LIMITS } from '../domain/limits.ts';
import { type Artifact, chunkDigests, type Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { readGzip, readPlain } from './byte_reader.ts';
import type { Chunk } from './chunks.ts';
import { type ArtifactSource, proveChunks, readChunks } from './source.ts';
import { checkPaxAttributes, forbidden, parseTarHeader, type TarHeader } from './tar_header.ts';
import { TarReader } from './tar_reader.ts';
import { TextCheck } from './text.ts';

/** The name of the first entry. */
export const REQUEST_ENTRY = 'request.json';
/** Right after it, if there are secrets. */
export const SECRETS_ENTRY = 'secrets.json';

type Tar = TarReader<TarHeader>;
type Hold = (bytes: number) => void;

export interface TarUpload {
  /** The bytes of request.json. */
  readonly request: Uint8Array;
  /**
   * Reads the secrets, if they come right after the request; to be called once, after the request was verified and before `chunks`.
   * @returns the bytes of secrets.json; null when there are none
   * @throws Problem too_large (secrets_bytes) · forbidden_entry · malformed_tar · malformed_gzip · interrupted
   */
  secrets(): Promise<Uint8Array | null>;
  /**
   * Reads the artifacts behind the request, once; to be called after the request was verified. Holds about one chunk, reads
   * no faster than it is read, never cancels the body, and leaves it unlocked however it ends.
   * @param manifest of the verified request
   * @param wanted digests of the chunks that are missing
   * @returns each wanted chunk once, as soon as it is proved; entries may be fewer than the manifest's artifacts
   * @throws Problem forbidden_entry · artifact_unnamed · artifact_doubled · artifact_out_of_order · digest_mismatch (also of sizes) ·
   * not_utf8 · malformed_tar · malformed_gzip · interrupted; artifact_missing at the end, when wanted chunks did not come
   */
  chunks(manifest: Manifest, wanted: ReadonlySet<string>): AsyncIterable<Chunk>;
}

/**
 * Writes an upload.
 * @param request the exact bytes that were signed
 * @param artifacts those to send, in manifest order; of two with the same digest the first is sent
 * @param secrets the bytes of secrets.json; null for none
 * @returns the tar, made while it is read (at most 8 MiB ahead); it fails with digest_mismatch when a file changed meanwhile
 * @throws Problem too_large (request_bytes, secrets_bytes)
 */
export function writeTar(
  request: Uint8Array,
  artifacts: readonly Artifact[],
  source: ArtifactSource,
  secrets: Uint8Array | null = null,
): ReadableStream<Uint8Array> {
  if (request.length > LIMITS.request_bytes) throw requestTooLarge(request.length);
  if (secrets !== null && secrets.length > LIMITS.secrets_bytes) throw secretsTooLarge(secrets.length);
  const documents = [[REQUEST_ENTRY, request] as const, ...(secrets === null ? [] : [[SECRETS_ENTRY, secrets] as const])];
  const { readable, controller } = createTarPacker();
  packEntries(controller, documents, artifacts, source).catch((error: unknown) => controller.error(error));
  return readable;
}

/**
 * Reads an upload as far as its request, and not a byte of what comes after it.
 * @param body as it came; never cancelled, and unlocked again when this returns or throws
 * @param hold told of each memory before it is taken for the request, in bytes; what it throws is thrown
 * @throws Problem invalid_request when request.json is not first · too_large (request_bytes) · forbidden_entry · malformed_tar ·
 * malformed_gzip · interrupted
 */
export async function readTar(body: ReadableStream<Uint8Array>, encoding: 'identity' | 'gzip', hold: Hold = () => undefined): Promise<TarUpload> {
  const tar: Tar = new TarReader(encoding === 'gzip' ? readGzip(body) : readPlain(body), { parse: parseTarHeader, takePax: checkPaxAttributes });
  try {
    const request = await readRequest(tar, hold);
    return { request, secrets: () => readSecrets(tar), chunks: (manifest, wanted) => readArtifacts(tar, manifest, wanted) };
  } finally {
    tar.release();
  }
}

async function readRequest(tar: Tar, hold: Hold): Promise<Uint8Array> {
  const entry = await tar.nextEntry();
  if (entry?.name !== REQUEST_ENTRY) {
    const what = entry === null ? 'The tar is empty' : `The first entry of the tar is ${JSON.stringify(entry.name)}`;
    throw new Problem('invalid_request', `${what}; it must begin with the signed request, as an entry called ${REQUEST_ENTRY} (without "./").`);
  }
  if (entry.size > LIMITS.request_bytes) throw requestTooLarge(entry.size);
  return readWhole(tar, entry, hold);
}

async function readSecrets(tar: Tar): Promise<Uint8Array | null> {
  try {
    const entry = await tar.nextEntry();
    if (entry?.name !== SECRETS_ENTRY) {
      if (entry !== null) tar.putBack(entry);
      return null;
    }
    if (entry.size > LIMITS.secrets_bytes) throw secretsTooLarge(entry.size);
    return await readWhole(tar, entry);
  } finally {
    tar.release();
  }
}

/** Memory is taken as bytes come: the size in a header is anybody's word. */
async function readWhole(tar: Tar, entry: TarHeader, hold: Hold = () => undefined): Promise<Uint8Array> {
  let whole = new Uint8Array(0);
  let used = 0;
  for await (const part of tar.body()) {
    if (used + part.length > whole.length) {
      const larger = Math.min(entry.size, Math.max(used + part.length, 2 * whole.length));
      hold(larger - whole.length);
      const grown = new Uint8Array(larger);
      grown.set(whole.subarray(0, used));
      whole = grown;
    }
    whole.set(part, used);
    used += part.length;
  }
  return whole;
}

async function* readArtifacts(tar: Tar, manifest: Manifest, wanted: ReadonlySet<string>): AsyncGenerator<Chunk> {
  const missing = new Set(wanted);
  const place = placeArtifacts(manifest);
  try {
    for (let entry = await tar.nextEntry(); entry !== null; entry = await tar.nextEntry()) {
      const artifact = place(entry);
      const text = new TextCheck(artifact.path);
      const where = `The entry ${entry.name} (the file "${artifact.path}") does not hold the bytes that its manifest announces; make both again.`;
      for await (const chunk of proveChunks(artifact, tar.body(), where)) {
        text.push(chunk.bytes);
        if (missing.delete(chunk.digest)) yield chunk;
      }
      text.end();
    }
  } finally {
    tar.release();
  }
  if (missing.size > 0) throw artifactsMissing(manifest, missing);
}

/** Which artifact an entry is: named by the manifest, not seen before, and in the manifest's order. */
function placeArtifacts(manifest: Manifest): (entry: TarHeader) => Artifact {
  const places = new Map<string, number>();
  for (const [index, { digest }] of manifest.artifacts.entries()) {
    if (!places.has(digest)) places.set(digest, index);
  }
  const arrived = new Set<string>();
  let last = -1;
  return ({ name, size }) => {
    if (!/^[0-9a-f]{64}$/.test(name)) throw forbidden(name, `The entry ${JSON.stringify(name)} is not named by a SHA-256 in lower-case hexadecimal.`);
    const index = places.get(name);
    const artifact = manifest.artifacts[index ?? -1];
    if (index === undefined || artifact === undefined) {
      throw new Problem('artifact_unnamed', `The tar holds ${name}, which no artifact of the manifest has as its digest.`, { digest: name });
    }
    const facts = { digest: name, path: artifact.path };
    if (arrived.has(name)) throw new Problem('artifact_doubled', `The tar holds ${name} ("${artifact.path}") twice. Each digest is sent once.`, facts);
    if (index < last) {
      const before = manifest.artifacts[last]?.path;
      const detail = `In the tar "${artifact.path}" (${name}) comes behind "${before}"; entries must have the order of the manifest's artifacts.`;
      throw new Problem('artifact_out_of_order', detail, facts);
    }
    if (size !== artifact.size) {
      const detail = `The entry ${name} ("${artifact.path}") has ${size} bytes, and the manifest announces ${artifact.size}.`;
      throw new Problem('digest_mismatch', detail, { ...facts, size, announced: artifact.size });
    }
    arrived.add(name);
    last = index;
    return artifact;
  };
}

function artifactsMissing(manifest: Manifest, missing: ReadonlySet<string>): Problem {
  const paths = manifest.artifacts.filter((artifact) => chunkDigests(artifact).some((digest) => missing.has(digest))).map(({ path }) => path);
  const named = paths.slice(0, 5).map((path) => `"${path}"`);
  const more = paths.length > named.length ? ` and ${paths.length - named.length} more` : '';
  const detail = `The tar ended, and these artifacts are neither in it nor in the database: ${named.join(', ')}${more}. What did arrive is kept; send the others.`;
  return new Problem('artifact_missing', detail, { paths: paths.slice(0, 100), count: paths.length });
}

function requestTooLarge(bytes: number): Problem {
  const detail = `${REQUEST_ENTRY} has ${bytes} bytes; the limit is ${LIMITS.request_bytes} (request_bytes). Split the bundle into several.`;
  return new Problem('too_large', detail, { limit: 'request_bytes', bytes });
}

function secretsTooLarge(bytes: number): Problem {
  const detail = `${SECRETS_ENTRY} has ${bytes} bytes; the limit is ${LIMITS.secrets_bytes} (secrets_bytes).`;
  return new Problem('too_large', detail, { limit: 'secrets_bytes', bytes });
}

async function packEntries(
  controller: TarPackController,
  documents: readonly (readonly [name: string, bytes: Uint8Array])[],
  artifacts: readonly Artifact[],
  source: ArtifactSource,
): Promise<void> {
  const begin = (name: string, size: number) => controller.add({ name, size, type: 'file', mode: 0o644, mtime: new Date(0) }).getWriter();
  for (const [name, bytes] of documents) {
    const entry = begin(name, bytes.length);
    await entry.write(bytes);
    await entry.close();
  }
  const sent = new Set<string>();
  for (const artifact of artifacts) {
    if (sent.has(artifact.digest)) continue;
    sent.add(artifact.digest);
    const entry = begin(artifact.digest, artifact.size);
    for await (const { bytes } of readChunks(source, artifact)) await entry.write(bytes);
    await entry.close();
  }
  controller.finalize();
}
