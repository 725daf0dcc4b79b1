/**
 * What is in front of a database here: the relay and the Worker, with one target, one caller, and a grant. The local stack puts it in
 * front of its own PostgreSQL, the tests in front of a new database.
 */
import { randomBytes } from 'node:crypto';
import { encodeWebhookSecret } from '../config/webhook_secret.ts';
import { type LocalWorker, startWorker } from './miniflare.ts';
import { freePort } from './ports.ts';
import { type Delay, type Relay, startRelay } from './relay.ts';

export interface EdgeOptions {
  /** Where the database is; the Worker reaches it through the relay. */
  readonly databaseUrl: string;
  readonly target: string;
  readonly caller: string;
  /** Of the caller: `whsec_…`. */
  readonly secret: string;
  /** A second target: the same database over TCP (through the relay as well). */
  readonly tcpTarget?: string;
  /** Taken when they are free. */
  readonly preferredPorts?: { readonly worker: number; readonly relay: number };
  readonly inspectorPort?: number;
  readonly delayMs?: Delay;
  readonly onLog?: (line: string, level: string) => void;
}

export interface Edge {
  readonly origin: string;
  readonly relay: Relay;
  readonly worker: LocalWorker;
  stop(): Promise<void>;
}

export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const { target, caller, tcpTarget, preferredPorts, inspectorPort, onLog } = options;
  const database = new URL(options.databaseUrl);
  const relay = await startRelay({
    to: { host: database.hostname, port: Number(database.port || 5432) },
    port: await freePort(preferredPorts?.relay),
    ...(options.delayMs === undefined ? {} : { delayMs: options.delayMs }),
  });
  const throughRelay = new URL(database);
  throughRelay.hostname = '127.0.0.1';
  throughRelay.port = String(relay.tcpPort);
  const tcp = tcpTarget === undefined ? {} : { [tcpTarget]: { database: 'TCP_DATABASE_URL', transport: 'tcp' } };
  try {
    const worker = await startWorker({
      config: {
        targets: { [target]: { database: 'DATABASE_URL', transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true }, ...tcp },
        callers: { [caller]: { secrets: ['CALLER_SECRET'] } },
        grants: [{ caller, targets: ['*'], actions: ['deploy', 'resume', 'cancel', 'undo', 'baseline', 'accept_drift', 'forget', 'read'] }],
      },
      secrets: { DATABASE_URL: database.href, TCP_DATABASE_URL: throughRelay.href, CALLER_SECRET: options.secret },
      port: await freePort(preferredPorts?.worker),
      ...(inspectorPort === undefined ? {} : { inspectorPort }),
      ...(onLog === undefined ? {} : { onLog }),
    });
    return {
      origin: worker.origin,
      relay,
      worker,
      stop: async () => {
        await worker.stop();
        await relay.stop();
      },
    };
  } catch (error) {
    await relay.stop();
    throw error;
  }
}

/** A new secret for a caller. */
export function makeCallerSecret(): string {
  return encodeWebhookSecret(randomBytes(32));
}
