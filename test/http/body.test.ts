import { describe, expect, test, vi } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { Problem } from '../../src/domain/problem.ts';
import { IncomingBody } from '../../src/http/body.ts';
import { UnprovedBytes } from '../../src/http/unproved.ts';
import { DEPLOYMENTS } from './requests.ts';
import { makeHouse } from './support.ts';

const MIB = 1024 * 1024;

/** A body of so many MiB, which counts what is read of it and notices a cancellation. */
function makeBody(mebibytes: number, o: { failAt?: number } = {}) {
  const seen = { mebibytes: 0, cancelled: false };
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (seen.mebibytes === o.failAt) return controller.error(new Error('Network connection lost.'));
        if (seen.mebibytes === mebibytes) return controller.close();
        seen.mebibytes++;
        controller.enqueue(new Uint8Array(MIB));
      },
      cancel() {
        seen.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { seen, stream };
}

function request(stream: ReadableStream<Uint8Array>, headers: Record<string, string> = {}): Request {
  return new Request('https://weft.test/', { method: 'POST', body: stream, duplex: 'half', headers } as RequestInit);
}

const advice = 'Send less.';

describe('reading all', () => {
  test('gives the bytes as they came', async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    const parts = [bytes.subarray(0, 7), bytes.subarray(7, 7), bytes.subarray(7)];
    const stream = ReadableStream.from(parts) as ReadableStream<Uint8Array>;
    expect(await new IncomingBody(request(stream)).readAll('request_bytes', advice)).toEqual(bytes);
    const whole = new Request('https://weft.test/', { method: 'POST', body: bytes });
    expect(await new IncomingBody(whole).readAll('request_bytes', advice)).toEqual(bytes);
  });

  test('of no body is nothing', async () => {
    const body = new IncomingBody(new Request('https://weft.test/', { method: 'POST' }));
    expect(body.ended).toBe(true);
    expect(await body.readAll('request_bytes', advice)).toHaveLength(0);
  });

  test('refuses by Content-Length before it reads', async () => {
    const { seen, stream } = makeBody(9);
    const body = new IncomingBody(request(stream, { 'content-length': String(9 * MIB) }));
    const problem = await body.readAll('request_bytes', advice).catch((error: unknown) => error);
    expect(problem).toMatchObject({ slug: 'too_large', facts: { limit: 'request_bytes', limit_bytes: LIMITS.request_bytes } });
    expect((problem as Problem).message).toContain(advice);
    expect(seen.mebibytes).toBe(0);
  });

  test('refuses by what arrives, and holds no more than the limit', async () => {
    const { seen, stream } = makeBody(100);
    await expect(new IncomingBody(request(stream)).readAll('request_bytes', advice)).rejects.toMatchObject({ slug: 'too_large' });
    expect(seen).toEqual({ mebibytes: 9, cancelled: false });
  });

  test('says that the sender is gone, and that the same can be sent again', async () => {
    const { stream } = makeBody(9, { failAt: 3 });
    const problem = await new IncomingBody(request(stream)).readAll('inline_document_bytes', advice).catch((error: unknown) => error);
    expect(problem).toBeInstanceOf(Problem);
    expect(problem).toMatchObject({ slug: 'interrupted', message: expect.stringContaining('Send the same request again') });
  });
});

describe('streaming', () => {
  test('reads only what is asked for', async () => {
    const { seen, stream } = makeBody(5);
    const reader = new IncomingBody(request(stream)).stream().getReader();
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen.mebibytes).toBe(0);
    await reader.read();
    expect(seen.mebibytes).toBe(1);
  });

  test('leaves the body alone when the stream is cancelled, so that the rest can be drained', async () => {
    const { seen, stream } = makeBody(5);
    const body = new IncomingBody(request(stream));
    const reader = body.stream().getReader();
    await reader.read();
    await reader.cancel();
    await body.drain(LIMITS.drain_bytes, new AbortController().signal);
    expect(seen).toEqual({ mebibytes: 5, cancelled: false });
    expect(body.ended).toBe(true);
  });
});

