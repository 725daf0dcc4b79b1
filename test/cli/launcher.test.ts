/** The command as a process of its own: how it is launched, left, and piped. */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { bundleFile, makeFolder } from './folder.ts';

const LAUNCHER = fileURLToPath(new URL('../../src/cli/weft.js', import.meta.url));

/** Another Node of this machine, if it has one that cannot run TypeScript. */
function findOldNode(): string | null {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (folder.includes('node_modules')) continue;
    const node = join(folder, 'node');
    const { stdout } = spawnSync(node, ['--print', 'Boolean(process.features.typescript)'], { encoding: 'utf8' });
    if (stdout?.trim() === 'false') return node;
  }
  return null;
}

const OLD_NODE = findOldNode();

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function launch(
  argv: string[],
  env: Record<string, string> = {},
  node = process.execPath,
): { child: ChildProcessByStdio<null, Readable, Readable>; ended: Promise<Ended>; said(words: RegExp): Promise<void> } {
  const { DATABASE_URL: _, ...inherited } = process.env;
  const child = spawn(node, [LAUNCHER, ...argv], { env: { ...inherited, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (part) => (stdout += part));
  child.stderr.on('data', (part) => (stderr += part));
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
  return { child, ended, said: (words) => expect.poll(() => stderr, { timeout: 20_000 }).toMatch(words) };
}

describe('the launcher', () => {
  it('runs the TypeScript of the checkout', async () => {
    expect(await launch(['--version']).ended).toEqual({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), stderr: '' });
  });

  it.skipIf(OLD_NODE === null)('lets the checkout’s own Node do it when an old one was started', async () => {
    const { code, stdout, stderr } = await launch(['check', '/no/such/folder', '--json'], {}, OLD_NODE ?? '').ended;
    expect(code).toBe(2);
    expect(JSON.parse(stdout).problem.type).toBe('urn:weft:problem:invalid_bundle');
    expect(stderr).toContain('weft:');
  });

  it.skipIf(OLD_NODE === null)('takes the checkout’s own Node along when it is killed, and the deployment goes on', async () => {
    const database = await emptyDatabase();
    try {
      const folder = makeFolder({ '1.sql': 'create table orphan (n int);', '2.sql': 'select pg_sleep(3); insert into orphan values (1);' });
      const { child, ended, said } = launch(['deploy', folder], { DATABASE_URL: database.url }, OLD_NODE ?? '');
      await said(/2\.sql: at work/);
      child.kill('SIGKILL');
      // Its pipes close when nobody holds them any more: then both processes have ended.
      const { stdout, stderr } = await ended;
      expect(stdout).toBe('');
      expect(stderr).toMatch(/Left\. Deployment \S+ goes on in the database/);
      await expect.poll(() => sql(database.url, 'select n from orphan'), { timeout: 20_000 }).toEqual([{ n: 1 }]);
    } finally {
      await database.drop();
    }
  });

  it('is not disturbed by a reader that has left', async () => {
    const { child, ended } = launch(['install', '--print']);
    child.stdout.destroy();
    expect(await ended).toMatchObject({ code: 0, stderr: '' });
  });
});

/** Whatever is written there meets a full disk. */
const FULL = '/dev/full';

describe.skipIf(!existsSync(FULL))('an output that cannot be written', () => {
  const launchInto = (argv: string[], streams: { stdout?: string; stderr?: string }, env: Record<string, string> = {}) => {
    const open = (file: string | undefined) => (file === undefined ? ('pipe' as const) : openSync(file, 'w'));
    const { DATABASE_URL: _, ...inherited } = process.env;
    return spawnSync(process.execPath, [LAUNCHER, ...argv], {
      env: { ...inherited, ...env },
      stdio: ['ignore', open(streams.stdout), open(streams.stderr)],
      encoding: 'utf8',
    });
  };

  it('is said, and is no success', () => {
    const folder = makeFolder({ '1.sql': 'select 1;' });
    for (const more of [[], ['--json']]) {
      const { status, stderr } = launchInto(['check', folder, ...more], { stdout: FULL });
      expect(status).toBe(1);
      expect(stderr).toMatch(/^weft: What it had to say could not be written to standard output \(ENOSPC\)\. The command itself ended with 0\.$/m);
      expect(stderr).not.toMatch(/^ +at /m);
    }
  });

  it('ends no deployment whose progress it is, and is no failure of it', async () => {
    const database = await emptyDatabase();
    try {
      const folder = makeFolder({ '1.sql': 'create table unseen (n int);', '2.sql': 'select pg_sleep(1); insert into unseen values (1);' });
      const { status, stdout } = launchInto(['deploy', folder, '--json'], { stderr: FULL }, { DATABASE_URL: database.url });
      expect(status).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ state: 'succeeded' });
      expect(await sql(database.url, 'select n from unseen')).toEqual([{ n: 1 }]);
    } finally {
      await database.drop();
    }
  });
});

describe('Ctrl-C', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await emptyDatabase();
  });

  afterAll(async () => {
    await database.drop();
  });

  it.each([process.execPath, ...(OLD_NODE === null ? [] : [OLD_NODE])])('leaves with 3, and the deployment goes on (%#)', async (node) => {
    const name = node === process.execPath ? 'went' : 'went_old';
    const folder = makeFolder({
      'weft.yaml': bundleFile('per-step').replace('shop', name),
      '1.sql': `create table ${name} (n int);`,
      '2.sql': `select pg_sleep(3); insert into ${name} values (1);`,
    });
    const { child, ended, said } = launch(['deploy', folder], { DATABASE_URL: database.url }, node);
    await said(/2\.sql: at work/);
    child.kill('SIGINT');
    const { code, stdout, stderr } = await ended;
    expect(code).toBe(3);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/Left\. Deployment \S+ goes on in the database/);
    await expect.poll(() => sql(database.url, `select n from ${name}`), { timeout: 20_000 }).toEqual([{ n: 1 }]);
  });
});
