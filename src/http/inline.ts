/**
 * Files inline, turned into a bundle. Without a manifest, the files say everything. With one, both must say the same: the manifest is
 * what was meant, the files are what was sent.
 */
import { isDeepStrictEqual } from 'node:util';
import { BUNDLE_FILE } from '../bundle/bundle_file.ts';
import { readInline } from '../bundle/inline.ts';
import type { Bundle } from '../bundle/source.ts';
import type { Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import type { DeployRequest, InlineFile } from '../domain/request.ts';

/**
 * @param files as the request has them
 * @param request what else it says: its manifest, its folder
 * @returns the bundle; its manifest is the signed one where there is one
 * @throws Problem invalid_request when nothing says what the bundle is called; invalid_bundle and others of readInline;
 * artifact_missing, artifact_unnamed, digest_mismatch or invalid_manifest when files and manifest differ
 */
export async function resolveInline(files: readonly InlineFile[], { manifest, folder }: DeployRequest): Promise<Bundle> {
  const name = folder ?? manifest?.bundle ?? null;
  if (name === null) requireOwnName(files);
  const bundle = await readInline(files, name ?? '');
  if (manifest !== undefined) refuseDifference(manifest, bundle.manifest);
  return bundle;
}

/** The history knows each file by its bundle's name and its path: under a made-up name everything would be applied twice. */
function requireOwnName(files: readonly InlineFile[]): void {
  if (files.some(({ path }) => path === BUNDLE_FILE)) return;
  throw new Problem(
    'invalid_request',
    `Nothing says what the bundle is called, and the history of a database knows each file by that name and its path. Put "folder" with the name of the files' folder into the request, for the name that "weft deploy" would give it; or send a ${BUNDLE_FILE} with a name. Nothing was sent to the database.`,
    { path: 'folder' },
  );
}

function refuseDifference(signed: Manifest, resolved: Manifest): void {
  const sent = new Map(resolved.artifacts.map((artifact) => [artifact.path, artifact]));
  for (const artifact of signed.artifacts) {
    const file = sent.get(artifact.path);
    sent.delete(artifact.path);
    if (file === undefined) {
      throw new Problem('artifact_missing', `The manifest names "${artifact.path}", and no step of the files does. Nothing was sent to the database.`, {
        path: artifact.path,
      });
    }
    if (file.digest !== artifact.digest) {
      throw new Problem(
        'digest_mismatch',
        `"${artifact.path}" has the digest ${artifact.digest} in the manifest and ${file.digest} in the files. Nothing was sent to the database.`,
        { path: artifact.path, expected: artifact.digest, actual: file.digest },
      );
    }
  }
  const [unnamed] = sent.keys();
  if (unnamed !== undefined) {
    throw new Problem('artifact_unnamed', `The files hold "${unnamed}", which the manifest does not name. Nothing was sent to the database.`, {
      path: unnamed,
    });
  }
  if (isDeepStrictEqual(signed, resolved)) return;
  throw new Problem(
    'invalid_manifest',
    'The manifest and the files hold the same artifacts, but name, phases or their order differ. Leave out the manifest, or make it from these files with "weft plan --json".',
  );
}
