/** `weft baseline`: says that a database is at a bundle already. Nothing runs; the files are recorded as applied. */
import { readFolder } from '../../bundle/folder.ts';
import type { Manifest } from '../../domain/manifest.ts';
import { Problem } from '../../domain/problem.ts';
import { requestIdSchema } from '../../domain/request.ts';
import { requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { conduct } from '../conduct.ts';
import { harmless } from '../text.ts';

export async function baseline(call: Call): Promise<number> {
  const { printer, positionals, values } = call;
  const address = requireAddress(call);
  const id = typeof values.id === 'string' ? values.id : crypto.randomUUID();
  if (!requestIdSchema.safeParse(id).success) throw new Problem('usage', '--id is a key of letters, digits, "_", ":" and "-", 128 at most.');
  if (values.unverified === true && values.fingerprint !== undefined)
    throw new Problem('usage', '--unverified looks at nothing, and --fingerprint at the catalog: give one.');
  const bundle = await readFolder(positionals[0] as string);
  for (const warning of bundle.warnings) printer.note(`${printer.noteStyle.yellow('warning:')} ${harmless(warning)}`);
  const path = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  const [upTo, only] = [path(values['up-to']), path(values.only)];
  if (upTo !== null && only !== null) throw new Problem('usage', '--up-to records all files up to one, and --only that one: give one.');
  const recorded = { ...bundle, manifest: only === null ? cutManifest(bundle.manifest, upTo) : pickFromManifest(bundle.manifest, only) };
  const claims = {
    ...(typeof values.fingerprint === 'string' && { fingerprint: values.fingerprint }),
    ...(values.unverified === true && { verify: 'none' as const }),
  };
  const nothing = { parameters: {}, secrets: {} };
  return conduct(call, id, async (watch) => {
    if (address.kind === 'database') return (await import('../direct.ts')).deployStraight({ address, ...watch }, recorded, id, nothing, 'baseline', claims);
    return (await import('../remote.ts')).deployThroughWorker({ address, ...watch }, recorded, id, nothing, 'baseline', claims);
  });
}

/**
 * What of a bundle is recorded. Parameters are left out: nothing is run that could read them.
 * @param upTo the last file, in the order of the plan; null for all
 * @throws Problem usage when no step has that path
 */
export function cutManifest({ parameters: _, ...manifest }: Manifest, upTo: string | null): Manifest {
  if (upTo === null) return manifest;
  const last = manifest.phases.findIndex(({ steps }) => steps.some(({ path }) => path === upTo));
  if (last < 0) throw new Problem('usage', `--up-to: no step of the bundle runs "${harmless(upTo)}". "weft plan" lists them.`);
  const phases = manifest.phases.slice(0, last + 1).map(({ entries, ...phase }, index) => {
    if (index < last) return { ...phase, ...(entries !== undefined && { entries }) };
    return { ...phase, steps: phase.steps.slice(0, phase.steps.findIndex(({ path }) => path === upTo) + 1) };
  });
  return withArtifactsOf(manifest, phases);
}

/**
 * One file of a bundle, in its phase.
 * @throws Problem usage when no step has that path
 */
export function pickFromManifest({ parameters: _, ...manifest }: Manifest, only: string): Manifest {
  const phases = manifest.phases.flatMap(({ entries: __, ...phase }) => {
    const steps = phase.steps.filter(({ path }) => path === only);
    return steps.length === 0 ? [] : [{ ...phase, steps }];
  });
  if (phases.length === 0) throw new Problem('usage', `--only: no step of the bundle runs "${harmless(only)}". "weft plan" lists them.`);
  return withArtifactsOf(manifest, phases);
}

function withArtifactsOf(manifest: Omit<Manifest, 'parameters'>, phases: Manifest['phases']): Manifest {
  const named = new Set(
    phases.flatMap(({ steps }) => steps.flatMap((step) => ('undo' in step && step.undo !== undefined ? [step.path, step.undo] : [step.path]))),
  );
  return { ...manifest, phases, artifacts: manifest.artifacts.filter(({ path }) => named.has(path)) };
}
