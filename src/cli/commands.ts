/**
 * The table of commands: names, options, what each says of itself, and where its code is. Parsing and help read it; a
 * command's code is loaded only when it is called, so that `weft --help` needs no driver.
 */
import type { Printer } from './io.ts';

export interface Option {
  readonly type: 'string' | 'boolean';
  /** What stands for the value in help, such as URL. */
  readonly value?: string;
  readonly help: string;
  /** Refused by name: this version does not have it. */
  readonly absent?: true;
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
  /** Of options that may stand there several times. */
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
  json: { type: 'boolean', help: 'one JSON document on stdout; words and progress go to stderr' },
  help: { type: 'boolean', help: 'say what the command does' },
};

const ADDRESS: Options = {
  database: { type: 'string', value: 'URL', help: 'straight to a database: postgres://… (better: DATABASE_URL)' },
  transport: { type: 'string', value: 'KIND', help: 'how to reach it: tcp (the default) or websocket' },
  to: { type: 'string', value: 'URL', help: 'through a Worker, with a signed request (or: WEFT_URL)' },
  target: { type: 'string', value: 'NAME', help: "the Worker's name of the database (or: WEFT_TARGET)" },
};
const CALLER: Options = { caller: { type: 'string', value: 'NAME', help: 'who reads, as the Worker calls it (or: WEFT_CALLER)' } };
const DEADLINE: Options = { deadline: { type: 'string', value: 'SECONDS', help: 'how long to follow before leaving it to itself (3600)' } };
const SET: Options = {
  set: { type: 'string', value: 'NAME=VALUE', help: 'a parameter; @FILE or @- for its value reads it from there (@@ is one @)', multiple: true },
  'set-env': { type: 'string', value: 'NAME=VARIABLE', help: 'a parameter whose value is in the environment', multiple: true },
};
const SET_SECRETS: Options = {
  set: { type: 'string', value: 'NAME=@FILE', help: 'a secret parameter that is needed again; @- for standard input', multiple: true },
  'set-env': { type: 'string', value: 'NAME=VARIABLE', help: 'the same, from the environment', multiple: true },
};
const REPORT: Options = { junit: { type: 'string', value: 'FILE', help: 'write what every step came to there, as JUnit XML' } };
const UP_TO: Options = {
  'up-to': { type: 'string', value: 'PATH', help: 'no further than this file, in the order of the plan; the others are still to be run' },
};
const STRICT: Options = { strict: { type: 'boolean', help: 'exit with 1 when it ends degraded' } };

