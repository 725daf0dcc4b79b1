/**
 * What a forge is owed, where no queue brings anybody back: the end of what waited is told by whoever sees it, or comes by later, and no status is left
 * pending for ever. GitHub's double, the Worker in workerd, and a real database, which holds what is owed.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../support/sql.ts';
import { approve, type ForgeWorld, openForgeWorld, send, triesOf } from './world.ts';

let at: ForgeWorld;
afterEach(() => expect(at.github.faults).toEqual([]));

const rows = (text: string) => sql(at.database.url, text);
const bundle = (name: string, text = `create table ${name} (n int primary key);\n`) => ({
  'db/shop/weft.yaml': `name: ${name}\nphases: [{ name: main, transaction: per-step, steps: [{ run: "*.sql" }] }]\n`,
  'db/shop/001_table.sql': text,
});
const checkOf = (commit: string) => at.github.repository.checkRuns.find(({ head_sha }) => head_sha === commit);
const owed = async () => (await rows('select count(*)::int as n from weft._owed'))[0].n;

/** A push that waits for its second person. */
async function pushed(name: string): Promise<{ commit: string; id: string; digest: string }> {
  const commit = at.github.commit(bundle(name));
  const { document } = await send(at, 'push', at.github.push());
  await expect.poll(() => triesOf(at, document.delivery).at(-1)?.finding, { timeout: 30_000 }).toBe('waiting');
  expect(checkOf(commit)).toMatchObject({ status: 'queued' });
  const [, id = '', digest = ''] = /weft approve ([0-9a-f-]{36}) --digest ([0-9a-f]{64})/.exec(checkOf(commit).output.summary) ?? [];
  return { commit, id, digest };
}

/** As a DBA says it in SQL: no Worker hears of it. */
async function approveInSql({ id, digest }: { id: string; digest: string }): Promise<void> {
  await rows(`select weft.approve('${id}', '${digest}')`);
  await rows('call weft.run()');
}

/** Some runs of it: one of them may find other work. */
async function scheduleUntil(isSo: () => boolean): Promise<void> {
  for (let runs = 0; runs < 10 && !isSo(); runs++) await at.worker.runSchedule();
}

