/**
 * `weft config check`: reads a configuration as the Worker would, and says what is in it or what is wrong. What is right is
 * config/'s to say; this only finds it in its file. Secrets are neither needed nor looked at.
 */
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Caller, type Config, parseConfig, type Source } from '../../config/config.ts';
import { Problem } from '../../domain/problem.ts';
import { findNever } from '../../trust/never.ts';
import { columns, harmless, withoutMark } from '../../words/text.ts';
import type { Call } from '../commands.ts';

export async function configCheck({ printer, positionals }: Call): Promise<number> {
  const file = positionals[0] as string;
  const config = parseConfig(await readBinding(file));
  const { style } = printer;
  printer.say(`${style.green('Valid:')} ${harmless(file)}, for ${config.origin}`);
  const section = (title: string, rows: readonly (readonly string[])[]): void => printer.say(['', style.bold(title), ...columns(rows, '  ')].join('\n'));
  section(
    'targets',
    [...config.targets.values()].map(({ name, transport, database, environment }) => [
      name,
      transport,
      `secret ${database}`,
      ...(environment === undefined ? [] : [`environment ${environment}`]),
    ]),
  );
  section(
    'callers',
    [...config.callers.values()].map((caller) => [caller.name, proofsOf(caller)]),
  );
  section(
    'grants',
    config.grants.map((grant) => [grant.caller, `may ${grant.actions.join(', ')}`, `on ${grant.targets.join(', ')}`]),
  );
  if (config.sources.length > 0) section('sources', config.sources.map(rowOfSource));
  const warnings = findNever(config);
  if (warnings.length > 0)
    printer.say(['', style.yellow(style.bold('what can never be')), ...warnings.map((warning) => style.yellow(`  ${harmless(warning)}`))].join('\n'));
  printer.document({ valid: true, warnings, ...plain(config) });
  return 0;
}

function proofsOf({ secrets, identity, forge }: Caller): string {
  const proofs: string[] = [];
  if (secrets.length > 0) proofs.push(`secrets ${secrets.join(', ')}`);
  if (identity !== undefined) {
    const claims = Object.entries(identity.claims).map(([claim, values]) => `${claim} ${values.join(' or ')}`);
    proofs.push(`a token of ${identity.issuer} with ${claims.join(', ')}`);
  }
  if (forge !== undefined) proofs.push(`webhooks of ${forge.kind}, secrets ${forge.webhook_secrets.join(', ')}; asks ${forge.api}`);
  return harmless(proofs.join(', and '));
}

function rowOfSource({ forge, repository_id, folder, event, branch, environment, target, mode }: Source): readonly string[] {
  return [forge, `repository ${repository_id}`, folder ?? 'its root', `${event} ${branch ?? environment ?? ''}`, `${mode} on ${target}`].map(harmless);
}

function plain(config: Config): Record<string, unknown> {
  const { origin, environments, targets, callers, grants, sources } = config;
  return { origin, environments: [...environments.values()], targets: [...targets.values()], callers: [...callers.values()], grants, sources };
}

/** The value of WEFT in the file, or the file itself when it is nothing but that. */
async function readBinding(file: string): Promise<unknown> {
  const shown = harmless(file);
  if (!existsSync(file)) throw new Problem('invalid_configuration', `There is no file ${shown}.`, { path: file });
  if (statSync(file).isDirectory())
    throw new Problem('invalid_configuration', `${shown} is a folder; name the file in it, such as wrangler.toml.`, { path: file });
  const content = file.endsWith('.json') ? await readJson(file) : await readWithWrangler(resolve(file), shown);
  if (typeof content !== 'object' || content === null || !('vars' in content)) {
    if (file.endsWith('.json')) return content;
    throw new Problem('invalid_configuration', `${shown} has no section [vars.WEFT].`, { path: file });
  }
  const { vars } = content;
  if (typeof vars !== 'object' || vars === null || !('WEFT' in vars))
    throw new Problem('invalid_configuration', `${shown} has vars, but no WEFT in it.`, { path: file });
  return vars.WEFT;
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(withoutMark(await readFile(file, 'utf8')));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== undefined) throw new Problem('invalid_configuration', `${harmless(file)} cannot be read (${code}).`, { path: file }, error);
    throw new Problem('invalid_configuration', `${harmless(file)} is not valid JSON: ${harmless((error as Error).message)}`, { path: file }, error);
  }
}

/** TOML and JSON with comments are read by wrangler itself, which a checkout has and the published package has not. */
async function readWithWrangler(file: string, shown: string): Promise<unknown> {
  const name = 'wrangler'; // not a literal, so that no bundler looks for it
  const wrangler = (await import(name).catch(() => null)) as { experimental_readRawConfig(args: { config: string }): { rawConfig: unknown } } | null;
  if (wrangler === null) {
    throw new Problem(
      'set_up',
      `Reading ${shown} needs wrangler, which is not installed here. Give the value of WEFT as a .json file, or run this where "npm install wrangler" was run.`,
    );
  }
  try {
    return wrangler.experimental_readRawConfig({ config: file }).rawConfig;
  } catch (error) {
    const words = harmless(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error));
    throw new Problem('invalid_configuration', `${shown} cannot be read: ${words}`, { path: shown }, error);
  }
}
