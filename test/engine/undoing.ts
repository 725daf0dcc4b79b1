/** Bundles whose files bring along what takes them back, and how a test goes back with nothing but SQL. */
import { randomUUID } from 'node:crypto';
import type { Deployment } from '../../src/domain/deployment.ts';
import type { Artifact, Manifest, Phase } from '../../src/domain/manifest.ts';
import { sql } from '../support/sql.ts';
import { type Parcel, type Rule, send, sha256 } from './support.ts';

/** A file, and what takes it back. */
export interface Way {
  readonly run: string;
  readonly undo?: string;
  readonly repeat?: 'on-change' | 'always';
  readonly on_error?: 'continue';
}

/** Files by path; the undo of `x.sql` is called `undo/x.sql`. */
export type Ways = Readonly<Record<string, Way>>;

export interface PhaseOfWays {
  readonly name: string;
  readonly transaction: Rule;
  readonly ways: Ways;
  readonly more?: Partial<Phase>;
}

export function packWays(phases: readonly PhaseOfWays[], more: { bundle?: string; caller?: string; mode?: 'apply' | 'rehearse' } = {}): Parcel {
  const chunks = new Map<string, Uint8Array>();
  const artifacts: Artifact[] = [];
  const add = (path: string, content: string): void => {
    const bytes = Buffer.from(content);
    chunks.set(sha256(bytes), bytes);
    artifacts.push({ path, digest: sha256(bytes), size: bytes.length });
  };
  const manifest: Manifest = {
    format: 1,
    bundle: more.bundle ?? 'shop',
    artifacts,
    phases: phases.map(({ name, transaction, ways, more: rest }) => ({
      name,
      transaction,
      ...rest,
      steps: Object.entries(ways).map(([path, { run, undo, repeat, on_error }]) => {
        add(path, run);
        if (undo !== undefined) add(`undo/${path}`, undo);
        return {
          kind: 'run' as const,
          path,
          ...(undo === undefined ? {} : { undo: `undo/${path}` }),
          ...(repeat === undefined ? {} : { repeat }),
          ...(on_error === undefined ? {} : { on_error }),
        };
      }),
    })),
  };
  const request = Buffer.from(
    JSON.stringify({
      type: 'deploy',
      id: randomUUID(),
      audience: null,
      target: null,
      expires_at: '2099-01-01T00:00:00Z',
      mode: more.mode ?? 'apply',
      manifest,
    }),
  );
  return { order: { request, manifest, caller: more.caller ?? 'direct', target: null, signature: null }, chunks };
}

/** Deploys one phase called `main`, or several. */
export function deployWays(url: string, ways: Ways | readonly PhaseOfWays[], transaction: Rule = 'single'): Promise<Deployment> {
  const phases = Array.isArray(ways) ? (ways as readonly PhaseOfWays[]) : [{ name: 'main', transaction, ways: ways as Ways }];
  return send(url, packWays(phases));
}

/** Opens and stages; somebody else runs it. */
export async function stageWays(url: string, { order, chunks }: Parcel): Promise<string> {
  const [{ opened }] = await sql(url, 'select weft.open($1) as opened', [Buffer.from(order.request)]);
  const all = [...chunks].filter(([digest]) => opened.missing.includes(digest));
  const [digests, bytes] = [all.map(([digest]) => digest), all.map(([, content]) => content)];
  await sql(url, 'select weft.stage($1, $2, $3, $4)', [opened.deployment, digests, bytes.map(({ length }) => length), Buffer.concat(bytes)]);
  return opened.deployment;
}

/** Opens an undo. @param what arguments of weft.undo, in SQL */
export async function openUndo(url: string, what = ''): Promise<string> {
  return (await sql(url, `select weft.undo(${what}) ->> 'deployment' as id`))[0].id;
}

/** Opens an undo and runs it to its end. */
// biome-ignore lint/suspicious/noExplicitAny: the document of weft.status
export async function undo(url: string, what = ''): Promise<any> {
  const id = await openUndo(url, what);
  return (await sql(url, `call weft.run('${id}')`))[0].result;
}

/** Paths in the history, in order. */
export async function pathsIn(url: string): Promise<string[]> {
  return (await sql(url, 'select path from weft.history order by path')).map(({ path }) => path);
}
