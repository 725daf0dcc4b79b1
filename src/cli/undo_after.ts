/**
 * `weft undo --after ID`: goes back over several deployments of a bundle, to where one has left the database. Each that came after it is taken back
 * by an undo of its own, the newest first. What is known beforehand to stand in the way of any of them is said before the first one runs.
 */
import { isUnapproved } from '../domain/approval.ts';
import type { Deployment } from '../domain/deployment.ts';
import type { SecretValues } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import type { Later, UndoPlan } from '../domain/undo_plan.ts';
import type { Style } from '../words/style.ts';
import { columns, count, moment, oneLine } from '../words/text.ts';
import { type Address, isBlind, readDeploymentId } from './address.ts';
import type { Call } from './commands.ts';
import { accompany, atRest, deadlineOf } from './conduct.ts';
import type { Reported } from './junit.ts';
import { readSecrets } from './parameters.ts';
import { readLater, readUndoPlan } from './readings.ts';
import { checkSecrets, sendUndo } from './undo_errand.ts';
import { certainOf, listed, undoPlanLines } from './undo_plan.ts';

type Follower = Later['later'][number];

/** Options that are about one undo, and why each does not go with several. */
const ALONE: Readonly<Record<string, string>> = {
  bundle: 'the deployment behind --after is of one bundle already',
  partly: 'what stays of one deployment keeps those before it from being undone',
  rehearse: 'each undo needs the one before it to be done: "weft undo --rehearse --bundle NAME" rehearses the first of them',
  with: 'it corrects the undo files of one deployment: "weft undo ID --with FOLDER"',
  id: 'each of these undos has a key of its own; said again, it goes on where it stopped',
};

/** @throws Problem usage, set_up; undo_missing and undo_secrets_missing before anything is undone; what an undo throws, with what was taken back before it */
export async function undoAfter(call: Call, address: Address, text: string): Promise<number> {
  const { printer, values } = call;
  const id = readDeploymentId(text) as string;
  if (call.positionals[0] !== undefined) throw new Problem('usage', '--after names the deployment that stays, and an id or a folder one to undo: say one.');
  for (const [name, why] of Object.entries(ALONE)) {
    if (values[name] !== undefined) throw new Problem('usage', `--after and --${name} do not go together: ${why}.`);
  }
  if (isBlind(address))
    throw new Problem('set_up', 'Through a Worker, --after has to look first what there is to undo: say who reads (--caller NAME or WEFT_CALLER).');
  const deadlineAtMs = deadlineOf(call);
  const secrets = await readSecrets(call);
  const found = await readLater(address, id, printer.io);
  checkNames(found, secrets);
  const [newest] = found.later;
  if (values.plan === true) return showPlan(call, found, newest === undefined ? null : await readUndoPlan(address, newest.deployment, null, printer.io));
  if (newest === undefined) {
    printer.say(nothingAfter(found));
    printer.document({ after: id, bundle: found.bundle, undone: [], left: [] });
    return 0;
  }
  for (const line of listLines(found, printer.noteStyle)) printer.note(line);
  const refused = refusalOf(found);
  if (refused !== null) throw refused;
  for (const follower of found.later) checkSecrets(follower, secrets, `weft undo --after ${id}`);

  const undone: Reported[] = [];
  const lookAgain = () => Promise.race([readLater(address, id, printer.io), atRest(printer.io.signal)]);
  const stopAt = (later: Later['later'], stop: string) => {
    printer.note(`${stop} ${goesOn(found)}`);
    return end(call, found, undone, later, 1);
  };
  for (let { later } = found; ; ) {
    try {
      if (undone.length > 0) ({ later } = await lookAgain());
      const [next] = later;
      if (next === undefined) break;
      const stop = undone.length === 0 ? null : whyStop(found, next, undone);
      if (stop !== null) return stopAt(later, stop);
      const { code, ...told } = await undoOne(call, address, next, secrets, deadlineAtMs, undone);
      undone.push(told);
      if (code !== 0) {
        printer.note(whyLeft(found, told.deployment));
        return end(call, found, undone, later, code);
      }
    } catch (error) {
      if (error instanceof Problem && error.slug === 'undo_out_of_order' && undone.length > 0) {
        // refused for what came between the look and the question: that is told as if the look had seen it
        const now = (await lookAgain().catch(() => null))?.later ?? [];
        const stop = now[0] === undefined ? null : whyStop(found, now[0], undone);
        if (stop !== null) return stopAt(now, stop);
      }
      const isAbort = printer.io.signal.aborted && !(error instanceof Problem);
      throw withThoseBefore(isAbort ? new Problem('interrupted', 'Left before the command was done.', {}, error) : error, found, undone);
    }
  }
  printer.say(
    `Back at deployment ${id} of ${oneLine(found.bundle)}${since(found)}: ${count(undone.length, 'deployment')} that came after it ${undone.length === 1 ? 'was' : 'were'} taken back.`,
  );
  return end(call, found, undone, [], 0);
}

async function undoOne(
  call: Call,
  address: Address,
  { deployment }: Follower,
  secrets: SecretValues | null,
  deadlineAtMs: number,
  before: readonly Reported[],
): Promise<Reported & { readonly code: number }> {
  const { printer } = call;
  const plan = await Promise.race([readUndoPlan(address, deployment, null, printer.io), atRest(printer.io.signal)]);
  for (const line of undoPlanLines(plan, printer.noteStyle, false)) printer.note(line);
  checkSecrets(plan, secrets, `weft undo ${deployment}`);
  const names = (plan.secrets ?? []).map(({ name }) => name); // an undo refuses what it does not know
  const own = secrets === null || names.length === 0 ? null : Object.fromEntries(Object.entries(secrets).filter(([name]) => names.includes(name)));
  const key = crypto.randomUUID();
  const wish = { deployment, partly: false, mode: 'apply' as const, secrets: own };
  // whoever says the command again gives no key: what is undone by then, or is being undone, is undone once
  return accompany(call, null, deadlineAtMs, (watch) => sendUndo(address, watch, wish, key), undefined, before);
}

