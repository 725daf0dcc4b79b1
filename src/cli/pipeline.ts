/**
 * A command in a job of GitHub Actions, GitLab CI or Azure Pipelines: phases become groups of the log, errors become marks on their
 * file and line, and the end becomes a summary where the forge shows one. Text from files, servers and databases never acts as a
 * command to the forge. The syntax of each forge is dialects.ts's business, the contents of a summary markdown.ts's.
 */
import { appendFileSync, writeFileSync } from 'node:fs';
import { isAbsolute, join, posix, relative, resolve, sep } from 'node:path';
import type { Deployment, DeploymentError } from '../domain/deployment.ts';
import { oneLine } from '../words/text.ts';
import { azureCommand, type Dialect, dialectOf, type Level, type Mark } from './dialects.ts';
import type { Io, Sink } from './io.ts';
import { renderMarkdown, renderProblemMarkdown } from './markdown.ts';

/** GitHub shows ten of each level a step, and drops the rest. */
const MARKS_MAX = 10;

export class Pipeline {
  /** The same as outside, with sinks in which nothing is a command. */
  readonly io: Io;
  readonly #dialect: Dialect;
  readonly #stderr: Sink;
  #groups = 0;
  #open: string | null = null;

  constructor(io: Io, dialect: Dialect) {
    this.#dialect = dialect;
    this.#stderr = io.stderr;
    // Getters of `io` stay getters.
    this.io = Object.create(io, { stdout: { value: this.#guard(io.stdout) }, stderr: { value: this.#guard(io.stderr) } });
  }

  /** Begins a group, and ends the one before it. @param title null: what follows stands in none */
  group(title: string | null): void {
    if (this.#open !== null) this.#command(this.#dialect.end(this.#open, Date.now()));
    this.#open = null;
    if (title === null) return;
    this.#groups += 1;
    this.#open = `weft_${this.#groups}`;
    this.#command(this.#dialect.begin(this.#open, this.#dialect.defuse(oneLine(title)), Date.now()));
  }

  /**
   * The end of a deployment.
   * @param folder of the bundle, as it was named; null where there is none
   * @param words of the end
   */
  conclude(deployment: Deployment, folder: string | null, words: string): void {
    this.group(null);
    this.#mark(this.#marksOf(deployment, folder));
    this.#summarise(renderMarkdown(deployment, words));
    this.#handOn([
      ['deployment', deployment.id],
      ['state', deployment.state],
      ...(deployment.approval ? [['digest', deployment.approval.digest] as const] : []),
    ]);
  }

  /** To later jobs, each value under its name as that CI has such names. */
  #handOn(told: readonly (readonly [name: string, value: string])[]): void {
    const { GITHUB_OUTPUT, WEFT_DOTENV } = this.io.env;
    const dialect = this.#dialect.name;
    const write = (nameOf: (name: string) => string) => told.map(([name, value]) => `${nameOf(name)}=${value}\n`).join('');
    if (dialect === 'github' && GITHUB_OUTPUT)
      this.#append(
        GITHUB_OUTPUT,
        write((name) => name),
      );
    if (dialect === 'gitlab' && WEFT_DOTENV) {
      const text = write((name) => `WEFT_${name.toUpperCase()}`);
      this.#trying(WEFT_DOTENV, () => writeFileSync(resolve(this.io.folder ?? process.cwd(), WEFT_DOTENV), text));
    }
    if (dialect !== 'azure') return;
    for (const [name, value] of told) {
      const variable = `weft${name.charAt(0).toUpperCase()}${name.slice(1)}`;
      this.#command(azureCommand('task.setvariable', [`variable=${variable}`, 'isOutput=true'], value));
    }
  }

  /** A command that ended without a deployment to show. @param words as they stand on stderr */
  complain(title: string, words: string): void {
    this.group(null);
    this.#mark([{ level: 'error', title: `weft: ${title}`, message: words, file: null, line: null, column: null }]);
    this.#summarise(renderProblemMarkdown(words));
  }

  /** The same document, in which nothing is a command: written otherwise, and read alike. */
  defuseJson(text: string): string {
    return this.#dialect.defuseJson(text);
  }

  #marksOf({ error, phases }: Deployment, folder: string | null): Mark[] {
    const tolerated = phases.flatMap(({ steps }) => steps.flatMap(({ path, state, error }) => (state === 'failed' && error ? [{ path, ...error }] : [])));
    const marked = (level: Level, of: DeploymentError): Mark => ({
      level,
      title: of.path ? `${oneLine(of.path)}${of.line ? `:${of.line}` : ''}` : 'weft',
      message: [`${of.sqlstate}: ${of.message}`, ...(of.detail ? [`Detail: ${of.detail}`] : []), ...(of.hint ? [`Hint: ${of.hint}`] : [])].join('\n'),
      file: of.path ? this.#fileOf(folder, of.path) : null,
      line: of.line ?? null,
      column: of.character ?? null,
    });
    return [
      ...(error ? [marked('error', error)] : []),
      ...tolerated.filter(({ path }) => path !== error?.path).map((of) => marked('warning', { ...of, path: of.path })),
    ];
  }

  /** As the forge calls it: from the root of the checkout. */
  #fileOf(folder: string | null, path: string): string | null {
    const root = this.io.env[this.#dialect.root];
    if (folder === null || !root) return null;
    const inside = relative(resolve(root), resolve(this.io.folder ?? process.cwd(), folder, path));
    if (inside === '' || inside.startsWith('..') || isAbsolute(inside)) return null;
    return inside.split(sep).join(posix.sep);
  }

  #mark(marks: readonly Mark[]): void {
    const { mark } = this.#dialect;
    if (mark !== null) for (const one of marks.slice(0, MARKS_MAX)) this.#command(mark(one));
  }

  #summarise(markdown: string): void {
    const { GITHUB_STEP_SUMMARY, AGENT_TEMPDIRECTORY } = this.io.env;
    if (this.#dialect.name === 'github' && GITHUB_STEP_SUMMARY) this.#append(GITHUB_STEP_SUMMARY, markdown);
    if (this.#dialect.name !== 'azure' || !AGENT_TEMPDIRECTORY) return;
    const file = join(AGENT_TEMPDIRECTORY, `weft-${crypto.randomUUID()}.md`);
    if (this.#trying(file, () => writeFileSync(file, markdown))) this.#command(azureCommand('task.uploadsummary', [], file));
  }

  #append(file: string, text: string): void {
    this.#trying(file, () => appendFileSync(file, text));
  }

  /** A summary that cannot be written is no reason for a deployment to have failed. */
  #trying(file: string, write: () => void): boolean {
    try {
      write();
      return true;
    } catch (error) {
      this.io.stderr.write(
        `warning: the pipeline's file ${oneLine(file)} could not be written: ${error instanceof Error ? oneLine(error.message) : 'why is not known'}\n`,
      );
      return false;
    }
  }

  #command(line: string): void {
    this.#stderr.write(`${line}\n`);
  }

  #guard(sink: Sink): Sink {
    return { isTTY: sink.isTTY, write: (text) => sink.write(this.#dialect.defuse(text)) };
  }
}

/** @returns null outside of a pipeline */
export function pipelineOf(io: Io): Pipeline | null {
  const dialect = dialectOf(io.env);
  return dialect === null ? null : new Pipeline(io, dialect);
}
