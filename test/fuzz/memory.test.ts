/** What strangers leave in the memory of an isolate: nothing, and while they are there, little. Live memory, as workerd's own inspector tells it. */
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bytesOf, Isolate } from '../../bench/isolate.ts';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { freePort } from '../../src/dev/ports.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { entry } from '../bundle/tars.ts';
import { DEPLOYMENTS } from '../http/requests.ts';

const warm_up_requests = 200;
const requests = 1000;
const lanes = 20;
/** A stranger's malformed gzip that was kept took 380 bytes, one whose body broke off a kilobyte: the thousand of them 400 KB. */
const growth_bytes_max = 100_000;
const senders = 60;
const bytes_per_sender_max = 128 * 1024;
const sent_on_the_way_bytes = 16 * 1024 * 1024;

let worker: LocalWorker;
let isolate: Isolate;

beforeAll(async () => {
  const inspectorPort = await freePort();
  worker = await startWorker({
    config: {
      targets: { staging: { database: 'STAGING_URL', transport: 'tcp' } },
      callers: {
        ci: { secrets: ['CI_SECRET'] },
        hub: { forge: { kind: 'github', webhook_secrets: ['HUB_SECRET'], token: 'HUB_TOKEN' } },
        lab: { forge: { kind: 'gitlab', webhook_secrets: ['LAB_SECRET'], token: 'LAB_TOKEN' } },
      },
      grants: [{ caller: 'ci', targets: ['staging'], actions: ['deploy'] }],
    },
    secrets: {
      STAGING_URL: 'postgres://a:b@127.0.0.1:1/staging',
      CI_SECRET: generateSecret(),
      HUB_SECRET: 'the-secret-of-these-webhooks',
      HUB_TOKEN: 'a-token-of-this-forge',
      LAB_SECRET: 'the-secret-of-those-webhooks',
      LAB_TOKEN: 'a-token-of-that-forge',
    },
    inspectorPort,
  });
  expect((await worker.fetch('/healthz')).status).toBe(200);
  isolate = await Isolate.find(inspectorPort, async () => (await worker.fetch('/healthz')).arrayBuffer());
});

afterAll(async () => {
  isolate?.close();
  await worker?.stop();
});

const live = async () => bytesOf(await isolate.measure());
/** Of nobody's: but until the body is read, nobody knows. */
const headers = {
  'content-type': 'application/x-tar',
  'webhook-id': 'run-1',
  'webhook-timestamp': String(Math.floor(Date.now() / 1000)),
  'webhook-signature': `v1,${Buffer.alloc(32).toString('base64')}`,
};
const zipped = gzipSync(Buffer.alloc(3000, 'abcdefgh1234'));

async function sendGzip(body: Uint8Array<ArrayBuffer>): Promise<void> {
  const answer = await worker.fetch(DEPLOYMENTS, { method: 'POST', body, headers: { ...headers, 'content-encoding': 'gzip' } });
  expect([400, 401]).toContain(answer.status);
  await answer.arrayBuffer();
}

/** The head of a request that announces more, and its first bytes. */
async function beginToSend(bytes: string | Uint8Array, path = DEPLOYMENTS, more: Record<string, string> = headers, length = 1_000_000): Promise<Socket> {
  const { hostname, port } = new URL(worker.origin);
  const socket = connect(Number(port), hostname);
  const fields = Object.entries({ host: 'weft', 'content-length': String(length), ...more }).map(([name, value]) => `${name}: ${value}\r\n`);
  await new Promise((resolve, reject) => socket.once('error', reject).once('connect', resolve));
  socket.on('error', () => undefined);
  socket.write(`POST ${path} HTTP/1.1\r\n${fields.join('')}\r\n`);
  // Not awaited: who is not read any more does not get rid of it.
  socket.write(bytes);
  return socket;
}

