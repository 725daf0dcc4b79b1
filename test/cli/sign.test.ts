import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { acceptReadToken } from '../../src/trust/read_token.ts';
import { acceptRequest } from '../../src/trust/request.ts';
import { readSignedHeaders } from '../../src/trust/signature.ts';
import { run } from './run.ts';

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const ORIGIN = 'https://weft.test';
const DEPLOYMENT = '0190a0de-0000-4000-8000-000000000001';
const ENV = { WEFT_SECRET: SECRET, WEFT_URL: ORIGIN, WEFT_TARGET: 'staging', WEFT_CALLER: 'ci' };

const config = parseConfig({
  origin: ORIGIN,
  targets: { staging: { database: 'STAGING_URL', transport: 'tcp' } },
  callers: { ci: { secrets: ['CI_SECRET'] } },
  grants: [{ caller: 'ci', targets: ['staging'], actions: ['deploy', 'cancel', 'read'] }],
});
const callers = [{ name: 'ci', secrets: [SECRET] }];

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-cli-'));
  writeFileSync(join(folder, 'a.sql'), 'select 1;');
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function accept(body: string | Uint8Array, headers: Record<string, string>, type: 'deploy' | 'cancel') {
  return acceptRequest({
    body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
    signed: readSignedHeaders(new Headers(headers)),
    callers,
    config,
    type,
    target: 'staging',
    nowSeconds: Math.floor(Date.now() / 1000),
  });
}

describe('weft sign', () => {
  it('makes of a folder a request that a Worker accepts, with its files inline', async () => {
    const { method, url, headers, body } = (await run(['sign', folder, '--id', 'run-1', '--json'], { env: ENV })).json();
    expect({ method, url }).toEqual({ method: 'POST', url: `${ORIGIN}/v1/targets/staging/deployments` });
    const { caller, request } = await accept(body, headers, 'deploy');
    expect(caller).toBe('ci');
    expect(request).toMatchObject({ id: 'run-1', audience: ORIGIN, files: [{ path: 'a.sql', content: 'select 1;' }] });
  });

  it('fills in what a request file leaves out, and keeps what it says', async () => {
    const file = join(folder, 'cancel.json');
    writeFileSync(file, JSON.stringify({ type: 'cancel', deployment: DEPLOYMENT, id: 'mine' }));
    const { url, headers, body } = (await run(['sign', file, '--json'], { env: ENV })).json();
    expect(url).toBe(`${ORIGIN}/v1/targets/staging/deployments/${DEPLOYMENT}/cancel`);
    expect((await accept(body, headers, 'cancel')).request).toMatchObject({ id: 'mine', target: 'staging', deployment: DEPLOYMENT });
  });

  it('prints headers and body for curl, and the bytes into a file when asked', async () => {
    const { stdout } = await run(['sign', folder], { env: ENV });
    const [head = '', body = ''] = stdout.split('\n\n');
    const readHeaders = (text: string) =>
      Object.fromEntries(
        text
          .trim()
          .split('\n')
          .map((line) => line.split(': ') as [string, string]),
      );
    await accept(body.trimEnd(), readHeaders(head), 'deploy');

    const file = join(folder, 'body.json');
    const { stdout: headers, stderr } = await run(['sign', folder, '--body', file], { env: ENV });
    await accept(readFileSync(file), readHeaders(headers), 'deploy');
    expect(stderr).toContain('--data-binary');
  });

  it('prints a reading token', async () => {
    const { stdout } = await run(['sign', '--read'], { env: ENV });
    const nowSeconds = Math.floor(Date.now() / 1000);
    await expect(acceptReadToken(stdout.trim(), { callers, config, target: 'staging', nowSeconds })).resolves.toEqual({ caller: 'ci' });
  });

  it('binds a reading token to a deployment', async () => {
    const { token } = (await run(['sign', '--read', '--deployment', DEPLOYMENT, '--json'], { env: ENV })).json();
    const nowSeconds = Math.floor(Date.now() / 1000);
    await expect(acceptReadToken(token, { callers, config, target: 'staging', nowSeconds })).rejects.toThrow(DEPLOYMENT);
  });

  it('makes new secrets', async () => {
    const [one, two] = [await run(['sign', '--generate-secret']), await run(['sign', '--generate-secret'])];
    expect(one.stdout).toMatch(/^whsec_[A-Za-z0-9+/]{43}=\n$/);
    expect(one.stdout).not.toBe(two.stdout);
  });

  it('shows the secret nowhere', async () => {
    for (const argv of [
      ['sign', folder],
      ['sign', '--read'],
      ['sign', folder, '--json'],
      ['sign', '/nowhere'],
    ]) {
      const { stdout, stderr } = await run(argv, { env: ENV });
      expect(stdout + stderr).not.toContain(SECRET.slice(6));
    }
    const broken = await run(['sign', folder], { env: { ...ENV, WEFT_SECRET: 'hunter22' } });
    expect(broken.code).toBe(2);
    expect(broken.stdout + broken.stderr).not.toContain('hunter22');
  });

  it('takes a request file with a byte order mark, as editors of Windows write it', async () => {
    const file = join(folder, 'cancel.json');
    writeFileSync(file, `\ufeff${JSON.stringify({ type: 'cancel', deployment: DEPLOYMENT })}`);
    const { headers, body } = (await run(['sign', file, '--json'], { env: ENV })).json();
    expect((await accept(body, headers, 'cancel')).request).toMatchObject({ deployment: DEPLOYMENT });
  });

  it('says which file it cannot write', async () => {
    const { code, stderr } = await run(['sign', folder, '--body', join(folder, 'no', 'such')], { env: ENV });
    expect(code).toBe(2);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain('(--body) cannot be written (ENOENT).');
  });

  it('asks for what is missing, by name', async () => {
    expect((await run(['sign', folder], { env: { ...ENV, WEFT_SECRET: undefined } })).stderr).toContain('WEFT_SECRET');
    expect((await run(['sign', folder], { env: { ...ENV, WEFT_URL: undefined } })).stderr).toContain('WEFT_URL');
    expect((await run(['sign', '--read'], { env: { ...ENV, WEFT_CALLER: undefined } })).stderr).toContain('WEFT_CALLER');
    expect((await run(['sign'], { env: ENV })).code).toBe(2);
  });
});
