/** `weft undo`: says what would be run and what has no undo, and then takes a deployment back. */
import type { UndoPlan } from '../../domain/deployment.ts';
import { Problem } from '../../domain/problem.ts';
import { requestIdSchema } from '../../domain/request.ts';
import { type Address, readDeploymentId, requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { conduct } from '../conduct.ts';
import type { Style } from '../io.ts';
import { readUndoPlan } from '../readings.ts';
import { columns, count, listSome, moment, oneLine } from '../text.ts';

export async function undo(call: Call): Promise<number> {
  const { printer, values } = call;
  const address = requireAddress(call);
  const key = typeof values.id === 'string' ? values.id : crypto.randomUUID();
  if (!requestIdSchema.safeParse(key).success) throw new Problem('usage', '--id is a key of letters, digits, "_", ":" and "-", 128 at most.');
  const named = readDeploymentId(call.positionals[0]);
  const partly = values.partly === true;
  const plan = await readPlan(call, address, named, typeof values.id === 'string');
  const isRefused = plan !== null && (plan.phases.length === 0 || (plan.lacking.length > 0 && !partly));
  if (values.plan === true) {
    if (plan === null) throw new Problem('usage', 'The plan was asked for, and nobody may read it: say who reads (--caller NAME or WEFT_CALLER).');
    for (const line of planLines(plan, printer.style)) printer.say(line);
    if (isRefused)
      printer.say(
        plan.phases.length === 0
          ? 'Nothing would be undone: no file of it has an undo.'
          : `Nothing would be undone as it stands: to undo the rest and leave these, weft undo --partly ${plan.deployment}.`,
      );
    printer.document(plan);
    return isRefused ? 2 : 0;
  }
  for (const line of plan === null ? [] : planLines(plan, printer.noteStyle)) printer.note(line);
  if (plan !== null && isRefused) throw refusal(plan);
  const deployment = plan?.deployment ?? (named as string);
  return conduct(call, key, async (watch) => {
    if (address.kind === 'database') return (await import('../direct.ts')).undoStraight({ address, ...watch }, deployment, partly, key);
    return (await import('../remote.ts')).undoThroughWorker({ address, ...watch }, deployment, partly, key);
  });
}

/** Null where nobody may look: a caller who may undo what it names, and no more; or the same command was given before, and has perhaps undone it. */
async function readPlan({ printer, values }: Call, address: Address, id: string | null, isRepeatable: boolean): Promise<UndoPlan | null> {
  const isBlind = address.kind === 'worker' && address.caller === null;
  if (isBlind && id === null) {
    throw new Problem(
      'set_up',
      'Through a Worker, either name the deployment (weft undo ID), or say who reads (--caller NAME or WEFT_CALLER), so that it can be looked up.',
    );
  }
  if (isBlind) return null;
  try {
    return await readUndoPlan(address, id, printer.io);
  } catch (error) {
    const isDone = error instanceof Problem && (error.slug === 'nothing_to_undo' || error.slug === 'undo_out_of_order');
    if (isDone && isRepeatable && id !== null && values.plan !== true) return null; // the engine knows whether it is the same request
    throw error;
  }
}

function refusal({ deployment, lacking, phases }: UndoPlan): Problem {
  const names = listed(lacking.map(({ path }) => path));
  const what =
    phases.length === 0
      ? `None of the files of deployment ${deployment} has an undo: ${names}. Nothing was undone. Write undo files and deploy the bundle with them: it runs nothing a second time, and keeps them in the database.`
      : `${count(lacking.length, 'file')} of deployment ${deployment} ${lacking.length === 1 ? 'has' : 'have'} no undo: ${names}. Nothing was undone. To undo the rest and leave these: weft undo --partly ${deployment}.`;
  return new Problem('undo_missing', what, { deployment, lacking: lacking.map(({ path }) => path) });
}

function listed(paths: readonly string[]): string {
  return listSome(
    paths.map((path) => oneLine(path)),
    5,
  );
}

function planLines(
  { deployment, bundle, finished_at, phases, stand_by: standBy = [], secrets_lacking: secrets = [], lacking }: UndoPlan,
  style: Style,
): string[] {
  const lines = [`Undo of ${style.bold(oneLine(bundle))}, deployment ${deployment}${finished_at === null ? '' : `, ${moment(finished_at)}`}`];
  for (const phase of phases) {
    const rows = phase.steps.map((step) => [
      'run',
      oneLine(step.undo),
      step.restores ? 'as it was before' : `takes back ${oneLine(step.path)}`,
      [
        step.statements_done === null
          ? ''
          : `of which only ${count(step.statements_done, step.kind === 'batch' ? 'round' : 'statement')} ${step.statements_done === 1 ? 'is' : 'are'} in the database`,
        step.given_by === null || step.restores ? '' : `as it came with deployment ${step.given_by}`,
      ]
        .filter((part) => part !== '')
        .join('; '),
    ]);
    lines.push('', `${style.bold(oneLine(phase.name))}  ${style.dim(phase.transaction)}`, ...columns(rows, '  '));
  }
  if (phases.some(({ steps }) => steps.some(({ kind, restores }) => restores && kind === 'run')))
    lines.push(
      '',
      'Files that run again and again come back in an order that the server finds; what cannot be replaced is dropped and made again, and what needs something that is undone behind it waits for that.',
    );
  if (secrets.length > 0)
    lines.push('', style.yellow(`That deployment was given secrets, which are kept nowhere: a file that names one fails in the undo (${listed(secrets)}).`));
  if (standBy.length > 0) lines.push(`Called back if something of theirs goes: ${listed(standBy)}.`);
  if (lacking.length > 0)
    lines.push(
      '',
      style.yellow('No undo, stays in the database:'),
      ...columns(
        lacking.map(({ path, phase, repeat }) => [oneLine(path), oneLine(phase), repeat ? 'new in that deployment: there is no version before' : '']),
        '  ',
      ),
    );
  lines.push('');
  return lines;
}
