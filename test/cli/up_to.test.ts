/** `--up-to`: a bundle no further than one of its files. */
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { cutManifest } from '../../src/cli/cut.ts';
import type { Manifest } from '../../src/domain/manifest.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { startTestStack } from '../support/stack.ts';
import { makeFolder } from './folder.ts';
import { run } from './run.ts';

const BUNDLE = {
  'weft.yaml': `name: shop
phases:
  - { name: schema, transaction: single, steps: [{ run: s/*.sql }], checks: [c/*.sql] }
  - { name: later, steps: [{ run: l/*.sql }] }
`,
  's/1.sql': 'create table a (n int);',
  's/2.sql': 'create table b (n int);',
  's/3.sql': 'create table c (n int);',
  'c/none.sql': 'select n from a where n < 0',
  'l/1.sql': 'create table d (n int);',
};

describe('weft deploy --up-to', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await freshDatabase();
    onTestFinished(() => database.drop());
  });
  const weft = (...argv: string[]) => run(argv, { env: { DATABASE_URL: database.url } });
  const tables = async (): Promise<string[]> =>
    (await sql(database.url, `select relname from pg_class where relnamespace = 'public'::regnamespace order by 1`)).map(({ relname }) => relname);

  it('runs what plan --up-to shows, no further than that file, and the next deployment the rest', async () => {
    const folder = makeFolder(BUNDLE);
    const plan = await weft('plan', folder, '--up-to', 's/2.sql');
    expect(plan.stdout).toContain('3 of 3 steps would run.');
    expect(plan.stdout).not.toMatch(/s\/3|l\/1/);
    expect((await weft('deploy', folder, '--up-to', 's/2.sql')).code).toBe(0);
    expect(await tables()).toEqual(['a', 'b']);
    expect((await weft('deploy', folder)).code).toBe(0);
    expect(await tables()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('looks at the checks of the phase in which the file stands', async () => {
    const folder = makeFolder({ ...BUNDLE, 's/1.sql': 'create table a (n int); insert into a values (-1);' });
    const { code, stdout } = await weft('deploy', folder, '--up-to', 's/1.sql');
    expect([code, stdout]).toEqual([1, expect.stringContaining('c/none.sql')]);
    expect(await tables()).toEqual([]);
  });

  it('does not take what is behind the file for gone, or a copy of it for that file, renamed: nothing is left out, and nothing runs twice', async () => {
    const first = { ...BUNDLE, 's/3.sql': 'insert into counted values (1);' };
    await sql(database.url, 'create table counted (n int)');
    expect((await weft('deploy', makeFolder(first))).code).toBe(0);
    const folder = makeFolder({ ...first, 's/1b.sql': first['s/3.sql'] });
    const plan = await weft('plan', folder, '--up-to', 's/1b.sql');
    expect(plan.stdout).not.toMatch(/renamed|gone/i);
    const cut = await weft('deploy', folder, '--up-to', 's/1b.sql');
    expect(cut.code).toBe(0);
    expect(cut.stdout + cut.stderr).not.toMatch(/renamed|gone|older checkout/i);
    expect(await sql(database.url, 'select count(*)::int as n from counted')).toEqual([{ n: 2 }]);
    expect((await weft('deploy', folder)).code).toBe(0);
    expect(await sql(database.url, 'select count(*)::int as n from counted')).toEqual([{ n: 2 }]);
  });

  it('refuses a path that no step runs, before anything is asked of a database', async () => {
    for (const command of ['plan', 'deploy']) {
      const { code, stderr } = await weft(command, makeFolder(BUNDLE), '--up-to', 's/9.sql');
      expect([code, stderr]).toEqual([2, expect.stringContaining('no step of the bundle runs "s/9.sql"')]);
    }
  });
});

it('goes through a Worker with its parameters', async () => {
  const stack = await startTestStack();
  onTestFinished(() => stack.stop());
  const folder = makeFolder({
    'weft.yaml': 'name: shop\nparameters: { size: { type: integer, required: true } }\nphases:\n  - { name: main, steps: [{ run: "*.sql" }] }\n',
    '1.sql': 'create table a as select :size as n;',
    '2.sql': 'create table b (n int);',
  });
  const { code, stderr } = await run(['deploy', folder, '--up-to', '1.sql', '--set', 'size=7'], { env: stack.env });
  expect(code, stderr).toBe(0);
  expect(await sql(stack.databaseUrl, `select n, to_regclass('b') as b from a`)).toEqual([{ n: 7, b: null }]);
});

it('leaves to each entry of the bundle file the steps that it has brought', () => {
  const run = (path: string) => ({ kind: 'run' as const, path });
  const check = { kind: 'check' as const, path: 'c.sql' };
  const manifest: Manifest = {
    format: 1,
    bundle: 'shop',
    artifacts: ['a1', 'a2', 'b1', 'b2', 'c.sql'].map((path) => ({ path, digest: '0'.repeat(64), size: 1 })),
    phases: [{ name: 'main', transaction: 'single', entries: [2, 2, 1], steps: [run('a1'), run('a2'), run('b1'), run('b2'), check] }],
  };
  expect(cutManifest(manifest, 'b1')).toMatchObject({ phases: [{ entries: [2, 1, 1], steps: [run('a1'), run('a2'), run('b1'), check] }] });
  expect(cutManifest(manifest, 'a1')).toMatchObject({ phases: [{ entries: [1, 1], steps: [run('a1'), check] }] });
  expect(cutManifest(manifest, 'b1').artifacts.map(({ path }) => path)).toEqual(['a1', 'a2', 'b1', 'c.sql']);
});
