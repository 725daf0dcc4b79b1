/** An undo that stopped half-way: the history has the file still and the database has not, so nothing is deployed over it; and each way on leads on. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { driftSchema } from '../../src/domain/deployment.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder, putFiles } from './folder.ts';
import { type Run, run } from './run.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const weft = (...argv: string[]): Promise<Run> => run(argv, { env: { DATABASE_URL: database.url } });
const flat = ({ stdout }: Run): string => stdout.replaceAll(/\s+/g, ' ');
const paths = async () => (await sql(database.url, 'select path from weft.history order by path')).map(({ path }) => path);
const tables = async () =>
  (await sql(database.url, `select relname from pg_class where relname in ('one', 'two', 'three') order by relname`)).map(({ relname }) => relname);

const FILES = {
  'weft.yaml': 'name: shop\nphases: [{ name: main, transaction: none, steps: [{ run: "*.sql", undo: "u/*.sql" }] }]\n',
  '1.sql': 'create table one (n int); create table two (n int);',
  'u/1.sql': 'drop table two;\ndrop table missing;\ndrop table one;',
};
const REPAIRED = 'drop table two;\ndrop table if exists missing;\ndrop table one;';

/** Deploys the files and takes them back half-way: two is gone, one is there. */
async function half(files: Readonly<Record<string, string>> = FILES): Promise<{ folder: string; id: string }> {
  const folder = makeFolder(files);
  const { id } = (await weft('deploy', folder, '--json')).json();
  expect((await weft('undo', '--json')).json().state).toBe('failed');
  return { folder, id };
}

it('refuses each deployment with the file, says why, and names the ways on; so does the plan', async () => {
  const { folder, id } = await half();
  putFiles(folder, { '2.sql': 'create table three (n int);' });
  const account = `1.sql is taken back in part: statement 1 of u/1.sql has run (the 2nd, line 2, failed). "weft undo ${id}" goes on there`;
  const plan = await weft('plan', folder);
  const deployed = await weft('deploy', folder);
  expect([plan.code, deployed.code]).toEqual([2, 1]);
  for (const said of [flat(plan), flat(deployed)]) {
    expect(said).toContain('1.sql is taken back in part: an undo has stopped half-way.');
    expect(said).toContain(account);
    expect(said).toContain(`To take back the rest: weft undo ${id}.`);
    expect(said).toContain('To go forward instead: bring all of 1.sql about again by hand, and say so: weft baseline FOLDER --only 1.sql.');
  }
  expect(flat(deployed)).toContain('Nothing of this deployment was run, and nothing needs to be cleaned up.');
  expect((await weft('deploy', folder, '--json')).json().error).toMatchObject({ sqlstate: 'WF064', path: '1.sql' });
  expect((await weft('deploy', '--rehearse', folder, '--json')).json().error.sqlstate).toBe('WF064');
  expect([await tables(), await paths()]).toEqual([['one'], ['1.sql']]);
});

it('also where the file has another name now, and where rows are what is gone', async () => {
  const { folder } = await half({ ...FILES, 'u/1.sql': 'delete from one; drop table missing; drop table one;' });
  expect((await weft('deploy', folder, '--strict', '--json')).json().error.sqlstate).toBe('WF064');
  const renamed = makeFolder({ 'weft.yaml': FILES['weft.yaml'], 'first.sql': FILES['1.sql'], 'u/first.sql': REPAIRED });
  expect((await weft('deploy', renamed, '--json')).json().error).toMatchObject({ sqlstate: 'WF064', path: 'first.sql' });
});

it('lets another bundle through, and this one without the file', async () => {
  await half();
  const rest = { '2.sql': 'create table three (n int);', 'u/2.sql': 'drop table three;' };
  expect((await weft('deploy', makeFolder({ ...rest, 'weft.yaml': FILES['weft.yaml'] }))).code).toBe(0);
  await sql(database.url, 'drop table three');
  expect((await weft('deploy', makeFolder({ ...rest, 'weft.yaml': FILES['weft.yaml'].replace('shop', 'other'), '1.sql': 'select 1;' }))).code).toBe(0);
});

