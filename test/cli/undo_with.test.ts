/** `weft undo --with FOLDER`: an undo file that is kept and wrong is corrected, and nothing else of the folder is deployed. */
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { startTestStack } from '../support/stack.ts';
import { makeFolder, putFiles } from './folder.ts';
import { run } from './run.ts';
import { FILES, tablesIn } from './undoable.ts';

let database: TestDatabase;
let folder: string;

beforeEach(async () => {
  database = await freshDatabase();
  folder = makeFolder({ ...FILES, 'undo/1_a.sql': 'drop table wrong;' });
});

afterEach(() => database.drop());

const weft = (...argv: string[]) => run(argv, { env: { DATABASE_URL: database.url } });
const flat = (text: string) => text.replace(/\s+/g, ' ');

describe('weft undo --with', () => {
  it('brings the corrected undo files, and runs nothing else of the folder', async () => {
    const { id } = (await weft('deploy', folder, '--json')).json();
    expect((await weft('undo', id)).code).toBe(1);
    putFiles(folder, { 'undo/1_a.sql': 'drop table a;', 'schema/3_c.sql': 'create table c (n int);', 'undo/3_c.sql': 'drop table c;' });
    const { code, stderr } = await weft('undo', id, '--with', folder);
    expect(code, stderr).toBe(0);
    expect(flat(stderr)).toContain('schema/1_a.sql: undo/1_a.sql of');
    expect(flat(stderr)).toContain('takes it back, and not as it was kept.');
    expect(flat(stderr)).not.toContain('undo/2_b.sql of');
    expect(await tablesIn(database.url)).toEqual([]);
    expect(await sql(database.url, 'select path from weft.history')).toEqual([]);
    expect(await sql(database.url, `select steps_done, steps from weft.deployments where request_id like '%-with'`)).toEqual([{ steps_done: '2', steps: '2' }]);
  });

  it('runs nothing of it where the words beside a file are others, what it made was made anew by others, or it runs with every deployment', async () => {
    await sql(database.url, 'create table a (k text primary key); create table b (k text primary key)');
    const yaml = (load: string, runs: string) =>
      `name: words\nphases: [{ name: p, transaction: single, steps: [{ run: s.sql, undo: u.sql }, { load: c.csv, undo: uc.sql, ${load} }, { run: "v/*.sql", repeat: on-change${runs} }, { run: w.sql, repeat: always, undo: uw.sql }] }]\n`;
    const files = {
      's.sql': 'create table s (n int)',
      'u.sql': 'drop table wrong',
      'c.csv': 'k\n1\n',
      'uc.sql': 'delete from a',
      'v/1.sql': 'create or replace view va as select 1 as n',
      'v/2.sql': 'create or replace view va as select 2 as n',
      'w.sql': `insert into a values (gen_random_uuid()::text)`,
      'uw.sql': 'select 1',
    };
    const one = makeFolder({ ...files, 'weft.yaml': yaml('into: a', '') });
    const { id } = (await weft('deploy', one, '--json')).json();
    const { 'v/2.sql': _left, ...corrected } = files;
    const two = makeFolder({
      ...corrected,
      'u.sql': 'drop table s',
      'u/1.sql': 'drop view va',
      'weft.yaml': yaml('into: b, key: [k], mode: upsert', ', undo: "u/*.sql"'),
    });
    await weft('undo', id, '--with', two);
    const [brought] = await sql(
      database.url,
      `select state::text, (select count(*)::int from weft.steps as s where s.deployment_id = d.id and s.state = 'succeeded') as ran from weft.deployments as d where request_id like '%-with'`,
    );
    expect(brought).toEqual({ state: 'succeeded', ran: 0 });
    expect(await sql(database.url, 'select k from b')).toEqual([]);
  });

  it('knows a file by its content where it was renamed, also one that was taken back in part, which no deployment brings', async () => {
    const yaml = `name: half\nphases: [{ name: p, transaction: none, steps: [{ run: "schema/*.sql", undo: "undo/*.sql" }] }]\n`;
    const half = 'create table t (v text); create index concurrently ti on t (v);';
    const one = makeFolder({
      'weft.yaml': yaml,
      'schema/a.sql': half,
      'undo/a.sql': 'drop index concurrently ti; select 1 / (select count(*) from t); drop table t',
    });
    const { id } = (await weft('deploy', one, '--json')).json();
    expect((await weft('undo', id)).code).toBe(1);
    const two = makeFolder({ 'weft.yaml': yaml, 'schema/b.sql': half, 'undo/b.sql': 'drop index concurrently ti; select 1; drop table t' });
    expect((await weft('deploy', two)).code).toBe(1);
    const { code, stderr } = await weft('undo', id, '--with', two);
    expect(code, stderr).toBe(0);
    expect(flat(stderr)).toContain('schema/b.sql is what was applied as schema/a.sql.');
    expect(flat(stderr)).toMatch(/schema\/a\.sql: undo\/a\.sql of .* takes it back, and not as it was kept\./);
    expect(await tablesIn(database.url)).toEqual([]);
    expect(await sql(database.url, 'select path from weft.history')).toEqual([]);
  });

  it('has the parameters of the folder that are new there, with their defaults', async () => {
    const { id } = (await weft('deploy', folder, '--json')).json();
    const yaml = `${FILES['weft.yaml']}parameters: { name: { type: text, default: a }, other: { type: text, required: true } }\n`;
    putFiles(folder, { 'weft.yaml': yaml, 'undo/1_a.sql': 'drop table :"name";' });
    const { code, stderr } = await weft('undo', id, '--with', folder);
    expect(code, stderr).toBe(0);
    expect(await tablesIn(database.url)).toEqual([]);
  });

  it('says of a name that no value stands behind which names have one', async () => {
    const { id } = (await weft('deploy', folder, '--json')).json();
    const yaml = `${FILES['weft.yaml']}parameters: { name: { type: text, default: a }, other: { type: text, required: true } }\n`;
    putFiles(folder, { 'weft.yaml': yaml, 'undo/1_a.sql': 'drop table :other;' });
    const { code, stdout } = await weft('undo', id, '--with', folder);
    expect(code).toBe(1);
    expect(flat(stdout)).toContain('A name behind a colon stands for a parameter if it is declared: here these are name.');
  });

  it('sees names that were exchanged, and says so', async () => {
    const yaml = (first: string, second: string) =>
      `name: shop\nphases: [{ name: schema, transaction: single, steps: [{ run: schema/1_a.sql, undo: undo/${first}.sql }, { run: schema/2_b.sql, undo: undo/${second}.sql }] }]\n`;
    // each takes back the other: both were given the wrong names
    putFiles(folder, { 'weft.yaml': yaml('2_b', '1_a'), 'undo/1_a.sql': 'drop table a;' });
    const { id } = (await weft('deploy', folder, '--json')).json();
    putFiles(folder, { 'weft.yaml': yaml('1_a', '2_b') });
    const { code, stderr } = await weft('undo', id, '--with', folder);
    expect(code, stderr).toBe(0);
    expect(flat(stderr)).toContain('takes it back, and not undo/2_b.sql.');
    expect(await tablesIn(database.url)).toEqual([]);
  });

  it('goes on behind a file that was taken back in part', async () => {
    const halves = {
      'weft.yaml': 'name: shop\nphases: [{ name: schema, transaction: none, steps: [{ run: "schema/*.sql", undo: "undo/*.sql" }] }]\n',
      'undo/2_b.sql': 'drop table b;\ndrop table wrong;',
    };
    putFiles(folder, { ...halves, 'undo/1_a.sql': 'drop table a;' });
    const { id } = (await weft('deploy', folder, '--json')).json();
    expect((await weft('undo', id)).code).toBe(1);
    putFiles(folder, { 'undo/2_b.sql': 'drop table b;\nselect 1;' });
    const { code, stderr } = await weft('undo', id, '--with', folder);
    expect(code, stderr).toBe(0);
    expect(await tablesIn(database.url)).toEqual([]);
  });

  it('says where the folder has nothing that counts: the same files, a file with other bytes, another bundle, and --plan', async () => {
    const { id } = (await weft('deploy', folder, '--json')).json();
    expect(flat((await weft('undo', id, '--with', folder)).stderr)).toContain('are those that would run: nothing was brought.');
    putFiles(folder, { 'undo/1_a.sql': 'drop table a;', 'schema/1_a.sql': 'create table a (n bigint);' });
    expect(flat((await weft('undo', id, '--with', folder)).stderr)).toContain(
      'schema/1_a.sql is not as the deployment has applied it: what takes it back stays as it is kept.',
    );
    putFiles(folder, { 'weft.yaml': FILES['weft.yaml'].replace('shop', 'other') });
    expect(flat((await weft('undo', id, '--with', folder)).stderr)).toContain(`is the bundle other, and deployment ${id} of shop.`);
    expect(await weft('undo', id, '--plan', '--with', folder)).toMatchObject({ code: 2, stderr: expect.stringContaining('--plan changes nothing') });
    expect(await tablesIn(database.url)).toEqual(['a', 'b']);
  });

  it('does the same through a Worker', async () => {
    const stack = await startTestStack();
    onTestFinished(() => stack.stop());
    const worker = (...argv: string[]) => run(argv, { env: stack.env });
    const { id } = (await worker('deploy', folder, '--json')).json();
    putFiles(folder, { 'undo/1_a.sql': 'drop table a;' });
    const { code, stderr } = await worker('undo', id, '--with', folder);
    expect(code, stderr).toBe(0);
    expect(await tablesIn(stack.databaseUrl)).toEqual([]);
  });
});
