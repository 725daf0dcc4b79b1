/**
 * `weft plan`: exactly what a deployment would run, step by step. With an address it asks the history what is applied already; the plan
 * that is shown is the plan that runs (law 6). Reads only.
 */
import { readFolder } from '../../bundle/folder.ts';
import { readChunks } from '../../bundle/source.ts';
import type { Foresight } from '../../domain/foresight.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Step } from '../../domain/manifest.ts';
import { checkParameters } from '../../domain/parameters.ts';
import { Problem } from '../../domain/problem.ts';
import { tellElsewhere, tellGone } from '../../words/gone.ts';
import { count, harmless, listSome, oneLine } from '../../words/text.ts';
import { findAddress } from '../address.ts';
import { bundleLines, describeBundle, type NumberedStep, numberSteps } from '../bundles.ts';
import type { Call } from '../commands.ts';
import { cutBundle } from '../cut.ts';
import { describeParameters } from '../parameter_lines.ts';
import { readAssigned } from '../parameters.ts';
import { readForesight, readHistory } from '../readings.ts';
import { remarkOnLater, remarkOnWords } from '../reworded.ts';
import { lookIntoFiles, remarkOnTransactions } from '../unrunnable.ts';

type Verdict =
  | 'new'
  | 'applied'
  | 'again'
  | 'changed'
  | 'unchanged'
  | 'renamed'
  | 'ambiguous'
  | 'late'
  | 'half_undone'
  | 'reworded'
  | 'looks'
  | 'superseded'
  | 'unlike'
  | 'refused'
  | 'lost'
  | 'unknown'
  | 'asked';

/** Bytes of contents that are sent with the query; and of the braces and commas between them. */
const TEXTS_BYTES = 4 * 1024 * 1024;
const SPARE_BYTES = 1024;

/** In a body: a text may take several times as much in JSON as on the disk. */
const bytesInJson = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

const WORDS: Readonly<Record<Verdict, string>> = {
  new: 'run',
  applied: 'skip: applied',
  again: 'run again: changed',
  changed: 'refuse: applied with other bytes',
  unchanged: 'skip: comments changed',
  renamed: 'skip: renamed',
  ambiguous: 'refuse: renamed from which?',
  late: 'run: out of order',
  half_undone: 'refuse: half taken back',
  reworded: 'run again: other words',
  looks: 'run: other table',
  superseded: 'run again: replaced since',
  unlike: 'refuse: applied with other words',
  refused: 'refuse: out of order',
  lost: 'run: something is gone',
  unknown: 'run unless applied',
  asked: 'check',
};

/** What would run by itself, in a plan in which a file is refused: with it everything is. */
const HELD_BACK: Readonly<Partial<Record<Verdict, string>>> = {
  new: 'held back',
  again: 'held back: changed',
  late: 'held back: out of order',
  reworded: 'held back: other words',
  looks: 'held back: other table',
  superseded: 'held back: replaced since',
  lost: 'held back: something is gone',
  asked: 'held back',
};

/** What happens to a file with other words, as the engine says; what is not listed here is skipped. */
const REWORDED: Readonly<Record<string, Verdict>> = { runs: 'reworded', looks: 'looks', refused: 'unlike' };

/** How often a step runs, as the engine has it (`weft._repeat_of`). */
function repeatOf(step: Step): 'once' | 'on-change' | 'always' {
  if (step.kind === 'load') return step.mode === 'insert' ? 'once' : 'on-change';
  return (step.kind === 'run' && step.repeat) || 'once';
}

