/**
 * Where log lines go: the console, one JSON line each, which Workers Logs take apart again. Errors from below are written
 * by drivers and runtimes, so every line is searched for what must not be in it.
 */
import { encodeBase64 } from '../config/base64.ts';
import { parseConnectionString } from '../config/connection_string.ts';
import type { Secrets } from '../config/secrets.ts';
import type { LogEntry } from '../http/log.ts';
import { AZURE_USER } from '../trust/azure_token.ts';

/** A password that is shorter may be an ordinary word, and would be cut out of ordinary sentences. */
const PASSWORD_LENGTH_MIN = 8;

/** Reading tokens, identity tokens, signing secrets of whichever caller, and tokens of GitHub and GitLab. */
const TOKENS = /\b(?:(?:(?:weft_read|whsec)_?|gh[a-z]_|github_pat_|glpat-)[A-Za-z0-9+/=._~-]+|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)/g;

/**
 * @param secrets what must never appear; null when there are none because the configuration is not valid
 * @param output the console, or what a test has in its place
 */
export function createLog(secrets: Secrets | null, output: Pick<Console, LogEntry['level']> = console): (entry: LogEntry) => void {
  const hide = createHide(secrets);
  return (entry) => {
    const line = JSON.stringify(entry, (_key, value: unknown) => (typeof value === 'string' ? hide(value) : value));
    output[entry.level](line);
  };
}

/** @returns what takes secrets, and where databases are, out of a text */
export function createHide(secrets: Secrets | null): (text: string) => string {
  const hidden = secrets === null ? { values: [], words: null } : listHidden(secrets);
  return (text) => {
    let clean = text;
    for (const value of hidden.values) clean = clean.replaceAll(value, '[hidden]');
    if (hidden.words !== null) clean = clean.replace(hidden.words, '[hidden]');
    return clean.replace(TOKENS, '[hidden]');
  };
}

/** As they are sent for Basic authentication: to Azure DevOps, and by its service hooks. */
function asPasswords(webhooks: readonly string[], token: string | null): string[] {
  const encode = (user: string, password: string) => encodeBase64(new TextEncoder().encode(`${user}:${password}`));
  return [...webhooks.map((secret) => encode(AZURE_USER, secret)), ...(token === null ? [] : [encode('', token)])];
}

interface Hidden {
  /** Connection strings, their hosts and passwords as written and decoded, and signing secrets; the longest first. */
  readonly values: readonly string[];
  /** Hosts without a dot, as whole words, in a sentence or in an address: a part of another word, or of a path, is none. */
  readonly words: RegExp | null;
}

function wordsOf(hosts: ReadonlySet<string>): RegExp | null {
  if (hosts.size === 0) return null;
  const any = [...hosts].map((host) => host.replace(/[^\w]/g, '\\$&')).join('|');
  return new RegExp(`(?:(?<=//|@)(?:${any})(?![\\w-])|(?<![\\w./-])(?:${any})(?![\\w/-]|\\.\\w))`, 'gi');
}

function listHidden(secrets: Secrets): Hidden {
  const ofForges = [...secrets.forges.values()].flatMap(({ webhooks, token, privateKey }) => [...webhooks, token, privateKey, ...asPasswords(webhooks, token)]);
  const all = [...secrets.callers.flatMap((caller) => caller.secrets), ...ofForges, secrets.sealingKey];
  const words = new Set<string>();
  const values = new Set<string>(all.filter((value) => value !== null));
  for (const text of secrets.databases.values()) {
    const { host, password } = parseConnectionString(text);
    values.add(text);
    (/[.:]/.test(host) ? values : words).add(host);
    if (password !== null && password.length >= PASSWORD_LENGTH_MIN) values.add(password).add(encodeURIComponent(password));
  }
  return { values: [...values].sort((a, b) => b.length - a.length), words: wordsOf(words) };
}
