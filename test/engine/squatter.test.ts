/** Whoever may create schemas was there first, with a schema weft of their own: nothing in it is called by anybody who comes with Weft. */
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { readDeployments, readEvents, readForesight, readHistory, readStatus, requestCancel, sampleMessages } from '../../src/database/engine.ts';
import { ENGINE_VERSION } from '../../src/database/engine_version.ts';
import { guardMessages } from '../../src/database/guard.ts';
import { endLostSessions } from '../../src/database/lost_sessions.ts';
import { readReceipt } from '../../src/database/receipts.ts';
import { onlyRow } from '../../src/database/server.ts';
import type { Connect } from '../../src/database/session.ts';
import { readUndoPlan } from '../../src/database/undo_plans.ts';
import { cancel } from '../../src/deployment/cancel.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { resume } from '../../src/deployment/resume.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { problemOf, through, type Way, ways } from '../database/ways.ts';
import { emptyDatabase, freshDatabase, type TestDatabase, testServer, withDatabase } from '../support/database.ts';
import { keeper } from '../support/keeper.ts';
import { makeOrder } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

const ID = '0190a0de-0000-7000-8000-00000000000a';

/** Functions under the engine's names, each of which would write down with whose rights it ran. */
const SQUAT = `
create schema weft;
create table public.loot (who name, what text);
grant insert, select on public.loot to public;
grant usage on schema weft to public;
create function weft.version() returns integer language plpgsql
  as $$ begin insert into public.loot values (current_user, 'version'); return ${ENGINE_VERSION}; end $$;
create function weft.open(p_request bytea, p_manifest jsonb, p_caller text, p_target text, p_signature jsonb, p_engine integer, p_deployment uuid) returns jsonb
  language plpgsql as $$ begin insert into public.loot values (current_user, 'open'); return null; end $$;
create function weft.status(uuid) returns jsonb language plpgsql as $$ begin insert into public.loot values (current_user, 'status'); return null; end $$;
create function weft.list_deployments(integer) returns jsonb language plpgsql
  as $$ begin insert into public.loot values (current_user, 'list'); return '[]'; end $$;
create function weft.end_lost_sessions() returns integer language plpgsql as $$ begin insert into public.loot values (current_user, 'end'); return 0; end $$;
create function weft.cancel(uuid, text) returns jsonb language plpgsql as $$ begin insert into public.loot values (current_user, 'cancel'); return null; end $$;
create procedure weft.sample(uuid) language plpgsql as $$ begin insert into public.loot values (current_user, 'sample'); end $$;
create domain weft.id as text check (value <> '' and weft.version() > 0);
create procedure weft.run(p_deployment weft.id, p_target text, p_backend integer, p_callers text[] default null, p_reopen jsonb default null,
    p_report jsonb default null, inout result jsonb default null) language plpgsql
  as $$ begin insert into public.loot values (current_user, 'run'); commit; end $$;`;

let relay: Relay;
let database: TestDatabase;
const roles: string[] = [];

beforeAll(async () => {
  const { hostname, port } = new URL((await testServer()).url);
  relay = await startRelay({ to: { host: hostname, port: Number(port) } });
});

afterAll(() => relay?.stop());

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(async () => {
  await database.drop();
  const { url } = await testServer();
  for (const role of roles.splice(0).reverse()) await keeper(url).run(`drop role if exists ${role}`);
});

/** A role that may log in, and create schemas here. @returns its connection string */
async function makeRole(name: string): Promise<{ role: string; url: string }> {
  const role = `weft_test_${name}_${randomBytes(4).toString('hex')}`;
  await keeper((await testServer()).url).run(`create role ${role} login password 'of-tests'`);
  roles.push(role);
  await sql(database.url, `grant create on database ${database.name} to ${role}`);
  await sql(database.superuserUrl ?? database.url, `grant create on schema public to ${role}`);
  const url = new URL(withDatabase((await testServer()).url, database.name));
  url.username = role;
  url.password = 'of-tests';
  return { role, url: url.href };
}

async function squat(text = SQUAT): Promise<{ role: string; url: string }> {
  const squatter = await makeRole('squatter');
  await sql(squatter.url, text);
  return squatter;
}

const loot = () => sql(database.superuserUrl ?? database.url, 'select * from public.loot');
const FILES = { '1.sql': 'create table journal (n int);' };

async function deployWith(connect: Connect, bytes = 0) {
  const { order, chunks } = await makeOrder({ ...FILES, '2.sql': ''.padEnd(bytes, '-') });
  return deploy({ connect, order, chunks, deadlineMs: 30_000 }).done;
}

