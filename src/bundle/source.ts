/**
 * A bundle in hand: its manifest, and where the bytes are. Artifacts are described once, when the manifest is made, and
 * proved again whenever their bytes are sent: what left here always has the digest that was signed.
 */
import { createHash } from 'node:crypto';
import { LIMITS } from '../domain/limits.ts';
import { type Artifact, chunkDigests, type Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { BareCheck } from './bare.ts';
import { type Chunk, cutChunks, sha256 } from './chunks.ts';
import { TextCheck } from './text.ts';
import { TwoWaysCheck } from './two_ways.ts';

export interface ArtifactSource {
  /** The artifact's bytes, read again each time, in parts of any size. */
  open(artifact: Artifact): AsyncIterable<Uint8Array>;
}

/** For a tar of documents alone. */
export const NO_ARTIFACTS: ArtifactSource = {
  open: () => {
    throw new Error('there are no artifacts in it');
  },
};

export interface Bundle {
  readonly manifest: Manifest;
  readonly source: ArtifactSource;
  /** What is allowed and probably not meant, a sentence each. */
  readonly warnings: readonly string[];
}

export interface Described {
  readonly artifact: Artifact;
  /** Whether it holds no statement, were it SQL. */
  readonly isBare: boolean;
}

/**
 * Reads a file once, a chunk at a time, and describes it for the manifest.
 * @param path as the bundle calls it
 * @returns the artifact (size in bytes, SHA-256 of all of it and of each chunk), and what no manifest says of it
 * @throws Problem not_utf8; too_large (artifact_bytes); invalid_bundle where a file holds its own way back
 */
export async function describeArtifact(path: string, stream: AsyncIterable<Uint8Array>): Promise<Described> {
  const text = new TextCheck(path);
  const ways = new TwoWaysCheck(path);
  const bare = new BareCheck();
  const whole = createHash('sha256');
  const chunks: string[] = [];
  let size = 0;
  for await (const bytes of cutChunks(stream)) {
    size += bytes.length;
    if (size > LIMITS.artifact_bytes) throw artifactTooLarge(path);
    text.push(bytes);
    ways.push(bytes);
    bare.push(bytes);
    whole.update(bytes);
    chunks.push(await sha256(bytes));
  }
  text.end();
  return { artifact: { path, digest: whole.digest('hex'), size, ...(chunks.length > 1 && { chunks }) }, isBare: bare.isBare };
}

/**
 * Cuts an artifact's bytes into its chunks and proves each, and at the end the whole, against what the manifest announces.
 * @param where a sentence for the problem's detail that says whose bytes these are and what to do
 * @throws Problem digest_mismatch before a chunk with another digest comes out, and at the end when bytes are missing
 */
export async function* proveChunks(artifact: Artifact, stream: AsyncIterable<Uint8Array>, where: string): AsyncGenerator<Chunk> {
  const announced = chunkDigests(artifact);
  const whole = announced.length > 1 ? createHash('sha256') : null;
  let index = 0;
  for await (const bytes of cutChunks(stream)) {
    const digest = await sha256(bytes);
    if (digest !== announced[index]) throw mismatch(artifact, where, `chunk ${index + 1} of ${announced.length} has another digest`, index);
    whole?.update(bytes);
    yield { digest, bytes };
    index += 1;
  }
  if (index < announced.length) throw mismatch(artifact, where, `it ends after ${index} of ${announced.length} chunks`, index);
  if (whole !== null && whole.digest('hex') !== artifact.digest) {
    throw mismatch(artifact, where, 'each chunk has its digest, but all of them together do not have the artifact’s', index);
  }
}

/** The chunks of one artifact of a bundle; digest_mismatch, naming the path, when its file changed since the manifest was made. */
export function readChunks(source: ArtifactSource, artifact: Artifact): AsyncGenerator<Chunk> {
  return proveChunks(artifact, source.open(artifact), `"${artifact.path}" changed after the manifest was made; make the manifest again.`);
}

/**
 * The chunks that somebody lacks.
 * @param wanted digests of chunks
 * @returns each wanted chunk once, in the order of the manifest; digests that the manifest does not have are passed over
 * @throws Problem digest_mismatch, naming the path, when a file changed since the manifest was made
 */
export async function* wantedChunks(bundle: Bundle, wanted: ReadonlySet<string>): AsyncGenerator<Chunk> {
  const missing = new Set(wanted);
  for (const artifact of bundle.manifest.artifacts) {
    if (!chunkDigests(artifact).some((digest) => missing.has(digest))) continue;
    for await (const chunk of readChunks(bundle.source, artifact)) {
      if (missing.delete(chunk.digest)) yield chunk;
    }
  }
}

export function artifactTooLarge(path: string): Problem {
  const limit = `${LIMITS.artifact_bytes} bytes (artifact_bytes)`;
  return new Problem('too_large', `"${path}" is larger than ${limit}. Split it into several files.`, { path, limit: 'artifact_bytes' });
}

function mismatch(artifact: Artifact, where: string, what: string, index: number): Problem {
  return new Problem('digest_mismatch', `${where} (${what}; announced as ${artifact.digest}, ${artifact.size} bytes)`, {
    path: artifact.path,
    digest: artifact.digest,
    chunk: index,
  });
}
