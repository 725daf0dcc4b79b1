/** `weft resume` and `weft cancel`: what can be done with a deployment that exists already. */
import { type Deployment, exitCodeOf, isOver } from '../../domain/deployment.ts';
import { Problem } from '../../domain/problem.ts';
import { renderSummary } from '../../words/summary.ts';
import { moment, oneLine } from '../../words/text.ts';
import { type Address, isBlind, readDeploymentId, requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { accompany, conduct, deadlineOf, type Ending } from '../conduct.ts';
import type { Io, Printer } from '../io.ts';
import { readSecrets } from '../parameters.ts';
import { readDeployments } from '../readings.ts';

export async function resume(call: Call): Promise<number> {
  const { printer } = call;
  const address = requireAddress(call);
  const named = readDeploymentId(call.positionals[0]);
  const { unfinished, newest, before } = named === null ? await lookForUnfinished(address, printer.io) : NAMED;
  const wanted = named ?? unfinished?.id;
  if (wanted === undefined) return sayNothingUnfinished(printer, newest);
  const secrets = await readSecrets(call);
  const { deployment, code } = await accompany(call, null, deadlineOf(call), async (watch) => {
    if (address.kind === 'database') return (await import('../direct.ts')).resumeStraight({ address, ...watch }, wanted, secrets);
    return (await import('../remote.ts')).resumeThroughWorker({ address, ...watch }, wanted, secrets);
  });
  if (before.length === 0) {
    printer.document(deployment);
    return code;
  }
  const others = await lookAgain(address, before, printer.io);
  const strict = call.values.strict === true;
  const lines = others.filter(({ state }) => isOver(state) && exitCodeOf(state, strict) !== 0).map((other) => `Before it, ${howItEnded(other)}`);
  if (lines.length > 0) printer.say(`\n${lines.join('\n')}`);
  if (lines.length > 0 && printer.json) printer.note(`\n${lines.join('\n')}`);
  printer.document({ ...deployment, before_it: others.map(({ id, bundle, state }) => ({ id, bundle, state })) });
  return code === 0 && lines.length > 0 ? 1 : code;
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
  /** The last unfinished deployment in line, because resuming it also finishes those before it. Otherwise the newest, if it has a tolerated failure. */
  readonly unfinished: Deployment | null;
  readonly newest: Deployment | null;
  /** Those before it in line, by id: without an id, all of them are continued. */
  readonly before: readonly string[];
}

const NAMED: Found = { unfinished: null, newest: null, before: [] };

async function lookForUnfinished(address: Address, io: Io): Promise<Found> {
  if (isBlind(address)) {
    throw new Problem(
      'set_up',
      'Through a Worker, either name the deployment (weft resume ID), or say who reads (--caller NAME or WEFT_CALLER), so that it can be looked up.',
    );
  }
  const deployments = await readDeployments(address, io);
  const inLine = deployments.filter(({ state, staged_at }) => !isOver(state) && staged_at !== null);
  const [last, ...before] = [...inLine].sort((a, b) => Date.parse(b.staged_at ?? '') - Date.parse(a.staged_at ?? ''));
  const newest = deployments[0] ?? null;
  return { unfinished: last ?? (newest?.state === 'degraded' ? newest : null), newest, before: before.map(({ id }) => id).reverse() };
}

/** What has become of them, in the order of the line. */
async function lookAgain(address: Address, ids: readonly string[], io: Io): Promise<Deployment[]> {
  const deployments = await readDeployments(address, io);
  return ids.flatMap((id) => deployments.filter((deployment) => deployment.id === id));
}

function sayNothingUnfinished(printer: Printer, newest: Deployment | null): number {
  printer.say(`Nothing is unfinished. ${newest === null ? 'There is no deployment yet.' : newestLine(newest)}`);
  printer.document({ unfinished: null, newest });
  return 0;
}

function newestLine(newest: Deployment): string {
  const { id, bundle, state } = newest;
  return isOver(state) ? `The newest deployment, ${howItEnded(newest, ',')}` : `The newest deployment, ${oneLine(bundle)}, is ${state}: weft status ${id}`;
}

function howItEnded(deployment: Deployment, mark = ''): string {
  const { id, bundle, state } = deployment;
  return `${oneLine(bundle)}${mark} ended as ${state}${timeOf(deployment)}: weft status ${id}`;
}

function timeOf({ finished_at }: Deployment): string {
  return finished_at === null ? '' : `, ${moment(finished_at)}`;
}
