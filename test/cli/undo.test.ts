/** `weft undo` and `weft deploy --rehearse`, straight to a database and through a Worker. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { deploymentSchema } from '../../src/domain/deployment.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';
import { makeFolder, putFiles } from './folder.ts';
import { type Run, run } from './run.ts';
import { FILES, tablesIn, YAML } from './undoable.ts';

describe('straight to a database', () => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await emptyDatabase();
  });

  afterEach(async () => {
    await database.drop();
  });

  const weft = (...argv: string[]): Promise<Run> => run(argv, { env: { DATABASE_URL: database.url } });

  it('says what it runs, takes the newest deployment back, and ends with 0; no folder is needed', async () => {
    const deployed = (await weft('deploy', makeFolder(FILES), '--json')).json();
    const { code, stdout, stderr } = await weft('undo');
    expect(code).toBe(0);
    expect(stderr).toMatch(/Undo of shop, deployment [0-9a-f-]{36}/);
    expect(stderr).toMatch(/run +undo\/2_b.sql +takes back schema\/2_b.sql\n +run +undo\/1_a.sql/);
    expect(stdout).toMatch(new RegExp(`^Undone\\. Deployment ${deployed.id} of shop was taken back, in `));
    expect(await tablesIn(database.url)).toEqual([]);
    const nothing = await weft('undo');
    expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining('There is nothing to undo')]);
  });

  it('shows the plan without changing anything', async () => {
    const deployed = (await weft('deploy', makeFolder(FILES), '--json')).json();
    const { code, stdout, json } = await weft('undo', '--plan', '--json');
    expect(code, stdout).toBe(0);
    expect(json()).toMatchObject({
      deployment: deployed.id,
      phases: [{ name: 'schema', steps: [{ undo: 'undo/2_b.sql' }, { undo: 'undo/1_a.sql' }] }],
      lacking: [],
    });
    expect(await tablesIn(database.url)).toEqual(['a', 'b']);
  });

  it('names what has no undo, and undoes nothing; with --partly it stays', async () => {
    const { 'undo/1_a.sql': _, ...files } = FILES;
    const deployed = await weft('deploy', makeFolder(files));
    expect(deployed.stderr).toContain('"schema/1_a.sql" has no undo: there is no file "undo/1_a.sql".');
    const refused = await weft('undo', '--json');
    expect(refused.code).toBe(2);
    expect(refused.json().problem).toMatchObject({ type: 'urn:weft:problem:undo_missing', lacking: ['schema/1_a.sql'] });
    expect(refused.json().problem.detail).toMatch(/weft undo [0-9a-f-]{36} --with FOLDER brings them/);
    expect(await tablesIn(database.url)).toEqual(['a', 'b']);
    expect((await weft('undo', '--plan')).code).toBe(2);
    const partly = await weft('undo', '--partly');
    expect(partly.code).toBe(0);
    expect(partly.stderr).toMatch(/No undo, stays in the database:\n +schema\/1_a.sql/);
    expect(await tablesIn(database.url)).toEqual(['a']);
  });

  it('the same --id is the same undo, also when it is repeated after its end', async () => {
    const { id } = (await weft('deploy', makeFolder(FILES), '--json')).json();
    const one = await weft('undo', id, '--id', 'back-1', '--json');
    const two = await weft('undo', id, '--id', 'back-1', '--json');
    expect([one.code, two.code]).toEqual([0, 0]);
    expect(two.json().id).toBe(one.json().id);
  });

  it('an undo that fails ends with 1, and its summary says what the database looks like', async () => {
    await weft('deploy', makeFolder({ ...FILES, 'undo/1_a.sql': 'drop table a;\nselect 1 / 0;' }));
    const { code, stdout } = await weft('undo');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^Failed\. The undo of shop stopped/);
    expect(stdout).toContain('undo/1_a.sql:2');
    expect(stdout).toContain('rolled back as a whole: nothing of it is undone');
    expect(stdout).toMatch(
      /Next: .*"weft undo [0-9a-f-]+" goes on with what is not undone.* correct undo\/1_a\.sql in the folder of the bundle: "weft undo [0-9a-f-]+ --with FOLDER" brings it/,
    );
    expect(await tablesIn(database.url)).toEqual(['a', 'b']);
  });

  it('of a failed undo weft status counts as done what was undone, and no file that stands by', async () => {
    const yaml = `${YAML}  - name: code\n    transaction: single\n    steps: [{ run: "views/*.sql", repeat: on-change }, { run: "last/*.sql", undo: "first/*.sql" }]\n`;
    const files = {
      ...FILES,
      'weft.yaml': yaml,
      'views/v.sql': 'create or replace view v as select 1 as a;',
      'last/1.sql': 'select 1;',
      'first/1.sql': 'select 1;',
    };
    await weft('deploy', makeFolder({ ...files, 'undo/1_a.sql': 'select 1 / 0;' }));
    expect((await weft('undo', '--partly')).code).toBe(1);
    expect((await weft('status')).stdout.split('\n')[0]).toMatch(/failed +1\/3 +shop/); // last.sql; what schema did is rolled back
  });

  describe('without an id', () => {
    const other = {
      ...FILES,
      'weft.yaml': YAML.replace('shop', 'other'),
      'schema/1_a.sql': 'create table c (n int);',
      'undo/1_a.sql': 'drop table c;',
      'schema/2_b.sql': 'select 1;',
      'undo/2_b.sql': 'select 1;',
    };

    it('in a folder with a bundle file, the newest deployment of that bundle is meant, and no other one', async () => {
      const folder = makeFolder(FILES);
      const shop = (await weft('deploy', folder, '--json')).json();
      await weft('deploy', makeFolder(other));
      const options = { env: { DATABASE_URL: database.url }, folder };
      expect((await run(['undo', '--plan'], options)).stdout).toMatch(
        new RegExp(`^Undo of shop, deployment ${shop.id}, .*the newest of the bundle in that folder`),
      );
      expect((await run(['undo'], options)).code).toBe(0);
      expect(await tablesIn(database.url)).toEqual(['c']);
      const nothing = await run(['undo'], options);
      expect([nothing.code, nothing.stderr]).toEqual([
        2,
        expect.stringMatching(
          /Nothing that a deployment of the bundle shop has brought is in the database\. Of other\s+bundles\s+there is:\n +weft undo --bundle other /,
        ),
      ]);
      expect(await tablesIn(database.url)).toEqual(['c']);
    });

    it('elsewhere, of several bundles none is chosen: each is named, with its command; --bundle says which', async () => {
      await weft('deploy', makeFolder(FILES));
      await weft('deploy', makeFolder(other));
      const refused = await weft('undo', '--json');
      expect(refused.code).toBe(2);
      expect(refused.json().problem.type).toBe('urn:weft:problem:undo_ambiguous');
      expect(refused.stderr).toMatch(/\n +weft undo --bundle other \(deployment .*\n +weft undo --bundle shop \(deployment /);
      expect((await weft('undo', '--plan')).code).toBe(2);
      expect(await tablesIn(database.url)).toEqual(['a', 'b', 'c']);
      expect((await weft('undo', '--bundle', 'shop')).code).toBe(0);
      expect(await tablesIn(database.url)).toEqual(['c']);
    });

    it('a folder can be named instead of an id; what is neither is refused, with what can be said', async () => {
      const folder = makeFolder(FILES);
      await weft('deploy', folder);
      await weft('deploy', makeFolder(other));
      const neither = await weft('undo', 'shop');
      expect([neither.code, neither.stderr.replace(/\s+/g, ' ')]).toEqual([2, expect.stringContaining('"shop" is not the id of a deployment')]);
      expect(neither.stderr.replace(/\s+/g, ' ')).toContain('--bundle NAME, or by the folder of its weft.yaml');
      const unknown = await weft('undo', `${makeFolder({ 'd/1.sql': 'select 1;' })}/d`);
      expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('of the bundle d')]);
      expect(await tablesIn(database.url)).toEqual(['a', 'b', 'c']);
      expect((await weft('undo', folder)).code).toBe(0);
      expect(await tablesIn(database.url)).toEqual(['c']);
    });

    it('a folder without a bundle file is the bundle that a deployment of it is: by its name', async () => {
      const folder = `${makeFolder({ 'd/1.sql': 'create table d (n int);' })}/d`;
      const { id } = (await weft('deploy', folder, '--json')).json();
      await weft('deploy', makeFolder(FILES));
      expect((await weft('undo', folder, '--plan', '--json')).json()).toMatchObject({ deployment: id });
    });

    it('a bundle file that cannot be read chooses nothing', async () => {
      await weft('deploy', makeFolder(FILES));
      const folder = makeFolder({ 'weft.yaml': 'name: [' });
      const { code, stderr } = await run(['undo'], { env: { DATABASE_URL: database.url }, folder });
      expect([code, stderr]).toEqual([2, expect.stringContaining('So which bundle is meant is not known')]);
      expect(await tablesIn(database.url)).toEqual(['a', 'b']);
    });
  });

  it('--rehearse runs it in one transaction that is rolled back, and says what it takes', async () => {
    const { id } = (await weft('deploy', makeFolder(FILES), '--json')).json();
    const { code, stdout } = await weft('undo', '--rehearse');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Rehearsed\. The undo of shop ran through in .*, and was rolled back: nothing was undone\./);
    expect(stdout).toMatch(/AccessExclusiveLock on public\.a/);
    expect(stdout).toContain('- table public.a');
    expect(await tablesIn(database.url)).toEqual(['a', 'b']);
    const [{ id: rehearsal }] = await sql(database.url, `select id from weft.deployments where mode = 'rehearse'`);
    expect((await weft('receipt', rehearsal)).stdout).toContain(`rehearsing to take back deployment ${id}`);
    expect((await weft('status')).stdout).toMatch(new RegExp(`rehearsal of the undo of ${id.slice(0, 8)}\n.* 2/2 +shop$`, 'm'));
  });

  it('needs the secrets that its files name, says so first, and undoes nothing without', async () => {
    const yaml = `parameters: { token: { type: text, secret: true } }\n${YAML}`;
    const folder = makeFolder({ ...FILES, 'weft.yaml': yaml, 'undo/1_a.sql': `drop table a; select 1 / (:'token' = 'hunter2-hunter2')::int;` });
    const env = { DATABASE_URL: database.url, TOKEN: 'hunter2-hunter2' };
    const { id } = (await run(['deploy', folder, '--set-env', 'token=TOKEN', '--json'], { env })).json();
    const plan = await run(['undo', '--plan'], { env });
    expect([plan.code, plan.stdout]).toEqual([0, expect.stringMatching(/Needs secrets.*\n +token +named in undo\/1_a\.sql/)]);
    const without = await run(['undo', '--json'], { env });
    expect([without.code, without.json().problem.type]).toEqual([2, 'urn:weft:problem:undo_secrets_missing']);
    expect(without.stderr.replace(/\s+/g, ' ')).toContain(`weft undo ${id} --set token=@FILE`);
    const unknown = await run(['undo', '--set-env', 'token=TOKEN', '--set-env', 'surprise=TOKEN'], { env });
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('has no secret parameter "surprise"')]);
    expect(await tablesIn(database.url)).toEqual(['a', 'b']);
    expect(await sql(database.url, 'select count(*)::int as n from weft.deployments')).toEqual([{ n: 1 }]);
    const undone = await run(['undo', '--set-env', 'token=TOKEN'], { env });
    expect(undone.code, undone.stderr).toBe(0);
    expect(undone.stdout + undone.stderr).not.toContain('hunter2');
    expect(await tablesIn(database.url)).toEqual([]);
  });

  it('says how the catalog compares with what it was, and names what differs', async () => {
    await weft('deploy', makeFolder({ ...FILES, 'schema/1_a.sql': 'create table a (n int); create table left_over (n int);' }));
    const { code, stdout } = await weft('undo');
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /The catalog is not as it was before deployment [0-9a-f-]+: 1 object differs\.\n +table +public\.left_over +was not there before, and nothing has dropped it/,
    );
  });

  describe('of files that run again and again', () => {
    const views = (columns: string) => ({
      'weft.yaml': 'name: shop\nphases:\n  - name: code\n    transaction: single\n    steps: [{ run: "views/*.sql", repeat: on-change }]\n',
      'views/v.sql': `create or replace view v as select ${columns};`,
      'views/w.sql': 'create or replace view w as select a from v;',
    });

    it('says first what comes back and what stands by, and afterwards that all is as it was', async () => {
      await weft('deploy', makeFolder(views('1 as a')));
      await weft('deploy', makeFolder(views('1 as a, 2 as b')));
      const { code, stdout, stderr } = await weft('undo');
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/run +views\/v\.sql +as it was before/);
      expect(stderr).toContain('Called back if something of theirs goes: views/w.sql.');
      expect(stdout).toContain('The catalog is as it was before that deployment.');
      expect(stdout).toMatch(/code +single +committed: 1 step, 1 file called back/);
    });

    it('says first what would be lost if one had to be dropped, in the words in which it then fails', async () => {
      await weft('deploy', makeFolder(views('1 as a')));
      await weft('deploy', makeFolder(views('1 as a, 2 as b')));
      await sql(database.url, `comment on view v is 'kept'`);
      const plan = await weft('undo', '--plan');
      const words = 'WF073: public.v has to be dropped, and made again by views/v.sql, and that would lose: comment on view public.v';
      expect([plan.code, plan.stdout]).toEqual([0, expect.stringContaining(`${words} (unless the file makes that again)`)]);
      const rehearsed = await weft('undo', '--rehearse');
      expect([rehearsed.code, rehearsed.stdout]).toEqual([1, expect.stringContaining(`${words}\n`)]);
      const undone = await weft('undo');
      expect([undone.code, undone.stdout]).toEqual([1, expect.stringContaining(`${words}\n`)]);
      expect(rehearsed.stdout).toMatch(
        /Next: views\/v\.sql is the file as it was before, and cannot be corrected: .*"weft undo --rehearse [0-9a-f-]+" rehearses it again\./,
      );
    });

    it('that cannot be names what is in the way, and says that older content cannot be corrected', async () => {
      await weft('deploy', makeFolder(views('1 as a')));
      await weft('deploy', makeFolder(views('1 as a, 2 as b')));
      await sql(database.url, 'create view report as select b from v');
      const { code, stdout } = await weft('undo');
      expect(code).toBe(1);
      expect(stdout).toMatch(/report depends on view (public\.)?v/);
      expect(stdout).toContain('rolled back as a whole: nothing of it is undone');
      expect(stdout).toContain('Next: views/v.sql is the file as it was before, and cannot be corrected: remove the cause in the database');
    });
  });

  it('weft deploy --rehearse shows what it would do, and leaves nothing', async () => {
    await sql(database.url, 'create table t (n int); insert into t values (1); create index t_old on t (n)');
    const folder = makeFolder({ '1.sql': 'alter table t alter column n type bigint;', '2.sql': 'create index concurrently t_n on t (n);\nvacuum t;' });
    const { code, stdout } = await weft('deploy', folder, '--rehearse');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Rehearsed\. shop ran through in .*, and was rolled back: nothing of it is in the database\./);
    expect(stdout).toMatch(/writes the table public\.t anew \(8\.0 kB\)|writes the table public\.t anew/);
    expect(stdout).toMatch(/AccessExclusiveLock on public\.t/);
    expect(stdout).toMatch(/public\.t +AccessExclusiveLock +\S+ \S+ +1\.sql:1/);
    expect(stdout).toContain('create index t_n on t (n)');
    expect(stdout).toMatch(/What this does not show:\n(.*\n)*.*they were not rehearsed.*\(2\.sql:2\)/);
    expect(stdout).toContain('+ index public.t_n');
    expect(
      await sql(
        database.url,
        `select to_regclass('t_n') as i, (select format_type(atttypid, null) from pg_attribute where attrelid = 't'::regclass and attname = 'n') as type`,
      ),
    ).toEqual([{ i: null, type: 'integer' }]);
  });

  it('a rehearsal that would fail ends with 1, and says where', async () => {
    const { code, stdout } = await weft('deploy', makeFolder({ '1.sql': 'create table a (n int);', '2.sql': 'select 1;\nselect 1 / 0;' }), '--rehearse');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^Would fail\. The rehearsal of shop stopped\. Nothing of it is in the database\./);
    expect(stdout).toContain('2.sql:2');
    expect(stdout).toContain('What stands behind the error was not rehearsed.');
    expect(await tablesIn(database.url)).toEqual([]);
  });

  it('a rehearsal is looked at again with weft status, and as a document with --json', async () => {
    const done = await weft('deploy', makeFolder({ '1.sql': 'create table a (n int);' }), '--rehearse', '--json');
    const deployment = deploymentSchema.parse(done.json());
    expect(deployment).toMatchObject({ state: 'succeeded', mode: 'rehearse', rehearsal: { steps: [{ path: '1.sql', state: 'succeeded' }] } });
    expect((await weft('status', deployment.id)).stdout).toMatch(/^Rehearsed\./);
    expect((await weft('status', '--json')).json().deployments[0]).not.toHaveProperty('rehearsal.steps');
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

  const weft = (...argv: string[]): Promise<Run> => run(argv, { env: stack.env });

  it('deploys, rehearses what comes next, and takes back what was deployed', async () => {
    const folder = makeFolder(FILES);
    const deployed = await weft('deploy', folder, '--json');
    expect(deployed.code, deployed.stderr).toBe(0);
    putFiles(folder, { 'schema/3_c.sql': 'alter table a add m int;' });
    const rehearsed = await weft('deploy', folder, '--rehearse', '--json');
    expect(rehearsed.code, rehearsed.stderr).toBe(0);
    expect(rehearsed.json().rehearsal.locks).toContainEqual(expect.objectContaining({ object: 'public.a', mode: 'AccessExclusiveLock' }));
    const undone = await weft('undo', '--json');
    expect(undone.code, undone.stderr).toBe(0);
    expect(undone.json()).toMatchObject({ state: 'succeeded', undoes: deployed.json().id, target: stack.target, caller: stack.caller });
    expect(await tablesIn(stack.databaseUrl)).toEqual([]);
    const again = await weft('undo', deployed.json().id, '--json');
    expect(again.code).toBe(2);
    expect(again.json().problem.type).toBe('urn:weft:problem:nothing_to_undo');
  });

  it('rehearses an undo, and gives it the secrets that it needs, bound by its own request', async () => {
    const yaml = `parameters: { token: { type: text, secret: true } }\n${YAML.replace('shop', 'vault')}`;
    const files = {
      'weft.yaml': yaml,
      'schema/1.sql': 'create table v (n int);',
      'undo/1.sql': `drop table v; select 1 / (:'token' = 'hunter2-hunter2')::int;`,
    };
    const env = { ...stack.env, TOKEN: 'hunter2-hunter2' };
    const deployed = await run(['deploy', makeFolder(files), '--set-env', 'token=TOKEN', '--json'], { env });
    expect(deployed.code, deployed.stderr).toBe(0);
    const blind = await run(['undo', deployed.json().id, '--json'], { env: { ...env, WEFT_CALLER: undefined } });
    expect([blind.code, blind.json().problem.type]).toEqual([2, 'urn:weft:problem:undo_secrets_missing']);
    const rehearsed = await run(['undo', '--bundle', 'vault', '--rehearse', '--set-env', 'token=TOKEN', '--json'], { env });
    expect(rehearsed.code, rehearsed.stderr).toBe(0);
    expect(rehearsed.json()).toMatchObject({
      mode: 'rehearse',
      undoes: deployed.json().id,
      rehearsal: { steps: [{ path: 'undo/1.sql', state: 'succeeded' }] },
    });
    expect(await tablesIn(stack.databaseUrl)).toContain('v');
    const undone = await run(['undo', '--bundle', 'vault', '--set-env', 'token=TOKEN', '--json'], { env });
    expect(undone.code, undone.stderr).toBe(0);
    expect(undone.json()).toMatchObject({ state: 'succeeded', parameters: [{ name: 'token', secret: true, given: true, value: null }] });
    expect(await tablesIn(stack.databaseUrl)).not.toContain('v');
  });

  it('whoever may not read names the deployment, and the Worker still refuses what has no undo', async () => {
    const { 'undo/1_a.sql': _, ...files } = FILES;
    const deployed = (await weft('deploy', makeFolder({ ...files, 'weft.yaml': YAML.replace('shop', 'other') }), '--json')).json();
    const blind = { ...stack.env, WEFT_CALLER: undefined };
    const refused = await run(['undo', deployed.id, '--json'], { env: blind });
    expect(refused.code).toBe(2);
    expect(refused.json().problem.type).toBe('urn:weft:problem:undo_missing');
    const unnamed = await run(['undo'], { env: blind });
    expect([unnamed.code, unnamed.stderr]).toEqual([2, expect.stringContaining('either name the deployment (weft undo ID)')]);
    expect((await run(['undo', deployed.id, '--partly'], { env: blind })).code).toBe(0);
    expect(await tablesIn(stack.databaseUrl)).toEqual(['a']);
  });
});
