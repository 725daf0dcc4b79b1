/** A file that stopped half-way, statement by statement: what its author is told, and that each way forward which is named leads on. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder, putFiles } from './folder.ts';
import { type Run, run } from './run.ts';

let database: TestDatabase;
let folder: string;

const DONE = 'create table goods (id int);\ninsert into goods values (1);\nvacuum goods;\n';

beforeEach(async () => {
  database = await freshDatabase();
  folder = makeFolder({ 'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]\n', '1.sql': `${DONE}select 1/0;\n` });
});

afterEach(() => database.drop());

const weft = (...argv: string[]): Promise<Run> => run(argv, { env: { DATABASE_URL: database.url } });
const rows = async () => (await sql(database.url, 'select count(*)::int as n from goods'))[0].n;

/** Deploys it, and then the file with a committed statement changed. */
async function refuse(): Promise<Run> {
  await weft('deploy', folder);
  putFiles(folder, { '1.sql': `${DONE.replace('int', 'bigint')}select 1;\n` });
  const plan = await weft('plan', folder);
  expect(plan.code).toBe(2);
  const deployed = await weft('deploy', folder);
  expect(deployed.code).toBe(1);
  for (const { stdout } of [plan, deployed]) {
    expect(stdout).toContain('Put statements 1 to 3 back as they were (comments and white space may differ): then it goes on behind them,');
    expect(stdout).toContain('Or bring all of it about by hand, and say so: weft baseline FOLDER --only 1.sql.');
    expect(stdout).toContain('Or take back by hand what has run, and say so: weft forget 1.sql --why REASON; then all of it runs from its beginning.');
    expect(stdout).toContain('(Under another name it does that in any case, also over what is in the database already.)');
  }
  return deployed;
}

it('a statement that fails says what stays, from where the file is to be corrected, and what must stay as it is', async () => {
  const { code, stdout } = await weft('deploy', folder);
  expect(code).toBe(1);
  expect(stdout).toContain(
    'Statements 1 to 3 of 1.sql stay in the database (the 4th, line 4, failed). A corrected file goes on there, if what stands before is as it was, but for comments and white space; "weft plan" says whether it is.',
  );
  expect(stdout).toContain('Next: correct 1.sql from line 4 on and deploy again; what is committed is not run twice.');
  putFiles(folder, { '1.sql': `-- corrected\n${DONE}select 1;\n` });
  expect((await weft('plan', folder)).stdout).toContain('goes on at statement 4, line 5\n');
  expect((await weft('deploy', folder)).code).toBe(0);
  expect(await rows()).toBe(1);
});

it('a file goes on with no other values of parameters than those with which it began', async () => {
  const manifest =
    'name: shop\nparameters: { n: { type: integer, default: 5 }, k: { type: text, default: "1" } }\nphases: [{ name: main, transaction: none, steps: [{ run: "1.sql" }] }]\n';
  putFiles(folder, {
    'weft.yaml': manifest,
    '1.sql': "create table goods (n int, k text);\ninsert into goods values (:n);\nselect 1 / count(*) from stop;\ninsert into goods values (:n, :'k');\n",
  });
  await sql(database.url, 'create table stop (n int)');
  expect((await weft('deploy', folder)).code).toBe(1);
  await sql(database.url, 'insert into stop values (1)');
  const { code, stdout } = await weft('deploy', folder, '--set', 'n=7', '--set', 'k=2');
  expect([code, stdout]).toEqual([
    1,
    expect.stringMatching(/WF021: A part of 1\.sql is in the database already, with other values[\s\S]*n was 5, and is 7\. [\s\S]*began with \(n=5\)/),
  ]);
  expect((await weft('deploy', folder, '--set', 'k=2')).code).toBe(0); // what only the rest names may be another one
  expect(await sql(database.url, 'select n, k from goods order by k nulls first')).toEqual([
    { n: 5, k: null },
    { n: 5, k: '2' },
  ]);
});

it('the first way: what has run is put back as it was, and the change stands behind it', async () => {
  await refuse();
  putFiles(folder, { '1.sql': `${DONE}alter table goods alter id type bigint;\nselect 1;\n` });
  expect((await weft('plan', folder)).code).toBe(0);
  expect((await weft('deploy', folder)).code).toBe(0);
  expect(await rows()).toBe(1);
});

