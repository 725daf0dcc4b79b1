/** What a database must be for a deployment: each way in which it is not has a Problem of its own, and nothing is changed. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { type DeployOptions, deploy } from '../../src/deployment/deploy.ts';
import { resume } from '../../src/deployment/resume.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { problemOf } from '../database/ways.ts';
import { emptyDatabase, type TestDatabase, withDatabase } from '../support/database.ts';
import { type Impostor, startPooler, startServerThatSays } from '../support/impostors.ts';
import { AT_THE_GATE, deployFiles, makeOrder, shutGate, stageFiles, until } from '../support/orders.ts';
import { startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let impostor: Impostor | undefined;

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(async () => {
  await impostor?.stop();
  impostor = undefined;
  await database.drop();
});

const FILES = { '1.sql': 'create table journal (n int); insert into journal values (1);' };

/** More than goes in one breath. */
const LARGE = LIMITS.chunk_bytes + 1;
const SIZES = [
  { what: 'a small bundle', bytes: 0 },
  { what: 'a large bundle', bytes: LARGE },
];

const engineOf = (version: number): string =>
  `create or replace function weft.version() returns integer immutable parallel safe set search_path = pg_catalog, pg_temp language sql
  as $$ select ${version} $$`;

async function deployTo(url: string, more: Partial<DeployOptions> = {}, bytes = 0): Promise<Deployment> {
  const { order, chunks } = await makeOrder({ ...FILES, '2.sql': ''.padEnd(bytes, '-') });
  const connect = connectTo({ connectionString: url, transport: 'tcp', deadlineMs: 20_000 });
  return deploy({ connect, order, chunks, deadlineMs: 30_000, ...more }).done;
}

const resumeAt = (url: string, id: string | null) =>
  resume({ connect: connectTo({ connectionString: url, transport: 'tcp' }), id, target: null, deadlineMs: 30_000 });

const engines = async () => (await sql(database.url, "select to_regnamespace('weft')::text as weft, to_regclass('journal')::text as journal"))[0];
/** Once everybody has done what he was told. */
const deployments = async () => {
  await until(database.url, `not exists (select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state = 'active')`);
  return sql(database.url, 'select state from weft.deployments');
};

describe('a transaction pooler', () => {
  it.each(SIZES)('that changes the backend is refused as soon as it shows, and nothing is opened ($what)', async ({ bytes }) => {
    await stageFiles(database.url, { 'installs.sql': '' });
    // the opening, and what follows it, meet the backend of the first question
    impostor = await startPooler(database.url, { passesSettings: true, backends: 3 });
    const problem = await problemOf(deployTo(impostor.url, {}, bytes), 'transaction_pooler');
    expect(problem.message).toMatch(/backend \d+, and a transaction later at \d+/);
    expect(await deployments()).toEqual([{ state: 'staged' }]);
    expect((await engines()).journal).toBe(null);
  });

  it.each([
    { turn: 4, before: 'the artifacts' },
    { turn: 5, before: 'the CALL' },
  ])('that changes the backend only before $before is refused by the CALL, and nothing is run', async ({ turn }) => {
    await stageFiles(database.url, { 'installs.sql': '' });
    impostor = await startPooler(database.url, { passesSettings: true, backends: 2, turn });
    await problemOf(deployTo(impostor.url), 'transaction_pooler');
    expect(await deployments()).toEqual([{ state: 'staged' }, { state: 'staged' }]);
    expect((await engines()).journal).toBe(null);
  });

  it('that has many backends, so that the same one comes twice by chance, is refused by the CALL itself', async () => {
    await stageFiles(database.url, { 'installs.sql': '' });
    impostor = await startPooler(database.url, { passesSettings: true, backends: 2 });
    const connect = connectTo({ connectionString: impostor.url, transport: 'tcp' });
    const session = await connect();
    const [{ pid } = { pid: null }] = await session.query('select pg_backend_pid() as pid');
    const [reply] = await session.pipeline([{ kind: 'simple', text: `call weft.run(null, null, ${pid})` }]);
    expect(reply).toMatchObject({ kind: 'error', error: { sqlstate: 'WF010' } });
    await session.close();
  });

  it.each(SIZES)('that drops the settings of the session is refused, also when it has one backend only ($what)', async ({ bytes }) => {
    impostor = await startPooler(database.url, { passesSettings: false, backends: 1 });
    const problem = await problemOf(deployTo(impostor.url, {}, bytes), 'transaction_pooler');
    expect(problem.message).toContain('dropped');
    expect(await engines()).toEqual({ weft: null, journal: null });
    await stageFiles(database.url, { 'installs.sql': '' });
    await problemOf(deployTo(impostor.url, {}, bytes), 'transaction_pooler');
    expect(await deployments()).toEqual([{ state: 'staged' }]);
    expect((await engines()).journal).toBe(null);
  });

  it.each(['with an id', 'of whatever is unfinished'])('is refused by a resume %s too', async (what) => {
    const id = await stageFiles(database.url, FILES);
    impostor = await startPooler(database.url, { passesSettings: true, backends: 2 });
    await problemOf(resumeAt(impostor.url, what === 'with an id' ? id : null), 'transaction_pooler');
    expect(await deployments()).toEqual([{ state: 'staged' }]);
  });

  it('that stands where a direct connection was lost is refused when the drive comes back', async () => {
    const id = await stageFiles(database.url, { '1.sql': AT_THE_GATE });
    const gate = await shutGate(database.url);
    const pooler = await startPooler(database.url, { passesSettings: true, backends: 2 });
    impostor = pooler;
    let calls = 0;
    const connect = () => connectTo({ connectionString: calls++ === 0 ? database.url : pooler.url, transport: 'tcp' })();
    const following = resume({ connect, id, target: null, deadlineMs: 30_000 });
    following.catch(() => undefined);
    await gate.reached();
    await sql(database.url, 'select pg_terminate_backend(pid, 10000) from weft._lease');
    await problemOf(following, 'transaction_pooler');
    await gate.open();
  });
});

