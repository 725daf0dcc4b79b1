/** A part of a bundle: up to one file, or that file alone. What is left out is still to be run. */
import type { Manifest, Phase } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { harmless } from '../words/text.ts';

/**
 * A bundle as far as `--up-to` says.
 * @param upTo the option; all of it without one
 * @throws Problem usage when no step has that path
 */
export function cutBundle<T extends { readonly manifest: Manifest }>(bundle: T, upTo: unknown): T {
  return typeof upTo === 'string' ? { ...bundle, manifest: cutManifest(bundle.manifest, upTo) } : bundle;
}

/**
 * The manifest up to one file. The checks of that file's phase stay: what vetoes a commit vetoes this one too.
 * @param upTo the path of the last file, in the order of the plan
 * @throws Problem usage when no step has that path
 */
export function cutManifest(manifest: Manifest, upTo: string): Manifest {
  const last = manifest.phases.findIndex(({ steps }) => steps.some(({ path }) => path === upTo));
  if (last < 0) throw new Problem('usage', `--up-to: no step of the bundle runs "${harmless(upTo)}". "weft plan" lists them.`);
  const phases = manifest.phases.slice(0, last + 1);
  const cut = phases[last] as Phase;
  const end = cut.steps.findIndex(({ path }) => path === upTo);
  phases[last] = keepSteps(cut, (step, place) => place <= end || step.kind === 'check');
  return withArtifactsOf(manifest, phases);
}

/**
 * One file of a bundle, in its phase.
 * @throws Problem usage when no step has that path
 */
export function pickFromManifest(manifest: Manifest, only: string): Manifest {
  const phases = manifest.phases.map((phase) => keepSteps(phase, ({ path }) => path === only)).filter(({ steps }) => steps.length > 0);
  if (phases.length === 0) throw new Problem('usage', `--only: no step of the bundle runs "${harmless(only)}". "weft plan" lists them.`);
  return withArtifactsOf(manifest, phases);
}

/** Steps that came of one entry of the bundle file still do. */
function keepSteps({ entries, ...phase }: Phase, isKept: (step: Phase['steps'][number], place: number) => boolean): Phase {
  const kept = phase.steps.map(isKept);
  const counts: number[] = [];
  let begin = 0;
  for (const count of entries ?? []) {
    counts.push(kept.slice(begin, begin + count).filter(Boolean).length);
    begin += count;
  }
  const entriesKept = counts.filter((count) => count > 0);
  return { ...phase, ...(entriesKept.length > 1 && { entries: entriesKept }), steps: phase.steps.filter((_, index) => kept[index]) };
}

/** What is left out is named: else a file that was applied would seem to be gone from the bundle, and another one with its bytes to be that one, renamed. */
function withArtifactsOf(manifest: Manifest, phases: Manifest['phases']): Manifest {
  const named = new Set(
    phases.flatMap(({ steps }) => steps.flatMap((step) => ('undo' in step && step.undo !== undefined ? [step.path, step.undo] : [step.path]))),
  );
  const leftOut = [...new Set(manifest.phases.flatMap(({ steps }) => steps.map(({ path }) => path)))].filter((path) => !named.has(path));
  return { ...manifest, phases, artifacts: manifest.artifacts.filter(({ path }) => named.has(path)), ...(leftOut.length > 0 && { left_out: leftOut }) };
}
