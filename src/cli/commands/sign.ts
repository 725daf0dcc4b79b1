/**
 * `weft sign`: everything needed to send a request by hand. It fills in what a request file leaves out, makes a request from a folder
 * with its files inline, signs, and prints headers and body; or it prints a reading token, or a new secret. The signing itself is
 * trust/'s.
 */
import { Buffer } from 'node:buffer';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BUNDLE_FILE } from '../../bundle/bundle_file.ts';
import { readFolder } from '../../bundle/folder.ts';
import { NO_ARTIFACTS } from '../../bundle/source.ts';
import { writeTar } from '../../bundle/tar.ts';
import { LIMITS } from '../../domain/limits.ts';
import { manifestSchema } from '../../domain/manifest.ts';
import { checkParameters, type SecretValues } from '../../domain/parameters.ts';
import { Problem } from '../../domain/problem.ts';
import type { InlineFile, WeftRequest } from '../../domain/request.ts';
import { makeReadToken } from '../../trust/read_token.ts';
import { checkRequest } from '../../trust/request.ts';
import { digestSecrets } from '../../trust/secrets.ts';
import { generateSecret, makeSignedRequest } from '../../trust/sign.ts';
import { harmless, size, withoutMark } from '../../words/text.ts';
import { readDeploymentId, readName, readOrigin, readSeconds, readSecret } from '../address.ts';
import type { Call } from '../commands.ts';
import { readAssigned, readSecrets } from '../parameters.ts';

const REQUEST_LIFE_SECONDS = 900;
const READ_TOKEN_SECONDS = 3600;

export async function sign(call: Call): Promise<number> {
  const { values, positionals } = call;
  const isReading = values.read === true;
  const isGenerating = values['generate-secret'] === true;
  if ([isReading, isGenerating, positionals.length > 0].filter(Boolean).length !== 1) {
    throw new Problem('usage', 'Say what to sign: a file or folder, or --read, or --generate-secret; one of them.');
  }
  if (isGenerating) return signNothing(call);
  return isReading ? signReading(call) : signRequestFile(call, positionals[0] as string);
}

function signNothing({ printer }: Call): number {
  const secret = generateSecret();
  printer.say(secret);
  printer.document({ secret });
  return 0;
}

async function signReading(call: Call): Promise<number> {
  const { printer, values } = call;
  const { env } = printer.io;
  const target = readName(text(values.target) ?? env.WEFT_TARGET ?? null, 'target', 'WEFT_TARGET');
  const caller = readName(text(values.caller) ?? env.WEFT_CALLER ?? null, 'caller', 'WEFT_CALLER');
  const expires = Math.floor(Date.now() / 1000) + readSeconds(call, 'expires', READ_TOKEN_SECONDS, LIMITS.read_token_seconds_max);
  const deployment = readDeploymentId(text(values.deployment) ?? undefined);
  const token = await makeReadToken({ caller, target, expires, ...(deployment === null ? {} : { deployment }) }, readSecret(env));
  printer.say(token);
  printer.document({ token, caller, target, expires_at: new Date(expires * 1000).toISOString(), deployment });
  return 0;
}

async function signRequestFile(call: Call, file: string): Promise<number> {
  const { printer, values } = call;
  const isFolder = (await stat(file).catch(() => null))?.isDirectory() ?? false;
  const said = isFolder ? await requestOfFolder(file) : await readRequest(file);
  const manifest = 'manifest' in said ? manifestSchema.safeParse(said.manifest).data : undefined;
  const { parameters, secrets } = isFolder
    ? await readAssigned(call, manifest?.parameters ?? [])
    : { parameters: {}, secrets: (await readSecrets(call)) ?? {} };
  const complete = await completeRequest(call, { ...said, ...(Object.keys(parameters).length > 0 && { parameters }) });
  const beside = Object.keys(secrets).length === 0 ? null : new TextEncoder().encode(JSON.stringify(secrets));
  const request = checkRequest(beside === null ? complete : await withDigests(complete, secrets, readSecret(printer.io.env)));
  if (isFolder && request.type === 'deploy') checkParameters(manifest?.parameters ?? [], request.parameters ?? {}, Object.keys(request.secrets ?? {}));
  const { body, headers } = await makeSignedRequest(request, readSecret(printer.io.env), Math.floor(Date.now() / 1000));
  if (body.length > LIMITS.inline_document_bytes) {
    throw new Problem(
      'too_large',
      `The request is ${size(body.length)}, more than ${LIMITS.inline_document_bytes} bytes (inline_document_bytes). "weft deploy" sends larger bundles as a tar.`,
      { limit: 'inline_document_bytes' },
    );
  }
  const url = `${request.audience}/v1/targets/${encodeURIComponent(request.target ?? '')}/${pathOf(request)}`;
  const all = { 'content-type': beside === null ? 'application/json' : 'application/x-tar', ...headers };
  const path = text(values.body);
  if (path === null && beside !== null) {
    throw new Problem('usage', 'With secrets the body is a tar of the signed request and of what it binds. Say where to write it: --body FILE.');
  }
  if (path !== null) await writeBody(path, beside === null ? body : await tarOf(body, beside));
  for (const [name, value] of Object.entries(all)) printer.say(`${name}: ${value}`);
  if (path === null) printer.say(`\n${new TextDecoder().decode(body)}`);
  const shown = path === null ? 'BODY' : harmless(path);
  printer.note(
    `To send it within ${LIMITS.signature_tolerance_seconds / 60} minutes, with the headers in a file: curl -H @HEADERS --data-binary @${shown} ${url}`,
  );
  printer.document({ method: 'POST', url, headers: all, body: new TextDecoder().decode(body) });
  return 0;
}

