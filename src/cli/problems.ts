/**
 * A problem in words: the title, the detail, and no stack. Whatever was thrown becomes a Problem first; the values of known
 * secrets are taken out of words that did not come from a Problem.
 */
import { Problem } from '../domain/problem.ts';
import type { Style } from '../words/style.ts';
import { harmless, wrap } from '../words/text.ts';

/**
 * @param error whatever was thrown
 * @param secrets values that must not be shown: connection strings, signing secrets
 */
export function asProblem(error: unknown, secrets: readonly string[]): Problem {
  if (error instanceof Problem) return error;
  let words = error instanceof Error ? error.message : String(error);
  for (const secret of secrets) words = words.replaceAll(secret, '…');
  return new Problem('internal', `${words} This is a fault in Weft itself.`, {}, error);
}

/** Everything in an environment and in options that must appear in no output. */
export function secretsOf(env: Readonly<Record<string, string | undefined>>, values: Readonly<Record<string, string | boolean | undefined>>): string[] {
  const found = [env.WEFT_SECRET, env.WEFT_ID_TOKEN, env.ACTIONS_ID_TOKEN_REQUEST_TOKEN, env.SYSTEM_ACCESSTOKEN];
  for (const address of [env.DATABASE_URL, values.database]) {
    if (typeof address !== 'string') continue;
    found.push(address);
    if (URL.canParse(address)) {
      const url = new URL(address);
      found.push(url.host, url.hostname, url.password, safeDecode(url.password));
    }
  }
  return found.filter((value): value is string => value !== undefined && value.length >= 4);
}

export function renderProblem(problem: Problem, style: Style): string {
  return `${style.red(style.bold('weft:'))} ${style.bold(problem.title)}\n${wrap(harmless(problem.message), 100, '  ')}`;
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