export async function plan(call: Call): Promise<number> {
  const { printer, positionals, values } = call;
  const { style } = printer;
  const read = cutBundle(await readFolder(positionals[0] as string), values['up-to']);
  const look = await lookIntoFiles(read);
  const bundle = { ...read, warnings: [...read.warnings, ...look.warnings] };
  const declared = bundle.manifest.parameters ?? [];
  const assigned = await readAssigned(call, declared);
  const secrets = Object.keys(assigned.secrets);
  // What is missing is shown; what is wrong is refused.
  checkParameters(
    declared.map(({ required: _, ...parameter }) => parameter),
    assigned.parameters,
    secrets,
  );
  const address = findAddress(call);
  let isInstalled = true;
  /** Files that were asked about, and whose contents found no room in the question. */
  const untold = new Set<string>();
  const applied = address === null ? null : await readApplied();
  const digestVerdict = ({ step, artifact }: NumberedStep): Verdict => {
    if (step.kind === 'check' || artifact === null) return 'asked';
    if (applied === null) return 'unknown';
    const digest = applied.get(step.path);
    if (digest === undefined) return 'new';
    const repeat = repeatOf(step);
    if (repeat === 'always') return 'new';
    return digest === artifact.digest ? 'applied' : repeat === 'on-change' ? 'again' : 'changed';
  };
  const foresight = await readMore();
  const findings = foresight?.findings ?? [];
  const found = new Map(findings.filter(({ verdict }) => verdict !== 'reworded' && verdict !== 'superseded').map((finding) => [finding.path, finding]));
  const superseded = new Map(findings.flatMap(({ path, verdict, data }) => (verdict === 'superseded' ? [[path, data] as const] : [])));
  const rewordings = new Map(findings.flatMap(({ path, verdict, data }) => (verdict === 'reworded' ? [[path, String(data.does)] as const] : [])));
  const lost = new Map(foresight?.lost.map((loss) => [loss.path, loss.missing]));
  const verdictOf = (numbered: NumberedStep): Verdict => {
    const verdict = digestVerdict(numbered);
    const finding = found.get(numbered.step.path)?.verdict;
    const reworded = rewordings.get(numbered.step.path);
    if (numbered.step.kind !== 'check' && reworded !== undefined && reworded in REWORDED) return REWORDED[reworded] as Verdict;
    if (numbered.step.kind !== 'check' && superseded.has(numbered.step.path)) return 'superseded';
    if (numbered.step.kind === 'check') return verdict;
    // what has not changed runs again where something of it is gone, also under another name and with other comments
    if (lost.has(numbered.step.path) && (finding === undefined ? verdict === 'applied' : finding === 'renamed' || finding === 'unchanged')) return 'lost';
    if (finding === undefined) return verdict;
    return finding === 'late' && bundle.manifest.order === 'strict' ? 'refused' : finding;
  };

  const phases = numberSteps(bundle.manifest);
  const steps = phases.flatMap((phase) => phase.steps);
  const toRun = steps.filter((step) => ['new', 'again', 'reworded', 'looks', 'superseded', 'late', 'lost', 'unknown', 'asked'].includes(verdictOf(step)));
  const halves = new Map(foresight?.halves?.map((half) => [half.path, half]));
  const refused = steps.filter((step) => ['changed', 'ambiguous', 'unlike', 'half_undone', 'refused'].includes(verdictOf(step))).map(({ step }) => step.path);
  const words = refused.length > 0 ? { ...WORDS, ...HELD_BACK } : WORDS;
  const remarks = (step: NumberedStep): string => [remarkOn(step), ownTransactionsOf(step)].filter((part) => part !== '').join('; ');
  for (const line of bundleLines(bundle.manifest, style, (step) => words[verdictOf(step)], remarks, assigned)) printer.say(line);
  const refusedSteps = [...(foresight?.batches ?? []), ...(foresight?.halves ?? [])].flatMap(({ refusal }) => (refusal ? [{ refusal }] : []));
  const missing = declared.filter(({ name, required }) => required && !Object.hasOwn(assigned.parameters, name) && !secrets.includes(name));
  printer.say('');
  if (missing.length > 0) {
    printer.say(
      style.red(`Nothing would run: ${count(missing.length, 'parameter')} ${missing.length === 1 ? 'needs a value and has' : 'need values and have'} none.`),
    );
    for (const { name, secret } of missing) printer.say(`"${name}": ${secret ? `--set ${name}=@FILE or --set-env ${name}=VARIABLE` : `--set ${name}=VALUE`}`);
  }
  if (applied === null) printer.say(`${count(steps.length, 'step')}; history unknown: no address was given, so what is applied already is not known.`);
  else if (refused.length === 0 && refusedSteps.length > 0)
    printer.say(style.red(`${count(refusedSteps.length, 'file')} would be refused, and with ${refusedSteps.length === 1 ? 'it' : 'them'} what comes behind.`));
  else if (refused.length === 0 && missing.length > 0)
    printer.say(`With ${missing.length === 1 ? 'it' : 'them'}, ${toRun.length} of ${count(steps.length, 'step')} would run.`);
  else if (refused.length === 0) printer.say(`${toRun.length} of ${count(steps.length, 'step')} would run.`);
  else
    printer.say(
      style.red(
        `Nothing would run: ${foresight?.refusal ? harmless(foresight.refusal.message) : `${count(refused.length, 'file')} changed after being applied.`}`,
      ),
    );
  for (const detail of [foresight?.refusal?.detail, foresight?.refusal?.hint])
    if (detail) printer.say(harmless(detail.replace(' Nothing of this deployment was run.', '')));
  for (const { refusal } of refusedSteps) {
    printer.say(style.red(`${harmless(refusal.path ?? '')}: ${harmless(refusal.message)}`));
    for (const said of [refusal.detail, refusal.hint]) if (said) printer.say(harmless(said));
  }
  for (const group of foresight?.groups ?? [])
    printer.note(`The server decides the order of ${group.length} files. It tries first: ${group.map((path) => harmless(path)).join(', ')}.`);
  for (const { path, account } of foresight?.begun ?? [])
    printer.note(
      `${printer.noteStyle.yellow('begun:')} ${harmless(path)} is not in this bundle. ${harmless(account ?? '')} If it is there under another name now, that one runs from its beginning. If what has run of it was taken back by hand, say so: weft forget ${harmless(path)} --why REASON.`,
    );
  const gone = foresight?.gone ?? [];
  if (gone.length > 0) printer.note(`${printer.noteStyle.yellow('gone:')} ${tellGone(gone.length, gone)}`);
  for (const other of foresight?.elsewhere ?? [])
    printer.note(`${printer.noteStyle.yellow('warning:')} ${tellElsewhere(bundle.manifest.bundle, other.bundle, other.count, other.paths)}`);
  for (const line of protectionLines(foresight)) printer.note(`${printer.noteStyle.yellow('approval:')} ${line}`);
  for (const line of driftLines(foresight)) printer.note(`${printer.noteStyle.yellow('drift:')} ${line}`);
  const warnings = [...bundle.warnings, ...warnOfUntold(refused.filter((path) => untold.has(path)))];
  for (const warning of warnings) printer.note(`${printer.noteStyle.yellow('warning:')} ${harmless(warning)}`);

  const description = describeBundle(bundle, look.begins);
  const verdicts = new Map(steps.map((step) => [step.number, verdictOf(step)]));
  printer.document({
    ...description,
    warnings,
    parameters: describeParameters(declared, assigned),
    missing: missing.map(({ name }) => name),
    history: applied === null ? 'unknown' : 'known',
    phases: description.phases.map((phase) => ({
      ...phase,
      steps: phase.steps.map((step) => ({ ...step, verdict: verdicts.get(step.number), statements_done: halves.get(step.path)?.statements ?? 0 })),
    })),
    refused,
    refusal: foresight?.refusal ?? null,
    groups: foresight?.groups ?? [],
    findings: foresight?.findings ?? [],
    batches: foresight?.batches ?? [],
    halves: foresight?.halves ?? [],
    begun: foresight?.begun ?? [],
    gone,
    elsewhere: foresight?.elsewhere ?? [],
    drift: foresight?.drift ?? null,
  });
  return refused.length + refusedSteps.length + missing.length === 0 ? 0 : 2;

  /** Only for a file that will run. */
  function ownTransactionsOf(step: NumberedStep): string {
    return toRun.some(({ number }) => number === step.number) ? remarkOnTransactions(look.begins.get(step.step.path)) : '';
  }

  /** What the history has found; only a file that runs statement by statement continues where it stopped. */
  function remarkOn(step: NumberedStep): string {
    return [
      remarkOnHistory(step),
      remarkOnLater(superseded.get(step.step.path)),
      remarkOnWords(findings.find(({ path, verdict }) => verdict === 'reworded' && path === step.artifact?.path)),
    ]
      .filter((part) => part !== '')
      .join('; ');
  }

  function remarkOnHistory({ artifact }: NumberedStep): string {
    const finding = artifact === null ? undefined : found.get(artifact.path);
    const missing = artifact === null ? undefined : lost.get(artifact.path);
    const gone = missing === undefined ? '' : `gone: ${missing.map(({ name }) => name).join(', ')}`;
    if (finding?.verdict === 'renamed') return [`from ${String(finding.data.from)}`, gone].filter((part) => part !== '').join('; ');
    if (finding?.verdict === 'late') return `${String(finding.data.behind)} comes behind it, and has been applied`;
    if (gone !== '') return gone;
    const batch = foresight?.batches?.find(({ path }) => path === artifact?.path);
    if (batch !== undefined) {
      const done = `${count(batch.rounds, 'round')}, ${count(batch.rows, 'row')}`;
      return batch.goes_on === 'behind' ? `goes on behind ${done}` : batch.goes_on === 'anew' ? `begins anew, over ${done}` : `refused: changed behind ${done}`;
    }
    const half = artifact === null ? undefined : halves.get(artifact.path);
    if (half === undefined) return '';
    if (half.refusal) return `refused: ${count(half.statements, 'statement')} of it ${half.statements === 1 ? 'is' : 'are'} in the database`;
    const next = half.statements + 1;
    const again = half.runs_again ? `; statement ${next} has run before, and runs again as long as its done_when is not true` : '';
    if (next === 1) return again.slice(2);
    const where = half.next_line === null ? '' : `, line ${half.next_line}`;
    return (half.goes_on === 'unknown' ? `goes on at statement ${next}, if what is before it is unchanged` : `goes on at statement ${next}${where}`) + again;
  }

  /** Where digests do not say all: the database compares what was applied with what is there now. */
  async function readMore(): Promise<Foresight | null> {
    if (address === null || applied === null || !isInstalled) return null;
    const files = numberSteps(bundle.manifest).flatMap((phase) => phase.steps);
    const here = new Set(bundle.manifest.artifacts.map(({ path }) => path));
    const isGone = [...applied.keys()].some((path) => !here.has(path));
    const asked = files.filter(
      (file) =>
        file.step.kind !== 'check' &&
        applied.get(file.step.path) !== file.artifact?.digest &&
        (isGone || applied.has(file.step.path) || file.step.kind === 'batch'),
    );
    const ask = async (about: readonly NumberedStep[]) =>
      readForesight(address, { manifest: bundle.manifest, texts: await readTexts(about), parameters: assigned.parameters }, printer.io);
    const told = await ask(asked);
    // If a file stopped half-way and was corrected, only its text says whether the part that has run is unchanged.
    const unknown = new Set(told.halves?.filter(({ goes_on }) => goes_on === 'unknown').map(({ path }) => path));
    return unknown.size === 0 ? told : ask([...files.filter(({ step }) => unknown.has(step.path)), ...asked]);
  }

  /** As much as a query may contain; larger files are compared by digest only. */
  async function readTexts(files: readonly NumberedStep[]): Promise<Record<string, string>> {
    const texts: Record<string, string> = {};
    untold.clear();
    let bytes = 0;
    let left = LIMITS.inline_document_bytes - SPARE_BYTES - bytesInJson([bundle.manifest, assigned.parameters]);
    for (const { artifact } of files) {
      if (artifact === null || artifact.chunks !== undefined) continue;
      untold.add(artifact.path);
      if (bytes + artifact.size > TEXTS_BYTES || artifact.size > left) continue;
      for await (const chunk of readChunks(bundle.source, artifact)) {
        const text = new TextDecoder().decode(chunk.bytes);
        const takes = bytesInJson([artifact.path, text]);
        if (takes > left) continue;
        left -= takes;
        bytes += artifact.size;
        texts[artifact.path] = text;
        untold.delete(artifact.path);
      }
    }
    return texts;
  }

  /** Digests by path, of the latest application. A database without the engine has no history, and that is known. */
  async function readApplied(): Promise<Map<string, string>> {
    if (address === null) throw new Error('there is no history without an address');
    try {
      const { history } = await readHistory(address, bundle.manifest.bundle, printer.io);
      const inOrder = history.toSorted((a, b) => Date.parse(a.applied_at) - Date.parse(b.applied_at));
      return new Map(inOrder.map(({ path, digest }) => [path, digest]));
    } catch (error) {
      if (error instanceof Problem && error.slug === 'engine_missing') {
        isInstalled = false;
        return new Map();
      }
      throw error;
    }
  }
}

