/** A round of a batch that fails: what its author is told, and that each way forward which is named leads on. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder } from './folder.ts';
import { type Run, run } from './run.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    `create table orders (id int primary key, text_total text, total int);
     insert into orders (id, text_total) select i, case i when 35 then '12 EUR' else i::text end from generate_series(1, 100) as i`,
  );
});

afterEach(() => database.drop());

const STATEMENT = `update orders set total = text_total::int
where id in (select id from orders where id > :'cursor' order by id limit :size)
returning id as cursor;`;
const CORRECTED = STATEMENT.replace('text_total::int', `split_part(text_total, ' ', 1)::int`);

const weft = (command: string, statement = STATEMENT, words = '', phase = ''): Promise<Run> =>
  run(
    [
      command,
      makeFolder({
        'weft.yaml': `name: shop\nphases:\n  - { name: fill, ${phase}steps: [{ batch: fill.sql, size: 10, cursor: 0${words} }] }\n`,
        'fill.sql': statement,
      }),
    ],
    { env: { DATABASE_URL: database.url } },
  );
const mend = () => sql(database.url, `update orders set text_total = '12' where id = 35`);
const missing = async () => (await sql(database.url, 'select count(*)::int as n from orders where total is null'))[0].n;

it('a round that fails says which it was, behind which cursor, what stays, and how it goes on', async () => {
  const { code, stdout } = await weft('deploy');
  expect(code).toBe(1);
  expect(stdout).toContain('fill.sql:1');
  expect(stdout).toContain('22P02: invalid input syntax for type integer: "12 EUR"');
  expect(stdout).toContain('It was round 4 behind the cursor 30, of up to 10 rows, and is rolled back. 3 rounds of it, with 30 rows, are in the database.');
  expect(stdout).toContain('correct them and deploy again: the batch goes on behind the cursor 30. If the statement is, correct it,');
  expect(stdout).toContain('on_change: continue (behind that cursor) or on_change: restart (from the cursor 0)');
  expect(stdout).toMatch(/fill +auto +committed: 0 of 1 step, and a part of fill\.sql/);
  expect(stdout).toContain(
    'Deploy it as it is and it goes on behind them. A corrected statement is refused until weft.yaml says beside it "on_change: continue" (it',
  );
  expect(stdout).toContain(
    'Next: if rows are the cause, fix them and deploy again. If the statement is, correct fill.sql, write "on_change: continue" (behind what is committed) or "on_change: restart" (from its beginning) beside it in weft.yaml, and deploy again.',
  );
  expect(await missing()).toBe(70);
});

it('the first way: the rows are mended, and the same bundle goes on behind what is committed', async () => {
  await weft('deploy');
  await mend();
  const plan = await weft('plan');
  expect(plan.stdout).toContain('goes on behind 3 rounds, 30 rows');
  expect(plan.code).toBe(0);
  expect((await weft('deploy')).code).toBe(0);
  expect(await missing()).toBe(0);
});

it('the second way: the statement is corrected, and weft plan already says what weft.yaml must say', async () => {
  await weft('deploy');
  for (const command of ['plan', 'deploy']) {
    const { code, stdout } = await weft(command, CORRECTED);
    expect(code).toBe(command === 'plan' ? 2 : 1);
    expect(stdout).toContain('3 rounds of this batch are in the database already, and the statement was another one then.');
    expect(stdout).toContain('on_change: continue goes on behind the cursor 30; on_change: restart begins anew from the cursor 0');
  }
  const plan = await weft('plan', CORRECTED, ', on_change: continue');
  expect(plan).toMatchObject({ code: 0, stdout: expect.stringContaining('goes on behind 3 rounds, 30 rows') });
  expect((await weft('plan', CORRECTED, ', on_change: restart')).stdout).toContain('begins anew, over 3 rounds, 30 rows');
  expect((await weft('deploy', CORRECTED, ', on_change: continue')).code).toBe(0);
  expect(await missing()).toBe(0);
});

it('the third way: the corrected statement begins anew, and says what it began anew over, wherever it stops again', async () => {
  await weft('deploy');
  const restarted = await weft('deploy', STATEMENT.replace('::int', '::int + 0'), ', on_change: restart');
  expect(restarted.code).toBe(1);
  expect(restarted.stdout).toContain(
    'It was round 4 behind the cursor 30, of up to 10 rows, and is rolled back. 3 rounds of it, with 30 rows, are in the database.',
  );
  expect(restarted.stdout).toContain(
    'Before it began anew, 3 rounds, with 30 rows, had been committed: what those have done is there where it has not come to since.',
  );
  expect(restarted.stdout).toContain('correct it and deploy again: it begins anew from the cursor 0, as weft.yaml says (on_change: restart).');
  expect(restarted.stdout).toContain('If the statement is, correct fill.sql and deploy again: it begins anew, as weft.yaml says (on_change).');
  const first = await weft('deploy', STATEMENT.replace('text_total::int', `1 / (id - 5)`), ', on_change: restart');
  expect(first.stdout).toContain(
    'It was round 1 behind the cursor 0, of up to 10 rows, and is rolled back. Before it began anew, 6 rounds, with 60 rows, had been committed',
  );
  expect((await weft('plan', CORRECTED, ', on_change: restart')).stdout).toContain('begins anew, over 3 rounds, 30 rows');
  expect((await weft('deploy', CORRECTED, ', on_change: restart')).code).toBe(0);
  expect(await missing()).toBe(0);
  expect((await weft('deploy', CORRECTED, ', on_change: restart')).stdout).toContain('there was nothing to run');
});

it('values of parameters that the statement names are compared too, and weft plan says what a deployment says', async () => {
  const folder = makeFolder({
    'weft.yaml': `name: shop
parameters:
  by: { type: integer, default: 1 }
  unit: { type: text, default: EUR }
  other: { type: text, default: a }
  needed: { type: integer, required: true }
  token: { type: text, secret: true }
phases:
  - { name: fill, steps: [{ batch: fill.sql, size: 10, cursor: 0 }] }
`,
    'fill.sql': STATEMENT.replace('text_total::int', `text_total::int * :by + :needed + length(:'unit') + length(coalesce(weft.parameter('token'), ''))`),
  });
  const given = (command: string, ...words: string[]) =>
    run([command, folder, ...words], { env: { DATABASE_URL: database.url, TOKEN: 'a secret of the house' } });
  const needed = ['--set', 'needed=1', '--set-env', 'token=TOKEN'];
  expect((await given('deploy', ...needed)).code).toBe(1);
  // what a value is, its type says; a secret is not compared; nor is what the statement does not name, or what is not given yet
  for (const words of [needed, [], ['--set', 'needed=01'], ['--set', 'needed=1', '--set', 'by=+1'], [...needed, '--set', 'other=b']]) {
    const plan = await given('plan', ...words);
    // one that is required and not given refuses a deployment, whatever the batch says
    expect(plan).toMatchObject({ code: words.length === 0 ? 2 : 0, stdout: expect.stringContaining('goes on behind 3 rounds, 30 rows') });
  }
  for (const [words, names] of [
    [[...needed, '--set', 'by=2'], 'by'],
    [['--set', 'needed=2', '--set-env', 'token=TOKEN', '--set', 'unit=USD'], 'needed, unit'],
  ] as const) {
    for (const command of ['plan', 'deploy']) {
      const { code, stdout } = await given(command, ...words);
      expect(code).toBe(command === 'plan' ? 2 : 1);
      expect(stdout).toContain(`3 rounds of this batch are in the database already, and parameters that it names had other values then: ${names}.`);
    }
  }
  expect(await given('plan', ...needed, '--set', 'by=one')).toMatchObject({ code: 2, stderr: expect.stringContaining('The parameter "by" is no integer') });
});

it('where it may fail, weft resume is a way too, and the summary says what of it stays', async () => {
  const { code, stdout } = await weft('deploy', STATEMENT, '', 'on_error: continue, ');
  expect(code).toBe(0);
  expect(stdout).toMatch(/committed: 0 steps, 1 failed and in part committed \(fill\.sql\)/);
  await mend();
  const id = /deployment +([0-9a-f-]{36})/.exec(stdout)?.[1] as string;
  expect((await run(['resume', id], { env: { DATABASE_URL: database.url } })).code).toBe(0);
  expect(await missing()).toBe(0);
});
