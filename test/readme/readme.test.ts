/**
 * README.md, done as it says: each block that is marked for a test is run as printed, against the local stack in real workerd; what it
 * promises to print is compared with what comes out.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../src/dev/ports.ts';
import { deploymentSchema } from '../../src/domain/deployment.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { PROBLEMS, Problem, type ProblemSlug } from '../../src/domain/problem.ts';
import { emptyDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';
import { makeWorkplace, type Outcome, runShell, snippet, withoutChance } from './snippets.ts';

const README = 'README.md';

let stack: TestStack;
let place: ReturnType<typeof makeWorkplace>;
beforeAll(async () => {
  place = makeWorkplace();
  stack = await startTestStack();
});
afterAll(async () => {
  await stack?.stop();
  place?.remove();
});

/** Runs a block of README in the workplace. */
function readme(name: string, env: Readonly<Record<string, string>> = stack.env): Promise<Outcome> {
  return runShell(snippet(README, name), { cwd: place.path, env });
}

function putFiles(folder: string, files: Readonly<Record<string, string | Uint8Array>>): void {
  for (const [path, content] of Object.entries(files)) {
    const file = join(place.path, folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
}

describe('the first screen', () => {
  const folders: string[] = [];
  const children: ChildProcess[] = [];
  afterAll(() => {
    for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  test('npm start prints what README shows, line for line, and Ctrl-C ends it', async () => {
    expect(snippet(README, 'start')).toBe('npm install && npm start\n');
    const data = `readme-${randomBytes(4).toString('hex')}`;
    // With data of its own, so that the first start is one, whoever is asked again; and with one pipe, which keeps the order of what is said and what is reported.
    const start = `exec npm start --silent -- --data ${data} 2>&1`;
    const child = spawn('bash', ['-c', start], { cwd: place.path, stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    children.push(child);
    let printed = '';
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (part: Buffer) => {
        printed += part.toString();
        if (printed.includes('Ctrl-C ends it.')) resolve();
      });
      void ended.then(() => resolve());
    });
    const folder = /^The data +(\S+)/m.exec(printed)?.[1];
    if (folder !== undefined) folders.push(folder);
    process.kill(-(child.pid as number), 'SIGINT');
    await ended;
    expect(printed).toMatch(/\nStopping\.\n$/);

    // What a look falls upon depends on the moment, and a port may be taken; all else comes as README shows it, and nothing beside it.
    const momentary = /^M:SS (?:staged: everything is in the database|running(?: as backend \d+)?|\d+\/\d+ .*: at work|index of .*)$|^Port \d+ /;
    const linesOf = (text: string) => withoutChance(text).trimEnd().split('\n');
    const shown = linesOf(snippet(README, 'start', 'output'));
    expect(shown.filter((line) => momentary.test(line))).toHaveLength(2);
    const steady = (lines: readonly string[]) => lines.filter((line) => !momentary.test(line));
    const upToStopping = printed.replace(/\n*Stopping\.\n$/, '\n');
    expect(steady(linesOf(upToStopping))).toEqual(steady(shown));
  });
});

describe('a folder of your own', () => {
  test.each([
    ['straight to a database', () => ({ DATABASE_URL: stack.databaseUrl })],
    ['through the Worker', () => stack.env],
  ])('%s', async (_, env) => {
    rmSync(join(place.path, 'my-bundle'), { recursive: true, force: true });
    // As `npm start` has, before a reader comes so far.
    expect((await runShell('npx weft deploy examples/shop', { cwd: place.path, env: env() })).code).toBe(0);
    const { code, stdout, all } = await readme('folder', env());
    expect(code, all).toBe(0);
    expect(stdout).toContain('wrote weft.yaml');
    expect(stdout).toContain('Valid: 1 phase, 2 files');
    expect(stdout).toMatch(/^Done\. my-bundle (is deployed, in|was deployed before)/m);
    expect(stdout).toMatch(/succeeded +1\/1 +my-bundle/);
    expect(stdout).toMatch(/my-bundle +schema\/001_first\.sql/);
    const fro = await readme('to and fro', env());
    expect(fro.stdout, fro.all).toMatch(/^Rehearsed\. my-bundle (ran through|was deployed before)/m);
    expect(fro.stdout, fro.all).toMatch(/run +undo\/001_first\.sql +takes back schema\/001_first\.sql/);
  });

  test('that fails ends with the words that README shows, with exit code 1, and goes on when it is corrected', async () => {
    putFiles('payroll', {
      '001_staff.sql': 'create table staff (id int primary key, name text not null);\n',
      '002_first.sql': "insert into staff values (1, 'Ada'), (2, 'Grace');\n",
      '003_salary.sql': 'alter table staff add column salary numeric;\n\nupdate staff set salary = wages / 12;\n',
    });
    const options = { cwd: place.path, env: { DATABASE_URL: stack.databaseUrl } };
    const failed = await runShell('npx weft deploy payroll', options);
    expect(failed.code, failed.all).toBe(1);
    expect(withoutChance(failed.stdout)).toBe(withoutChance(snippet(README, 'failure', 'output')));

    putFiles('payroll', { '003_salary.sql': 'alter table staff add column salary numeric;\n\nupdate staff set salary = 12000 / 12;\n' });
    const corrected = await runShell('npx weft deploy payroll', options);
    expect(corrected.code, corrected.all).toBe(0);
    expect(await sql(stack.databaseUrl, 'select count(*)::int as count, sum(salary)::int as sum from staff')).toEqual([{ count: 2, sum: 2000 }]);
  });

  test('is continued by resume, where there is something to continue and where there is not', async () => {
    const { code, all } = await readme('resume');
    expect(code, all).toBe(0);
  });
});

describe('deploy.sh, which has only curl, openssl and what every Unix has', () => {
  /** All the programs that it may call. */
  const PROGRAMS = ['bash', 'cat', 'curl', 'date', 'find', 'mktemp', 'od', 'openssl', 'rm', 'sed', 'tr'];
  let argv: string;
  let path: string;

  beforeAll(async () => {
    writeFileSync(join(place.path, 'deploy.sh'), snippet(README, 'deploy.sh'));
    argv = join(place.path, 'argv');
    path = join(place.path, 'programs');
    mkdirSync(join(path, 'real'), { recursive: true });
    for (const program of PROGRAMS) {
      const { stdout } = await runShell(`command -v ${program}`, { cwd: place.path });
      symlinkSync(stdout.trim(), join(path, 'real', program));
      if (program === 'bash') symlinkSync(stdout.trim(), join(path, program));
      else {
        writeFileSync(join(path, program), `#!${path}/real/bash\nprintf '%s\\n' "${program} $*" >> '${argv}'\nexec '${path}/real/${program}' "$@"\n`);
        chmodSync(join(path, program), 0o755);
      }
    }
  });

  /** With a PATH that holds those programs and nothing else; each writes down how it was called. */
  function deploySh(folder: string | null, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    return runShell(`bash deploy.sh ${folder === null ? '' : `'${folder}'`}`, { cwd: place.path, path, env: { ...stack.env, ...env } });
  }

  test('deploys examples/shop exactly as printed, and the result can be read with the token and with one of weft sign', async () => {
    const deployed = await readme('curl');
    expect(deployed.code, deployed.all).toBe(0);
    const deployment = deploymentSchema.parse(JSON.parse(deployed.stdout));
    expect(deployment).toMatchObject({ state: 'succeeded', bundle: 'shop', target: stack.target, caller: stack.caller });

    const read = await readme('read');
    expect(read.code, read.all).toBe(0);
    const [again = '', history = ''] = read.stdout.split(/(?<=\})(?=\{"history")/);
    expect(deploymentSchema.parse(JSON.parse(again))).toMatchObject({ id: deployment.id, state: 'succeeded' });
    expect(JSON.parse(history).history.filter((entry: { bundle: string }) => entry.bundle === 'shop')).toHaveLength(12);
  });

  test('brings any bytes and any names through as they are', async () => {
    const odd = `E'\\x41"%s$(id)\`id\`\\\\'`;
    putFiles('odd', {
      'weft.yaml': 'name: odd\nphases:\n  - name: all\n    steps: [{ run: "**/*.sql" }]\n',
      '1 table.sql': 'create table odd (t text);\r\n',
      '2 "quotes" & $HOME %s/é 字.sql': `insert into odd values (${odd}), ('é字🧵'), ('two\nlines'), (E'tab\\t');`,
      '3-empty.sql': '',
      '4-large.sql': `insert into odd values ('${'x'.repeat(3 * LIMITS.chunk_bytes)}');\n`,
      'notes.txt': 'not sent',
    });
    const { code, all } = await deploySh('odd');
    expect(code, all).toBe(0);
    expect(await sql(stack.databaseUrl, 'select t from odd where length(t) < 100')).toEqual([
      { t: 'A"%s$(id)`id`\\' },
      { t: 'é字🧵' },
      { t: 'two\nlines' },
      { t: 'tab\t' },
    ]);
    expect(await sql(stack.databaseUrl, 'select max(length(t)) as length from odd')).toEqual([{ length: 3 * LIMITS.chunk_bytes }]);
  });

  test('gives a folder without weft.yaml the name that weft deploy gives it: what one has applied, the other skips', async () => {
    const folder = 'Löhne & "Co."';
    putFiles(folder, { '1.sql': 'create table wages (n int);' });
    const first = await deploySh(folder);
    expect(first.code, first.all).toBe(0);
    const { bundle } = JSON.parse(first.stdout);
    const second = await runShell(`npx weft deploy '${folder}' --json`, { cwd: place.path, env: stack.env });
    expect(second.code, second.all).toBe(0);
    expect(JSON.parse(second.stdout)).toMatchObject({ bundle, phases: [{ steps: [{ path: '1.sql', state: 'skipped' }] }] });
  });

  test('refuses what is no plain file, with its path, as weft does, and sends nothing; what is no part of a bundle may be a link', async () => {
    putFiles('linked', { '1.sql': 'select 1;', 'real/2.sql': 'select 2;', 'node_modules/a/1.sql': '' });
    const folder = join(place.path, 'linked');
    symlinkSync('real', join(folder, '.hidden'));
    symlinkSync('a', join(folder, 'node_modules', 'b'));
    expect((await deploySh('linked')).code).toBe(0);
    for (const [link, to] of [
      ['views', 'real'],
      ['3.sql', '1.sql'],
    ] as const) {
      rmSync(argv, { force: true });
      symlinkSync(to, join(folder, link));
      for (const refused of [await deploySh('linked'), await runShell(`npx weft deploy linked`, { cwd: place.path, env: stack.env })])
        expect([refused.code, refused.all]).toEqual([2, expect.stringContaining(link)]);
      expect(readFileSync(argv, 'utf8')).not.toContain('curl');
      rmSync(join(folder, link));
    }
  });

  test('calls no other program, and shows the secret to none of them', async () => {
    rmSync(argv, { force: true });
    putFiles('quiet', { 'weft.yaml': 'name: quiet\nphases: [{ name: all, steps: [{ run: 1.sql }] }]\n', '1.sql': 'select 1;' });
    const { code, all } = await deploySh('quiet');
    expect(code, all).toBe(0);
    const calls = readFileSync(argv, 'utf8');
    expect(calls).toContain('curl -sS');
    const bytes = Buffer.from(stack.secret.replace('whsec_', ''), 'base64');
    for (const form of [stack.secret.slice(6), bytes.toString('hex'), bytes.toString('base64url')]) expect(calls).not.toContain(form);
  });

  test('makes the HMAC that others make, whatever the length and the bytes of the key', async () => {
    const [hmac = ''] = /^key=[\s\S]*^hmac\(\).*$/m.exec(snippet(README, 'deploy.sh')) ?? [];
    for (const length of [LIMITS.webhook_secret_bytes_min, 32, LIMITS.webhook_secret_bytes_max - 1, LIMITS.webhook_secret_bytes_max]) {
      const key = Buffer.from(Array.from({ length }, (_, index) => (index * 37) % 256)); // 0 and % are among them
      const env = { WEFT_SECRET: `whsec_${key.toString('base64')}` };
      const { stdout } = await runShell(`${hmac}\nprintf 'id.1.{}' | hmac | openssl base64 -A`, { cwd: place.path, path, env });
      expect(stdout, String(length)).toBe(createHmac('sha256', key).update('id.1.{}').digest('base64'));
    }
  });

  test('is refused when its secret is not known', async () => {
    const { code, stdout } = await deploySh('examples/shop', { WEFT_SECRET: `whsec_${Buffer.alloc(32, 0x25).toString('base64')}` });
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ type: 'urn:weft:problem:signature_mismatch' });
  });

  test('exits with 1 when the deployment fails, and with 2 when the bundle is refused', async () => {
    const yaml = 'name: broken\nphases: [{ name: all, steps: [{ run: 1.sql }] }]\n';
    putFiles('broken', { 'weft.yaml': yaml, '1.sql': 'select 1/0;' });
    expect((await deploySh('broken')).code).toBe(1);
    putFiles('broken', { '1.sql': Uint8Array.of(0x73, 0xff) });
    const refused = await deploySh('broken');
    expect(refused.code).toBe(2);
    expect(JSON.parse(refused.stdout)).toMatchObject({ type: 'urn:weft:problem:not_utf8', path: '1.sql', byte: 1 });
  });

  test('exits with 0 when the deployment ends degraded, as weft does', async () => {
    const yaml = 'name: tolerant\nphases: [{ name: all, transaction: per-step, steps: [{ run: 1.sql, on_error: continue }] }]\n';
    putFiles('tolerant', { 'weft.yaml': yaml, '1.sql': 'select 1/0;' });
    const { code, all, stdout } = await deploySh('tolerant');
    expect(code, all).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'degraded', phases: [{ steps: [{ state: 'failed' }] }] });
  });

  test('exits as weft does with each refusal of a Worker, and with what something on the way answers', async () => {
    const [judge = ''] = /^state=[\s\S]*^esac$/m.exec(snippet(README, 'deploy.sh')) ?? [];
    const slugs = Object.keys(PROBLEMS) as ProblemSlug[];
    const refusals = slugs.map((slug) => {
      const problem = new Problem(slug, 'It says "{\\"state\\":\\"failed\\"}", urn:weft:problem:none.', { bundle: 'internal' });
      return { status: problem.status, answer: JSON.stringify(problem), exit: problem.exit };
    });
    const others = [400, 403, 404, 413, 408, 429, 500, 502, 503, 504, 522, 524].map((status) => {
      return { status, answer: `error code: ${status}`, exit: status === 408 || status === 429 || status >= 500 ? 3 : 2 };
    });
    const answers = [...refusals, ...others];
    for (const [index, { answer }] of answers.entries()) putFiles(`answers/${index}`, { 'answer.json': answer });
    const each = answers.map(({ status }, index) => `exit=3 status=${status} work=answers/${index}\n${judge}\nprintf '%s\\n' "$exit"`);
    const { code, stdout, all } = await runShell(each.join('\n'), { cwd: place.path, path });
    expect(code, all).toBe(0);
    const exits = stdout.trim().split('\n').map(Number);
    expect(answers.map(({ status, answer }, index) => ({ status, answer, exit: exits[index] }))).toEqual(answers);
  });

  test('exits with 2 when it is called wrongly, and with 3 when nobody answers; and leaves nothing behind', async () => {
    const temporary = join(place.path, 'temporary');
    mkdirSync(temporary);
    const env = { TMPDIR: temporary };
    expect((await deploySh(null, env)).code).toBe(2);
    expect((await deploySh('no/such/folder', env)).code).toBe(2);
    const unset = await runShell('unset WEFT_TARGET; bash deploy.sh examples/shop', { cwd: place.path, path, env: { ...stack.env, ...env } });
    expect(unset.code, unset.all).toBe(2);
    const unheard = await deploySh('examples/shop', { ...env, WEFT_URL: `http://127.0.0.1:${await freePort()}` });
    expect(unheard.code, unheard.all).toBe(3);
    expect(readdirSync(temporary)).toEqual([]);
  });
});

