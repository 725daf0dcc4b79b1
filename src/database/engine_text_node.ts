/** `#engine-text` in Node: the engine's text is a file beside this one, in a checkout and in the published package. */
import { readFile } from 'node:fs/promises';

export async function readEngineText(): Promise<Uint8Array<ArrayBuffer>> {
  return readFile(new URL('./assets/engine.json', import.meta.url));
}
