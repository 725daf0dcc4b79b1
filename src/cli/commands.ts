/**
 * The table of commands: names, options, descriptions, and where the code is. Parsing and help read it; a
 * command's code is loaded only when it is called, so that `weft --help` needs no driver.
 */
import type { Printer } from './io.ts';

export interface Option {
  readonly type: 'string' | 'boolean';
  /** The placeholder for the value in help, such as URL. */
  readonly value?: string;
  readonly help: string;
  /** It may stand there several times: its values are a list. */
  readonly multiple?: true;
}

export type Options = Readonly<Record<string, Option>>;

/** What a command gets: parsed, not yet understood. */
export interface Call {
  readonly command: Command;
  readonly printer: Printer;
  readonly positionals: readonly string[];
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  /** Values of options that may be given several times. */
  readonly lists: Readonly<Record<string, readonly string[]>>;
}

/** @returns the exit code; what goes wrong is thrown as a Problem */
export type Run = (call: Call) => Promise<number>;

export interface Command {
  readonly name: string;
  /** Positionals as help shows them: `<folder>` must be there, `[id]` may. */
  readonly positionals: readonly string[];
  readonly summary: string;
  /** More about it, in paragraphs. */
  readonly about: readonly string[];
  readonly options: Options;
  /** Whether the command needs, or can use, an address: help then says where addresses come from. */
  readonly address: 'needed' | 'used' | 'none';
  /** Whether it comes to an end by itself after Ctrl-C, however long that takes. */
  readonly stops?: 'itself';
  readonly load: () => Promise<Run>;
}

export const COMMON_OPTIONS: Options = {
  json: { type: 'boolean', help: 'print one JSON document on stdout; messages and progress go to stderr' },
  help: { type: 'boolean', help: 'show this help' },
};

const ADDRESS: Options = {
  database: { type: 'string', value: 'URL', help: 'connect straight to a database: postgres://… (better: set DATABASE_URL)' },
  transport: { type: 'string', value: 'KIND', help: 'how to reach the database: tcp (the default) or websocket' },
  to: { type: 'string', value: 'URL', help: 'send a signed request to this Worker (or: WEFT_URL)' },
  target: { type: 'string', value: 'NAME', help: "the Worker's name for the database (or: WEFT_TARGET)" },
};
const CALLER: Options = { caller: { type: 'string', value: 'NAME', help: "who reads: the Worker's name for you (or: WEFT_CALLER)" } };
const DEADLINE: Options = { deadline: { type: 'string', value: 'SECONDS', help: 'how long to follow it before leaving it to run alone (default: 3600)' } };
const SET: Options = {
  set: { type: 'string', value: 'NAME=VALUE', help: 'set a parameter; @FILE reads the value from a file, @- from stdin (@@ is a literal @)', multiple: true },
  'set-env': { type: 'string', value: 'NAME=VARIABLE', help: 'set a parameter to the value of an environment variable', multiple: true },
};
const SET_SECRETS: Options = {
  set: { type: 'string', value: 'NAME=@FILE', help: 'give a secret parameter again, from a file; @- reads stdin', multiple: true },
  'set-env': { type: 'string', value: 'NAME=VARIABLE', help: 'give it again, from an environment variable', multiple: true },
};
const REPORT: Options = { junit: { type: 'string', value: 'FILE', help: 'write the result of every step to FILE, as JUnit XML' } };
const UP_TO: Options = {
  'up-to': { type: 'string', value: 'PATH', help: 'stop after this file, in the order of the plan; later files stay pending' },
};
const STRICT: Options = { strict: { type: 'boolean', help: 'exit with 1 if it ends degraded' } };

