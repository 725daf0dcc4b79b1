/**
 * What a deploy request brings, in its three forms: a JSON document with files inline, the JSON request alone, or a tar with the
 * request first, then secrets if there are any, and then the artifacts. Each is proved here, before any session opens; of a tar only
 * the request is read, and its artifacts are handed on as a stream that nobody has pulled yet.
 */
import type { Chunk } from '../bundle/chunks.ts';
import { wantedChunks } from '../bundle/source.ts';
import { readTar } from '../bundle/tar.ts';
import type { Manifest } from '../domain/manifest.ts';
import { checkParameters, type SecretValues } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import type { DeployRequest, InlineFile } from '../domain/request.ts';
import { acceptSecrets, acceptSigned, type Evidence, type Proof } from './accept.ts';
import type { HttpContext } from './context.ts';
import { resolveInline } from './inline.ts';
import type { Ports } from './ports.ts';

export interface Upload {
  readonly caller: string;
  /** How the caller was proved, to be kept. */
  readonly evidence: Evidence;
  /** The bytes that were signed. */
  readonly request: Uint8Array;
  readonly manifest: Manifest;
  readonly mode: DeployRequest['mode'];
  /** Proved; null when none came along. */
  readonly secrets: SecretValues | null;
  /** Absent when the request came alone. */
  readonly chunks?: (wanted: ReadonlySet<string>) => AsyncIterable<Chunk>;
}

type Form = { readonly kind: 'json' } | { readonly kind: 'tar'; readonly encoding: 'identity' | 'gzip' };

/**
 * Reads and proves a deploy request.
 * @throws Problem unsupported_media_type, too_large, whatever the signature, the request, the grant, the tar's beginning or the
 *   inline files are refused with; invalid_parameters, secret_mismatch
 */
export async function acceptUpload(c: HttpContext, ports: Ports, proof: Proof, target: string): Promise<Upload> {
  const form = readForm(c.req.raw.headers);
  if (form.kind === 'tar') {
    const tar = await readTar(c.var.body.stream(), form.encoding, (bytes) => c.var.body.hold(bytes));
    const { caller, request, evidence } = await acceptSigned(c, ports, { body: tar.request, proof, type: 'deploy', target });
    const secrets = await acceptSecrets(ports, caller, request, await tar.secrets());
    if (request.files !== undefined) {
      if (secrets === null) {
        throw new Problem('invalid_request', 'The request in a tar has "files"; in a tar the files are entries of their own, named by their SHA-256.', {
          path: 'files',
        });
      }
      for await (const _ of tar.chunks({ format: 1, bundle: 'none', artifacts: [], phases: [] }, new Set())); // nothing else may stand there
      return { secrets, evidence, ...(await uploadOfFiles(caller, tar.request, request, request.files)) };
    }
    const manifest = manifestOf(request);
    checkGiven(manifest, request);
    return { caller, evidence, request: tar.request, manifest, mode: request.mode, secrets, chunks: (wanted) => tar.chunks(manifest, wanted) };
  }
  const body = await c.var.body.readAll('inline_document_bytes', 'A larger bundle goes as a tar: Content-Type: application/x-tar.');
  const { caller, request, evidence } = await acceptSigned(c, ports, { body, proof, type: 'deploy', target });
  const secrets = await acceptSecrets(ports, caller, request, null);
  if (request.files !== undefined) return { secrets, evidence, ...(await uploadOfFiles(caller, body, request, request.files)) };
  const manifest = manifestOf(request);
  checkGiven(manifest, request);
  return { caller, evidence, request: body, manifest, mode: request.mode, secrets };
}

/** Files that stand in the request itself. */
async function uploadOfFiles(
  caller: string,
  body: Uint8Array,
  request: DeployRequest,
  files: readonly InlineFile[],
): Promise<Omit<Upload, 'secrets' | 'evidence'>> {
  const bundle = await resolveInline(files, request);
  checkGiven(bundle.manifest, request);
  return { caller, request: body, manifest: bundle.manifest, mode: request.mode, chunks: (wanted) => wantedChunks(bundle, wanted) };
}

/** @throws Problem invalid_parameters */
function checkGiven(manifest: Manifest, request: DeployRequest): void {
  checkParameters(manifest.parameters ?? [], request.parameters ?? {}, Object.keys(request.secrets ?? {}));
}

function manifestOf(request: DeployRequest): Manifest {
  if (request.manifest === undefined) throw new Error('acceptRequest lets no deploy request pass that has neither files nor a manifest');
  return request.manifest;
}

/** Which form a body has, by Content-Type and Content-Encoding (RFC 9110, sections 8.3 and 8.4). */
function readForm(headers: Headers): Form {
  const type = (headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  const encoding = (headers.get('content-encoding') ?? 'identity').trim().toLowerCase();
  if (type === 'application/json' && encoding === 'identity') return { kind: 'json' };
  if (type === 'application/x-tar' && encoding === 'identity') return { kind: 'tar', encoding: 'identity' };
  if (type === 'application/x-tar' && encoding === 'gzip') return { kind: 'tar', encoding: 'gzip' };
  if ((type === 'application/gzip' || type === 'application/x-gzip') && encoding === 'identity') return { kind: 'tar', encoding: 'gzip' };
  throw new Problem(
    'unsupported_media_type',
    `Content-Type "${type}" with Content-Encoding "${encoding}" is not read here. Send application/json, application/x-tar (also with Content-Encoding: gzip), or application/gzip.`,
    { content_type: type, content_encoding: encoding },
  );
}
