/** `weft status` and `weft history`: reads, either way in, and changes nothing. */
import type { Deployment, HistoryEntry } from '../../domain/deployment.ts';
import { readDeploymentId, requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import type { Style } from '../io.ts';
import { positionOf, waitOf } from '../progress.ts';
import { readDeployments, readHistory, readStatus } from '../readings.ts';
import { renderRehearsal } from '../rehearsal.ts';
import { renderSummary } from '../summary.ts';
import { columns, moment, oneLine } from '../text.ts';

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
  const render = deployment.mode === 'rehearse' ? renderRehearsal : renderSummary;
  printer.say([render(deployment, printer.style), ...liveLines(deployment, printer.style)].join('\n'));
  printer.document(deployment);
  return 0;
}

export async function history(call: Call): Promise<number> {
  const { printer, positionals } = call;
  const entries = await readHistory(requireAddress(call), positionals[0] ?? null, printer.io);
  printer.say(entries.length === 0 ? 'Nothing has been applied yet.' : historyLines(entries).join('\n'));
  printer.document({ history: entries });
  return 0;
}

function deploymentLines(deployments: readonly Deployment[]): string[] {
  return columns(
    deployments.map((deployment) => {
      const { done, total } = positionOf(deployment);
      const remark = waitOf(deployment) ?? failuresOf(deployment);
      return [moment(deployment.created_at), deployment.id, deployment.state, `${done}/${total}`, oneLine(deployment.bundle), remark];
    }),
  );
}

/** The steps that failed, by their paths. */
function failuresOf({ phases }: Deployment): string {
  const paths = phases.flatMap(({ steps }) => steps.filter(({ state }) => state === 'failed').map(({ path }) => oneLine(path)));
  return paths.length === 0 ? '' : `failed: ${paths.join(', ')}`;
}

function historyLines(entries: readonly HistoryEntry[]): string[] {
  return columns(
    entries.map(({ applied_at, bundle, path, digest, deployment }) => [moment(applied_at), oneLine(bundle), oneLine(path), digest.slice(0, 12), deployment]),
  );
}

function liveLines(deployment: Deployment, style: Style): string[] {
  const { live } = deployment;
  const wait = waitOf(deployment);
  const place = live === null ? [] : [live.phase, live.path].filter((part) => part !== null).map(oneLine);
  return [
    ...(live === null
      ? []
      : ['', `Backend ${live.pid} is at step ${live.step ?? '?'} of ${live.steps ?? '?'}${place.length === 0 ? '' : `: ${place.join(': ')}`}.`]),
    ...(wait === null ? [] : [style.yellow(`Now: ${wait.replace(/\.$/, '')}.`)]),
  ];
}
