/** Errors at the very COMMIT, behind every place where the engine could catch them: the CALL dies, and the next one brings the engine what the server said. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { COMMIT_FAILS, connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const DOOMED = `${COMMIT_FAILS} insert into doom values ('yes');`;
const deploy = (files: Readonly<Record<string, string>>, options: Parameters<typeof deployFiles>[2] = {}) =>
  deployFiles(connectOver(database.url), files, options);

it.each([
  ['single', undefined],
  ['per-step', '2.sql'],
  ['auto', '2.sql'],
  ['none', '2.sql'],
] as const)('what is about the files or the data is the outcome, at once: %s', async (transaction, path) => {
  await sql(database.url, DOOMED);
  const end = await deploy({ '2.sql': 'select 1;\ninsert into doomed values (1);' }, { transaction });
  expect(end).toMatchObject({
    state: 'failed',
    error: { sqlstate: 'P0001', message: 'failed at the commit itself', detail: expect.stringContaining('at COMMIT') },
  });
  expect(end.error?.path).toBe(path);
  if (transaction === 'none') expect(end.error?.line).toBe(2);
  expect(await sql(database.url, 'select outcome from weft._attempts')).toEqual([{ outcome: 'failed' }]);
  expect(await sql(database.url, 'select from doomed')).toEqual([]);
});

it('and of a step that may fail it is its own', async () => {
  const steps = [{ run: '1.sql' }, { run: '2.sql', on_error: 'continue' }, { run: '3.sql' }];
  const files = { '1.sql': DOOMED, '2.sql': 'insert into doomed values (1);', '3.sql': 'create table three ();' };
  const end = await deploy({ 'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'main', transaction: 'per-step', steps }] }), ...files });
  expect(end).toMatchObject({ state: 'degraded', phases: [{ steps: [{}, { state: 'failed', error: { sqlstate: 'P0001' } }, { state: 'succeeded' }] }] });
});

it.each([
  ['53100', 'the disk is full'],
  ['57014', 'canceling statement due to user request'],
])(
  'what may pass by itself is tried again, until the engine says that it is enough; then the last words of the server are told: %s',
  async (sqlstate, words) => {
    const passing = DOOMED.replace("raise exception 'failed at the commit itself'", `raise exception '${words}' using errcode = '${sqlstate}'`);
    expect(await deploy({ '1.sql': passing, '2.sql': 'insert into doomed values (1);' })).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF018', path: '2.sql', detail: expect.stringContaining(`The last time, the server said: ${words} (${sqlstate}).`) },
    });
  },
);

it('so are those with which the server ends the session', async () => {
  const end = await deploy({ '1.sql': 'select pg_terminate_backend(pg_backend_pid());' });
  expect(end).toMatchObject({
    error: {
      sqlstate: 'WF018',
      path: '1.sql',
      detail: expect.stringMatching(/^The last time, the server said: terminating connection due to administrator command \(57P01\)\. /),
    },
  });
});

it('a query that only COMMIT runs, of a cursor that is held, is told with its line', async () => {
  const file = 'create table h (n int);\ninsert into h values (1), (0);\ndeclare c cursor with hold for select 1 / n from h;\nselect 1;';
  expect(await deploy({ '1.sql': file }, { transaction: 'none' })).toMatchObject({ state: 'failed', error: { sqlstate: '22012', path: '1.sql', line: 3 } });
});

it('a value of a secret stands in none of them', async () => {
  const secret = 'sesame-open-4711';
  await sql(database.url, DOOMED.replace("raise exception 'failed at the commit itself'", `raise exception 'not ${secret}' using errcode = 'P0001'`));
  const phases = [{ name: 'main', transaction: 'none', steps: [{ run: '2.sql' }] }];
  const files = {
    'weft.yaml': JSON.stringify({ name: 'shop', parameters: { key: { type: 'text', secret: true } }, phases }),
    '2.sql': "insert into doomed values (length(:'key'));",
  };
  const end = await deploy(files, { secrets: { key: secret } });
  expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'P0001' } });
  expect(JSON.stringify([end, await sql(database.url, 'select * from weft._events')])).not.toContain(secret);
});