export const COMMANDS: readonly Command[] = [
  {
    name: 'init',
    positionals: ['[folder]'],
    summary: 'write a bundle file into a folder',
    about: ['Writes weft.yaml, and a first SQL file where there is none. Never overwrites anything.'],
    options: { name: { type: 'string', value: 'NAME', help: "the bundle's name (the folder's)" } },
    address: 'none',
    load: async () => (await import('./commands/init.ts')).init,
  },
  {
    name: 'check',
    positionals: ['<folder>'],
    summary: 'validate a bundle, without a database',
    about: [
      'Reads every file, and prints the phases, the files in the order in which they would run, and warnings: also of what no server takes from a file, such as COMMIT in the middle of it. What only psql knows (\\i, \\set) is refused.',
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
      'Step by step, in order. With an address it asks the history of the database: new, already applied, or changed since it was applied. Without one the history is unknown. Nothing is written. Exits with 2 when the database would refuse the bundle.',
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
      'Sends the folder, says "run", and shows what happens. A lost connection is no end: the command attaches again by itself until the deadline.',
      'In transactions the run needs no client: Ctrl-C leaves, and the deployment goes on in the database. A statement that PostgreSQL runs in no transaction (create index concurrently, vacuum) needs a session: when you have left, the server finishes that statement, and what is behind it waits for "weft resume" or the next deployment. A Worker stays in your place for a while.',
      'A secret parameter is never taken from the command line itself, which others can read: --set token=@FILE, --set token=@- or --set-env token=VARIABLE.',
      'The same --id is the same deployment: the second gets the result of the first. Use the run id and attempt of your CI.',
    ],
    options: {
      ...ADDRESS,
      id: { type: 'string', value: 'KEY', help: 'the key of this deployment (random)' },
      ...STRICT,
      ...REPORT,
      ...DEADLINE,
      ...SET,
      ...UP_TO,
      rehearse: { type: 'boolean', help: 'all of it in one transaction that is rolled back, with a report' },
      'may-wait': { type: 'boolean', help: "exit with 0 when it waits for somebody's approval (3)" },
    },
    address: 'needed',
    load: async () => (await import('./commands/deploy.ts')).deploy,
  },
  {
    name: 'status',
    positionals: ['[id]'],
    summary: 'show one deployment, or the latest ones',
    about: ['Reads committed rows, and what the backend at work shows of itself. Exits with 0 whatever the state is.'],
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
      'Compares the catalog (tables, columns, constraints, indexes, views, functions, rights, …) with what deployments have left, and names every object that differs, with both definitions. What was changed by hand stays drift behind later deployments too, until it is as it was, a deployment changes it, or --accept says that it is meant. What a bundle says something else sees to (drift: ignore:) is no drift, and listed as that. Without --accept it reads only. Exits with 0 when nothing differs, with 1 when something does, and with 2 when it cannot be told: no deployment has left anything yet, or the server is of another major version than then.',
      'With the id of a deployment: what that one has changed, and what it found when it began that was not as deployments had left it. Then it exits with 0, or with 2 when that is not kept any more.',
    ],
    options: {
      ...ADDRESS,
      ...CALLER,
      accept: {
        type: 'boolean',
        help: 'say that what is there now is what shall be (grant: accept_drift)',
      },
    },
    address: 'needed',
    load: async () => (await import('./commands/drift.ts')).drift,
  },
  {
    name: 'forget',
    positionals: ['<file>'],
    summary: 'say that nothing of a file that stopped half-way is there any more',
    about: [
      'A file that runs statement by statement, or a batch, and stopped half-way, counts as begun: it goes on behind what is committed, "weft history" lists it, and an undo takes it back. When that was taken back by hand, say so: the deployment that brings the file next runs it from its beginning, and what went into the world under another name is not waited for any more. Who said so, when and why stays with the deployment that had run it.',
      'The file is named by its path in the bundle. Nothing is run, and nothing but what Weft remembers is changed; what was dropped by hand is drift until "weft drift --accept".',
    ],
    options: {
      ...ADDRESS,
      bundle: { type: 'string', value: 'NAME', help: 'of which bundle (the only one of which such a file stopped half-way)' },
      why: { type: 'string', value: 'REASON', help: 'why nothing of it is there any more; needed, and kept' },
    },
    address: 'needed',
    load: async () => (await import('./commands/forget.ts')).forget,
  },
  {
    name: 'receipt',
    positionals: ['<id>'],
    summary: 'show the account of how a deployment ended',
    about: [
      'Who deployed what, with the digests of the request, the manifest and each file; parameters; what every step came to; fingerprints and WAL positions before and after. It was written in the transaction in which the deployment ended, and is never changed: whoever asks gets the same bytes, and --json prints exactly these, with no line end behind them.',
      'One that ended degraded and was opened again has another receipt for each further end.',
    ],
    options: { ...ADDRESS, ...CALLER, number: { type: 'string', value: 'N', help: 'which one of several (the newest)' } },
    address: 'needed',
    load: async () => (await import('./commands/receipt.ts')).receipt,
  },
  {
    name: 'resume',
    positionals: ['[id]'],
    summary: 'continue a deployment, or attach to one that is running',
    about: [
      'Without an id: whatever is unfinished in the database; when nothing is, it says so and exits with 0, however the newest deployment ended. If a backend is running it already, this shows how it gets on. Safe to repeat.',
      'Of a deployment that ended degraded (without an id: the newest), the steps that failed are tried again, and no others.',
      'Secret parameters are kept nowhere: a deployment that has some needs them again, with its id.',
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
      'What is committed stays. What is in flight is rolled back, and what a statement outside of a transaction has left half-made is taken away. Exits with 0 when it does not go on: also when it had ended before.',
      'When that has to wait for somebody, it says for whom, and ends with 3; straight to a database after ten seconds, or when you say. The deployment goes no further then; but with nobody attached the server finishes only the drop that it was handed. What is behind that, and the end itself, is seen to by the next "weft cancel", or any later call.',
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
      'Where the environment of a target asks for a second person, a deployment waits in state open until somebody else than its caller approves it. Who that was stands in its receipt. It is run then, and this shows how it gets on; if it needs secrets, whoever has them brings them with "weft resume".',
      'An approval names the digest of what is run: its files, their order and its parameters. "weft status" shows it, and so do the words of whoever deploys. Without --digest the deployment is read, its digest shown, and that is approved.',
      'Straight to a database the role of the session approves; in psql that is: select weft.approve(id, digest).',
    ],
    options: {
      ...ADDRESS,
      ...CALLER,
      digest: { type: 'string', value: 'SHA256', help: 'of what is approved (the one that the deployment has)' },
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
      'Runs the undo files of a deployment in reverse, from what the database has kept: no checkout is needed. Without an id: of the newest deployment of which something is in the database, of the bundle that --bundle names, or whose weft.yaml is in the folder that is named, or in this one; else of the only one that there is. Of several it names each, and undoes nothing.',
      'It says first what it runs, what has no undo, and what it would fail with, as far as that can be known; if anything has no undo, it undoes nothing, unless you say --partly. With --rehearse all of it runs in one transaction that is rolled back, with a report.',
      'Secret parameters are kept nowhere: if its files name some, it needs them again.',
      'If an undo file that is kept is wrong, --with FOLDER brings the corrected ones first: of the files that the deployment has applied, and that have the same bytes in the folder, the undo files of the folder count. Nothing else of the folder is deployed.',
      'An undo is a deployment of its own: it can be watched, cancelled and resumed. What it takes back is run again by the next deployment.',
    ],
    options: {
      ...ADDRESS,
      ...CALLER,
      bundle: { type: 'string', value: 'NAME', help: 'of which bundle the newest deployment is meant' },
      plan: { type: 'boolean', help: 'show what it would run, and change nothing' },
      rehearse: { type: 'boolean', help: 'all of it in one transaction that is rolled back, with a report' },
      partly: { type: 'boolean', help: 'leave in the database what has no undo' },
      with: { type: 'string', value: 'FOLDER', help: 'with the undo files of this folder, where they were corrected' },
      ...SET_SECRETS,
      id: { type: 'string', value: 'KEY', help: 'the key of this undo (random)' },
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
    about: ['`weft deploy` does this by itself. Everything is in schema weft; dropping it touches nothing of yours.'],
    options: {
      database: ADDRESS.database as Option,
      transport: ADDRESS.transport as Option,
      print: { type: 'boolean', help: 'write the SQL, run nothing' },
      published: { type: 'boolean', help: 'install it although a publication FOR ALL TABLES sends its tables to subscribers' },
    },
    address: 'used',
    load: async () => (await import('./commands/install.ts')).install,
  },
  {
    name: 'config check',
    positionals: ['<file>'],
    summary: "check a Worker's configuration",
    about: ['The file is a wrangler.toml or wrangler.jsonc with [vars.WEFT], or a JSON file with the configuration itself.'],
    options: {},
    address: 'none',
    load: async () => (await import('./commands/config_check.ts')).configCheck,
  },
  {
    name: 'sign',
    positionals: ['[file]'],
    summary: 'sign a request by hand, for curl',
    about: [
      'The file is a request as JSON, such as {"type": "cancel", "deployment": "…"}, or a folder, which becomes a request with its files inline. Members that are missing (id, audience, target, expires_at) are filled in. Prints the headers and the body that was signed.',
      'With secret parameters the body is a tar: the signed request, and secrets.json behind it.',
      'With --read: a bearer token for reading. With --generate-secret: a new secret.',
    ],
    options: {
      to: { type: 'string', value: 'URL', help: 'the Worker it is meant for (or: WEFT_URL)' },
      target: ADDRESS.target as Option,
      ...CALLER,
      id: { type: 'string', value: 'KEY', help: "the request's id (random)" },
      ...SET,
      expires: { type: 'string', value: 'SECONDS', help: 'how long it is good for (900; with --read 3600)' },
      body: { type: 'string', value: 'FILE', help: 'write the signed bytes there, so that curl can send exactly them' },
      read: { type: 'boolean', help: 'print a reading token instead' },
      deployment: { type: 'string', value: 'ID', help: 'with --read: good for this deployment only' },
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
      'For a database that is there already. Nothing of the folder runs: its files are recorded in the history, with their bytes, as a deployment of its own. What the files create is first looked for in the catalog, by name, and if any of it is not there nothing is recorded. Data, rights and what a DO block makes are not looked for: the words of the end say which files that is.',
      'A baseline that was a mistake is withdrawn with "weft undo ID": its files leave the history, nothing is run and nothing is dropped.',
      'Files with "repeat: always" and checks are in no history. A file that the history has with other bytes is recorded anew, unrun, and the end names it: to say it of one file, and leave the others to be run, use --only.',
    ],
    options: {
      ...ADDRESS,
      ...UP_TO,
      only: { type: 'string', value: 'PATH', help: 'this file alone; whatever else would run is still to be run' },
      fingerprint: { type: 'string', value: 'TEXT', help: 'what the catalog must come to (weft.fingerprint(), after a deployment elsewhere)' },
      unverified: { type: 'boolean', help: 'record it without a look at the catalog' },
      id: { type: 'string', value: 'KEY', help: 'the key of this deployment (random)' },
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
    about: ['Stays up until Ctrl-C. With --json: one line with url, database and secret when it is ready. Needs a checkout.'],
    options: {},
    address: 'none',
    stops: 'itself',
    load: async () => (await import('./commands/dev.ts')).dev,
  },
];