test('who announces much, sends little, and stays takes no more memory than little', async () => {
  const before = await live();
  const sockets = await Promise.all(Array.from({ length: senders }, () => beginToSend('x'.repeat(700))));
  try {
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await live()) - before).toBeLessThan(senders * bytes_per_sender_max);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

/** A body of so many bytes, all but the last of it sent, without a proof. */
const WEBHOOK = Buffer.alloc(LIMITS.webhook_bytes - 1, ' ');
const hub = { 'content-type': 'application/json', 'x-github-event': 'push', 'x-hub-signature-256': `sha256=${'a'.repeat(64)}` };
/** A tar whose request is announced with the most that is allowed, and of which little has come. */
const claiming = entry({ name: 'request.json', body: Buffer.alloc(LIMITS.request_bytes) }).subarray(0, 20 * 1024);

test.each<[string, number, number, () => Promise<Socket>]>([
  ['webhooks', 12, LIMITS.unproved_bytes_max, () => beginToSend(WEBHOOK, '/webhooks/github', hub, LIMITS.webhook_bytes)],
  [
    'requests',
    24,
    LIMITS.unproved_bytes_max,
    () =>
      beginToSend(
        WEBHOOK.subarray(0, LIMITS.inline_document_bytes - 1),
        DEPLOYMENTS,
        { ...headers, 'content-type': 'application/json' },
        LIMITS.inline_document_bytes,
      ),
  ],
  ['tars that only announce much', 24, 24 * bytes_per_sender_max, () => beginToSend(claiming, DEPLOYMENTS, headers, LIMITS.request_bytes)],
  [
    'webhooks with a token that is none, of which no body is needed',
    12,
    12 * bytes_per_sender_max,
    () => beginToSend(WEBHOOK, '/webhooks/gitlab', { 'content-type': 'application/json', 'x-gitlab-token': 'not-the-secret-of-these' }, LIMITS.webhook_bytes),
  ],
])('who sends much of %s, and stays, takes no more memory than all who are not proved may', async (_, count, most, begin) => {
  const before = await live();
  const sockets = await Promise.all(Array.from({ length: count }, begin));
  try {
    for (let look = 0; look < 6; look++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect((await live()) - before).toBeLessThan(most + sent_on_the_way_bytes);
    }
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

test.each<[string, () => Promise<void>]>([
  ['a gzip that is damaged', () => sendGzip(Uint8Array.from(zipped, (byte, at) => (at === 1 ? byte ^ 255 : byte)))],
  ['a gzip that ends too early', () => sendGzip(Uint8Array.from(zipped.subarray(0, 20)))],
  ['a gzip with something behind it', () => sendGzip(Uint8Array.from(Buffer.concat([zipped, zipped])))],
  [
    'a body that breaks off',
    async () => {
      const socket = await beginToSend('x'.repeat(700));
      await new Promise((resolve) => setTimeout(resolve, 10));
      socket.destroy();
    },
  ],
])(
  '%s, a thousand times, leaves nothing in memory',
  async (_, send) => {
    const sendMany = async (count: number) => {
      let left = count;
      await Promise.all(
        Array.from({ length: lanes }, async () => {
          while (left-- > 0) await send();
        }),
      );
    };
    /** workerd notices a while later that a sender has gone. */
    const settled = async (isEnough: (bytes: number, before: number) => boolean) => {
      let bytes = await live();
      for (let looks = 0, before = Number.POSITIVE_INFINITY; looks < 30 && !isEnough(bytes, before); looks++) {
        await new Promise((resolve) => setTimeout(resolve, 500));
        [before, bytes] = [bytes, await live()];
      }
      return bytes;
    };
    await sendMany(warm_up_requests);
    const before = await settled((bytes, one) => Math.abs(one - bytes) < growth_bytes_max / 5);
    await sendMany(requests);
    expect(await settled((bytes) => bytes - before < growth_bytes_max)).toBeLessThan(before + growth_bytes_max);
  },
  120_000,
);
