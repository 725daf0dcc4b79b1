/**
 * Events by their form. A forge disables a webhook that is answered with errors: an event of another form is ignored, with the reason.
 */
import * as z from 'zod';
import type { Heard } from './forge.ts';

const BRANCH_CHARACTERS = 1024;

/** The name of a branch, or of a tag, as git lets one be called (git-check-ref-format): it becomes a part of a path, and leads nowhere else. */
export const branchSchema = z.string().min(1).max(BRANCH_CHARACTERS).refine(isRefName, 'must be a name that git lets a branch have');

function isRefName(text: string): boolean {
  return !/[\p{Cc} ~^:?*[\\]|\.\.|@\{|\.$/u.test(text) && text.split('/').every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock'));
}

/**
 * @param form what an event of that kind has, as the reason says it
 * @returns what reads a value of that form
 */
export function reader<Schema extends z.ZodType>(schema: Schema, form: string, read: (value: z.infer<Schema>) => Heard): (value: unknown) => Heard {
  return (value) => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return read(parsed.data);
    const [issue] = parsed.error.issues;
    return { ignored: `The body is not ${form}: ${issue?.path.join('.')}: ${issue?.message}.` };
  };
}

/** When it was opened again: by that it is another time than the one before. @returns seconds since 1970; null when the text is no moment */
export function momentOf(text: string | null | undefined): number | null {
  const seconds = Math.floor(Date.parse((text ?? '').replace(/ UTC$/, 'Z').replace(' ', 'T')) / 1000);
  return Number.isSafeInteger(seconds) && seconds > 0 ? seconds : null;
}
