/**
 * `npm start`: brings the local stack up, sends one signed deployment of examples/shop through the Worker, shows it live, says where
 * everything is, and stays up until Ctrl-C.
 *
 *   --once       stop everything after the deployment, and exit with its exit code
 *   --port N     of the Worker (8787)
 *   --data NAME  another set of data than "main"
 *   --json       one JSON document on stdout: addresses, secret, the deployment; words go to stderr
 *
 * They stand behind "--"; what npm keeps of them for itself otherwise is in start_options.ts.
 */
import { join } from 'node:path';
import { type Io, runCommandLine } from '../cli/main.ts';
import { Problem } from '../domain/problem.ts';
import { CHECKOUT } from './places.ts';
import { type Stack, startStack } from './stack.ts';
import { readStartOptions, START_OPTIONS } from './start_options.ts';

const BUNDLE = 'examples/shop';

async function start(): Promise<number> {
  const options = readStartOptions(process.argv.slice(2), process.env);
  if (options.help) {
    process.stdout.write(`${START_OPTIONS}\n`);
    return 0;
  }
  // A reader that has left (`npm start | head`), or a terminal that was closed, is no reason to leave without stopping the database.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const leave = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => leave.abort());
  const say = (line: string): void => void process.stderr.write(`${line}\n`);

  say('Starting PostgreSQL, a WebSocket relay and the Worker. The first time takes some seconds.');
  const stack = await startStack({
    log: say,
    onWorkerLog: (line, level) => (level === 'error' || level === 'warn') && say(`Worker: ${line}`),
    data: options.data,
    ...(options.port === undefined ? {} : { port: options.port }),
  });
  try {
    say(`\nweft deploy ${BUNDLE} --to ${stack.url} --target ${stack.target}`);
    const { code, document } = await deploy(stack, options.json, leave.signal);
    if (options.json) {
      const { close: _, ...addresses } = stack;
      process.stdout.write(`${JSON.stringify({ ...addresses, exit_code: code, deployment: document })}\n`);
    }
    if (options.once || leave.signal.aborted) return code;
    say(code === 0 ? nextSteps(stack) : `\nThe deployment ended with exit code ${code}. The stack stays up, so that you can look.${nextSteps(stack)}`);
    await new Promise<void>((resolve) => leave.signal.addEventListener('abort', () => resolve(), { once: true }));
    return 0;
  } finally {
    say('\nStopping.');
    await stack.close();
  }
}

/** The command line's own deploy, in this process. */
async function deploy(stack: Stack, json: boolean, signal: AbortSignal): Promise<{ code: number; document: unknown }> {
  let text = '';
  const io: Io = {
    env: {
      ...process.env,
      DATABASE_URL: undefined,
      WEFT_URL: stack.url,
      WEFT_TARGET: stack.target,
      WEFT_CALLER: stack.caller,
      WEFT_SECRET: stack.secret,
    },
    stdout: json ? { write: (part) => (text += part) } : process.stdout,
    stderr: process.stderr,
    isTTY: process.stderr.isTTY === true,
    get columns() {
      return process.stderr.columns ?? 80;
    },
    signal,
  };
  const code = await runCommandLine(['deploy', join(CHECKOUT, BUNDLE), ...(json ? ['--json'] : [])], io);
  return { code, document: text === '' ? null : JSON.parse(text) };
}

function nextSteps(stack: Stack): string {
  return `
The Worker      ${stack.url}
The database    ${stack.database}
The data        ${stack.folder}
                It is kept, and the next start continues with it.

In another terminal:

  export WEFT_URL=${stack.url} WEFT_TARGET=${stack.target} WEFT_CALLER=${stack.caller}
  export WEFT_SECRET=${stack.secret}
  npx weft status
  npx weft history
  npx weft deploy ${BUNDLE}      # again: everything is applied already
  npx weft deploy FOLDER             # your own: weft.yaml, or just *.sql

Ctrl-C ends it.`;
}

try {
  process.exitCode = await start();
} catch (error) {
  const problem = error instanceof Problem ? error : new Problem('internal', error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.stderr.write(`${problem.title}\n${problem.message}\n`);
  process.exitCode = problem.exit;
}
// What still holds the process (a connection that does not close, say) shall not hold the shell.
setTimeout(() => process.exit(), 3000).unref();
