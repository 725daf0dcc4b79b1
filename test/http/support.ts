/**
 * A Weft with an app and no database: real trust, real bundles, and a drive that writes down what it was given. Connecting
 * is counted, so that a test can say that nothing was touched.
 */
import type { Hono } from 'hono';
import { parseConfig } from '../../src/config/config.ts';
import type { Session } from '../../src/database/session.ts';
import type { DeployOptions } from '../../src/deployment/deploy.ts';
import type { Deployment, DeploymentEvent, Drift, Glance } from '../../src/domain/deployment.ts';
import { createApp } from '../../src/http/app.ts';
import type { HttpEnv } from '../../src/http/context.ts';
import type { LogEntry } from '../../src/http/log.ts';
import type { Ports } from '../../src/http/ports.ts';
import { ID, makeRequests } from './requests.ts';

/** A catalog that is as it was left. */
export const NO_DRIFT: Drift = { verdict: 'none', reason: null, since: null, running: null, fingerprint: { before: null, after: null }, count: 0, objects: [] };

export const NOW = Date.parse('2026-03-01T12:00:00Z');
const ORIGIN = 'https://weft.test';
const SECRETS = {
  ci: `whsec_${Buffer.alloc(32, 1).toString('base64')}`,
  watcher: `whsec_${Buffer.alloc(32, 2).toString('base64')}`,
  reader: `whsec_${Buffer.alloc(32, 3).toString('base64')}`,
  stranger: `whsec_${Buffer.alloc(32, 9).toString('base64')}`,
};
export const requests = makeRequests({ origin: ORIGIN, secrets: SECRETS, now: () => NOW, makeId: () => 'run-1' });

const config = parseConfig({
  origin: ORIGIN,
  targets: { staging: { database: 'STAGING_URL', transport: 'websocket' }, production: { database: 'PRODUCTION_URL', transport: 'websocket' } },
  callers: { ci: { secrets: ['CI_SECRET'] }, watcher: { secrets: ['WATCHER_SECRET'] } },
  grants: [
    { caller: 'ci', targets: ['staging'], actions: ['deploy', 'resume', 'cancel', 'undo', 'accept_drift', 'forget', 'read'] },
    { caller: 'watcher', targets: ['*'], actions: ['deploy'] },
  ],
});

/** A deployment's document as the engine makes it. */
export function makeDeployment(changes: Partial<Deployment> = {}): Deployment {
  return {
    id: ID,
    state: 'succeeded',
    target: 'staging',
    bundle: 'shop',
    caller: 'ci',
    request_id: 'run-1',
    created_at: '2026-03-01T12:00:00Z',
    staged_at: '2026-03-01T12:00:00Z',
    started_at: '2026-03-01T12:00:00Z',
    finished_at: null,
    phases: [],
    error: null,
    fingerprint: { before: null, after: null },
    wal: { before: null, after: null },
    ahead: [],
    live: null,
    ...changes,
  };
}

/** What `weft.glance` says of a deployment with so many events. */
export function glanceOf({ id, state, ahead, live }: Deployment, event: number): Glance {
  return { id, state, ahead, live, event, mark: `${state}/${event}` };
}

export function makeEvent(number: number, kind = 'step_succeeded'): DeploymentEvent {
  return { deployment: ID, number, at: '2026-03-01T12:00:00Z', kind, phase: 'main', path: `${number}.sql`, data: {} };
}

export interface House {
  readonly app: Hono<HttpEnv>;
  readonly ports: Ports;
  readonly lines: LogEntry[];
  /** What the drive was given, with the digests of the chunks it pulled. */
  readonly drives: { options: DeployOptions; pulled: string[] }[];
  readonly sessions: { opened: number; closed: number };
  /** Awaits what was handed to waitUntil; says how many that were. */
  settle(): Promise<number>;
  fetch(path: string, init?: RequestInit): Promise<Response>;
}

