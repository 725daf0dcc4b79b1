/**
 * `--set` and `--set-env`: values of parameters from the command line, files, standard input and the environment. A secret is not
 * taken from the command line itself, which everybody on the machine can read (ps), and which a CI writes into its log.
 */
import { readFile } from 'node:fs/promises';
import { LIMITS } from '../domain/limits.ts';
import { type Parameter, parameterNameSchema, type SecretValues } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import { harmless } from '../words/text.ts';
import type { Call } from './commands.ts';
import type { Io } from './io.ts';

interface Assignment {
  readonly name: string;
  readonly value: string;
  /** Whether the value itself stood on the command line. */
  readonly isOpen: boolean;
}

/** Values by name, the secret ones apart. */
export interface Assigned {
  readonly parameters: Readonly<Record<string, string>>;
  readonly secrets: SecretValues;
}

/**
 * Values for the parameters that a bundle declares.
 * @throws Problem usage for what has not the form, a name twice, or a secret on the command line; set_up for a file or a variable that is
 * not there. Whether all of them are declared, and none is missing, is for checkParameters
 */
export async function readAssigned(call: Call, declared: readonly Parameter[]): Promise<Assigned> {
  const secret = new Set(declared.filter((parameter) => parameter.secret).map(({ name }) => name));
  const parameters: Record<string, string> = {};
  const secrets: Record<string, string> = {};
  for (const { name, value, isOpen } of await readAssignments(call)) {
    if (secret.has(name) && isOpen) throw tooOpen(name);
    (secret.has(name) ? secrets : parameters)[name] = value;
  }
  return { parameters, secrets };
}

/**
 * Values of secrets alone, for a deployment that is there already; null when there are none.
 * @throws Problem as readAssigned does
 */
export async function readSecrets(call: Call): Promise<SecretValues | null> {
  const assignments = await readAssignments(call);
  const open = assignments.find(({ isOpen }) => isOpen);
  if (open !== undefined) throw tooOpen(open.name);
  return assignments.length === 0 ? null : Object.fromEntries(assignments.map(({ name, value }) => [name, value]));
}

async function readAssignments({ lists, printer: { io } }: Call): Promise<Assignment[]> {
  const found: Assignment[] = [];
  for (const text of lists.set ?? []) {
    const { name, rest } = take(text, 'set', '--set NAME=VALUE');
    if (rest === '@-') found.push({ name, value: withoutLineEnd(decode(await readInput(io, name), 'Standard input')), isOpen: false });
    else if (rest.startsWith('@') && !rest.startsWith('@@')) found.push({ name, value: await readValue(rest.slice(1), name), isOpen: false });
    else found.push({ name, value: rest.startsWith('@@') ? rest.slice(1) : rest, isOpen: true });
  }
  for (const text of lists['set-env'] ?? []) {
    const { name, rest } = take(text, 'set-env', '--set-env NAME=VARIABLE');
    const value = io.env[rest];
    if (value === undefined) throw new Problem('set_up', `The parameter "${name}" comes from the variable ${harmless(rest)}, and that is not set.`);
    found.push({ name, value, isOpen: false });
  }
  const names = found.map(({ name }) => name);
  const doubled = names.find((name, index) => names.indexOf(name) !== index);
  if (doubled !== undefined) throw new Problem('usage', `The parameter "${doubled}" is set twice.`);
  const long = found.find(({ value }) => value.length > LIMITS.parameter_characters);
  if (long !== undefined) {
    throw new Problem(
      'too_large',
      `The value of the parameter "${long.name}" has more than ${LIMITS.parameter_characters} characters (parameter_characters).`,
      {
        limit: 'parameter_characters',
      },
    );
  }
  const hollow = found.find(({ value }) => value.includes('\0'));
  if (hollow !== undefined) throw new Problem('usage', `The value of the parameter "${hollow.name}" holds a NUL, which no text of the server can.`);
  return found;
}

/** What follows a wrong name is never shown: it may be a secret. */
function take(text: string, option: string, form: string): { name: string; rest: string } {
  const at = text.indexOf('=');
  const name = text.slice(0, Math.max(0, at));
  if (at === -1 || !parameterNameSchema.safeParse(name).success) {
    throw new Problem('usage', `--${option} needs the name of a parameter (letters, digits and "_"), "=" and what it is: ${form}.`);
  }
  return { name, rest: text.slice(at + 1) };
}

async function readValue(path: string, name: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Problem('set_up', `The file ${harmless(path)} with the parameter "${name}" cannot be read (${code ?? 'unknown'}).`, { path }, error);
  }
  return withoutLineEnd(decode(bytes, harmless(path)));
}

async function readInput({ stdin }: Io, name: string): Promise<Uint8Array> {
  if (stdin === undefined) throw new Problem('set_up', `The parameter "${name}" comes from standard input, and there is none.`);
  const parts: Uint8Array[] = [];
  for await (const part of stdin) parts.push(part);
  return Buffer.concat(parts);
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Problem('not_utf8', `${where} is not UTF-8 text.`);
  }
}

/** Editors and `echo` end a file with a line's end, which is no part of a password. */
function withoutLineEnd(text: string): string {
  return text.replace(/\r?\n$/, '');
}

function tooOpen(name: string): Problem {
  return new Problem(
    'usage',
    `"${name}" is secret, and stands on the command line, where everybody on this machine can read it, and the log of a CI keeps it. Change it if it is in use, and give it as --set ${name}=@FILE, --set ${name}=@- (standard input) or --set-env ${name}=VARIABLE. Nothing was sent.`,
  );
}
