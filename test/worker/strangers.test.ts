/** Against strangers, the whole way: in workerd, with Cloudflare's rate limiting as it is simulated there, and a relay that counts who reaches the database. */
import { createHmac } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { END, entry, paxRecord } from '../bundle/tars.ts';
import { DEPLOYMENTS, type Document, inlineFiles, manifestOf } from '../http/requests.ts';
import { openWorld, type World } from './support.ts';

const HOOK_SECRET = 'of-the-tests-and-of-nobody-else';

let world: World;
beforeAll(async () => {
  world = await openWorld({
    rates: { strangers: 100, callers: 40 },
    variables: { HOOK_SECRET, HOOK_TOKEN: 'of-the-tests-only' },
    more: { callers: { hub: { forge: { kind: 'github', webhook_secrets: ['HOOK_SECRET'], token: 'HOOK_TOKEN' } } } },
  });
});
afterAll(() => world?.stop());

const from = (address: string) => ({ 'cf-connecting-ip': address });
const read = async (address: string, seconds = 60) => {
  const { answer, document } = await world.send(DEPLOYMENTS, { headers: { ...from(address), ...(await world.requests.bearer({ seconds })) } });
  return { answer, document, type: document.type?.replace('urn:weft:problem:', '') ?? answer.status };
};

