/**
 * The Worker as one module, the way `wrangler deploy` makes it, only faster: for the local stack and for tests.
 */
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { CHECKOUT } from './places.ts';

/** The date whose behaviour of workerd we rely on; the same as in wrangler.toml, which a test looks at. */
export const COMPATIBILITY_DATE = '2026-11-17';

/** @param entry the module with the default export; without it the Worker of Weft */
export async function bundleWorker(entry = join(CHECKOUT, 'src', 'worker', 'main.ts')): Promise<string> {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['workerd', 'worker', 'browser'],
    external: ['node:*', 'cloudflare:*'],
    plugins: [nodeModules],
    sourcemap: 'inline',
    sourcesContent: false,
    logLevel: 'silent',
  });
  const [file] = result.outputFiles;
  if (file === undefined) throw new Error('esbuild wrote nothing');
  return file.text;
}

/**
 * Packages written for Node say `require('events')`. In a module of workerd that has to become an import of `node:events`; what is
 * required is its default export (wrangler does the same).
 */
const nodeModules: Plugin = {
  name: 'node-modules',
  setup({ onResolve, onLoad }) {
    const names = builtinModules.filter((name) => !name.startsWith('_') && !name.includes(':'));
    const filter = new RegExp(`^(?:node:)?(?:${names.join('|')})$`);
    onResolve({ filter }, ({ path, kind }) => {
      const name = path.startsWith('node:') ? path : `node:${path}`;
      return kind === 'require-call' ? { path: name, namespace: 'required' } : { path: name, external: true };
    });
    onLoad({ filter: /.*/, namespace: 'required' }, ({ path }) => ({ contents: `import it from '${path}'; module.exports = it;`, loader: 'js' }));
  },
};