it('the second way: all of it is brought about by hand, and a baseline says so', async () => {
  await refuse();
  await sql(database.url, 'alter table goods alter id type bigint');
  expect((await weft('baseline', folder, '--only', '1.sql')).code).toBe(0);
  expect((await weft('plan', folder)).stdout).toContain('0 of 1 step would run.');
  expect((await weft('deploy', folder)).stdout).toContain('there was nothing to run');
  expect(await rows()).toBe(1);
  expect((await weft('drift')).code).toBe(0);
});

it('the third way: what has run is taken back by hand, and the file has another name', async () => {
  await refuse();
  await sql(database.url, 'drop table goods');
  const renamed = makeFolder({
    'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]\n',
    '2.sql': `${DONE.replace('int', 'bigint')}select 1;\n`,
  });
  expect((await weft('deploy', renamed)).code).toBe(0);
  expect(await rows()).toBe(1);
});

describe('weft forget', () => {
  it('the fourth way: what has run is taken back by hand, and somebody says so: it runs from its beginning, corrected', async () => {
    await refuse();
    const [{ id }] = await sql(database.url, `select deployment_id as id from weft.begun`);
    await sql(database.url, 'drop table goods');
    expect(await weft('forget', '1.sql')).toMatchObject({ code: 2, stderr: expect.stringContaining('Say why nothing of it is there any more') });
    const { code, stdout } = await weft('forget', '1.sql', '--why', 'dropped by hand');
    expect([code, stdout]).toEqual([
      0,
      `Forgotten: 1.sql of shop, of which deployment ${id} had committed 3 statements. A deployment that brings it runs it from its beginning.\n`,
    ]);
    expect((await weft('history', '--json')).json()).toEqual({ history: [], begun: [] });
    expect((await weft('status', id)).stdout).toMatch(
      /Statements 1 to 3 of 1\.sql were committed\. role \S+ said at 20\S+ \S+Z that nothing of it is there any more: dropped by hand\.\n/,
    );
    const plan = await weft('plan', folder);
    expect([plan.code, plan.stdout]).toEqual([0, expect.not.stringContaining('statement')]);
    expect((await weft('deploy', folder)).code).toBe(0);
    expect(await sql(database.url, `select atttypid::regtype::text as type from pg_attribute where attrelid = 'goods'::regclass and attname = 'id'`)).toEqual([
      { type: 'bigint' },
    ]);
    expect((await weft('forget', '1.sql', '--why', 'x')).stderr.replace(/\s+/g, ' ')).toContain(
      'No file 1.sql of any bundle has stopped half-way. Nothing was forgotten. It was applied as a whole (bundle shop)',
    );
  });

  it('ends what stays begun of a file that went into the world again under another name, of which plan and history tell until then', async () => {
    await weft('deploy', folder);
    await sql(database.url, 'drop table goods');
    const renamed = makeFolder({
      'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]\n',
      '2.sql': `${DONE}select 1;\n`,
    });
    const told =
      /begun: 1\.sql is not in this bundle\. Statements 1 to 3 of 1\.sql stay in the database .* under another name now, that one runs from its beginning\. .*: weft forget 1\.sql --why REASON\.\n/;
    expect(await weft('plan', renamed)).toMatchObject({ code: 0, stderr: expect.stringMatching(told) });
    expect((await weft('deploy', renamed)).code).toBe(0);
    expect(await rows()).toBe(1);
    expect((await weft('plan', renamed)).stderr).toMatch(told);
    expect((await weft('history')).stdout).toMatch(
      /Begun, and not applied as a whole:\n.* 1\.sql .*\n {4}Statements 1 to 3 .*\nIf what has run of one was taken back by hand, say so: weft forget FILE --why REASON\.\n$/,
    );
    expect((await weft('forget', '1.sql', '--bundle', 'shop', '--why', 'it is 2.sql now', '--json')).json()).toMatchObject({
      ...{ bundle: 'shop', path: '1.sql', statements: 3, rounds: null, why: 'it is 2.sql now', by: expect.stringMatching(/^role /) },
    });
    expect((await weft('plan', renamed)).stderr).not.toContain('begun');
    expect((await weft('history')).stdout).not.toContain('Begun');
  });
});

