/**
 * Where a command goes: straight to a database, or through a Worker. Read from options and the environment, checked before
 * anything is opened. It never guesses: two addresses at once are refused, because a deployment to the wrong one cannot be
 * taken back.
 */
import { nameSchema } from '../domain/manifest.ts';
import { Problem } from '../domain/problem.ts';
import { deploymentIdSchema } from '../domain/request.ts';
import { harmless } from '../words/text.ts';
import type { Call } from './commands.ts';
import { adviseIdentity, findIdentity, type IdentitySource } from './identity.ts';

export interface DatabaseAddress {
  readonly kind: 'database';
  readonly connectionString: string;
  readonly transport: 'tcp' | 'websocket';
}

export interface WorkerAddress {
  readonly kind: 'worker';
  /** Scheme, host and port: the audience of what is signed. */
  readonly origin: string;
  readonly target: string;
  /** `whsec_…`; null where an identity proves who asks. */
  readonly secret: string | null;
  /** Where an identity token comes from; null where a secret is all that proves who asks. */
  readonly identity: IdentitySource | null;
  /** What the Worker calls the owner of the secret; only reading tokens need it. */
  readonly caller: string | null;
}

export type Address = DatabaseAddress | WorkerAddress;

/** Whether nobody can be named who reads there: a secret alone does not say whose it is, and the identity token of a job does. */
export function isBlind(address: Address): boolean {
  return address.kind === 'worker' && address.secret !== null && address.caller === null;
}

/**
 * @returns where to go, or null when no address is given at all
 * @throws Problem set_up: no clear address, a part of one, or one that cannot be right; usage: options that do not go together
 */
export function findAddress({ printer, values }: Pick<Call, 'printer' | 'values'>): Address | null {
  const { env } = printer.io;
  const option = (name: string): string | null => (typeof values[name] === 'string' ? values[name] : null);
  const fromEnv = (name: string): string | null => env[name] || null;

  const optionTo = option('to');
  const optionDatabase = option('database');
  if (optionTo !== null && optionDatabase !== null) throw new Problem('usage', '--database and --to are two addresses; name one.');
  if (optionDatabase === null && optionTo === null && fromEnv('DATABASE_URL') !== null && fromEnv('WEFT_URL') !== null) {
    throw new Problem('set_up', 'DATABASE_URL and WEFT_URL are both set, so it is not clear where to go. Unset one, or say --to URL or --database URL.');
  }
  const database = optionDatabase ?? (optionTo === null ? fromEnv('DATABASE_URL') : null);
  if (database !== null) {
    for (const name of ['target', 'caller']) {
      if (option(name) !== null) throw new Problem('usage', `--${name} belongs to a Worker's address (--to), and this goes straight to a database.`);
    }
    return { kind: 'database', connectionString: database, transport: readTransport(option('transport')) };
  }
  const to = optionTo ?? fromEnv('WEFT_URL');
  if (to === null) {
    const lone = ['target', 'transport'].find((name) => option(name) !== null);
    if (lone !== undefined) throw new Problem('usage', `--${lone} is no address by itself. ${NO_ADDRESS}`);
    return null;
  }
  if (option('transport') !== null)
    throw new Problem('usage', '--transport belongs to the address of a database (--database); how a Worker reaches its databases is in its configuration.');
  const identity = findIdentity(env);
  return {
    kind: 'worker',
    origin: readOrigin(to),
    target: readName(option('target') ?? fromEnv('WEFT_TARGET'), 'target', 'WEFT_TARGET'),
    secret: identity === null ? readSecret(env) : fromEnv('WEFT_SECRET'),
    identity,
    caller: option('caller') ?? fromEnv('WEFT_CALLER'),
  };
}

/** @throws Problem those of findAddress, and set_up when there is no address */
export function requireAddress(call: Pick<Call, 'printer' | 'values'>): Address {
  const address = findAddress(call);
  if (address === null) throw new Problem('set_up', `There is no address. ${NO_ADDRESS}`);
  return address;
}

const NO_ADDRESS = 'Set DATABASE_URL to go straight to a database; or WEFT_URL, WEFT_TARGET and WEFT_SECRET to go through a Worker.';

/**
 * @param text the address of a Worker
 * @returns its origin
 * @throws Problem set_up when it is not https (http only to this machine), or more than an origin
 */
export function readOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new Problem('set_up', "The Worker's address (--to, WEFT_URL) is not a URL such as https://weft.example.com.");
  }
  if (url.username !== '' || url.password !== '') throw new Problem('set_up', "The Worker's address holds a user or password, and needs none.");
  if (url.protocol === 'http:' && !['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)) {
    throw new Problem(
      'set_up',
      'Plain http is only spoken to this machine (localhost, 127.0.0.1): elsewhere everybody on the way could read the files. Use https.',
    );
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new Problem('set_up', `The Worker's address is an origin, without a path: ${url.origin}.`);
  }
  return url.origin;
}

/** @throws Problem set_up when WEFT_SECRET is missing; its form is for trust/ to check */
export function readSecret(env: Readonly<Record<string, string | undefined>>): string {
  const secret = env.WEFT_SECRET;
  if (!secret)
    throw new Problem(
      'set_up',
      `WEFT_SECRET is not set: the secret that signs requests to the Worker (whsec_…). It comes from the environment only.${adviseIdentity(env)}`,
    );
  return secret;
}

/** @throws Problem set_up when the name is missing or is none */
export function readName(name: string | null, option: string, variable: string): string {
  if (name === null) throw new Problem('set_up', `--${option} NAME (or ${variable}) is missing.`);
  if (!nameSchema.safeParse(name).success)
    throw new Problem('set_up', `--${option} (or ${variable}) is not a name: letters, digits, ".", "_" and "-", 63 at most.`);
  return name;
}

function readTransport(text: string | null): 'tcp' | 'websocket' {
  if (text === null || text === 'tcp') return 'tcp';
  if (text === 'websocket') return 'websocket';
  throw new Problem('usage', '--transport is tcp or websocket.');
}

/**
 * A number of seconds from an option.
 * @throws Problem usage when it is none, or out of range
 */
export function readSeconds(call: Pick<Call, 'values'>, name: string, otherwise: number, max: number): number {
  const text = call.values[name];
  if (typeof text !== 'string') return otherwise;
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (seconds >= 1 && seconds <= max) return seconds;
  throw new Problem('usage', `--${name} is a number of seconds from 1 to ${max}.`);
}

/** @throws Problem usage when it is no id of a deployment */
export function readDeploymentId(text: string | undefined): string | null {
  if (text === undefined) return null;
  const parsed = deploymentIdSchema.safeParse(text.toLowerCase());
  if (!parsed.success)
    throw new Problem('usage', `"${harmless(text.slice(0, 80))}" is not the id of a deployment: ids are UUIDs. "weft status" lists the latest.`);
  return parsed.data;
}
