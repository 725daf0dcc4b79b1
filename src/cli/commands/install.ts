/** `weft install`: brings the engine into a database or up to date; with `--print` writes the SQL for whoever wants to read or run it. */
import { Problem } from '../../domain/problem.ts';
import { requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';

export async function install(call: Call): Promise<number> {
  const { printer, values } = call;
  const { ENGINE_VERSION: version } = await import('../../database/engine_version.ts');
  if (values.print === true) {
    const { readEngine, renderInstallScript } = await import('../../database/install.ts');
    const sql = renderInstallScript(await readEngine());
    printer.say(sql.trimEnd());
    printer.document({ version, sql });
    return 0;
  }
  const address = requireAddress(call);
  if (address.kind !== 'database') {
    throw new Problem(
      'set_up',
      'The engine is installed straight into a database (DATABASE_URL or --database). Through a Worker the first deployment installs it.',
    );
  }
  const [{ withPatientSession }, { ensureEngine }] = await Promise.all([import('../direct.ts'), import('../../database/engine.ts')]);
  const { changed } = await withPatientSession(address, printer.io, async (session) => {
    if (values.published === true) await session.pipeline([{ kind: 'simple', text: `set weft.published = 'yes'` }]);
    return ensureEngine(session);
  });
  printer.say(changed ? `The engine is installed, version ${version}.` : `The engine is there already, version ${version}. Nothing was changed.`);
  printer.document({ version, changed });
  return 0;
}
