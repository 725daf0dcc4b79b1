/** `weft approve`: gives the approval of a second person to a deployment that waits for it, and follows what happens then. */
import { type Deployment, exitCodeOf } from '../../domain/deployment.ts';
import { digestSchema } from '../../domain/manifest.ts';
import { Problem } from '../../domain/problem.ts';
import { sourceFact, toRunLines, waitsForSecrets } from '../../words/approved.ts';
import { renderSummary } from '../../words/summary.ts';
import { count, oneLine } from '../../words/text.ts';
import { readDeploymentId, requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { conduct, type Ending } from '../conduct.ts';
import { readStatus } from '../readings.ts';

export async function approve(call: Call): Promise<number> {
  const { printer, values } = call;
  const address = requireAddress(call);
  const id = readDeploymentId(call.positionals[0]) as string;
  const said = digestSchema.optional().safeParse(values.digest);
  if (!said.success) throw new Problem('usage', '--digest is the SHA-256 that "weft status" shows of the deployment: 64 characters, 0 to 9 and a to f.');
  let digest = said.data;
  if (digest === undefined) {
    const deployment = await readStatus(address, id, printer.io).catch((error: unknown) => {
      throw error instanceof Problem && error.slug === 'no_grant' ? blind(error) : error;
    });
    if (!deployment.approval)
      throw new Problem('not_approved', `Deployment ${id} needs no approval; it is ${deployment.state}. Nothing was changed.`, { deployment: id });
    digest = deployment.approval.digest;
    printer.note(describe(deployment, digest));
  }
  const wish = { deployment: id, digest };
  return conduct(
    call,
    null,
    async (watch) => {
      if (address.kind === 'database') return (await import('../direct.ts')).approveStraight({ address, ...watch }, wish);
      return (await import('../remote.ts')).approveThroughWorker({ address, ...watch }, wish);
    },
    ENDING,
  );
}

const ENDING: Ending = {
  words: renderSummary,
  // That it is approved is what was asked for: what it needs besides, somebody else has to bring.
  exitCode: (deployment) => (waitsForSecrets(deployment) ? 0 : exitCodeOf(deployment.state, false)),
  unanswered: 'Left before there was an answer. If it has arrived, the deployment is approved, and is run. To look: weft status.',
};

/** It cannot be shown to whoever may approve and not read. */
function blind({ slug, message, facts }: Problem): Problem {
  return new Problem(
    slug,
    `${message} Without --digest a deployment is read and shown before it is approved: name the digest that you were told (--digest D).`,
    facts,
  );
}

/** What is approved, before it is. */
function describe(deployment: Deployment, digest: string): string {
  const { id, bundle, caller, mode, undoes, phases } = deployment;
  const what = undoes ? `the undo of ${undoes} (${oneLine(bundle)})` : `${mode === 'baseline' ? 'the baseline of ' : ''}${oneLine(bundle)}`;
  const steps = phases.flatMap((phase) => phase.steps);
  const source = sourceFact(deployment);
  const lines = [`Approving ${what}, opened by ${oneLine(caller ?? 'somebody')}: deployment ${id}, ${count(steps.length, 'step')}, digest ${digest}.`];
  if (source !== null) lines.push(`It comes from ${source}.`);
  return [...lines, ...toRunLines(deployment)].join('\n');
}
