/**
 * The files of a bundle as they come out of somewhere, one after the other in any order, and the bundle that they make. A small bundle
 * is held in memory; the bytes of a larger one are fetched again when they are sent, and proved again. Where files come from is for
 * `archive.ts` and `git_tree.ts`.
 */
import { LIMITS, type LimitName } from '../domain/limits.ts';
import type { Artifact, Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { BUNDLE_FILE, bundleFileTooLarge } from './bundle_file.ts';
import type { Chunk } from './chunks.ts';
import { isIgnored, refuseMisnamed, resolveBundle } from './resolve.ts';
import { artifactTooLarge, type Described, describeArtifact, wantedChunks } from './source.ts';

export interface ArchivedBundle {
  readonly manifest: Manifest;
  readonly warnings: readonly string[];
  /** The chunks that are wanted, each once, in any order; may be called again. */
  chunks(wanted: ReadonlySet<string>): AsyncIterable<Chunk>;
}

export class CollectedFiles {
  /** The bundle's folder, from the repository's root; "" for the root itself. */
  readonly #folder: string;
  /** By path in the bundle; where a file cannot be one of a bundle, why. The bundle file is not among them. */
  readonly #described = new Map<string, Described | Problem>();
  readonly #sizes = new Map<string, number>();
  #bundleFile: Uint8Array | null = null;
  /** The bytes of all files; null when they are too many to be held. */
  #held: Map<string, Uint8Array> | null = new Map();
  #heldBytes = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  has(path: string): boolean {
    return this.#described.has(path) || (path === BUNDLE_FILE && this.#bundleFile !== null);
  }

  /**
   * @param path in the bundle, a plain one
   * @param size bytes of the body
   * @param body of which as much is read as is needed
   * @throws Problem too_large, and what the body throws
   */
  async take(path: string, size: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    this.#sizes.set(path, size);
    if (path === BUNDLE_FILE) {
      if (size > LIMITS.bundle_file_bytes) throw bundleFileTooLarge();
      this.#bundleFile = await readWhole(body, size);
      return;
    }
    this.#heldBytes += size;
    if (this.#heldBytes > LIMITS.archive_held_bytes) this.#held = null;
    const bytes = this.#held === null ? null : await readWhole(body, size);
    if (bytes !== null) this.#held?.set(path, bytes);
    this.#described.set(path, await describe(path, size, bytes === null ? body : once(bytes)));
    if (this.#described.size > LIMITS.folder_entries_count) throw tooLarge('folder_entries_count', `The folder "${this.#folder}" holds more files`);
  }

  /**
   * An archive of `git archive` leaves files out, and changes others, where a `.gitattributes` says so.
   * @param listed what the commit has, by path in the bundle, with its size
   * @throws Problem invalid_bundle
   */
  requireAll(listed: ReadonlyMap<string, number>, commit: string): void {
    for (const [path, size] of listed) {
      const found = this.#sizes.get(path);
      if (isIgnored(path) || found === size) continue;
      const where = JSON.stringify(this.#folder === '' ? path : `${this.#folder}/${path}`);
      const [what, word] =
        found === undefined ? [`lacks ${where}, which the commit has`, 'export-ignore'] : [`has another ${where} than the commit`, 'export-subst'];
      throw new Problem(
        'invalid_bundle',
        `The forge's archive of commit ${commit} ${what}, as where a .gitattributes says ${word} of it. Take the word away, or the file out of the folder. Nothing was deployed.`,
        { path },
      );
    }
  }

  /**
   * Makes the manifest that `weft deploy FOLDER` would make of the same files.
   * @param repositoryName what a bundle without a bundle file is called when the folder is the root
   * @param fetchChunks of a bundle that is not held
   * @throws Problem invalid_bundle (improper names, nothing to run, mistakes in weft.yaml), not_utf8, too_large
   */
  async toBundle(repositoryName: string, fetchChunks: (manifest: Manifest, wanted: ReadonlySet<string>) => AsyncIterable<Chunk>): Promise<ArchivedBundle> {
    refuseMisnamed([...this.#described.keys()].concat(this.#bundleFile === null ? [] : [BUNDLE_FILE]));
    const { manifest, warnings } = await resolveBundle({
      paths: [...this.#described.keys()],
      bundleFile: this.#bundleFile,
      fallbackName: this.#folder === '' ? repositoryName : (this.#folder.split('/').at(-1) ?? ''),
      describe: async (path) => {
        const found = this.#described.get(path);
        if (found instanceof Problem) throw found;
        if (found === undefined) throw new Error(`resolveBundle asks for "${path}", which is none of the paths that it was given`);
        return found;
      },
    });
    const held = this.#held;
    if (held === null) return { manifest, warnings, chunks: (wanted) => fetchChunks(manifest, wanted) };
    const source = {
      async *open({ path }: Artifact) {
        yield held.get(path) ?? new Uint8Array(0);
      },
    };
    return { manifest, warnings, chunks: (wanted) => wantedChunks({ manifest, warnings, source }, wanted) };
  }
}

export function tooLarge(limit: LimitName, what: string): Problem {
  return new Problem('too_large', `${what} than ${LIMITS[limit]} (${limit}).`, { limit });
}

/** That a file is no text, or holds its own way back, matters only if a step runs it. */
async function describe(path: string, size: number, body: AsyncIterable<Uint8Array>): Promise<Described | Problem> {
  if (size > LIMITS.artifact_bytes) return artifactTooLarge(path);
  try {
    return await describeArtifact(path, body);
  } catch (error) {
    if (error instanceof Problem && (error.slug === 'not_utf8' || error.slug === 'invalid_bundle')) return error;
    throw error;
  }
}

async function readWhole(body: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array> {
  const whole = new Uint8Array(size);
  let used = 0;
  for await (const part of body) {
    whole.set(part, used);
    used += part.length;
  }
  return whole;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
