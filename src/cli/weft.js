#!/usr/bin/env node
/**
 * The command `weft` of a checkout, in plain JavaScript so that any Node can read it: runs the TypeScript beside it, unbuilt.
 * A Node that cannot do that is replaced by the checkout's own, an optional dependency. What the commands are, it leaves to
 * main.ts; the published package has a launcher of its own.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

if (process.features.typescript) {
  endWithTheLauncher();
  const { main } = await import(new URL('./main.ts', import.meta.url).href);
  await main();
} else {
  runWithTheCheckoutsNode();
}

/** A launcher that was killed outright passes no signal on; but its end of the channel, over which nothing is ever said, closes. */
function endWithTheLauncher() {
  process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel?.unref();
}

function runWithTheCheckoutsNode() {
  const here = fileURLToPath(import.meta.url);
  const isWindows = process.platform === 'win32';
  const home = `node-${isWindows ? 'win' : process.platform}-${process.arch}`;
  const node = join(dirname(here), '..', '..', 'node_modules', home, 'bin', isWindows ? 'node.exe' : 'node');
  if (!existsSync(node)) {
    process.stderr.write(`weft: Node ${process.version} cannot run TypeScript, and the checkout has no Node of its own. Run "npm install", or use Node 24.\n`);
    process.exit(2);
  }
  const child = spawn(node, [here, ...process.argv.slice(2)], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`weft: the checkout's own Node did not start: ${error.message}\n`);
    process.exit(2);
  });
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