describe('without a queue, where a second person is asked for', () => {
  beforeAll(async () => {
    at = await openForgeWorld({ queue: false, memory: true, scheduled: true, environment: { second_person: true } });
  });
  afterAll(() => at?.stop());

  test('whoever approves has the forge told how it ended', async () => {
    const waiting = await pushed('approved_here');
    expect(await owed()).toBe(1);
    expect(await approve(at.worker, waiting.id, waiting.digest)).toMatchObject({ status: 200, document: { state: 'succeeded' } });
    await expect.poll(() => checkOf(waiting.commit)?.conclusion, { timeout: 20_000 }).toBe('success');
    expect(checkOf(waiting.commit).output.summary).toContain('Approved by `boss`');
    await expect.poll(owed, { timeout: 20_000 }).toBe(0);
  });

  test('a repository that was renamed meanwhile is told under its new name', async () => {
    const { repository } = at.github;
    const waiting = await pushed('approved_renamed');
    repository.formerNames.push(repository.name);
    repository.name = 'octo/store';
    expect(await approve(at.worker, waiting.id, waiting.digest)).toMatchObject({ status: 200, document: { state: 'succeeded' } });
    await expect.poll(() => checkOf(waiting.commit)?.conclusion, { timeout: 20_000 }).toBe('success');
    await expect.poll(owed, { timeout: 20_000 }).toBe(0);
  });

  test('what was approved and run in SQL is told by the schedule', async () => {
    const waiting = await pushed('approved_in_sql');
    await approveInSql(waiting);
    expect(checkOf(waiting.commit).status).toBe('queued');
    await at.worker.runSchedule();
    expect(checkOf(waiting.commit)).toMatchObject({ status: 'completed', conclusion: 'success' });
    expect(await owed()).toBe(0);
  });

  test('or by whoever comes to that target next, for whatever', async () => {
    const waiting = await pushed('told_by_the_next');
    await approveInSql(waiting);
    const next = await pushed('comes_next');
    await approve(at.worker, next.id, next.digest);
    await expect.poll(() => checkOf(waiting.commit)?.conclusion, { timeout: 20_000 }).toBe('success');
    await expect.poll(owed, { timeout: 20_000 }).toBe(0);
  });

  test('a forge that does not answer just then is told later, once', async () => {
    const waiting = await pushed('told_later');
    at.github.fail({ path: /check-runs/, status: 503 });
    await approve(at.worker, waiting.id, waiting.digest);
    await expect.poll(() => at.lines.some((line) => line.includes('"by":"passing"') && line.includes('"finding":"untold"')), { timeout: 20_000 }).toBe(true);
    expect([checkOf(waiting.commit).status, await owed()]).toEqual(['queued', 1]);
    await rows(`update weft._owed set held_until = clock_timestamp()`);
    await at.worker.runSchedule();
    expect([checkOf(waiting.commit).conclusion, await owed()]).toEqual(['success', 0]);
    const asked = at.github.asked.length;
    await at.worker.runSchedule();
    expect(at.github.asked.length).toBe(asked);
  });

  test('what nobody approves in time is told as cancelled', async () => {
    const waiting = await pushed('never_approved');
    await rows(`update weft._protections set asked_at = asked_at - interval '8 days', approve_until = approve_until - interval '8 days'`);
    await scheduleUntil(() => checkOf(waiting.commit).status === 'completed');
    expect(checkOf(waiting.commit)).toMatchObject({
      status: 'completed',
      conclusion: 'neutral',
      output: { summary: expect.stringContaining('Nobody but its caller') },
    });
    expect(await owed()).toBe(0);
  });

  test.each([
    ['another commit', `replace(errand, (errand::jsonb #>> '{change,commit}'), repeat('a', 40))`],
    ['another check run', `replace(errand, '"reports":{', '"reports":{"status":"told",')`],
    ['nonsense', `'{'`],
  ])('what was written there by anybody but a Worker who knows the secret of the forge is told nowhere: %s', async (_, errand) => {
    const waiting = await pushed(`bent_${errand.length}`);
    await rows(`update weft._owed set errand = ${errand}`);
    const asked = at.github.asked.length;
    await approve(at.worker, waiting.id, waiting.digest);
    await expect.poll(owed, { timeout: 20_000 }).toBe(0);
    expect(at.github.asked.slice(asked).filter((line) => !line.startsWith('GET '))).toEqual([]);
    expect(checkOf(waiting.commit).status).toBe('queued');
  });
});

describe('without a queue, where the platform takes everything away a moment behind the answer', () => {
  beforeAll(async () => {
    at = await openForgeWorld({ queue: false, scheduled: true, lifeSeconds: 8, isInstalled: true });
  });
  afterAll(() => at?.stop());

  test('what stood in line is told by the schedule, which has it run', async () => {
    const first = at.github.commit(bundle('ahead', 'select pg_sleep(16);\n'));
    await send(at, 'push', at.github.push());
    await expect.poll(() => checkOf(first)?.status, { timeout: 20_000 }).toBe('in_progress');
    const second = at.github.commit(bundle('behind'));
    await send(at, 'push', at.github.push());
    await expect.poll(() => checkOf(second)?.status, { timeout: 20_000 }).toBe('in_progress');
    await expect
      .poll(async () => (await rows(`select state::text from weft.deployments where bundle = 'ahead'`))[0].state, { timeout: 20_000 })
      .toBe('succeeded');
    // Nobody has told it, and those who were about it are gone.
    expect([checkOf(first).status, checkOf(second).status]).toEqual(['in_progress', 'in_progress']);
    await rows(`update weft._owed set held_until = clock_timestamp()`);
    await scheduleUntil(() => checkOf(second).conclusion === 'success');
    expect([checkOf(first).conclusion, await owed()]).toEqual(['success', 0]);
  });
});
