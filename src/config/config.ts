/**
 * The configuration of a Worker: which targets there are, who may call, who may do what where, and what comes from which forge. It holds names of
 * secrets, never secrets (secrets.ts reads those). Parsed and checked once, before anything else happens; what comes out
 * is trusted everywhere above. Each part has a file of its own; here they come together.
 */
import * as z from 'zod';
import { nameSchema } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { type Action, actionSchema } from '../domain/request.ts';
import { type Caller, callerSchema, findInCallers, makeCaller, readableCallerSchema } from './callers.ts';
import { type Environment, environmentSchema, makeEnvironment } from './environments.ts';
import { canFollowSame, findInSource, makeSource, REVIEW, type Source, sourceSchema } from './forges.ts';
import { describeIssues, joinIssues } from './issues.ts';
import { matchesPattern } from './pattern.ts';
import { secretNameSchema } from './secret_name.ts';
import { parseStrictJson } from './strict_json.ts';
import { findInTargets, makeTarget, readableTargetSchema, type Target, targetSchema } from './targets.ts';
import { originSchema } from './web_address.ts';

export type { Caller, Environment, Source, Target };

export interface Config {
  /** Scheme, host and port of this Worker: the audience that requests are signed for. */
  readonly origin: string;
  readonly environments: ReadonlyMap<string, Environment>;
  readonly targets: ReadonlyMap<string, Target>;
  readonly callers: ReadonlyMap<string, Caller>;
  readonly grants: readonly Grant[];
  readonly sources: readonly Source[];
  /** The name of the secret with which secret parameters are encrypted in what the Worker leaves for itself; without it, they are left out. */
  readonly sealing_key?: string;
}

export interface Grant {
  readonly caller: string;
  /** Names, or patterns with `*`. */
  readonly targets: readonly string[];
  readonly actions: readonly Action[];
}

const grantSchema = z.strictObject({
  caller: nameSchema,
  targets: z.array(z.string().regex(/^[A-Za-z0-9._*-]{1,63}$/, 'must be the name of a target, or a pattern with "*"')).min(1),
  actions: z.array(actionSchema).min(1),
});

const configSchema = z.strictObject({
  origin: originSchema,
  environments: z.record(nameSchema, environmentSchema).optional(),
  targets: z.record(nameSchema, targetSchema),
  callers: z.record(nameSchema, callerSchema),
  grants: z.array(grantSchema),
  sources: z.array(sourceSchema).optional(),
  sealing_key: secretNameSchema.optional(),
});

/**
 * @param input the binding WEFT: an object, or the same as JSON text
 * @returns the configuration, consistent in itself
 * @throws Problem invalid_configuration, which names every key that is wrong, and what is wrong with it
 */
export function parseConfig(input: unknown): Config {
  const value = typeof input === 'string' ? parseText(input) : input;
  if (value === undefined || value === null) refuse(['the binding WEFT: is missing']);
  const parsed = configSchema.safeParse(value);
  const faults = [...describeIssues(parsed.error?.issues ?? []), ...findContradictions(value)];
  if (faults.length > 0) refuse(faults);
  const { origin, environments = {}, targets, callers, grants, sources = [], sealing_key } = configSchema.parse(value);
  return {
    origin,
    environments: new Map(Object.entries(environments).map(([name, environment]) => [name, makeEnvironment(name, environment)])),
    targets: new Map(Object.entries(targets).map(([name, target]) => [name, makeTarget(name, target)])),
    callers: new Map(Object.entries(callers).map(([name, caller]) => [name, makeCaller(name, caller)])),
    grants,
    sources: sources.map(makeSource),
    ...(sealing_key === undefined ? {} : { sealing_key }),
  };
}

function parseText(text: string): unknown {
  try {
    return parseStrictJson(text);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw new Problem('invalid_configuration', `The binding WEFT is text, but not JSON. ${error.message}`, error.facts);
  }
}

function refuse(faults: readonly string[]): never {
  throw new Problem('invalid_configuration', `The configuration of this Worker (binding WEFT) is not valid. ${joinIssues(faults)}`, { issues: faults });
}

/**
 * Every part of the configuration that is well-formed by itself, whatever the others are: so that one reading reports the
 * malformed keys and the contradictions together.
 */
