/** `weft deploy`: reads the folder, brings it there, and stays with it. */
import { readFolder } from '../../bundle/folder.ts';
import { checkParameters } from '../../domain/parameters.ts';
import { Problem } from '../../domain/problem.ts';
import { requestIdSchema } from '../../domain/request.ts';
import { harmless } from '../../words/text.ts';
import { requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { conduct } from '../conduct.ts';
import { cutBundle } from '../cut.ts';
import { readAssigned } from '../parameters.ts';

export async function deploy(call: Call): Promise<number> {
  const { printer, positionals, values } = call;
  const address = requireAddress(call);
  const id = typeof values.id === 'string' ? values.id : crypto.randomUUID();
  if (!requestIdSchema.safeParse(id).success) throw new Problem('usage', '--id is a key of letters, digits, "_", ":" and "-", 128 at most.');
  const bundle = cutBundle(await readFolder(positionals[0] as string), values['up-to']);
  for (const warning of bundle.warnings) printer.note(`${printer.noteStyle.yellow('warning:')} ${harmless(warning)}`);
  const declared = bundle.manifest.parameters ?? [];
  const assigned = await readAssigned(call, declared);
  checkParameters(declared, assigned.parameters, Object.keys(assigned.secrets));
  const mode = values.rehearse === true ? 'rehearse' : 'apply';
  return conduct(call, id, async (watch) => {
    if (address.kind === 'database') return (await import('../direct.ts')).deployStraight({ address, ...watch }, bundle, id, assigned, mode);
    return (await import('../remote.ts')).deployThroughWorker({ address, ...watch }, bundle, id, assigned, mode);
  });
}
