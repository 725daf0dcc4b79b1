/**
 * The engine's API as typed calls: with `server.ts`, `install.ts` and `staging.ts` the only SQL in `src`. Documents that come back are
 * parsed where they enter. What to call when is up to the drive (`deployment/`).
 */
import * as z from 'zod';
import type { Approval, Protection } from '../domain/approval.ts';
import {
  type Deployment,
  type DeploymentEvent,
  type DeploymentState,
  deploymentSchema,
  deploymentStateSchema,
  eventSchema,
  type Glance,
  glanceSchema,
} from '../domain/deployment.ts';
import { type Foresight, type ForesightQuestion, foresightSchema } from '../domain/foresight.ts';
import { type History, historySchema } from '../domain/history.ts';
import type { Manifest } from '../domain/manifest.ts';
import type { SecretValues } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import { absentDeployment } from './absent.ts';
import { asking, hideSecrets, problemOf } from './engine_problems.ts';
import { ENGINE_VERSION } from './engine_version.ts';
import { guardMessages } from './guard.ts';
import { installEngine } from './install.ts';
import type { OwedCall } from './owed.ts';
import { readDocument } from './reading.ts';
import { assertSameBackend, fitCondition, judgeServer, onlyRow, SERVER_REPLIES_COUNT, type ServerFacts, serverQuestions } from './server.ts';
import type { Message, Reply, Session, SqlError } from './session.ts';

/** What goes with a request into `weft.undo`. */
export type UndoCall = Omit<OpenCall, 'manifest' | 'owed'>;

/** What goes with a request into `weft.open`. */
export interface OpenCall {
  /** The signed bytes. */
  readonly request: Uint8Array;
  readonly manifest: Manifest;
  readonly caller: string;
  /** Null when the deployment goes straight to a database. */
  readonly target: string | null;
  /** The headers of the signature, to be kept; null when there was none. */
  readonly signature: Readonly<Record<string, string>> | null;
  /** Values of secret parameters, which are stored nowhere; null when there are none. */
  readonly secrets?: SecretValues | null | undefined;
  /** What the environment requires of it; null if it requires nothing. */
  readonly protection?: Protection | null | undefined;
  /** Whom to tell how it ends; null if only the one who asks waits for that. */
  readonly owed?: OwedCall | null | undefined;
}

const openedSchema = z.object({
  outcome: z.enum(['created', 'repeated', 'conflict']),
  deployment: z.string(),
  state: deploymentStateSchema,
  backend: z.int().optional(),
  missing: z.array(z.string()).default([]),
  lacking: z.array(z.string()).nullish(),
  receipt: deploymentSchema.shape.receipt,
  approval: deploymentSchema.shape.approval,
  overtaken_by: z.string().nullish(),
});

export interface OpenedDeployment {
  readonly id: string;
  readonly state: DeploymentState;
  readonly repeated: boolean;
  /** The backend that answered: the CALL must meet the same. */
  readonly backend: number;
  /** Digests of the chunks that the database does not have. */
  readonly missing: readonly string[];
  /** Names of secret parameters that every run needs and that were not given. */
  readonly lacking: readonly string[];
  /** For a repeated request whose deployment is over: the receipt that the first one left; null if there is none yet. */
  readonly receipt: NonNullable<Deployment['receipt']> | null;
  /** Null when it needs none. */
  readonly approval: Approval | null;
  /** For a repeated request whose deployment is over: one of the same bundle that has run since; null if there is none. */
  readonly overtakenBy: string | null;
  readonly server: ServerFacts;
}

/** What a CALL is for. */
export interface Run {
  /** Null: whatever is unfinished. */
  readonly id: string | null;
  /** The name of the target; null straight to a database. */
  readonly target: string | null;
  /** Whose deployments may be run ahead of this one; others wait and let it pass. Null: everybody's. */
  readonly callers: readonly string[] | null;
  /** Values of its secret parameters; null when it has none, or none are known. */
  readonly secrets?: SecretValues | null | undefined;
  /** Set to try again what failed in a degraded deployment; the same key is the same request. */
  readonly reopen?: { readonly key: string; readonly caller: string | null } | undefined;
}

/** A statement that PostgreSQL runs in no transaction: the session must run it at top level. */
export interface Directive {
  readonly statement: string;
  /** A statement that tells the session that the first one is done. */
  readonly report: string;
}

