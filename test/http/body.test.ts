import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { Problem } from '../../src/domain/problem.ts';
import { IncomingBody } from '../../src/http/body.ts';
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
