/** `load` at the command line: what check, plan and deploy say of data files. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder, putFiles } from './folder.ts';
import { run } from './run.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await emptyDatabase();
  await sql(database.url, 'create table currency (code text primary key, name text); create table sample (id int)');
});

afterEach(() => database.drop());

const weft = (...argv: string[]) => run(argv, { env: { DATABASE_URL: database.url }, columns: 200 });

const FILES = {
  'weft.yaml': `name: shop
phases:
  - name: data
    transaction: single
    steps:
      - { load: currency.csv, into: currency, mode: sync, key: [code], where: code <> 'XTS' }
      - { load: sample.ndjson, into: sample, when: true }
`,
  'currency.csv': 'code,name\nEUR,Euro\nUSD,Dollar\n',
  'sample.ndjson': '{"id": 1}\n',
};

describe('a bundle with data files', () => {
  it('is shown with where they go and how', async () => {
    const { code, stdout, stderr } = await weft('check', makeFolder(FILES));
    expect(code).toBe(0);
    expect(stdout).toMatch(/1 {2}load {2}currency\.csv +\d+ B {2}into currency, sync by code; deletes only where code <> 'XTS'\n/);
    expect(stdout).toMatch(/2 {2}load {2}sample\.ndjson +\d+ B {2}into sample, insert; when true\n/);
    expect(stderr).toBe('');
  });

  it('is deployed, and says how many rows; edited, its sync is planned and done again, and its insert refused', async () => {
    const folder = makeFolder(FILES);
    const first = await weft('deploy', folder);
    expect(first.code, first.stderr).toBe(0);
    expect(first.stderr).toMatch(/1\/2 data: currency\.csv: done, [\d.]+ m?s, 2 inserted\n/);
    expect(first.stdout).toMatch(/currency\.csv +into currency +2 inserted\n/);

    putFiles(folder, { 'currency.csv': 'code,name\nEUR,Euro\nCHF,Franc\n' });
    const plan = await weft('plan', folder);
    expect(plan.stdout).toMatch(/1 {2}run again: changed {2}currency\.csv/);
    expect(plan.stdout).toMatch(/2 {2}skip: applied +sample\.ndjson/);
    expect(plan.stdout).toContain('1 of 2 steps would run.');
    const second = await weft('deploy', folder, '--json');
    expect(second.json().phases[0].steps).toMatchObject([
      { state: 'succeeded', rows: 2, result: { inserted: 1, updated: 0, deleted: 1, unchanged: 1 } },
      { state: 'skipped' },
    ]);

    putFiles(folder, { 'sample.ndjson': '{"id": 2}\n' });
    expect((await weft('plan', folder)).stdout).toMatch(/2 {2}refuse: applied with other bytes +sample\.ndjson/);
    expect((await weft('deploy', folder)).code).toBe(1);
    expect(await sql(database.url, 'select id from sample')).toEqual([{ id: 1 }]);
  });

  it('names path, line and column of what does not fit', async () => {
    const { code, stdout } = await weft('deploy', makeFolder({ ...FILES, 'sample.ndjson': '{"id": 1}\n{"id": "one"}\n' }));
    expect(code).toBe(1);
    expect(stdout).toContain('sample.ndjson:2  in phase data');
    expect(stdout).toContain('sample.ndjson:2  in phase data\n  | {"id": "one"}\n  WF030: column id: invalid input syntax for type integer: "one"');
    expect(stdout).toContain('Next: correct sample.ndjson and deploy again');
  });
});