/** By its digest alone a file has changed; a deployment has its contents too. */
function warnOfUntold(paths: readonly string[]): string[] {
  if (paths.length === 0) return [];
  return [
    `The contents of ${count(paths.length, 'file')} did not fit into the question to the database: ${listSome(paths, 5)}. Whether more of them than comments and white space has changed, or one was renamed, shows only when they are deployed; what is refused here may run then.`,
  ];
}

/** What the environment of the target will require, as the Worker says. */
function protectionLines(foresight: Foresight | null): string[] {
  const { environment, second_person, rehearsal_first } = foresight?.protection ?? {};
  return [
    ...(rehearsal_first ? [`The environment "${oneLine(environment ?? '')}" only accepts what was rehearsed there before: weft deploy --rehearse.`] : []),
    ...(second_person
      ? [`A deployment waits there until somebody other than its caller approves it, as the environment "${oneLine(environment ?? '')}" asks for.`]
      : []),
  ];
}

/** What somebody has changed since the last deployment, which a deployment would go on from. */
function driftLines(foresight: Foresight | null): string[] {
  const drift = foresight?.drift;
  if (drift?.verdict !== 'drift') return [];
  const objects = `${count(drift.count, 'object')} ${drift.count === 1 ? 'is' : 'are'} not as deployments have left ${drift.count === 1 ? 'it' : 'them'}`;
  if (drift.running) return [`${objects}; deployment ${drift.running} is running, and what it has changed so far is among them. "weft drift" shows them.`];
  return [`${objects}. "weft drift" shows what should be there and what is.`];
}