describe('who comes too often', () => {
  test('with what cannot be proved is not looked at any more, for the rest of the minute, and nobody else suffers', async () => {
    const types: string[] = [];
    for (let time = 0; time < LIMITS.address_refusals_count_max + 5; time++) types.push((await read('192.0.2.1', -1)).type);
    expect(types.slice(0, LIMITS.address_refusals_count_max)).toEqual(Array(LIMITS.address_refusals_count_max).fill('read_token_invalid'));
    expect(new Set(types.slice(LIMITS.address_refusals_count_max))).toEqual(new Set(['too_many_requests']));
    const { answer, document } = await read('192.0.2.1'); // even what is right
    expect([answer.status, answer.headers.get('retry-after'), document.retry_after_seconds]).toEqual([429, '60', 60]);
    expect(world.relay.connections).toEqual([]);
    expect((await read('192.0.2.2', -1)).type).toBe('read_token_invalid');
  });

  test.each<[string, string, number, () => RequestInit]>([
    ['what is no gzip', '192.0.2.11', 400, () => ({ body: Buffer.alloc(600, 7), headers: { 'content-type': 'application/gzip' } })],
    ['bodies that are too large', '192.0.2.12', 413, () => ({ body: Buffer.alloc(LIMITS.inline_document_bytes + 1) })],
    ['other types of content', '192.0.2.13', 415, () => ({ body: 'x', headers: { 'content-type': 'text/plain' } })],
  ])('with %s, without a proof, is not looked at any more either', async (_, address, status, make) => {
    const proof = { 'webhook-id': 'run-1', 'webhook-timestamp': String(Math.floor(Date.now() / 1000)), 'webhook-signature': 'v1,AAAA' };
    const statuses: number[] = [];
    while (statuses.at(-1) !== 429 && statuses.length < LIMITS.address_refusals_count_max + 5) {
      const { headers, ...init } = make();
      const { answer } = await world.send(DEPLOYMENTS, {
        method: 'POST',
        ...init,
        headers: { 'content-type': 'application/json', ...proof, ...(headers as object), ...from(address) },
      });
      statuses.push(answer.status);
    }
    expect(statuses).toEqual([...Array(LIMITS.address_refusals_count_max).fill(status), 429]);
    expect(world.relay.connections).toEqual([]);
  });

  test('from the address of a forge, which all of its users share, does not have its webhooks refused', async () => {
    const at = from('192.0.2.5');
    const tell = async (secret: string) => {
      const body = JSON.stringify({ zen: 'Keep it logically awesome.', hook_id: 7 });
      const signature = `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
      const headers = { ...at, 'content-type': 'application/json', 'x-github-event': 'ping', 'x-hub-signature-256': signature };
      return (await world.worker.fetch('/webhooks/github', { method: 'POST', body, headers })).status;
    };
    for (let time = 0; time < LIMITS.address_refusals_count_max; time++) await read('192.0.2.5', -1);
    const statuses = new Set<number>();
    for (let time = 0; time < LIMITS.address_refusals_count_max + 5; time++) statuses.add(await tell('of-some-other-repository'));
    expect([...statuses]).toEqual([401]);
    expect(await tell(HOOK_SECRET)).toBe(200);
    expect((await read('192.0.2.5')).type).toBe('too_many_requests');
  });

  test('from one network of IPv6 is one', async () => {
    for (let time = 0; time < LIMITS.address_refusals_count_max; time++) await read(`2001:db8:0:7:${time.toString(16)}::1`, -1);
    expect((await read('2001:0db8::7:ffff:0:0:2', -1)).type).toBe('too_many_requests');
    expect((await read('2001:db8:0:8::1', -1)).type).toBe('read_token_invalid');
  });

  test('at all is stopped by Cloudflare’s own counting', async () => {
    // Its minutes are those of the clock, and one may begin on the way.
    const statuses: number[] = [];
    while (statuses.at(-1) !== 429 && statuses.length < 250) statuses.push((await world.send('/v1/nowhere', { headers: from('192.0.2.3') })).answer.status);
    expect(statuses.length).toBeGreaterThan(100);
    expect(new Set(statuses.slice(0, -1))).toEqual(new Set([404]));
    expect(statuses.at(-1)).toBe(429);
    expect(world.relay.connections).toEqual([]);
  });

  test('though it is proved is stopped before a session opens', async () => {
    const types: string[] = [];
    while (types.at(-1) !== 'urn:weft:problem:too_many_requests' && types.length < 150) {
      const headers = await world.requests.bearer({ caller: 'reader', target: 'production' });
      types.push((await world.send('/v1/targets/production/deployments?limit=0', { headers })).document.type);
    }
    expect(types.length).toBeGreaterThan(40);
    expect(new Set(types.slice(0, -1))).toEqual(new Set(['urn:weft:problem:invalid_request']));
    expect(types.at(-1)).toBe('urn:weft:problem:too_many_requests');
    expect(world.relay.connections).toEqual([]);
  });
});

describe('what is too much is refused at the limit that says so, and reaches no database', () => {
  const limitOf = async (init: RequestInit) => {
    const { document } = await world.send(DEPLOYMENTS, init);
    expect(world.relay.connections).toEqual([]);
    return document.limit ?? document.detail;
  };
  const signed = async (document: Document | string) => world.requests.post(document);

  test('a gigabyte of zeros, in a megabyte of gzip: as a request, and as what stands before it', async () => {
    // Deflate repeats: 1 MiB of it says a gigabyte.
    const zeros = gzipSync(Buffer.alloc(1 << 30), { level: 9 });
    const init = { method: 'POST', body: zeros, headers: { 'content-type': 'application/gzip', ...(await world.requests.sign(zeros, 'run-1')) } };
    expect(await limitOf(init)).toBe('tar_padding_bytes');
    const head = entry({ name: 'request.json', body: Buffer.alloc(0) }).subarray(0, 512);
    const large = Buffer.from(entry({ name: 'request.json', body: Buffer.alloc(LIMITS.request_bytes + 1) }));
    expect(head).toHaveLength(512);
    expect(await limitOf({ ...init, body: gzipSync(Buffer.concat([large, END])) })).toBe('request_bytes');
  }, 60_000);

  test('a quarter of a gigabyte of attributes, in some hundred kilobytes of gzip, before any request', async () => {
    const record = paxRecord('a', 'b');
    const header = entry({ type: 'x', body: record.repeat(Math.floor(32_768 / record.length)) });
    const endless = gzipSync(Buffer.concat([Buffer.alloc((1 << 28) - ((1 << 28) % header.length), header), END]), { level: 9 });
    const init = { method: 'POST', body: endless, headers: { 'content-type': 'application/gzip', ...(await world.requests.sign(endless, 'run-1')) } };
    expect(await limitOf(init)).toBe('tar_pax_bytes');
  }, 60_000);

  test('a gigabyte behind a request that is proved and did not announce it', async () => {
    const files = { '1.sql': 'select 1;' };
    const document = world.requests.makeRequest({ manifest: manifestOf(files) });
    const init = await world.requests.postTar(document, {});
    const [artifact] = manifestOf(files).artifacts;
    const head = entry({ name: 'request.json', body: JSON.stringify(document) });
    const huge = Buffer.concat([head, entry({ name: artifact?.digest ?? '', body: Buffer.alloc(64 << 20) }), END]);
    const { document: answer } = await world.send(DEPLOYMENTS, {
      ...init,
      body: gzipSync(huge),
      headers: { ...init.headers, 'content-type': 'application/gzip' },
    });
    expect(answer.type).toBe('urn:weft:problem:digest_mismatch');
    expect(world.relay.connections).toEqual([]);
  }, 60_000);

  test('a manifest with a million steps, or with as many artifacts, phases, files or values', async () => {
    const { phases, artifacts, ...manifest } = manifestOf({ '1.sql': 'select 1;' });
    const many = (count: number, item: unknown) => Array.from({ length: count }, () => item);
    const phase = { ...phases[0], steps: many(LIMITS.steps_count + 1, {}) };
    expect(await limitOf(await signed(world.requests.makeRequest({ manifest: { ...manifest, artifacts, phases: [phase] } })))).toBe('steps_count');
    expect(
      await limitOf(await signed(world.requests.makeRequest({ manifest: { ...manifest, artifacts: many(LIMITS.artifacts_count + 1, {}), phases } }))),
    ).toBe('artifacts_count');
    expect(await limitOf(await signed(world.requests.makeRequest({ manifest: { ...manifest, artifacts, phases: many(LIMITS.phases_count + 1, {}) } })))).toBe(
      'phases_count',
    );
    const unwatched = many(LIMITS.ignored_count + 1, {});
    expect(await limitOf(await signed(world.requests.makeRequest({ manifest: { ...manifest, artifacts, phases, unwatched } })))).toBe('ignored_count');
    expect(await limitOf(await signed(world.requests.makeRequest({ files: many(LIMITS.artifacts_count + 1, {}) })))).toBe('artifacts_count');
    const text = JSON.stringify(world.requests.makeRequest({ id: 'run-1', manifest: { phases: [{ steps: many(1_000_000, 0) }] } }));
    expect(await limitOf(await signed(text))).toContain('json_values_count');
  }, 60_000);

  test('headers that are too long', async () => {
    const document = world.requests.makeRequest({ files: inlineFiles({ '1.sql': 'select 1;' }) });
    const { document: answer } = await world.send(
      DEPLOYMENTS,
      await world.requests.post(document, { headers: { authorization: `Bearer eyJ${'a'.repeat(LIMITS.identity_token_characters)}` } }),
    );
    expect(answer.type).toBe('urn:weft:problem:identity_refused');
    const signatures = Array.from({ length: LIMITS.signatures_count + 1 }, () => `v1,${'A'.repeat(43)}=`).join(' ');
    expect((await world.send(DEPLOYMENTS, await world.requests.post(document, { headers: { 'webhook-signature': signatures } }))).document.type).toBe(
      'urn:weft:problem:unsigned',
    );
    expect(world.relay.connections).toEqual([]);
  });

  test('an old capture, played again', async () => {
    const document = world.requests.makeRequest({ files: inlineFiles({ '1.sql': 'select 1;' }) });
    const capture = await world.requests.post(document, { at: Date.now() - (LIMITS.signature_tolerance_seconds + 1) * 1000 });
    for (let time = 0; time < 3; time++) expect((await world.send(DEPLOYMENTS, capture)).document.type).toBe('urn:weft:problem:stale');
    expect(world.relay.connections).toEqual([]);
  });
});
