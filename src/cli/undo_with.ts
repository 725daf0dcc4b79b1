/**
 * `weft undo --with FOLDER`: brings corrected undo files. They come as a deployment of just those files that are applied with the same
 * bytes, which therefore runs nothing; from then on they count.
 */
import { readFolder } from '../bundle/folder.ts';
import type { Bundle } from '../bundle/source.ts';
import type { Deployment } from '../domain/deployment.ts';
import type { Manifest } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import type { UndoPlan } from '../domain/undo_plan.ts';
import { harmless } from '../words/text.ts';
import type { Address } from './address.ts';
import type { Call } from './commands.ts';
import type { Watch } from './conduct.ts';
import { readHistory, readUndoPlan } from './readings.ts';

const REQUEST_ID_CHARACTERS = 128;
const DEADLINE_MS = 10 * 60_000;

/** An undo file of the folder that differs from the one that would run. */
interface Corrected {
  readonly path: string;
  readonly undo: string;
  readonly digest: string;
  /** What would run instead; null: nothing. */
  readonly kept: string | null;
}

/**
 * @param plan what would be run as it stands
 * @param key of the undo: the same one brings the same
 * @returns what would be run with the undo files of the folder
 * @throws Problem usage where the folder is another bundle, undo_missing where it has nothing that counts; and whatever the bundle or the database refuses
 */
export async function bringUndos(call: Call, address: Address, plan: UndoPlan | null, folder: string, key: string): Promise<UndoPlan> {
  const { printer } = call;
  if (plan === null) throw new Problem('usage', 'To bring undo files, the plan has to be read: say who reads (--caller NAME or WEFT_CALLER).');
  const read = await readFolder(folder);
  if (read.manifest.bundle !== plan.bundle)
    throw new Problem(
      'usage',
      `${harmless(folder)} is the bundle ${harmless(read.manifest.bundle)}, and deployment ${plan.deployment} of ${harmless(plan.bundle)}.`,
    );
  const { history } = await readHistory(address, plan.bundle, printer.io);
  const applied = new Map(history.filter(({ deployment }) => deployment === plan.deployment).map(({ path, digest }) => [path, digest]));
  const renamed = findRenamed(read.manifest, applied);
  for (const [path, before] of renamed) printer.note(`${harmless(path)} is what was applied as ${harmless(before)}.`);
  const bundle = underOldNames(read, withUndosRenamed(read.manifest, renamed, plan));
  const { manifest, others } = cutToApplied(bundle.manifest, applied);
  for (const path of others)
    printer.note(`${printer.noteStyle.yellow('warning:')} ${harmless(path)} is not as the deployment has applied it: what takes it back stays as it is kept.`);
  const corrected = findCorrected(manifest, plan);
  if (corrected.length === 0) {
    printer.note(`The undo files of ${harmless(folder)} are those that would run: nothing was brought.`);
    return plan;
  }
  for (const { path, undo, kept } of corrected)
    printer.note(
      `${harmless(path)}: ${harmless(undo)} of ${harmless(folder)} takes it back${kept === null ? '' : kept === undo ? ', and not as it was kept' : `, and not ${harmless(kept)}`}.`,
    );
  await deploy(call, address, { ...bundle, manifest }, `${key.slice(0, REQUEST_ID_CHARACTERS - 5)}-with`);
  const renewed = await readUndoPlan(address, plan.deployment, null, printer.io);
  const left = corrected.filter(({ path, digest }) => !undosOf(renewed).some((step) => step.digest === digest && isOf(step.path, path, plan, renewed)));
  if (left.length > 0)
    throw new Problem(
      'undo_missing',
      `${left.map(({ path, undo }) => `${harmless(undo)} was brought for ${harmless(path)}, and does not count`).join('; ')}: an undo file of that name is another file's, which the folder does not take it from. Nothing was undone. Give it a name of its own.`,
      { deployment: plan.deployment },
    );
  return renewed;
}

/** A file may have another name now than the deployment knew it by; where the plan does not name it, its undo alone tells. */
function isOf(planned: string, path: string, before: UndoPlan, renewed: UndoPlan): boolean {
  const known = [before, renewed].some((plan) => undosOf(plan).some((step) => step.path === path));
  return planned === path || !known;
}

function undosOf(plan: UndoPlan): UndoPlan['phases'][number]['steps'] {
  return plan.phases.flatMap(({ steps }) => steps);
}

/** Files whose content was applied under a name that the folder no longer has, if only one can be meant: from their name to the one in the history. */
function findRenamed({ artifacts, phases }: Manifest, applied: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const digests = new Map(artifacts.map(({ path, digest }) => [path, digest]));
  const gone = [...applied].filter(([path]) => !digests.has(path));
  const others = phases.flatMap(({ steps }) => steps.flatMap(({ kind, path }) => (kind === 'check' || applied.has(path) ? [] : [path])));
  return new Map(
    others.flatMap((path): [string, string][] => {
      const before = gone.filter(([, digest]) => digest === digests.get(path));
      const isOnly = others.filter((other) => digests.get(other) === digests.get(path)).length === 1;
      return isOnly && before.length === 1 && before[0] !== undefined ? [[path, before[0][0]]] : [];
    }),
  );
}

