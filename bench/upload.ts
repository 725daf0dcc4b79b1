/**
 * A deployment sent to a Worker as its callers send one: one signed request and the artifacts behind it, as a tar.
 */
import { randomUUID } from 'node:crypto';
import type { Bundle } from '../src/bundle/source.ts';
import { writeTar } from '../src/bundle/tar.ts';
import type { WeftRequest } from '../src/domain/request.ts';
import { makeSignedRequest } from '../src/trust/sign.ts';

const request_life_seconds = 900;

export interface UploadOptions {
  readonly origin: string;
  readonly target: string;
  /** Of the caller: `whsec_…`. */
  readonly secret: string;
  readonly bundle: Bundle;
  /** How many seconds the Worker may wait for the end; without it, it answers when all is staged. */
  readonly waitSeconds?: number;
  readonly gzip?: boolean;
}

/** What a Worker answers; a whole deployment when it was waited for. */
export interface UploadAnswer {
  readonly id: string;
  readonly state: string;
  readonly error?: unknown;
}

/** @throws Error with the answer's text when the Worker refuses */
export async function upload({ origin, target, secret, bundle, waitSeconds, gzip = false }: UploadOptions): Promise<UploadAnswer> {
  const { manifest, source } = bundle;
  const nowMs = Date.now();
  const request: WeftRequest = {
    type: 'deploy',
    id: randomUUID(),
    audience: origin,
    target,
    expires_at: new Date(nowMs + request_life_seconds * 1000).toISOString(),
    mode: 'apply',
    manifest,
  };
  const { body, headers } = await makeSignedRequest(request, secret, Math.floor(nowMs / 1000));
  const tar = writeTar(body, manifest.artifacts, source);
  const response = await fetch(`${origin}/v1/targets/${target}/deployments`, {
    method: 'POST',
    headers: {
      ...headers,
      'content-type': 'application/x-tar',
      ...(gzip && { 'content-encoding': 'gzip' }),
      ...(waitSeconds !== undefined && { prefer: `wait=${waitSeconds}` }),
    },
    body: gzip ? tar.pipeThrough(new CompressionStream('gzip') as ReadableWritablePair<Uint8Array, Uint8Array>) : tar,
    duplex: 'half',
  } as RequestInit);
  const text = await response.text();
  if (!response.ok) throw new Error(`the Worker answered ${response.status}: ${text}`);
  return JSON.parse(text) as UploadAnswer;
}
