/**
 * A folder of a repository at a commit, turned into a bundle from git's own objects, if a forge gives those: trees, and files by their
 * ids. Each object is proved against the id that the one above it has (the SHA-1 of its kind, its size and its bytes), so that no file
 * of the commit is missing from a listing, none is replaced by another one, and none is larger than announced. Small files come many at
 * a time, in a zip; others one by one. Where objects come from is for the forges.
 */
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { LIMITS } from '../domain/limits.ts';
import { chunkDigests, type Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { readPlain } from './byte_reader.ts';
import type { Chunk } from './chunks.ts';
import { type ArchivedBundle, CollectedFiles, tooLarge } from './collected.ts';
import { assertPlainPath, isIgnored } from './resolve.ts';
import { proveChunks } from './source.ts';
import { readZip } from './zip.ts';

/** What lies in a tree. */
export interface GitEntry {
  /** From the tree that was asked for. */
  readonly path: string;
  /** As git writes it: `100644`, `40000`, … */
  readonly mode: string;
  readonly id: string;
  /** Bytes of a file. */
  readonly size: number;
}

export interface GitPlace {
  /** The bundle's folder, from the repository's root; "" for the root itself. */
  readonly folder: string;
  readonly commit: string;
  /** What a bundle without a bundle file is called when the folder is the root. */
  readonly repositoryName: string;
  /** @returns the id of the commit's tree */
  findRoot(): Promise<string>;
  /** @param deep what lies in the trees below it too */
  list(tree: string, deep: boolean): Promise<readonly GitEntry[]>;
  /** A zip with these files, by whatever names that hold their ids. */
  openMany(ids: readonly string[]): Promise<ReadableStream<Uint8Array>>;
  openOne(id: string): Promise<ReadableStream<Uint8Array>>;
}

const FOLDER = '40000';
const FILES: readonly string[] = ['100644', '100755', '100664'];
const OTHERS: Readonly<Record<string, string>> = { '120000': 'a symbolic link', '160000': 'a submodule' };

/**
 * Makes the manifest that `weft deploy FOLDER` would make of the same files.
 * @throws Problem invalid_bundle (no such folder, links, improper names, nothing to run, mistakes in weft.yaml), not_utf8, too_large with the
 * limit's name, digest_mismatch, forge_refused, forge_unreachable when a stream breaks off, and what the place throws
 */
export async function readGitTree(place: GitPlace): Promise<ArchivedBundle> {
  const entries = await listFolder(place);
  const files = chooseFiles(place, entries);
  const collected = new CollectedFiles(place.folder);
  for await (const { file, body } of fetchFiles(place, files)) {
    if (collected.has(file.path)) throw new Problem('invalid_bundle', `The tree of the repository holds "${file.path}" twice.`, { path: file.path });
    await collected.take(file.path, file.size, body);
  }
  return collected.toBundle(place.repositoryName, (manifest, wanted) => fetchChunks(place, files, manifest, wanted));
}

/** All below the bundle's folder. */
async function listFolder(place: GitPlace): Promise<readonly GitEntry[]> {
  const { folder, commit } = place;
  let tree = await place.findRoot();
  const above: string[] = [];
  for (const name of folder === '' ? [] : folder.split('/')) {
    const entries = await place.list(tree, false);
    proveTrees(tree, entries, [above.join('/')]);
    const found = entries.find(({ path }) => path === name);
    above.push(name);
    if (found === undefined) throw new Problem('invalid_bundle', `There is no folder "${folder}" in the repository at commit ${commit}.`, { path: folder });
    if (found.mode !== FOLDER) {
      throw new Problem('invalid_bundle', `"${above.join('/')}" in the repository is ${kindOf(found)}, and no folder with a bundle.`, { path: folder });
    }
    tree = found.id;
  }
  const entries = await place.list(tree, true);
  if (entries.length > LIMITS.folder_entries_count) throw tooLarge('folder_entries_count', `The folder "${folder}" holds more files and folders`);
  proveTrees(tree, entries, [folder, ...entries.flatMap(({ path, mode }) => (mode === FOLDER ? [path] : []))]);
  return entries;
}

function chooseFiles({ folder }: GitPlace, entries: readonly GitEntry[]): GitEntry[] {
  const files = entries.filter(({ path, mode }) => mode !== FOLDER && !isIgnored(path));
  let bytes = 0;
  for (const file of files) {
    const { path, size } = file;
    if (!FILES.includes(file.mode))
      throw new Problem('invalid_bundle', `"${path}" is ${kindOf(file)}. A bundle holds plain files only; put the file itself there.`, { path });
    assertPlainPath(path);
    bytes += size > LIMITS.artifact_bytes ? 0 : size;
  }
  if (bytes > LIMITS.archive_bytes) throw tooLarge('archive_bytes', `The folder "${folder}" holds more bytes`);
  return files;
}

/**
 * Every tree has the id that it was named by: whatever is missing, added or called otherwise in the listing gives it another one.
 * @param folders the paths of the trees that are listed, that of the first for people alone
 */
function proveTrees(root: string, entries: readonly GitEntry[], [top = '', ...below]: readonly string[]): void {
  const inside = new Map<string, GitEntry[]>([['', []], ...below.map((path): [string, GitEntry[]] => [path, []])]);
  for (const entry of entries) {
    const siblings = inside.get(entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/'))));
    if (siblings === undefined) throw notAsInGit([top, entry.path], entry.id);
    siblings.push(entry);
  }
  const ids = new Map<string, string>(entries.map(({ path, id }) => [path, id]));
  for (const [path, children] of inside) {
    const id = path === '' ? root : ids.get(path);
    if (id !== idOfTree(children)) throw notAsInGit([top, path], id ?? '');
  }
}

function notAsInGit(path: readonly string[], id: string): Problem {
  const where = path.filter((part) => part !== '').join('/');
  const detail = `What the forge lists at "${where}" is not what git has there (${id}): something is missing, or has another name or content. Nothing was run.`;
  return new Problem('digest_mismatch', detail, { path: where, digest: id });
}

/** Git's Internals, "Tree Objects": mode, name and id of each, in the order of the names' bytes, a folder's followed by a "/". */
function idOfTree(children: readonly GitEntry[]): string {
  const lines = children.map(({ path, mode, id }) => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    return { order: Buffer.from(mode === FOLDER ? `${name}/` : name), bytes: Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(id, 'hex')]) };
  });
  return idOf('tree', Buffer.concat(lines.sort((a, b) => Buffer.compare(a.order, b.order)).map(({ bytes }) => bytes)));
}