/** What a CALL came back with: the deployment, and why it is not over if it is not. */
export interface RunResult {
  readonly deployment: Deployment | null;
  /** Set when another CALL holds the lease. */
  readonly attached: { readonly holder: string; readonly pid: number | null; readonly deployment: string | null } | null;
  /** Whether somebody cancelled the statement on the server, and not the deployment. */
  readonly interrupted: boolean;
  /** Set when the session must run a statement, and then CALL again. */
  readonly directive: Directive | null;
  /** Whether the engine asks what the server said of the last directive. */
  readonly isAsking: boolean;
  /** Names of secret parameters without which nothing of the deployment runs; empty if none are missing. */
  readonly lacking: readonly string[];
}

const runResultSchema = z.looseObject({
  attached: z.looseObject({ holder: z.string(), pid: z.int().nullable(), deployment: z.string().nullable() }).nullish(),
  interrupted: z.unknown().optional(),
  directive: z.looseObject({ statement: z.string(), report: z.string() }).nullish(),
  report: z.boolean().nullish(),
  lacking: z.array(z.string()).nullish(),
});

/**
 * Looks at the server and the engine. One wait.
 * @throws Problem engine_missing, and what makes the session unfit; see `judgeServer`
 */
export async function inspectServer(session: Session): Promise<ServerFacts> {
  return asking(async () => {
    const replies = await session.pipeline(serverQuestions(''));
    const server = judgeServer(replies);
    if (server.engine === null) for (const reply of replies) if (reply.kind === 'error') throw reply.error;
    return server;
  });
}

/**
 * Makes sure that the engine is there and of this version. One wait, and one more if there is something to do.
 * @returns the server, and whether this call installed or upgraded
 */
export async function ensureEngine(session: Session): Promise<{ server: ServerFacts; changed: boolean }> {
  return asking(async () => {
    for (;;) {
      const server = judgeServer(await session.pipeline(serverQuestions('')));
      if (server.engine === ENGINE_VERSION) return { server, changed: false };
      // What came meanwhile is looked at like what was there before.
      if (await installEngine(session, server.engine)) return { server: { ...server, engine: ENGINE_VERSION }, changed: true };
    }
  });
}

/**
 * How an opening is sent: alone, or together with what follows it.
 * @param opening ends with a sync
 * @param id under which it proposes to open
 * @returns the replies to it
 */
export type SendOpening = (opening: readonly Message[], id: string) => Promise<readonly Reply[]>;

/**
 * Opens a deployment, or finds the one that the same request opened before; installs the engine if it is missing. One wait
 * on a database that Weft knows, three on a new one; with secrets one more, because their recipient is checked first.
 * @param send called once more, with another id, after an installation
 * @returns the deployment; its id is the one that was proposed last only if it was opened by that
 * @throws Problem id_conflict, engine_newer, and what makes the session or the request unfit
 */
export async function openDeployment(session: Session, call: OpenCall, send: SendOpening = (opening) => session.pipeline(opening)): Promise<OpenedDeployment> {
  return asking(async () => {
    const secrets = secretMessages(call.secrets);
    if (secrets.length > 0) await installEngine(session, judgeServer(await session.pipeline(serverQuestions(''))).engine);
    for (;;) {
      const id = crypto.randomUUID();
      const replies = (await send([...secrets, ...serverQuestions(id), openMessage(call, id), { kind: 'sync' }], id)).slice(secrets.length);
      const server = judgeServer(replies);
      if (server.engine === ENGINE_VERSION) return readOpened(replies[SERVER_REPLIES_COUNT], server);
      await installEngine(session, server.engine);
    }
  });
}

/** Brings secrets into the session, for what comes next in it: an opening, or a CALL, which takes them out again. */
function secretMessages(secrets: SecretValues | null | undefined): Message[] {
  return secrets === null || secrets === undefined ? [] : [{ kind: 'setting', name: 'weft.secrets', value: JSON.stringify(secrets) }];
}

/** @param id under which it is opened, if it is new; also marks the questions before it */
function openMessage(call: OpenCall, id: string): Message {
  return {
    kind: 'statement',
    text: `select weft.open(p_request => $1, p_manifest => $2, p_caller => $3, p_target => $4, p_signature => $5, p_engine => $6, p_deployment => $7::pg_catalog.uuid, p_protection => $8, p_owed => $9) as opened
where ${fitCondition('$7::pg_catalog.text', ENGINE_VERSION)}`,
    values: [
      call.request,
      JSON.stringify(call.manifest),
      call.caller,
      call.target,
      call.signature === null ? null : JSON.stringify(call.signature),
      String(ENGINE_VERSION),
      id,
      orNull(call.protection),
      orNull(call.owed),
    ],
  };
}

