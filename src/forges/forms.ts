/** Events by their form. A forge switches a webhook off that is answered with errors: what has another form is ignored, with the reason. */
import type * as z from 'zod';
import type { Heard } from './forge.ts';

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