function idOf(kind: 'tree' | 'blob', bytes: Uint8Array): string {
  return createHash('sha1').update(`${kind} ${bytes.length}\0`).update(bytes).digest('hex');
}

/** Each file with its bytes, which are to be read before the next one is asked for. */
async function* fetchFiles(place: GitPlace, files: readonly GitEntry[]): AsyncGenerator<{ readonly file: GitEntry; readonly body: AsyncIterable<Uint8Array> }> {
  let alone = 0;
  for (const batch of cutBatches(files)) {
    const found = batch.length === 1 ? new Map<string, Uint8Array>() : await fetchBatch(place, batch);
    for (const file of batch) {
      if (file.size > LIMITS.artifact_bytes) {
        yield { file, body: once(new Uint8Array(0)) };
        continue;
      }
      const bytes = file.size === 0 ? new Uint8Array(0) : found.get(file.id);
      if (bytes !== undefined) {
        // No tree has sizes: of two files with one content, one may have been said to be smaller.
        if (bytes.length !== file.size || (file.size === 0 && file.id !== idOf('blob', bytes))) throw another(file);
        yield { file, body: once(bytes) };
        continue;
      }
      alone += 1;
      if (alone > LIMITS.forge_files_alone_count) throw tooLarge('forge_files_alone_count', 'Files that come one by one from the forge are more');
      const stream = await place.openOne(file.id);
      const reader = readPlain(stream, brokeOff);
      try {
        yield { file, body: proveFile(file, reader) };
      } finally {
        reader.release();
        await stream.cancel().catch(() => undefined);
      }
    }
  }
}

