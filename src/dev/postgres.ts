/**
 * A real PostgreSQL on 127.0.0.1, for `npm start` and for tests: made by initdb, run as a child, killed and restarted at will.
 *
 * Two kinds. A persistent one keeps its data and survives us: when we are killed it runs on, and the next start finds it by its
 * postmaster.pid and goes on with it. One of a test goes when its test goes, however that happens: a watchdog holds the other end of
 * a pipe, and what even the watchdog could not clear is cleared by the next start.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { Problem } from '../domain/problem.ts';
import { asUser, CHECKOUT, cacheFolder, canEnter, makeFolder, memoryFolder, type OsUser, serverUser } from './places.ts';
import { freePort } from './ports.ts';
import { findBinaries, type PostgresVersion } from './postgres_binaries.ts';
import { birthOf, childrenOf, commandLineOf, isAlive, waitUntilGone } from './processes.ts';
import { setWatchdog, type Watchdog } from './watchdog.ts';

/** How long a start may take, crash recovery included. */
const START_MS_MAX = 60_000;
/** How long an ordered stop may take before the server is killed. */
const STOP_MS_MAX = 20_000;

export interface PostgresOptions {
  readonly version?: PostgresVersion;
  /** Names the data of a persistent server; one server runs on it at a time. */
  readonly name?: string;
  /** Just this one, or the start fails; without it any that is free. */
  readonly port?: number;
  /** Taken when it is free. */
  readonly preferredPort?: number;
  readonly persistent?: boolean;
  /** Keeps the data in memory where the machine has room for it (Linux), unless it is persistent. */
  readonly inMemory?: boolean;
  /**
   * Lets the server's processes have their own memory in large pages where glibc (2.35) and Linux can. Each backend takes some 12 MB for plans and
   * caches, and asks for it page by page otherwise: that is a quarter of the processor time of a short session.
   */
  readonly largePages?: boolean;
  /** How passwords travel; takes effect when the data is made. */
  readonly authMethod?: 'scram-sha-256' | 'password';
  readonly settings?: Readonly<Record<string, string>>;
}

export interface Postgres {
  /** Of the superuser `postgres`, database `postgres`. */
  readonly url: string;
  readonly port: number;
  /** Of the postmaster, now. */
  readonly pid: number;
  /** `started` by us; `found` running after its parent was killed, now ours; `shared` with another process that lives and owns it. */
  readonly origin: 'started' | 'found' | 'shared';
  /** Its folder, which only its user (and root) can read: data, password, log. */
  readonly home: string;
  /** The server's own log file. */
  readonly log: string;
  /** Stops it, and removes the data if it is not persistent. A shared server is left alone. */
  stop(): Promise<void>;
  /** Kills postmaster and backends at once, as a power cut would. The data stays. */
  kill9(): Promise<void>;
  /** Starts it again on the same data and port, after an ordered stop if it still runs. */
  restart(): Promise<void>;
  /** @returns the URL of the new database, for the superuser */
  createDatabase(name: string): Promise<string>;
}

