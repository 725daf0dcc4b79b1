/**
 * The Worker in workerd, on 127.0.0.1, by Miniflare: the one helper that the local stack and all end-to-end tests use. Miniflare comes
 * with wrangler; what its interface looks like this month stays in this file.
 */
import { join } from 'node:path';
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';
import { CHECKOUT } from './places.ts';
import { freePort } from './ports.ts';
import { childrenOf, commandLineOf } from './processes.ts';
import { setWatchdog } from './watchdog.ts';
import { bundleWorker, COMPATIBILITY_DATE } from './worker_bundle.ts';

export interface WorkerOptions {
  /** The binding WEFT. Its `origin` is filled in when it is missing, as the port is not known before. */
  readonly config: object;
  /** Bindings by their names. */
  readonly secrets: Readonly<Record<string, string | number | null>>;
  /** Just this one, or the start fails; without it any that is free. */
  readonly port?: number;
  /** Where workerd's own inspector listens; without it there is none. */
  readonly inspectorPort?: number;
  /** Another module than Weft's Worker. */
  readonly entry?: string;
  /** False: without the engine's text, as when somebody takes [assets] out of wrangler.toml. */
  readonly engine?: false;
  /** The optional parts of wrangler.toml: a queue, a memory (a folder: it stays there when workerd ends). Without it neither. */
  readonly aftercare?: { readonly queue?: boolean; readonly memory?: boolean | string };
  /** How often an address, and a caller, may ask in a minute: the rate limiting of wrangler.toml. Without it none. */
  readonly rates?: { readonly strangers: number; readonly callers: number };
  /** Receives each line that the Worker writes to its console. */
  readonly onLog?: (line: string, level: string) => void;
}

export interface LocalWorker {
  /** http://127.0.0.1:port */
  readonly origin: string;
  /** Sends a request as a client would, over HTTP. @param path with its leading "/" */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** What the cron trigger does. Resolves when the run is over. */
  runSchedule(): Promise<void>;
  stop(): Promise<void>;
}

/** The same as [[queues]] and [[durable_objects]] in wrangler.toml, which a test looks at. */
export const QUEUE = { binding: 'WEFT_QUEUE', queue: 'weft', max_batch_size: 1, max_batch_timeout: 0, max_retries: 100 };
export const MEMORY = { binding: 'WEFT_UNFINISHED', className: 'UnfinishedWork' };

/** The same as `[assets]` in wrangler.toml, which a test looks at. */
export const ASSETS = {
  directory: join(CHECKOUT, 'src', 'database', 'assets'),
  binding: 'ENGINE',
  run_worker_first: true,
  routerConfig: { has_user_worker: true, invoke_user_worker_ahead_of_assets: true },
};

/**
 * Bundles the Worker and starts it.
 * @throws whatever esbuild or workerd say when it does not build or start
 */
export async function startWorker(options: WorkerOptions): Promise<LocalWorker> {
  const [script, port] = await Promise.all([bundleWorker(options.entry), options.port ?? freePort()]);
  const origin = new URL(`http://127.0.0.1:${port}`).origin; // port 80 is not part of it
  const restoreSignals = keepSignals();
  const folder = options.aftercare?.memory;
  const miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      host: '127.0.0.1',
      port,
      log: new Log(LogLevel.ERROR),
      handleStructuredLogs: ({ message, level }) => options.onLog?.(message, level),
      // Otherwise it asks the internet for a description of where we are.
      cf: false,
      telemetry: { enabled: false },
      ...(options.inspectorPort === undefined ? {} : { inspectorPort: options.inspectorPort }),
      workers: [
        {
          name: 'weft',
          compatibilityDate: COMPATIBILITY_DATE,
          modules: [{ type: 'ESModule', path: 'main.mjs', contents: script }],
          bindings: { WEFT: { origin, ...options.config }, ...options.secrets },
          ...(options.engine === false ? {} : { assets: ASSETS }),
          ...describeAftercare(options.aftercare),
          ...(options.rates === undefined ? {} : { ratelimits: describeRates(options.rates) }),
        },
      ],
    }),
    ...(typeof folder === 'string' ? { resourcePersistencePath: folder } : {}),
  });
  try {
    await miniflare.ready;
    restoreSignals();
  } catch (error) {
    await miniflare.dispose().catch(() => undefined);
    throw error;
  }
  // workerd does not notice that its parent is gone.
  const dogs = childrenOf(process.pid)
    .filter((pid) => commandLineOf(pid).includes(`=127.0.0.1:${port} `))
    .map((pid) => setWatchdog(pid, 'KILL'));
  return {
    origin,
    fetch: (path, init) => fetch(`${origin}${path}`, init),
    runSchedule: async () => {
      const worker = await miniflare.getWorker('weft');
      await worker.scheduled();
    },
    stop: async () => {
      await miniflare.dispose();
      for (const dog of dogs) dog.dismiss();
    },
  };
}

/** The same as [[ratelimits]] in wrangler.toml, which a test looks at. */
export const RATES = { strangers: { name: 'WEFT_STRANGERS', namespace_id: '1001' }, callers: { name: 'WEFT_CALLERS', namespace_id: '1002' } };

function describeRates(rates: NonNullable<WorkerOptions['rates']>) {
  return Object.fromEntries(
    (['strangers', 'callers'] as const).map((who) => [
      RATES[who].name,
      { namespace_id: RATES[who].namespace_id, simple: { limit: rates[who], period: 60 as const } },
    ]),
  );
}

function describeAftercare({ queue = false, memory = false }: NonNullable<WorkerOptions['aftercare']> = {}) {
  const consumer = { maxBatchSize: QUEUE.max_batch_size, maxBatchTimeout: QUEUE.max_batch_timeout, maxRetries: QUEUE.max_retries };
  return {
    ...(queue ? { queueProducers: { [QUEUE.binding]: { queueName: QUEUE.queue } }, queueConsumers: { [QUEUE.queue]: consumer } } : {}),
    ...(memory === false ? {} : { durableObjects: { [MEMORY.binding]: { className: MEMORY.className, useSQLite: true } } }),
  };
}

/**
 * Miniflare ends the whole process at the first Ctrl-C, before anybody could stop a database in order. Whoever runs this process decides
 * that; and if nobody does, the watchdog ends workerd.
 * @returns what takes away the listeners that have come since
 */
function keepSignals(): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const before = new Map(signals.map((signal) => [signal, process.listeners(signal)]));
  return () => {
    for (const signal of signals) {
      for (const listener of process.listeners(signal)) if (!before.get(signal)?.includes(listener)) process.off(signal, listener);
    }
  };
}