describe('a server', () => {
  it.each([
    { that: 'is too old', says: { version_number: '130012', version: '13.12' }, slug: 'server_too_old', words: 'PostgreSQL 13.12; Weft needs 14 or newer' },
    { that: 'is a standby', says: { is_standby: 't', is_read_only: 'on' }, slug: 'standby_server', words: 'Use the address of the primary' },
    { that: 'is read-only', says: { is_read_only: 'on' }, slug: 'read_only_server', words: 'read-write endpoint' },
    { that: 'shows nobody at work', says: { track_activities: 'off' }, slug: 'activity_hidden', words: 'track_activities' },
    { that: 'has settings that are not ours', says: { statement_timeout: '30s' }, slug: 'transaction_pooler', words: 'dropped' },
  ])('that $that is refused, by deploy and by resume', async ({ says, slug, words }) => {
    const server = await startServerThatSays(database.url, says as Record<string, string>);
    impostor = server;
    for (const drive of [() => resumeAt(server.url, null), () => deployTo(server.url, {}, LARGE), () => deployTo(server.url)]) {
      expect(server.statements.filter((text) => /create|weft\.stage|weft\.run/.test(text))).toEqual([]);
      const problem = await problemOf(drive(), slug);
      expect(problem.message).toContain(words);
      expect(problem.message).toContain('Nothing was changed');
    }
  });

  it.each([
    { that: 'is read-only', change: 'alter database %s set default_transaction_read_only = on', slug: 'read_only_server' },
    { that: 'shows nobody at work', change: 'alter database %s set track_activities = off', slug: 'activity_hidden' },
    { that: 'has a newer engine', change: engineOf(999), slug: 'engine_newer' },
  ])('that $that opens, takes and runs nothing of what comes in one breath', async ({ change, slug }) => {
    if (database.superuserUrl === null) return;
    await stageFiles(database.url, { 'installs.sql': '' });
    await sql(database.superuserUrl, change.replace('%s', database.name));
    const problem = await problemOf(deployTo(database.url), slug);
    expect(problem.message).toContain('Nothing was changed');
    expect(await deployments()).toEqual([{ state: 'staged' }]);
    expect((await engines()).journal).toBe(null);
  });

  it('that has an older engine, which cannot be upgraded now, opens nothing', async () => {
    const gate = await shutGate(database.url);
    const running = deployFiles(connectTo({ connectionString: database.url, transport: 'tcp' }), { '1.sql': AT_THE_GATE });
    await gate.reached();
    await sql(database.url, engineOf(0));
    const problem = await problemOf(deployTo(database.url), 'interrupted');
    expect(problem.message).toContain('The engine was not upgraded');
    expect(await sql(database.url, 'select state from weft.deployments')).toEqual([{ state: 'running' }]);
    await gate.open();
    expect(await running).toMatchObject({ state: 'succeeded' });
  });

  it.runIf(offers('servers to kill'))('that sleeps is waited for', async () => {
    const server = await startOwnServer();
    try {
      const url = await server.createDatabase();
      await server.postgres.kill9();
      const deploying = deployTo(url);
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      await server.postgres.restart();
      expect(await deploying).toMatchObject({ state: 'succeeded' });
    } finally {
      await server.postgres.stop();
    }
  });
});

