/**
 * `npm run two-am`: the scene that Weft is made for. Deploys the 52 changesets of examples/two-am three times, each into a new database, by
 * signed requests through the Worker: undisturbed; with the connection reset in the middle of number 47; with the backend terminated there.
 * What it prints is read from the databases, and what it claims is computed: it exits with 0 only if all of it was true. Nothing of it stays.
 */
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Io, styleFor } from '../cli/io.ts';
import { runCommandLine } from '../cli/main.ts';
import { Problem } from '../domain/problem.ts';
import type { Style } from '../words/style.ts';
import { columns, count, cut, duration, oneLine } from '../words/text.ts';
import { type Edge, makeCallerSecret, startEdge } from './edge.ts';
import { CHECKOUT } from './places.ts';
import { type Postgres, startPostgres } from './postgres.ts';
import { prepareDatabase } from './stack.ts';
import { goesOn, type Outcome, type Sight, Witness } from './witness.ts';

const BUNDLE = 'examples/two-am';
const CALLER = 'ci';
/** What changeset 47 builds, and on what. */
const [SCHEMA, TABLE, INDEX] = ['shop', 'orders', 'words_of_messages'];
const NIGHT = 47;
/** How long the build may let us wait. */
const BUILD_MS_MAX = 120_000;
/** Of the table, read for the index. */
const PERCENT_BEFORE_THE_CUT = 10;
const LOOK_AGAIN_MS = 30;
const STATEMENT_CHARACTERS = 68;

const paths = readdirSync(join(CHECKOUT, BUNDLE))
  .filter((name) => name.endsWith('.sql'))
  .sort();
const leave = new AbortController();

function quietIo(signal: AbortSignal, env: Io['env'], hear: (part: string) => void = () => undefined): Io {
  return { env, stdout: { write: hear }, stderr: { write: hear }, isTTY: false, columns: 80, signal };
}

/** The paper: lines that stay, one that moves on a terminal, and how many claims were false. */
class Paper {
  readonly style: Style;
  claims = 0;
  broken = 0;
  readonly #moves: boolean;
  #moving = '';

  constructor() {
    this.#moves = process.stdout.isTTY === true && process.env.TERM !== 'dumb';
    this.style = styleFor(quietIo(leave.signal, process.env), process.stdout.isTTY === true);
  }

  say(line = ''): void {
    process.stdout.write(`${this.#moves ? '\r\u001b[K' : ''}${line}\n`);
  }

  facts(rows: readonly (readonly [string, string])[]): void {
    for (const line of columns(rows, '     ')) this.say(line);
  }

  claim(holds: boolean, words: string): void {
    this.claims += 1;
    if (!holds) this.broken += 1;
    this.say(`   ${holds ? this.style.green('✓') : this.style.red('✗ NOT TRUE:')} ${words}`);
  }

  /** Shown until the next line comes; nowhere but on a terminal. */
  move(line: string): void {
    if (!this.#moves || line === this.#moving) return;
    this.#moving = line;
    process.stdout.write(`\r\u001b[K${this.style.dim(cut(line, (process.stdout.columns ?? 80) - 1))}`);
  }
}

const paper = new Paper();

/** How a deployment ended that somebody waited for. */
interface Job {
  readonly code: number;
  readonly milliseconds: number;
}

/** One database, its witness, and whatever Worker stands before it at the moment. */
class Scene {
  readonly witness: Witness;
  /** What the last job has printed. */
  said = '';
  readonly #databaseUrl: string;
  readonly #name: string;
  readonly #secret = makeCallerSecret();
  #edge: Edge | null = null;

  private constructor(databaseUrl: string, name: string, witness: Witness) {
    this.#databaseUrl = databaseUrl;
    this.#name = name;
    this.witness = witness;
  }

  static async set(postgres: Postgres, name: string, password: string): Promise<Scene> {
    const url = await prepareDatabase(postgres.url, name, password);
    return new Scene(url, name, await Witness.call(url, SCHEMA, INDEX));
  }

