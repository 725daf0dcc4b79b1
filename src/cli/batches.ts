/** What of a bundle travels in one body. */
import type { Artifact } from '../domain/manifest.ts';

/** Artifacts of so many bytes together travel with the request; more are asked for first. */
const SENT_AT_ONCE_BYTES = 6 * 1024 * 1024;
/** Cloudflare's smaller plans end a body at 100 MB. */
const BODY_BYTES_MAX = 90_000_000;
/** A tar has blocks of 512 bytes: a header, and the rest of the last block of content. */
const ENTRY_OVERHEAD_BYTES = 1024;

/** Whether all of it travels with the request. */
export function isSmall(artifacts: readonly Artifact[]): boolean {
  return artifacts.reduce((sum, { size }) => sum + size, 0) <= SENT_AT_ONCE_BYTES;
}

/** The first of the missing artifacts, in the order of the manifest, as many as fit; at least one. */
export function nextBatch(artifacts: readonly Artifact[], missing: ReadonlySet<string>): Artifact[] {
  const batch: Artifact[] = [];
  const taken = new Set<string>();
  let bytes = 0;
  for (const artifact of artifacts) {
    if (!missing.has(artifact.digest) || taken.has(artifact.digest)) continue;
    bytes += artifact.size + ENTRY_OVERHEAD_BYTES;
    if (batch.length > 0 && bytes > BODY_BYTES_MAX) break;
    taken.add(artifact.digest);
    batch.push(artifact);
  }
  return batch;
}
