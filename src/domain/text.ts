/** Text that goes into a database. */
import * as z from 'zod';

/** PostgreSQL takes no NUL in text, nor in JSON; JSON itself has one, as an escape, and so has YAML. */
export const textSchema = z.string().refine((text) => !text.includes('\0'), 'text without NUL');
