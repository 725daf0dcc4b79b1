/** From bindings to an app: a wrong configuration is found at the first request, said to the log, and to nobody else. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { setUp } from '../../src/worker/set_up.ts';

const SECRET = `whsec_${Buffer.alloc(32, 5).toString('base64')}`;
const WEFT = {
  origin: 'https://weft.example.com',
  targets: { shop: { database: 'SHOP_URL', transport: 'websocket' } },
  callers: { ci: { secrets: ['CI_SECRET'] } },
  grants: [{ caller: 'ci', targets: ['shop'], actions: ['deploy'] }],
};
const env = { WEFT, SHOP_URL: 'postgres://deployer:a-long-password@db.example.com/shop', CI_SECRET: SECRET };

let lines: string[] = [];
beforeEach(() => {
  lines = [];
  for (const level of ['info', 'error'] as const) vi.spyOn(console, level).mockImplementation((line: string) => void lines.push(line));
});
afterEach(() => vi.restoreAllMocks());

async function ask(bindings: Record<string, unknown>, path: string): Promise<{ status: number; text: string }> {
  const answer = await setUp(bindings).app.request(path);
  return { status: answer.status, text: await answer.text() };
}

test.each([
  ['an object', env],
  ['JSON text', { ...env, WEFT: JSON.stringify(WEFT) }],
])('a configuration may be %s', async (_name, bindings) => {
  const { status, text } = await ask(bindings, '/healthz');
  expect(status).toBe(200);
  expect(JSON.parse(text)).toEqual({ status: 'ok', configuration: 'ok', version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
});

describe.each([
  ['no configuration', { ...env, WEFT: undefined }, 'WEFT'],
  ['a key that is wrong', { ...env, WEFT: { ...WEFT, targets: { shop: { database: 'SHOP_URL', transport: 'pigeon' } } } }, 'targets.shop.transport'],
  ['a key that nobody knows', { ...env, WEFT: { ...WEFT, grant: [] } }, 'grant'],
  ['a secret that is not there', { ...env, CI_SECRET: undefined }, 'CI_SECRET'],
  ['a secret of the wrong form', { ...env, CI_SECRET: 'a-long-password' }, 'CI_SECRET'],
  ['a connection string that cannot be used', { ...env, SHOP_URL: 'mysql://deployer:a-long-password@db.example.com' }, 'SHOP_URL'],
])('with %s', (_name, bindings, word) => {
  test('/healthz says that the configuration is not ok', async () => {
    const { status, text } = await ask(bindings, '/healthz');
    expect(status).toBe(503);
    expect(JSON.parse(text)).toMatchObject({ status: 'failing', configuration: 'not ok' });
  });

  test('a request is refused; which key is wrong stands in the log alone, and no secret anywhere', async () => {
    const { status, text } = await ask(bindings, '/v1/targets/shop/deployments');
    expect(status).toBe(500);
    expect(JSON.parse(text)).toMatchObject({ type: 'urn:weft:problem:invalid_configuration' });
    expect(text).not.toContain(word);
    const log = lines.join('\n');
    expect(log).toContain(word);
    expect(log + text).not.toMatch(/a-long-password|db\.example\.com|BQUFBQ/);
  });
});
