/** Deaths without a word: attempts that end before they can say why are counted, and end in a verdict instead of a loop. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, COMMIT_FAILS, shutGate, stageFiles } from '../support/orders.ts';
import { sql, sqlAnew } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

const SETS_UP = `create table journal (file text); insert into journal values ('1'); create table doom_of (file text); ${COMMIT_FAILS}`;

/** Ends its own backend as long as there is a row for it in `doom_of`. */
const endsItself = (file: string) =>
  `insert into journal values ('${file}'); select pg_terminate_backend(pg_backend_pid()) from doom_of where file = '${file}';`;

/** Fails at COMMIT as long as there is a row in `doom`. */
const failsAtCommit = (file: string) => `insert into journal values ('${file}'); insert into doomed values (1);`;

/** Calls until a CALL comes back with an answer. */
// biome-ignore lint/suspicious/noExplicitAny: the document of weft.status
async function callUntilAnswer(id: string): Promise<{ deaths: number; answer: any }> {
  for (let deaths = 0; deaths < 20; deaths++) {
    const answer = await sqlAnew(database.url, `call weft.run('${id}')`).catch(() => null);
    if (answer !== null) return { deaths, answer: answer[0].result };
  }
  throw new Error('20 CALLs have died');
}

async function die(id: string, times: number): Promise<void> {
  for (let n = 0; n < times; n++) await expect(sqlAnew(database.url, `call weft.run('${id}')`)).rejects.toThrow();
}

const journal = async () => (await sql(database.url, 'select file from journal order by file')).map(({ file }) => file);

const deaths = async () => (await sql(database.url, 'select deaths from weft._deployments order by created_at desc limit 1'))[0].deaths;

describe('a step that kills its backend', () => {
  it.each([
    { how: 'fails at the commit itself', doom: "insert into doom values ('yes')", file: failsAtCommit('2') },
    { how: 'ends its own backend', doom: "insert into doom_of values ('2')", file: endsItself('2') },
  ])('because it $how is given up after five attempts, and named', async ({ doom, file }) => {
    const id = await stageFiles(database.url, { '1.sql': `${SETS_UP} ${doom};`, '2.sql': file, '3.sql': "insert into journal values ('3')" });
    const { deaths: count, answer } = await callUntilAnswer(id);
    expect(count).toBe(5);
    expect(answer).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF018', message: 'Died without a word 5 times at 2.sql.', path: '2.sql', phase: 'main' },
      phases: [{ state: 'failed', finished_at: expect.any(String) }],
    });
    expect(await journal(), 'what was committed before stays, and nothing of the one that died').toEqual(['1']);
    expect(await sql(database.url, 'select outcome, count(*)::int from weft._attempts group by 1')).toEqual([{ outcome: 'died', count: 5 }]);
  });

  it('in an all-or-nothing phase is given up too; there the phase is named, and nothing of it is left', async () => {
    await sql(database.url, `${SETS_UP} insert into doom_of values ('3'); truncate journal`);
    const id = await stageFiles(database.url, { '2.sql': "insert into journal values ('2')", '3.sql': endsItself('3') }, { transaction: 'single' });
    const { deaths: count, answer } = await callUntilAnswer(id);
    expect(count).toBe(5);
    expect(answer).toMatchObject({ state: 'failed', error: { sqlstate: 'WF018', message: 'Died without a word 5 times at main.', phase: 'main' } });
    expect(answer.error.path).toBeUndefined();
    expect(await journal()).toEqual([]);
  });

  it('is deployed again, once its cause is gone, without a human act on what Weft remembers', async () => {
    const files = { '1.sql': `${SETS_UP} insert into doom values ('yes');`, '2.sql': failsAtCommit('2') };
    expect((await callUntilAnswer(await stageFiles(database.url, files))).answer.state).toBe('failed');
    await sql(database.url, 'delete from doom');
    expect((await callUntilAnswer(await stageFiles(database.url, files))).answer).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{ state: 'skipped' }, { state: 'succeeded' }] }],
    });
    expect(await journal()).toEqual(['1', '2']);
  });
});

describe('the count of deaths', () => {
  it('begins anew whenever something got done in between', async () => {
    await sql(database.url, `${SETS_UP} insert into doom_of values ('2'), ('3')`);
    const id = await stageFiles(database.url, { '2.sql': endsItself('2'), '3.sql': endsItself('3') });
    await die(id, 4);
    await sql(database.url, "delete from doom_of where file = '2'");
    await die(id, 1); // gets 2.sql done, and dies at 3.sql
    expect(await deaths()).toBe(0);
    await die(id, 3);
    expect(await deaths()).toBe(3);
    await sql(database.url, 'delete from doom_of');
    expect((await callUntilAnswer(id)).answer).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual(['1', '2', '3']);
  });

  it('counts those that another session has ended', async () => {
    const id = await stageFiles(database.url, { '1.sql': SETS_UP, '2.sql': AT_THE_GATE });
    const gate = await shutGate(database.url);
    for (let n = 0; n < 5; n++) {
      const dying = die(id, 1);
      await gate.reached();
      await sql(database.url, 'select pg_terminate_backend(pid, 10000) from weft._lease');
      await dying;
    }
    expect((await callUntilAnswer(id)).answer).toMatchObject({ state: 'failed', error: { sqlstate: 'WF018', path: '2.sql' } });
    await gate.open();
  });

  it('does not count interruptions', async () => {
    const id = await stageFiles(database.url, { '1.sql': SETS_UP, '2.sql': AT_THE_GATE });
    const gate = await shutGate(database.url);
    for (let n = 0; n < 6; n++) {
      const running = sqlAnew(database.url, `call weft.run('${id}')`);
      await gate.reached();
      await sql(database.url, 'select pg_cancel_backend(pid) from weft._lease');
      expect((await running)[0].result).toMatchObject({ state: 'running', interrupted: { sqlstate: '57014' } });
    }
    expect(await deaths()).toBe(0);
    await gate.open();
    expect((await callUntilAnswer(id)).answer).toMatchObject({ state: 'succeeded' });
  });

  it('does not count locks that were not to be had', async () => {
    await sql(database.url, `${SETS_UP} create table wanted (n int)`);
    const id = await stageFiles(database.url, { '2.sql': 'lock table wanted' }, { lockTimeout: '20ms' });
    const locker = await database.client();
    await locker.query('begin; lock table wanted');
    const running = sqlAnew(database.url, `call weft.run('${id}')`);
    const told = `select count(*)::int as count from weft.events where kind = 'lock_not_available'`;
    while ((await sql(database.url, told))[0].count < 3);
    await locker.end();
    expect((await running)[0].result).toMatchObject({ state: 'succeeded', phases: [{ attempts: 1 }] });
    expect(await deaths()).toBe(0);
  });
});
