/**
 * Environments: the rules that the targets in them share. What a rule forbids is refused before any database is woken, whoever asks and whatever
 * the grants say.
 */
import * as z from 'zod';
import { branchSchema } from './pattern.ts';

export interface Environment {
  readonly name: string;
  /** Names of branches, or patterns with `*`: what is deployed must be proved to come from one of them. */
  readonly branches?: readonly string[];
  /** When deployments may begin. */
  readonly hours?: Hours;
  /** The deployment waits until another caller approves it. */
  readonly second_person?: boolean;
  /** The same bundle must have been rehearsed there before. */
  readonly rehearsal_first?: boolean;
}

export interface Hours {
  readonly days: readonly Day[];
  /** Minutes since midnight. */
  readonly from: number;
  /** Minutes since midnight, past `from`; not included. */
  readonly until: number;
  /** As the time zone database calls it. */
  readonly zone: string;
}

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Day = (typeof DAYS)[number];

const timeSchema = z.string().regex(/^(?:[01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$/, 'a time of day, such as "09:30"; "24:00" is the end of one');

const hoursSchema = z
  .strictObject({
    days: z.array(z.enum(DAYS)).min(1),
    from: timeSchema,
    until: timeSchema,
    zone: z.string().refine(isZone, 'must be a time zone, such as "Europe/Berlin" or "UTC"'),
  })
  .refine(({ days }) => new Set(days).size === days.length, { path: ['days'], message: 'names a day twice' })
  .refine(({ from, until }) => from < until, { path: ['until'], message: 'must be later than from; hours over midnight are not known' });

export const environmentSchema = z.strictObject({
  branches: z.array(branchSchema).min(1).optional(),
  hours: hoursSchema.optional(),
  second_person: z.boolean().optional(),
  rehearsal_first: z.boolean().optional(),
});

export function makeEnvironment(name: string, { branches, hours, second_person, rehearsal_first }: z.infer<typeof environmentSchema>): Environment {
  return {
    name,
    ...(branches === undefined ? {} : { branches }),
    ...(hours === undefined ? {} : { hours: { ...hours, from: minutesOf(hours.from), until: minutesOf(hours.until) } }),
    ...(second_person === undefined ? {} : { second_person }),
    ...(rehearsal_first === undefined ? {} : { rehearsal_first }),
  };
}

function minutesOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

function isZone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return true;
  } catch {
    return false;
  }
}
