/** `weft baseline`: says that a database is at a bundle already. Nothing runs; the files are recorded as applied. */
import { readFolder } from '../../bundle/folder.ts';
import { Problem } from '../../domain/problem.ts';
import { requestIdSchema } from '../../domain/request.ts';
import { harmless } from '../../words/text.ts';
import { requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { conduct } from '../conduct.ts';
import { cutBundle, pickFromManifest } from '../cut.ts';

export async function baseline(call: Call): Promise<number> {
  const { printer, positionals, values } = call;
  const address = requireAddress(call);
  const id = typeof values.id === 'string' ? values.id : crypto.randomUUID();
  if (!requestIdSchema.safeParse(id).success) throw new Problem('usage', '--id is a key of letters, digits, "_", ":" and "-", 128 at most.');
  if (values.unverified === true && values.fingerprint !== undefined)
    throw new Problem('usage', '--unverified looks at nothing, and --fingerprint at the catalog: give one.');
  const bundle = await readFolder(positionals[0] as string);
  for (const warning of bundle.warnings) printer.note(`${printer.noteStyle.yellow('warning:')} ${harmless(warning)}`);
  const { 'up-to': upTo, only } = values;
  if (upTo !== undefined && only !== undefined) throw new Problem('usage', '--up-to records all files up to one, and --only that one: give one.');
  const { parameters: _, ...manifest } = typeof only === 'string' ? pickFromManifest(bundle.manifest, only) : cutBundle(bundle, upTo).manifest; // nothing is run that could read them
  const recorded = { ...bundle, manifest };
  const claims = {
    ...(typeof values.fingerprint === 'string' && { fingerprint: values.fingerprint }),
    ...(values.unverified === true && { verify: 'none' as const }),
  };
  const nothing = { parameters: {}, secrets: {} };
  return conduct(call, id, async (watch) => {
    if (address.kind === 'database') return (await import('../direct.ts')).deployStraight({ address, ...watch }, recorded, id, nothing, 'baseline', claims);
    return (await import('../remote.ts')).deployThroughWorker({ address, ...watch }, recorded, id, nothing, 'baseline', claims);
  });
}
