/**
 * A folder on disk, turned into a bundle. The one file of this room that runs in Node only. Links are refused, never followed; files
 * are streamed twice: once to describe them, and once more, proved again, when they are sent.
 */
import type { Dirent } from 'node:fs';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, realpath } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { BUNDLE_FILE, bundleFileTooLarge } from './bundle_file.ts';
import { assertPlainPath, isIgnored, refuseMisnamed, resolveBundle } from './resolve.ts';
import { artifactTooLarge, type Bundle, describeArtifact } from './source.ts';

const READ_BYTES = 256 * 1024;

/**
 * Reads a folder: with its weft.yaml, or, when there is none, as one phase of every `*.sql` in it and below it. Hidden
 * files and folders, and node_modules, are passed over.
 * @param folder its path; may itself be a link
 * @returns the bundle; its source reads the files again, and throws digest_mismatch when one of them is gone
 * @throws Problem invalid_bundle (no such folder, links, improper names, nothing to run, mistakes in weft.yaml), not_utf8,
 * too_large with the limit's name
 */
export async function readFolder(folder: string): Promise<Bundle> {
  const root = await findFolder(folder);
  const paths = await listFiles(root);
  const { manifest, warnings } = await resolveBundle({
    paths: paths.filter((path) => path !== BUNDLE_FILE),
    bundleFile: paths.includes(BUNDLE_FILE) ? await readBundleFile(join(root, BUNDLE_FILE)) : null,
    fallbackName: basename(root),
    describe: (path) => describeArtifact(path, readFile(root, path, whenReading(path))),
  });
  return { manifest, warnings, source: { open: ({ path }) => readFile(root, path, whenSending(path)) } };
}

/** What a failure of the file system becomes: it depends on when it happens. */
type Explain = (error: unknown) => Problem;

const whenReading =
  (path: string): Explain =>
  (error) =>
    new Problem('invalid_bundle', `"${path}" cannot be read: ${reasonOf(error)}.`, { path }, error);

const whenSending =
  (path: string): Explain =>
  (error) =>
    new Problem('digest_mismatch', `"${path}" can no longer be read (${reasonOf(error)}); it changed after the manifest was made.`, { path }, error);

async function findFolder(folder: string): Promise<string> {
  try {
    return await realpath(resolve(folder));
  } catch (error) {
    throw new Problem('invalid_bundle', `There is no folder "${folder}" (${reasonOf(error)}).`, { path: folder }, error);
  }
}

/** Every file below the root that is not ignored, by its path in the bundle. */
async function listFiles(root: string): Promise<string[]> {
  const paths: string[] = [];
  const folders = [''];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await listEntries(root, folder)) {
      const name = decodeName(entry.name, folder);
      const path = folder === '' ? name : `${folder}/${name}`;
      if (isIgnored(name)) continue;
      assertPlainPath(path);
      if (entry.isDirectory()) folders.push(path);
      else if (entry.isFile()) paths.push(path);
      else throw new Problem('invalid_bundle', `"${path}" is ${kindOf(entry)}. A bundle holds plain files only; put the file itself there.`, { path });
      if (paths.length + folders.length > LIMITS.folder_entries_count) {
        const detail = `"${root}" holds more than ${LIMITS.folder_entries_count} files and folders (folder_entries_count). Is it the folder you mean?`;
        throw new Problem('too_large', detail, { limit: 'folder_entries_count' });
      }
    }
  }
  refuseMisnamed(paths);
  return paths;
}

async function listEntries(root: string, folder: string): Promise<Dirent<Buffer>[]> {
  try {
    // As bytes: a name that is not UTF-8 would come out as another one.
    return await readdir(join(root, folder), { withFileTypes: true, encoding: 'buffer' });
  } catch (error) {
    const what = codeOf(error) === 'ENOTDIR' ? 'is not a folder' : `cannot be read: ${reasonOf(error)}`;
    throw new Problem('invalid_bundle', `"${folder === '' ? root : folder}" ${what}.`, { path: folder }, error);
  }
}

function decodeName(name: Buffer, folder: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(name);
  } catch (error) {
    const shown = JSON.stringify(name.toString('latin1'));
    const where = folder === '' ? '' : ` in "${folder}"`;
    throw new Problem('invalid_bundle', `The name of a file${where} is not UTF-8 (read as Latin-1 it is ${shown}). Rename it.`, { path: folder }, error);
  }
}

async function readBundleFile(file: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const limit = { bytes: LIMITS.bundle_file_bytes, exceeded: bundleFileTooLarge };
  for await (const part of readParts(file, limit, whenReading(BUNDLE_FILE))) parts.push(new Uint8Array(part));
  return Buffer.concat(parts);
}

function readFile(root: string, path: string, explain: Explain): AsyncGenerator<Uint8Array> {
  return readParts(join(root, path), { bytes: LIMITS.artifact_bytes, exceeded: () => artifactTooLarge(path) }, explain);
}

/** Each part is in the same memory as the one before it. */
async function* readParts(file: string, limit: { readonly bytes: number; exceeded(): Problem }, explain: Explain): AsyncGenerator<Uint8Array> {
  const { handle, size: expected } = await openPlain(file, explain);
  try {
    if (expected > limit.bytes) throw limit.exceeded();
    const buffer = new Uint8Array(Math.min(Math.max(expected, 1024), READ_BYTES));
    // A file may grow while it is read.
    for (let size = 0; size <= limit.bytes; ) {
      const { bytesRead } = await handle.read(buffer).catch((error: unknown) => {
        throw explain(error);
      });
      if (bytesRead === 0) return;
      size += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    throw limit.exceeded();
  } finally {
    await handle.close();
  }
}

async function openPlain(file: string, explain: Explain): Promise<{ handle: FileHandle; size: number }> {
  try {
    // What was a plain file when the folder was listed may be a link or a pipe by now: neither follow nor wait for it.
    const handle = await open(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
    const stat = await handle.stat();
    if (stat.isFile()) return { handle, size: stat.size };
    await handle.close();
  } catch (error) {
    throw explain(error);
  }
  throw explain(new Error('not a plain file'));
}

function kindOf(entry: Dirent<Buffer>): string {
  if (entry.isSymbolicLink()) return 'a link';
  if (entry.isFIFO()) return 'a pipe';
  return entry.isSocket() ? 'a socket' : 'a device';
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/** Without the path that Node appends. */
function reasonOf(error: unknown): string {
  const reasons: Readonly<Record<string, string>> = { ENOENT: 'it does not exist', EACCES: 'no permission', ELOOP: 'it is a link', EISDIR: 'it is a folder' };
  return reasons[codeOf(error) ?? ''] ?? codeOf(error) ?? (error instanceof Error ? error.message : 'unknown reason');
}
