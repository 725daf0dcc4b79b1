/**
 * Orders without a folder: files in memory become what the drive takes. And how a test looks at what a deployment left.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { readInline } from '../../src/bundle/inline.ts';
import { wantedChunks } from '../../src/bundle/source.ts';
import { connectTo } from '../../src/database/connect.ts';
import { type OpenedDeployment, openDeployment } from '../../src/database/engine.ts';
import type { Connect, Session } from '../../src/database/session.ts';
import { stagingMessages } from '../../src/database/staging.ts';
import { type DeployOptions, deploy, type Order } from '../../src/deployment/deploy.ts';
import type { Protection } from '../../src/domain/approval.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { sql } from './sql.ts';

export interface OrderOptions {
  /** Of the request: the same id is the same deployment. A random one without it. */
  readonly id?: string;
  readonly bundle?: string;
  readonly caller?: string;
  readonly target?: string | null;
  readonly transaction?: 'single' | 'per-step' | 'auto' | 'none';
  /** Of every step. */
  readonly doneWhen?: string;
  readonly lockTimeout?: string;
  readonly mode?: 'apply' | 'rehearse' | 'baseline' | undefined;
  /** Values of plain parameters. */
  readonly parameters?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** Values of secret ones, which go beside the request. */
  readonly secrets?: Readonly<Record<string, string>> | undefined;
  /** What the environment of its target asks of it. */
  readonly protection?: Protection | undefined;
}

export interface TestOrder {
  readonly order: Order;
  readonly chunks: NonNullable<DeployOptions['chunks']>;
}

/** @param files text by path; without a weft.yaml among them they are one phase, in order of their names */
export async function makeOrder(files: Readonly<Record<string, string>>, options: OrderOptions = {}): Promise<TestOrder> {
  const {
    id = randomId(),
    bundle = 'shop',
    caller = 'direct',
    target = null,
    transaction = 'per-step',
    lockTimeout = '1h',
    doneWhen,
    mode = 'apply',
    parameters,
    secrets,
    protection,
  } = options;
  const step = `{ run: '**/*.sql'${doneWhen === undefined ? '' : `, done_when: ${JSON.stringify(doneWhen)}`} }`;
  const phase = `{ name: main, transaction: ${transaction}, lock_timeout: ${lockTimeout}, steps: [${step}] }`;
  const named = { 'weft.yaml': `name: ${bundle}\nphases:\n  - ${phase}\n`, ...files };
  const made = await readInline(
    Object.entries(named).map(([path, content]) => ({ path, content })),
    bundle,
  );
  const given = { parameters, secrets: secrets && Object.fromEntries(Object.keys(secrets).map((name) => [name, null])) };
  const request = { type: 'deploy', id, audience: null, target, expires_at: '2030-01-01T00:00:00Z', mode, ...given, manifest: made.manifest };
  return {
    order: {
      request: Buffer.from(JSON.stringify(request)),
      manifest: made.manifest,
      caller,
      target,
      mode,
      signature: null,
      secrets: secrets ?? null,
      protection,
    },
    chunks: (wanted) => wantedChunks(made, wanted),
  };
}

export function randomId(): string {
  return `test-${randomBytes(8).toString('hex')}`;
}

/** A way to a database over TCP. @param applicationName under which the server shows the sessions */
export function connectOver(url: string, applicationName = 'weft'): Connect {
  return connectTo({ connectionString: url, transport: 'tcp', applicationName });
}

/** Asks something in a session of its own. */
export async function within<T>(url: string, ask: (session: Session) => Promise<T>): Promise<T> {
  const session = await connectOver(url)();
  try {
    return await ask(session);
  } finally {
    await session.close();
  }
}

/** Deploys files to the end. */
export async function deployFiles(
  connect: Connect,
  files: Readonly<Record<string, string>>,
  options: OrderOptions & { readonly deadlineMs?: number; readonly signal?: AbortSignal } = {},
): Promise<Deployment> {
  const { order, chunks } = await makeOrder(files, options);
  return deploy({ connect, order, chunks, deadlineMs: options.deadlineMs ?? 50_000, signal: options.signal }).done;
}

