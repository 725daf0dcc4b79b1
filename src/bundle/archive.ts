/**
 * A folder inside the archive of a repository (a gzipped tar with one folder at its top), turned into a bundle. The archive is
 * streamed: what is not under the folder is skipped. For a bundle that is not held in memory, the archive is fetched again when its
 * bytes are sent, and each of them is proved again. Where archives come from is for the forges.
 */
import { Buffer } from 'node:buffer';
import { LIMITS } from '../domain/limits.ts';
import { chunkDigests, type Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { type ArchiveEntry, ArchiveForm } from './archive_header.ts';
import { type ByteReader, expandGzip, readPlain } from './byte_reader.ts';
import type { Chunk } from './chunks.ts';
import { type ArchivedBundle, CollectedFiles, tooLarge } from './collected.ts';
import { assertPlainPath, isIgnored } from './resolve.ts';
import { proveChunks } from './source.ts';
import { malformed } from './tar_header.ts';
import { TarReader } from './tar_reader.ts';

export interface ArchivePlace {
  /** The archive from its beginning, each time it is called. */
  open(): Promise<ReadableStream<Uint8Array>>;
  /** The files of the folder at the commit, by path in it, with their sizes, as the forge lists them; null, or left out: it does not. */
  list?(): Promise<ReadonlyMap<string, number> | null>;
  /** The bundle's folder, from the repository's root; "" for the root itself. */
  readonly folder: string;
  /** What a bundle without a bundle file is called when the folder is the root. */
  readonly repositoryName: string;
  /** What the archive must be of, if it says so. */
  readonly commit: string;
}

/**
 * Makes the manifest that `weft deploy FOLDER` would make of the same files.
 * @throws Problem invalid_bundle (no such folder, links, improper names, nothing to run, mistakes in weft.yaml), not_utf8, too_large with the
 * limit's name, malformed_gzip, malformed_tar, forge_unreachable when the stream breaks off, and what `open` throws
 */
export async function readArchive(place: ArchivePlace): Promise<ArchivedBundle> {
  const files = new CollectedFiles(place.folder);
  await readEntries(place, async (path, entry, body) => {
    if (files.has(path)) throw malformed(`it holds "${path}" twice`);
    await files.take(path, entry.size, body);
  });
  files.requireAll((await place.list?.()) ?? new Map(), place.commit);
  return files.toBundle(place.repositoryName, (manifest, wanted) => fetchChunks(place, manifest, wanted));
}

/** The archive once more, for the chunks that are wanted. */
async function* fetchChunks(place: ArchivePlace, manifest: Manifest, wanted: ReadonlySet<string>): AsyncGenerator<Chunk> {
  const missing = new Set(wanted);
  const artifacts = new Map(manifest.artifacts.map((artifact) => [artifact.path, artifact]));
  const walk = new ArchiveWalk(place);
  try {
    for (let file = await walk.next(); file !== null && missing.size > 0; file = await walk.next()) {
      const artifact = artifacts.get(file.path);
      if (artifact === undefined || !chunkDigests(artifact).some((digest) => missing.has(digest))) continue;
      const where = `"${artifact.path}" is another one in the archive that was fetched for its bytes than in the one that its manifest was made of.`;
      for await (const chunk of proveChunks(artifact, walk.body(), where)) if (missing.delete(chunk.digest)) yield chunk;
    }
  } finally {
    await walk.close();
  }
  if (missing.size === 0) return;
  throw new Problem(
    'artifact_missing',
    `The archive of commit ${place.commit}, fetched again for its bytes, lacks ${missing.size} chunks that its manifest names.`,
  );
}

/** Hands each file of the folder to `take`, which reads as much of its body as it needs. */
async function readEntries(place: ArchivePlace, take: (path: string, entry: ArchiveEntry, body: AsyncIterable<Uint8Array>) => Promise<void>): Promise<void> {
  const walk = new ArchiveWalk(place);
  try {
    for (let file = await walk.next(); file !== null; file = await walk.next()) await take(file.path, file.entry, walk.body());
  } finally {
    await walk.close();
  }
  if (!walk.isFolderFound)
    throw new Problem('invalid_bundle', `There is no folder "${place.folder}" in the repository at commit ${place.commit}.`, { path: place.folder });
}

/** One way through an archive. */
class ArchiveWalk {
  readonly #place: ArchivePlace;
  readonly #form = new ArchiveForm();
  /** Of the folder within the archive, a character for each byte; without the archive's own folder at the top. */
  readonly #folder: string;
  #stream: ReadableStream<Uint8Array> | null = null;
  #tar: TarReader<ArchiveEntry> | null = null;
  #top: string | null = null;
  #entriesCount = 0;
  isFolderFound = false;

  constructor(place: ArchivePlace) {
    this.#place = place;
    this.#folder = Buffer.from(place.folder, 'utf8').toString('latin1');
  }

  /** The next file of the bundle; null when the archive has ended as it should. */
  async next(): Promise<{ readonly path: string; readonly entry: ArchiveEntry } | null> {
    const tar = this.#tar ?? (await this.#open());
    for (let entry = await tar.nextEntry(); entry !== null; entry = await tar.nextEntry()) {
      this.#entriesCount += 1;
      if (this.#entriesCount > LIMITS.archive_entries_count)
        throw tooLarge('archive_entries_count', 'The archive of the repository holds more files and folders');
      const path = this.#pathOf(entry);
      if (path === null || entry.kind === 'folder') continue;
      if (entry.kind === 'file') return { path, entry };
      throw new Problem('invalid_bundle', `"${path}" is ${entry.what}. A bundle holds plain files only; put the file itself there.`, { path });
    }
    if (this.#form.commit !== null && /^[0-9a-f]{40,64}$/.test(this.#form.commit) && this.#form.commit !== this.#place.commit)
      throw malformed(`it is of commit ${this.#form.commit}, and ${this.#place.commit} was asked for`);
    return null;
  }

  async *body(): AsyncGenerator<Uint8Array> {
    if (this.#tar !== null) yield* this.#tar.body();
  }

  /** Gives the connection up, if the archive was not read to its end. */
  async close(): Promise<void> {
    this.#tar?.release();
    await this.#stream?.cancel().catch(() => undefined);
  }

  async #open(): Promise<TarReader<ArchiveEntry>> {
    this.#stream = await this.#place.open();
    const input = new CountedReader(
      readPlain(this.#stream, (error) => new Problem('forge_unreachable', 'The archive of the repository broke off before its end.', {}, error)),
    );
    const output = new CountedReader(expandGzip(input), (bytes) => {
      if (bytes > LIMITS.archive_bytes) throw tooLarge('archive_bytes', 'The archive of the repository unpacks to more bytes');
      if (bytes > LIMITS.archive_ratio_bytes && bytes > input.bytes * LIMITS.archive_ratio_max)
        throw tooLarge('archive_ratio_max', 'The archive of the repository is packed more densely');
    });
    this.#tar = new TarReader(output, this.#form);
    return this.#tar;
  }

  /** The path in the bundle; null for what is no part of it. */
  #pathOf({ name, kind, what }: ArchiveEntry): string | null {
    const [top = '', ...rest] = name.split('/');
    this.#top ??= top;
    if (top !== this.#top || top === '' || top === '.' || top === '..') throw malformed('its entries do not lie in one folder at its top');
    if (rest.some((part) => part === '' || part === '.' || part === '..')) throw malformed(`the path ${JSON.stringify(name.slice(0, 200))} is not a plain one`);
    const inside = rest.join('/');
    if (this.#folder !== '' && (inside === this.#folder || (kind !== 'folder' && this.#folder.startsWith(`${inside}/`) && inside !== ''))) {
      if (kind !== 'folder') {
        const found = kind === 'file' ? 'a file' : what;
        throw new Problem('invalid_bundle', `"${decodePath(inside)}" in the repository is ${found}, and no folder with a bundle.`, {
          path: this.#place.folder,
        });
      }
      this.isFolderFound = true;
      return null;
    }
    if (this.#folder === '') this.isFolderFound = true;
    else if (!inside.startsWith(`${this.#folder}/`)) return null;
    this.isFolderFound = true;
    const within = this.#folder === '' ? inside : inside.slice(this.#folder.length + 1);
    if (within === '' || isIgnored(within)) return null;
    const path = decodePath(within);
    assertPlainPath(path);
    return path;
  }
}

class CountedReader implements ByteReader {
  readonly #input: ByteReader;
  readonly #check: (bytes: number) => void;
  bytes = 0;

  constructor(input: ByteReader, check: (bytes: number) => void = () => undefined) {
    this.#input = input;
    this.#check = check;
  }

  async read(): Promise<Uint8Array | null> {
    const part = await this.#input.read();
    this.bytes += part?.length ?? 0;
    this.#check(this.bytes);
    return part;
  }

  release(): void {
    this.#input.release();
  }
}

function decodePath(name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(name, 'latin1'));
  } catch (error) {
    throw new Problem('invalid_bundle', `The name of a file is not UTF-8 (read as Latin-1 it is ${JSON.stringify(name)}). Rename it.`, {}, error);
  }
}
