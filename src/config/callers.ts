/**
 * Callers, and how each proves itself: by keys, by the identity token of a CI job, by both together, or as a forge by its webhooks.
 */
import * as z from 'zod';
import { LIMITS } from '../domain/limits.ts';
import { DIRECT_CALLER } from '../domain/request.ts';
import { type Forge, findInForge, forgeSchema, makeForge } from './forges.ts';
import { findInIdentities, type Identity, identitySchema, makeIdentity } from './identities.ts';
import { secretNameSchema } from './secret_name.ts';

export interface Caller {
  readonly name: string;
  /** Names of secrets; the first one signs what the Worker itself makes for this caller. None: it has no key. */
  readonly secrets: readonly string[];
  /** With secrets too, both are asked for: a signature and a token. */
  readonly identity?: Identity;
  /** Has neither secrets nor an identity: what it brings are webhooks. */
  readonly forge?: Forge;
}

export const callerSchema = z.strictObject({
  secrets: z.array(secretNameSchema).min(1).optional(),
  identity: identitySchema.optional(),
  forge: forgeSchema.optional(),
});

/** As much of a caller as is well-formed by itself. */
export const readableCallerSchema = z
  .object({
    secrets: z.array(secretNameSchema).optional().catch([]),
    identity: identitySchema.optional().catch(undefined),
    forge: forgeSchema.optional().catch(undefined),
  })
  .catch({});

type Readable = Readonly<Record<string, z.infer<typeof readableCallerSchema>>>;

export function makeCaller(name: string, { secrets, identity, forge }: z.infer<typeof callerSchema>): Caller {
  return {
    name,
    secrets: secrets ?? [],
    ...(identity === undefined ? {} : { identity: makeIdentity(identity) }),
    ...(forge === undefined ? {} : { forge: makeForge(forge) }),
  };
}

/** @param given keys of each caller as they stand there, well-formed or not: so that what is malformed is not called missing too */
export function findInCallers(callers: Readable, given: Readonly<Record<string, readonly string[]>>): string[] {
  const faults: string[] = [];
  if (DIRECT_CALLER in callers) faults.push(`callers.${DIRECT_CALLER}: is the name of whoever deploys straight to a database; give this caller another`);
  for (const [name, caller] of Object.entries(callers)) {
    const where = `callers.${name}`;
    const proofs = given[name] ?? [];
    if (!['secrets', 'identity', 'forge'].some((key) => proofs.includes(key)))
      faults.push(`${where}: proves itself by nothing; it needs secrets, identity or forge`);
    if (proofs.includes('forge') && (proofs.includes('secrets') || proofs.includes('identity'))) {
      faults.push(`${where}: a forge proves itself by its webhooks; secrets and identity belong to a caller of its own`);
    }
    if (caller.identity?.kind === 'azure' && !proofs.includes('secrets')) {
      faults.push(`${where}.secrets: is missing; a token of Azure is made for anybody's use, so that a signature is asked for as well`);
    }
    if (caller.forge !== undefined) faults.push(...findInForge(`${where}.forge`, caller.forge));
  }
  const identities = Object.entries(callers).flatMap(([name, { identity }]) => (identity === undefined ? [] : [{ name, identity: makeIdentity(identity) }]));
  return [...faults, ...findSharedSecrets(callers), ...findInIdentities(identities)];
}

function findSharedSecrets(callers: Readable): string[] {
  const faults: string[] = [];
  const owners = new Map<string, string>();
  for (const [name, caller] of Object.entries(callers)) {
    for (const [where, secret] of secretsOf(`callers.${name}`, caller)) {
      const owner = owners.get(secret);
      if (owner !== undefined) faults.push(`${where}: callers.${owner} names ${secret} already; a secret says who signed, so it belongs to one caller, once`);
      owners.set(secret, name);
    }
  }
  const count = Object.values(callers).reduce((sum, { secrets = [] }) => sum + secrets.length, 0);
  if (count > LIMITS.caller_secrets_count) {
    faults.push(
      `callers: name ${count} secrets together, more than ${LIMITS.caller_secrets_count} (caller_secrets_count), and each is tried on every signature`,
    );
  }
  return faults;
}

/** Every secret that a caller names, with its place. */
export function secretsOf(where: string, { secrets = [], forge }: Readable[string]): [where: string, secret: string][] {
  const found = secrets.map((secret, position): [string, string] => [`${where}.secrets[${position}]`, secret]);
  if (forge === undefined) return found;
  found.push(...forge.webhook_secrets.map((secret, position): [string, string] => [`${where}.forge.webhook_secrets[${position}]`, secret]));
  if (forge.token !== undefined) found.push([`${where}.forge.token`, forge.token]);
  if (forge.kind === 'github' && forge.app !== undefined) found.push([`${where}.forge.app.private_key`, forge.app.private_key]);
  return found;
}