/**
 * Starts a server, or finds the persistent one of this name running.
 * @throws Problem invalid_configuration when it does not start; the detail ends with the last lines of the server's log
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const user = serverUser();
  const server = new LocalServer(options, user, options.persistent === true ? persistentHome(options, user) : temporaryHome(options, user));
  await server.start();
  return server;
}

/** Pid and port of the postmaster that runs on this data, whoever started it; null when none does. */
function findPostmaster(data: string): { pid: number; port: number; ready: boolean } | null {
  let lines: string[];
  try {
    lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return null;
  }
  // pid, data folder, start time, port, socket folder, address, shared memory, status (src/include/utils/pidfile.h)
  const pid = Number(lines[0]);
  if (!(pid > 0) || !isAlive(pid) || !commandLineOf(pid).includes(data)) return null;
  return { pid, port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' };
}

class LocalServer implements Postgres {
  port = 0;
  pid = 0;
  origin: 'started' | 'found' | 'shared' = 'started';
  readonly home: string;
  readonly log: string;
  readonly #options: PostgresOptions;
  readonly #user: OsUser | null;
  readonly #data: string;
  readonly #binaries: string;
  #watchdog: Watchdog | null = null;

  constructor(options: PostgresOptions, user: OsUser | null, home: string) {
    this.#options = options;
    this.#user = user;
    this.home = home;
    this.#data = join(home, 'data');
    this.log = join(home, 'log');
    this.#binaries = findBinaries(options.version ?? '18', user);
  }

  get url(): string {
    return this.#urlOf('postgres');
  }

  async start(): Promise<void> {
    try {
      this.#initialise();
      await this.#bringUp(this.#options.port);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    if (this.origin === 'shared') return;
    if (this.pid > 0 && isAlive(this.pid)) {
      // SIGINT ends sessions and writes a checkpoint; SIGQUIT just ends (PostgreSQL manual, 18.5).
      process.kill(this.pid, this.#options.persistent ? 'SIGINT' : 'SIGQUIT');
      if (!(await waitUntilGone(this.pid, STOP_MS_MAX))) await this.kill9();
    }
    if (!this.#options.persistent) rmSync(this.home, { recursive: true, force: true });
    this.#dismissWatchdog();
  }

  async kill9(): Promise<void> {
    if (!isAlive(this.pid)) return;
    // Stopped first: it shall neither see its children die nor start new ones.
    process.kill(this.pid, 'SIGSTOP');
    const family = [...childrenOf(this.pid), this.pid];
    for (const pid of family) kill(pid);
    for (const pid of family) await waitUntilGone(pid, STOP_MS_MAX);
    this.#dismissWatchdog();
  }

  async restart(): Promise<void> {
    if (isAlive(this.pid)) {
      process.kill(this.pid, 'SIGINT');
      if (!(await waitUntilGone(this.pid, STOP_MS_MAX))) await this.kill9();
    }
    this.#dismissWatchdog();
    await this.#bringUp(this.port);
  }

  async createDatabase(name: string): Promise<string> {
    const client = new pg.Client({ connectionString: this.url });
    await client.connect();
    try {
      await client.query(`create database ${pg.escapeIdentifier(name)}`);
    } finally {
      await client.end();
    }
    return this.#urlOf(name);
  }

  #urlOf(database: string): string {
    const password = readFileSync(join(this.home, 'password'), 'utf8').trim();
    return `postgresql://postgres:${password}@127.0.0.1:${this.port}/${encodeURIComponent(database)}`;
  }

  /** Makes the data folder under another name first, so that an interrupted initdb leaves nothing that looks finished. */
  #initialise(): void {
    if (existsSync(this.#data)) return;
    const password = join(this.home, 'password');
    if (!existsSync(password)) {
      writeFileSync(password, randomBytes(18).toString('base64url'), { mode: 0o600 });
      give(password, this.#user);
    }
    for (const name of readdirSync(this.home)) if (name.startsWith('draft-')) rmSync(join(this.home, name), { recursive: true, force: true });
    const draft = join(this.home, `draft-${process.pid}`);
    const auth = `--auth=${this.#options.authMethod ?? 'scram-sha-256'}`;
    const words = ['-D', draft, '-U', 'postgres', auth, `--pwfile=${password}`, '--encoding=UTF8', '--locale=C', '--no-instructions'];
    if (!this.#options.persistent) words.push('--no-sync');
    const run = spawnSync(join(this.#binaries, 'bin', 'initdb'), words, { cwd: '/', encoding: 'utf8', ...asUser(this.#user) });
    if (run.status !== 0) {
      throw new Problem('invalid_configuration', `initdb failed: ${(run.error?.message ?? run.stderr).trim()}`);
    }
    try {
      renameSync(draft, this.#data);
    } catch (error) {
      rmSync(draft, { recursive: true, force: true });
      if (!existsSync(this.#data)) throw error;
    }
  }

  async #bringUp(exactPort: number | undefined): Promise<void> {
    const deadline = Date.now() + START_MS_MAX;
    let preferred = this.#options.preferredPort;
    for (let attempt = 1; ; attempt++) {
      if (findPostmaster(this.#data) !== null) {
        this.origin = this.#takeOwnership() ? 'found' : 'shared';
        if (await this.#untilReady(deadline)) return;
      }
      this.origin = 'started';
      this.port = exactPort ?? (await freePort(preferred));
      preferred = undefined;
      this.#launch();
      if (await this.#untilReady(deadline)) return;
      // The port was taken meanwhile: again, a few times. Backends of a killed server have not all gone yet: again, for longer.
      const patience = this.#lastWords().includes('shared memory block') ? 100 : 4;
      if (attempt >= patience || Date.now() > deadline) {
        throw new Problem('invalid_configuration', `PostgreSQL did not start. The end of its log:\n${this.#lastWords()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  #launch(): void {
    const settings: Record<string, string> = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: '100',
      logging_collector: 'off',
      ...(this.#options.persistent ? {} : { fsync: 'off', full_page_writes: 'off' }),
      ...this.#options.settings,
    };
    const words = ['-D', this.#data, '-p', String(this.port), ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
    const stale = join(this.#data, 'postmaster.pid');
    // A number that some other program bears by now, or a process that nobody has reaped, would make postgres refuse to start. (That
    // backends of a killed server are still at work, it sees by their shared memory, whatever this file says.)
    if (existsSync(stale)) {
      const bearer = Number.parseInt(readFileSync(stale, 'utf8'), 10);
      if (!isAlive(bearer) || !commandLineOf(bearer).includes('postgres')) rmSync(stale);
    }
    // Output goes to a file, not to a pipe of ours: the server may outlive us. A process group of its own: Ctrl-C is for us.
    const log = openSync(this.log, 'a', 0o600);
    const child = spawn(join(this.#binaries, 'bin', 'postgres'), words, {
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
      // https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html
      ...(this.#options.largePages && { env: { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1', ...process.env } }),
      ...asUser(this.#user),
    });
    closeSync(log);
    child.once('error', () => undefined);
    child.unref();
    this.pid = child.pid ?? 0;
    this.#takeOwnership();
    if (!this.#options.persistent) this.#watchdog = setWatchdog(this.pid, 'QUIT', this.home);
  }

  /** Waits for the word "ready" in postmaster.pid; false when the server ended instead. */
  async #untilReady(deadline: number): Promise<boolean> {
    while (Date.now() < deadline) {
      const postmaster = findPostmaster(this.#data);
      if (postmaster?.ready) {
        this.pid = postmaster.pid;
        this.port = postmaster.port;
        return true;
      }
      if (postmaster === null && !isAlive(this.pid)) {
        this.#dismissWatchdog();
        return false;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return false;
  }

  /** Writes us down as the one who stops the server, unless another lives who is; true when it is ours. */
  #takeOwnership(): boolean {
    const file = join(this.home, 'owner');
    const owner = readOwner(file);
    if (owner !== null && owner !== process.pid) return false;
    writeFileSync(file, `${process.pid}\n${birthOf(process.pid)}`, { mode: 0o600 });
    return true;
  }

  #dismissWatchdog(): void {
    this.#watchdog?.dismiss();
    this.#watchdog = null;
  }

  #lastWords(): string {
    return existsSync(this.log) ? readFileSync(this.log, 'utf8').trim().split('\n').slice(-8).join('\n') : 'it wrote none';
  }
}

/** The process that is written down as the owner, if it still lives, and is the one that wrote. */
function readOwner(file: string): number | null {
  try {
    const [pid, birth] = readFileSync(file, 'utf8').split('\n');
    return isAlive(Number(pid)) && birthOf(Number(pid)) === birth ? Number(pid) : null;
  } catch {
    return null;
  }
}

/** `.weft/` of the checkout when the server's user can be there, else the cache; always the same for one checkout and user. */
function persistentHome(options: PostgresOptions, user: OsUser | null): string {
  const name = `${options.name ?? 'main'}-${options.version ?? '18'}`;
  const near = join(CHECKOUT, '.weft');
  try {
    mkdirSync(near, { recursive: true });
    if (canEnter(user, near)) return makeHome(join(near, name), user);
  } catch {
    // Not ours to write, or made by another user: the cache will do.
  }
  const shelf = makeFolder(join(cacheFolder(user), 'homes'), user === null ? 0o700 : 0o755);
  return makeHome(join(shelf, `${name}-${createHash('sha256').update(CHECKOUT).digest('hex').slice(0, 8)}`), user);
}

function makeHome(folder: string, user: OsUser | null): string {
  const uid = user?.uid ?? process.getuid?.();
  if (existsSync(folder) && uid !== undefined && statSync(folder).uid !== uid) throw new Error(`${folder} belongs to another user`);
  makeFolder(folder, 0o700);
  give(folder, user);
  return folder;
}

/** A new folder that names its owner, beside those of other tests; what dead ones left behind is cleared on the way. */
function temporaryHome({ inMemory = false }: PostgresOptions, user: OsUser | null): string {
  const shelf = makeFolder(join((inMemory ? memoryFolder(user) : null) ?? cacheFolder(user), 'runs'), user === null ? 0o700 : 0o755);
  for (const name of readdirSync(shelf)) clearOrphan(join(shelf, name), Number.parseInt(name, 10));
  const home = mkdtempSync(join(shelf, `${process.pid}-`));
  give(home, user);
  return home;
}

function clearOrphan(home: string, maker: number): void {
  const owned = existsSync(join(home, 'owner')) ? readOwner(join(home, 'owner')) !== null : isAlive(maker);
  if (owned) return;
  const postmaster = findPostmaster(join(home, 'data'));
  if (postmaster !== null) {
    const family = [...childrenOf(postmaster.pid), postmaster.pid];
    for (const pid of family) kill(pid);
  }
  rmSync(home, { recursive: true, force: true, maxRetries: 3 });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

function give(path: string, user: OsUser | null): void {
  if (user !== null) chownSync(path, user.uid, user.gid);
}
