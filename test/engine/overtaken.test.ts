/**
 * A deployment that others have passed, or that is opened again behind them, brings nothing older of what runs again and again: what a later one
 * has brought, has under another name, or has no more, is left to that one.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, type OrderOptions, shutGate, stageFiles } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table goods (k int primary key)');
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
const SECRET = { token: 'only-for-the-tests' };
const bundle = (files: Files, more: object = {}): Record<string, string> => ({
  'weft.yaml': JSON.stringify({
    name: 'shop',
    ...more,
    phases: [
      { name: 'schema', transaction: 'per-step', steps: [{ run: 's/*.sql' }] },
      { name: 'code', transaction: 'single', on_error: 'continue', steps: [{ run: 'v/*.sql', repeat: 'on-change' }] },
      { name: 'data', on_error: 'continue', steps: [{ load: 'd/*.csv', into: 'goods', key: ['k'], mode: 'sync' }] },
    ],
  }),
  's/1.sql': 'select 1;',
  ...files,
});
const OLDER: Files = { 'v/a.sql': 'create or replace view va as select 1 as n;', 'd/a.csv': 'k\n1\n' };
const NEWER: Files = { 'v/a.sql': 'create or replace view va as select 2 as n;', 'd/a.csv': 'k\n2\n' };
const RENAMED: Files = { 'v/b.sql': NEWER['v/a.sql'] ?? '', 'd/b.csv': NEWER['d/a.csv'] ?? '' };
const waits = { parameters: { token: { type: 'text', secret: true } } };
const looked = async () => (await sql(database.url, 'select (select n from va) as view, array(select k from goods order by k) as goods'))[0];
const overtaken = async (id: string) =>
  (await sql(database.url, `select path, data ->> 'by' as by from weft.events where kind = 'overtaken' and deployment_id = $1 order by number`, [id])).map(
    ({ path, by }) => [path, by],
  );
const go = (id: string, secrets: typeof SECRET | null = SECRET) =>
  resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 40_000, secrets });

async function deployed(files: Files, options: OrderOptions = {}): Promise<string> {
  const end = await deployFiles(connectOver(database.url), files, options);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end.id;
}

describe.each([
  ['changed', NEWER],
  ['renamed and changed', RENAMED],
] as const)('what a later deployment has %s', (_, newer) => {
  it('is left to it by one that waited for its secrets meanwhile, and by name', async () => {
    const older = await stageFiles(database.url, bundle(OLDER, waits), { secrets: SECRET });
    const later = await deployed(bundle(newer));
    expect(await go(older)).toMatchObject({ state: 'succeeded' });
    expect(await looked()).toEqual({ view: 2, goods: [2] });
    expect(await overtaken(older)).toEqual([
      ['v/a.sql', later],
      ['d/a.csv', later],
    ]);
    const plan = await deployFiles(connectOver(database.url), bundle(newer));
    expect(plan.phases.flatMap(({ steps }) => steps.map(({ state }) => state))).toEqual(['skipped', 'skipped', 'skipped']);
  });

  it.runIf(offers('processes to stop'))('is left to it by one that had begun, and whose session died', async () => {
    const gate = await shutGate(database.url);
    const gated = { 's/2.sql': AT_THE_GATE };
    const id = await stageFiles(database.url, bundle({ ...OLDER, ...gated }, waits), { secrets: SECRET });
    const client = await database.client();
    await client.query(`select set_config('weft.secrets', $1, false)`, [JSON.stringify(SECRET)]);
    const running = client.query(`call weft.run('${id}')`).catch(() => null);
    await gate.reached();
    await sql(database.url, `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = 47 and not granted`);
    await running;
    expect(await sql(database.url, 'select state from weft.deployments')).toEqual([{ state: 'running' }]);
    await gate.open();
    const later = await deployed(bundle({ ...newer, ...gated }));
    expect(await go(id)).toMatchObject({ state: 'succeeded' });
    expect(await looked()).toEqual({ view: 2, goods: [2] });
    expect(await overtaken(id)).toEqual([
      ['v/a.sql', later],
      ['d/a.csv', later],
    ]);
  });
});

it('is left to it by one that is opened again, also under another name', async () => {
  await sql(database.url, 'alter table goods add v text not null');
  const gone = { 'v/gone.sql': 'create or replace view report as select n from missing;' };
  const older = await deployFiles(connectOver(database.url), bundle({ ...OLDER, ...gone }));
  expect(older).toMatchObject({ state: 'degraded' });
  await sql(database.url, 'alter table goods drop v; create table missing (n int)');
  const later = await deployed(bundle(RENAMED));
  expect(await go(older.id, null)).toMatchObject({ state: 'succeeded' });
  expect(await looked()).toEqual({ view: 2, goods: [2] });
  expect(await overtaken(older.id)).toEqual([
    ['v/gone.sql', later],
    ['d/a.csv', later],
  ]);
  expect(await sql(database.url, `select to_regclass('report') as report`)).toEqual([{ report: null }]);
});
