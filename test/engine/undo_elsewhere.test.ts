/** An undo takes objects along of files that it is not about, because another file has made them anew since: those files stay applied, so they are missed. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const PHASE = {
  name: 'schema',
  transaction: 'single',
  steps: [
    { run: 'schema/*.sql', undo: 'undo/*.sql' },
    { run: 'views/*.sql', repeat: 'on-change', undo: 'undo/v/*.sql' },
  ],
};
const COMMON = {
  'weft.yaml': JSON.stringify({ name: 'shop', phases: [PHASE] }),
  'schema/1.sql': 'create table a (id int primary key, x int, y int);',
  'undo/1.sql': 'drop table a;',
};
const OLD = { ...COMMON, 'views/010.sql': 'create or replace view va as select x from a;', 'undo/v/010.sql': 'drop view va;' };
const NEW = { ...COMMON, 'views/020.sql': 'create or replace view va as select x, y, id from a;', 'undo/v/020.sql': 'drop view va;' };
const deploy = (files: Readonly<Record<string, string>>) => deployFiles(connectOver(database.url), files);

it('a repeatable file that was renamed and edited, and undone: the older one makes its view again', async () => {
  expect(await deploy(OLD)).toMatchObject({ state: 'succeeded' });
  const { id } = await deploy(NEW);
  const [{ undo }] = await sql(database.url, `select weft.undo($1) ->> 'deployment' as undo`, [id]);
  expect((await sql(database.url, `call weft.run('${undo}')`))[0].result).toMatchObject({ state: 'succeeded' });
  expect(await sql(database.url, `select to_regclass('va') as va, (select array_agg(path order by path) from weft.history) as paths`)).toEqual([
    { va: null, paths: ['schema/1.sql', 'views/010.sql'] },
  ]);
  expect(await deploy(OLD)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ state: 'skipped' }, { state: 'succeeded' }] }] });
  expect(await sql(database.url, `select attname from pg_attribute where attrelid = 'va'::regclass order by attnum`)).toEqual([{ attname: 'x' }]);
});