it('in a phase that would run all of it in one transaction, the plan says that it is refused', async () => {
  await weft('deploy', folder);
  putFiles(folder, { 'weft.yaml': 'name: shop\nphases: [{ name: main, transaction: single, steps: [{ run: "*.sql" }] }]\n' });
  const { code, stdout } = await weft('plan', folder);
  expect(code).toBe(2);
  expect(stdout).toContain('1.sql: A part of 1.sql is in the database already');
  expect(stdout).toContain('With "transaction: auto" or "none" it goes on where it stopped.');
});

describe('of what a baseline has recorded since', () => {
  const HALF = 'create table two (n int);\nbegin; insert into two values (1); commit;\nselect 1/0;';
  const pack = (two: string): string =>
    makeFolder({
      'weft.yaml': 'name: shop\nphases: [{ name: main, transaction: auto, steps: [{ run: "*.sql", undo: "u/*.sql" }] }]\n',
      '1.sql': 'create table one (n int);',
      'u/1.sql': 'drop table one;',
      '2.sql': two,
      'u/2.sql': 'drop table two;',
    });
  const paths = async () => (await sql(database.url, 'select path from weft.history order by path')).map(({ path }) => path);

  it('an undo of the deployment that stopped half-way takes nothing back, also where the advice leads there', async () => {
    const first = (await weft('deploy', pack(HALF), '--json')).json();
    await sql(database.url, 'insert into two select generate_series(2, 1000)');
    const corrected = pack('create table two (n bigint);\nselect 1;');
    expect((await weft('deploy', corrected)).stdout).toContain('weft baseline FOLDER --only 2.sql');
    expect((await weft('baseline', corrected, '--only', '2.sql')).code).toBe(0);
    expect((await weft('undo')).stderr.replaceAll(/\s+/g, ' ')).toContain(`To undo what was deployed before it: weft undo ${first.id}`);

    expect((await weft('undo', '--plan', first.id, '--json')).json().phases).toMatchObject([{ steps: [{ path: '1.sql' }] }]);
    expect((await weft('undo', first.id, '--json')).json()).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ undoes: '1.sql' }] }] });
    expect(await sql(database.url, `select to_regclass('one') as one, (select count(*)::int from two) as two`)).toEqual([{ one: null, two: 1000 }]);
    expect(await paths()).toEqual(['2.sql']);
    expect((await weft('deploy', corrected)).stdout).toContain('committed: 1 step, 1 applied before');
    expect(await sql(database.url, `select to_regclass('one') as one, (select count(*)::int from two) as two`)).toEqual([{ one: 'one', two: 1000 }]);
  });

  it('nothing of it is left to take back, and the refusal says why; once the baseline is withdrawn there is', async () => {
    const folder = makeFolder({
      'weft.yaml': 'name: shop\nphases: [{ name: main, transaction: none, steps: [{ batch: "fill.sql", size: 10, undo: "unfill.sql" }] }]\n',
      'fill.sql': 'update goods set n = 1 where id in (select id from goods where n is null order by id limit :size)',
      'unfill.sql': 'update goods set n = null;',
    });
    const filled = async () => (await sql(database.url, 'select count(n)::int as n from goods'))[0].n;
    await sql(database.url, 'create table goods (id int primary key, n int constraint few check (n is null or id < 25))');
    await sql(database.url, 'insert into goods select i from generate_series(1, 30) as i');
    const first = (await weft('deploy', folder, '--json')).json();
    expect([first.state, await filled()]).toEqual(['failed', 20]);
    await sql(database.url, 'alter table goods drop constraint few; update goods set n = 1');
    const { id } = (await weft('baseline', folder, '--json')).json();

    const refused = await weft('undo', first.id, '--json');
    expect(refused.json().problem).toMatchObject({ type: 'urn:weft:problem:nothing_to_undo' });
    expect(refused.stderr.replaceAll(/\s+/g, ' ')).toContain(`fill.sql, which it ran in part, deployment ${id} has recorded as applied since.`);
    expect((await weft('undo')).stderr).not.toContain('To undo what was deployed before it');
    expect([await filled(), await paths()]).toEqual([30, ['fill.sql']]);

    expect((await weft('undo', id)).code).toBe(0);
    expect((await weft('undo', first.id)).code).toBe(0);
    expect(await filled()).toBe(0);
  });
});
