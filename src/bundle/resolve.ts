/**
 * From files and a bundle file to a manifest: which files each step means, in which order, and what about them is wrong or
 * suspicious. Where the files are (a folder, a JSON document) is for `folder.ts` and `inline.ts`; the two give the same manifest.
 */

import { LIMITS } from '../domain/limits.ts';
import { type Artifact, type Manifest, nameSchema, type Phase, pathSchema, type Step, stepSchema } from '../domain/manifest.ts';
import type { Parameter } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import { BUNDLE_FILE, type BundleFile, type BundleFileStep, invalidAt, parseBundleFile } from './bundle_file.ts';
import { isGlob, makeGlob } from './glob.ts';
import { wordsOfLoad } from './loads.ts';
import { compareBytes, findNearest, findNumericInversion, isOfMoreParts } from './order.ts';
import { refuseUndoFiles, warnOfOtherTools, warnOfWayBack } from './other_tools.ts';
import type { Described } from './source.ts';
import { type Pairing, pairUndos } from './undo.ts';

/** The files of a bundle, wherever they are. */
export interface FileList {
  /** Paths of all files but the bundle file and those that `isIgnored`, each satisfying `pathSchema`, each once. */
  readonly paths: readonly string[];
  /** The bytes of weft.yaml; null when there is none. */
  readonly bundleFile: Uint8Array | null;
  /** What a bundle without a bundle file is called: the folder's name, say. */
  readonly fallbackName: string;
  /** Reads a file and describes it. */
  describe(path: string): Promise<Described>;
}

/** Whether a path is no part of any bundle: hidden files and folders, and what npm put there. */
export function isIgnored(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.') || part === 'node_modules');
}

/**
 * Refuses a path that no bundle can hold.
 * @throws Problem too_large (path_bytes); invalid_bundle when it is absolute, leaves its folder, or holds what is not plain
 */
export function assertPlainPath(path: string): void {
  if (new TextEncoder().encode(path).length > LIMITS.path_bytes) {
    throw new Problem('too_large', `The path "${path.slice(0, 80)}…" is longer than ${LIMITS.path_bytes} bytes (path_bytes).`, { limit: 'path_bytes' });
  }
  const parsed = pathSchema.safeParse(path);
  if (parsed.success && path.isWellFormed()) return;
  const why = path.isWellFormed() ? parsed.error?.issues[0]?.message : 'well-formed Unicode';
  throw new Problem('invalid_bundle', `A bundle cannot hold a file called ${JSON.stringify(path)}: its path must be ${why}.`, { path });
}

/** @throws Problem invalid_bundle when there is a file that is nearly called as the bundle file, and none that is */
export function refuseMisnamed(paths: readonly string[]): void {
  const misnamed = paths.find((path) => /^weft\.ya?ml$/i.test(path) && path !== BUNDLE_FILE);
  if (misnamed === undefined || paths.includes(BUNDLE_FILE)) return;
  throw new Problem('invalid_bundle', `The bundle file is called ${BUNDLE_FILE}; rename "${misnamed}".`, { path: misnamed });
}

/**
 * Resolves a bundle.
 * @returns its manifest, and warnings: what is allowed and probably not meant
 * @throws Problem invalid_bundle, too_large (artifacts_count), and what `describe` throws
 */
export async function resolveBundle(files: FileList): Promise<{ manifest: Manifest; warnings: readonly string[] }> {
  const paths = files.paths.toSorted(compareBytes);
  const plan = files.bundleFile === null ? planFolder(paths, files.fallbackName) : planBundleFile(paths, parseBundleFile(files.bundleFile));
  const described: Described[] = [];
  const seen = new Set<string>();
  for (const step of plan.phases.flatMap((phase) => phase.steps)) {
    if ((step.kind === 'check' && step.rule !== undefined) || seen.has(step.path)) continue;
    seen.add(step.path);
    described.push(await files.describe(step.path));
    if ('undo' in step && step.undo !== undefined) described.push(await files.describe(step.undo));
  }
  const artifacts = described.map(({ artifact }) => artifact);
  const warnings = [...plan.warnings, ...warnOfTwins(artifacts), ...warnOfEmpty(described, plan.phases), ...warnOfUnmatched(paths, artifacts)];
  const order = plan.order === 'strict' ? { order: 'strict' as const } : {};
  const parameters = plan.parameters.length === 0 ? {} : { parameters: [...plan.parameters] };
  const unwatched = plan.unwatched.length === 0 ? {} : { unwatched: [...plan.unwatched] };
  return { manifest: { format: 1, bundle: plan.name, ...order, ...parameters, ...unwatched, artifacts, phases: plan.phases }, warnings };
}

