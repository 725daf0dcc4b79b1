/** Runs the command line in this process and keeps what it writes. */
import { type Io, runCommandLine } from '../../src/cli/main.ts';

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The one document on stdout; throws when there is anything else. */
  // biome-ignore lint/suspicious/noExplicitAny: documents of every command
  readonly json: () => any;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly signal?: AbortSignal;
  /** Where it is run. */
  readonly folder?: string;
  /** What is piped in. */
  readonly stdin?: string;
  /** Told of everything that goes to stderr, as it comes. */
  readonly onStderr?: (text: string) => void;
}

export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Run> {
  const { stdin } = options;
  let stdout = '';
  let stderr = '';
  const isTTY = options.isTTY ?? false;
  const io: Io = {
    env: options.env ?? {},
    ...(options.folder !== undefined && { folder: options.folder }),
    ...(stdin !== undefined && {
      stdin: (async function* () {
        yield new TextEncoder().encode(stdin);
      })(),
    }),
    stdout: {
      isTTY,
      write: (text) => {
        stdout += text;
      },
    },
    stderr: {
      isTTY,
      write: (text) => {
        stderr += text;
        options.onStderr?.(text);
      },
    },
    isTTY,
    columns: options.columns ?? 80,
    signal: options.signal ?? new AbortController().signal,
  };
  const code = await runCommandLine(argv, io);
  return { code, stdout, stderr, json: () => JSON.parse(stdout) };
}