it('is told by weft drift, history and status in words of its own', async () => {
  const { id } = await half();
  const drift = await weft('drift');
  expect(drift.code).toBe(0);
  expect(flat(drift)).toContain('No drift, and not as the history has it, in shop: 1.sql is taken back in part: statement 1 of u/1.sql has run');
  const document = (await weft('drift', '--json')).json();
  expect(driftSchema.parse(document).half_undone).toMatchObject([{ bundle: 'shop', path: '1.sql', undoes: id }]);
  const [{ by }] = await sql(database.url, `select id as by from weft.deployments where undoes is not null`);
  for (const said of [await weft('history'), await weft('status', by)]) {
    expect(flat(said)).toContain(`1.sql is taken back in part: statement 1 of u/1.sql has run (the 2nd, line 2, failed). "weft undo ${id}" goes on there`);
    expect(flat(said)).not.toContain('A corrected file goes on there');
  }
});

describe('the ways on', () => {
  it('backward: the corrected undo file is brought by a deployment that is refused, and the undo goes on behind what has run', async () => {
    const { folder, id } = await half();
    putFiles(folder, { 'u/1.sql': REPAIRED });
    expect((await weft('deploy', folder)).code).toBe(1);
    expect((await weft('undo', id)).code).toBe(0);
    expect([await tables(), await paths()]).toEqual([[], []]);
    expect((await weft('drift', '--json')).json().half_undone).toEqual([]);
    expect((await weft('deploy', folder)).code).toBe(0);
    expect([await tables(), await paths()]).toEqual([['one', 'two'], ['1.sql']]);
  });

  it('forward: all of it is brought about by hand, a baseline says so, and what is undone later is undone from its beginning', async () => {
    const { folder, id } = await half();
    putFiles(folder, { 'u/1.sql': REPAIRED, '2.sql': 'create table three (n int);', 'u/2.sql': 'drop table three;' });
    expect((await weft('baseline', folder, '--only', '1.sql', '--json')).json().error.sqlstate).toBe('WF062'); // it is not there yet
    await sql(database.url, 'create table two (n int)');
    const baseline = (await weft('baseline', folder, '--only', '1.sql', '--json')).json();
    expect(baseline).toMatchObject({ state: 'succeeded', baseline: { files: 1 } });
    expect(await sql(database.url, 'select * from weft.begun')).toEqual([]);
    expect((await weft('undo', id, '--json')).json().problem.type).toBe('urn:weft:problem:nothing_to_undo');
    const { id: second } = (await weft('deploy', folder, '--json')).json();
    expect(await tables()).toEqual(['one', 'three', 'two']);

    // withdrawn, the half is what it was
    expect((await weft('undo', second)).code).toBe(0);
    expect((await weft('undo', baseline.id)).code).toBe(0);
    expect((await weft('deploy', folder, '--json')).json().error.sqlstate).toBe('WF064');
    await sql(database.url, 'drop table two');
    expect((await weft('undo', id)).code).toBe(0);
    expect([await tables(), await paths()]).toEqual([[], []]);
  });

  it('what has run of an undo counts for no other deployment of the file', async () => {
    const { folder } = await half();
    await sql(database.url, 'create table two (n int)');
    const baseline = (await weft('baseline', folder, '--json')).json();
    await sql(database.url, `delete from weft._history where deployment_id = '${baseline.id}'; drop table one, two`);
    putFiles(folder, { 'u/1.sql': REPAIRED });
    const { id } = (await weft('deploy', folder, '--json')).json();
    expect((await weft('undo', id)).code).toBe(0);
    expect(await tables()).toEqual([]);
  });

  it('of a file that was itself applied in part: it does not go on in front of what is gone', async () => {
    const { folder, id } = await half({ ...FILES, '1.sql': `${FILES['1.sql']} select 1/0;` });
    putFiles(folder, { '1.sql': FILES['1.sql'] });
    expect((await weft('deploy', folder, '--json')).json().error.sqlstate).toBe('WF064');
    putFiles(folder, { '1.sql': `${FILES['1.sql']} select 1/0;`, 'u/1.sql': REPAIRED });
    await weft('deploy', folder);
    expect((await weft('undo', id)).code).toBe(0);
    expect(await tables()).toEqual([]);
  });
});
