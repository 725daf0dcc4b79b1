/** GitHub's double, the Worker in workerd, the relay and a database on a real server; and what of it tests ask again and again. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type LocalWorker, startWorker, type WorkerOptions } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { generateSecret, makeSignedRequest } from '../../src/trust/sign.ts';
import { emptyDatabase, freshDatabase, type TestDatabase } from '../support/database.ts';
import { APP_ID, type GitHub, INSTALLATION_ID, startGitHub, TOKEN } from '../support/github.ts';

export const SECRET = 'of-the-tests-and-of-nobody-else';
/** Of a caller that approves, where the target has an environment. */
export const BOSS_SECRET = generateSecret();
export const NEXT_SECRET = 'the-one-that-is-to-replace-it';

export interface ForgeWorld {
  readonly github: GitHub;
  readonly worker: LocalWorker;
  readonly relay: Relay;
  readonly database: TestDatabase;
  /** What the Worker has written to its console. */
  readonly lines: string[];
  stop(): Promise<void>;
}

export interface ForgeWorldOptions {
  /** Pauses of the queue are a second at most. */
  readonly queue?: boolean;
  readonly memory?: boolean;
  readonly by?: 'app' | 'token';
  readonly environment?: object;
  /** Whether the schedule looks at the target each time. */
  readonly scheduled?: boolean;
  /** So long behind its answer, everything is taken away from a request. */
  readonly lifeSeconds?: number;
  /** Whether the engine is there from the beginning. */
  readonly isInstalled?: boolean;
  /** More of the configuration, with its secrets. */
  readonly more?: (api: object) => {
    readonly callers?: object;
    readonly grants?: readonly object[];
    readonly sources?: readonly object[];
    readonly secrets?: WorkerOptions['secrets'];
  };
}

export async function openForgeWorld(o: ForgeWorldOptions = {}): Promise<ForgeWorld> {
  const [github, database] = await Promise.all([startGitHub(), o.isInstalled ? freshDatabase() : emptyDatabase()]);
  const { hostname: host, port } = new URL(database.url);
  const relay = await startRelay({ to: { host, port: Number(port) } });
  const lines: string[] = [];
  const app = { app: { id: APP_ID, installation: INSTALLATION_ID, private_key: 'APP_KEY' } };
  const more = o.more?.({ api: github.api, archives: github.archives }) ?? {};
  const repository = { forge: 'github', repository_id: String(github.repository.id), folder: 'db/shop', target: 'shop' };
  const options: WorkerOptions = {
    entry: join(import.meta.dirname, '..', 'worker', 'mortal_entry.ts'),
    config: {
      targets: {
        shop: {
          database: 'SHOP_URL',
          transport: 'websocket',
          proxy: `127.0.0.1:${relay.port}/v1`,
          insecure: true,
          ...(o.scheduled && { scheduled: true }),
          ...(o.environment && { environment: 'live' }),
        },
      },
      ...(o.environment && { environments: { live: o.environment } }),
      callers: {
        ...(o.environment && { boss: { secrets: ['BOSS_SECRET'] } }),
        ...more.callers,
        github: {
          forge: {
            kind: 'github',
            webhook_secrets: ['WEBHOOK_SECRET', 'WEBHOOK_SECRET_NEXT'],
            api: github.api,
            archives: github.archives,
            ...(o.by === 'token' ? { token: 'GITHUB_TOKEN' } : app),
          },
        },
      },
      grants: [
        { caller: 'github', targets: ['shop'], actions: ['deploy'] },
        ...(o.environment ? [{ caller: 'boss', targets: ['shop'], actions: ['approve'] }] : []),
        ...(more.grants ?? []),
      ],
      sources: [
        { ...repository, event: 'push', branch: 'main' },
        { ...repository, event: 'pull_request', branch: 'main' },
        { ...repository, event: 'deployment', environment: 'production' },
        ...(o.by === 'token' ? [] : [{ ...repository, event: 'deployment_protection_rule', environment: 'production' }]),
        { ...repository, event: 'workflow_run', branch: 'release/*', workflow: 'ci.yml' },
        ...(more.sources ?? []).map((source) => ({ ...repository, ...source })),
      ],
    },
    secrets: {
      SHOP_URL: database.url,
      WEBHOOK_SECRET: SECRET,
      WEBHOOK_SECRET_NEXT: NEXT_SECRET,
      APP_KEY: github.privateKey.pkcs1,
      GITHUB_TOKEN: TOKEN,
      BOSS_SECRET,
      LIFE_SECONDS: o.lifeSeconds ?? 600,
      PAUSE_SECONDS: 1,
      ...more.secrets,
    },
    aftercare: { queue: o.queue !== false, ...(o.memory && { memory: true }) },
    onLog: (line) => lines.push(line),
  };
  const worker = await startWorker(options);
  return {
    github,
    worker,
    relay,
    database,
    lines,
    async stop() {
      await worker.stop();
      await Promise.all([github.stop(), relay.stop()]);
      await database.drop();
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: a test looks into documents freely
type AnyDocument = any;

/** Approves as the caller `boss`, and waits for what follows. */
export async function approve(worker: LocalWorker, deployment: string, digest: string): Promise<{ status: number; document: AnyDocument }> {
  const request = {
    type: 'approve',
    id: randomUUID(),
    audience: worker.origin,
    target: 'shop',
    expires_at: new Date(Date.now() + 60_000).toISOString(),
    deployment,
    digest,
  } as const;
  const { body, headers } = await makeSignedRequest(request, BOSS_SECRET, Math.floor(Date.now() / 1000));
  const answer = await worker.fetch(`/v1/targets/shop/deployments/${deployment}/approve`, {
    method: 'POST',
    body,
    headers: { ...headers, 'content-type': 'application/json', prefer: 'wait=30' },
  });
  return { status: answer.status, document: await answer.json() };
}

/** Sends a webhook as GitHub does. */
export async function send(at: ForgeWorld, event: string, payload: object, secret = SECRET): Promise<{ status: number; document: AnyDocument }> {
  const { headers, body } = at.github.deliver(event, payload, secret);
  const answer = await at.worker.fetch('/webhooks/github', { method: 'POST', headers, body });
  return { status: answer.status, document: await answer.json() };
}

/** What the log has of a delivery's work, try by try. @param from which of its lines on */
export function triesOf(at: ForgeWorld, delivery: string, from = 0): AnyDocument[] {
  return at.lines
    .slice(from)
    .map((line) => JSON.parse(line) as AnyDocument)
    .filter((line) => line.message === 'change' && line.delivery === delivery);
}

/** Sends a webhook, and waits until there is nothing left to do for it. @returns the last that the log has of it */
export async function settle(at: ForgeWorld, event: string, payload: object, secret = SECRET): Promise<AnyDocument> {
  const from = at.lines.length;
  const { status, document } = await send(at, event, payload, secret);
  expect([status, document.outcome]).toEqual([202, 'accepted']);
  await expect.poll(() => triesOf(at, document.delivery, from).at(-1)?.again_seconds, { timeout: 40_000 }).toBeNull();
  return triesOf(at, document.delivery, from).at(-1);
}
