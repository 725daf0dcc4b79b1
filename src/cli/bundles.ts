/** A bundle as `check` and `plan` show it: the steps of each phase, in the order in which they would run. Pure. */
import type { Bundle } from '../bundle/source.ts';
import type { Artifact, Manifest, Phase, Step } from '../domain/manifest.ts';
import type { Style } from '../words/style.ts';
import { columns, count, duration, oneLine, size } from '../words/text.ts';
import { parameterLines } from './parameter_lines.ts';
import type { Assigned } from './parameters.ts';

/** A step with its artifact, and its place among all steps, counted from 1. */
export interface NumberedStep {
  readonly number: number;
  readonly step: Step;
  /** Null for a rule that comes with Weft. */
  readonly artifact: Artifact | null;
}

/** The steps of each phase, numbered over all of them. */
export function numberSteps(manifest: Manifest): { readonly phase: Phase; readonly steps: readonly NumberedStep[] }[] {
  const artifacts = new Map(manifest.artifacts.map((artifact) => [artifact.path, artifact]));
  let number = 0;
  return manifest.phases.map((phase) => ({
    phase,
    steps: phase.steps.map((step) => {
      number += 1;
      return { number, step, artifact: artifacts.get(step.path) ?? null };
    }),
  }));
}

/** The rule of a phase in words. */
export function ruleOf(phase: Phase): string {
  const rules = {
    single: 'one transaction, all or nothing',
    'per-step': 'one transaction a step',
    auto: 'one transaction a step, unless the server refuses a step in one',
    none: 'one transaction a statement, unless the server refuses a statement in one',
  } as const;
  const kinds = Object.entries(phase.lock_timeouts_ms ?? {}).flatMap(([kind, milliseconds]) =>
    milliseconds === undefined ? [] : [`${duration(milliseconds)} (${kind})`],
  );
  const waits = [...(phase.lock_timeout_ms === undefined ? [] : [duration(phase.lock_timeout_ms)]), ...kinds];
  const budget = waits.length === 0 ? '' : `; waits ${waits.join(', ')} for a lock`;
  const condition = phase.when === undefined ? '' : `; when ${oneLine(phase.when)}`;
  const role = phase.role === undefined ? '' : `; as ${oneLine(phase.role)}`;
  const settings = Object.entries(phase.settings ?? {}).map(([name, value]) => `; ${name} = ${oneLine(value)}`);
  return `${rules[phase.transaction]}${budget}${condition}${role}${settings.join('')}`;
}

/**
 * @param verdict what would happen to a step; without it, its kind is shown
 * @param remark what else is to be said of it, or nothing
 * @param assigned values of the parameters; without them, what each needs is shown
 */
export function bundleLines(
  manifest: Manifest,
  style: Style,
  verdict?: (step: NumberedStep) => string,
  remark?: (step: NumberedStep) => string,
  assigned?: Assigned,
): string[] {
  const lines = [`${style.bold(oneLine(manifest.bundle))}`, ...parameterLines(manifest.parameters ?? [], style, assigned)];
  for (const { phase, steps } of numberSteps(manifest)) {
    lines.push('', `${style.bold(oneLine(phase.name))}  ${style.dim(ruleOf(phase))}`);
    const rows = steps.map((step) => [
      String(step.number).padStart(4),
      verdict === undefined ? step.step.kind : verdict(step),
      oneLine(step.step.path),
      step.artifact === null ? '' : size(step.artifact.size),
      [...wordsOf(step.step), undoOf(step.step), remark?.(step) ?? ''].filter((part) => part !== '').join('; '),
    ]);
    lines.push(...columns(rows));
  }
  return lines;
}

/** What takes it back. */
function undoOf(step: Step): string {
  return 'undo' in step && step.undo !== undefined ? `undo ${oneLine(step.undo)}` : '';
}

