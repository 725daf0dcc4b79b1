/** `weft resume` and `weft cancel`: what can be done with a deployment that exists already. */
import { type Deployment, exitCodeOf, isOver } from '../../domain/deployment.ts';
import { Problem } from '../../domain/problem.ts';
import { renderSummary } from '../../words/summary.ts';
import { moment, oneLine } from '../../words/text.ts';
import { type Address, isBlind, readDeploymentId, requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { conduct, type Ending } from '../conduct.ts';
import type { Io, Printer } from '../io.ts';
import { readSecrets } from '../parameters.ts';
import { readDeployments } from '../readings.ts';

export async function resume(call: Call): Promise<number> {
  const address = requireAddress(call);
  let id = readDeploymentId(call.positionals[0]);
  if (id === null) {
    const { unfinished, newest } = await lookForUnfinished(address, call.printer.io);
    if (unfinished === null) return sayNothingUnfinished(call.printer, newest);
    id = unfinished.id;
  }
  const wanted = id;
  const secrets = await readSecrets(call);
  return conduct(call, null, async (watch) => {
    if (address.kind === 'database') return (await import('../direct.ts')).resumeStraight({ address, ...watch }, wanted, secrets);
    return (await import('../remote.ts')).resumeThroughWorker({ address, ...watch }, wanted, secrets);
  });
}

export async function cancel(call: Call): Promise<number> {
  const address = requireAddress(call);
  const id = readDeploymentId(call.positionals[0]) as string;
  return conduct(
    call,
    null,
    async (watch) => {
      if (address.kind === 'database') return (await import('../direct.ts')).cancelStraight({ address, ...watch }, id, call.values.deadline !== undefined);
      return (await import('../remote.ts')).cancelThroughWorker({ address, ...watch }, id);
    },
    {
      ...ENDING_OF_CANCEL,
      unanswered: `Left before there was an answer. If the request has arrived, deployment ${id} goes no further. To make sure, and to see it to the end: weft cancel ${id}. To look: weft status ${id}.`,
    },
  );
}

/** That it does not go on is what was asked for; what had ended otherwise leaves nothing to cancel. */
const ENDING_OF_CANCEL: Ending = {
  words: (deployment, style) => {
    const { id, bundle, state } = deployment;
    if (state === 'cancelled' || !isOver(state)) return renderSummary(deployment, style);
    return `Nothing was left to cancel: ${oneLine(bundle)} had ended before, as ${state}${timeOf(deployment)}. All of it: weft status ${id}`;
  },
  exitCode: ({ state }) => (isOver(state) ? 0 : exitCodeOf(state, false)),
};

interface Found {
  /** The last in line of what is not over: to resume it is to finish what stands before it, too. Else the newest, if something in it failed that may. */
  readonly unfinished: Deployment | null;
  readonly newest: Deployment | null;
}

async function lookForUnfinished(address: Address, io: Io): Promise<Found> {
  if (isBlind(address)) {
    throw new Problem(
      'set_up',
      'Through a Worker, either name the deployment (weft resume ID), or say who reads (--caller NAME or WEFT_CALLER), so that it can be looked up.',
    );
  }
  const deployments = await readDeployments(address, io);
  const inLine = deployments.filter(({ state, staged_at }) => !isOver(state) && staged_at !== null);
  const [last] = [...inLine].sort((a, b) => Date.parse(b.staged_at ?? '') - Date.parse(a.staged_at ?? ''));
  const newest = deployments[0] ?? null;
  return { unfinished: last ?? (newest?.state === 'degraded' ? newest : null), newest };
}

function sayNothingUnfinished(printer: Printer, newest: Deployment | null): number {
  printer.say(`Nothing is unfinished. ${newest === null ? 'There is no deployment yet.' : newestLine(newest)}`);
  printer.document({ unfinished: null, newest });
  return 0;
}

function newestLine(newest: Deployment): string {
  const { id, bundle, state } = newest;
  const how = isOver(state) ? `ended as ${state}${timeOf(newest)}` : `is ${state}`;
  return `The newest deployment, ${oneLine(bundle)}, ${how}: weft status ${id}`;
}

function timeOf({ finished_at }: Deployment): string {
  return finished_at === null ? '' : `, ${moment(finished_at)}`;
}
