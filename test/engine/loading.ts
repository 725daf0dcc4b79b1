/** Loads data files into a database of a test, the way the command line does it. */
import type { Deployment, DeploymentError } from '../../src/domain/deployment.ts';
import type { TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, randomId } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

/** What weft.yaml says of a load, but for the file's name. */
export type Words = { readonly into: string; readonly path?: string } & Readonly<Record<string, unknown>>;

/**
 * Loads one file, as a bundle of its own, so that no history knows it.
 * @param words `path` is the file's, data.csv without it
 * @param phase what weft.yaml says of the phase
 */
export function load(
  database: TestDatabase,
  { path = 'data.csv', ...words }: Words,
  content: string,
  phase: Readonly<Record<string, unknown>> = {},
): Promise<Deployment> {
  const phases = [{ name: 'main', ...phase, steps: [{ load: path, ...words }] }];
  return deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: randomId(), phases }), [path]: content });
}

/** Loads a file that must go in. @returns how many rows were inserted, updated, deleted, unchanged @throws Error when it fails */
export async function passLoad(database: TestDatabase, words: Words, content: string, phase?: Readonly<Record<string, unknown>>): Promise<number[]> {
  const end = await load(database, words, content, phase);
  if (end.state !== 'succeeded') throw new Error(JSON.stringify(end.error));
  const counts = end.phases[0]?.steps[0]?.result ?? {};
  return ['inserted', 'updated', 'deleted', 'unchanged'].map((what) => Number(counts[what]));
}

/** Loads a file that must be refused. @throws Error when it goes in */
export async function failLoad(database: TestDatabase, words: Words, content: string, phase?: Readonly<Record<string, unknown>>): Promise<DeploymentError> {
  const end = await load(database, words, content, phase);
  if (end.state !== 'failed' || end.error === null) throw new Error(`it ${end.state}: ${JSON.stringify(end.phases)}`);
  return end.error;
}

/** The rows of a query, without the names of its columns. */
export async function tableOf(database: TestDatabase, query: string): Promise<unknown[][]> {
  return (await sql(database.url, query)).map((row) => Object.values(row));
}
