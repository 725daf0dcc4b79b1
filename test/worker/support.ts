/**
 * The whole way: the Worker in workerd, a relay that counts and disturbs, and databases of its own on a real server: one
 * over WebSocket, one over TCP, and one that nobody has a grant to deploy to.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { writeTar } from '../../src/bundle/tar.ts';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import type { Artifact, Manifest } from '../../src/domain/manifest.ts';
import { makeReadToken } from '../../src/trust/read_token.ts';
import { generateSecret, signedHeadersOf } from '../../src/trust/sign.ts';
import { signRequest } from '../../src/trust/signature.ts';
import { digestOf } from '../http/support.ts';
import { freshDatabase, type TestDatabase, withDatabase } from '../support/database.ts';

export const SECRETS = { ci: generateSecret(), reader: generateSecret(), deployer: generateSecret() };
export const DEPLOYMENTS = '/v1/targets/shop/deployments';

export interface World {
  readonly worker: LocalWorker;
  readonly relay: Relay;
  readonly database: TestDatabase;
  /** A plain session, to look at what came of it. */
  readonly client: pg.Client;
  /** What the Worker has written to its console. */
  readonly lines: string[];
  stop(): Promise<void>;
}

export async function openWorld(): Promise<World> {
  const [database, tcpDatabase] = await Promise.all([freshDatabase(), freshDatabase()]);
  const { hostname: host, port } = new URL(database.url);
  const relay = await startRelay({ to: { host, port: Number(port) } });
  const overTcp = new URL(tcpDatabase.url);
  overTcp.host = `127.0.0.1:${relay.tcpPort}`;
  const lines: string[] = [];
  const websocket = { transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true };
  const worker = await startWorker({
    config: {
      targets: {
        shop: { database: 'SHOP_URL', ...websocket },
        shop_tcp: { database: 'SHOP_TCP_URL', transport: 'tcp' },
        closed: { database: 'CLOSED_URL', ...websocket },
      },
      callers: { ci: { secrets: ['CI_SECRET'] }, reader: { secrets: ['READER_SECRET'] }, deployer: { secrets: ['DEPLOYER_SECRET'] } },
      grants: [
        { caller: 'ci', targets: ['shop*'], actions: ['deploy', 'resume', 'cancel', 'read'] },
        { caller: 'reader', targets: ['*'], actions: ['read'] },
        { caller: 'deployer', targets: ['shop'], actions: ['deploy'] },
      ],
    },
    secrets: {
      SHOP_URL: database.url,
      SHOP_TCP_URL: overTcp.href,
      CLOSED_URL: withDatabase(database.url, 'closed'),
      CI_SECRET: SECRETS.ci,
      READER_SECRET: SECRETS.reader,
      DEPLOYER_SECRET: SECRETS.deployer,
    },
    onLog: (line) => lines.push(line),
  });
  const client = await database.client();
  return {
    worker,
    relay,
    database,
    client,
    lines,
    async stop() {
      await worker.stop();
      await client.end();
      await relay.stop();
      await Promise.all([database.drop(), tcpDatabase.drop()]);
    },
  };
}

/** A deploy request that is right in everything, with changes. */
export function makeRequest(world: World, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    type: 'deploy',
    id: randomUUID(),
    audience: world.worker.origin,
    target: 'shop',
    expires_at: new Date(Date.now() + 600_000).toISOString(),
    ...changes,
  };
}

export interface Signing {
  readonly secret?: string;
  readonly id?: string;
  /** Milliseconds since 1970. */
  readonly at?: number;
  readonly headers?: Record<string, string>;
}

export async function sign(body: Uint8Array, id: string, o: Signing = {}): Promise<Record<string, string>> {
  return { ...signedHeadersOf(await signRequest(body, o.secret ?? SECRETS.ci, o.id ?? id, Math.floor((o.at ?? Date.now()) / 1000))) };
}

/** A signed JSON document, as the init of a POST. */
export async function post(document: Record<string, unknown>, o: Signing = {}): Promise<RequestInit> {
  const body = new TextEncoder().encode(JSON.stringify(document));
  return { method: 'POST', body, headers: { 'content-type': 'application/json', ...(await sign(body, String(document['id']), o)), ...o.headers } };
}

export async function postTar(
  document: Record<string, unknown>,
  files: Record<string, string>,
  o: Signing = {},
): Promise<RequestInit & { body: Uint8Array<ArrayBuffer> }> {
  const request = new TextEncoder().encode(JSON.stringify(document));
  const artifacts = (document['manifest'] as Manifest).artifacts.filter(({ path }) => path in files);
  const source = {
    async *open({ path }: Artifact) {
      yield new TextEncoder().encode(files[path]);
    },
  };
  const tar = writeTar(request, artifacts, source) as ReadableStream<Uint8Array<ArrayBuffer>>;
  const body = new Uint8Array(await new Response(tar).arrayBuffer());
  return { method: 'POST', body, headers: { 'content-type': 'application/x-tar', ...(await sign(request, String(document['id']), o)), ...o.headers } };
}

export function inlineFiles(files: Record<string, string>): { path: string; content: string }[] {
  return Object.entries(files).map(([path, content]) => ({ path, content }));
}

/** The manifest of files run in this order, one phase. */
export function manifestOf(files: Record<string, string>, changes: Partial<Manifest> = {}): Manifest {
  const artifacts = Object.entries(files).map(([path, content]) => ({ path, digest: digestOf(content), size: Buffer.byteLength(content) }));
  const steps = artifacts.map(({ path }) => ({ kind: 'run' as const, path }));
  return { format: 1, bundle: 'shop', artifacts, phases: [{ name: 'main', transaction: 'per-step', steps }], ...changes };
}

export async function bearer(
  o: { caller?: 'ci' | 'reader' | 'deployer'; target?: string; deployment?: string; seconds?: number } = {},
): Promise<{ authorization: string }> {
  const { caller = 'ci', target = 'shop', seconds = 60 } = o;
  const claims = { caller, target, expires: Math.floor(Date.now() / 1000) + seconds, ...(o.deployment === undefined ? {} : { deployment: o.deployment }) };
  return { authorization: `Bearer ${await makeReadToken(claims, SECRETS[caller])}` };
}