/** How many warnings of the same kind are given, one for each file. */
const WARNINGS_OF_A_KIND = 5;

const NO_PAIRS: Pairing = { undos: new Map(), lacking: [] };

interface Plan {
  readonly name: string;
  readonly order: BundleFile['order'];
  readonly parameters: readonly Parameter[];
  readonly unwatched: BundleFile['unwatched'];
  readonly phases: Phase[];
  readonly warnings: readonly string[];
}

/** A folder without a bundle file: one phase, every *.sql in order. */
function planFolder(paths: readonly string[], fallbackName: string): Plan {
  const chosen = paths.filter((path) => path.endsWith('.sql'));
  if (chosen.length === 0) {
    throw new Problem('invalid_bundle', `The bundle is empty: there is no file that ends in .sql, and no ${BUNDLE_FILE}. "weft init" writes one.`);
  }
  refuseTooMany(chosen.length);
  refuseUndoFiles(chosen, paths);
  const steps = chosen.map((path) => ({ kind: 'run' as const, path }));
  return {
    name: makeName(fallbackName),
    order: 'any',
    parameters: [],
    unwatched: [],
    phases: [{ name: 'main', transaction: 'auto', steps }],
    warnings: [...warnOfNumbers(chosen), ...warnOfOtherTools(chosen)],
  };
}

function planBundleFile(paths: readonly string[], file: BundleFile): Plan {
  const places = new Map<string, { readonly place: string; readonly kind: Step['kind']; readonly phase: string }>();
  /** What undo files take back, by their paths. */
  const undone = new Map<string, string>();
  const warnings: string[] = [];
  const phases = file.phases.map((phase): Phase => {
    const entries = phase.steps.map((step): Step[] => {
      const { kind, glob, words } = step;
      if (glob === null) return [makeStep(kind, `rule:${words.rule}`, words)];
      if (kind === 'batch' && phase.transaction === 'single') {
        throw invalidAt(step.line, `a batch commits each of its rounds, and phase "${phase.name}" is all or nothing (single); put it into a phase of its own`);
      }
      const matched = matchStep(paths, glob, step.line);
      for (const path of matched) {
        const place = `line ${step.line} (phase "${phase.name}", ${kind}: ${glob})`;
        const earlier = places.get(path);
        // A rule may hold after several phases.
        if (earlier !== undefined && !(kind === 'check' && earlier.kind === 'check' && earlier.phase !== phase.name)) {
          throw invalidAt(step.line, `"${path}" would run twice: by ${earlier.place} and by ${place}. Each file runs once; make one of them narrower`);
        }
        places.set(path, { place, kind, phase: phase.name });
      }
      const { undo, ...rest } = words;
      const pairing = typeof undo === 'string' ? pairUndos(paths, glob, matched, undo, step.line) : NO_PAIRS;
      for (const [path, undoPath] of pairing.undos) {
        const earlier = undone.get(undoPath);
        if (earlier !== undefined) throw invalidAt(step.line, `"${undoPath}" would undo two files, "${earlier}" and "${path}"`);
        undone.set(undoPath, path);
      }
      refuseTooMany(places.size + undone.size);
      // Of what repeats, the server finds the order.
      warnings.push(
        ...(words.repeat === undefined ? warnOfNumbers(matched) : []),
        ...(kind === 'load' ? warnOfSql(matched) : warnOfOtherKinds(matched)),
        ...warnOfLacking(pairing),
      );
      return matched.map((path) => {
        const own = kind === 'load' ? wordsOfLoad(path, matched, { ...step, words: rest }) : rest;
        return makeStep(kind, path, { ...own, ...(pairing.undos.has(path) && { undo: pairing.undos.get(path) }) });
      });
    });
    const steps = entries.flat();
    const twice = steps.find(({ path }, position) => steps.findIndex((other) => other.path === path) !== position);
    if (twice !== undefined) throw invalidAt(phase.steps.at(-1)?.line ?? 1, `${twice.path} stands in phase "${phase.name}" twice`);
    return {
      name: phase.name,
      transaction: phase.transaction,
      ...(phase.lock_timeout_ms !== null && { lock_timeout_ms: phase.lock_timeout_ms }),
      ...(phase.lock_timeouts_ms !== null && { lock_timeouts_ms: phase.lock_timeouts_ms }),
      ...(phase.when !== null && { when: phase.when }),
      ...(phase.role !== null && { role: phase.role }),
      ...(Object.keys(phase.settings).length > 0 && { settings: phase.settings }),
      ...(entries.length > 1 && { entries: entries.map(({ length }) => length) }),
      steps,
    };
  });
  for (const [undo, path] of undone) {
    const place = places.get(undo)?.place;
    if (place !== undefined)
      throw new Problem('invalid_bundle', `${BUNDLE_FILE}: "${undo}" undoes "${path}", and would also be run, by ${place}.`, { file: BUNDLE_FILE });
  }
  warnings.push(...warnOfWayBack([...places].flatMap(([path, { kind }]) => (kind === 'run' ? [path] : []))));
  return { name: file.name, order: file.order, parameters: file.parameters, unwatched: file.unwatched, phases, warnings };
}

