/**
 * `npm run fuzz -- --seed S --requests N`: requests that nobody should send, to the Worker in workerd. Seed first; a request that was answered wrongly is
 * sent again by its number (`--only`). Exits with 0 only if each was answered with less than 500, nothing was left unhandled, no connection went to
 * a database, and the live memory of the isolate has not grown.
 *
 *   --seed S        (1)
 *   --requests N    (100000)
 *   --only N        just this request
 */

import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { parseArgs } from 'node:util';
import { bytesOf, Isolate } from '../../bench/isolate.ts';
import { startWorker } from '../../src/dev/miniflare.ts';
import { freePort } from '../../src/dev/ports.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { randomOf } from '../chaos/plan.ts';
import { makeRequests } from '../http/requests.ts';
import { startIssuer } from '../support/issuer.ts';
import { generate, REPOS_SECRET } from './generate.ts';
import { startNonsenseForge } from './nonsense_forge.ts';

/** How many are under way at once. */
const lanes = 16;
/** Requests before memory is looked at for the first time: code is compiled, schemas are made. */
const warm_up_requests = 3000;
/** So often after it. */
const look_every_requests = 10_000;
/** By then all code is compiled that a request can come to: until then memory rises, however little each leaves. */
const compiled_requests = 20_000;
/** Of live memory, between the look after those and the last, where as many follow: a thing of 7 bytes that each of 80,000 left would be more. */
const growth_bytes_max = 512 * 1024;
/** The same of fewer requests, since the first look: a few code caches. */
const growth_bytes_max_of_few = 1024 * 1024;

export interface Fuzzed {
  readonly sent: number;
  /** By status. */
  readonly answers: Readonly<Record<string, number>>;
  readonly connections: number;
  /** How many archives the forge was asked for. */
  readonly archives: number;
  /** What the Worker wrote that is no line of its log, or tells of a fault of its own. */
  readonly faults: readonly string[];
  /** Live bytes after the warm-up, and then every so often up to the end; none where there were too few requests. */
  readonly memory: readonly { readonly requests: number; readonly bytes: number }[];
}

/** @param only just this request of the seed */
export async function fuzz(o: {
  readonly seed: number;
  readonly requests: number;
  readonly only?: number;
  readonly say: (line: string) => void;
}): Promise<Fuzzed> {
  const { seed, say } = o;
  let connections = 0;
  const database = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => database.listen(0, '127.0.0.1', resolve));
  const { port } = database.address() as AddressInfo;
  const secrets = { ci: generateSecret(), watcher: generateSecret(), reader: generateSecret(), stranger: generateSecret() };
  const [hub, lab] = ['a-webhook-secret-of-32-characters', generateSecret()];
  const [issuer, forge] = [await startIssuer(), await startNonsenseForge(seed)];
  const faults: string[] = [];
  const inspectorPort = await freePort();
  const target = { transport: 'websocket', proxy: `127.0.0.1:${port}/v1`, insecure: true };
  const worker = await startWorker({
    config: {
      targets: { staging: { database: 'STAGING_URL', ...target }, production: { database: 'PRODUCTION_URL', ...target } },
      callers: {
        ci: { secrets: ['CI_SECRET'] },
        watcher: { secrets: ['WATCHER_SECRET'] },
        reader: { secrets: ['READER_SECRET'] },
        hub: { forge: { kind: 'github', webhook_secrets: ['HUB_SECRET'], token: 'HUB_TOKEN', api: forge.origin, archives: forge.origin } },
        lab: { forge: { kind: 'gitlab', webhook_secrets: ['LAB_SECRET'], token: 'LAB_TOKEN', api: forge.origin } },
        actions: { identity: { kind: 'github', issuer: `${issuer.origin}/github`, repository_id: '123456789', repository_owner_id: '9919' } },
        pipelines: { identity: { kind: 'gitlab', issuer: issuer.origin, project_id: '4711', namespace_id: '77' } },
        repos: { forge: { kind: 'azure', webhook_secrets: ['REPOS_SECRET'], token: 'REPOS_TOKEN', api: `http://127.0.0.1:${port}` } },
      },
      grants: [
        { caller: 'ci', targets: ['staging'], actions: ['deploy', 'resume', 'cancel', 'undo', 'accept_drift', 'forget', 'read'] },
        ...['hub', 'lab', 'actions', 'pipelines'].map((caller) => ({ caller, targets: ['staging'], actions: ['deploy'] })),
      ],
      sources: [
        ...['push', 'pull_request'].map((event) => ({ forge: 'hub', repository_id: '1', event, branch: 'main', target: 'staging' })),
        ...['push', 'merge_request'].map((event) => ({ forge: 'lab', repository_id: '1', event, branch: 'main', target: 'staging' })),
      ],
    },
    secrets: {
      STAGING_URL: `postgres://a:b@127.0.0.1:${port}/staging`,
      PRODUCTION_URL: `postgres://a:b@127.0.0.1:${port}/production`,
      CI_SECRET: secrets.ci,
      WATCHER_SECRET: secrets.watcher,
      READER_SECRET: secrets.reader,
      HUB_SECRET: hub,
      LAB_SECRET: lab,
      REPOS_SECRET,
      REPOS_TOKEN: 'another-token',
      HUB_TOKEN: 'a-token-of-the-hub',
      LAB_TOKEN: 'a-token-of-the-lab',
    },
    inspectorPort,
    onLog: (line) => {
      if (!isQuiet(line)) faults.push(line.slice(0, 500));
    },
  });
  const answers: Record<string, number> = {};
  const memory: { requests: number; bytes: number }[] = [];
  let sent = 0;
  try {
    const requests = makeRequests({ origin: worker.origin, secrets, now: () => Date.now(), makeId: () => crypto.randomUUID() });
    const proofs = { requests, origin: worker.origin, issuer, hub, lab };
    const send = async (number: number): Promise<void> => {
      const { kind, path, init } = await generate(randomOf(seed * 1_000_003 + number), proofs);
      sent += 1;
      const status = await worker.fetch(path, { ...init, redirect: 'manual', signal: AbortSignal.timeout(30_000) }).then(
        async (answer) => {
          await answer.arrayBuffer();
          return String(answer.status);
        },
        (error: unknown) =>
          `no answer: ${error instanceof Error ? `${error.message}${error.cause instanceof Error ? `, ${error.cause.message}` : ''}` : error}`,
      );
      answers[status] = (answers[status] ?? 0) + 1;
      if (!/^[234]\d\d$/.test(status)) say(`✗ request ${number}, ${kind}, ${init.method} ${path.slice(0, 200)}: ${status}`);
    };
    const sendAll = async (from: number, to: number): Promise<void> => {
      let next = from;
      await Promise.all(
        Array.from({ length: lanes }, async () => {
          for (let number = next++; number <= to; number = next++) await send(number);
        }),
      );
    };
    if (o.only !== undefined) await send(o.only);
    else {
      await sendAll(1, Math.min(warm_up_requests, o.requests));
      if (o.requests > warm_up_requests) {
        const isolate = await Isolate.find(inspectorPort, async () => (await worker.fetch('/healthz')).arrayBuffer());
        memory.push({ requests: warm_up_requests, bytes: bytesOf(await isolate.measure()) });
        for (let at = warm_up_requests; at < o.requests; ) {
          const to = Math.min(o.requests, (Math.floor(at / look_every_requests) + 1) * look_every_requests);
          await sendAll(at + 1, to);
          memory.push({ requests: to, bytes: bytesOf(await isolate.measure()) });
          at = to;
        }
        isolate.close();
      }
    }
  } finally {
    await worker.stop();
    database.close();
    await issuer.stop();
    await forge.stop();
  }
  return { sent, answers, connections, faults, memory, archives: forge.asked.archives };
}

