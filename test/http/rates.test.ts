/** How often somebody may ask: who is counted as one, and what is not looked at any more. */
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import type { LogEntry } from '../../src/http/log.ts';
import { addressOf } from '../../src/http/rates.ts';
import { createRates, type RateLimit } from '../../src/worker/rates.ts';
import { DEPLOYMENTS } from './requests.ts';
import { makeHouse, requests } from './support.ts';

describe('address_of', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::1', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:7::', '2001:db8:0:7::/64'],
    ['::ffff:1', '0:0:0:0::/64'],
    ['127.0.0.1', null],
    ['::1', null],
    [undefined, null],
    ['', null],
    ['192.0.2.7, 192.0.2.8', null],
    ["'; drop", null],
  ])('%s is %s', (text, address) => {
    expect(addressOf(text)).toBe(address);
  });
});

describe('what comes from an address', () => {
  it('is refused before anything is computed when it has come too often', async () => {
    let looked = 0;
    const house = makeHouse({
      rates: { admitAddress: async (address) => address !== '192.0.2.7', noteRefusal: () => undefined, admitCaller: async () => true },
      get callers() {
        looked += 1;
        return [];
      },
    });
    looked = 0;
    const init = await requests.post(requests.makeRequest());
    const refused = await house.fetch(DEPLOYMENTS, { ...init, headers: { ...(init.headers as object), 'cf-connecting-ip': '192.0.2.7' } });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60']);
    expect((await house.fetch('/webhooks/github', { method: 'POST', headers: { 'cf-connecting-ip': '192.0.2.7' } })).status).toBe(429);
    expect(looked).toBe(0);
    expect((await house.fetch('/healthz', { headers: { 'cf-connecting-ip': '192.0.2.7' } })).status).toBe(200);
  });

  it('is noted when it could not be proved, and only then', async () => {
    const noted: string[] = [];
    const house = makeHouse({ rates: { admitAddress: async () => true, noteRefusal: (address) => void noted.push(address), admitCaller: async () => true } });
    const ask = async (path: string, init: RequestInit = {}) =>
      house.fetch(path, { ...init, headers: { ...(init.headers as object), 'cf-connecting-ip': '192.0.2.7' } });
    await ask(DEPLOYMENTS);
    await ask(DEPLOYMENTS, await requests.post(requests.makeRequest(), { secret: requests.secrets.stranger }));
    expect(noted).toEqual(['192.0.2.7', '192.0.2.7']);
    await ask(DEPLOYMENTS, await requests.post({ ...requests.makeRequest(), target: 'production' }));
    await ask('/v1/nowhere');
    await ask(DEPLOYMENTS, { headers: await requests.bearer() });
    expect(noted).toHaveLength(2);
  });

  it('is noted when it could not even be read, and not what a caller who is proved does wrong', async () => {
    const noted: string[] = [];
    const house = makeHouse({ rates: { admitAddress: async () => true, noteRefusal: (address) => void noted.push(address), admitCaller: async () => true } });
    const ask = async (init: RequestInit, path = DEPLOYMENTS) => {
      const before = noted.length;
      const { status } = await house.fetch(path, { ...init, headers: { ...(init.headers as object), 'cf-connecting-ip': '192.0.2.7' } });
      return [status, noted.length - before];
    };
    const init = await requests.post(requests.makeRequest());
    const headers = init.headers as Record<string, string>;
    expect(await ask({ ...init, body: 'x'.repeat(2000), headers: { ...headers, 'content-type': 'application/gzip' } })).toEqual([400, 1]);
    expect(await ask({ ...init, body: 'x'.repeat(2000), headers: { ...headers, 'content-type': 'application/x-tar' } })).toEqual([400, 1]);
    expect(await ask({ ...init, body: new Uint8Array(LIMITS.inline_document_bytes + 1) })).toEqual([413, 1]);
    expect(await ask({ ...init, headers: { ...headers, 'content-type': 'text/plain' } })).toEqual([415, 1]);
    const broken = new ReadableStream({ pull: (controller) => controller.error(new Error('gone')) });
    expect(await ask({ ...init, body: broken, duplex: 'half' } as RequestInit)).toEqual([503, 1]);
    expect(await ask(await requests.post('{"no": "request"}'))).toEqual([422, 0]);
    expect(await ask(await requests.post('no JSON'))).toEqual([400, 0]);
    expect(
      await ask(await requests.post(requests.makeRequest({ files: [{ path: '1.sql', content: 'select 1;' }], audience: 'https://elsewhere.test' }))),
    ).toEqual([403, 0]);
    expect(await ask({ headers: await requests.bearer() }, `${DEPLOYMENTS}?limit=none`)).toEqual([422, 0]);
  });

  it('of a caller is refused before a session opens', async () => {
    const house = makeHouse({ rates: { admitAddress: async () => true, noteRefusal: () => undefined, admitCaller: async (caller) => caller !== 'ci' } });
    expect((await house.fetch(DEPLOYMENTS, { headers: await requests.bearer() })).status).toBe(429);
    expect((await house.fetch(DEPLOYMENTS, await requests.post(requests.makeRequest({ files: [{ path: '1.sql', content: 'select 1;' }] })))).status).toBe(429);
    expect(house.sessions.opened).toBe(0);
  });
});

