/**
 * The command line: argv in, exit code out. Parses, loads the command, and turns whatever is thrown into words or, with
 * `--json`, into the one document. `main` gives it this process; tests and `npm start` call `runCommandLine` themselves.
 * What commands do is in commands/.
 */
import packageFile from '../../package.json' with { type: 'json' };
import { Problem } from '../domain/problem.ts';
import { commandHelp, generalHelp } from './help.ts';
import { type Io, Printer } from './io.ts';
import { renderProblemJunit, writeReport } from './junit.ts';
import { onSignal } from './leave.ts';
import { asksForJson, parse } from './parse.ts';
import { pipelineOf } from './pipeline.ts';
import { asProblem, renderProblem, secretsOf } from './problems.ts';

const { version } = packageFile;

export type { Io, Sink } from './io.ts';

/**
 * @param argv what stands after `weft`
 * @param io where to read the environment and to write
 * @returns the exit code: 0 done · 1 the deployment failed · 2 something that was asked or set up is wrong · 3 interrupted, can be resumed
 */
export async function runCommandLine(argv: readonly string[], io: Io): Promise<number> {
  const printer = new Printer(io, asksForJson(argv), pipelineOf(io));
  let values: Readonly<Record<string, string | boolean | undefined>> = {};
  try {
    const parsed = parse(argv);
    values = parsed.values;
    if (parsed.version) return answer(printer, { version }, version);
    if (parsed.command === null && !parsed.help) {
      printer.note(generalHelp(version));
      printer.document({ problem: new Problem('usage', 'No command was named. "weft --help" lists them.') });
      return 2;
    }
    if (parsed.command === null || parsed.help) {
      const help = parsed.command === null ? generalHelp(version) : commandHelp(parsed.command);
      return answer(printer, { help }, help);
    }
    const run = await parsed.command.load();
    const running = run({ command: parsed.command, printer, positionals: parsed.positionals, values, lists: parsed.lists });
    return await (parsed.command.stops === 'itself' ? running : Promise.race([running, left(io.signal)]));
  } catch (error) {
    const isAbort = io.signal.aborted && !(error instanceof Problem);
    const problem = isAbort ? new Problem('interrupted', 'Left before the command was done.', {}, error) : asProblem(error, secretsOf(io.env, values));
    printer.pipeline?.complain(problem.title, problem.message);
    writeReport(printer, values.junit, () => renderProblemJunit(problem.message));
    printer.note(renderProblem(problem, printer.noteStyle));
    if (!printer.hasDocument) printer.document({ problem });
    return problem.exit;
  }
}

/** Runs the command line of this process, and sets its exit code. */
export async function main(): Promise<void> {
  // A disk that is full, or a terminal that is gone, ends no deployment; and a reader that has left (`weft history | head -1`) is no failure at all.
  let unwritten: string | null = null;
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code !== 'EPIPE') unwritten ??= code ?? 'why is not known';
  });
  const leave = new AbortController();
  const react = onSignal(leave, (code) => process.exit(code), Date.now);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, react);

  const code = await runCommandLine(process.argv.slice(2), {
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    isTTY: process.stderr.isTTY === true,
    get columns() {
      return process.stderr.columns ?? 80;
    },
    signal: leave.signal,
  });
  await new Promise((resolve) => setImmediate(resolve)); // what could not be written is told a turn later
  const exitCode = unwritten === null ? code : code || 1;
  if (unwritten !== null)
    process.stderr.write(`weft: What it had to say could not be written to standard output (${unwritten}). The command itself ended with ${code}.\n`);
  process.exitCode = exitCode;
  setTimeout(() => exitWhenWritten(exitCode), EXIT_GRACE_MS).unref();
}

/** A connection that does not close, say, must not hold the shell. What was written goes out first: on Windows that takes time. */
function exitWhenWritten(code: number): void {
  const isOut = [process.stdout, process.stderr].every((stream) => stream.destroyed || stream.writableLength === 0);
  if (isOut) process.exit(code);
  setTimeout(() => exitWhenWritten(code), 50).unref();
}

/** Rejects a while after Ctrl-C, for work that does not come to rest by itself. */
async function left(signal: AbortSignal): Promise<never> {
  const aborted = Promise.withResolvers<void>();
  const onAbort = (): void => void setTimeout(aborted.resolve, LEAVE_MS);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  await aborted.promise;
  throw new Problem('interrupted', 'Left before the command was done.');
}

const EXIT_GRACE_MS = 2000;
const LEAVE_MS = 1500;

function answer(printer: Printer, document: unknown, words: string): number {
  printer.say(words);
  printer.document(document);
  return 0;
}
