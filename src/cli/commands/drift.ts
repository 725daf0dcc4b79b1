/**
 * `weft drift`: what changed in the catalog outside of deployments, or by one of them, directly or through a Worker; and `--accept`,
 * which says that it is meant.
 */
import type { Changes, Difference, Drift, NamedDifferences } from '../../domain/deployment.ts';
import { Problem } from '../../domain/problem.ts';
import type { Style } from '../../words/style.ts';
import { andMore, count, harmless, moment, oneLine } from '../../words/text.ts';
import { readDeploymentId, requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import type { Printer } from '../io.ts';
import { readChanges, readDrift } from '../readings.ts';
import { acceptDrift } from '../words.ts';

/** @returns 0: nothing differs, or what a deployment changed is shown; 1: drift; 2: it cannot be told */
export async function drift(call: Call): Promise<number> {
  const { printer, positionals } = call;
  const address = requireAddress(call);
  const id = readDeploymentId(positionals[0]);
  const accepts = call.values.accept === true;
  if (accepts && id !== null) throw new Problem('usage', 'What is accepted is the catalog as it is now: no id goes with --accept.');
  if (id !== null) {
    const found = await readChanges(address, id, printer.io);
    showDriftFound(printer, found);
    showCompared(printer, found);
    show(printer, found, headlineOfChanges(found), `changes('${id}')`);
    return found.reason === null ? 0 : 2;
  }
  const found = await readDrift(address, printer.io);
  if (accepts) {
    if (found.fingerprint.after === null || found.since === null) throw new Problem('drift_not_accepted', found.reason ?? 'There is nothing to accept.');
    showObjects(printer, found, headlineOfDrift(found), 'drift()');
    const accepted = await acceptDrift(address, found.fingerprint.after, printer.io);
    if (found.verdict !== 'none') printer.say(`\nAccepted: the catalog is meant to be as it is now. From now on, drift is reported relative to this.`);
    printer.document(accepted);
    return 0;
  }
  show(printer, found, headlineOfDrift(found), 'drift()');
  showUnwatched(printer, found);
  for (const { bundle, account } of found.half_undone ?? [])
    printer.say(`\nNo drift, and not as the history has it, in ${oneLine(bundle)}: ${oneLine(account)}`);
  if (found.reason !== null) return 2;
  return found.verdict === 'drift' ? 1 : 0;
}

function show(printer: Printer, found: Drift | Changes, headline: string, reading: string): void {
  showObjects(printer, found, headline, reading);
  printer.document(found);
}

function showObjects(printer: Printer, found: Drift | Changes, headline: string, reading: string): void {
  const unlisted = found.count - found.objects.length;
  const remainder = andMore(unlisted, 'object').flatMap((more) => ['', `${more}; in psql: select * from weft.${reading}`]);
  printer.say(
    [found.reason === null ? headline : harmless(found.reason), ...found.objects.flatMap((one) => describe(one, printer.style)), ...remainder].join('\n'),
  );
}

/** What differs too, and is no drift. */
function showUnwatched(printer: Printer, { unwatched }: Drift): void {
  if (!unwatched) return;
  const { count: objects, objects: shown } = unwatched;
  const bundles = [...new Set(shown.map(({ bundle }) => oneLine(bundle)))].join(', ');
  const named = shown.map(({ change, kind, identity }) => `  ${change} ${oneLine(kind)} ${oneLine(identity)}`);
  printer.say(
    [
      `\nNo drift, because something else manages ${objects === 1 ? 'it' : 'them'} (drift: ignore: of ${bundles}): ${count(objects, 'object')} that ${objects === 1 ? 'differs' : 'differ'}.`,
      ...named,
      ...andMore(objects - shown.length, 'object'),
    ].join('\n'),
  );
}

/** What a deployment has met when it began, as far as that is kept. */
function showDriftFound(printer: Printer, { deployment, drift_found }: Changes): void {
  for (const found of drift_found ?? []) {
    const [objects, were, them] = [count(found.count, 'object'), found.count === 1 ? 'was' : 'were', found.count === 1 ? 'it' : 'them'];
    printer.say(`When deployment ${deployment} ${found.reopened ? 'was opened again' : 'began'}, ${objects} ${were} not as deployments had left ${them}.`);
    showNamed(printer, found);
  }
}

/** What an undo has left that is not as it was before the deployment that it took back. */
function showCompared(printer: Printer, { deployment, compared }: Changes): void {
  if (compared?.verdict !== 'differs') return;
  const { count: objects } = compared;
  printer.say(
    `When undo ${deployment} had ended, ${count(objects, 'object')} ${objects === 1 ? 'was' : 'were'} not as before the deployment that it took back.`,
  );
  showNamed(printer, compared);
}

function showNamed(printer: Printer, { count: objects, objects: shown }: NamedDifferences): void {
  for (const { before = null, after = null, ...object } of shown) printer.say(describe({ ...object, before, after }, printer.style).join('\n'));
  for (const more of andMore(objects - shown.length, 'object')) printer.say(`\n${more}`);
  printer.say('');
}

function headlineOfDrift({ verdict, since, running, count: objects, unwatched }: Drift): string {
  const then = since === null ? '' : `deployment ${since.deployment} of ${oneLine(since.bundle)}, ${since.state} at ${moment(since.finished_at)}`;
  if (verdict === 'none') return `Nothing ${unwatched ? 'of what deployments see to ' : ''}has changed since ${then}.${acceptedOf(since)}`;
  const beside = running === null ? '' : `\nDeployment ${running} is running: what it has changed so far is among them.`;
  const earlier = since?.accepted ? null : since?.drift_found?.at(-1);
  const met = earlier
    ? `\nWhen that one ${earlier.reopened ? 'was opened again' : 'began'}, ${count(earlier.count, 'object')} differed already: "weft drift ${since?.deployment}" shows it.`
    : '';
  return `${count(objects, 'object')} ${objects === 1 ? 'is' : 'are'} not as deployments have left ${objects === 1 ? 'it' : 'them'}; the last was ${then}.${beside}${met}${acceptedOf(since)}`;
}

/** After it, somebody has accepted the catalog as it was then. */
function acceptedOf(since: Drift['since']): string {
  if (!since?.accepted) return '';
  const { at, by, count: objects } = since.accepted;
  return `\nAfter it, at ${moment(at)}, ${oneLine(by)} accepted the catalog as it was then${objects === null ? '' : `: ${count(objects, 'object')} had been changed outside of deployments`}.`;
}

function headlineOfChanges({ verdict, deployment, count: objects }: Changes): string {
  return verdict === 'none'
    ? `Deployment ${deployment} has changed nothing of the catalog.`
    : `Deployment ${deployment} has changed ${count(objects, 'object')} of the catalog.`;
}

/** One object: a line that names it, and below what it was and what it is. */
function describe({ change, kind, identity, before, after }: Difference, style: Style): string[] {
  const [was, is] = [linesOf(before), linesOf(after)];
  // Of two long definitions only what is not the same at their beginnings and ends.
  let head = 0;
  while (head < Math.min(was.length, is.length) && was[head] === is[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(was.length, is.length) - head && was[was.length - 1 - tail] === is[is.length - 1 - tail]) tail += 1;
  const colour = { added: style.green, removed: style.red, missing: style.red, changed: style.yellow }[change];
  return [
    '',
    `${colour(change)} ${oneLine(kind)} ${style.bold(oneLine(identity))}`,
    ...(head > 0 ? [`    … ${count(head, 'line')} the same`] : []),
    ...was.slice(head, was.length - tail).map((line) => `  - ${line}`),
    ...is.slice(head, is.length - tail).map((line) => `  + ${line}`),
    ...(tail > 0 ? [`    … ${count(tail, 'line')} the same`] : []),
  ];
}

function linesOf(definition: string | null): string[] {
  return definition === null || definition === '' ? [] : harmless(definition).split('\n');
}