function orNull(document: object | null | undefined): string | null {
  return document === null || document === undefined ? null : JSON.stringify(document);
}

function readOpened(reply: Reply | undefined, server: ServerFacts): OpenedDeployment {
  if (reply?.kind === 'rows' && reply.rows.length === 0) {
    throw new Problem(
      'transaction_pooler',
      'The session did not keep for a moment what was set in it: a pooler in between gives its backends to others. Nothing was changed. Use the direct address of the database.',
    );
  }
  return { ...readFound(JSON.parse(onlyRow(reply).opened ?? 'null'), server.backend), server };
}

/** @param backend which answered the questions before */
function readFound(document: unknown, backend: number): Omit<OpenedDeployment, 'server'> {
  const opened = openedSchema.parse(document);
  if (opened.outcome === 'conflict') {
    throw new Problem(
      'id_conflict',
      `Deployment ${opened.deployment} was opened with this id for another request, and is ${opened.state}. Nothing was changed. Use another id: the run and the attempt of your CI, or a random one.`,
      { deployment: opened.deployment, state: opened.state },
    );
  }
  assertSameBackend(backend, opened.backend);
  return {
    id: opened.deployment,
    state: opened.state,
    repeated: opened.outcome === 'repeated',
    backend: opened.backend ?? backend,
    missing: opened.missing,
    lacking: opened.lacking ?? [],
    receipt: opened.receipt ?? null,
    approval: opened.approval ?? null,
    overtakenBy: opened.overtaken_by ?? null,
  };
}

/** For a CALL that is sent together with the opening: it is refused unless that opened this deployment, at the same backend. */
export const BACKEND_OF_OPENING = 0;

/**
 * The CALL, which is sent alone, and before it what it needs. Its reply is the last.
 * @param id null: whatever is unfinished
 * @param backend the backend that the session was at, or `BACKEND_OF_OPENING`
 * @param more further arguments, as SQL
 */
export function runMessages({ id, target, callers, secrets, reopen }: Run, backend: number, more = ''): Message[] {
  const wish =
    reopen === undefined
      ? ''
      : `, p_reopen => pg_catalog.jsonb_build_object('key', ${literal(reopen.key)}::pg_catalog.text, 'caller', ${literal(reopen.caller)}::pg_catalog.text)`;
  const text = `call weft.run(${literal(id)}, ${literal(target)}, ${backend}, p_callers => ${list(callers)}${wish}${more})`;
  return [...secretMessages(secrets), { kind: 'simple', text }];
}

/**
 * A directive, and the CALL after it: one wait. The statement goes first, in its own transaction, so the server treats it as one at top level;
 * if it fails, its report is skipped.
 * @returns messages of which the first reply is the statement's and the last the CALL's
 */
export function directiveMessages({ statement, report }: Directive, run: Run, backend: number): Message[] {
  return [
    { kind: 'statement', text: statement, values: [] },
    { kind: 'statement', text: report, values: [] },
    { kind: 'sync' },
    { kind: 'simple', text: 'reset session authorization; reset role' },
    ...runMessages(run, backend),
  ];
}

/**
 * The CALL that tells the engine the server's error for a directive; or, with the backend that died, for the previous CALL.
 * @param died that backend
 */
export function reportMessages(error: Pick<SqlError, 'sqlstate' | 'message'> & Partial<SqlError>, run: Run, backend: number, died?: number): Message[] {
  const { sqlstate, message, detail, hint, context } = error;
  // in hexadecimal: the settings of the session, those of literals too, are the file's
  const report = `pg_catalog.convert_from(pg_catalog.decode('${Buffer.from(JSON.stringify({ sqlstate, message, detail, hint, context, died })).toString('hex')}', 'hex'), 'UTF8')::pg_catalog.jsonb`;
  return runMessages(run, backend, `, p_report => ${report}`);
}

/**
 * @param reply what came for the CALL
 * @param secrets that went with it
 * @throws Problem what the engine refused; or an error that was raised where the engine could no longer catch it, without the secrets
 */
export function readRunResult(reply: Reply | undefined, secrets?: SecretValues | null): RunResult {
  try {
    const result = onlyRow(reply).result;
    if (result === null || result === undefined) return { deployment: null, attached: null, interrupted: false, directive: null, isAsking: false, lacking: [] };
    const document = JSON.parse(result);
    const about = runResultSchema.parse(document);
    return {
      deployment: 'id' in document ? deploymentSchema.parse(document) : null,
      attached: about.attached ?? null,
      interrupted: about.interrupted !== undefined,
      directive: about.directive ?? null,
      isAsking: about.report === true,
      lacking: about.lacking ?? [],
    };
  } catch (error) {
    throw problemOf(hideSecrets(error, Object.values(secrets ?? {})), 'call');
  }
}

