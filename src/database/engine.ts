/**
 * The engine's API as typed calls: with `server.ts`, `install.ts` and `staging.ts` the only SQL in `src`. Documents that come back are parsed where
 * they enter. What to call when is the drive's business (`deployment/`).
 */
import * as z from 'zod';
import {
  type Deployment,
  type DeploymentEvent,
  type DeploymentState,
  deploymentSchema,
  deploymentStateSchema,
  eventSchema,
  type HistoryEntry,
  historyEntrySchema,
} from '../domain/deployment.ts';
import type { Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { problemOf } from './engine_problems.ts';
import { ENGINE, installEngine } from './install.ts';
import { assertSameBackend, judgeServer, onlyRow, SERVER_QUESTIONS, SERVER_REPLIES_COUNT, type ServerFacts } from './server.ts';
import type { Message, Reply, Session, Value } from './session.ts';

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
}

const openedSchema = z.object({
  outcome: z.enum(['created', 'repeated', 'conflict']),
  deployment: z.string(),
  state: deploymentStateSchema,
  backend: z.int().optional(),
  missing: z.array(z.string()).default([]),
});

export interface OpenedDeployment {
  readonly id: string;
  readonly state: DeploymentState;
  readonly repeated: boolean;
  /** The backend that answered: the CALL must meet the same. */
  readonly backend: number;
  /** Digests of the chunks that the database does not have. */
  readonly missing: readonly string[];
  readonly server: ServerFacts;
}

/** What a CALL came back with: the deployment, and why it is not over if it is not. */
export interface RunResult {
  readonly deployment: Deployment | null;
  /** Set when another CALL holds the lease. */
  readonly attached: { readonly holder: string; readonly pid: number | null; readonly deployment: string | null } | null;
  /** Whether somebody cancelled the statement on the server, and not the deployment. */
  readonly interrupted: boolean;
}

const runResultSchema = z.looseObject({
  attached: z.looseObject({ holder: z.string(), pid: z.int().nullable(), deployment: z.string().nullable() }).nullish(),
  interrupted: z.unknown().optional(),
});

/**
 * Looks at the server and the engine. One wait.
 * @throws Problem what makes the session unfit; see `judgeServer`
 */
export async function inspectServer(session: Session): Promise<ServerFacts> {
  return asking(async () => judgeServer(await session.pipeline(SERVER_QUESTIONS)));
}

/**
 * Makes sure that the engine is there and of this version. One wait, and one more where there is something to do.
 * @returns the server, and whether this call installed or upgraded
 */
export async function ensureEngine(session: Session): Promise<{ server: ServerFacts; changed: boolean }> {
  const server = await inspectServer(session);
  const changed = await asking(() => installEngine(session, server.engine));
  return { server: { ...server, engine: ENGINE.version }, changed };
}

/**
 * Opens a deployment, or finds the one that the same request opened before; installs the engine where it is missing. One wait
 * on a database that Weft knows, three on a new one.
 * @throws Problem id_conflict, engine_newer, and what makes the session or the request unfit
 */
export async function openDeployment(session: Session, call: OpenCall): Promise<OpenedDeployment> {
  const open: Message = {
    kind: 'statement',
    // not for a session whose settings a pooler has dropped: it is judged in the same breath, and refused
    text: `select weft.open(p_request => $1, p_manifest => $2, p_caller => $3, p_target => $4, p_signature => $5, p_engine => $6) as opened
where current_setting('statement_timeout') = '0'`,
    values: [
      call.request,
      JSON.stringify(call.manifest),
      call.caller,
      call.target,
      call.signature === null ? null : JSON.stringify(call.signature),
      String(ENGINE.version),
    ],
  };
  return asking(async () => {
    const replies = await session.pipeline([...SERVER_QUESTIONS, open]);
    const server = judgeServer(replies);
    let reply = replies[SERVER_REPLIES_COUNT];
    if (server.engine !== ENGINE.version) {
      await installEngine(session, server.engine);
      [reply] = await session.pipeline([open]);
    }
    const opened = openedSchema.parse(JSON.parse(onlyRow(reply).opened ?? 'null'));
    if (opened.outcome === 'conflict') {
      throw new Problem(
        'id_conflict',
        `Deployment ${opened.deployment} was opened with this id for another request, and is ${opened.state}. Nothing was changed. Use another id: the run and the attempt of your CI, or a random one.`,
        { deployment: opened.deployment, state: opened.state },
      );
    }
    assertSameBackend(server.backend, opened.backend);
    return {
      id: opened.deployment,
      state: opened.state,
      repeated: opened.outcome === 'repeated',
      backend: opened.backend ?? server.backend,
      missing: opened.missing,
      server: { ...server, engine: ENGINE.version },
    };
  });
}

