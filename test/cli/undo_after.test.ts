/** `weft undo --after ID`: back over several deployments, straight to a database and through a Worker. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';
import { startCutter } from './cutter.ts';
import { makeFolder } from './folder.ts';
import { type Run, run } from './run.ts';
import { tablesIn, YAML } from './undoable.ts';

const file = (name: string, undone = `drop table ${name};`) => ({ [`schema/${name}.sql`]: `create table ${name} (n int);`, [`undo/${name}.sql`]: undone });
const release = (...files: readonly Record<string, string>[]) => makeFolder(Object.assign({ 'weft.yaml': YAML }, ...files));

describe('straight to a database', () => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await emptyDatabase();
  });

  afterEach(async () => {
    await database.drop();
  });

  const weft = (...argv: string[]): Promise<Run> => run(argv, { env: { DATABASE_URL: database.url } });
  const deploy = async (...files: readonly Record<string, string>[]): Promise<string> => (await weft('deploy', release(...files), '--json')).json().id;
  const words = ({ stderr }: Run): string => stderr.replace(/\s+/g, ' ');

  it('takes back all that came after it, the newest first, and leaves it and other bundles; said again, it has nothing to do', async () => {
    const one = await deploy(file('a'));
    const two = await deploy(file('a'), file('b'));
    await weft('deploy', makeFolder({ 'weft.yaml': YAML.replace('shop', 'other'), ...file('x') }));
    const three = await deploy(file('a'), file('b'), file('c'));
    const { code, stdout, stderr } = await weft('undo', '--after', one);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(new RegExp(`^Back to deployment ${one} of shop, .*the newest first:\n +${three} .*\n +${two} `));
    expect(stderr).toMatch(/takes back schema\/c\.sql\n[\s\S]*takes back schema\/b\.sql /);
    expect(stdout).toMatch(new RegExp(`Deployment ${three} of shop was taken back, in [\\s\\S]*Deployment ${two} of shop was taken back, in `));
    expect(stdout).toMatch(new RegExp(`\nBack at deployment ${one} of shop, \\S+ \\S+: 2 deployments that came after it were taken back\\.\n$`));
    expect(await tablesIn(database.url)).toEqual(['a', 'x']);
    const again = await weft('undo', '--after', one, '--json');
    expect([again.code, again.json()]).toEqual([0, { after: one, bundle: 'shop', undone: [], left: [] }]);
  });

  it('with --json prints one document, with every undo in it; --junit reports them all', async () => {
    const one = await deploy(file('a'));
    const two = await deploy(file('b'));
    const three = await deploy(file('c'));
    const folder = release(file('a'));
    const { code, json } = await run(['undo', '--after', one, '--json', '--junit', 'report.xml'], { env: { DATABASE_URL: database.url }, folder });
    expect(code).toBe(0);
    expect(json()).toMatchObject({
      after: one,
      bundle: 'shop',
      undone: [
        { undoes: three, state: 'succeeded' },
        { undoes: two, state: 'succeeded' },
      ],
      left: [],
    });
    expect(readFileSync(join(folder, 'report.xml'), 'utf8').match(/<testcase [^>]*name="[^"]*"/g)).toHaveLength(2);
  });

  it('--plan lists them, shows the first, and changes nothing', async () => {
    const one = await deploy(file('a'));
    const two = await deploy(file('b'));
    const three = await deploy(file('c'));
    const plan = await weft('undo', '--after', one, '--plan');
    expect([plan.code, plan.stdout]).toEqual([
      0,
      expect.stringMatching(new RegExp(`${three} [\\s\\S]*${two} [\\s\\S]*The first of them:\n\nUndo of shop, deployment ${three}`)),
    ]);
    expect((await weft('undo', '--after', one, '--plan', '--json')).json()).toMatchObject({
      deployment: one,
      later: [{ deployment: three }, { deployment: two }],
      first: { deployment: three, phases: [{ name: 'schema' }] },
    });
    expect(await tablesIn(database.url)).toEqual(['a', 'b', 'c']);
  });

  it('undoes nothing if a file of any of them has no undo, and says how far it can go', async () => {
    const one = await deploy(file('a'));
    const { 'undo/b.sql': _, ...lacking } = file('b');
    const two = await deploy(file('z'), lacking);
    const three = await deploy(file('c'));
    const refused = await weft('undo', '--after', one, '--json');
    expect(refused.code).toBe(2);
    expect(refused.json().problem).toMatchObject({ type: 'urn:weft:problem:undo_missing', after: one, deployments: [two], lacking: ['schema/b.sql'] });
    expect(words(refused)).toContain(`of deployment ${two}: schema/b.sql. Nothing was undone.`);
    expect(words(refused)).toContain(`To go back as far as that: weft undo --after ${two}.`);
    expect((await weft('undo', '--after', one, '--plan')).code).toBe(2);
    expect(await tablesIn(database.url)).toEqual(['a', 'b', 'c', 'z']);
    expect((await weft('undo', '--after', two, '--json')).json().undone).toMatchObject([{ undoes: three }]);
    expect(await tablesIn(database.url)).toEqual(['a', 'b', 'z']);
  });

  it('stops at the first that fails, says what is left, and goes on when it is said again', async () => {
    const one = await deploy(file('a'));
    const two = await deploy(file('b', 'drop table b; select 1 / (count(*) = 0)::int from a;'));
    const three = await deploy(file('c'));
    await sql(database.url, 'insert into a values (1)');
    const failed = await weft('undo', '--after', one, '--json');
    expect(failed.code).toBe(1);
    expect(failed.json()).toMatchObject({
      undone: [
        { undoes: three, state: 'succeeded' },
        { undoes: two, state: 'failed' },
      ],
      left: [two],
    });
    expect(words(failed)).toContain(`Once that is settled, weft undo --after ${one} goes on. Of 2, not taken back: ${two}.`);
    expect(await tablesIn(database.url)).toEqual(['a', 'b']);
    await sql(database.url, 'truncate a');
    const { code, json } = await weft('undo', '--after', one, '--json');
    expect([code, json().undone]).toEqual([0, [expect.objectContaining({ undoes: two, state: 'succeeded' })]]);
    expect(await tablesIn(database.url)).toEqual(['a']);
  });

  it('takes back no deployment that came while it was at work, and stops there', async () => {
    const one = await deploy(file('a'));
    await deploy(file('b'));
    await deploy(file('c', 'drop table c; select pg_sleep(2);'));
    const going = weft('undo', '--after', one, '--json');
    await expect.poll(() => sql(database.url, `select 1 from weft.deployments where undoes is not null and state = 'running'`)).toHaveLength(1);
    const late = await deploy(file('late'));
    const { code, stderr } = await going;
    expect(code, stderr).toBe(1);
    expect(stderr).toContain(late); // seen before the next undo was opened, or when its turn came
    expect(stderr.replace(/\s+/g, ' ')).toContain(`weft undo --after ${one} goes on.`);
    expect(await tablesIn(database.url)).toEqual(['a', 'b', 'late']);
  });

  it('gives each undo the secrets that it needs, and wants all of them before the first', async () => {
    const secret = (name: string) => ({
      'weft.yaml': `parameters: { ${name}: { type: text, secret: true } }\n${YAML}`,
      ...file(name, `drop table ${name}; select 1 / (:'${name}' = 'hunter2-${name}')::int;`),
    });
    const env = { DATABASE_URL: database.url, P: 'hunter2-p', Q: 'hunter2-q' };
    const one = await deploy(file('a'));
    for (const name of ['p', 'q'])
      expect((await run(['deploy', makeFolder(secret(name)), '--set-env', `${name}=${name.toUpperCase()}`], { env })).code).toBe(0);
    const without = await run(['undo', '--after', one, '--set-env', 'q=Q'], { env });
    expect([without.code, without.stderr.replace(/\s+/g, ' ')]).toEqual([
      2,
      expect.stringContaining(`weft undo --after ${one} --set p=@FILE. Nothing was undone.`),
    ]);
    const strange = await run(['undo', '--after', one, '--set-env', 'q=Q', '--set-env', 'p=P', '--set-env', 'r=P'], { env });
    expect([strange.code, strange.stderr.replace(/\s+/g, ' ')]).toEqual([2, expect.stringContaining('needs a secret "r". Nothing was undone.')]);
    expect(await tablesIn(database.url)).toEqual(['a', 'p', 'q']);
    const { code, stdout, stderr } = await run(['undo', '--after', one, '--set-env', 'q=Q', '--set-env', 'p=P'], { env });
    expect(code, stderr).toBe(0);
    expect(stdout + stderr).not.toContain('hunter2');
    expect(await tablesIn(database.url)).toEqual(['a']);
  });

  it('wants a secret beforehand also for what only comes back when a newer one is undone', async () => {
    const yaml =
      'name: shop\nparameters: { p: { type: text, secret: true } }\nphases: [{ name: code, steps: [{ run: "v/*.sql", repeat: on-change, undo: "undo/*.sql" }] }]\n';
    const env = { DATABASE_URL: database.url, P: 'hunter2' };
    const one = await deploy(file('a'));
    for (const n of [1, 2]) {
      const folder = makeFolder({
        'weft.yaml': yaml,
        'v/v.sql': `create or replace view v as select ${n} as n;`,
        'undo/v.sql': `drop view v; select 1 / (:'p' = 'hunter2')::int;`,
      });
      expect((await run(['deploy', folder, '--set-env', 'p=P'], { env })).code).toBe(0);
    }
    const without = await run(['undo', '--after', one], { env });
    expect([without.code, words(without)]).toEqual([2, expect.stringContaining(`weft undo --after ${one} --set p=@FILE. Nothing was undone.`)]);
    const { code, json, stderr } = await run(['undo', '--after', one, '--set-env', 'p=P', '--json'], { env });
    expect([code, json().undone], stderr).toMatchObject([0, [{ state: 'succeeded' }, { state: 'succeeded' }]]);
    expect(await sql(database.url, `select to_regclass('v') as v`)).toEqual([{ v: null }]);
  });

  describe('left on Ctrl-C,', () => {
    const leaveAt = async (said: RegExp, one: string, url = database.url, onText = (_: string): void => undefined): Promise<Run> => {
      const leave = new AbortController();
      let seen = '';
      const onStderr = (text: string): void => {
        seen += text;
        onText(text);
        if (said.test(seen)) leave.abort();
      };
      return run(['undo', '--after', one, '--json'], { env: { DATABASE_URL: url }, signal: leave.signal, onStderr });
    };

    it('before there is an answer, it advises itself, and no key that it does not take', async () => {
      const one = await deploy(file('a'));
      await deploy(file('b'));
      const left = await leaveAt(/takes back schema\/b\.sql/, one);
      expect([left.code, left.json().problem]).toEqual([3, expect.objectContaining({ type: 'urn:weft:problem:interrupted', after: one, undone: [] })]);
      expect(left.json().problem.id).toBeUndefined();
      expect(words(left)).not.toContain('--id');
      expect(words(left)).toContain(`weft undo --after ${one} goes on.`);
    });

    it('between two of them, where there is no connection any more, it tells of those that were taken back', async () => {
      const one = await deploy(file('a'));
      await deploy(file('b'));
      const three = await deploy(file('c'));
      const cutter = await startCutter();
      try {
        const url = new URL(database.url);
        cutter.port = Number(url.port);
        url.port = new URL(cutter.origin).port;
        const cut = (text: string): void => {
          if (text.includes('was taken back, in ')) cutter.port = null;
        };
        const left = await leaveAt(/There is no connection yet/, one, url.href, cut);
        expect([left.code, left.json().problem]).toEqual([3, expect.objectContaining({ type: 'urn:weft:problem:interrupted', after: one, undone: [three] })]);
        expect(words(left)).toContain(
          `Before that, 1 deployment that came after ${one} was taken back: ${three}. Once that is settled, weft undo --after ${one} goes on.`,
        );
      } finally {
        await cutter.stop();
      }
      expect((await weft('undo', '--after', one, '--json')).json().undone).toHaveLength(1);
      expect(await tablesIn(database.url)).toEqual(['a']);
    });
  });

  it.each([
    [['--after', 'yesterday'], 'is not the id of a deployment'],
    [['--after', '0193b6a0-0000-7000-8000-000000000000', '--partly'], 'what stays of one deployment keeps those before it'],
    [['--after', '0193b6a0-0000-7000-8000-000000000000', '--rehearse'], '"weft undo --rehearse --bundle NAME" rehearses the first of them'],
    [['--after', '0193b6a0-0000-7000-8000-000000000000', '--with', '.'], 'it corrects the undo files of one deployment'],
    [['--after', '0193b6a0-0000-7000-8000-000000000000', '--id', 'key'], 'each of these undos has a key of its own'],
    [['--after', '0193b6a0-0000-7000-8000-000000000000', '--bundle', 'shop'], 'is of one bundle already'],
    [['0193b6a0-0000-7000-8000-000000000001', '--after', '0193b6a0-0000-7000-8000-000000000000'], 'say one'],
  ])('refuses %j, before it asks the database', async (argv, why) => {
    const { code, stderr } = await run(['undo', ...argv], { env: { DATABASE_URL: 'postgres://127.0.0.1:1/none' } });
    expect([code, stderr.replace(/\s+/g, ' ')]).toEqual([2, expect.stringContaining(why)]);
  });
});

describe('through a Worker', () => {
  let stack: TestStack;

  beforeAll(async () => {
    stack = await startTestStack();
  });

  afterAll(async () => {
    await stack?.stop();
  });

  it('does the same; whoever does not say who reads is told what is lacking', async () => {
    const weft = (...argv: string[]): Promise<Run> => run(argv, { env: stack.env });
    const ids: string[] = [];
    for (const name of ['a', 'b', 'c']) ids.push((await weft('deploy', release(file(name)), '--json')).json().id);
    const [one = '', two, three] = ids;
    const { WEFT_CALLER: _, ...blind } = stack.env;
    const untold = await run(['undo', '--after', one], { env: blind });
    expect([untold.code, untold.stderr]).toEqual([2, expect.stringContaining('WEFT_CALLER')]);
    const { code, json, stderr } = await weft('undo', '--after', one, '--json');
    expect(code, stderr).toBe(0);
    expect(json().undone).toMatchObject([
      { undoes: three, state: 'succeeded', target: stack.target },
      { undoes: two, state: 'succeeded' },
    ]);
    expect(await tablesIn(stack.databaseUrl)).toEqual(['a']);
  });
});
