/**
 * Requests as a caller makes them, right in everything unless a test says otherwise: for one Worker, with the keys it knows.
 * The targets are called staging and production; ci may do everything on staging, watcher may deploy anywhere and read nothing.
 */
import { createHash } from 'node:crypto';
import { writeTar } from '../../src/bundle/tar.ts';
import type { Artifact, Manifest } from '../../src/domain/manifest.ts';
import { makeReadToken } from '../../src/trust/read_token.ts';
import { signedHeadersOf } from '../../src/trust/sign.ts';
import { signRequest } from '../../src/trust/signature.ts';

export const DEPLOYMENTS = '/v1/targets/staging/deployments';
/** Of a deployment that is nowhere, unless a fake says so. */
export const ID = '0190a0de-0000-7000-8000-00000000000a';

export interface Signing {
  readonly secret?: string;
  /** The webhook-id; without it the id of the request. */
  readonly id?: string;
  /** Milliseconds since 1970. */
  readonly at?: number;
  readonly headers?: Record<string, string>;
}

export interface TokenClaims {
  readonly caller?: 'ci' | 'watcher' | 'reader';
  readonly target?: string;
  readonly deployment?: string;
  /** From now; may be negative. */
  readonly seconds?: number;
}

export type Document = Record<string, unknown>;
type TarInit = RequestInit & { readonly body: Uint8Array<ArrayBuffer>; readonly headers: Record<string, string> };

export interface Requests {
  now(): number;
  readonly secrets: Readonly<Record<'ci' | 'watcher' | 'reader' | 'stranger', string>>;
  /** A deploy request for staging. */
  makeRequest(changes?: Document): Document;
  /** The headers that sign these bytes. */
  sign(body: Uint8Array, id: string, signing?: Signing): Promise<Record<string, string>>;
  /** A signed JSON document. */
  post(document: Document | string, signing?: Signing): Promise<RequestInit>;
  /** A signed request and these files, as a tar; with secrets behind the request, if there are any. */
  postTar(document: Document, files: Record<string, string>, signing?: Signing, secrets?: Record<string, string>): Promise<TarInit>;
  /** An Authorization header with a reading token of ci's for staging. */
  bearer(claims?: TokenClaims): Promise<{ authorization: string }>;
}

/** @param o the Worker they are for, its keys and a clock */
export function makeRequests(o: { readonly origin: string; readonly secrets: Requests['secrets']; now(): number; makeId(): string }): Requests {
  const { origin, secrets, now } = o;
  const requests: Requests = {
    now,
    secrets,
    makeRequest: (changes = {}) => ({
      type: 'deploy',
      id: o.makeId(),
      audience: origin,
      target: 'staging',
      expires_at: new Date(now() + 600_000).toISOString(),
      ...(changes.files !== undefined && changes.manifest === undefined ? { folder: 'inline' } : {}),
      ...changes,
    }),
    sign: async (body, id, { secret = secrets.ci, id: other, at = now() } = {}) => ({
      ...signedHeadersOf(await signRequest(body, secret, other ?? id, Math.floor(at / 1000))),
    }),
    async post(document, signing = {}) {
      const body = new TextEncoder().encode(typeof document === 'string' ? document : JSON.stringify(document));
      const id = typeof document === 'string' ? 'run-1' : String(document.id);
      const headers = { 'content-type': 'application/json', ...(await requests.sign(body, id, signing)), ...signing.headers };
      return { method: 'POST', body, headers };
    },
    async postTar(document, files, signing = {}, beside) {
      const request = new TextEncoder().encode(JSON.stringify(document));
      const artifacts = ((document.manifest as Manifest | undefined)?.artifacts ?? []).filter(({ path }) => path in files);
      const source = {
        async *open({ path }: Artifact) {
          yield new TextEncoder().encode(files[path]);
        },
      };
      const secretsBytes = beside === undefined ? null : new TextEncoder().encode(JSON.stringify(beside));
      const tar = writeTar(request, artifacts, source, secretsBytes) as ReadableStream<Uint8Array<ArrayBuffer>>;
      const body = new Uint8Array(await new Response(tar).arrayBuffer());
      return {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/x-tar', ...(await requests.sign(request, String(document.id), signing)), ...signing.headers },
      };
    },
    async bearer({ caller = 'ci', target = 'staging', deployment, seconds = 60 } = {}) {
      const claims = { caller, target, expires: Math.floor(now() / 1000) + seconds, ...(deployment === undefined ? {} : { deployment }) };
      return { authorization: `Bearer ${await makeReadToken(claims, secrets[caller])}` };
    },
  };
  return requests;
}

export function inlineFiles(files: Record<string, string>): { path: string; content: string }[] {
  return Object.entries(files).map(([path, content]) => ({ path, content }));
}

/** The manifest of small files, run in this order in one phase. */
export function manifestOf(files: Record<string, string>, changes: Partial<Manifest> = {}): Manifest {
  const artifacts = Object.entries(files).map(([path, content]) => ({ path, digest: digestOf(content), size: Buffer.byteLength(content) }));
  const steps = artifacts.map(({ path }) => ({ kind: 'run' as const, path }));
  return { format: 1, bundle: 'shop', artifacts, phases: [{ name: 'main', transaction: 'per-step', steps }], ...changes };
}

export function digestOf(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
