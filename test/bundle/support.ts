/** What the tests of this room share: problems looked at, streams cut anywhere, folders that come and go, a seed for chance. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { LIMITS, type LimitName } from '../../src/domain/limits.ts';
import { Problem, type ProblemSlug } from '../../src/domain/problem.ts';

/** Of every property test in this room; fast-check prints it when one fails, and WEFT_TEST_SEED repeats it. */
export const SEED = Number(process.env.WEFT_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Awaits a failure, and expects it to be this Problem. */
export async function problemOf(work: Promise<unknown> | (() => unknown), slug: ProblemSlug): Promise<Problem> {
  const failure = await Promise.resolve()
    .then(() => (typeof work === 'function' ? work() : work))
    .then(
      () => new Error(`nothing failed, and ${slug} was expected`),
      (error: unknown) => error,
    );
  if (!(failure instanceof Problem)) throw failure;
  expect(failure.slug, failure.message).toBe(slug);
  return failure;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The bytes in parts of these sizes, over and over; each part in memory that is overwritten before the next one. */
export async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let previous: Uint8Array | null = null;
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    previous?.fill(0xaa);
    previous = new Uint8Array(bytes.subarray(at, at + size));
    at += size;
    yield previous;
  }
}

/** A folder with these files (text or bytes), gone after the test. */
export async function folderOf(files: Readonly<Record<string, string | Uint8Array>>, name = 'bundle'): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'weft-bundle-'));
  onTestFinished(() => rm(parent, { recursive: true, force: true }));
  const folder = join(parent, name);
  await mkdir(folder);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

/** Smaller limits until the test is over, or until what this returns is called. */
export function smallLimits(limits: Partial<Record<LimitName, number>>): () => void {
  const before = { ...LIMITS };
  Object.assign(LIMITS, limits);
  const restore = () => void Object.assign(LIMITS, before);
  onTestFinished(restore);
  return restore;
}
