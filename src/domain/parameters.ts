/**
 * Parameters: what a bundle declares, and what a request gives. A plain value is in the request; for a secret one the request only has
 * a keyed digest, and the value travels beside it. Whether a value fits its type is for the server to say, and nobody here.
 */
import * as z from 'zod';
import { LIMITS } from './limits.ts';
import { Problem } from './problem.ts';
import { textSchema } from './text.ts';

/** Types as the server calls them. */
export const PARAMETER_TYPES = ['text', 'integer', 'bigint', 'numeric', 'boolean', 'date', 'timestamp', 'timestamptz', 'interval', 'uuid', 'jsonb'] as const;

/** As psql names its variables, so that `:name` can stand in a statement. */
export const parameterNameSchema = z
  .string()
  .regex(/^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,62}$/, 'the name of a parameter: letters, digits and "_", 63 at most, not beginning with a digit');

export const valueSchema = textSchema.max(LIMITS.parameter_characters);

/** One that a bundle declares. */
export const parameterSchema = z
  .strictObject({
    name: parameterNameSchema,
    type: z.enum(PARAMETER_TYPES),
    default: valueSchema.optional(),
    required: z.literal(true).optional(),
    secret: z.literal(true).optional(),
    description: textSchema.max(LIMITS.expression_characters).optional(),
  })
  .refine(({ secret, default: value }) => secret === undefined || value === undefined, 'a secret without a default: what stands in a bundle is no secret')
  .refine(({ required, default: value }) => required === undefined || value === undefined, 'either required, or with a default');

export const parametersSchema = z
  .array(parameterSchema)
  .max(LIMITS.parameters_count)
  .superRefine((parameters, context) => {
    const names = new Set<string>();
    for (const [index, { name }] of parameters.entries()) {
      if (names.has(name)) context.addIssue({ code: 'custom', path: [index, 'name'], message: `two parameters are called "${name}"` });
      names.add(name);
    }
  });

/** Plain values in a request, by name. */
export const givenSchema = z.record(parameterNameSchema, z.union([valueSchema, z.number(), z.boolean()]));

/** Of each secret that is given: HMAC-SHA256 in lower-case hexadecimal; null straight to a database, where nobody signs. */
export const secretDigestsSchema = z.record(
  parameterNameSchema,
  z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'an HMAC-SHA256 in lower-case hexadecimal')
    .nullable(),
);

/** Secrets themselves, as they travel beside a request. */
export const secretValuesSchema = z.record(parameterNameSchema, valueSchema);

export type Parameter = z.infer<typeof parameterSchema>;
export type Given = z.infer<typeof givenSchema>;
export type SecretDigests = z.infer<typeof secretDigestsSchema>;
export type SecretValues = Readonly<Record<string, string>>;

/**
 * Holds what is given to what is declared.
 * @param secrets names of the secrets that are given
 * @throws Problem invalid_parameters, with all that is wrong
 */
export function checkParameters(declared: readonly Parameter[], given: Readonly<Record<string, unknown>>, secrets: readonly string[]): void {
  const known = new Map(declared.map((parameter) => [parameter.name, parameter]));
  const wrong: string[] = [];
  for (const name of new Set([...Object.keys(given), ...secrets])) {
    const parameter = known.get(name);
    if (parameter === undefined) wrong.push(`the bundle declares no parameter "${name}"`);
    else if (parameter.secret && Object.hasOwn(given, name)) wrong.push(`"${name}" is secret, and its value does not belong into the request, which is stored`);
    else if (!parameter.secret && secrets.includes(name)) wrong.push(`"${name}" is not secret, and its value belongs into the request`);
  }
  for (const { name, required } of declared) {
    if (required && !Object.hasOwn(given, name) && !secrets.includes(name)) wrong.push(`"${name}" has no value, and needs one`);
  }
  if (wrong.length === 0) return;
  const names = declared.length === 0 ? 'It declares none.' : `It declares: ${declared.map(({ name }) => name).join(', ')}.`;
  throw new Problem('invalid_parameters', `${capitalised(wrong.join('; '))}. ${names} No database was asked.`);
}

/** What a run lacks. @param deployment its id, where it is known */
export function secretsMissing(names: readonly string[], deployment: string | null): Problem {
  const what = names.map((name) => `"${name}"`).join(', ');
  const where = deployment === null ? '' : ` Deployment ${deployment} waits, and lets others pass.`;
  return new Problem(
    'secrets_missing',
    `The deployment needs the value of ${what} at each run, because secrets are not kept anywhere.${where} Give it again: weft resume ${deployment ?? 'ID'} --set ${names[0]}=@FILE.`,
    { parameters: names, ...(deployment === null ? {} : { deployment }) },
  );
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