/** @param changes ports that a test brings itself */
export function makeHouse(changes: Partial<Ports> = {}): House {
  const lines: LogEntry[] = [];
  const drives: House['drives'] = [];
  const sessions = { opened: 0, closed: 0 };
  const waiting: Promise<unknown>[] = [];
  let now = NOW;
  const session = { announcedPid: 1, close: async () => void sessions.closed++ } as Partial<Session> as Session;
  const ports: Ports = {
    config,
    forges: new Map(),
    changes: { takeUp: async () => undefined, tellOwed: async () => new Set() },
    callers: [
      { name: 'ci', secrets: [SECRETS.ci] },
      { name: 'watcher', secrets: [SECRETS.watcher] },
    ],
    findKey: async () => null,
    tokens: { claim: async () => true },
    rates: { admitAddress: async () => true, noteRefusal: () => undefined, admitCaller: async () => true },
    version: '1.2.3',
    now: () => now,
    async sleep(milliseconds, signal) {
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted !== true) now += milliseconds;
    },
    connect: () => async () => {
      sessions.opened++;
      return session;
    },
    deploy(options) {
      const drive = { options, pulled: [] as string[] };
      drives.push(drive);
      const opened = (async () => {
        await options.connect();
        const wanted = new Set(options.order.manifest.artifacts.flatMap((artifact) => artifact.chunks ?? [artifact.digest]));
        if (options.chunks === undefined) return { id: ID, state: 'open' as const, repeated: false, missing: options.order.manifest.artifacts };
        for await (const chunk of options.chunks(wanted)) drive.pulled.push(chunk.digest);
        return { id: ID, state: 'staged' as const, repeated: false, missing: [] };
      })();
      return { opened, done: opened.then(({ state }) => makeDeployment(state === 'open' ? { state } : {})) };
    },
    resume: async () => makeDeployment(),
    cancel: async () => makeDeployment({ state: 'cancelled' }),
    undo: async (options) => {
      options.onOpened?.({ id: ID, state: 'staged', repeated: false, missing: [] });
      return makeDeployment();
    },
    isCommitHeld: async () => false,
    approve: async (options) => {
      const deployment = makeDeployment();
      options.onStatus?.(deployment);
      return deployment;
    },
    readLater: async () => ({ deployment: ID, bundle: 'shop', request_id: 'key', state: 'succeeded', finished_at: null, later: [] }),
    readUndoPlan: async () => ({ deployment: ID, bundle: 'shop', state: 'succeeded', finished_at: null, phases: [], lacking: [] }),
    readStatus: async () => makeDeployment(),
    readGlance: async () => glanceOf(makeDeployment(), 0),
    readDeployments: async () => [makeDeployment()],
    readEvents: async () => [],
    readForesight: async () => ({ findings: [], refusal: null, groups: [], lost: [] }),
    readHistory: async () => ({ history: [], begun: [] }),
    readDrift: async () => NO_DRIFT,
    acceptDrift: async () => NO_DRIFT,
    forget: async (_session, { path, why }, caller) => ({
      bundle: 'shop',
      path,
      deployment: ID,
      statements: 2,
      rounds: null,
      by: caller ?? '',
      at: '2026-03-01T12:00:00Z',
      why,
    }),
    readReceipt: async (_session, deployment) => JSON.stringify({ id: deployment, number: 1 }),
    readChanges: async (_session, deployment) => ({ deployment, verdict: 'none', reason: null, fingerprint: NO_DRIFT.fingerprint, count: 0, objects: [] }),
    log: (entry) => void lines.push(entry),
    ...changes,
  };
  const app = createApp(ports);
  const context = { waitUntil: (promise: Promise<unknown>) => void waiting.push(promise), passThroughOnException() {}, props: {} };
  return {
    app,
    ports,
    lines,
    drives,
    sessions,
    async settle() {
      return (await Promise.all(waiting)).length;
    },
    fetch: async (path, init) => app.fetch(new Request(ORIGIN + path, init), {}, context),
  };
}
