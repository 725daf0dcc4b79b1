/**
 * What `--help` says: of the whole, and of each command, from the table of commands. Says where addresses and secrets come
 * from, and that others on the machine can read a command line.
 */

import { columns, wrap } from '../words/text.ts';
import { COMMANDS, COMMON_OPTIONS, type Command, type Options } from './commands.ts';

const WIDTH = 100;

const ADDRESSES = [
  'DATABASE_URL                 connect straight to this database',
  'WEFT_URL, WEFT_TARGET        go through a Worker: its address, and its name for the database',
  'WEFT_SECRET                  the secret that signs requests to the Worker (whsec_…); there is no option for it',
  'WEFT_ID_TOKEN                in GitLab CI, the identity token of the job; in GitHub Actions Weft requests one',
  "WEFT_CALLER                  the Worker's name for you; needed to read, and to resume or undo without an id",
];

const ARGV =
  'Other users of this machine can see a command line (ps), and shells and CI logs keep it. If a connection string holds a password, put it into DATABASE_URL instead of --database.';

const EXIT_CODES = [
  '0  done (including degraded, unless you pass --strict)',
  '1  the deployment failed or was cancelled; the summary says what the database looks like now',
  '   (or "weft drift" found something, or something unexpected happened in Weft)',
  '2  the request, the bundle or the set-up is wrong; nothing was run',
  '   (or what "weft plan" or "weft undo --plan" shows would be refused, or "weft drift" cannot tell)',
  '3  not over: interrupted (also by Ctrl-C or SIGTERM); "weft resume" continues it',
  '   (or it waits for an approval: "weft approve" runs it)',
];

/** @returns the help of everything */
export function generalHelp(version: string): string {
  return [
    `weft ${version}: deploys changes to PostgreSQL from inside PostgreSQL`,
    '',
    'Usage: weft <command> [options]',
    '',
    ...columns(
      COMMANDS.map((command) => [[command.name, ...command.positionals].join(' '), command.summary]),
      '  ',
    ),
    '',
    'Every command:',
    ...optionLines(COMMON_OPTIONS),
    '',
    ...addressLines(),
    '',
    'Exit codes:',
    ...EXIT_CODES.map((line) => `  ${line}`),
    '',
    'Run "weft <command> --help" for more about a command.',
  ].join('\n');
}

/** @returns the help of one command */
export function commandHelp(command: Command): string {
  const lines = [`Usage: weft ${[command.name, ...command.positionals].join(' ')} [options]`, '', `${capital(command.summary)}.`];
  for (const paragraph of command.about) lines.push('', wrap(paragraph, WIDTH));
  lines.push('', 'Options:', ...optionLines({ ...command.options, ...COMMON_OPTIONS }));
  if (command.address !== 'none') lines.push('', ...addressLines());
  return lines.join('\n');
}

function addressLines(): string[] {
  return ['Addresses and secrets come from the environment:', ...ADDRESSES.map((line) => `  ${line}`), wrap(ARGV, WIDTH, '  ')];
}

function optionLines(options: Options): string[] {
  return columns(
    Object.entries(options).map(([name, option]) => [option.value === undefined ? `--${name}` : `--${name} ${option.value}`, option.help]),
    '  ',
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