/** What the manifest says about a step, in words. */
function wordsOf(step: Step): string[] {
  const when = step.when === undefined ? '' : `when ${oneLine(step.when)}`;
  switch (step.kind) {
    case 'run':
      return [
        when,
        step.done_when === undefined ? '' : `done when ${oneLine(step.done_when)}`,
        step.repeat === undefined ? '' : step.repeat === 'always' ? 'with every deployment' : 'when it has changed',
        step.on_error === 'continue' ? 'if it fails, the deployment goes on' : '',
      ];
    case 'load': {
      const key = step.mode === 'insert' ? '' : ` by ${(step.key ?? []).map(oneLine).join(', ')}`;
      return [
        `into ${oneLine(step.into)}, ${step.mode}${key}`,
        step.where === undefined ? '' : `deletes only where ${oneLine(step.where)}`,
        when,
        step.on_error === 'continue' ? 'if it fails, the deployment goes on' : '',
      ];
    }
    case 'batch':
      return [
        when,
        [`rounds of ${count(step.size ?? 1000, 'row')}`, step.target_ms === undefined ? '' : `, then of about ${duration(step.target_ms)}`].join(''),
        step.pause_ms === undefined ? '' : `${duration(step.pause_ms)} between them`,
        step.cursor === undefined ? '' : `from ${oneLine(step.cursor)}`,
        step.done_when === undefined ? '' : `done when ${oneLine(step.done_when)}`,
        step.on_change === undefined ? '' : `if its statement changes half-way it ${step.on_change === 'restart' ? 'begins anew' : 'goes on'}`,
        step.on_error === 'continue' ? 'if it fails, the deployment goes on' : '',
      ];
    case 'check':
      return [when, step.severity === 'warn' ? 'warns only' : ''];
  }
}

/** A bundle for programs. */
export interface BundleDescription {
  readonly bundle: string;
  readonly phases: readonly {
    readonly name: string;
    readonly transaction: string;
    readonly lock_timeout_ms: number | null;
    readonly lock_timeouts_ms: Phase['lock_timeouts_ms'] | null;
    readonly when: string | null;
    readonly role: string | null;
    readonly settings: Readonly<Record<string, string>>;
    readonly steps: readonly {
      readonly number: number;
      readonly kind: string;
      readonly path: string;
      /** Null for a rule that comes with Weft. */
      readonly size: number | null;
      readonly digest: string | null;
      readonly when: string | null;
      readonly done_when: string | null;
      readonly on_error: string;
      /** The lines at which the file begins transactions of its own, each committed before what follows. */
      readonly begins: readonly number[];
      /** What else the manifest says about it, as it would be signed. */
      readonly step: Step;
    }[];
  }[];
  readonly warnings: readonly string[];
  /** As it would be signed. */
  readonly manifest: Manifest;
}

/** @param begins by path, the lines at which files begin transactions of their own */
export function describeBundle({ manifest, warnings }: Bundle, begins: ReadonlyMap<string, readonly number[]>): BundleDescription {
  const phases = numberSteps(manifest).map(({ phase, steps }) => ({
    name: phase.name,
    transaction: phase.transaction,
    lock_timeout_ms: phase.lock_timeout_ms ?? null,
    lock_timeouts_ms: phase.lock_timeouts_ms ?? null,
    when: phase.when ?? null,
    role: phase.role ?? null,
    settings: phase.settings ?? {},
    steps: steps.map(({ number, step, artifact }) => ({
      number,
      kind: step.kind,
      path: step.path,
      size: artifact?.size ?? null,
      digest: artifact?.digest ?? null,
      when: step.when ?? null,
      done_when: 'done_when' in step ? (step.done_when ?? null) : null,
      on_error: step.kind === 'check' ? 'stop' : (step.on_error ?? 'stop'),
      begins: begins.get(step.path) ?? [],
      step,
    })),
  }));
  return { bundle: manifest.bundle, phases, warnings, manifest };
}