/** An undo file that was renamed with its file: under its old name, it continues where it stopped. */
function withUndosRenamed({ artifacts, phases }: Manifest, renamed: ReadonlyMap<string, string>, plan: UndoPlan): ReadonlyMap<string, string> {
  const there = new Set(artifacts.map(({ path }) => path));
  const undos = phases.flatMap(({ steps }) =>
    steps.flatMap((step): [string, string][] => {
      const kept = undosOf(plan).find(({ path }) => path === renamed.get(step.path))?.undo;
      return step.kind === 'check' || step.undo === undefined || kept === undefined || there.has(kept) ? [] : [[step.undo, kept]];
    }),
  );
  return new Map([...renamed, ...undos]);
}

function underOldNames({ manifest, source, ...bundle }: Bundle, renamed: ReadonlyMap<string, string>): Bundle {
  const nameOf = (path: string) => renamed.get(path) ?? path;
  const names = new Map([...renamed].map(([path, before]) => [before, path]));
  return {
    ...bundle,
    manifest: {
      ...manifest,
      artifacts: manifest.artifacts.map((artifact) => ({ ...artifact, path: nameOf(artifact.path) })),
      phases: manifest.phases.map((phase) => ({
        ...phase,
        steps: phase.steps.map((step) =>
          step.kind === 'check' || step.undo === undefined
            ? { ...step, path: nameOf(step.path) }
            : { ...step, path: nameOf(step.path), undo: nameOf(step.undo) },
        ),
      })),
    },
    source: { open: (artifact) => source.open({ ...artifact, path: names.get(artifact.path) ?? artifact.path }) },
  };
}

/** The engine's condition of steps that never run: these are not judged by their words, nor by what came after them. */
const NEVER = 'false';

/** The files of a bundle that are applied with the same bytes and have an undo, as a separate bundle, of which nothing runs. */
function cutToApplied({ parameters, ...manifest }: Manifest, applied: ReadonlyMap<string, string>): { manifest: Manifest; others: string[] } {
  const digests = new Map(manifest.artifacts.map(({ path, digest }) => [path, digest]));
  const others: string[] = [];
  const phases = manifest.phases.flatMap(({ entries: _entries, when: _when, ...phase }) => {
    const steps = phase.steps.flatMap((step) => {
      if (step.kind === 'check' || step.undo === undefined || !applied.has(step.path)) return [];
      if (applied.get(step.path) !== digests.get(step.path)) {
        others.push(step.path);
        return [];
      }
      // even if its words in weft.yaml differ from those with which it was applied
      return [{ ...step, when: NEVER }];
    });
    return steps.length === 0 ? [] : [{ ...phase, steps }];
  });
  const named = new Set(phases.flatMap(({ steps }) => steps.flatMap(({ path, undo }) => (undo === undefined ? [path] : [path, undo]))));
  // Nothing runs that could need a value. For a required parameter, the undo has the value that the deployment was given, if it declared it already.
  const declared = parameters?.filter(({ required }) => required === undefined) ?? [];
  const artifacts = manifest.artifacts.filter(({ path }) => named.has(path));
  return { manifest: { ...manifest, ...(declared.length > 0 && { parameters: declared }), phases, artifacts }, others };
}

function findCorrected(manifest: Manifest, plan: UndoPlan): Corrected[] {
  const digests = new Map(manifest.artifacts.map(({ path, digest }) => [path, digest]));
  const kept = new Map(undosOf(plan).map((step) => [step.path, step]));
  return manifest.phases.flatMap(({ steps }) =>
    steps.flatMap((step) => {
      if (step.kind === 'check' || step.undo === undefined) return [];
      const digest = digests.get(step.undo) ?? '';
      const known = kept.get(step.path);
      // Its own older content takes it back, and no undo file.
      return known?.digest === digest || known?.restores === true ? [] : [{ path: step.path, undo: step.undo, digest, kept: known?.undo ?? null }];
    }),
  );
}

/** @throws Problem what the database refuses, except for half-undone files (WF064): nothing else can be deployed after them, but this brings their undo */
async function deploy({ printer }: Call, address: Address, bundle: Bundle, id: string): Promise<void> {
  const watch: Watch = { deadlineAtMs: Date.now() + DEADLINE_MS, signal: printer.io.signal, onView: () => undefined };
  const nothing = { parameters: {}, secrets: {} };
  const deployment: Deployment =
    address.kind === 'database'
      ? await (await import('./direct.ts')).deployStraight({ address, ...watch }, bundle, id, nothing)
      : await (await import('./remote.ts')).deployThroughWorker({ address, ...watch }, bundle, id, nothing);
  if (deployment.state === 'succeeded' || deployment.error?.sqlstate === 'WF064') return;
  throw new Problem(
    'undo_missing',
    `The undo files could not be brought: deployment ${deployment.id}, which brings them and runs nothing, is ${deployment.state}${deployment.error === null ? '' : `: ${harmless(deployment.error.message)}`}. Nothing was undone.`,
    { deployment: deployment.id },
  );
}
