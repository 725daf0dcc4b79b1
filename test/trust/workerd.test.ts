/** The rooms config/ and trust/ inside workerd, without nodejs_compat: what Node signs passes there, and the reverse. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acceptReadToken, makeReadToken } from '../../src/trust/read_token.ts';
import { makeSignedRequest, signedHeadersOf } from '../../src/trust/sign.ts';
import { readSignedHeaders, signRequest, verifySignature } from '../../src/trust/signature.ts';
import { binding, CI_LAST, CI_NEXT, callers, config, deployRequest, NOW, PEOPLE, STRANGER } from './fixtures.ts';

const WORKER = `
  import { parseConfig } from '../../src/config/config.ts';
  import { readSecrets } from '../../src/config/secrets.ts';
  import { Problem } from '../../src/domain/problem.ts';
  import { makeReadToken } from '../../src/trust/read_token.ts';
  import { acceptRequest } from '../../src/trust/request.ts';
  import { makeSignedRequest } from '../../src/trust/sign.ts';
  import { readSignedHeaders } from '../../src/trust/signature.ts';

  export default {
    async fetch(request, env) {
      try {
        const config = parseConfig(env.WEFT);
        const { callers } = readSecrets(config, env);
        const nowSeconds = env.NOW;
        const body = new Uint8Array(await request.arrayBuffer());
        const signed = readSignedHeaders(request.headers);
        const accepted = await acceptRequest({ body, signed, callers, config, type: 'deploy', target: 'shop', nowSeconds });
        const secret = callers[0].secrets[0];
        const { headers } = await makeSignedRequest(accepted.request, secret, nowSeconds);
        const token = await makeReadToken({ caller: accepted.caller, target: 'shop', expires: nowSeconds + 60 }, secret);
        return Response.json({ accepted, headers, token });
      } catch (error) {
        if (error instanceof Problem) return Response.json(error, { status: error.status });
        return new Response(String(error.stack), { status: 500 });
      }
    },
  };
`;

let worker: Miniflare;

beforeAll(async () => {
  const built = await build({
    stdin: { contents: WORKER, resolveDir: fileURLToPath(new URL('.', import.meta.url)), loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
  });
  const contents = built.outputFiles[0]?.text ?? '';
  worker = new Miniflare({
    workers: [
      {
        config: {
          name: 'trust',
          compatibilityDate: '2026-08-01',
          manifest: { mainModule: 'worker.mjs', modulesRoot: '/', modules: { 'worker.mjs': { type: 'esm', contents } } },
          env: {
            NOW: { type: 'json', value: NOW },
            WEFT: { type: 'json', value: binding },
            SHOP_URL: { type: 'text', value: 'postgres://u:p@shop.example.com/shop' },
            PREVIEW_URL: { type: 'text', value: 'postgres://u:p@preview.example.com/shop' },
            CI_NEXT: { type: 'text', value: CI_NEXT },
            CI_LAST: { type: 'text', value: CI_LAST },
            PEOPLE: { type: 'text', value: PEOPLE },
          },
        },
      },
    ],
  });
  await worker.ready;
});

afterAll(() => worker?.dispose());

const send = (signed: { body: Uint8Array<ArrayBuffer>; headers: Record<string, string> }) =>
  worker.dispatchFetch('http://localhost/', { method: 'POST', body: signed.body, headers: signed.headers });

describe('in workerd', () => {
  it('accepts what Node signed, and signs what Node accepts', async () => {
    const made = await makeSignedRequest(deployRequest(), CI_NEXT, NOW);
    const response = await send(made);
    const answer = (await response.json()) as { accepted: unknown; headers: Record<string, string>; token: string };
    expect(answer.accepted).toEqual({ caller: 'ci', request: deployRequest() });
    expect(answer.headers).toEqual(made.headers);
    expect(await verifySignature(made.body, readSignedHeaders(new Headers(answer.headers)), callers, NOW)).toEqual({ caller: 'ci' });
    expect(answer.token).toBe(await makeReadToken({ caller: 'ci', target: 'shop', expires: NOW + 60 }, CI_NEXT));
    expect(await acceptReadToken(answer.token, { callers, config, target: 'shop', nowSeconds: NOW })).toEqual({ caller: 'ci' });
  });

  it.each([
    ['a stranger', STRANGER, deployRequest, NOW, 401, 'signature_mismatch'],
    ['an old signature', CI_NEXT, deployRequest, NOW - 301, 401, 'stale'],
    ['a request for another target', CI_LAST, () => ({ ...deployRequest(), target: 'preview-1' }), NOW, 403, 'wrong_target'],
  ] as const)('refuses %s', async (_name, secret, request, now, status, slug) => {
    const response = await send(await makeSignedRequest(request(), secret, now));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ type: `urn:weft:problem:${slug}` });
  });

  it('refuses bytes that are not UTF-8 with the same byte', async () => {
    const body = Uint8Array.from([0x7b, 0x22, 0xe2, 0x82, 0x22]);
    const response = await send({ body, headers: signedHeadersOf(await signRequest(body, CI_NEXT, 'run-1:1', NOW)) });
    expect(await response.json()).toMatchObject({ type: 'urn:weft:problem:malformed_json', byte: 2 });
  });
});
