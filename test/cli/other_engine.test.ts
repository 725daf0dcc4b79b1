/**
 * A Weft that meets the engine of another version, straight and through the Worker: what that one does not know, or answers otherwise, is said to be of
 * another version, and what to do; nothing is changed by whoever is too old, and whoever is newer brings the engine up to date before it runs anything.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attend } from '../../src/deployment/attend.ts';
import { connectOver, stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { openWorld, type World } from '../worker/support.ts';
import { makeFolder } from './folder.ts';
import { type Run, run } from './run.ts';

let world: World;
let folder: string;
let id: string;

beforeEach(async () => {
  world = await openWorld();
  folder = makeFolder({ 'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]\n', '1.sql': 'create table goods (n int);' });
  const first = await weft('straight', ['deploy', folder]);
  expect(first.code, first.stderr).toBe(0);
  id = first.json().id;
});

afterEach(() => world?.stop());

function weft(way: string, argv: readonly string[]): Promise<Run> {
  const env =
    way === 'straight'
      ? { DATABASE_URL: world.database.url }
      : { WEFT_URL: world.worker.origin, WEFT_TARGET: 'staging', WEFT_SECRET: world.requests.secrets.ci, WEFT_CALLER: 'ci' };
  return run([...argv, '--json'], { env });
}

const ASKED = ['status', 'list_deployments', 'list_history', 'describe_drift', 'receipt', 'plan', 'cancel'];
const engineOf = (version: number) =>
  `update weft._installations set version = ${version};
   create or replace function weft.version() returns integer immutable parallel safe set search_path = pg_catalog, pg_temp language sql as $$ select ${version} $$;`;
const others = (version: number) => `${engineOf(version)} do $do$ declare f regprocedure; begin
  for f in select p.oid from pg_proc as p where p.pronamespace = 'weft'::regnamespace and p.proname = any ('{${ASKED.join(',')}}') loop
    execute format('alter function %s rename to %I', f, (select p.proname from pg_proc as p where p.oid = f) || '_of_another');
  end loop; end $do$`;

const readings = (): readonly (readonly string[])[] => [['status'], ['status', id], ['history'], ['drift'], ['receipt', id], ['plan', folder], ['cancel', id]];

describe.each(['straight', 'through the Worker'])('%s', (way) => {
  it('an engine that is newer is not asked for what it does not know: every command says to update Weft, and changes nothing', async () => {
    await sql(world.database.url, others(2));
    const before = await sql(world.database.url, 'select id, state from weft.deployments');
    for (const argv of [...readings(), ['deploy', folder], ['resume', id]]) {
      const { code, json, stdout, stderr } = await weft(way, argv);
      expect(code, `${argv.join(' ')}: ${stderr}`).toBe(2);
      expect(json().problem, `${argv.join(' ')}: ${stdout}`).toMatchObject({
        type: 'urn:weft:problem:engine_newer',
        detail: expect.stringMatching(/version 2.*version 1.*Nothing was changed.*Update Weft/s),
      });
    }
    expect(await sql(world.database.url, 'select id, state from weft.deployments')).toEqual(before);
  });

  it('so it is where a newer engine answers otherwise', async () => {
    await sql(
      world.database.url,
      `${engineOf(2)} create or replace function weft.list_deployments(p_limit integer default 20) returns jsonb volatile language sql as $$ select '[{"deployment": 7}]'::jsonb $$`,
    );
    const { code, json } = await weft(way, ['status']);
    expect([code, json().problem.type]).toEqual([2, 'urn:weft:problem:engine_newer']);
  });

  it('an engine that is older is said to be so, with what brings it up to date; the next deployment does', async () => {
    await sql(world.database.url, others(0));
    for (const argv of readings()) {
      const { code, json, stdout, stderr } = await weft(way, argv);
      expect(code, `${argv.join(' ')}: ${stderr}`).toBe(2);
      expect(json().problem, `${argv.join(' ')}: ${stdout}`).toMatchObject({
        type: 'urn:weft:problem:engine_older',
        detail: expect.stringMatching(/version 0.*version 1.*`weft install` upgrades it/s),
      });
    }
    const next = makeFolder({ 'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]\n', '2.sql': 'create table more (n int);' });
    const deployed = await weft(way, ['deploy', next]);
    expect(deployed.code, deployed.stderr).toBe(0);
    expect((await weft(way, ['status', id])).json()).toMatchObject({ id, state: 'succeeded' });
    expect(await sql(world.database.url, 'select version from weft._installations order by version')).toEqual([{ version: 0 }, { version: 1 }]);
  });
});

it('whoever looks after what an older Weft has opened brings the engine up to date, and goes on with it', async () => {
  const staged = await stageFiles(world.database.url, { '2.sql': 'create table more (n int);' }, { target: 'staging' });
  await sql(world.database.url, others(0));
  const options = { connect: connectOver(world.database.url), id: staged, target: 'staging', callers: ['direct'], deadlineMs: 30_000 };
  expect(await attend(options)).toMatchObject({ deployment: { id: staged, state: 'succeeded' }, isAtWork: false });
  expect(await sql(world.database.url, `select to_regclass('more') is not null as is_there`)).toEqual([{ is_there: true }]);
});