  /** What a job of a CI does: a new signed request, to a Worker that knows nothing of any earlier one. @returns the command's exit code */
  async deploy(job = new AbortController()): Promise<number> {
    const edge = await startEdge({ databaseUrl: this.#databaseUrl, target: this.#name, caller: CALLER, secret: this.#secret });
    this.#edge = edge;
    const env = { WEFT_URL: edge.origin, WEFT_TARGET: this.#name, WEFT_CALLER: CALLER, WEFT_SECRET: this.#secret };
    this.said = '';
    const hear = (part: string): void => {
      this.said += part;
    };
    return runCommandLine(['deploy', join(CHECKOUT, BUNDLE)], quietIo(AbortSignal.any([job.signal, leave.signal]), env, hear));
  }

  /** Shows how far it is, until that holds, or until it is over. */
  async watch(until: (sight: Sight) => boolean, over: Promise<unknown> = new Promise(() => undefined)): Promise<Sight | null> {
    let isOver = false;
    over.finally(() => (isOver = true)).catch(() => undefined);
    const deadline = Date.now() + BUILD_MS_MAX;
    while (!isOver && Date.now() < deadline) {
      leave.signal.throwIfAborted();
      const sight = await this.witness.look();
      if (sight !== null && until(sight)) return sight;
      if (sight !== null) paper.move(`   ${bar(sight)} ${sight.next ?? ''}${sight.progress === null ? '' : `: ${describe(sight.progress)}`}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
    return null;
  }

  /** A whole deployment with somebody watching. */
  async deployToEnd(): Promise<Job> {
    const begin = performance.now();
    const job = this.deploy();
    await this.watch(() => false, job);
    const code = await job;
    leave.signal.throwIfAborted();
    if (code !== 0) paper.say(this.said.trimEnd());
    return { code, milliseconds: performance.now() - begin };
  }

  /** Resets every connection to the database, by RST. @returns how many there were */
  reset(): number {
    const relay = this.#edge?.relay;
    const open = relay?.connections.filter((connection) => connection.open) ?? [];
    relay?.cutAll();
    return open.length;
  }

  async killWorker(): Promise<void> {
    await this.#edge?.stop();
    this.#edge = null;
  }

  async strike(): Promise<void> {
    await this.killWorker();
    await this.witness.leave();
  }
}

function bar({ done, steps }: Sight): string {
  const width = Math.round((24 * done) / steps);
  return `${'█'.repeat(width)}${'░'.repeat(24 - width)} ${done} of ${steps}`;
}

function describe(progress: NonNullable<Sight['progress']>): string {
  return progress.percent === null ? progress.phase : `${progress.phase}, ${progress.percent} %`;
}

/** The same as a percentage, where no more than that has changed. */
function nowOf(before: Sight['progress'], now: Sight['progress']): string {
  if (now === null) return 'over';
  return now.phase === before?.phase && now.percent !== null ? `${now.percent} %` : describe(now);
}

/** What was true when everything that stood before the database was taken away. */
interface Cut {
  readonly before: Sight;
  readonly connections: number;
  /** With which the job ended. */
  readonly code: number;
}

/** Deploys until number 47 builds its index, and then takes away connections, Worker and job. */
async function untilTheCut(scene: Scene): Promise<Cut> {
  const job = new AbortController();
  const code = scene.deploy(job);
  const isInTheMiddle = ({ progress, index }: Sight): boolean =>
    index !== null && progress?.phase.startsWith('building index') === true && (progress.percent ?? 0) >= PERCENT_BEFORE_THE_CUT;
  const before = await scene.watch(isInTheMiddle, code);
  if (before === null) {
    await code;
    throw new Problem('internal', `Number ${NIGHT} was over before it was seen to build its index, or did not come that far.\n${scene.said.trimEnd()}`);
  }
  const connections = scene.reset();
  job.abort();
  await scene.killWorker();
  return { before, connections, code: await code };
}

/** What must be true at the end, whatever came between. */
function claimTheSame({ code, milliseconds }: Job, outcome: Outcome, calm: Outcome): void {
  const { state, deployments, applied, ran, index, invalid, fingerprint, content, rows, tables } = outcome;
  paper.claim(
    code === 0 && state === 'succeeded' && deployments === 2 && applied === paths.length && ran === paths.length && index?.valid === true && invalid === 0,
    `${paper.style.bold(`${applied} of ${paths.length}`)}, ${duration(milliseconds)} later; ${ran} steps ran in ${deployments} deployments, so none twice; the index is ${index?.valid ? 'valid' : 'not valid'}`,
  );
  const isSame = fingerprint === calm.fingerprint && content === calm.content && rows === calm.rows;
  paper.claim(
    isSame,
    `${isSame ? 'as' : 'not as'} undisturbed: the catalog (${short(fingerprint)}) and all ${rows.toLocaleString('en')} rows of ${tables} tables (${short(content)})`,
  );
}

const short = (hash: string): string => cut(hash, 16);

async function play(postgres: Postgres): Promise<void> {
  const { style } = paper;
  const password = randomBytes(18).toString('base64url');
  const scenes: Scene[] = [];
  const open = async (name: string): Promise<Scene> => {
    const scene = await Scene.set(postgres, name, password);
    scenes.push(scene);
    return scene;
  };
  const night = paths[NIGHT - 1] ?? '';
  try {
    paper.say(`${paths.length} changesets, three new databases: one is left in peace, two have bad luck in number ${NIGHT}.`);
    const undisturbed = await open('undisturbed');
    const first = await undisturbed.deployToEnd();
    await undisturbed.killWorker();
    const calm = await undisturbed.witness.tellOutcome();
    paper.claim(
      first.code === 0 && calm.applied === paths.length && calm.ran === paths.length && calm.index?.valid === true,
      `in peace: ${calm.applied} of ${paths.length} in ${duration(first.milliseconds)}`,
    );

    const reset = await open('connection_reset');
    paper.say(style.bold(`\n2:00  Connection reset, in the middle of ${night}`));
    const broken = await untilTheCut(reset);
    const { builder, progress } = broken.before;
    const was = progress === null ? 'nothing' : describe(progress);
    const alone = await reset.watch((sight) => sight.progress === null || describe(sight.progress) !== was);
    paper.say(`   ${count(broken.connections, 'connection')} reset, the Worker killed, the CI job over (exit code ${broken.code}). What the database says:`);
    paper.facts(factsOf(alone));
    paper.claim(
      alone !== null && goesOn(broken.before, alone),
      `backend ${builder?.pid} goes on with that statement, for nobody: ${was} when the connection broke, ${nowOf(progress, alone?.progress ?? null)} now`,
    );
    paper.claim(alone?.done === NIGHT - 1 && alone.next === night && alone.index?.valid === false, `number ${NIGHT} is not done, and nothing says it is`);
    paper.say(style.dim('   CI tries again, at once: a new request, a new Worker.'));
    const again = await reset.deployToEnd();
    const after = await reset.witness.tellOutcome();
    const isTheirs = after.sent.length === 1 && after.index?.oid === alone?.index?.oid;
    paper.claim(
      isTheirs,
      `handed out ${after.sent.length === 1 ? 'once' : `${after.sent.length} times`}: the index is ${isTheirs ? 'the one' : 'not the one'} that backend ${builder?.pid} was left with`,
    );
    claimTheSame(again, after, calm);

    const killed = await open('backend_terminated');
    paper.say(style.bold('\n2:30  The same again, and the backend is terminated too'));
    const { before: building } = await untilTheCut(killed);
    const isTerminated = await killed.witness.terminate(building.builder?.pid ?? 0);
    const ruin = await killed.witness.look();
    paper.facts(factsOf(ruin));
    paper.claim(isTerminated && ruin?.builder === null && ruin.index?.valid === false, 'an invalid index is left, and nobody builds it');
    paper.say(style.dim('   CI tries again.'));
    const repaired = await killed.deployToEnd();
    const end = await killed.witness.tellOutcome();
    const repair = end.sent.find(({ kind }) => kind === 'statement_repaired');
    paper.claim(repair !== undefined, `found and repaired: ${repair?.statement ?? 'it was not'}`);
    claimTheSame(repaired, end, calm);
  } finally {
    for (const scene of scenes) await scene.strike();
  }
}

function factsOf(sight: Sight | null): [string, string][] {
  if (sight === null) return [['weft.steps', 'nothing']];
  const { builder, progress, index } = sight;
  return [
    ['weft.steps', `${sight.done} of ${sight.steps} done; next is ${sight.next}`],
    [
      'pg_stat_activity',
      builder === null ? 'no backend builds an index' : `${builder.pid} ${builder.state}: ${cut(oneLine(builder.statement), STATEMENT_CHARACTERS)}`,
    ],
    ...(progress === null ? [] : [['pg_stat_progress', describe(progress)] as [string, string]]),
    ['pg_index', `${INDEX} on ${TABLE}: ${index === null ? 'not there' : `indisvalid = ${index.valid}`}`],
  ];
}

async function main(): Promise<number> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => leave.abort());
  process.stdout.on('error', () => leave.abort()); // nobody reads any more
  process.stderr.on('error', () => undefined);
  const begin = performance.now();
  paper.move('Starting PostgreSQL.');
  const postgres = await startPostgres();
  try {
    await play(postgres);
  } finally {
    await postgres.stop();
  }
  const { claims, broken } = paper;
  paper.say(
    broken === 0
      ? `\n${paper.style.bold('As if nothing had happened.')} ${claims} claims, each computed, each true; ${duration(performance.now() - begin)} in all.`
      : `\n${broken} of ${claims} claims are NOT TRUE.`,
  );
  return broken === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const problem = error instanceof Problem ? error : new Problem('internal', error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.stderr.write(leave.signal.aborted ? '\nTold to end. Nothing of it stays.\n' : `\n${problem.title}\n${problem.message}\n`);
  process.exitCode = leave.signal.aborted ? 3 : problem.exit;
}
// What still holds the process (a connection that does not close, say) shall not hold the shell.
setTimeout(() => process.exit(), 3000).unref();
