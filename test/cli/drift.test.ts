/** `weft drift`, straight to a database: what it prints, and its exit codes. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { driftSchema } from '../../src/domain/deployment.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder } from './folder.ts';
import { type Run, run } from './run.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(async () => {
  await database.drop();
});

const weft = (...argv: string[]): Promise<Run> => run(argv, { env: { DATABASE_URL: database.url } });

const GOODS = {
  '1.sql': `create table goods (id int, name text); create index by_name on goods (name);
    create function twice(n int) returns int language sql as 'select n * 2'`,
};

describe('weft drift', () => {
  it('ends with 0 where nothing differs, with 1 where something does, and names that with both definitions', async () => {
    const { id } = (await weft('deploy', makeFolder(GOODS), '--json')).json();
    const none = await weft('drift');
    expect(none.code).toBe(0);
    expect(none.stdout).toMatch(new RegExp(`^Nothing has changed since deployment ${id} of shop, succeeded at [-0-9]+ [:0-9]+Z\\.\n$`));

    await sql(
      database.url,
      `alter table goods alter name set not null; drop index by_name; create or replace function twice(n int) returns int language sql as 'select n + n'`,
    );
    const drift = await weft('drift');
    expect(drift.code).toBe(1);
    expect(
      drift.stdout.replace(/deployment \S+ of shop, succeeded at .*\./, 'DEPLOYMENT.'),
    ).toBe(`3 objects are not as deployments have left them; the last was DEPLOYMENT.

missing index public.by_name
  - CREATE INDEX by_name ON public.goods USING btree (name)

changed column public.goods.name
  - text
  + text not null

changed function public.twice(n integer)
    … 4 lines the same
  - AS $function$select n * 2$function$
  + AS $function$select n + n$function$
`);
    const json = await weft('drift', '--json');
    expect(json.code).toBe(1);
    expect(driftSchema.parse(json.json())).toMatchObject({ verdict: 'drift', count: 3, since: { deployment: id } });
  });

  it('names what something else sees to as no drift, and ends with 0 where nothing else differs', async () => {
    const bundle = 'name: shop\ndrift: { ignore: [{ schema: jobs }, { table: public.tmp_* }] }\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]\n';
    await weft('deploy', makeFolder({ ...GOODS, 'weft.yaml': bundle }));
    await sql(database.url, 'create schema jobs; create table tmp_1 (n int)');
    const none = await weft('drift');
    expect(none.stdout.replace(/since deployment .*Z\./, 'SINCE.')).toBe(`Nothing of what deployments see to has changed SINCE.

No drift, because something else manages them (drift: ignore: of shop): 2 objects that differ.
  added schema jobs
  added table public.tmp_1
`);
    expect(none.code).toBe(0);
    await sql(database.url, 'drop index by_name');
    const some = await weft('drift');
    expect(some.stdout).toMatch(/^1 object is not as deployments have left it; .*\nmissing index public\.by_name\n.*2 objects that differ\./s);
    expect(some.code).toBe(1);
    expect(driftSchema.parse((await weft('drift', '--json')).json())).toMatchObject({ count: 1, unwatched: { count: 2 } });
  });

  it('with an id: shows what that deployment has changed, and ends with 0', async () => {
    const { id } = (await weft('deploy', makeFolder(GOODS), '--json')).json();
    const { code, stdout } = await weft('drift', id);
    expect(code).toBe(0);
    expect(stdout).toContain(`Deployment ${id} has changed 3 objects of the catalog.\n\nadded index public.by_name\n  + CREATE INDEX`);
    const missing = await weft('drift', '0190a0de-0000-7000-8000-00000000000a');
    expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('There is no deployment')]);
  });

  it('is not over with a deployment, failed or not, until --accept says that it is meant', async () => {
    const { id } = (await weft('deploy', makeFolder(GOODS), '--json')).json();
    await sql(database.url, 'alter table goods alter name set not null');
    const failed = await weft('deploy', makeFolder({ ...GOODS, '2.sql': 'select 1/0' }));
    expect(failed.stderr).toContain(`drift: 1 object not as deployments have left the database`);
    expect(failed.stdout).toContain(`Drift: when it began, 1 object was not as deployments had left it:\n  changed column public.goods.name\n`);
    expect((await weft('drift')).code).toBe(1);
    const taker = (await weft('deploy', makeFolder({ ...GOODS, '2.sql': 'create table two ()' }), '--json')).json();
    expect(taker.drift_found).toMatchObject([{ since: id, count: 1, reopened: false }]);
    const { code, stdout } = await weft('drift');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^1 object is not as deployments have left it; the last was deployment \S+ of shop, succeeded at /);
    expect(stdout).toContain(`When that one began, 1 object differed already: "weft drift ${taker.id}" shows it.`);
    expect((await weft('drift', taker.id)).stdout).toMatch(
      /^When deployment \S+ began, 1 object was not as deployments had left it\.\n\nchanged column public\.goods\.name\n {2}- text\n {2}\+ text not null\n\nDeployment \S+ has changed 1 object/,
    );
    expect((await weft('status')).stdout).toMatch(
      /succeeded {2}2\/2 {2}shop {2}met drift: 1 object\n.* failed .* failed: 2\.sql: 22012: division by zero; met drift: 1 object\n/,
    );
    const accepted = await weft('drift', '--accept');
    expect([accepted.code, accepted.stdout]).toEqual([
      0,
      expect.stringMatching(
        /changed column public\.goods\.name\n {2}- text\n {2}\+ text not null\n\nAccepted: the catalog is meant to be as it is now\. From now on, drift is reported relative to this\.\n$/,
      ),
    ]);
    const none = await weft('drift');
    expect(none.code).toBe(0);
    expect(none.stdout).toMatch(
      /^Nothing has changed since .*\.\nAfter it, at .*, role \S+ accepted the catalog as it was then: 1 object had been changed outside of deployments\.\n$/,
    );
    expect((await weft('drift', '--accept', '--json')).json()).toMatchObject({ verdict: 'none', since: { accepted: { count: 1 } } });
    expect(await weft('drift', taker.id, '--accept')).toMatchObject({ code: 2, stderr: expect.stringContaining('no id goes with --accept') });
  });

  it('with the id of an undo: shows what is not as it was before the deployment that was undone, with both definitions', async () => {
    const yaml = JSON.stringify({ name: 'shop', phases: [{ name: 'main', steps: [{ run: '1.sql', undo: 'undo.sql' }] }] });
    await weft('deploy', makeFolder({ 'weft.yaml': yaml, '1.sql': 'create table a (n int); create view b as select 1 as n', 'undo.sql': 'drop table a' }));
    const undone = await weft('undo');
    const { id } = (await weft('status', '--json')).json().deployments[0];
    expect(undone.stdout).toMatch(/: 1 object differs\.\n {4}view {2}public\.b {2}was not there before, and nothing has dropped it/);
    expect(undone.stdout).toContain(`  "weft drift ${id}" shows what was there and what is.\n`);
    expect((await weft('drift', id)).stdout).toMatch(
      /^When undo \S+ had ended, 1 object was not as before the deployment that it took back\.\n\nadded view public\.b\n {2}\+ owner .*\n {2}\+ {2}SELECT 1 AS n;\n/,
    );
  });

  it('ends with 2 where it cannot be told, and says why', async () => {
    await weft('install');
    const { code, stdout } = await weft('drift');
    expect([code, stdout]).toEqual([2, 'No deployment has left anything in this database yet, so there is nothing to compare it with.\n']);
    const { id } = (await weft('deploy', makeFolder(GOODS), '--json')).json();
    await sql(database.url, `update weft._deployments set fingerprint_after = '1:13:00', fingerprint_expected = '1:13:00'`);
    expect((await weft('drift', '--json')).json()).toMatchObject({ verdict: 'other version', objects: [], since: { deployment: id } });
    await sql(database.url, 'delete from weft._snapshots');
    expect(await weft('drift', id)).toMatchObject({ code: 2, stdout: expect.stringContaining('not kept any more') });
  });

  it('says where the engine is not installed at all', async () => {
    expect(await weft('drift')).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('engine') });
  });
});