/** @throws Problem set_up */
async function writeBody(path: string, body: Uint8Array): Promise<void> {
  try {
    await writeFile(path, body, { mode: 0o600 });
  } catch (error) {
    throw new Problem('set_up', `${harmless(path)} (--body) cannot be written (${(error as NodeJS.ErrnoException).code}).`, { path }, error);
  }
}

/** Where it goes, below its target. */
function pathOf(request: WeftRequest): string {
  if (request.type === 'accept_drift') return 'drift/accept';
  if (request.type === 'forget') return 'history/forget';
  return request.type === 'deploy' ? 'deployments' : `deployments/${request.deployment}/${request.type}`;
}

/** The same with the digests that bind its secrets. */
async function withDigests(request: Record<string, unknown>, values: SecretValues, key: string): Promise<Record<string, unknown>> {
  const { id, target } = checkRequest(request);
  return { ...request, secrets: await digestSecrets(values, key, { id, target }) };
}

async function tarOf(request: Uint8Array, secrets: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await new Response(writeTar(request, [], NO_ARTIFACTS, secrets) as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

/** A request document with what the file left out; what it says itself stays. */
async function completeRequest(call: Call, said: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> {
  const { printer, values } = call;
  const { env } = printer.io;
  const to = text(values.to) ?? env.WEFT_URL ?? null;
  const origin = to === null ? said.audience : readOrigin(to);
  if (typeof origin !== 'string') throw new Problem('set_up', 'For which Worker? Say --to URL (or WEFT_URL), or put "audience" into the request.');
  const target = said.target ?? readName(text(values.target) ?? env.WEFT_TARGET ?? null, 'target', 'WEFT_TARGET');
  const seconds = readSeconds(call, 'expires', REQUEST_LIFE_SECONDS, LIMITS.request_life_seconds_max);
  return {
    type: 'deploy',
    id: text(values.id) ?? crypto.randomUUID(),
    audience: origin,
    target,
    expires_at: new Date(Date.now() + seconds * 1000).toISOString(),
    ...said,
  };
}

async function readRequest(file: string): Promise<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(withoutMark(await readFile(file, 'utf8')));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Problem(
      code === undefined ? 'malformed_json' : 'set_up',
      `${harmless(file)} ${code === undefined ? 'is not valid JSON' : `cannot be read (${code})`}.`,
      { path: file },
      error,
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Problem('invalid_request', `${harmless(file)} is no request: a JSON object with "type".`);
  return value as Record<string, unknown>;
}

/** A deploy request with manifest and files: those that a step names, and the bundle file that says so. */
async function requestOfFolder(folder: string): Promise<Partial<Extract<WeftRequest, { type: 'deploy' }>> & Record<string, unknown>> {
  const { manifest, source } = await readFolder(folder);
  const bytes = manifest.artifacts.reduce((sum, artifact) => sum + artifact.size, 0);
  if (bytes > LIMITS.inline_document_bytes) {
    throw new Problem(
      'too_large',
      `The files are ${size(bytes)} together; inline at most ${LIMITS.inline_document_bytes} bytes (inline_document_bytes) can travel. "weft deploy" sends larger bundles as a tar.`,
      { limit: 'inline_document_bytes' },
    );
  }
  const files: InlineFile[] = [];
  const bundleFile = await readFile(join(folder, BUNDLE_FILE)).catch(() => null);
  if (bundleFile !== null) files.push(inline(BUNDLE_FILE, bundleFile));
  for (const artifact of manifest.artifacts) {
    const parts: Uint8Array[] = [];
    for await (const part of source.open(artifact)) parts.push(part.slice());
    files.push(inline(artifact.path, Buffer.concat(parts)));
  }
  return { type: 'deploy', mode: 'apply', manifest, files };
}

/** As text where that gives the same bytes back, else in base64. */
function inline(path: string, bytes: Buffer): InlineFile {
  const content = bytes.toString('utf8');
  return Buffer.from(content, 'utf8').equals(bytes) ? { path, content } : { path, base64: bytes.toString('base64') };
}

function text(value: string | boolean | undefined): string | null {
  return typeof value === 'string' ? value : null;
}
