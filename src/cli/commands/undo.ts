/** `weft undo`: says what would run, what has no undo and what would be refused, and then takes a deployment back. */
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BUNDLE_FILE, parseBundleFile } from '../../bundle/bundle_file.ts';
import { makeName } from '../../bundle/resolve.ts';
import { Problem } from '../../domain/problem.ts';
import { deploymentIdSchema, requestIdSchema } from '../../domain/request.ts';
import type { UndoPlan } from '../../domain/undo_plan.ts';
import { count } from '../../words/text.ts';
import { type Address, isBlind, readDeploymentId, requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { conduct } from '../conduct.ts';
import { readSecrets } from '../parameters.ts';
import { readUndoPlan } from '../readings.ts';
import { undoAfter } from '../undo_after.ts';
import { checkSecrets, sendUndo } from '../undo_errand.ts';
import { certainOf, listed, undoPlanLines } from '../undo_plan.ts';
import { bringUndos } from '../undo_with.ts';

export async function undo(call: Call): Promise<number> {
  const { printer, values } = call;
  const address = requireAddress(call);
  if (typeof values.after === 'string') return undoAfter(call, address, values.after);
  const key = typeof values.id === 'string' ? values.id : crypto.randomUUID();
  if (!requestIdSchema.safeParse(key).success) throw new Problem('usage', '--id is a key of letters, digits, "_", ":" and "-", 128 at most.');
  const folder = await folderOf(call);
  const named = folder === null ? readId(call.positionals[0]) : null;
  const partly = values.partly === true;
  if (values.plan === true && values.rehearse === true)
    throw new Problem('usage', '--plan changes nothing, and --rehearse runs it and takes it back: say one.');
  if (values.plan === true && values.with !== undefined)
    throw new Problem(
      'usage',
      '--plan changes nothing, and --with brings undo files into the database: say one. (weft undo --rehearse --with FOLDER runs it and takes it back.)',
    );
  if (call.positionals[0] !== undefined && values.bundle !== undefined)
    throw new Problem('usage', 'An id names one deployment, and a folder or --bundle the newest of a bundle: say one.');
  const secrets = await readSecrets(call);
  const asked = named === null && values.bundle === undefined ? await bundleOfFolder(folder ?? call.printer.io.folder ?? '.') : null;
  const ofFolder = asked ?? (folder === null ? null : makeName(basename(await realpath(folder)))); // without a bundle file, it is deployed under its own name
  const bundle = typeof values.bundle === 'string' ? values.bundle : ofFolder;
  let plan = await readPlan(call, address, named, bundle, typeof values.id === 'string');
  if (typeof values.with === 'string') plan = await bringUndos(call, address, plan, values.with, key);
  const isRefused = plan !== null && plan.mode !== 'baseline' && (plan.phases.length === 0 || (plan.lacking.length > 0 && !partly));
  if (values.plan === true) {
    if (plan === null) throw new Problem('usage', 'The plan was asked for, and nobody may read it: say who reads (--caller NAME or WEFT_CALLER).');
    for (const line of undoPlanLines(plan, printer.style, ofFolder !== null)) printer.say(line);
    if (isRefused)
      printer.say(
        plan.phases.length === 0
          ? `Nothing would be undone: no file of it has an undo. Write undo files: weft undo ${plan.deployment} --with FOLDER brings them.`
          : `Nothing would be undone as it stands: to undo the rest and leave these, weft undo --partly ${plan.deployment}; to bring undo files for them, weft undo ${plan.deployment} --with FOLDER.`,
      );
    printer.document(plan);
    return isRefused || certainOf(plan).length > 0 ? 2 : 0;
  }
  for (const line of plan === null ? [] : undoPlanLines(plan, printer.noteStyle, ofFolder !== null)) printer.note(line);
  if (plan !== null && isRefused) throw refusal(plan);
  if (plan !== null) checkSecrets(plan, secrets, `weft undo ${plan.deployment}`);
  const wish = {
    deployment: plan?.deployment ?? (named as string),
    partly,
    mode: values.rehearse === true ? ('rehearse' as const) : ('apply' as const),
    secrets,
  };
  return conduct(call, key, (watch) => sendUndo(address, watch, wish, key));
}

/** Null if there is no plan to read: the caller may only undo, not read; or the same command was given before, and may have undone it already. */
async function readPlan(
  { printer, values }: Call,
  address: Address,
  id: string | null,
  bundle: string | null,
  isRepeatable: boolean,
): Promise<UndoPlan | null> {
  if (isBlind(address) && id === null) {
    throw new Problem(
      'set_up',
      'Through a Worker, either name the deployment (weft undo ID), or say who reads (--caller NAME or WEFT_CALLER), so that it can be looked up.',
    );
  }
  if (isBlind(address)) return null;
  try {
    return await readUndoPlan(address, id, bundle, printer.io);
  } catch (error) {
    const slug = error instanceof Problem && id !== null && values.plan !== true ? error.slug : null;
    if (isRepeatable && (slug === 'nothing_to_undo' || slug === 'undo_out_of_order')) return null; // the engine knows whether it is the same request
    if (slug === 'no_grant' && address.kind === 'worker' && address.caller === null) return null; // a job that may undo, and not read
    throw error;
  }
}

/** The folder that was named where others name an id, as all other commands take one. */
async function folderOf({ positionals: [text] }: Call): Promise<string | null> {
  if (text === undefined || deploymentIdSchema.safeParse(text.toLowerCase()).success) return null;
  return (await stat(text).catch(() => null))?.isDirectory() ? text : null;
}

function readId(text: string | undefined): string | null {
  try {
    return readDeploymentId(text);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw new Problem(error.slug, `${error.message} The newest of a bundle is meant by --bundle NAME, or by the folder of its ${BUNDLE_FILE}.`, {}, error);
  }
}

/**
 * In a folder with a bundle file that bundle is meant, and never another one that happens to be newer.
 * @returns its name; null where there is no bundle file
 * @throws Problem invalid_bundle
 */
async function bundleOfFolder(folder: string): Promise<string | null> {
  const bytes = await readFile(join(folder, BUNDLE_FILE)).catch(() => null);
  if (bytes === null) return null;
  try {
    return parseBundleFile(bytes).name;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw new Problem(error.slug, `${error.message} So which bundle is meant is not known: say it (weft undo ID, or --bundle NAME).`, error.facts, error);
  }
}

function refusal({ deployment, lacking, phases }: UndoPlan): Problem {
  const names = listed(lacking.map(({ path }) => path));
  const what =
    phases.length === 0
      ? `None of the files of deployment ${deployment} has an undo: ${names}. Nothing was undone. Write undo files: weft undo ${deployment} --with FOLDER brings them, and undoes it.`
      : `${count(lacking.length, 'file')} of deployment ${deployment} ${lacking.length === 1 ? 'has' : 'have'} no undo: ${names}. Nothing was undone. To undo the rest and leave these: weft undo --partly ${deployment}. Or write undo files for them: weft undo ${deployment} --with FOLDER brings them, and undoes all of it.`;
  return new Problem('undo_missing', what, { deployment, lacking: lacking.map(({ path }) => path) });
}