/** Files that are fetched together; one that is fetched alone, or not at all, is by itself. */
function* cutBatches(files: readonly GitEntry[]): Generator<readonly GitEntry[]> {
  let batch: GitEntry[] = [];
  let bytes = 0;
  for (const file of files) {
    if (file.size > LIMITS.forge_batch_bytes || file.size === 0) {
      yield [file];
      continue;
    }
    if (bytes + file.size > LIMITS.forge_batch_bytes || batch.length >= LIMITS.forge_batch_files_count) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(file);
    bytes += file.size;
  }
  if (batch.length > 0) yield batch;
}

/** @returns the files by their ids, as far as the zip has them */
async function fetchBatch(place: GitPlace, batch: readonly GitEntry[]): Promise<Map<string, Uint8Array>> {
  const wanted = new Map(batch.map((file) => [file.id, file]));
  // What no writer of a zip needs more than: a header in two places for each, and what deflate adds to what it cannot make smaller.
  const most = batch.reduce((sum, { size }) => sum + size + Math.ceil(size / 64) + 1024, 64 * 1024);
  const zip = await readUpTo(await place.openMany([...wanted.keys()]), most);
  const found = new Map<string, Uint8Array>();
  for (const entry of readZip(zip)) {
    const file = wanted.get(/[0-9a-f]{40}/.exec(entry.name)?.[0] ?? '');
    if (file === undefined || found.has(file.id)) continue;
    if (entry.size !== file.size) throw another(file);
    const bytes = entry.read();
    if (idOf('blob', bytes) !== file.id) throw another(file);
    found.set(file.id, bytes);
  }
  return found;
}

async function readUpTo(stream: ReadableStream<Uint8Array>, most: number): Promise<Uint8Array> {
  const reader = readPlain(stream, brokeOff);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (let part = await reader.read(); part !== null; part = await reader.read()) {
      bytes += part.length;
      if (bytes > most) throw new Problem('forge_refused', `The forge has sent a zip of more than ${most} bytes, for files that need less. Nothing was run.`);
      parts.push(new Uint8Array(part));
    }
  } finally {
    reader.release();
    await stream.cancel().catch(() => undefined);
  }
  return Buffer.concat(parts);
}

async function* proveFile(file: GitEntry, input: { read(): Promise<Uint8Array | null> }): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha1').update(`blob ${file.size}\0`);
  let bytes = 0;
  for (let part = await input.read(); part !== null; part = await input.read()) {
    bytes += part.length;
    if (bytes > file.size) throw another(file);
    hash.update(part);
    yield part;
  }
  if (bytes !== file.size || hash.digest('hex') !== file.id) throw another(file);
}

/** The files once more, for the chunks that are wanted. */
async function* fetchChunks(place: GitPlace, files: readonly GitEntry[], manifest: Manifest, wanted: ReadonlySet<string>): AsyncGenerator<Chunk> {
  const missing = new Set(wanted);
  const artifacts = new Map(manifest.artifacts.map((artifact) => [artifact.path, artifact]));
  const needed = files.filter(({ path }) => {
    const artifact = artifacts.get(path);
    return artifact !== undefined && chunkDigests(artifact).some((digest) => wanted.has(digest));
  });
  for await (const { file, body } of fetchFiles(place, needed)) {
    const artifact = artifacts.get(file.path);
    if (artifact === undefined) continue;
    const where = `"${file.path}" is another one than when its manifest was made.`;
    for await (const chunk of proveChunks(artifact, body, where)) if (missing.delete(chunk.digest)) yield chunk;
  }
  if (missing.size === 0) return;
  throw new Problem('artifact_missing', `The files of commit ${place.commit} lack ${missing.size} chunks that were asked for.`);
}

function kindOf({ mode }: GitEntry): string {
  return FILES.includes(mode) ? 'a file' : (OTHERS[mode] ?? `of the mode ${mode}`);
}

function another({ path, id }: GitEntry): Problem {
  return new Problem('digest_mismatch', `What the forge has sent for "${path}" is not what git has there (${id}). Nothing was run.`, { path, digest: id });
}

function brokeOff(error: unknown): Problem {
  return new Problem('forge_unreachable', 'What the forge has sent of the files broke off before its end.', {}, error);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