test('the commands that put a Worker into an account pass, as far as they need none', async () => {
  const { code, stdout, all } = await readme('worker', {});
  expect(code, all).toBe(0);
  expect(stdout).toContain('Valid: wrangler.toml');
  expect(stdout).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/m);
  expect(stdout).toContain('--dry-run: exiting now.');
  expect(existsSync(join(place.path, 'dist', 'worker', 'main.js'))).toBe(true);
});

test('the statements for psql work one by one: look, continue, and leave without touching anything of yours', async () => {
  const database = await emptyDatabase();
  const client = await database.client();
  try {
    const env = { DATABASE_URL: database.url };
    expect((await runShell('npx weft deploy examples/shop', { cwd: place.path, env })).code).toBe(0);
    const results: pg.QueryResult[] = [];
    // psql cuts at ";" too, and sends each alone.
    for (const statement of snippet(README, 'psql').split(/;.*\n/).slice(0, -1)) results.push(await client.query(statement));
    const [deployments, steps, events, run, drop] = results;
    expect(deployments?.rows).toMatchObject([{ state: 'succeeded', bundle: 'shop', steps: '12', steps_done: '12', error: null }]);
    expect(steps?.rows).toHaveLength(12);
    expect(events?.rows[0]).toMatchObject({ kind: 'succeeded' });
    expect(run?.rows).toEqual([{ result: null }]);
    expect(drop?.command).toBe('DROP');
    expect(await sql(database.url, "select count(*)::int as count from pg_tables where schemaname = 'shop'")).not.toEqual([{ count: 0 }]);

    // With the schema went the history: what is there already stands in the way.
    const again = await runShell('npx weft deploy examples/shop --json', { cwd: place.path, env });
    expect(again.code, again.all).toBe(1);
    expect(JSON.parse(again.stdout)).toMatchObject({ state: 'failed', error: { sqlstate: '42P06', path: 'schema/001_schema.sql' } });
  } finally {
    await client.end();
    await database.drop();
  }
});