describe.each(ways)('a schema weft of a squatter, over %s', (way) => {
  const connectAs = (url: string): Connect => connectTo(through(relay, way as Way, url));

  it('has nothing called in it, whoever deploys', async () => {
    const { role } = await squat();
    for (const bytes of [0, LIMITS.chunk_bytes + 1]) {
      const problem = await problemOf(deployWith(connectAs(database.url), bytes), 'engine_not_trusted');
      expect(problem).toMatchObject({ status: 502, facts: { sqlstate: 'WF024' } });
      expect(problem.message).toContain(`schema weft belongs to the role "${role}"`);
      expect(problem.message).toContain('Nothing in schema weft was called, and nothing was changed.');
      expect(problem.message).toContain('drop schema weft cascade');
    }
    if (database.superuserUrl !== null) await problemOf(deployWith(connectAs(database.superuserUrl)), 'engine_not_trusted');
    expect(await loot()).toEqual([]);
  });

  it('has nothing called in it by any other way in', async () => {
    await squat();
    const connect = connectAs(database.url);
    const session = await connect();
    try {
      for (const asked of [() => readStatus(session, ID), () => readDeployments(session, 5), () => endLostSessions(session)])
        await problemOf(asked(), 'engine_not_trusted');
      const replies = await session.pipeline(sampleMessages(ID));
      expect(replies.map((reply) => (reply.kind === 'error' ? reply.error.sqlstate : reply.kind))).toEqual(['rows', 'WF024', 'skipped', '25P02']);
    } finally {
      await session.close();
    }
    for (const id of [ID, null]) await problemOf(resume({ connect, id, target: null, deadlineMs: 20_000 }), 'engine_not_trusted');
    await problemOf(cancel({ connect, id: ID, caller: null, target: null, deadlineMs: 20_000 }), 'engine_not_trusted');
    expect(await loot()).toEqual([]);
  });

  it('is told from an engine of which something belongs to somebody else', async () => {
    expect(await deployWith(connectAs(database.url))).toMatchObject({ state: 'succeeded' });
    const { role, url } = await makeRole('guest');
    await sql(url, 'create function public.of_a_guest() returns integer language sql as $$ select 1 $$');
    await sql(database.url, 'create function weft.of_another_time() returns integer language sql as $$ select 1 $$'); // so that what is the guest's stands between
    expect(await deployWith(connectAs(database.url))).toMatchObject({ state: 'succeeded' });
    await sql(database.url, `drop function weft.of_another_time(); grant create, usage on schema weft to ${role}`);
    await sql(url, "create function weft._phase_name(smallint) returns text language sql as $$ select 'mine' $$");
    const problem = await problemOf(deployWith(connectAs(database.url)), 'engine_not_trusted');
    expect(problem.message).toContain(`function weft._phase_name(smallint) belongs to the role "${role}"`);
    await sql(url, 'drop function weft._phase_name(smallint)');
    expect(await deployWith(connectAs(database.url))).toMatchObject({ state: 'succeeded' });
  });
});

describe('whose an engine may be', () => {
  const connectAs = (url: string): Connect => connectTo({ connectionString: url, transport: 'tcp' });
  const asked = (url: string) => resume({ connect: connectAs(url), id: null, target: null, deadlineMs: 20_000 });

  it('of a role that one is a member of: it is told by name, until one is', async () => {
    const owner = await makeRole('owner');
    const member = await makeRole('member');
    expect(await deployWith(connectAs(owner.url))).toMatchObject({ state: 'succeeded' });
    expect((await problemOf(asked(member.url), 'engine_not_trusted')).message).toContain(`grant ${owner.role} to ${member.role}`);
    await keeper((await testServer()).url).run(`grant ${owner.role} to ${member.role}`);
    const session = await connectAs(member.url)();
    expect(await readDeployments(session, 5).finally(() => session.close())).toHaveLength(1);
  });

  it.runIf(offers('a superuser'))('of a superuser, or of whoever owns the database', async () => {
    await sql(database.superuserUrl ?? '', `create schema weft`);
    await problemOf(asked(database.url), 'role_without_rights');
    await sql(database.superuserUrl ?? '', 'drop schema weft');
    const stranger = await makeRole('stranger');
    expect(await deployWith(connectAs(database.url))).toMatchObject({ state: 'succeeded' });
    await problemOf(asked(stranger.url), 'role_without_rights');
  });

  it.runIf(offers('a superuser'))('not of a role that merely comes with PostgreSQL, and is given to many', async () => {
    const [squatter, deployer] = [await makeRole('squatter'), await makeRole('deployer')];
    const superuser = database.superuserUrl ?? '';
    await sql(superuser, `grant pg_monitor to ${squatter.role}; grant pg_monitor to ${deployer.role}; grant create on database ${database.name} to pg_monitor`);
    await sql(superuser, 'grant create on schema public to pg_monitor');
    await sql(squatter.url, `set role pg_monitor; ${SQUAT}`);
    await problemOf(asked(deployer.url), 'engine_not_trusted');
    expect(await loot()).toEqual([]);
  });

  it('not of a role that its administrator may give away, and may not be', async ({ skip }) => {
    const administrator = await makeRole('administrator');
    const [{ version }] = (await sql(database.url, "select current_setting('server_version_num')::int as version")) as [{ version: number }];
    if (version < 160000) return skip();
    const squatter = await squat();
    await keeper((await testServer()).url).run(`grant ${squatter.role} to ${administrator.role} with admin true, inherit false, set false`);
    await problemOf(asked(administrator.url), 'engine_not_trusted');
    expect(await loot()).toEqual([]);
  });

  it('whatever stands first in the search_path', async () => {
    const { url } = await squat();
    await sql(
      url,
      `create function public.mine(pg_catalog.name, pg_catalog.name) returns boolean language plpgsql as $$ begin insert into public.loot values (current_user, 'operator'); return false; end $$;
       create operator public.= (leftarg = pg_catalog.name, rightarg = pg_catalog.name, function = public.mine);
       create domain public.text as pg_catalog.text; create domain public.oid as pg_catalog.oid;
       create function public.current_setting(pg_catalog.text) returns pg_catalog.text language plpgsql as $$ begin insert into public.loot values (current_user, 'setting'); return ''; end $$`,
    );
    await sql(database.url, `alter database ${database.name} set search_path = public, pg_catalog`);
    await problemOf(asked(database.url), 'engine_not_trusted');
    await problemOf(deployWith(connectAs(database.url)), 'engine_not_trusted');
    expect(await loot()).toEqual([]);
  });
});

