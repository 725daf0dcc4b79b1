/**
 * The secrets that a configuration names, read from the environment and checked for form, before the first request. What
 * is wrong is said by the secret's name; no part of a value is ever repeated.
 */
import { Problem, type ProblemSlug } from '../domain/problem.ts';
import type { Config, Target } from './config.ts';
import { type ConnectionParts, isLocalHost, parseConnectionString } from './connection_string.ts';
import { type ForgeSecrets, readForgeSecrets } from './forge_secrets.ts';
import { joinIssues } from './issues.ts';
import { decodeWebhookSecret, WEBHOOK_SECRET_FORM } from './webhook_secret.ts';

/** Whose signature is whose: a caller and the values of its secrets, `whsec_…`. */
export interface CallerKeys {
  readonly name: string;
  readonly secrets: readonly string[];
}

export interface Secrets {
  /** Connection strings by the name of the target. */
  readonly databases: ReadonlyMap<string, string>;
  /** In the order of the configuration; without those that have no key. */
  readonly callers: readonly CallerKeys[];
  /** By the name of the caller. */
  readonly forges: ReadonlyMap<string, ForgeSecrets>;
  /** Of the Worker itself: what it encrypts with; null when the configuration names none. */
  readonly sealingKey: string | null;
}

interface Fault {
  readonly slug: ProblemSlug;
  readonly text: string;
}

/**
 * @param config from parseConfig
 * @param env bindings of a Worker, or process.env
 * @returns every secret that the configuration names
 * @throws Problem invalid_configuration, with all faults at once; connection_string_invalid or transaction_pooler when nothing but that is wrong
 */
export function readSecrets(config: Config, env: Record<string, unknown>): Secrets {
  const faults: Fault[] = [];
  const databases = new Map<string, string>();
  const callers: CallerKeys[] = [];
  const forges = new Map<string, ForgeSecrets>();
  const owners = new Map<string, string>();
  const places = new Map<string, string>();

  for (const target of config.targets.values()) {
    const value = readText(env, target.database, `targets.${target.name}.database`, faults);
    if (value === null) continue;
    const parts = checkDatabase(target, value, faults);
    if (parts !== null) {
      const place = placeOf(target, parts);
      const other = places.get(place);
      if (other !== undefined) faults.push(invalid(twoNames(other, target.name)));
      else places.set(place, target.name);
    }
    databases.set(target.name, value);
  }
  for (const caller of config.callers.values()) {
    const values: string[] = [];
    for (const [position, name] of caller.secrets.entries()) {
      const value = readText(env, name, `callers.${caller.name}.secrets[${position}]`, faults);
      if (value === null) continue;
      const owner = owners.get(value);
      if (decodeWebhookSecret(value) === null)
        faults.push(invalid(`the secret ${name} (callers.${caller.name}.secrets[${position}]) is not ${WEBHOOK_SECRET_FORM}`));
      else if (owner !== undefined) faults.push(invalid(`the secrets ${owner} and ${name} have the same value, so nobody could say who signed`));
      owners.set(value, name);
      values.push(value);
    }
    if (caller.secrets.length > 0) callers.push({ name: caller.name, secrets: values });
    if (caller.forge === undefined) continue;
    const { secrets, faults: wrong } = readForgeSecrets(caller.name, caller.forge, (name, where) => {
      const value = readText(env, name, where, faults);
      const owner = value === null ? undefined : owners.get(value);
      if (owner !== undefined) faults.push(invalid(`the secrets ${owner} and ${name} have the same value; who knows the one would have the other`));
      if (value !== null) owners.set(value, name);
      return value;
    });
    forges.set(caller.name, secrets);
    faults.push(...wrong.map(invalid));
  }

  const sealingKey = config.sealing_key === undefined ? null : readText(env, config.sealing_key, 'sealing_key', faults);
  if (sealingKey !== null && decodeWebhookSecret(sealingKey) === null)
    faults.push(invalid(`the secret ${config.sealing_key} (sealing_key) is not ${WEBHOOK_SECRET_FORM}`));
  else if (sealingKey !== null && owners.has(sealingKey)) {
    faults.push(invalid(`the secrets ${owners.get(sealingKey)} and ${config.sealing_key} have the same value; what a caller knows is no key of the Worker's`));
  }

  const [first] = faults;
  if (first !== undefined) {
    const slug = faults.every((fault) => fault.slug === first.slug) ? first.slug : 'invalid_configuration';
    const texts = faults.map((fault) => fault.text);
    throw new Problem(slug, `The secrets of this Worker do not fit its configuration: ${joinIssues(texts)}`, { issues: texts });
  }
  return { databases, callers, forges, sealingKey };
}

function invalid(text: string): Fault {
  return { slug: 'invalid_configuration', text };
}

function readText(env: Record<string, unknown>, name: string, where: string, faults: Fault[]): string | null {
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  if (typeof value === 'string' && value !== '') return value;
  faults.push(
    invalid(value === undefined ? `there is no secret ${name}, which ${where} names` : `the secret ${name}, which ${where} names, is empty or no text`),
  );
  return null;
}

/**
 * Which database it is, whoever comes as which role. A name of this machine means the machine of the proxy, where there is one.
 * Two names of one host cannot be told from here.
 */
function placeOf({ proxy }: Target, { host, port, database }: ConnectionParts): string {
  const where = isLocalHost(host) ? ['this machine', proxy ?? ''] : [host.replace(/\.$/, '')];
  return JSON.stringify([...where, port, database]);
}

/** The engine takes what was staged under another target's name for work that came along with a copy of the database, and cancels it. */
function twoNames(one: string, other: string): string {
  return `targets.${one} and targets.${other} lead to the same database; one database has one target, or each would cancel what is in line for the other. Take one out`;
}

function checkDatabase(target: Target, value: string, faults: Fault[]): ConnectionParts | null {
  const where = `the secret ${target.database} (targets.${target.name}.database)`;
  try {
    const parts = parseConnectionString(value);
    const { host, sslmode } = parts;
    if (target.insecure === true && !isLocalHost(host)) {
      faults.push(invalid(`targets.${target.name}.insecure is only for a server at 127.0.0.1 or localhost, and ${where} names another`));
    }
    if (target.transport === 'tcp' && !isLocalHost(host) && (sslmode === null || sslmode === 'disable' || sslmode === 'allow' || sslmode === 'prefer')) {
      faults.push({
        slug: 'connection_string_invalid',
        text: `${where} does not insist on TLS, and its server is not this machine; add sslmode=require or sslmode=verify-full`,
      });
    }
    return parts;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    faults.push({ slug: error.slug, text: `${where}: ${error.message.replace(/\.$/, '')}` });
    return null;
  }
}