describe('of who is not proved yet', () => {
  const share = (unproved: UnprovedBytes, address: string | null = null) => unproved.open(address);
  const held = (body: IncomingBody) => body.readAll('webhook_bytes', advice);

  test('is held up to a limit of all together; whoever comes then is told to come again, and what was refused or proved makes room', async () => {
    const unproved = new UnprovedBytes();
    const two = await Promise.all(
      [1, 2].map(async () => {
        const body = new IncomingBody(request(makeBody(23).stream), share(unproved));
        expect(await held(body)).toHaveLength(23 * MIB);
        return body;
      }),
    );
    const third = new IncomingBody(request(makeBody(3).stream), share(unproved));
    await expect(held(third)).rejects.toMatchObject({ slug: 'busy', status: 503, facts: { limit: 'unproved_bytes_max' } });
    await third.drain(LIMITS.drain_bytes, new AbortController().signal);
    expect(await held(new IncomingBody(request(makeBody(2).stream), share(unproved)))).toHaveLength(2 * MIB);
    two[0]?.admit();
    expect(await held(new IncomingBody(request(makeBody(20).stream), share(unproved)))).toHaveLength(20 * MIB);
    expect(await held(new IncomingBody(request(makeBody(25).stream)))).toHaveLength(25 * MIB);
  });

  test('is held up to a limit of each address, so that one leaves room for others', async () => {
    const unproved = new UnprovedBytes();
    await held(new IncomingBody(request(makeBody(20).stream), share(unproved, '192.0.2.1')));
    const body = new IncomingBody(request(makeBody(7).stream), share(unproved, '192.0.2.1'));
    await expect(held(body)).rejects.toMatchObject({ slug: 'busy', facts: { limit: 'unproved_address_bytes_max' } });
    await body.drain(LIMITS.drain_bytes, new AbortController().signal);
    expect(await held(new IncomingBody(request(makeBody(7).stream), share(unproved, '192.0.2.2')))).toHaveLength(7 * MIB);
  });

  test('takes no more of it when it is streamed than one part, and what is made of it', async () => {
    const unproved = new UnprovedBytes();
    const body = new IncomingBody(request(makeBody(100).stream), share(unproved));
    for await (const _ of body.stream() as unknown as AsyncIterable<Uint8Array>);
    body.hold(40 * MIB);
    expect(() => body.hold(10 * MIB)).toThrow(/unproved_bytes_max/);
  });

  test('has to be there in a minute, and no longer is anything held for who stays silent', async () => {
    vi.useFakeTimers();
    try {
      const unproved = new UnprovedBytes();
      let sent = 0;
      const stream = new ReadableStream<Uint8Array>({
        pull: (controller) => (sent++ < 20 ? controller.enqueue(new Uint8Array(MIB)) : new Promise(() => {})),
      });
      const body = new IncomingBody(request(stream), share(unproved));
      const refused = expect(held(body)).rejects.toMatchObject({ slug: 'too_slow', status: 408, facts: { limit: 'unproved_seconds_max' } });
      await vi.advanceTimersByTimeAsync(LIMITS.unproved_seconds_max * 1000);
      await refused;
      // Its request was ended by the platform, and so nothing was given back.
      const large = () => held(new IncomingBody(request(makeBody(25).stream), share(unproved)));
      await large();
      await expect(large()).rejects.toMatchObject({ slug: 'busy' });
      await vi.advanceTimersByTimeAsync(70_000);
      await large();
    } finally {
      vi.useRealTimers();
    }
  });

  test('is not hurried any more once it is proved', async () => {
    vi.useFakeTimers();
    try {
      const next = Promise.withResolvers<void>();
      const stream = new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            await next.promise;
            controller.enqueue(new Uint8Array(7));
            controller.close();
          },
        },
        { highWaterMark: 0 },
      );
      const body = new IncomingBody(request(stream), share(new UnprovedBytes()));
      body.admit();
      const all = held(body);
      await vi.advanceTimersByTimeAsync(2 * LIMITS.unproved_seconds_max * 1000);
      next.resolve();
      expect(await all).toHaveLength(7);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a refusal', () => {
  test('goes out after the body has been drained', async () => {
    const { seen, stream } = makeBody(5);
    const answer = await makeHouse().app.fetch(request(stream));
    expect(answer.status).toBe(405);
    expect(seen).toEqual({ mebibytes: 5, cancelled: false });
  });

  test(`goes out anyway after ${LIMITS.drain_bytes} bytes, and the body is not cancelled`, async () => {
    const { seen, stream } = makeBody(100);
    const answer = await makeHouse().fetch(DEPLOYMENTS, { method: 'POST', body: stream, duplex: 'half' } as RequestInit);
    expect(answer.status).toBe(401);
    expect(seen).toEqual({ mebibytes: LIMITS.drain_bytes / MIB, cancelled: false });
  });

  test('goes out anyway when the sender falls silent', async () => {
    const stream = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) });
    const answer = await makeHouse().fetch(DEPLOYMENTS, { method: 'POST', body: stream, duplex: 'half' } as RequestInit);
    expect(answer.status).toBe(401);
  });
});
