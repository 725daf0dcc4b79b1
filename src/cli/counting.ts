/** Artifacts that are counted while they are read, for whoever shows how much has been sent. */
import type { ArtifactSource } from '../bundle/source.ts';

/** @param onBytes told of each part as it is read */
export function countingSource(source: ArtifactSource, onBytes: (bytes: number) => void): ArtifactSource {
  return {
    async *open(artifact) {
      for await (const part of source.open(artifact)) {
        onBytes(part.length);
        yield part;
      }
    },
  };
}
