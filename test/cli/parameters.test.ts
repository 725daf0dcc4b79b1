/** `--set` and `--set-env`: where values come from, what is shown of them, and that a secret is never taken from the command line. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder } from './folder.ts';
import { type RunOptions, run } from './run.ts';

const BUNDLE = `name: shop
parameters:
  environment: { type: text, required: true }
  retries: { type: integer, default: 3, description: how often }
  token: { type: text, secret: true }
phases:
  - name: main
    transaction: single
    steps: [{ run: "*.sql" }]
`;
const FILE = `create table seen as select :'environment' as environment, :retries as retries, :'token' as token;`;

let secret: string;
let folder: string;

beforeEach(() => {
  secret = `s3cret ${randomBytes(12).toString('hex')}`;
  folder = makeFolder({ 'weft.yaml': BUNDLE, '1.sql': FILE });
});

const plan = (argv: readonly string[], options: RunOptions = {}) => run(['plan', folder, ...argv], options);

describe('weft check', () => {
  it('shows what a bundle declares', async () => {
    const { stdout, code } = await run(['check', folder]);
    expect(code).toBe(0);
    expect(stdout).toContain(
      'parameters\n   environment  text     required\n   retries      integer  3 (default)  how often\n   token        text     none         secret\n',
    );
  });
});

describe('weft plan', () => {
  it('shows values, and of a secret that there is one', async () => {
    writeFileSync(join(folder, '..', 'token.txt'), `${secret}\n`);
    const { stdout, stderr, code } = await plan(['--set', 'environment=stag=ing', '--set', `token=@${join(folder, '..', 'token.txt')}`]);
    expect(code).toBe(0);
    expect(stdout).toContain(
      '   environment  text     stag=ing\n   retries      integer  3 (default)  how often\n   token        text     ***          secret\n',
    );
    expect(stdout + stderr).not.toContain(secret);
  });

  it('says what is missing, and exits as the deployment would', async () => {
    const { stdout, code } = await plan([]);
    expect(code).toBe(2);
    expect(stdout).toContain('   environment  text     missing\n');
    expect(stdout).toContain('Nothing would run: 1 parameter needs a value and has none.\n"environment": --set environment=VALUE\n');
    expect((await run(['deploy', folder], { env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' } })).code).toBe(2);
    const { json } = await plan(['--json']);
    expect([json().missing, json().phases[0].steps[0].verdict]).toEqual([['environment'], 'unknown']);
  });

  it('shows them to programs, a secret as null', async () => {
    const { json, stdout } = await plan(['--json', '--set-env', 'token=TOKEN', '--set', 'environment=a'], { env: { TOKEN: secret } });
    expect(json().parameters).toEqual([
      { name: 'environment', type: 'text', required: true, given: true, value: 'a' },
      { name: 'retries', type: 'integer', default: '3', description: 'how often', given: false, value: '3' },
      { name: 'token', type: 'text', secret: true, given: true, value: null },
    ]);
    expect(stdout).not.toContain(secret);
  });

  it.each([
    ['a value', 'environment=a b', undefined, 'a b'],
    ['a value with @@ in front', 'environment=@@a', undefined, '@a'],
    ['nothing', 'environment=', undefined, ''],
    ['standard input, without the line’s end at its end', 'environment=@-', 'a\nb\r\n', 'a\nb'],
  ])('takes %s', async (_, set, stdin, expected) => {
    const { json } = await plan(['--json', '--set', set], stdin === undefined ? {} : { stdin });
    expect(json().parameters[0].value).toBe(expected);
  });

  it.each([
    ['a secret on the command line', ['--set', 'token=hunter2'], 'usage', '"token" is secret, and stands on the command line'],
    ['an undeclared name', ['--set', 'surprise=hunter2'], 'invalid_parameters', 'The bundle declares no parameter "surprise"'],
    ['no name', ['--set', 'hunter2'], 'usage', '--set needs the name of a parameter'],
    ['a name that is none', ['--set', '1x=hunter2'], 'usage', '--set needs the name of a parameter'],
    ['a name twice', ['--set', 'environment=hunter2', '--set-env', 'environment=HOME'], 'usage', 'is set twice'],
    ['a variable that is not there', ['--set-env', 'token=NOWHERE'], 'set_up', 'comes from the variable NOWHERE'],
    ['a file that is not there', ['--set', 'token=@/nowhere/at/all'], 'set_up', 'cannot be read (ENOENT)'],
    ['standard input where there is none', ['--set', 'token=@-'], 'set_up', 'there is none'],
  ])('refuses %s, and repeats no value', async (_, argv, slug, words) => {
    const { code, json, stderr } = await plan(['--json', ...argv], { env: { HOME: '/' } });
    expect(code).toBe(2);
    expect(json().problem.type).toBe(`urn:weft:problem:${slug}`);
    expect(stderr).toContain(words);
    expect(stderr).not.toContain('hunter2');
  });
});

describe('weft deploy', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await emptyDatabase();
  });
  afterEach(() => database.drop());

  const seen = () => sql(database.url, 'select * from seen');

  describe('straight to a database', () => {
    const weft = (argv: string[], options: RunOptions = {}) => run(argv, { ...options, env: { DATABASE_URL: database.url, ...options.env } });

    it('gives the values to the files, and shows no secret', async () => {
      const { code, stdout, stderr } = await weft(
        ['deploy', folder, '--set', 'environment=staging', '--set', 'retries=5', '--set-env', 'token=TOKEN', '--json'],
        {
          env: { TOKEN: secret },
        },
      );
      expect(code, stderr).toBe(0);
      expect(await seen()).toEqual([{ environment: 'staging', retries: 5, token: secret }]);
      expect(stdout + stderr).not.toContain(secret);
      expect(JSON.parse(stdout).parameters).toContainEqual({ name: 'token', type: 'text', secret: true, given: true, value: null, digest: null });
    });

    it('refuses what does not fit before it connects', async () => {
      const { code, stderr } = await run(['deploy', folder, '--set', 'retries=5'], { env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' } });
      expect(code).toBe(2);
      expect(stderr).toContain('"environment" has no value, and needs one');
    });

    it('tells what the server says of a value', async () => {
      const { code, stderr } = await weft(['deploy', folder, '--set', 'environment=a', '--set', 'retries=often']);
      expect(code).toBe(2);
      expect(stderr).toContain('invalid input syntax for type integer: "often"');
    });

    it('goes on with a deployment that waits for its secrets: weft resume gives them again', async () => {
      await sql(database.url, 'create table gate (n int); insert into gate values (0)');
      const dividing = makeFolder({ 'weft.yaml': BUNDLE, '1.sql': FILE });
      const { stderr } = await weft(['deploy', dividing, '--id', 'run-1', '--set', 'environment=a', '--set', 'token=@-', '--deadline', '30'], {
        stdin: secret,
      });
      const [{ id }] = await sql(database.url, 'select id from weft.deployments');
      await sql(
        database.url,
        `update weft._deployments set state = 'staged', finished_at = null; update weft._phases set state = 'pending'; update weft._steps set state = 'pending'; delete from weft._history; drop table seen`,
      );
      const lacking = await weft(['resume', id]);
      expect(lacking.code, stderr).toBe(3);
      expect(lacking.stderr).toContain('needs the value of "token" at each run');
      const open = await weft(['resume', id, '--set', `token=${secret}`]);
      expect(open.code).toBe(2);
      expect(open.stderr).not.toContain(secret);
      const end = await weft(['resume', id, '--set', 'token=@-'], { stdin: `${secret}\n` });
      expect(end.code, end.stderr).toBe(0);
      expect(await seen()).toMatchObject([{ token: secret }]);
    });
  });

  describe('through a Worker', () => {
    const key = generateSecret();
    let relay: Relay;
    let worker: LocalWorker;
    let env: Record<string, string>;
    const lines: string[] = [];

    beforeAll(async () => {
      secret = `s3cret ${randomBytes(12).toString('hex')}`;
    });

    beforeEach(async () => {
      const url = new URL(database.url);
      relay = await startRelay({ to: { host: url.hostname, port: Number(url.port) } });
      worker = await startWorker({
        config: {
          targets: { shop: { database: 'SHOP_URL', transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true } },
          callers: { ci: { secrets: ['CI_SECRET'] } },
          grants: [{ caller: 'ci', targets: ['shop'], actions: ['deploy', 'resume', 'cancel', 'read'] }],
        },
        secrets: { SHOP_URL: database.url, CI_SECRET: key },
        onLog: (line) => lines.push(line),
      });
      env = { WEFT_URL: worker.origin, WEFT_TARGET: 'shop', WEFT_SECRET: key, WEFT_CALLER: 'ci', TOKEN: secret };
    });

    afterEach(async () => {
      await worker?.stop();
      await relay?.stop();
    });

    afterAll(() => expect(lines.join('\n')).not.toContain('s3cret'));

    it('sends secrets beside the request, and shows none', async () => {
      const { code, stdout, stderr } = await run(['deploy', folder, '--set', 'environment=staging', '--set-env', 'token=TOKEN', '--json'], { env });
      expect(code, stderr).toBe(0);
      expect(await seen()).toEqual([{ environment: 'staging', retries: 3, token: secret }]);
      expect(stdout + stderr).not.toContain(secret);
      const [{ request, digest }] = await sql(
        database.url,
        `select convert_from(request, 'UTF8')::jsonb - 'manifest' as request, (select encode(digest, 'hex') from weft._parameters where name = 'token') as digest from weft._deployments`,
      );
      expect(request).toMatchObject({ parameters: { environment: 'staging' }, secrets: { token: digest } });
      expect(digest).toMatch(/^[0-9a-f]{64}$/);
      const repeated = await run(['status', JSON.parse(stdout).id, '--json'], { env });
      expect(repeated.stdout).not.toContain(secret);
    });

    it('sends a bundle that is asked for first with its secrets too, and again when nothing is missing any more', async () => {
      const large = makeFolder({ 'weft.yaml': BUNDLE, '1.sql': FILE, '2.sql': `select 1; -- ${'x'.repeat(7 * 1024 * 1024)}` });
      const argv = ['deploy', large, '--set', 'environment=a', '--set-env', 'token=TOKEN'];
      const one = await run(argv, { env });
      expect(one.code, one.stderr).toBe(0);
      await sql(database.url, 'drop table seen; delete from weft._history');
      const two = await run(argv, { env });
      expect(two.code, two.stderr).toBe(0);
      expect(await seen()).toMatchObject([{ token: secret }]);
    });

    it('resumes with the same secret, and with no other', async () => {
      const { stdout } = await run(['deploy', folder, '--set', 'environment=a', '--set-env', 'token=TOKEN', '--json'], { env });
      const { id } = JSON.parse(stdout);
      await sql(
        database.url,
        `update weft._deployments set state = 'staged', finished_at = null; update weft._phases set state = 'pending'; update weft._steps set state = 'pending'; delete from weft._history; drop table seen`,
      );
      const lacking = await run(['resume', id], { env });
      expect(lacking.stderr).toContain('needs the value of "token" at each run');
      const other = await run(['resume', id, '--set-env', 'token=TOKEN'], { env: { ...env, TOKEN: `${secret}!` } });
      expect(other.code).toBe(2);
      expect(other.stderr).toContain('is not the one that the request was signed with');
      const end = await run(['resume', id, '--set-env', 'token=TOKEN'], { env });
      expect(end.code, end.stderr).toBe(0);
      expect(await seen()).toMatchObject([{ token: secret }]);
    });
  });
});
