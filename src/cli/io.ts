/**
 * What a command communicates through: the environment, two streams to write to, whether a person watches, and the wish to leave.
 * Passed in, so that tests and `npm start` run commands in their own process. Results go to stdout, everything else to stderr; with
 * `--json`, stdout gets exactly one document. What is said is up to the commands.
 */
import { type Style, UNCOLOURED } from '../words/style.ts';
import type { Pipeline } from './pipeline.ts';

export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Where the command is run; without it, where the process is. */
  readonly folder?: string;
  /** What is piped in; absent where nothing can be. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** Whether stderr is a terminal: progress is redrawn there, else it comes line by line. */
  readonly isTTY: boolean;
  /** Width of that terminal, in characters. */
  readonly columns: number;
  /** Aborted by the first Ctrl-C: leave; what runs in transactions goes on in the database. */
  readonly signal: AbortSignal;
}

const paint =
  (on: string, off: string) =>
  (text: string): string =>
    `\u001b[${on}m${text}\u001b[${off}m`;

export const COLOURED: Style = { bold: paint('1', '22'), dim: paint('2', '22'), red: paint('31', '39'), green: paint('32', '39'), yellow: paint('33', '39') };

/** Colours only for a terminal that can show them, and not where NO_COLOR (no-color.org) is set. */
export function styleFor(io: Io, isTerminal: boolean): Style {
  return isTerminal && !io.env.NO_COLOR && io.env.TERM !== 'dumb' ? COLOURED : UNCOLOURED;
}

/** Where a command writes: words for people, or the one JSON document. */
export class Printer {
  readonly io: Io;
  readonly json: boolean;
  /** For words on stdout. */
  readonly style: Style;
  /** For words on stderr. */
  readonly noteStyle: Style;
  /** In a job of a forge: what it shows of the command beside its log. */
  readonly pipeline: Pipeline | null;
  readonly #bare: Io;
  #documents = 0;

  constructor(io: Io, json: boolean, pipeline: Pipeline | null = null) {
    this.io = pipeline?.io ?? io;
    this.#bare = io;
    this.pipeline = pipeline;
    this.json = json;
    this.style = styleFor(io, io.stdout.isTTY === true);
    this.noteStyle = styleFor(io, io.isTTY);
  }

  /** Words of a result: stdout, or nowhere when the result is a JSON document. */
  say(text: string): void {
    if (!this.json) this.io.stdout.write(`${text}\n`);
  }

  /** Words beside the result: stderr. */
  note(text: string): void {
    this.io.stderr.write(`${text}\n`);
  }

  /** The one JSON document; without `--json`, nothing. */
  document(value: unknown): void {
    if (!this.json) return;
    this.#documents += 1;
    if (this.#documents > 1) throw new Error('a command prints one JSON document, and this one has printed its own');
    const text = JSON.stringify(value, null, 2);
    this.#bare.stdout.write(`${this.pipeline?.defuseJson(text) ?? text}\n`);
  }

  /** The same for a document whose exact bytes matter: unchanged, and with nothing after it. */
  bytes(text: string): void {
    if (!this.json) return;
    this.#documents += 1;
    this.#bare.stdout.write(text);
  }

  /** Whether the document is out already. */
  get hasDocument(): boolean {
    return this.#documents > 0;
  }
}
