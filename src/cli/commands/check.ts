/** `weft check`: reads a bundle and says what is in it. Needs no database; the reading itself is bundle/'s. */
import { readFolder } from '../../bundle/folder.ts';
import { count, harmless, size } from '../../words/text.ts';
import { bundleLines, describeBundle, type NumberedStep } from '../bundles.ts';
import type { Call } from '../commands.ts';
import { lookIntoFiles, remarkOnTransactions } from '../unrunnable.ts';

export async function check({ printer, positionals }: Call): Promise<number> {
  const read = await readFolder(positionals[0] as string);
  const look = await lookIntoFiles(read);
  const bundle = { ...read, warnings: [...read.warnings, ...look.warnings] };
  const { manifest, warnings } = bundle;
  const remarkOn = ({ step }: NumberedStep): string => remarkOnTransactions(look.begins.get(step.path));
  for (const line of bundleLines(manifest, printer.style, undefined, remarkOn)) printer.say(line);
  for (const warning of warnings) printer.note(`${printer.noteStyle.yellow('warning:')} ${harmless(warning)}`);
  const bytes = manifest.artifacts.reduce((sum, artifact) => sum + artifact.size, 0);
  printer.say('');
  printer.say(`${printer.style.green('Valid:')} ${count(manifest.phases.length, 'phase')}, ${count(manifest.artifacts.length, 'file')}, ${size(bytes)}.`);
  printer.document({ valid: true, ...describeBundle(bundle, look.begins) });
  return 0;
}
