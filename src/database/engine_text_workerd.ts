/**
 * `#engine-text` in workerd: the engine's text is a static asset of the Worker (`[assets]` in wrangler.toml), which the Worker alone can
 * read, as every request meets it first and it serves none.
 */
import { env } from 'cloudflare:workers';
import { Problem } from '../domain/problem.ts';

/** @throws Problem invalid_configuration when the Worker was deployed without it */
export async function readEngineText(): Promise<Uint8Array<ArrayBuffer>> {
  if (env.ENGINE === undefined) throw missing('The Worker has no binding ENGINE');
  // Of the address the path alone counts.
  const response = await env.ENGINE.fetch('https://assets.invalid/engine.json');
  if (response.status === 200) return new Uint8Array(await response.arrayBuffer());
  await response.body?.cancel();
  throw missing(`The binding ENGINE answered ${response.status} when asked for engine.json`);
}

function missing(what: string): Problem {
  return new Problem(
    'invalid_configuration',
    `The database has no engine of this version, and the Worker has none to lay: ${what}. Nothing was changed. Deploy it with the [assets] of Weft's wrangler.toml, or run \`weft install\` with the address of the database.`,
  );
}
