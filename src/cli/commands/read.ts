/** `weft status` and `weft history`: they read, directly or through a Worker, and change nothing. */
import { type Deployment, isOver } from '../../domain/deployment.ts';
import type { BegunEntry, HistoryEntry } from '../../domain/history.ts';
import { renderStatus } from '../../words/status.ts';
import type { Style } from '../../words/style.ts';
import { columns, count, cut, moment, oneLine } from '../../words/text.ts';
import { waitOf } from '../../words/waits.ts';
import { readDeploymentId, requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { positionOf } from '../progress.ts';
import { readDeployments, readHistory, readStatus } from '../readings.ts';

/** Characters of the reason of a failure, in a list. */
const REASON_WIDTH = 100;

export async function status(call: Call): Promise<number> {
  const { printer, positionals } = call;
  const address = requireAddress(call);
  const id = readDeploymentId(positionals[0]);
  if (id === null) {
    const deployments = await readDeployments(address, printer.io);
    printer.say(deployments.length === 0 ? 'No deployment yet.' : deploymentLines(deployments).join('\n'));
    printer.document({ deployments });
    return 0;
  }
  const deployment = await readStatus(address, id, printer.io);
  printer.say(renderStatus(deployment, printer.style));
  printer.document(deployment);
  return 0;
}

export async function history(call: Call): Promise<number> {
  const { printer, positionals } = call;
  const bundle = positionals[0] ?? null;
  const found = await readHistory(requireAddress(call), bundle, printer.io);
  // A misspelt name finds nothing, either, so the answer repeats the name.
  const nothing = bundle === null ? 'Nothing has been applied yet.' : `Nothing of a bundle "${oneLine(bundle)}" is applied; "weft history" alone shows all.`;
  const applied = found.history.length === 0 ? [nothing] : historyLines(found.history);
  printer.say([...applied, ...begunLines(found.begun, printer.style)].join('\n'));
  printer.document(found);
  return 0;
}

function deploymentLines(deployments: readonly Deployment[]): string[] {
  return columns(
    deployments.map((deployment) => {
      const { done, total } = positionOf(deployment);
      const remark = [kindOf(deployment), waitOf(deployment) ?? failuresOf(deployment), undoneOf(deployment), driftOf(deployment)].filter(
        (part) => part !== '',
      );
      // Of a rehearsal no step stays, however far it came.
      const position = deployment.mode === 'rehearse' ? `-/${total}` : `${done}/${total}`;
      return [moment(deployment.created_at), deployment.id, deployment.state, position, oneLine(deployment.bundle), remark.join('; ')];
    }),
  );
}

/** What is no plain deployment says so. */
function kindOf({ mode, state, undoes, withdrawn }: Deployment): string {
  if (undoes && withdrawn) return `withdraws baseline ${short(undoes)}`;
  if (undoes && mode !== 'rehearse') return `undo of ${short(undoes)}`;
  if (undoes) return `rehearsal of the undo of ${short(undoes)}${state === 'failed' ? ': would fail' : ''}`;
  if (mode === 'rehearse') return state === 'failed' ? 'rehearsal: would fail' : 'rehearsal';
  return mode === 'baseline' ? 'baseline' : '';
}

/** The steps that failed, by their paths, or what was refused; and why. */
function failuresOf({ phases, error, state }: Deployment): string {
  const failed = phases.flatMap(({ steps }) => steps.filter((step) => step.state === 'failed'));
  const reason = error ?? (failed.length === 1 ? failed[0]?.error : null);
  const words = reason && state !== 'cancelled' ? cut(`${reason.sqlstate}: ${oneLine(reason.message).replace(/\.$/, '')}`, REASON_WIDTH) : '';
  const paths = failed.map(({ path }) => oneLine(path)).join(', ');
  return [...(paths === '' ? [] : [`failed: ${paths}`]), ...(words === '' ? [] : [words])].join(': ');
}

/** About deployments that are not, or not completely, in the database any more. */
function undoneOf({ undone, mode }: Deployment): string {
  if (!undone || !isOver(undone.state)) return undone ? `being undone by ${short(undone.by)}` : '';
  if (mode === 'baseline' && undone.whole) return `withdrawn by ${short(undone.by)}`;
  return undone.whole ? `undone by ${short(undone.by)}` : `undo by ${short(undone.by)} ${undone.state === 'succeeded' ? 'in part' : undone.state}`;
}

function driftOf({ drift_found }: Deployment): string {
  const objects = (drift_found ?? []).reduce((sum, found) => sum + found.count, 0);
  return objects > 0 ? `met drift: ${count(objects, 'object')}` : '';
}

/** Enough of an id to find its line. */
function short(id: string): string {
  return id.slice(0, 8);
}

function historyLines(entries: readonly HistoryEntry[]): string[] {
  return columns(
    entries.map(({ applied_at, bundle, path, digest, deployment }) => [moment(applied_at), oneLine(bundle), oneLine(path), digest.slice(0, 12), deployment]),
  );
}

/** What of files is in the database without the rest of them. */
function begunLines(entries: readonly BegunEntry[], style: Style): string[] {
  if (entries.length === 0) return [];
  const rows = columns(entries.map(({ at, bundle, path, deployment }) => [at === null ? '' : moment(at), oneLine(bundle), oneLine(path), deployment]));
  const lines = entries.flatMap(({ account }, index) => [rows[index] ?? '', ...(account === null ? [] : [`    ${oneLine(account)}`])]);
  const way = 'If what has run of one was taken back by hand, say so: weft forget FILE --why REASON.';
  return ['', style.yellow('Begun, and not applied as a whole:'), ...lines, ...(entries.some(({ of_undo }) => of_undo !== true) ? [way] : [])];
}
