/** `drift:` of a bundle file: the objects that something else manages, each by one word and a name. */
import * as z from 'zod';
import { LIMITS } from '../domain/limits.ts';
import { PAIR_WORDS, SINGLE_WORDS, type Unwatched } from '../domain/unwatched.ts';
import { findNearest } from './order.ts';

const WORDS: readonly string[] = [...SINGLE_WORDS, ...PAIR_WORDS];

const ruleSchema = z.unknown().transform((value, context): Unwatched => {
  const refuse = (message: string) => {
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  };
  const entries = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  const [[word, name] = ['', null]] = entries;
  if (entries.length !== 1) return refuse(`one of ${WORDS.join(', ')}, and a name, such as "schema: partman"`);
  if (!WORDS.includes(word)) {
    const nearest = findNearest(word, WORDS);
    return refuse(`one of ${WORDS.join(', ')}, and is "${word}"${nearest === null ? '' : `; did you mean "${nearest}"?`}`);
  }
  if (typeof name !== 'string' || name === '' || name.length > LIMITS.pattern_characters || name.includes('\0')) {
    return refuse(`${word} and a name of at most ${LIMITS.pattern_characters} characters (pattern_characters), in quotes if it looks like a number`);
  }
  // as SQL has names, and no catalog: it would be the name of nothing, and nobody would say so
  if (/^"|\."/.test(name)) return refuse(`${word} and a name as PostgreSQL knows it, without quotes around it, and is '${name}'`);
  if ((SINGLE_WORDS as readonly string[]).includes(word)) return { [word]: name };
  if (word === 'function' && name.endsWith(')')) return refuse(`function and a name without arguments, which means all of that name, and is "${name}"`);
  const [, schema, object] = /^([^.]+)\.(.+)$/s.exec(name) ?? [];
  if (schema === undefined || object === undefined) return refuse(`${word} with schema and name, such as "${word}: public.events", and is "${name}"`);
  return { [word]: [schema, object] };
});

export const DRIFT_WORDS = ['ignore'] as const;

/** Drift as the bundle file has it. */
export const writtenDriftSchema = z.strictObject({ ignore: z.array(ruleSchema).min(1).max(LIMITS.ignored_count) });