/**
 * The CALL, to be sent alone.
 * @param id null: whatever is unfinished
 * @param backend the backend that the session was at; null when that is not known
 */
export function runMessage(id: string | null, target: string | null, backend: number | null): Message {
  return { kind: 'simple', text: `call weft.run(${literal(id)}, ${literal(target)}, ${backend ?? 'null'})` };
}

/**
 * @param reply what came for a `runMessage`
 * @throws Problem what the engine refused
 */
export function readRunResult(reply: Reply | undefined): RunResult {
  try {
    const result = onlyRow(reply).result;
    if (result === null || result === undefined) return { deployment: null, attached: null, interrupted: false };
    const document = JSON.parse(result);
    const about = runResultSchema.parse(document);
    return {
      deployment: 'id' in document ? deploymentSchema.parse(document) : null,
      attached: about.attached ?? null,
      interrupted: about.interrupted !== undefined,
    };
  } catch (error) {
    throw problemOf(error);
  }
}

/** @throws Problem deployment_not_found, engine_missing */
export async function readStatus(session: Session, id: string): Promise<Deployment> {
  const document = await ask(session, 'select weft.status($1::uuid) as document', [id]);
  if (document === null) {
    throw new Problem('deployment_not_found', `There is no deployment ${id} in this database. \`weft status\` lists the newest.`);
  }
  return deploymentSchema.parse(document);
}

/** The newest first. @param limit how many at most */
export async function readDeployments(session: Session, limit: number): Promise<Deployment[]> {
  return z.array(deploymentSchema).parse(await ask(session, 'select weft.list_deployments($1::integer) as document', [String(limit)]));
}

/** @param after the number of the last event that is known already; 0 for all */
export async function readEvents(session: Session, id: string, after: number): Promise<DeploymentEvent[]> {
  return z.array(eventSchema).parse(await ask(session, 'select weft.list_events($1::uuid, $2::integer) as document', [id, String(after)]));
}

/** What has been applied, of one bundle or of all. */
export async function readHistory(session: Session, bundle?: string): Promise<HistoryEntry[]> {
  return z.array(historyEntrySchema).parse(await ask(session, 'select weft.list_history($1) as document', [bundle ?? null]));
}

/** Asks for the end of a deployment. @throws Problem deployment_not_found */
export async function requestCancel(session: Session, id: string, caller: string): Promise<Deployment> {
  return deploymentSchema.parse(await ask(session, 'select weft.cancel($1::uuid, $2) as document', [id, caller]));
}

async function ask(session: Session, text: string, values: readonly Value[]): Promise<unknown> {
  return asking(async () => JSON.parse((await session.query(text, values))[0]?.document ?? 'null'));
}

async function asking<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw problemOf(error);
  }
}

/** A literal for a message that takes no parameters. Ids and targets are names of plain characters; anything else is refused. */
function literal(value: string | null): string {
  if (value === null) return 'null';
  if (!/^[A-Za-z0-9._-]+$/.test(value)) throw new Problem('invalid_request', `"${value}" is no id and no name of a target.`);
  return `'${value}'`;
}