it('runs nothing of strangers in a database with an engine either, whatever stands first in the search_path', async () => {
  expect((await deployWith(connectTo({ connectionString: database.url, transport: 'tcp' }))).state).toBe('succeeded');
  const stranger = await makeRole('stranger');
  const types = ['text', 'uuid', 'jsonb', 'bytea'];
  await sql(
    stranger.url,
    `create table public.loot (who pg_catalog.name, what pg_catalog.text);
     grant insert, select on public.loot to public;
     create function public.note(pg_catalog.text) returns boolean language plpgsql as $$ begin insert into public.loot values (current_user, $1); return true; end $$;
     create function public.jsonb_build_object(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.jsonb) returns pg_catalog.jsonb language sql
       as $$ select pg_catalog.to_jsonb(public.note('object')) $$;
     create function public.joined(pg_catalog.text, pg_catalog.name) returns pg_catalog.text language sql as $$ select public.note('joined')::pg_catalog.text $$;
     create operator public.|| (leftarg = pg_catalog.text, rightarg = pg_catalog.name, function = public.joined);
     ${types.map((type) => `create domain public.${type} as pg_catalog.${type} check (public.note('${type}'))`).join(';')}`,
  );
  await sql(database.url, `alter database ${database.name} set search_path = public, pg_catalog`);
  const connect = connectTo({ connectionString: database.url, transport: 'tcp' });
  const { order, chunks } = await makeOrder({ ...FILES, '2.sql': '', '3.sql': 'create table third (n int);' });
  const { id, state } = await deploy({ connect, order, chunks, deadlineMs: 30_000 }).done;
  expect(state).toBe('succeeded');
  const session = await connect();
  try {
    await readStatus(session, id);
    await readDeployments(session, 10);
    await readEvents(session, id, 0);
    await readHistory(session);
    await readForesight(session, { manifest: order.manifest, texts: {} });
    await readUndoPlan(session, id, null);
    await readReceipt(session, id, null);
    await requestCancel(session, id, null);
    expect((await resume({ connect, id, target: null, deadlineMs: 30_000 })).state).toBe('succeeded');
  } finally {
    await session.close();
  }
  expect(await loot()).toEqual([]);
});

it('is asked once of each object, with statistics or without', async () => {
  const engine = await freshDatabase();
  const session = await connectTo({ connectionString: engine.url, transport: 'tcp' })();
  try {
    const [, guarded] = guardMessages();
    if (guarded === undefined) throw new Error('there is no guard');
    const replies = await session.pipeline([
      guarded,
      {
        kind: 'statement',
        text: `select pg_stat_get_xact_tuples_fetched('pg_shdepend_depender_index'::regclass)::integer as looked_at,
          (select count(*) from pg_depend where refclassid = 'pg_namespace'::regclass and refobjid = 'weft'::regnamespace)::integer as objects`,
        values: [],
      },
    ]);
    const { looked_at, objects } = onlyRow(replies[1]);
    expect(Number(objects)).toBeGreaterThan(500);
    expect(Number(looked_at)).toBe(Number(objects));
  } finally {
    await session.close();
    await engine.drop();
  }
});