const readablePartsSchema = z.object({
  environments: z.record(z.string(), z.unknown()).catch({}),
  targets: z.record(z.string(), readableTargetSchema).catch({}),
  callers: z.record(z.string(), readableCallerSchema).catch({}),
  grants: z
    .array(
      z
        .object({ caller: nameSchema.optional().catch(undefined), targets: grantSchema.shape.targets.catch([]), actions: grantSchema.shape.actions.catch([]) })
        .catch({ caller: undefined, targets: [], actions: [] }),
    )
    .catch([]),
  sources: z.array(sourceSchema.optional().catch(undefined)).catch([]),
});

/** The keys of each caller, well-formed or not. */
const givenKeysSchema = z
  .object({ callers: z.record(z.string(), z.record(z.string(), z.unknown()).transform(Object.keys).catch([])).catch({}) })
  .catch({ callers: {} });

type ReadableParts = z.infer<typeof readablePartsSchema>;

function findContradictions(value: unknown): string[] {
  const parts = readablePartsSchema.safeParse(value).data;
  if (parts === undefined) return [];
  return [
    ...findInTargets(parts.targets, Object.keys(parts.environments)),
    ...findInCallers(parts.callers, givenKeysSchema.parse(value).callers),
    ...findInGrants(parts),
    ...findInSources(parts),
  ];
}

function findInGrants(parts: ReadableParts): string[] {
  const faults: string[] = [];
  const targets = Object.keys(parts.targets);
  for (const [index, grant] of parts.grants.entries()) {
    if (grant.caller !== undefined && !Object.hasOwn(parts.callers, grant.caller)) {
      faults.push(`grants[${index}].caller: there is no caller "${grant.caller}"`);
    }
    for (const [position, pattern] of grant.targets.entries()) {
      if (!targets.some((target) => matchesPattern(pattern, target))) faults.push(`grants[${index}].targets[${position}]: "${pattern}" matches no target`);
    }
    if (new Set(grant.actions).size < grant.actions.length) faults.push(`grants[${index}].actions: names an action twice`);
    const reviews = parts.sources.some((source) => source !== undefined && source.forge === grant.caller && source.event === REVIEW);
    const idle = grant.actions.filter((action) => action !== 'deploy' && !(action === 'approve' && reviews));
    if (idle.length > 0 && grant.caller !== undefined && isForge(parts, grant.caller)) {
      const words = idle.map((action) => `"${action}"`).join(', ');
      faults.push(
        `grants[${index}].actions: "${grant.caller}" is a forge, whose webhooks deploy, and approve only by a source for ${REVIEW}: ${words} would be read by nobody; take it out`,
      );
    }
  }
  return faults;
}

function isForge({ callers }: ReadableParts, name: string): boolean {
  return Object.hasOwn(callers, name) && callers[name]?.forge !== undefined;
}

function findInSources({ sources, callers, targets, grants }: ReadableParts): string[] {
  return sources.flatMap((source, index) => {
    if (source === undefined) return [];
    const where = `sources[${index}]`;
    const caller = Object.hasOwn(callers, source.forge) ? callers[source.forge] : undefined;
    if (caller === undefined) return [`${where}.forge: there is no caller "${source.forge}"`];
    const faults = caller.forge === undefined ? [] : findInSource(where, caller.forge, source);
    if (caller.forge === undefined && (caller.secrets?.length || caller.identity)) faults.push(`${where}.forge: the caller "${source.forge}" is no forge`);
    if (!Object.hasOwn(targets, source.target)) faults.push(`${where}.target: there is no target "${source.target}"`);
    else {
      const action = source.event === REVIEW ? 'approve' : 'deploy';
      const isGranted = grants.some(
        (grant) => grant.caller === source.forge && grant.actions.includes(action) && grant.targets.some((pattern) => matchesPattern(pattern, source.target)),
      );
      if (!isGranted) faults.push(`${where}.target: no grant lets "${source.forge}" ${action} on "${source.target}"`);
    }
    const twin = sources.findIndex((other, before) => before < index && other !== undefined && canFollowSame(source, other));
    if (twin >= 0)
      faults.push(`${where}: sources[${twin}] can follow the same ${source.event}, with the same folder to the same target; let one of them do it`);
    return faults;
  });
}