/** A step of the manifest. What it may say, the bundle file's schemas have seen to. */
function makeStep(kind: Step['kind'], path: string, words: BundleFileStep['words']): Step {
  return stepSchema.parse({ kind, path, ...words });
}

/** The files of one step, in byte order: the file of just that path, else those that match it as a glob. */
function matchStep(paths: readonly string[], run: string, line: number): readonly string[] {
  const quoted = JSON.stringify(run);
  if (run.includes('\\')) throw invalidAt(line, `${quoted} holds a backslash; paths have "/" between their parts`);
  if (run.startsWith('/') || /^[A-Za-z]:\//.test(run)) throw invalidAt(line, `${quoted} is an absolute path; paths begin at the bundle's folder`);
  if (run.split('/').includes('..')) throw invalidAt(line, `${quoted} leaves the bundle's folder`);
  if (run.split('/').some((part) => part === '.' || part === '')) throw invalidAt(line, `${quoted} is not a plain path; write it without "./" and "//"`);
  if (paths.includes(run)) return [run];
  if (run === BUNDLE_FILE) throw invalidAt(line, `${BUNDLE_FILE} is the bundle file itself, and no step`);
  if (isIgnored(run)) throw invalidAt(line, `${quoted} is hidden or in node_modules; such files are no part of a bundle`);
  if (!isGlob(run)) {
    const nearest = findNearest(run, paths);
    throw invalidAt(line, `there is no file ${quoted}${nearest === null ? '' : `; did you mean "${nearest}"?`}`);
  }
  const matches = makeGlob(run);
  if (matches === null)
    throw invalidAt(
      line,
      `the braces of ${quoted} come to more than ${LIMITS.glob_alternatives_count} alternatives (glob_alternatives_count); make several steps of it`,
    );
  const matched = paths.filter((path) => matches(path));
  if (matched.length === 0) throw invalidAt(line, `${quoted} matches no file`);
  return matched;
}

/** A folder's name made a valid one: marks are taken from letters, and what else does not fit becomes "-". */
export function makeName(folder: string): string {
  const name = folder
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[._-]+/, '')
    .slice(0, 63)
    .replace(/-+$/, '');
  if (nameSchema.safeParse(name).success) return name;
  const detail = `No bundle name can be made of ${JSON.stringify(folder)}. Write a ${BUNDLE_FILE} with a name ("weft init" does).`;
  throw new Problem('invalid_bundle', detail);
}

function refuseTooMany(count: number): void {
  if (count <= LIMITS.artifacts_count) return;
  const detail = `The bundle has more than ${LIMITS.artifacts_count} files to run (artifacts_count). Split it into several bundles.`;
  throw new Problem('too_large', detail, { limit: 'artifacts_count' });
}

/** For a step that has undo files for some of its files. */
function warnOfLacking({ lacking }: Pairing): string[] {
  const [first] = lacking;
  if (first === undefined || lacking.length <= 2) return lacking.map(({ path, expected }) => `"${path}" has no undo: there is no file "${expected}".`);
  // Every deployment says it, also of files that were applied years ago.
  return [`"${first.path}" and ${lacking.length - 1} more files have no undo: there is no file "${first.expected}", for example.`];
}

