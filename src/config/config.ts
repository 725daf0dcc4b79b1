/**
 * The configuration of a Worker: which targets there are, who may call, and who may do what where. It holds names of
 * secrets, never secrets (secrets.ts reads those). Parsed and checked once, before anything else happens; what comes out
 * is trusted everywhere above.
 */
import * as z from 'zod';
import { LIMITS } from '../domain/limits.ts';
import { nameSchema } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { type Action, actionSchema, DIRECT_CALLER } from '../domain/request.ts';
import { isLocalHost } from './connection_string.ts';
import { describeIssues, joinIssues } from './issues.ts';
import { matchesPattern } from './pattern.ts';
import { parseStrictJson } from './strict_json.ts';

export interface Config {
  /** Scheme, host and port of this Worker: the audience that requests are signed for. */
  readonly origin: string;
  readonly targets: ReadonlyMap<string, Target>;
  readonly callers: ReadonlyMap<string, Caller>;
  readonly grants: readonly Grant[];
  /** The name of the secret with which secret parameters are encrypted in what the Worker leaves for itself; without it, they are left out. */
  readonly sealing_key?: string;
}

export interface Target {
  readonly name: string;
  /** The name of the secret that holds the connection string. */
  readonly database: string;
  readonly transport: 'websocket' | 'tcp';
  /** host:port/path of a WebSocket proxy in front of a server that does not speak WebSocket itself. */
  readonly proxy?: string;
  /** ws instead of wss; only to this machine. */
  readonly insecure?: boolean;
  /** Whether the schedule looks for unfinished work here each time, also when it knows of none: for a database that never sleeps. */
  readonly scheduled?: boolean;
}

export interface Caller {
  readonly name: string;
  /** Names of secrets; the first one signs what the Worker itself makes for this caller. */
  readonly secrets: readonly string[];
}

export interface Grant {
  readonly caller: string;
  /** Names, or patterns with `*`. */
  readonly targets: readonly string[];
  readonly actions: readonly Action[];
}

const secretNameSchema = z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'must be the name of a secret, such as SHOP_DATABASE_URL (never the secret itself)');

const originSchema = z
  .string()
  .refine(isOrigin, 'must be an origin, such as https://weft.example.com: no path, no "/" at its end, http only for localhost and 127.0.0.1');

const targetSchema = z.strictObject({
  database: secretNameSchema,
  transport: z.enum(['websocket', 'tcp']),
  proxy: z
    .string()
    .regex(/^[A-Za-z0-9._-]+(?::[0-9]{1,5})?(?:\/[A-Za-z0-9._~/-]*)?$/, 'must be host:port/path, without a scheme and without "?"')
    .optional(),
  insecure: z.boolean().optional(),
  scheduled: z.boolean().optional(),
});

const callerSchema = z.strictObject({ secrets: z.array(secretNameSchema).min(1) });

const grantSchema = z.strictObject({
  caller: nameSchema,
  targets: z.array(z.string().regex(/^[A-Za-z0-9._*-]{1,63}$/, 'must be the name of a target, or a pattern with "*"')).min(1),
  actions: z.array(actionSchema).min(1),
});

const configSchema = z.strictObject({
  origin: originSchema,
  targets: z.record(nameSchema, targetSchema),
  callers: z.record(nameSchema, callerSchema),
  grants: z.array(grantSchema),
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
  const { origin, targets, callers, grants, sealing_key } = configSchema.parse(value);
  return {
    origin,
    targets: new Map(Object.entries(targets).map(([name, target]) => [name, makeTarget(name, target)])),
    callers: new Map(Object.entries(callers).map(([name, caller]) => [name, { name, ...caller }])),
    grants,
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

function makeTarget(name: string, target: z.infer<typeof targetSchema>): Target {
  const { database, transport, proxy, insecure, scheduled } = target;
  return {
    name,
    database,
    transport,
    ...(proxy === undefined ? {} : { proxy }),
    ...(insecure === undefined ? {} : { insecure }),
    ...(scheduled === undefined ? {} : { scheduled }),
  };
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const schemeFits = url.protocol === 'https:' || (url.protocol === 'http:' && (url.hostname === 'localhost' || url.hostname === '127.0.0.1'));
  return schemeFits && url.origin === text;
}

/**
 * Every part of the configuration that is well-formed by itself, whatever the others are: so that one reading reports the
 * malformed keys and the contradictions together.
 */
const readablePartsSchema = z.object({
  targets: z
    .record(
      z.string(),
      z
        .object({
          database: secretNameSchema.optional().catch(undefined),
          transport: z.string().optional().catch(undefined),
          proxy: targetSchema.shape.proxy.catch(undefined),
          insecure: z.boolean().optional().catch(undefined),
        })
        .catch({}),
    )
    .catch({}),
  callers: z.record(z.string(), z.object({ secrets: z.array(secretNameSchema).catch([]) }).catch({ secrets: [] })).catch({}),
  grants: z
    .array(
      z
        .object({ caller: nameSchema.optional().catch(undefined), targets: grantSchema.shape.targets.catch([]), actions: grantSchema.shape.actions.catch([]) })
        .catch({ caller: undefined, targets: [], actions: [] }),
    )
    .catch([]),
});

function findContradictions(value: unknown): string[] {
  const parts = readablePartsSchema.safeParse(value).data;
  if (parts === undefined) return [];
  return [...findInTargets(parts.targets), ...findInCallers(parts.callers), ...findInGrants(parts)];
}

type ReadableParts = z.infer<typeof readablePartsSchema>;

function findInTargets(targets: ReadableParts['targets']): string[] {
  const faults: string[] = [];
  const owners = new Map<string, string>();
  for (const [name, target] of Object.entries(targets)) {
    const owner = target.database === undefined ? undefined : owners.get(target.database);
    if (owner !== undefined) {
      faults.push(
        `targets.${name}.database: targets.${owner} names the secret ${target.database} too; one database under two names looks to the engine like a copy`,
      );
    } else if (target.database !== undefined) owners.set(target.database, name);
    if (target.transport === 'tcp' && target.proxy !== undefined) faults.push(`targets.${name}.proxy: is only for the transport websocket`);
    if (target.transport === 'tcp' && target.insecure === true) faults.push(`targets.${name}.insecure: is only for the transport websocket`);
    if (target.insecure === true && target.proxy !== undefined && !isLocalHost(target.proxy.replace(/[:/].*$/, '').toLowerCase())) {
      faults.push(`targets.${name}.insecure: is only for a proxy at 127.0.0.1 or localhost`);
    }
  }
  return faults;
}

function findInCallers(callers: ReadableParts['callers']): string[] {
  const faults: string[] = [];
  const owners = new Map<string, string>();
  if (DIRECT_CALLER in callers) faults.push(`callers.${DIRECT_CALLER}: is the name of whoever deploys straight to a database; give this caller another`);
  for (const [name, caller] of Object.entries(callers)) {
    for (const [position, secret] of caller.secrets.entries()) {
      const owner = owners.get(secret);
      if (owner !== undefined) {
        faults.push(
          `callers.${name}.secrets[${position}]: callers.${owner} names ${secret} already; a secret says who signed, so it belongs to one caller, once`,
        );
      }
      owners.set(secret, name);
    }
  }
  const count = Object.values(callers).reduce((sum, caller) => sum + caller.secrets.length, 0);
  if (count > LIMITS.caller_secrets_count) {
    faults.push(
      `callers: name ${count} secrets together, more than ${LIMITS.caller_secrets_count} (caller_secrets_count), and each is tried on every signature`,
    );
  }
  return faults;
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
  }
  return faults;
}
