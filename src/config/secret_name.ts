/** Names of secrets: all that a configuration ever says of one. */
import * as z from 'zod';

export const secretNameSchema = z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'must be the name of a secret, such as SHOP_DATABASE_URL (never the secret itself)');