function showPlan({ printer }: Call, found: Later, plan: UndoPlan | null): number {
  if (plan === null) printer.say(nothingAfter(found));
  else {
    const lines = [...listLines(found, printer.style), 'The first of them:', '', ...undoPlanLines(plan, printer.style, false)];
    for (const line of lines) printer.say(line);
  }
  const refused = refusalOf(found);
  if (refused !== null) printer.say(refused.message);
  printer.document({ ...found, first: plan });
  return refused !== null || (plan !== null && certainOf(plan).length > 0) ? 2 : 0;
}

function listLines(found: Later, style: Style): string[] {
  const { deployment, bundle, later } = found;
  const rows = later.map((follower) => [
    follower.deployment,
    follower.finished_at === null ? follower.state : moment(follower.finished_at),
    follower.mode === 'baseline' ? 'baseline, withdrawn' : keyOf(follower),
    ...(follower.lacking.length === 0 ? [] : [style.yellow(`no undo: ${listed(follower.lacking)}`)]),
  ]);
  const head = `Back to deployment ${deployment} of ${style.bold(oneLine(bundle))}${since(found)}. What came after it and is taken back, the newest first:`;
  return [head, ...columns(rows, '  '), ''];
}

/** A key that somebody has chosen. */
function keyOf({ request_id: key }: Follower): string {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(key) ? '' : oneLine(key);
}

function since({ finished_at: at }: Later): string {
  return at === null ? '' : `, ${moment(at)}`;
}

function nothingAfter({ deployment, bundle }: Later): string {
  return `Nothing is to be taken back: nothing of ${oneLine(bundle)} that came after deployment ${deployment} is in the database.`;
}

function goesOn({ deployment }: Later): string {
  return `Once that is settled, weft undo --after ${deployment} goes on.`;
}

function refusalOf({ deployment, later }: Later): Problem | null {
  const lacking = later.filter((follower) => follower.lacking.length > 0);
  const [nearest] = lacking;
  if (nearest === undefined) return null;
  const files = lacking.map((follower) => `of deployment ${follower.deployment}: ${listed(follower.lacking)}`).join('; ');
  const way = nearest === later[0] ? '' : ` To go back as far as that: weft undo --after ${nearest.deployment}.`;
  return new Problem(
    'undo_missing',
    `Not all that came after deployment ${deployment} has an undo, and what stays of one keeps those before it. Without one are, ${files}. Nothing was undone. Write the undo files that are missing and deploy the bundle with them: it runs nothing a second time, and keeps them in the database, each for the content that its file has now. Older content, which comes back when newer deployments are undone, gets one there: weft undo ID --with FOLDER.${way}`,
    { after: deployment, deployments: lacking.map((follower) => follower.deployment), lacking: lacking.flatMap((follower) => follower.lacking) },
  );
}

/** Why the others are left, after an undo that did not finish. */
function whyLeft(found: Later, undo: Deployment): string {
  if (undo.state === 'failed') return goesOn(found);
  const words = `The others that came after deployment ${found.deployment} wait for this one. ${goesOn(found)}`;
  return isUnapproved(undo) ? `${words} Said before it is approved, it opens another undo, which needs an approval of its own.` : words;
}

/** What came meanwhile was not asked about; and what is there still after its undo would be undone for ever. */
function whyStop({ later, bundle }: Later, { deployment }: Follower, undone: readonly Reported[]): string | null {
  if (undone.some((one) => one.deployment.undoes === deployment)) return `Deployment ${deployment} is in the database still, although its undo has ended.`;
  if (later.some((follower) => follower.deployment === deployment)) return null;
  return `Deployment ${deployment} of ${oneLine(bundle)} has come meanwhile, and nobody has asked for it to be taken back.`;
}

/** @throws Problem usage: a secret of none of the undos, as a single one refuses it */
function checkNames({ later }: Later, secrets: SecretValues | null): void {
  const known = new Set(later.flatMap((follower) => follower.secrets.map(({ name }) => name)));
  const stranger = Object.keys(secrets ?? {}).find((name) => !known.has(name));
  if (stranger !== undefined) throw new Problem('usage', `No undo of what came after it needs a secret "${oneLine(stranger)}". Nothing was undone.`);
}

function end({ printer }: Call, { deployment, bundle, later }: Later, undone: readonly Reported[], still: Later['later'], code: number): number {
  const taken: readonly Deployment[] = undone.map((one) => one.deployment);
  const left = code === 0 ? [] : still.map((follower) => follower.deployment);
  if (left.length > 0) printer.note(`Of ${later.length}, not taken back: ${left.join(', ')}.`);
  printer.document({ after: deployment, bundle, undone: taken, left });
  return code;
}

function withThoseBefore(error: unknown, found: Later, undone: readonly Reported[]): unknown {
  if (!(error instanceof Problem) || (undone.length === 0 && error.exit !== 3)) return error;
  const ids = undone.map(({ deployment }) => deployment.undoes ?? deployment.id);
  const before =
    ids.length === 0
      ? ''
      : ` Before that, ${count(ids.length, 'deployment')} that came after ${found.deployment} ${ids.length === 1 ? 'was' : 'were'} taken back: ${ids.join(', ')}.`;
  return new Problem(error.slug, `${error.message}${before} ${goesOn(found)}`, { ...error.facts, after: found.deployment, undone: ids }, error);
}