export async function openOrder(session: Session, { order }: TestOrder): Promise<OpenedDeployment> {
  return openDeployment(session, { ...order, signature: null });
}

export async function stageOrder(session: Session, { chunks }: TestOrder, opened: OpenedDeployment | undefined): Promise<void> {
  if (opened === undefined || opened.missing.length === 0) return;
  for (const reply of await session.pipeline(stagingMessages(opened.id, chunks(new Set(opened.missing))))) if (reply.kind === 'error') throw reply.error;
}

/**
 * Opens and stages a deployment, and sends no CALL.
 * @returns its id
 */
export async function stageFiles(url: string, files: Readonly<Record<string, string>>, options: OrderOptions = {}): Promise<string> {
  const order = await makeOrder(files, options);
  return within(url, async (session) => {
    const opened = await openOrder(session, order);
    await stageOrder(session, order, opened);
    return opened.id;
  });
}

/** A statement that waits while the gate of its database is shut: so that a test knows where a run stands, without a clock. */
export const AT_THE_GATE = 'select pg_advisory_xact_lock_shared(47);';

/**
 * Tables and triggers with which a transaction fails at COMMIT, behind the last place where the engine could catch it, as long as there is a
 * row in `doom`: a deferred trigger that is fired early puts off another one. Whoever inserts into `doomed` is in for it.
 */
export const COMMIT_FAILS = `
create table doom (reason text);
create table doomed (n int);
create table late (n int);
create function put_off() returns trigger language plpgsql as $$ begin set constraints all deferred; insert into public.late values (1); return null; end $$;
create function fail_late() returns trigger language plpgsql as $$
begin
  if exists (select from public.doom) then raise exception 'failed at the commit itself'; end if;
  return null;
end $$;
create constraint trigger put_off after insert on doomed deferrable initially deferred for each row execute function put_off();
create constraint trigger fail_late after insert on late deferrable initially deferred for each row execute function fail_late();
`;

export interface Gate {
  /** Resolves as soon as somebody stands at the gate. */
  reached(): Promise<void>;
  open(): Promise<void>;
}

/** Shuts the gate of a database. Whoever ends the server, or drops the database, opens it. */
export async function shutGate(url: string): Promise<Gate> {
  const keeper = new pg.Client({ connectionString: url });
  keeper.on('error', () => undefined);
  await keeper.connect();
  await keeper.query('select pg_advisory_lock(47)');
  const waiting = `exists (select from pg_locks where locktype = 'advisory' and objid = 47 and not granted
    and database = (select oid from pg_database where datname = current_database()))`;
  return {
    reached: () => until(url, waiting, 'somebody stands at the gate'),
    open: () => keeper.end(),
  };
}

/** Waits until the database says so, in one session as long as that holds. @param condition an expression in SQL */
export async function until(url: string, condition: string, what = condition): Promise<void> {
  const endAt = Date.now() + 30_000;
  let client: pg.Client | null = null;
  const isMet = async (): Promise<boolean> => {
    if (client === null) {
      client = new pg.Client({ connectionString: url });
      client.on('error', () => undefined);
      await client.connect();
    }
    return (await client.query(`select (${condition}) as met`)).rows[0].met === true;
  };
  const leave = async (): Promise<void> => {
    const left = client;
    client = null;
    await left?.end().catch(() => undefined);
  };
  try {
    while (
      !(await isMet().catch(async () => {
        await leave();
        return false;
      }))
    ) {
      if (Date.now() > endAt) throw new Error(`In 30 s it has not come to this: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } finally {
    await leave();
  }
}

/** Every row of every table of the user's, by table: what must be equal after whatever happened on the way. */
export async function everyRow(url: string): Promise<Record<string, string[]>> {
  const tables = await sql(
    url,
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('weft', 'information_schema') and schemaname !~ '^pg_' order by 1`,
  );
  const rows: Record<string, string[]> = {};
  for (const { name } of tables) rows[name] = (await sql(url, `select t::text as row from ${name} as t order by 1`)).map(({ row }) => row);
  return rows;
}
