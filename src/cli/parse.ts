/**
 * From argv to a command and its values, by the table of commands. Strict: whatever is unknown is refused with the nearest
 * known name. It understands no value; that is the commands' work.
 */
import { parseArgs } from 'node:util';
import { Problem } from '../domain/problem.ts';
import { harmless, nearest } from '../words/text.ts';
import { COMMANDS, COMMON_OPTIONS, type Command, type Options } from './commands.ts';

export interface Parsed {
  /** Null: no command was named (help, version, or nothing at all). */
  readonly command: Command | null;
  readonly positionals: readonly string[];
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  /** Values of options that may be given several times. */
  readonly lists: Readonly<Record<string, readonly string[]>>;
  readonly json: boolean;
  readonly help: boolean;
  readonly version: boolean;
}

/** Whether argv asks for JSON, as far as that can be said of an argv that may be wrong. */
export function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json');
}

/**
 * @param argv what stands after `weft`
 * @throws Problem usage: unknown command or option, too many or too few words, a value missing
 */
export function parse(argv: readonly string[]): Parsed {
  const { command, rest } = findCommand(argv);
  const options: Options = { ...COMMON_OPTIONS, ...(command?.options ?? { version: { type: 'boolean', help: '' } }) };
  const { tokens } = parseArgs({
    args: [...rest],
    options: Object.fromEntries(Object.entries(options).map(([name, option]) => [name, { type: option.type }])),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });

  const values: Record<string, string | boolean> = {};
  const lists: Record<string, string[]> = {};
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const option = options[token.name];
    if (option === undefined || !token.rawName.startsWith('--')) throw unknownOption(token.rawName, options, command);
    if (token.name in values) throw new Problem('usage', `--${token.name} stands here twice.`);
    if (option.type === 'boolean') {
      if (token.value !== undefined) throw new Problem('usage', `--${token.name} takes no value.`);
      values[token.name] = true;
    } else {
      // Without "=", a value that begins with "-" is more likely a forgotten value than a value.
      if (token.value === undefined || token.value === '' || (!token.inlineValue && token.value.startsWith('-'))) {
        throw new Problem('usage', `--${token.name} needs a value: --${token.name} ${option.value}.`);
      }
      if (option.multiple) {
        lists[token.name] = [...(lists[token.name] ?? []), token.value];
        continue;
      }
      values[token.name] = token.value;
    }
  }

  const help = values.help === true;
  const json = values.json === true;
  if (command === null) {
    if (positionals.length > 0) throw unknownCommand(positionals[0] as string);
    return { command, positionals, values, lists, json, help, version: values.version === true };
  }
  if (!help) checkPositionals(command, positionals);
  return { command, positionals, values, lists, json, help, version: false };
}

/** The command is the first word; `config check` has two, and for help the first is enough. Options may stand before it only if they take no value. */
function findCommand(argv: readonly string[]): { command: Command | null; rest: readonly string[] } {
  const first = argv.findIndex((word) => !word.startsWith('-'));
  const end = argv.indexOf('--');
  if (first === -1 || (end !== -1 && end < first)) return { command: null, rest: argv };
  const one = argv[first] as string;
  const two = argv.findIndex((word, index) => index > first && !word.startsWith('-'));
  for (const command of COMMANDS) {
    const [head, tail] = command.name.split(' ');
    if (head !== one) continue;
    const isHelp = two === -1 && argv.includes('--help');
    if (tail === undefined || isHelp) return { command, rest: argv.filter((_, index) => index !== first) };
    if (argv[two] === tail) return { command, rest: argv.filter((_, index) => index !== first && index !== two) };
    throw new Problem('usage', `"weft ${one}" needs one more word: weft ${command.name}.`);
  }
  throw unknownCommand(one);
}

function checkPositionals(command: Command, positionals: readonly string[]): void {
  const needed = command.positionals.filter((name) => name.startsWith('<'));
  if (positionals.length < needed.length) {
    throw new Problem('usage', `"weft ${command.name}" needs ${needed[positionals.length]}: weft ${command.name} ${command.positionals.join(' ')}.`);
  }
  const extra = positionals[command.positionals.length];
  if (extra !== undefined) throw new Problem('usage', `"weft ${command.name}" does not know what to do with ${quoted(extra)}.`);
}

function unknownCommand(word: string): Problem {
  const names = COMMANDS.map((command) => command.name);
  const meant = nearest(word, names);
  return new Problem('usage', `There is no command ${quoted(word)}.${meant === null ? ' "weft --help" lists them.' : ` Did you mean "weft ${meant}"?`}`);
}

function unknownOption(raw: string, options: Options, command: Command | null): Problem {
  const bare = raw.replace(/^-+/, '');
  const meant = nearest(bare, Object.keys(options));
  const whose = command === null ? 'weft' : `weft ${command.name}`;
  const hint = meant === null ? `"${whose} --help" lists them.` : `Did you mean "--${meant}"?`;
  return new Problem('usage', `"${whose}" has no option "${harmless(raw)}". ${hint}`);
}

/** A word of the command line, shown again; not when it may hold a secret. */
function quoted(word: string): string {
  return /:\/\/|^whsec_/.test(word) || word.length > 60 ? 'of this kind (options with values stand after the command)' : `"${harmless(word)}"`;
}
