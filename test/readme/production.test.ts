/** docs/PRODUCTION.md: its walk through examples/production, as printed; and the cut in the middle, counted row by row. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHECKOUT } from '../../src/dev/places.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { makeWorkplace, runShell, snippet, withoutChance } from './snippets.ts';

const PAGE = 'docs/PRODUCTION.md';
/** A million rows on a busy machine. */
const PATIENCE_MS = 240_000;
const place = makeWorkplace();
let database: TestDatabase;

beforeAll(async () => {
  database = await emptyDatabase();
});

afterAll(async () => {
  await database.drop();
  place.remove();
});

const shell = (name: string) => runShell(snippet(PAGE, name), { cwd: place.path, env: { DATABASE_URL: database.url } });
const printed = (name: string) => withoutChance(snippet(PAGE, name, 'output')).trim();

describe('the walk', { timeout: PATIENCE_MS }, () => {
  test('is degraded without pg_cron, and says so in the words of the page', async () => {
    const { code, stdout, all } = await shell('plan');
    expect(code, all).toBe(0);
    expect(withoutChance(stdout)).toContain(printed('deploy'));
    expect(await sql(database.url, 'select count(*)::int as done from shop.orders where total = quantity * unit_price')).toEqual([{ done: 1_000_000 }]);
    expect(await sql(database.url, `select indisvalid from pg_index where indexrelid = 'shop.orders_of_a_customer'::regclass`)).toEqual([{ indisvalid: true }]);
    expect(await sql(database.url, 'select count(*)::int as vouchers from shop.voucher')).toEqual([{ vouchers: 0 }]);
  });

  test('an order in pounds vetoes the next deployment', async () => {
    await sql(database.url, snippet(PAGE, 'pounds'));
    const { code, stdout } = await shell('veto');
    expect(code).toBe(1);
    expect(withoutChance(stdout)).toContain(printed('veto'));
  });

  test('one line in the data file mends it', async () => {
    const { code, stdout, all } = await shell('mend');
    expect(code, all).toBe(0);
    expect(withoutChance(stdout)).toContain(printed('mend'));
    expect(await sql(database.url, `select name from shop.currency where code = 'GBP'`)).toEqual([{ name: 'Pound sterling' }]);
  });

  test('outside of production the sample vouchers come along, once there are none', async () => {
    const { code, stdout, all } = await runShell('npx weft deploy examples/production --set environment=test', {
      cwd: place.path,
      env: { DATABASE_URL: database.url },
    });
    expect(code, all).toBe(1);
    expect(stdout, 'whoever goes back to the old data file takes the pound away again').toContain('checks/orders_have_known_currencies.sql');
    const again = await runShell('npx weft deploy release --set environment=test', { cwd: place.path, env: { DATABASE_URL: database.url } });
    expect(again.code, again.all).toBe(0);
    expect(await sql(database.url, 'select code, percent::float, valid_until from shop.voucher order by code')).toEqual([
      { code: 'FRIENDS, FAMILY', percent: 15.5, valid_until: null },
      { code: 'SPRING', percent: 10, valid_until: expect.any(Date) },
    ]);
  });
});

describe('cut in the middle of a million rows', { timeout: PATIENCE_MS }, () => {
  let fresh: TestDatabase;

  beforeAll(async () => {
    fresh = await emptyDatabase();
  });

  afterAll(() => fresh.drop());

  test('command and backend gone, it goes on behind the last round, and touches each row once', async () => {
    const client = spawn(process.execPath, [join(CHECKOUT, 'src/cli/weft.js'), 'deploy', 'examples/production'], {
      cwd: place.path,
      env: { ...process.env, DATABASE_URL: fresh.url },
      stdio: 'ignore',
    });
    const gone = new Promise((resolve) => client.once('close', resolve));
    await until(fresh.url, `exists (select from weft.batches where rounds >= 2)`, 'two rounds are committed');
    client.kill('SIGKILL');
    await gone;
    await sql(fresh.url, 'select pg_terminate_backend(pid, 10000) from weft._lease where pid is not null');
    const [cut] = (await sql(fresh.url, snippet(PAGE, 'cut').split(';')[0] as string)) as [{ rounds: number; rows: number; cursor: string }];
    expect(Number(cut.rows)).toBeGreaterThan(0);
    expect(Number(cut.rows)).toBeLessThan(1_000_000);
    expect(await sql(fresh.url, 'select count(*)::int as done from shop.orders where total is not null')).toEqual([{ done: Number(cut.rows) }]);

    const { code, all } = await runShell(snippet(PAGE, 'resume'), { cwd: place.path, env: { DATABASE_URL: fresh.url } });
    expect(code, all).toBe(0);
    expect(await sql(fresh.url, 'select rows::int as rows, cursor from weft.batches')).toEqual([{ rows: 1_000_000, cursor: '1000000' }]);
    expect(await sql(fresh.url, 'select count(*)::int as done from shop.orders where total = quantity * unit_price')).toEqual([{ done: 1_000_000 }]);
  });
});