describe('a role', () => {
  const role = () => `weft_role_${database.name.slice(-12)}`;
  const asRole = () => {
    const url = new URL(database.url);
    url.username = role();
    url.password = 'its-own-password';
    return url.href;
  };

  beforeEach(async () => {
    await sql(database.url, `create role ${role()} login password 'its-own-password'`);
  });

  afterEach(async () => {
    await sql(withDatabase(database.url, 'postgres'), `drop role ${role()}`).catch(async () => {
      await sql(database.url, `drop owned by ${role()}; drop role ${role()}`);
    });
  });

  it('whose transactions are read-only is refused', async () => {
    await sql(database.url, `alter role ${role()} set default_transaction_read_only = on`);
    await problemOf(deployTo(asRole()), 'read_only_server');
    expect(await engines()).toEqual({ weft: null, journal: null });
  });

  it('that may not create a schema is told what to grant', async () => {
    const problem = await problemOf(deployTo(asRole()), 'role_without_rights');
    expect(problem.message).toContain('Grant the role CREATE on the database');
    expect(await engines()).toEqual({ weft: null, journal: null });
  });

  it('that may not use the engine of another one is told so', async () => {
    await stageFiles(database.url, FILES);
    const [{ owner }] = await sql(database.url, 'select current_user::text as owner');
    for (const refuse of [() => deployTo(asRole()), () => resumeAt(asRole(), null)])
      expect((await problemOf(refuse(), 'role_without_rights')).message).toBe(
        `The role "${role()}" may not use schema weft, which belongs to "${owner}". Nothing was changed. Deploy as ${owner}, or as a member of it: grant ${owner} to ${role()}`,
      );
    await sql(database.url, `grant usage on schema weft to ${role()}`);
    for (const refuse of [() => deployTo(asRole()), () => resumeAt(asRole(), null)])
      expect((await problemOf(refuse(), 'role_without_rights')).message).toMatch(
        /^permission denied for function \w+\. What is in schema weft is for the role that owns it, and for its members: .*Who owns it: select nspowner/,
      );
    await sql(database.url, `revoke usage on schema weft from ${role()}`);
    expect(await deployments()).toEqual([{ state: 'staged' }]);
  });

  it('that acts as another one, and so could not see its own session, is refused before an engine is laid, and told what to reset', async () => {
    const other = `${role()}_other`;
    await sql(database.url, `create role ${other}; grant ${other} to ${role()}; alter role ${role()} set role = '${other}'`);
    await sql(database.url, `grant create on database ${database.name} to ${other}`);
    const problem = await problemOf(deployTo(asRole()), 'role_without_rights');
    expect(problem.message).toContain(`alter role ${role()} reset role`);
    expect(await engines()).toEqual({ weft: null, journal: null });
    await sql(database.url, `alter role ${role()} reset role; revoke create on database ${database.name} from ${other}; drop role ${other}`);
  });

  it('that has no free connection is told so, after some tries', async () => {
    await sql(database.url, `alter role ${role()} connection limit 0`);
    const { order, chunks } = await makeOrder(FILES);
    const connect = connectTo({ connectionString: asRole(), transport: 'tcp', deadlineMs: 700 });
    const problem = await problemOf(deploy({ connect, order, chunks, deadlineMs: 30_000 }).done, 'no_free_connection');
    expect(problem.facts.attempts).toBeGreaterThan(1);
  });

  it('with a wrong password is told so', async () => {
    await problemOf(deployTo(asRole().replace('its-own', 'not-its')), 'database_authentication', ['not-its-password']);
  });
});

describe('a connection string', () => {
  it('that cannot be used is refused before anything is opened', () => {
    expect(() => connectTo({ connectionString: 'not a connection string', transport: 'tcp' })).toThrow(
      expect.objectContaining({ slug: 'connection_string_invalid' }),
    );
  });

  it('that leads nowhere is tried for a while, and then said, also when there would be time left', async () => {
    const connect = connectTo({ connectionString: 'postgres://user:password@127.0.0.1:1/x', transport: 'tcp', deadlineMs: 500 });
    const { order, chunks } = await makeOrder(FILES);
    await problemOf(deploy({ connect, order, chunks, deadlineMs: 60_000 }).done, 'database_unreachable');
  });
});
