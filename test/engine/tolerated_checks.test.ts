/** Checks when a degraded deployment is opened again: what is tried again is held against them, as it would have been at first. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table cfg (zero int, sum int); insert into cfg values (0, 5); create table later (n int)');
});

afterEach(() => database.drop());

const FILES = {
  '1.sql': 'create table one (n int);',
  '2.sql': 'insert into later select sum / zero from cfg;',
  '3.sql': 'create table three (n int);',
  '4.sql': 'create table four (n int);',
  'checks/a.sql': 'select n from later where n > 0;',
};
const STEPS = [{ run: '1.sql' }, { run: '2.sql', on_error: 'continue' }];
const deployShop = (...phases: readonly object[]) =>
  deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: 'shop', phases }), ...FILES });
const again = (id: string) => resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 30_000 });
const later = async () => (await sql(database.url, 'select n from later')).map(({ n }) => n);

describe.each(['single', 'per-step', 'auto', 'none'])('transaction: %s', (transaction) => {
  const stays = transaction !== 'single';

  it('a check that what is tried again breaks fails the deployment, which says what stays', async () => {
    const { id, state } = await deployShop({ name: 'main', transaction, steps: STEPS, checks: ['checks/*.sql'] });
    expect(state).toBe('degraded');
    await sql(database.url, 'update cfg set zero = 1');
    const end = await again(id);
    expect(end).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF022', path: 'checks/a.sql' },
      phases: [
        {
          state: 'failed',
          steps: [{ state: 'succeeded' }, { state: stays ? 'succeeded' : 'pending' }, { state: 'failed', result: { offenders: [{ n: 5 }] } }],
        },
      ],
    });
    expect(end.error?.detail).toBe(
      `The deployment had ended degraded and was opened again: what it had committed by then stays.${stays ? '' : ' Of what was tried again, 2.sql is not in the database.'}`,
    );
    if (!stays) expect(renderSummary(end as Deployment, UNCOLOURED)).toContain('committed before: 1 step; of what was tried again nothing is left (2 steps)');
    expect(await later()).toEqual(stays ? [5] : []);
    expect(await sql(database.url, 'select path from weft.history order by path')).toEqual((stays ? ['1.sql', '2.sql'] : ['1.sql']).map((path) => ({ path })));
    expect(await again(id), 'is over').toMatchObject({ state: 'failed' });

    await sql(database.url, 'update cfg set sum = 0; delete from later');
    expect(await deployShop({ name: 'main', transaction, steps: STEPS, checks: ['checks/*.sql'] })).toMatchObject({ state: 'succeeded' });
  });

  it('a check that holds is asked, and the deployment succeeds', async () => {
    const { id } = await deployShop({ name: 'main', transaction, steps: STEPS, checks: ['checks/*.sql'] });
    await sql(database.url, 'update cfg set zero = 1, sum = 0');
    expect(await again(id)).toMatchObject({
      state: 'succeeded',
      phases: [{ state: 'succeeded', steps: [{}, { state: 'succeeded' }, { state: 'succeeded' }] }],
    });
    expect(await sql(database.url, `select count(*)::int from weft.events where kind = 'step_succeeded' and path = 'checks/a.sql'`)).toEqual([{ count: 2 }]);
  });
});

it('checks of phases behind are asked again too, those before are not, nor any of a phase that was left out', async () => {
  const check = ['checks/*.sql'];
  const { id } = await deployShop(
    { name: 'before', steps: [{ run: '1.sql' }], checks: check },
    { name: 'main', steps: [{ run: '2.sql', on_error: 'continue' }] },
    { name: 'out', when: false, steps: [{ run: '3.sql' }], checks: check },
    { name: 'behind', steps: [{ run: '4.sql' }], checks: [{ check: 'checks/*.sql', severity: 'warn' }] },
  );
  await sql(database.url, 'update cfg set zero = 1');
  const { phases } = await again(id);
  expect(
    phases.map(({ name, state, steps }) => [name, state, steps.at(-1)?.state, (steps.at(-1)?.result as { offenders_count?: number } | null)?.offenders_count]),
  ).toEqual([
    ['before', 'succeeded', 'succeeded', 0],
    ['main', 'succeeded', 'succeeded', undefined],
    ['out', 'skipped', 'skipped', undefined],
    ['behind', 'succeeded', 'succeeded', 1],
  ]);
});

it('the condition of a check is asked again', async () => {
  const checks = [{ check: 'checks/*.sql', when: '(select zero from cfg) > 0' }];
  const { id, phases } = await deployShop({ name: 'main', steps: STEPS, checks });
  expect(phases[0]?.steps[2]).toMatchObject({ state: 'skipped', is_wanted: false });
  await sql(database.url, 'update cfg set zero = 1');
  expect(await again(id)).toMatchObject({ state: 'failed', error: { path: 'checks/a.sql' } });
});

it('its bytes are kept as long as the deployment may be opened again', async () => {
  await sql(database.url, `select weft.change_setting('kept_deployments_count', 1)`);
  const { id } = await deployShop({ name: 'main', steps: STEPS, checks: ['checks/*.sql'] });
  for (const n of [4, 5]) await deployFiles(connectOver(database.url), { [`${n}.sql`]: `select ${n};` });
  await sql(
    database.url,
    `update weft._deployments set created_at = created_at - interval '400 days', finished_at = finished_at - interval '400 days';
     update weft._chunks set staged_at = staged_at - interval '400 days'; update cfg set zero = 1`,
  );
  await sql(database.url, 'call weft.sweep()');
  expect(await again(id)).toMatchObject({ state: 'failed', error: { sqlstate: 'WF022', path: 'checks/a.sql' } });
});
