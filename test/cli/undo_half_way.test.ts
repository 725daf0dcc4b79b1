/** An undo that comes to no full end, and what its summary says then. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { makeFolder } from './folder.ts';
import { type Run, run } from './run.ts';
import { FILES, tablesIn, YAML } from './undoable.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(async () => {
  await database.drop();
});

const weft = (...argv: string[]): Promise<Run> => run(argv, { env: { DATABASE_URL: database.url } });

it('what it advises when it has failed half-way leads to the end', async () => {
  const yaml = YAML.replace('single', 'per-step');
  const { id } = (await weft('deploy', makeFolder({ ...FILES, 'weft.yaml': yaml, 'undo/1_a.sql': 'drop table nope;' }), '--json')).json();
  const failed = await weft('undo');
  expect([failed.code, await tablesIn(database.url)]).toEqual([1, ['a']]);
  expect(failed.stdout.replace(/\s+/g, ' ')).toContain(`Or correct undo/1_a.sql in the folder of the bundle: "weft undo ${id} --with FOLDER" brings it`);
  expect((await weft('undo', id, '--with', makeFolder({ ...FILES, 'weft.yaml': yaml }))).code).toBe(0);
  expect(await tablesIn(database.url)).toEqual([]);
});

it('--partly names what has no undo and is gone with what it needs, and leaves nothing behind to be undone', async () => {
  const yaml = `${YAML}  - name: code\n    transaction: per-step\n    steps: [{ run: "views/*.sql", repeat: on-change }]\n`;
  const files = { ...FILES, 'weft.yaml': yaml, 'undo/1_a.sql': 'drop table a cascade;', 'views/v.sql': 'create or replace view v as select n from a;' };
  const { id } = (await weft('deploy', makeFolder(files), '--json')).json();
  expect((await weft('undo', '--plan', '--partly')).stdout).toContain('made again if something of it goes, or gone with what it needs');
  const { code, stdout } = await weft('undo', '--partly');
  expect(code, stdout).toBe(0);
  expect(stdout).toMatch(/^Undone in part\. /);
  expect(stdout).toMatch(/No undo, and gone with what it needs: .*\n +views\/v\.sql\n/);
  expect(stdout).toMatch(/code \(again\) +per-step +1 file could not be made again/);
  expect((await weft('undo', id, '--json')).json().problem.type).toBe('urn:weft:problem:nothing_to_undo');
});