/** @throws Problem deployment_not_found, engine_missing */
export async function readStatus(session: Session, id: string): Promise<Deployment> {
  return found(id, await readDocument(session, 'select weft.status($1::pg_catalog.uuid) as document', [id], deploymentSchema.nullable()));
}

/** What changes in a deployment while it runs: cheap, however many steps it has. @throws Problem deployment_not_found, engine_missing */
export async function readGlance(session: Session, id: string): Promise<Glance> {
  return found(id, await readDocument(session, 'select weft.glance($1::pg_catalog.uuid) as document', [id], glanceSchema.nullable()));
}

function found<T>(id: string, document: T | null): T {
  if (document !== null) return document;
  throw absentDeployment(`There is no deployment ${id} in this database.`);
}

/** The newest first. @param limit how many at most */
export async function readDeployments(session: Session, limit: number): Promise<Deployment[]> {
  return readDocument(session, 'select weft.list_deployments($1::integer) as document', [String(limit)], z.array(deploymentSchema));
}

/** @param after the number of the last event that is known already; 0 for all */
export async function readEvents(session: Session, id: string, after: number): Promise<DeploymentEvent[]> {
  return readDocument(session, 'select weft.list_events($1::pg_catalog.uuid, $2::integer) as document', [id, String(after)], z.array(eventSchema));
}

/** What has been applied, of one bundle or of all, and what of it in part. */
export async function readHistory(session: Session, bundle?: string): Promise<History> {
  const question = `select pg_catalog.jsonb_build_object('history', weft.list_history($1), 'begun', weft.list_begun($1)) as document`;
  return readDocument(session, question, [bundle ?? null], historySchema);
}

/** What the history says about a bundle. @throws Problem engine_missing */
export async function readForesight(session: Session, { manifest, texts, parameters }: ForesightQuestion): Promise<Foresight> {
  const values = parameters === undefined ? null : JSON.stringify(parameters);
  const asked = [JSON.stringify(manifest), JSON.stringify(texts), values];
  return readDocument(session, 'select weft.plan($1::pg_catalog.jsonb, $2::pg_catalog.jsonb, $3::pg_catalog.jsonb) as document', asked, foresightSchema);
}

/**
 * Opens and stages a deployment that takes another one back, or finds the one that the same request opened before. Nothing is missing of it.
 * @throws Problem nothing_to_undo, undo_out_of_order, undo_missing, deployment_not_found, id_conflict, invalid_parameters, engine_missing
 */
export async function openUndo(session: Session, call: UndoCall, backend: number): Promise<Omit<OpenedDeployment, 'server'>> {
  const text = 'select weft.undo(p_request => $1, p_caller => $2, p_target => $3, p_signature => $4, p_protection => $5) as document';
  const values = [call.request, call.caller, call.target, call.signature === null ? null : JSON.stringify(call.signature), orNull(call.protection)];
  const before = secretMessages(call.secrets);
  return asking(async () => {
    const replies = await session.pipeline([...before, { kind: 'statement', text, values }, { kind: 'sync' }]);
    return readFound(JSON.parse(onlyRow(replies[before.length]).document ?? 'null'), backend);
  });
}

/** Looks who waits while a rehearsal runs, until it is over; to be sent in a session of its own. */
export function sampleMessages(id: string): Message[] {
  return [...guardMessages(), { kind: 'simple', text: `call weft.sample(${literal(id)})` }];
}

/** Asks to cancel a deployment. @param caller null: the role of the session @throws Problem deployment_not_found */
export async function requestCancel(session: Session, id: string, caller: string | null): Promise<Deployment> {
  const question = `select weft.cancel($1::pg_catalog.uuid, coalesce($2::pg_catalog.text, pg_catalog.concat('role ', session_user))) as document`;
  return readDocument(session, question, [id, caller], deploymentSchema);
}

/** A literal for a message that takes no parameters. Ids and targets are names of plain characters; anything else is refused. */
function literal(value: string | null): string {
  if (value === null) return 'null';
  if (!/^[A-Za-z0-9._:-]+$/.test(value)) throw new Problem('invalid_request', `"${value}" is no id and no name of a target.`);
  return `'${value}'`;
}

function list(names: readonly string[] | null): string {
  return names === null ? 'null' : `array[${names.map(literal).join(', ')}]::pg_catalog.text[]`;
}
