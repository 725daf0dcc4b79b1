/**
 * The Worker as it is bundled here and as it is deployed: one compatibility date, one size to stay under.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readEngineFiles } from '../../src/database/engine_files.ts';
import { CHECKOUT } from '../../src/dev/places.ts';
import { COMPATIBILITY_DATE } from '../../src/dev/worker_bundle.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack();
});
afterAll(() => stack.stop());

test('answers in workerd, at the origin that its configuration names', async () => {
  expect((await stack.worker.fetch('/healthz')).status).toBe(200);
  expect(stack.origin).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
});

test('serves nothing of the engine to a stranger', async () => {
  for (const path of ['/engine.json', '/engine', '/assets/engine.json']) {
    const response = await stack.worker.fetch(path);
    expect(response.status, path).toBe(404);
    expect(response.headers.get('content-type'), path).toBe('application/problem+json');
  }
});

test('opens no connection to the database for a stranger', async () => {
  const response = await stack.worker.fetch(`/v1/targets/${stack.target}/deployments`, { method: 'POST', body: '{}' });
  expect(response.status).toBe(401);
  expect(stack.relay.connections).toEqual([]);
});

test('is deployed with the compatibility date that it is tested with', () => {
  const file = readFileSync(join(CHECKOUT, 'wrangler.toml'), 'utf8');
  expect(/^compatibility_date = "(.*)"$/m.exec(file)?.[1]).toBe(COMPATIBILITY_DATE);
});

test('is less than 300 kB on the wire, because the text of the engine is not in it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-bundle-'));
  const wrangler = join(CHECKOUT, 'node_modules', 'wrangler', 'bin', 'wrangler.js');
  const run = spawnSync(process.execPath, [wrangler, 'deploy', '--dry-run', '--outdir', folder], {
    cwd: CHECKOUT,
    encoding: 'utf8',
    env: { ...process.env, WRANGLER_SEND_METRICS: 'false' },
  });
  const script = run.status === 0 ? readFileSync(join(folder, 'main.js'), 'utf8') : '';
  rmSync(folder, { recursive: true, force: true });
  expect(run.status, run.stderr).toBe(0);
  expect(run.stdout + run.stderr).not.toMatch(/warning|error/i);
  const kibibytes = Number(/gzip: ([\d.]+) KiB/.exec(run.stdout)?.[1]);
  expect(kibibytes * 1024).toBeLessThan(300_000);
  expect(script.length).toBeGreaterThan(100_000);
  // A line of each floor that stands in no other place.
  const { files } = await readEngineFiles();
  const held = files.filter(({ sql }) => script.includes(/^comment on [^\n]*/m.exec(sql)?.[0] ?? sql));
  expect(held.map(({ name }) => name)).toEqual([]);
});
