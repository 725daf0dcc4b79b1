/** `parameters` of the bundle file, as people write them: by name, with YAML's own numbers and truth values. */
import * as z from 'zod';
import { LIMITS } from '../domain/limits.ts';
import { PARAMETER_TYPES, type Parameter, parameterNameSchema, parameterSchema, valueSchema } from '../domain/parameters.ts';

/** Whatever YAML makes of a value, the server gets a text; of a map or a list, its JSON. */
const defaultSchema = z
  .unknown()
  .transform((value, context): string => {
    if (typeof value === 'string') return value;
    if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
      context.addIssue({ code: 'custom', message: 'in quotes: YAML does not keep all digits of so large a number' });
      return z.NEVER;
    }
    if (value === null || value === undefined) {
      context.addIssue({ code: 'custom', message: 'a value; leave it out where there is none' });
      return z.NEVER;
    }
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
  })
  .pipe(valueSchema);

const writtenParameterSchema = z
  .strictObject({
    type: z.enum(PARAMETER_TYPES),
    default: defaultSchema.optional(),
    required: z.boolean().optional(),
    secret: z.boolean().optional(),
    description: z.string().max(LIMITS.expression_characters).optional(),
  })
  .refine(({ secret, default: value }) => !(secret && value !== undefined), 'without a default if it is secret: what stands in a bundle is no secret')
  .refine(({ required, default: value }) => !(required && value !== undefined), 'either required, or with a default');

/** In the order in which they stand there. */
export const writtenParametersSchema = z
  .record(parameterNameSchema, writtenParameterSchema)
  .refine((parameters) => Object.keys(parameters).length <= LIMITS.parameters_count, `at most ${LIMITS.parameters_count} parameters (parameters_count)`)
  .transform((parameters): Parameter[] =>
    Object.entries(parameters).map(([name, { type, default: value, required, secret, description }]) =>
      parameterSchema.parse({
        name,
        type,
        ...(value !== undefined && { default: value }),
        ...(required && { required }),
        ...(secret && { secret }),
        ...(description !== undefined && { description }),
      }),
    ),
  );

/** The words that a parameter may have. */
export const PARAMETER_WORDS: readonly string[] = Object.keys(writtenParameterSchema.shape);