/** A line of the Worker's own log that tells of nothing wrong with the Worker. */
function isQuiet(line: string): boolean {
  try {
    const { level, message, errors } = JSON.parse(line) as { level?: string; message?: string; errors?: readonly { readonly name?: string }[] };
    if (level === 'info' || level === 'warn') return true;
    // What a caller has sent, or a forge has said or not, has a name. What has none is a fault.
    return (message === 'drive' || message === 'change') && errors?.[0]?.name === 'Problem';
  } catch {
    return false;
  }
}

/** What is not as it must be, in words. */
export function judge({ answers, connections, faults, memory }: Fuzzed): string[] {
  const wrong = Object.entries(answers).filter(([status]) => !/^[234]\d\d$/.test(status));
  const last = memory.at(-1);
  const areMany = (last?.requests ?? 0) >= 2 * compiled_requests;
  const first = areMany ? memory.find(({ requests }) => requests >= compiled_requests) : memory[0];
  const growth = (last?.bytes ?? 0) - (first?.bytes ?? 0);
  return [
    ...wrong.map(([status, count]) => `${count} answered with ${status}`),
    ...(connections > 0 ? [`${connections} connections to a database`] : []),
    ...[...new Set(faults)].slice(0, 5).map((line) => `the Worker wrote: ${line}`),
    ...(growth > (areMany ? growth_bytes_max : growth_bytes_max_of_few) ? [`live memory has grown by ${growth} bytes`] : []),
  ];
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { seed: { type: 'string', default: '1' }, requests: { type: 'string', default: '100000' }, only: { type: 'string' } },
  });
  const [seed, requests] = [Number(values.seed), Number(values.requests)];
  console.log(`seed ${seed}, ${requests} requests`);
  const beganAt = performance.now();
  const fuzzed = await fuzz({ seed, requests, ...(values.only !== undefined && { only: Number(values.only) }), say: (line) => console.log(line) });
  const wrong = judge(fuzzed);
  const { sent, answers, memory } = fuzzed;
  const statuses = Object.entries(answers)
    .sort()
    .map(([status, count]) => `${count} × ${status}`);
  console.log(`${sent} requests in ${Math.round((performance.now() - beganAt) / 1000)} s: ${statuses.join(', ')}`);
  for (const { requests, bytes } of memory) console.log(`live memory after ${requests} requests: ${(bytes / 2 ** 20).toFixed(2)} MiB`);
  console.log(wrong.length === 0 ? 'no 5xx, nothing unhandled, no connection to a database, no growth' : `WRONG: ${wrong.join('; ')}`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
