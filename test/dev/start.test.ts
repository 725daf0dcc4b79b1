/**
 * `npm start`, as a process: what it does the first time, the second time, beside another one, and after a kill.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, test } from 'vitest';
import { CHECKOUT } from '../../src/dev/places.ts';
import { sql } from '../support/sql.ts';

interface Outcome {
  readonly url: string;
  readonly database: string;
  readonly secret: string;
  readonly folder: string;
  readonly exit_code: number;
  readonly deployment: { state: string; phases: { steps: { state: string }[] }[] };
}

const data = `test-${randomBytes(4).toString('hex')}`;
const started: ChildProcess[] = [];
let folder: string | undefined;

afterAll(async () => {
  for (const child of started) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('exit', resolve));
  }
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

function run(...words: (string | NodeJS.ProcessEnv)[]): { child: ChildProcess; exit: Promise<number | null>; outcome: Promise<Outcome>; errors: () => string } {
  const argv = words.filter((word) => typeof word === 'string');
  const env = Object.assign({}, process.env, ...words.filter((word) => typeof word === 'object'));
  const child = spawn(process.execPath, [join(CHECKOUT, 'src', 'dev', 'start.ts'), '--data', data, '--json', ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  });
  started.push(child);
  let errors = '';
  child.stderr?.on('data', (part: Buffer) => {
    errors += part.toString();
  });
  const exit = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const outcome = new Promise<Outcome>((resolve, reject) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).once('line', (line) => resolve(JSON.parse(line) as Outcome));
    child.once('close', () => reject(new Error(errors)));
  });
  outcome.then(
    (it) => {
      folder = it.folder;
    },
    () => undefined,
  );
  return { child, exit, outcome, errors: () => errors };
}

const stepStates = ({ deployment }: Outcome): Set<string> => new Set(deployment.phases.flatMap(({ steps }) => steps.map(({ state }) => state)));

test('the first start deploys examples/shop, by a signed request through the Worker, and --once exits with its exit code', async () => {
  const { exit, outcome } = run('--once');
  const first = await outcome;
  expect(first).toMatchObject({ exit_code: 0, deployment: { state: 'succeeded', bundle: 'shop', target: 'local', caller: 'you' } });
  expect(stepStates(first)).toEqual(new Set(['succeeded']));
  expect(await exit).toBe(0);
});

test('what npm keeps for itself of its options, because no "--" stands before them, is understood', async () => {
  const { exit, outcome } = run({ npm_lifecycle_event: 'start', npm_config_once: 'true' });
  expect(await outcome).toMatchObject({ exit_code: 0 });
  expect(await exit).toBe(0);
});

test('a later start has nothing to do, keeps the secret, and stays up until it is told to end', async () => {
  const { child, exit, outcome } = run();
  const later = await outcome;
  expect(stepStates(later)).toEqual(new Set(['skipped']));
  expect((await fetch(`${later.url}/healthz`)).status).toBe(200);
  const [{ superuser }] = await sql(later.database, 'select rolsuper as superuser from pg_roles where rolname = current_user');
  expect(superuser).toBe(false);
  child.kill('SIGINT');
  expect(await exit).toBe(0);
  await expect(sql(later.database, 'select 1')).rejects.toThrow('ECONNREFUSED');
});

test('one beside a living one takes other ports and shares its database; one after a kill -9 finds everything as it was', async () => {
  const living = run();
  const { url, secret } = await living.outcome;
  const guest = run('--once');
  const beside = await guest.outcome;
  expect(beside.url).not.toBe(url);
  expect(await guest.exit).toBe(0);
  expect(guest.errors()).toMatch(/is taken/);

  living.child.kill('SIGKILL');
  await living.exit;
  const after = run('--once');
  const next = await after.outcome;
  expect(next).toMatchObject({ exit_code: 0, secret });
  expect(stepStates(next)).toEqual(new Set(['skipped']));
  expect(await after.exit).toBe(0);
  expect(after.errors()).toMatch(/still running/);
});

/** Whatever is written there meets a full disk; a terminal that was closed says no as well. */
const FULL = '/dev/full';

test.skipIf(!existsSync(FULL))('what it says may be lost, and nothing else', async () => {
  const child = spawn(process.execPath, [join(CHECKOUT, 'src', 'dev', 'start.ts'), '--data', data, '--json', '--once'], {
    stdio: ['ignore', 'ignore', openSync(FULL, 'w')],
  });
  started.push(child);
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
});
