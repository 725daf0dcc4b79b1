/** Targets: named databases that deployments may go to, and how they are reached. */
import * as z from 'zod';
import { nameSchema } from '../domain/manifest.ts';
import { isLocalHost } from './connection_string.ts';
import { secretNameSchema } from './secret_name.ts';

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
  /** The name of the environment whose rules hold here. */
  readonly environment?: string;
}

export const targetSchema = z.strictObject({
  database: secretNameSchema,
  transport: z.enum(['websocket', 'tcp']),
  proxy: z
    .string()
    .regex(/^[A-Za-z0-9._-]+(?::[0-9]{1,5})?(?:\/[A-Za-z0-9._~/-]*)?$/, 'must be host:port/path, without a scheme and without "?"')
    .optional(),
  insecure: z.boolean().optional(),
  scheduled: z.boolean().optional(),
  environment: nameSchema.optional(),
});

/** As much of a target as is well-formed by itself. */
export const readableTargetSchema = z
  .object({
    database: secretNameSchema.optional().catch(undefined),
    transport: z.string().optional().catch(undefined),
    proxy: targetSchema.shape.proxy.catch(undefined),
    insecure: z.boolean().optional().catch(undefined),
    environment: nameSchema.optional().catch(undefined),
  })
  .catch({});

export function makeTarget(name: string, target: z.infer<typeof targetSchema>): Target {
  const { database, transport, proxy, insecure, scheduled, environment } = target;
  return {
    name,
    database,
    transport,
    ...(proxy === undefined ? {} : { proxy }),
    ...(insecure === undefined ? {} : { insecure }),
    ...(scheduled === undefined ? {} : { scheduled }),
    ...(environment === undefined ? {} : { environment }),
  };
}

/** @param environments the names of those that there are */
export function findInTargets(targets: Readonly<Record<string, z.infer<typeof readableTargetSchema>>>, environments: readonly string[]): string[] {
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
    if (target.environment !== undefined && !environments.includes(target.environment)) {
      faults.push(`targets.${name}.environment: there is no environment "${target.environment}"`);
    }
  }
  return faults;
}
