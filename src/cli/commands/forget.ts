/** `weft forget`: somebody says that nothing of a file that stopped half-way is left in the database. */

import { LIMITS } from '../../domain/limits.ts';
import { nameSchema, pathSchema } from '../../domain/manifest.ts';
import { Problem } from '../../domain/problem.ts';
import { count, oneLine } from '../../words/text.ts';
import { requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { forget as say } from '../words.ts';

/** @returns 0 */
export async function forget(call: Call): Promise<number> {
  const { printer, positionals, values } = call;
  const address = requireAddress(call);
  const path = pathSchema.safeParse(positionals[0]);
  const bundle = nameSchema.optional().safeParse(values.bundle);
  const why = typeof values.why === 'string' ? values.why.trim() : '';
  if (!path.success) throw new Problem('usage', 'The file is named by its path in the bundle, as "weft history" has it: schema/001.sql.');
  if (!bundle.success) throw new Problem('usage', '--bundle is the name of a bundle, as "weft history" has it.');
  if (why === '' || why.length > LIMITS.why_characters)
    throw new Problem(
      'usage',
      `Say why nothing of it is there any more, in ${LIMITS.why_characters} characters at most (why_characters): --why "dropped by hand". It is kept.`,
    );
  const forgotten = await say(address, { path: path.data, why, ...(bundle.data === undefined ? {} : { bundle: bundle.data }) }, printer.io);
  const { statements, rounds } = forgotten;
  const done =
    statements !== null && statements > 0 ? count(statements, 'statement') : rounds !== null ? count(rounds, 'round') : 'a statement outside of a transaction';
  printer.say(
    `Forgotten: ${oneLine(forgotten.path)} of ${oneLine(forgotten.bundle)}, of which deployment ${forgotten.deployment} had committed ${done}. A deployment that brings it runs it from its beginning.`,
  );
  printer.note('What was taken back by hand is reported as drift until somebody accepts it: weft drift.');
  printer.document(forgotten);
  return 0;
}
