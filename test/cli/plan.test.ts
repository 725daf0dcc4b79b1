/** `weft plan` against a database: what its history has to say of a bundle is said before anything is deployed, and nothing is written. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder } from './folder.ts';
import { type Run, run } from './run.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await emptyDatabase();
  await sql(database.url, 'create table journal (n int)');
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;

const weft = (...argv: string[]): Promise<Run> => run(argv, { env: { DATABASE_URL: database.url } });
const deploy = async (files: Files): Promise<void> => {
  const { code, stdout } = await weft('deploy', makeFolder(files));
  expect(code, stdout).toBe(0);
};
const write = (n: number): string => `insert into journal values (${n});`;
const bundle = (steps: string, more = ''): string => `name: shop\n${more}phases:\n  - { name: main, transaction: per-step, steps: [${steps}] }\n`;
const verdicts = (folder: string) =>
  weft('plan', folder, '--json').then(({ json }) =>
    Object.fromEntries(json().phases[0].steps.map(({ path, verdict }: { path: string; verdict: string }) => [path, verdict])),
  );

describe('weft plan', () => {
  it('shows what differs in a file that was applied, and who applied it, and exits with 2', async () => {
    await deploy({ '1.sql': `${write(1)}\n${write(2)}\n` });
    const { code, stdout } = await weft('plan', makeFolder({ '1.sql': `${write(1)}\n${write(3)}\n` }));
    expect(code).toBe(2);
    expect(stdout).toContain('refuse: applied with other bytes');
    expect(stdout).toMatch(/--- 1\.sql, as deployment [0-9a-f-]{36} applied it on 20/);
    expect(stdout).toContain(`-${write(2)}\n+${write(3)}`);
    const [row] = await sql(database.url, 'select count(*)::int as n from weft.deployments');
    expect(row.n).toBe(1);
  });

  it('says of no file that it would run when another one is refused, and everything with it', async () => {
    await deploy({ '1.sql': write(1), '3.sql': write(3) });
    const { code, stdout } = await weft('plan', makeFolder({ '1.sql': write(9), '2.sql': write(2), '3.sql': write(3), '4.sql': write(4) }));
    expect(code).toBe(2);
    expect(stdout).toMatch(
      /refuse: applied with other bytes +1\.sql .*\n.*held back: out of order +2\.sql .*\n.*skip: applied +3\.sql .*\n.*held back +4\.sql /,
    );
    expect(stdout).toContain('Nothing would run: ');
    expect(stdout).not.toMatch(/^ +\d+ +run/m);
  });

  it.each(['any', 'strict'])('names files that were applied and are not in the bundle, as the deployment does when it is over: order: %s', async (order) => {
    const yaml = (views = '') =>
      `name: shop\norder: ${order}\nphases:\n- name: m\n  steps: [{ run: "*.sql" }${views}, { load: d.csv, into: d, key: [k], mode: sync }]\n`;
    const data = { 'd.csv': 'k\n1\n' };
    const views = ', { run: "v/*.sql", repeat: on-change }';
    const first = makeFolder({
      ...data,
      'weft.yaml': yaml(views),
      '1.sql': `${write(1)} create table d (k int primary key);`,
      '2.sql': write(2),
      '3.sql': write(3),
      'v/v.sql': 'create view v as select 1 as a',
    });
    expect((await weft('deploy', first)).code).toBe(0);
    expect((await weft('plan', first)).stderr).not.toContain('gone:');
    const older = makeFolder({
      'weft.yaml': yaml().replace(', { load: d.csv, into: d, key: [k], mode: sync }', ''),
      '1.sql': `${write(1)} create table d (k int primary key);`,
      '3b.sql': write(3),
      '4.sql': write(4),
    });
    const plan = await weft('plan', older);
    expect(plan.code).toBe(0);
    expect(plan.stderr).toMatch(/gone: 1 file was applied to this database, and is not in this bundle: 2\.sql\. An older checkout/);
    expect((await weft('plan', older, '--json')).json()).toMatchObject({ gone: ['2.sql'] });
    const deployed = await weft('deploy', older);
    expect(deployed.code).toBe(0);
    expect(deployed.stdout).toContain('Gone: 1 file was applied to this database, and is not in this bundle: 2.sql.');
  });

  it('counts all files that are gone, also where the deployment lists the first of them: old ones that were squashed into one, say', async () => {
    await deploy(Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`${n + 10}.sql`, write(n)])));
    const squashed = makeFolder({ '99.sql': write(99) });
    const said = '30 files were applied to this database, and are not in this bundle: 10.sql, 11.sql, 12.sql, 13.sql, 14.sql and 25 more.';
    expect((await weft('plan', squashed)).stderr).toContain(said);
    expect((await weft('deploy', squashed)).stdout).toContain(said);
  });

  it('warns of a bundle that has another name now, and of none where its name is known', async () => {
    const named = (name: string, more: Record<string, string> = {}) =>
      makeFolder({ 'weft.yaml': `name: ${name}\nphases:\n- name: m\n  steps: [{ run: "*.sql" }]\n`, '1.sql': write(1), '2.sql': write(2), ...more });
    expect((await weft('plan', named('shop'))).stderr).not.toContain('another name');
    expect((await weft('deploy', named('shop'))).code).toBe(0);
    const plan = await weft('plan', named('store', { '3.sql': write(3) }));
    expect(plan.code).toBe(0);
    expect(plan.stderr).toContain(
      'warning: nothing of a bundle "store" was applied to this database, and of the bundle "shop" 2 files were, with the same paths and bytes: 1.sql, 2.sql. Under another name they run again. If it is the same bundle, give it back its name (name: shop, in weft.yaml)',
    );
    expect((await weft('plan', named('store'), '--json')).json()).toMatchObject({ elsewhere: [{ bundle: 'shop', count: 2, paths: ['1.sql', '2.sql'] }] });
    expect((await weft('plan', named('shop', { '1.sql': write(1) }))).stderr).not.toContain('another name');
    expect((await weft('deploy', named('other', { '1.sql': write(4), '2.sql': write(5) }))).code).toBe(0);
    expect((await weft('plan', named('other', { '1.sql': write(1), '2.sql': write(5) }), '--json')).json()).toMatchObject({ elsewhere: [] });
  });

  it('passes over comments and white space, and follows a rename', async () => {
    await deploy({ '1.sql': write(1), '2.sql': write(2) });
    const folder = makeFolder({ '1.sql': `-- one\n${write(1)}`, '2b.sql': write(2), '3.sql': write(3) });
    expect(await verdicts(folder)).toEqual({ '1.sql': 'unchanged', '2b.sql': 'renamed', '3.sql': 'new' });
    const { code, stdout } = await weft('plan', folder);
    expect(code).toBe(0);
    expect(stdout).toMatch(/skip: renamed\s+2b\.sql\s.*from 2\.sql/);
    expect(stdout).toContain('1 of 3 steps would run.');
  });

  it('refuses what could be renamed from several', async () => {
    await deploy({ '1.sql': write(1) });
    const folder = makeFolder({ 'a.sql': write(1), 'b.sql': write(1) });
    expect(await verdicts(folder)).toEqual({ 'a.sql': 'ambiguous', 'b.sql': 'ambiguous' });
    const { code, stdout } = await weft('plan', folder);
    expect(code).toBe(2);
    expect(stdout).toContain('Applied, and gone from the bundle: 1.sql; new, with the same content: a.sql, b.sql.');
  });

  it('says of a new file that it would run behind others that come after it, or that this is refused', async () => {
    await deploy({ '2.sql': write(2) });
    const files = { '1.sql': write(1), '2.sql': write(2) };
    const any = await weft('plan', makeFolder(files));
    expect(any.code).toBe(0);
    expect(any.stdout).toMatch(/run: out of order\s+1\.sql\s.*2\.sql comes behind it, and has been applied/);
    const strict = await weft('plan', makeFolder({ ...files, 'weft.yaml': bundle('{ run: "*.sql" }', 'order: strict\n') }));
    expect(strict.code).toBe(2);
    expect(strict.stdout).toMatch(/refuse: out of order\s+1\.sql/);
    expect(strict.stdout).toContain('"order: strict"');
  });

  it('says whose order the server decides, which is tried first, and what runs again because something is gone', async () => {
    const view = (name: string, from: string): string => `create or replace view ${name} as select n from ${from};`;
    const files = {
      'weft.yaml': bundle('{ run: "*.sql", repeat: on-change }'),
      'a.sql': view('a', 'b'),
      'b.sql': view('b', 'c'),
      'c.sql': view('c', 'journal'),
    };
    await deploy(files);
    const changed = makeFolder({ ...files, 'b.sql': view('b', 'c where n > 0'), '0.sql': view('zero', 'a') });
    expect(await verdicts(changed)).toEqual({ '0.sql': 'new', 'a.sql': 'applied', 'b.sql': 'again', 'c.sql': 'applied' });
    const { stdout, stderr } = await weft('plan', changed);
    expect(stdout + stderr).toContain('The server decides the order of 4 files. It tries first: c.sql, b.sql, a.sql, 0.sql.');
    await sql(database.url, 'drop view a');
    expect((await weft('plan', changed)).stdout).toMatch(/run: something is gone\s+a\.sql\s.*gone: public\.a/);
    expect((await weft('plan', changed)).stdout).toContain('3 of 4 steps would run.');
  });

  it('says that of a file which has another name, or other comments, too: it runs then', async () => {
    const view = (name: string): string => `create or replace view ${name} as select n from journal;`;
    const yaml = { 'weft.yaml': bundle('{ run: "*.sql", repeat: on-change }') };
    await deploy({ ...yaml, 'a.sql': view('a'), 'b.sql': view('b'), 'c.sql': view('c') });
    await sql(database.url, 'drop view a; drop view b');
    const files = { ...yaml, 'aa.sql': view('a'), 'b.sql': `-- as b\n${view('b')}`, 'cc.sql': view('c') };
    expect(await verdicts(makeFolder(files))).toEqual({ 'aa.sql': 'lost', 'b.sql': 'lost', 'cc.sql': 'renamed' });
    const { stdout } = await weft('plan', makeFolder(files));
    expect(stdout).toMatch(/run: something is gone\s+aa\.sql\s.*from a\.sql; gone: public\.a\n/);
    expect(stdout).toMatch(/run: something is gone\s+b\.sql\s.*gone: public\.b\n/);
    await deploy(files);
    expect(await sql(database.url, "select to_regclass('a') is not null and to_regclass('b') is not null as are_there")).toEqual([{ are_there: true }]);
  });

  it('warns of drift since the last deployment, with the count and what shows it; of none while there is none', async () => {
    const files = { '1.sql': 'create table goods (id int);' };
    await deploy(files);
    const folder = makeFolder({ ...files, '2.sql': 'create table more (id int);' });
    const { stderr: quiet, code } = await weft('plan', folder);
    expect([code, quiet]).toEqual([0, '']);
    await sql(database.url, 'alter table goods add by_hand int; create table mine ()');
    const { code: still, stderr } = await weft('plan', folder);
    expect(still).toBe(0);
    expect(stderr).toMatch(/^drift: 2 objects are not as deployments have left them\. "weft drift" shows what should be there and what is\.$/m);
    const [{ id }] = await sql(database.url, 'select id from weft.deployments');
    expect((await weft('plan', folder, '--json')).json().drift).toEqual({ verdict: 'drift', count: 2, since: id, running: null });
    expect((await weft('plan', makeFolder({ '9.sql': 'select 1;' }))).stderr).toContain('drift: 2 objects'); // a bundle that was never here
  });
});

it('weft plan says that a file runs again whose view another one has replaced since, which is gone', async () => {
  const yaml = bundle('{ run: "v/*.sql", repeat: on-change }');
  const view = (n: number): string => `create or replace view va as select ${n} as n`;
  const older = { 'weft.yaml': yaml, 'v/1.sql': view(1) };
  await deploy(older);
  await deploy({ 'weft.yaml': yaml, 'v/2.sql': view(2) });
  const { stdout } = await weft('plan', makeFolder(older));
  expect(stdout).toMatch(/run again: replaced since +v\/1\.sql .*; public\.va is as v\/2\.sql has left it, which is gone from the bundle\n/);
  expect(stdout).toContain('1 of 1 step would run.');
  await deploy(older);
  expect(await verdicts(makeFolder(older))).toEqual({ 'v/1.sql': 'applied' });
});

describe('weft plan, of a file with the bytes that were applied and other words', () => {
  const CSV = { 'c.csv': 'k\n1\n' };
  const load = (words: string, files: Files = CSV) => makeFolder({ ...files, 'weft.yaml': bundle(`{ load: c.csv, ${words} }`) });
  const lineOf = (stdout: string) => stdout.split('\n').find((line) => line.includes('c.csv')) ?? '';

  beforeEach(async () => {
    await sql(database.url, 'create table a (k text primary key); create table b (k text primary key)');
  });

  const deployed = async (words: string): Promise<void> => expect((await weft('deploy', load(words))).code).toBe(0);

  it('says that data which is brought in line runs into another table, and that the rows in the first stay', async () => {
    await deployed('into: a, key: [k], mode: upsert');
    const { code, stdout } = await weft('plan', load('into: b, key: [k], mode: upsert'));
    expect(code).toBe(0);
    expect(lineOf(stdout)).toMatch(/run again: other words +c\.csv .*into b, upsert by k; it was loaded into public\.a, whose rows stay$/);
    expect(stdout).toContain('1 of 1 step would run.');
  });

  it('says what the words were', async () => {
    await deployed('into: a, key: [k], mode: upsert');
    const { stdout } = await weft('plan', load('into: a, key: [k], mode: sync, where: "k > \'0\'"'));
    expect(lineOf(stdout)).toMatch(/run again: other words .*; when it was applied: mode upsert, where not said$/);
    expect(await verdicts(load('into: a, key: [k], mode: sync'))).toEqual({ 'c.csv': 'reworded' });
  });

  it('says that what is only inserted is refused elsewhere, and exits with 2; or skipped, where it is the same table', async () => {
    await deployed('into: a');
    const { code, stdout } = await weft('plan', load('into: b'));
    expect(code).toBe(2);
    expect(lineOf(stdout)).toContain('refuse: applied with other words');
    expect(stdout).toContain('Nothing would run: c.csv was loaded into public.a, and is to go into public.b now.');
    expect(lineOf((await weft('plan', load('into: later'))).stdout)).toMatch(
      /run: other table .*unless that is public\.a by another name: it was loaded into that$/,
    );
    await sql(database.url, 'alter table a rename to c');
    const same = await weft('plan', load('into: c'));
    expect(same.code).toBe(0);
    expect(lineOf(same.stdout)).toMatch(/skip: applied .*; into the same table, whose name has changed: into a when it was applied$/);
  });
});
