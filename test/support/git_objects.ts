/** Git's objects of a few files: trees and blobs with the ids that git gives them, and what a forge tells of them. */
import { createHash } from 'node:crypto';
import type { ArchiveFiles } from './github.ts';

export interface ListedEntry {
  readonly objectId: string;
  readonly relativePath: string;
  readonly mode: string;
  readonly gitObjectType: 'tree' | 'blob' | 'commit';
  readonly size: number;
}

export interface GitObjects {
  readonly root: string;
  /** What lies in each tree, by its id. */
  readonly trees: ReadonlyMap<string, readonly ListedEntry[]>;
  readonly blobs: ReadonlyMap<string, Buffer>;
}

export function idOf(kind: string, bytes: Uint8Array): string {
  return createHash('sha1').update(`${kind} ${bytes.length}\0`).update(bytes).digest('hex');
}

/** @param files by path; one that ends in "/" is a submodule */
export function makeGitObjects(files: ArchiveFiles): GitObjects {
  const trees = new Map<string, readonly ListedEntry[]>();
  const blobs = new Map<string, Buffer>();
  const makeTree = (inside: ArchiveFiles): string => {
    const below = new Map<string, ArchiveFiles>();
    const entries: ListedEntry[] = [];
    for (const [path, content] of Object.entries(inside)) {
      const [name = '', ...rest] = path.split('/');
      if (rest.length === 1 && rest[0] === '') {
        entries.push({ relativePath: name, mode: '160000', gitObjectType: 'commit', objectId: 'c'.repeat(40), size: 0 });
      } else if (rest.length > 0) {
        below.set(name, { ...below.get(name), [rest.join('/')]: content });
      } else {
        const isLink = typeof content === 'object' && 'link' in content;
        const bytes = Buffer.from(isLink ? content.link : (content as string | Uint8Array));
        const objectId = idOf('blob', bytes);
        blobs.set(objectId, bytes);
        entries.push({ relativePath: name, mode: isLink ? '120000' : '100644', gitObjectType: 'blob', objectId, size: bytes.length });
      }
    }
    for (const [name, content] of below) entries.push({ relativePath: name, mode: '40000', gitObjectType: 'tree', objectId: makeTree(content), size: 1 });
    const order = ({ relativePath, mode }: ListedEntry) => Buffer.from(mode === '40000' ? `${relativePath}/` : relativePath);
    entries.sort((a, b) => Buffer.compare(order(a), order(b)));
    const id = idOf('tree', Buffer.concat(entries.flatMap((one) => [Buffer.from(`${one.mode} ${one.relativePath}\0`), Buffer.from(one.objectId, 'hex')])));
    trees.set(id, entries);
    return id;
  };
  return { root: makeTree(files), trees, blobs };
}

/** @returns what lies in a tree, and in those below it when it is to be so */
export function listTree({ trees }: Pick<GitObjects, 'trees'>, tree: string, deep: boolean): ListedEntry[] | null {
  const entries = trees.get(tree);
  if (entries === undefined) return null;
  return entries.flatMap((one) => [
    one,
    ...(deep && one.gitObjectType === 'tree'
      ? (listTree({ trees }, one.objectId, true) ?? []).map((inner) => ({ ...inner, relativePath: `${one.relativePath}/${inner.relativePath}` }))
      : []),
  ]);
}
