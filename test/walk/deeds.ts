/** What a walk does to a database by way of Weft: the drive of the command line, without its words; and what may meet it on its way. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { readInline } from '../../src/bundle/inline.ts';
import { wantedChunks } from '../../src/bundle/source.ts';
import { cutManifest, pickFromManifest } from '../../src/cli/cut.ts';
import { readUndoPlan } from '../../src/database/undo_plans.ts';
import { cancel } from '../../src/deployment/cancel.ts';
import { type DeployOptions, deploy } from '../../src/deployment/deploy.ts';
import { resume } from '../../src/deployment/resume.ts';
import { undo } from '../../src/deployment/undo.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { Problem } from '../../src/domain/problem.ts';
import type { UndoPlan } from '../../src/domain/undo_plan.ts';
import { run } from '../cli/run.ts';
import { connectOver, randomId, within } from '../support/orders.ts';
import { sqlAnew } from '../support/sql.ts';
import type { Values } from './files.ts';
import type { Blow } from './history.ts';

const deadline_ms = 60_000;

type Files = Readonly<Record<string, string>>;

export interface Bundle {
  readonly files: Files;
  /** Of its parameters. */
  readonly values?: Values | undefined;
  /** No further than this file. */
  readonly upTo?: string | undefined;
  /** This file alone. */
  readonly only?: string | undefined;
}

type Mode = 'apply' | 'rehearse' | 'baseline';

const far = '2099-01-01T00:00:00Z';

export async function deployBundle(url: string, bundle: Bundle, mode: Mode, blow?: Blow): Promise<Deployment> {
  const { opened, done } = deploy(await makeDeploy(url, bundle, mode));
  const struck = strike(url, blow, async () => (await opened).id);
  const end = await done;
  await struck;
  return end;
}

async function makeDeploy(url: string, { files, values, upTo, only }: Bundle, mode: Mode): Promise<DeployOptions> {
  const made = await readInline(
    Object.entries(files).map(([path, content]) => ({ path, content })),
    'walk',
  );
  const manifest = only !== undefined ? pickFromManifest(made.manifest, only) : upTo === undefined ? made.manifest : cutManifest(made.manifest, upTo);
  const request = Buffer.from(
    JSON.stringify({ type: 'deploy', id: randomId(), audience: null, target: null, expires_at: far, mode, parameters: values, manifest }),
  );
  const order = { request, manifest, caller: 'direct', target: null, mode, signature: null };
  return { connect: connectOver(url), order, chunks: (wanted) => wantedChunks(made, wanted), chunksAgain: true, deadlineMs: deadline_ms };
}

export async function undoDeployment(
  url: string,
  deployment: string,
  { blow, mode = 'apply', isPartly = false }: { blow?: Blow | undefined; mode?: 'apply' | 'rehearse'; isPartly?: boolean | undefined } = {},
): Promise<Deployment> {
  const request = Buffer.from(JSON.stringify({ type: 'undo', id: randomId(), deployment, partly: isPartly, expires_at: far, mode }));
  const opened = Promise.withResolvers<string>();
  const struck = strike(url, blow, () => opened.promise);
  const order = { request, caller: 'direct', target: null, mode, signature: null };
  const end = await undo({ connect: connectOver(url), order, deadlineMs: deadline_ms, onOpened: ({ id }) => opened.resolve(id) });
  opened.resolve(end.id);
  await struck;
  return end;
}

/** Begins to deploy, and is gone for good so many milliseconds later, client and backend. @returns its id; null where nothing was opened by then */
export async function abandonBundle(url: string, bundle: Bundle, afterMs: number): Promise<string | null> {
  const gone = new AbortController();
  const { opened, done } = deploy({ ...(await makeDeploy(url, bundle, 'apply')), signal: gone.signal });
  const over = Promise.allSettled([opened, done]);
  await sleep(afterMs);
  gone.abort();
  await sqlAnew(
    url,
    `select pg_terminate_backend(a.pid, 5000) from pg_stat_activity as a where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'`,
  );
  const [first] = await over;
  return first.status === 'fulfilled' ? first.value.id : null;
}

/** Goes on with one that is not over, or tries again what failed in one that is degraded. */
export async function resumeDeployment(url: string, id: string, blow?: Blow): Promise<Deployment> {
  const struck = strike(url, blow, async () => id);
  const end = await resume({ connect: connectOver(url), id, target: null, deadlineMs: deadline_ms });
  await struck;
  return end;
}

async function strike(url: string, blow: Blow | undefined, opened: () => Promise<string>): Promise<void> {
  if (blow === undefined) return;
  await sleep(blow.afterMs);
  if (blow.kind === 'lock') return lockTables(url, blow.forMs);
  if (blow.kind === 'kill') {
    await sqlAnew(
      url,
      `select pg_terminate_backend(a.pid) from pg_stat_activity as a where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'`,
    );
    return;
  }
  const id = await opened().catch(() => null);
  if (id !== null) await cancel({ connect: connectOver(url), id, caller: null, target: null, deadlineMs: deadline_ms });
}

const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Whatever of it can be locked at once. */
async function lockTables(url: string, forMs: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("begin; set local lock_timeout = '50ms'");
    const { rows } = await client.query<{ name: string }>(
      "select c.oid::regclass::text as name from pg_class as c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'",
    );
    for (const { name } of rows) await client.query(`savepoint one; lock table ${name}`).catch(() => client.query('rollback to one'));
    await sleep(forMs);
  } finally {
    await client.end();
  }
}

/** What an undo of the newest would run; null where there is nothing to undo. */
export async function planUndo(url: string, bundle = 'walk', id: string | null = null): Promise<UndoPlan | null> {
  return within(url, (session) => readUndoPlan(session, id, bundle)).catch((error: unknown) => {
    if (error instanceof Problem && error.slug === 'nothing_to_undo') return null;
    throw error;
  });
}

export interface Planned {
  readonly code: number;
  /** By path: what the plan says of the step. */
  readonly verdicts: ReadonlyMap<string, string>;
  readonly refusal: string | null;
}

/** `weft plan`, as a program reads it. */
export async function planBundle(url: string, { files, values, upTo }: Bundle): Promise<Planned> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-walk-'));
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
    const { code, json } = await run(
      [
        'plan',
        folder,
        '--json',
        ...(upTo === undefined ? [] : ['--up-to', upTo]),
        ...Object.entries(values ?? {}).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
      ],
      { env: { DATABASE_URL: url } },
    );
    const document = json();
    if (document.problem !== undefined) throw new Error(`the plan: ${JSON.stringify(document.problem)}`);
    const steps: { path: string; verdict: string }[] = document.phases.flatMap(({ steps: of }: { steps: { path: string; verdict: string }[] }) => of);
    return { code, verdicts: new Map(steps.map(({ path, verdict }) => [path, verdict])), refusal: document.refusal?.sqlstate ?? null };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
