/** Deploys made-up files to a real database, the way the command line does it: over TCP, through the drive. */
import { createHash, randomUUID } from 'node:crypto';
import type { Chunk } from '../../src/bundle/chunks.ts';
import { connectTo } from '../../src/database/connect.ts';
import { deploy, type Order } from '../../src/deployment/deploy.ts';
import type { Deployment, DeploymentError } from '../../src/domain/deployment.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Artifact, Manifest, Phase } from '../../src/domain/manifest.ts';

export type Files = Readonly<Record<string, string | Uint8Array>>;
export type Rule = Phase['transaction'];

export interface PhaseOfFiles {
  readonly name: string;
  readonly transaction: Rule;
  readonly files: Files;
  readonly lockTimeoutMs?: number;
}

/** A deployment that can be sent, with its bytes. */
export interface Parcel {
  readonly order: Order;
  /** By digest. */
  readonly chunks: ReadonlyMap<string, Uint8Array>;
}

/** Packs phases of files. @param id of the request; the same one with the same files is the same request */
export function pack(phases: readonly PhaseOfFiles[], id: string = randomUUID(), more: { bundle?: string; expiresAt?: string } = {}): Parcel {
  const chunks = new Map<string, Uint8Array>();
  const artifacts: Artifact[] = [];
  for (const { files } of phases) {
    for (const [path, content] of Object.entries(files)) {
      const bytes = Buffer.from(content);
      const digests: string[] = [];
      for (let at = 0; at === 0 || at < bytes.length; at += LIMITS.chunk_bytes) {
        const chunk = bytes.subarray(at, at + LIMITS.chunk_bytes);
        digests.push(sha256(chunk));
        chunks.set(sha256(chunk), chunk);
      }
      artifacts.push({ path, digest: sha256(bytes), size: bytes.length, ...(digests.length > 1 ? { chunks: digests } : {}) });
    }
  }
  const manifest: Manifest = {
    format: 1,
    bundle: more.bundle ?? 'shop',
    artifacts,
    phases: phases.map(({ name, transaction, files, lockTimeoutMs }) => ({
      name,
      transaction,
      ...(lockTimeoutMs === undefined ? {} : { lock_timeout_ms: lockTimeoutMs }),
      steps: Object.keys(files).map((path) => ({ kind: 'run', path })),
    })),
  };
  const expires_at = more.expiresAt ?? '2099-01-01T00:00:00Z';
  const request = Buffer.from(JSON.stringify({ type: 'deploy', id, audience: null, target: null, expires_at, mode: 'apply', manifest }));
  return { order: { request, manifest, caller: 'direct', target: null, signature: null }, chunks };
}

/** Sends a parcel, and stays until its deployment is over. */
export function send(url: string, { order, chunks }: Parcel): Promise<Deployment> {
  return deploy({
    connect: connectTo({ connectionString: url, transport: 'tcp' }),
    order,
    chunks: async function* (wanted): AsyncGenerator<Chunk> {
      for (const [digest, bytes] of chunks) if (wanted.has(digest)) yield { digest, bytes };
    },
    deadlineMs: 50_000,
  }).done;
}

/** Deploys files in one phase called `main`, in their order. */
export function deployFiles(url: string, files: Files, transaction: Rule = 'single', lockTimeoutMs?: number): Promise<Deployment> {
  return send(url, pack([{ name: 'main', transaction, files, ...(lockTimeoutMs === undefined ? {} : { lockTimeoutMs }) }]));
}

/** The same where the outcome shall be a failure. @throws Error when it is none */
export async function failFiles(url: string, files: Files, transaction: Rule = 'single', lockTimeoutMs?: number): Promise<DeploymentError> {
  const deployment = await deployFiles(url, files, transaction, lockTimeoutMs);
  if (deployment.state !== 'failed' || deployment.error === null) throw new Error(`the deployment ${deployment.state}: ${JSON.stringify(deployment)}`);
  return deployment.error;
}

/** The same where it shall succeed. @throws Error with what the engine said when it does not */
export async function passFiles(url: string, files: Files, transaction: Rule = 'single', lockTimeoutMs?: number): Promise<Deployment> {
  const deployment = await deployFiles(url, files, transaction, lockTimeoutMs);
  if (deployment.state !== 'succeeded') throw new Error(`the deployment ${deployment.state}: ${JSON.stringify(deployment.error)}`);
  return deployment;
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
