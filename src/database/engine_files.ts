/**
 * The files of the engine that this Weft brings. Their text is larger than all the rest of a Worker, and is needed once in the life of
 * a database. So no module contains it: it is read when it is to be installed, from where `#engine-text` (package.json) finds it in
 * Node and in workerd.
 */
import { readEngineText } from '#engine-text';
import { Problem } from '../domain/problem.ts';
import { ENGINE_DIGEST } from './engine_version.ts';

export interface EngineFile {
  readonly name: string;
  readonly sql: string;
}

export interface EngineFiles {
  /** The floors of the engine, in the order in which they are laid. */
  readonly files: readonly EngineFile[];
  /** Upgrades of a live engine, by the number of the version that each leads to. */
  readonly upgrades: readonly EngineFile[];
}

/**
 * Reads the engine's text.
 * @throws Problem invalid_configuration when it is not there, or is not the one that this Weft was built with
 */
export async function readEngineFiles(): Promise<EngineFiles> {
  const text = await readEngineText();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', text));
  if (Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('') !== ENGINE_DIGEST) {
    throw new Problem(
      'invalid_configuration',
      "The engine's text (engine.json) is not the one that this Weft was built with. Nothing was changed in the database. Deploy the Worker, or install Weft, again and whole.",
    );
  }
  return JSON.parse(new TextDecoder().decode(text)) as EngineFiles;
}