export const COMMANDS: readonly Command[] = [
  {
    name: 'init',
    positionals: ['[folder]'],
    summary: 'start a bundle: write a weft.yaml into a folder',
    about: ['Writes weft.yaml, and a first SQL file if the folder has none. Never overwrites anything.'],
    options: { name: { type: 'string', value: 'NAME', help: "the bundle's name (default: the folder's)" } },
    address: 'none',
    load: async () => (await import('./commands/init.ts')).init,
  },
  {
    name: 'check',
    positionals: ['<folder>'],
    summary: 'validate a bundle, without a database',
    about: [
      'Reads every file. Prints the phases, the files in the order in which they would run, and warnings, for example about a COMMIT in the middle of a file. Commands that only psql knows (\\i, \\set) are refused.',
    ],
    options: {},
    address: 'none',
    load: async () => (await import('./commands/check.ts')).check,
  },
  {
    name: 'plan',
    positionals: ['<folder>'],
    summary: 'show exactly what a deployment would run',
    about: [
      'Lists the steps in order. With an address it also reads the history of the database, and says which files are new, already applied, or changed since they were applied. Writes nothing. Exits with 2 if the database would refuse the bundle.',
    ],
    options: { ...ADDRESS, ...CALLER, ...SET, ...UP_TO },
    address: 'used',
    load: async () => (await import('./commands/plan.ts')).plan,
  },
  {
    name: 'deploy',
    positionals: ['<folder>'],
    summary: 'deploy a bundle',
    about: [
      'Sends the folder, starts the run, and shows what happens. If the connection is lost, the command reconnects by itself until the deadline.',
      'What runs in transactions needs no client: Ctrl-C detaches, and the deployment goes on in the database. A statement that cannot run in a transaction (create index concurrently, vacuum) needs a session: once you have left, the server finishes that statement, and whatever follows it waits for "weft resume" or the next deployment. Through a Worker, the Worker stays in your place for a while.',
      'Others can read the command line, so give a secret parameter only as --set token=@FILE, --set token=@- or --set-env token=VARIABLE.',
      'Calls with the same --id are the same deployment: the second one gets the result of the first. In CI, use the id and the attempt of the run.',
    ],
    options: {
      ...ADDRESS,
      id: { type: 'string', value: 'KEY', help: 'the key of this deployment (default: random)' },
      ...STRICT,
      ...REPORT,
      ...DEADLINE,
      ...SET,
      ...UP_TO,
      rehearse: { type: 'boolean', help: 'run all of it in one transaction, roll that back, and print a report' },
      'may-wait': { type: 'boolean', help: 'exit with 0 instead of 3 if it waits for an approval' },
    },
    address: 'needed',
    load: async () => (await import('./commands/deploy.ts')).deploy,
  },
  {
    name: 'status',
    positionals: ['[id]'],
    summary: 'show one deployment, or the latest ones',
    about: ['Reads committed rows, and what the running backend shows of its progress. Exits with 0 whatever the state is.'],
    options: { ...ADDRESS, ...CALLER },
    address: 'needed',
    load: async () => (await import('./commands/read.ts')).status,
  },
  {
    name: 'history',
    positionals: ['[bundle]'],
    summary: 'show what has been applied to the database',
    about: [],
    options: { ...ADDRESS, ...CALLER },
    address: 'needed',
    load: async () => (await import('./commands/read.ts')).history,
  },
  {
    name: 'drift',
    positionals: ['[id]'],
    summary: 'show what changed in the database outside of deployments',
    about: [
      'Compares the catalog (tables, columns, constraints, indexes, views, functions, rights, …) with what deployments left behind, and names every object that differs, with both definitions. A change made by hand stays drift, also after later deployments, until it is reverted, a deployment changes the object, or you accept it with --accept. Objects that a bundle leaves to something else (drift: ignore:) are no drift, and are listed separately. Without --accept the command only reads.',
      'Exits with 0 if nothing differs, with 1 if something does, and with 2 if it cannot tell: because nothing has been deployed yet, or because the server now has another major version.',
      'With the id of a deployment, shows what that deployment changed, and which drift it found when it began. Exits with 0, or with 2 if the database no longer keeps that.',
    ],
    options: {
      ...ADDRESS,
      ...CALLER,
      accept: {
        type: 'boolean',
        help: 'accept the catalog as it is now (through a Worker: needs the grant accept_drift)',
      },
    },
    address: 'needed',
    load: async () => (await import('./commands/drift.ts')).drift,
  },
  {
    name: 'forget',
    positionals: ['<file>'],
    summary: 'say that a file that stopped half-way was taken back by hand',
    about: [
      'A batch, or a file that runs statement by statement, counts as begun if it stopped half-way: the next deployment continues after what is committed, "weft history" lists the file, and an undo takes it back. If you have removed what it did by hand, say so with this command: the next deployment of the file then runs it from the beginning. If the file has been given another name since, its old name is no longer reported as begun. Who said so, when and why is kept with the deployment that ran it.',
      'Name the file by its path in the bundle. Nothing is run, and only Weft\'s own records change. What you dropped by hand is drift until you accept it with "weft drift --accept".',
    ],
    options: {
      ...ADDRESS,
      bundle: { type: 'string', value: 'NAME', help: 'the bundle of the file (default: the only bundle with such a file)' },
      why: { type: 'string', value: 'REASON', help: 'why nothing of the file is left; required, and kept' },
    },
    address: 'needed',
    load: async () => (await import('./commands/forget.ts')).forget,
  },
  {
    name: 'receipt',
    positionals: ['<id>'],
    summary: 'show the permanent record of how a deployment ended',
    about: [
      'Who deployed what; the digests of the request, the manifest and each file; the parameters; the result of every step; fingerprints and WAL positions before and after. The receipt is written in the transaction that ends the deployment and never changes: everyone gets the same bytes, and --json prints exactly those, without a final newline.',
      'A deployment that ended degraded and was resumed has one more receipt for each further end.',
    ],
    options: { ...ADDRESS, ...CALLER, number: { type: 'string', value: 'N', help: 'which receipt, if there are several (default: the newest)' } },
    address: 'needed',
    load: async () => (await import('./commands/receipt.ts')).receipt,
  },
  {
    name: 'resume',
    positionals: ['[id]'],
    summary: 'continue a deployment, or attach to one that is running',
    about: [
      'Without an id, continues whatever is unfinished in the database. If nothing is, it says so and exits with 0, however the newest deployment ended. If a backend is already running the deployment, shows its progress. Safe to repeat.',
      'If several are unfinished, shows the last in line, and names those before it that failed or were cancelled: then it exits with 1.',
      'If the deployment (without an id: the newest) ended degraded, only the steps that failed are tried again.',
      'Secret parameters are stored nowhere: to continue a deployment that has some, give its id and the secrets again.',
    ],
    options: { ...ADDRESS, ...CALLER, ...SET_SECRETS, ...STRICT, ...REPORT, ...DEADLINE },
    address: 'needed',
    load: async () => (await import('./commands/resume.ts')).resume,
  },
  {
    name: 'cancel',
    positionals: ['<id>'],
    summary: 'stop a deployment that is not over',
    about: [
      'What is committed stays. What is in flight is rolled back, and whatever a statement outside of a transaction has left half-made is dropped. Exits with 0 if the deployment does not go on, also if it had already ended.',
      'If that has to wait for another session, the command says which one, and exits with 3 (straight to a database: after ten seconds, or after --deadline). The deployment goes no further then. With nobody attached, though, the server only finishes the drop that it was handed: the rest, and the end of the deployment itself, is left to the next "weft cancel" or any later call.',
    ],
    options: { ...ADDRESS, deadline: { type: 'string', value: 'SECONDS', help: 'how long to wait for the end' } },
    address: 'needed',
    load: async () => (await import('./commands/resume.ts')).cancel,
  },
  {
    name: 'approve',
    positionals: ['<id>'],
    summary: 'approve a deployment that waits for a second person',
    about: [
      'If the environment of a target asks for a second person, a deployment waits in state open until somebody other than its caller approves it. The approval runs it, and this command shows the progress; the receipt names who approved. If the deployment needs secrets, whoever has them gives them with "weft resume".',
      'An approval names the digest of what will run: the files, their order and the parameters. "weft status" shows the digest, and so does the output of "weft deploy". Without --digest the command reads the deployment, shows its digest, and approves that.',
      'Straight to a database, the role of the session approves; in psql: select weft.approve(id, digest).',
    ],
    options: {
      ...ADDRESS,
      ...CALLER,
      digest: { type: 'string', value: 'SHA256', help: 'what is approved (default: the digest that the deployment has)' },
      ...REPORT,
      ...DEADLINE,
    },
    address: 'needed',
    load: async () => (await import('./commands/approve.ts')).approve,
  },
  {
    name: 'undo',
    positionals: ['[id|folder]'],
    summary: 'take a deployment back',
    about: [
      'Runs the undo files of a deployment in reverse. The database has kept them, so no checkout is needed.',
      'Without an id, takes back the newest deployment of a bundle of which something is still in the database. The bundle is the one that --bundle names, else that of the named folder, else that of the weft.yaml in the current folder, else the only bundle in the database. If there are several, it lists them and undoes nothing.',
      'First it says what it will run, what has no undo, and what would make it fail, as far as that can be known. If anything has no undo, it undoes nothing, unless you pass --partly. With --rehearse, all of it runs in one transaction that is rolled back, and you get a report.',
      'With --after ID it goes back over several: every deployment of the bundle that came after that one is taken back, newest first, each by an undo of its own. If any of them has a file without an undo, none is taken back. If one fails, it stops there; the same command goes on.',
      'Secret parameters are stored nowhere: if the undo files use some, give them again.',
      'If a kept undo file is wrong, correct it in a folder and pass --with FOLDER: for every file that the deployment applied and that has the same bytes in the folder, the undo file of the folder is used. Nothing else of the folder is deployed.',
      'An undo is a deployment of its own: you can watch, cancel and resume it. The next deployment of the bundle runs again what an undo has taken back.',
    ],
    options: {
      ...ADDRESS,
      ...CALLER,
      bundle: { type: 'string', value: 'NAME', help: 'take back the newest deployment of this bundle' },
      after: { type: 'string', value: 'ID', help: 'take back every deployment of its bundle that came after this one' },
      plan: { type: 'boolean', help: 'show what would run, and change nothing' },
      rehearse: { type: 'boolean', help: 'run all of it in one transaction, roll that back, and print a report' },
      partly: { type: 'boolean', help: 'undo what can be undone; leave the rest in the database' },
      with: { type: 'string', value: 'FOLDER', help: 'use the corrected undo files of this folder' },
      ...SET_SECRETS,
      id: { type: 'string', value: 'KEY', help: 'the key of this undo (default: random)' },
      ...STRICT,
      ...REPORT,
      ...DEADLINE,
    },
    address: 'needed',
    load: async () => (await import('./commands/undo.ts')).undo,
  },
  {
    name: 'install',
    positionals: [],
    summary: 'install or upgrade the engine in a database',
    about: ['"weft deploy" does this by itself. Everything is in the schema weft; dropping that touches nothing of yours.'],
    options: {
      database: ADDRESS.database as Option,
      transport: ADDRESS.transport as Option,
      print: { type: 'boolean', help: 'print the SQL, run nothing' },
      published: { type: 'boolean', help: 'install it even if a publication FOR ALL TABLES sends its tables to subscribers' },
    },
    address: 'used',
    load: async () => (await import('./commands/install.ts')).install,
  },
  {
    name: 'config check',
    positionals: ['<file>'],
    summary: "check a Worker's configuration",
    about: ['The file is a wrangler.toml or wrangler.jsonc with [vars.WEFT], or a JSON file that holds the configuration itself.'],
    options: {},
    address: 'none',
    load: async () => (await import('./commands/config_check.ts')).configCheck,
  },
  {
    name: 'sign',
    positionals: ['[file]'],
    summary: 'sign a request by hand, for curl',
    about: [
      'The file is a request as JSON, such as {"type": "cancel", "deployment": "…"}, or a folder, which becomes a deploy request with its files inline. Missing members (id, audience, target, expires_at) are filled in. Prints the headers, and the body that was signed.',
      'With secret parameters the body is a tar: the signed request, followed by secrets.json.',
      'With --read it prints a bearer token for reading instead, with --generate-secret a new secret.',
    ],
    options: {
      to: { type: 'string', value: 'URL', help: 'the Worker that the request is for (or: WEFT_URL)' },
      target: ADDRESS.target as Option,
      ...CALLER,
      id: { type: 'string', value: 'KEY', help: 'the id of the request (default: random)' },
      ...SET,
      expires: { type: 'string', value: 'SECONDS', help: 'how long it is valid (default: 900; with --read 3600)' },
      body: { type: 'string', value: 'FILE', help: 'write the signed bytes to FILE, so that curl can send exactly these' },
      read: { type: 'boolean', help: 'print a reading token instead' },
      deployment: { type: 'string', value: 'ID', help: 'with --read: valid for this deployment only' },
      'generate-secret': { type: 'boolean', help: 'print a new random secret instead' },
    },
    address: 'used',
    load: async () => (await import('./commands/sign.ts')).sign,
  },
  {
    name: 'baseline',
    positionals: ['<folder>'],
    summary: 'record a folder as applied, without running it',
    about: [
      'For a database that exists already. Nothing of the folder runs: its files are recorded in the history, with their bytes, as a deployment of its own. Before that, every object that the files create is looked up in the catalog by name; if any is missing, nothing is recorded. Data, rights and what a DO block makes are not checked: the output names the files that were not checked.',
      'To withdraw a baseline, run "weft undo ID": its files leave the history; nothing is run and nothing is dropped.',
      'Checks, and files with "repeat: always", are in no history. If the history has other bytes for a file, the new bytes are recorded without running them, and the output names the file. To record a single file and leave the others to be run, use --only.',
    ],
    options: {
      ...ADDRESS,
      ...UP_TO,
      only: { type: 'string', value: 'PATH', help: 'record this file only; all others stay pending' },
      fingerprint: { type: 'string', value: 'TEXT', help: 'what weft.fingerprint() must return here (taken after a deployment elsewhere)' },
      unverified: { type: 'boolean', help: 'record it without looking at the catalog' },
      id: { type: 'string', value: 'KEY', help: 'the key of this deployment (default: random)' },
      ...REPORT,
      ...DEADLINE,
    },
    address: 'needed',
    load: async () => (await import('./commands/baseline.ts')).baseline,
  },
  {
    name: 'dev',
    positionals: [],
    summary: 'run the local stack: PostgreSQL, relay, Worker',
    about: ['Stays up until Ctrl-C. With --json, prints one line with url, database and secret when it is ready. Needs a checkout.'],
    options: {},
    address: 'none',
    stops: 'itself',
    load: async () => (await import('./commands/dev.ts')).dev,
  },
];
