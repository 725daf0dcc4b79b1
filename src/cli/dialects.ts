/**
 * The commands in the logs of GitHub Actions, GitLab CI and Azure Pipelines: groups that fold, and marks on a file and line. And how
 * text from outside (an error, a path, a NOTICE) is kept from acting as such a command. Pure; pipeline.ts writes.
 *
 * Sources: docs.github.com "Workflow commands"; docs.gitlab.com "Custom collapsible sections"; learn.microsoft.com "Logging commands".
 */
import type { Io } from './io.ts';

export type Level = 'error' | 'warning';

/** A mark on a file. */
export interface Mark {
  readonly level: Level;
  readonly title: string;
  readonly message: string;
  /** From the root of the checkout, with `/`; null where the file is not in it. */
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
}

export interface Dialect {
  readonly name: 'github' | 'gitlab' | 'azure';
  /** The variable that holds the root of the checkout. */
  readonly root: string;
  /** @param id of the group, the same at its end; letters, digits and `_` */
  readonly begin: (id: string, title: string, nowMs: number) => string;
  readonly end: (id: string, nowMs: number) => string;
  /** Null where a log has no marks. */
  readonly mark: ((mark: Mark) => string) | null;
  /** The same text, in which nothing is a command any more. */
  readonly defuse: (text: string) => string;
  /** The same of a JSON document, which is read as before. */
  readonly defuseJson: (text: string) => string;
}

/** A word joiner: nothing to see, and no command is read across it. */
const GAP = '\u2060';

const github: Dialect = {
  name: 'github',
  root: 'GITHUB_WORKSPACE',
  begin: (_, title) => `::group::${githubData(title)}`,
  end: () => '::endgroup::',
  mark: ({ level, title, message, file, line, column }) => {
    const place = file === null ? [] : [`file=${githubProperty(file)}`, ...numbered('line', line), ...numbered('col', column)];
    return `::${level} ${[...place, `title=${githubProperty(title)}`].join(',')}::${githubData(message)}`;
  },
  // "::" counts at the beginning of a line, after white space; "##[" anywhere in it.
  defuse: (text) => text.replace(/^(\s*):(?=:)/gm, `$1:${GAP}`).replaceAll('##[', `#${GAP}#[`),
  // No line of an indented document begins with "::".
  defuseJson: (text) => text.replaceAll('##[', '#\\u0023['),
};

const gitlab: Dialect = {
  name: 'gitlab',
  root: 'CI_PROJECT_DIR',
  begin: (id, title, nowMs) => `\u001b[0Ksection_start:${seconds(nowMs)}:${id}\r\u001b[0K${title}`,
  end: (id, nowMs) => `\u001b[0Ksection_end:${seconds(nowMs)}:${id}\r\u001b[0K`,
  mark: null,
  defuse: (text) => text.replace(/section_(?=(?:start|end):)/g, `section_${GAP}`),
  defuseJson: (text) => text.replace(/section_(?=(?:start|end):)/g, 'section\\u005f'),
};

const azure: Dialect = {
  name: 'azure',
  root: 'BUILD_SOURCESDIRECTORY',
  begin: (_, title) => `##[group]${title}`,
  end: () => '##[endgroup]',
  mark: ({ level, title, message, file, line, column }) => {
    const place = file === null ? [] : [`sourcepath=${azureProperty(file)}`, ...numbered('linenumber', line), ...numbered('columnnumber', column)];
    return azureCommand('task.logissue', [`type=${level}`, ...place], `${title}: ${message}`);
  },
  defuse: (text) => text.replace(/##(?=\[|vso\[)/gi, `#${GAP}#`),
  defuseJson: (text) => text.replace(/##(?=\[|vso\[)/gi, '#\\u0023'),
};

/** The dialect of the log that this command writes into, or null: by the variables that each of them sets. */
export function dialectOf(env: Io['env']): Dialect | null {
  if (env.GITHUB_ACTIONS === 'true') return github;
  if (env.GITLAB_CI === 'true') return gitlab;
  return env.TF_BUILD?.toLowerCase() === 'true' ? azure : null;
}

/** A logging command of Azure Pipelines. */
export function azureCommand(name: string, properties: readonly string[], data: string): string {
  return `##vso[${name}${properties.length === 0 ? '' : ` ${properties.join(';')}`}]${azureData(data)}`;
}

function numbered(name: string, value: number | null): string[] {
  return value === null ? [] : [`${name}=${value}`];
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}

function githubData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function githubProperty(text: string): string {
  return githubData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

function azureData(text: string): string {
  return text.replaceAll('%', '%AZP25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function azureProperty(text: string): string {
  return azureData(text).replaceAll(';', '%3B').replaceAll(']', '%5D');
}