describe('create_rates', () => {
  function ratesOf(strangers: RateLimit | null, callers: RateLimit | null = null) {
    const clock = { now: 1_795_000_000_000 };
    const lines: LogEntry[] = [];
    return { clock, lines, rates: createRates({ strangers, callers, log: (entry) => void lines.push(entry), now: () => clock.now }) };
  }

  it('counts refusals in a minute, and forgets them behind it', async () => {
    const { rates, clock } = ratesOf(null);
    for (let time = 0; time < LIMITS.address_refusals_count_max; time++) {
      expect(await rates.admitAddress('a')).toBe(true);
      rates.noteRefusal('a');
    }
    expect([await rates.admitAddress('a'), await rates.admitAddress('b')]).toEqual([false, true]);
    clock.now += LIMITS.rate_seconds * 1000;
    expect(await rates.admitAddress('a')).toBe(true);
  });

  it('counts the requests of a caller', async () => {
    const { rates } = ratesOf(null);
    for (let time = 0; time < LIMITS.caller_requests_count_max; time++) expect(await rates.admitCaller('ci')).toBe(true);
    expect([await rates.admitCaller('ci'), await rates.admitCaller('other')]).toEqual([false, true]);
  });

  it('asks Cloudflare where it can, by address and by caller', async () => {
    const asked: string[] = [];
    const limit = (name: string, success: boolean): RateLimit => ({ limit: async ({ key }) => ({ success: asked.push(`${name} ${key}`) > 0 && success }) });
    const { rates } = ratesOf(limit('strangers', false), limit('callers', false));
    expect([await rates.admitAddress('192.0.2.7'), await rates.admitCaller('ci')]).toEqual([false, false]);
    expect(asked).toEqual(['strangers 192.0.2.7', 'callers ci']);
  });

  it('lets people in when Cloudflare does not answer, and says so in the log', async () => {
    const { rates, lines } = ratesOf({ limit: () => Promise.reject(new Error('gone')) });
    expect(await rates.admitAddress('192.0.2.7')).toBe(true);
    expect(lines).toMatchObject([{ level: 'error', message: 'rates' }]);
  });

  it('does not grow without end', async () => {
    const { rates } = ratesOf(null);
    for (let time = 0; time < LIMITS.address_refusals_count_max; time++) rates.noteRefusal('first');
    for (let number = 0; number < LIMITS.rate_keys_count_max; number++) rates.noteRefusal(`a${number}`);
    expect(await rates.admitAddress('first')).toBe(true);
  });
});
