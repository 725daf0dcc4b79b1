/**
 * A new database, the relay and the Worker before it: what an end-to-end test needs.
 */
import { type Edge, type EdgeOptions, makeCallerSecret, startEdge } from '../../src/dev/edge.ts';
import type { Relay } from '../../src/dev/relay.ts';
import { emptyDatabase, type TestDatabase } from './database.ts';

export interface TestStack {
  readonly origin: string;
  /** Reaches the database over WebSocket; `tcpTarget` the same one over TCP. Both pass the relay. */
  readonly target: string;
  readonly tcpTarget: string;
  readonly caller: string;
  /** Of the caller: `whsec_…`. */
  readonly secret: string;
  readonly database: TestDatabase;
  /** Past the relay, straight to the database. */
  readonly databaseUrl: string;
  readonly relay: Relay;
  readonly worker: Edge['worker'];
  /** What the Worker wrote to its console. */
  readonly logs: readonly string[];
  /** The environment in which the command line finds the Worker. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export async function startTestStack(options: Pick<EdgeOptions, 'delayMs' | 'inspectorPort'> = {}): Promise<TestStack> {
  const database = await emptyDatabase();
  const names = { target: 'test', tcpTarget: 'test-tcp', caller: 'tester', secret: makeCallerSecret() };
  const logs: string[] = [];
  const edge = await startEdge({ ...options, ...names, databaseUrl: database.url, onLog: (line) => logs.push(line) });
  return {
    ...names,
    origin: edge.origin,
    database,
    databaseUrl: database.url,
    relay: edge.relay,
    worker: edge.worker,
    logs,
    env: { WEFT_URL: edge.origin, WEFT_TARGET: names.target, WEFT_CALLER: names.caller, WEFT_SECRET: names.secret },
    stop: async () => {
      await edge.stop();
      await database.drop();
    },
  };
}