/** Limits warnings: the same one about very many files would hide all others. */
function shorten(warnings: readonly string[], rest: string): string[] {
  const shown = warnings.length > WARNINGS_OF_A_KIND + 1 ? WARNINGS_OF_A_KIND : warnings.length;
  return [...warnings.slice(0, shown), ...(shown < warnings.length ? [`${warnings.length - shown} more files ${rest}.`] : [])];
}

function warnOfNumbers(paths: readonly string[]): string[] {
  const inversion = findNumericInversion(paths);
  if (inversion === null) return [];
  const [first, second] = inversion;
  return [
    `"${first}" runs before "${second}": files run in the order of the bytes of their paths. If that is not meant, ${isOfMoreParts(first, second) ? 'write versions of as many parts (2.0 and 2.1)' : 'write the numbers with leading zeros'}.`,
  ];
}

function warnOfOtherKinds(paths: readonly string[]): string[] {
  return paths.filter((path) => !path.endsWith('.sql')).map((path) => `"${path}" is run as SQL, although its name does not end in .sql.`);
}

function warnOfSql(paths: readonly string[]): string[] {
  return paths.filter((path) => path.endsWith('.sql')).map((path) => `"${path}" is loaded as data, although its name ends in .sql.`);
}

/** Two paths, or two folders, that some file systems, or some readers, take for one. */
function warnOfTwins(artifacts: readonly Artifact[]): string[] {
  const files: string[] = [];
  const folders: string[] = [];
  const seen = new Map<string, string>();
  const told = new Set<string>();
  for (const { path } of artifacts) {
    // From the outermost folder inwards: what is in two folders that are taken for one is not told again.
    for (let end = 0; end < path.length; ) {
      const slash = path.indexOf('/', end);
      const isFolder = slash >= 0;
      end = isFolder ? slash + 1 : path.length;
      const one = path.slice(0, isFolder ? slash : end);
      const key = one.normalize('NFC').toLowerCase();
      const twin = seen.get(key) ?? one;
      seen.set(key, twin);
      if (twin === one) continue;
      if (!told.has(one)) (isFolder ? folders : files).push(isFolder ? tellTwinFolders(twin, one) : tellTwins(twin, one));
      told.add(one);
      break;
    }
  }
  return [...shorten(folders, 'have such a folder'), ...shorten(files, 'have such a twin')];
}

const isSameInNormalisation = (one: string, other: string): boolean => one.normalize('NFC') === other.normalize('NFC');

function tellTwins(one: string, other: string): string {
  if (isSameInNormalisation(one, other)) return `"${one}" stands there twice, in two Unicode normalisations: they look the same, and both run.`;
  return `"${one}" and "${other}" differ only in upper and lower case: some file systems keep only one of them.`;
}

function tellTwinFolders(one: string, other: string): string {
  const how = isSameInNormalisation(one, other)
    ? `The folder "${one}" stands there twice, in two Unicode normalisations`
    : `The folders "${one}" and "${other}" differ only in upper and lower case`;
  return `${how}: some file systems make one of them, and there its files have other paths, which the history does not know.`;
}

function warnOfEmpty(described: readonly Described[], phases: readonly Phase[]): string[] {
  const undone = new Map(
    phases.flatMap(({ steps }) => steps.flatMap((step) => ('undo' in step && step.undo !== undefined ? [[step.undo, step.path] as const] : []))),
  );
  return [
    ...described.flatMap(({ artifact: { path, size } }) => (size === 0 && !undone.has(path) ? [`"${path}" is empty.`] : [])),
    ...shorten(
      described.flatMap(({ artifact: { path, size }, isBare }) => {
        const of = undone.get(path);
        return of === undefined || !isBare
          ? []
          : [
              `"${path}" ${size === 0 ? 'is empty' : 'holds no statement'}: an undo takes "${of}" out of the history, and nothing of it back. If that is not meant, take the file away.`,
            ];
      }),
      'that take others back hold no statement',
    ),
  ];
}

/** Files that nothing runs. Notes for people (*.md) are meant to be there. */
function warnOfUnmatched(paths: readonly string[], artifacts: readonly Artifact[]): string[] {
  const matched = new Set(artifacts.map(({ path }) => path));
  return paths.filter((path) => !matched.has(path) && !path.endsWith('.md')).map((path) => `No step runs "${path}".`);
}
