#!/usr/bin/env node
/**
 * The command `weft`, in plain JavaScript so that any Node can read it. In a checkout it runs the TypeScript beside it,
 * unbuilt; a Node that cannot do that is replaced by the checkout's own (an optional dependency). In the published package
 * it runs what was built. What the commands are, it leaves to main.ts.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));
const isCheckout = existsSync(join(here, 'main.ts')) && !here.includes(`${sep}node_modules${sep}`);

if (!isCheckout) {
  const { main } = await import(new URL('../../dist/cli/main.js', import.meta.url).href);
  await main();
} else if (process.features.typescript) {
  const { main } = await import(new URL('./main.ts', import.meta.url).href);
  await main();
} else {
  runWithTheCheckoutsNode();
}

function runWithTheCheckoutsNode() {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const node = join(root, 'node_modules', `node-${platform}-${process.arch}`, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (!existsSync(node)) {
    process.stderr.write(`weft: Node ${process.version} cannot run TypeScript, and the checkout has no Node of its own. Run "npm install", or use Node 24.\n`);
    process.exit(2);
  }
  const child = spawn(node, [join(here, 'weft.js'), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`weft: the checkout's own Node did not start: ${error.message}\n`);
    process.exit(2);
  });
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
