/** A file makes its session what it needs, and that holds for what is handed out to run at top level, in whatever backend it runs. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { freshDatabase, type TestDatabase, testServer } from '../support/database.ts';
import { connectOver, deployFiles, until } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { Cutter, expectNothingHalfMade, hold, over } from './cells.ts';

let relay: Relay;
let database: TestDatabase;
let url: string;

beforeAll(async () => {
  const { hostname, port } = new URL((await testServer()).url);
  relay = await startRelay({ to: { host: hostname, port: Number(port) } });
});

afterAll(() => relay.stop());

beforeEach(async () => {
  database = await freshDatabase();
  url = database.url;
});

afterEach(() => database.drop());

const SEEN = `insert into public.seen select current_user, current_setting('role'), current_setting('search_path'), current_setting('work_mem'), current_setting('app.tenant', true), current_setting('app.other', true);`;

/** Everything that a session can be, then something for top level, and what is left of it behind that. */
function file(role: string, more = ''): Record<string, string> {
  return {
    '1.sql': `create schema s;
grant all on schema s, public to ${role};
create table public.seen (who text, role text, path text, mem text, tenant text, other text);
grant all on public.seen to ${role};
set role ${role};
set search_path = s, public;
create table t (a int);
set work_mem = '5MB';
set app.tenant = 'acme; "x"';
select set_config('app.other', 'y', false);
create temporary table kept as select 47 as n;
create index concurrently t_a on t (a);
${SEEN}
${more}
vacuum t;
${SEEN}
`,
    '2.sql': `reset app.tenant; ${SEEN.replace(' select', ' select current_user,').replace('current_user, current_user', 'current_user')}
do $$ begin if to_regclass('kept') is not null then raise 'a temporary table of the file before'; end if; end $$;`,
  };
}

describe.each(['undisturbed', 'before', 'after'] as const)('cut: %s', (when) => {
  it.runIf(offers('a superuser'))('role, search_path and settings hold for what runs at top level, and behind it', async () => {
    const { superuserUrl } = database;
    if (superuserUrl === null) throw new Error('there is no superuser');
    const role = `${database.name}_owner`;
    await sql(superuserUrl, `create role ${role}; grant ${role} to weft_test`);
    const cutter = new Cutter(relay, when === 'after' ? 'after' : 'before', 2);
    const connect = connectOver(over(relay, url));
    const deployment = await deployFiles(
      when === 'undisturbed' ? connect : cutter.into(connect),
      file(role, when === 'undisturbed' ? 'insert into public.seen (who) select n from kept;' : ''),
      { transaction: 'none' },
    );
    expect(deployment).toMatchObject({ state: 'succeeded' });
    expect(cutter.cuts).toBe(when === 'undisturbed' ? 0 : 2);
    const theirs = { who: role, role, path: 's, public', mem: '5MB', tenant: 'acme; "x"', other: 'y' };
    const seen = await sql(url, `select * from public.seen`);
    const kept = { who: '47', role: null, path: null, mem: null, tenant: null, other: null };
    expect(seen.slice(0, -1)).toEqual(when === 'undisturbed' ? [theirs, kept, theirs] : [theirs, theirs]);
    expect(seen.at(-1)).toMatchObject({ who: 'weft_test', role: 'none', path: '"$user", public', mem: '4MB' });
    expect(await sql(url, `select pg_get_userbyid(relowner) as owner from pg_class where oid = 's.t_a'::regclass`)).toEqual([{ owner: role }]);
    await sql(superuserUrl, `drop owned by ${role}; drop role ${role}`);
  });
});

/** Lets what was handed out stand still for longer than any limit of these tests. */
async function keepAtWork(deployment: Promise<unknown>): Promise<void> {
  const isAtWork = `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where l.directive_at < clock_timestamp() - interval '0.5 s' and a.wait_event_type = 'Lock')`;
  await Promise.race([until(url, isAtWork), deployment]);
}

it('limits of time that a file sets end neither what runs at top level nor the CALL behind it', async () => {
  await sql(url, 'create table t (a int)');
  const holder = await hold(url, 'snapshot');
  const limits = `set statement_timeout = '100ms'; set idle_in_transaction_session_timeout = '100ms';
do $$ begin if current_setting('transaction_timeout', true) is not null then perform set_config('transaction_timeout', '100ms', false); end if; end $$;`;
  const deployment = deployFiles(
    connectOver(url),
    { '1.sql': `${limits}\ncreate index concurrently t_a on t (a);\nselect pg_sleep(0.3);` },
    { transaction: 'none' },
  );
  await keepAtWork(deployment);
  await holder.end();
  expect(await deployment).toMatchObject({ state: 'succeeded' });
  expect(await sql(url, `select kind from weft.events where kind in ('statement_sent', 'statement_repaired', 'resumed')`)).toEqual([
    { kind: 'statement_sent' },
  ]);
  expect(await sql(url, 'select from weft._attempts where outcome = $1', ['died'])).toEqual([]);
});

it('a lock_timeout that the file sets is its own: the build is tried again, ends in an error, and leaves nothing invalid', async () => {
  await sql(url, 'create table t (a int)');
  const holder = await hold(url, 'snapshot');
  const file = `set lock_timeout = '20ms';\ncreate index concurrently t_a on t (a);`;
  const { state, error } = await deployFiles(connectOver(url), { '1.sql': file }, { transaction: 'none' });
  expect({ state, error }).toMatchObject({ state: 'failed', error: { sqlstate: '55P03', line: 2 } });
  await holder.end();
  await expectNothingHalfMade(url);
});

it("the lock_timeout of the phase does not end a build, which waits for others in nobody's way", async () => {
  await sql(url, 'create table t (a int)');
  const holder = await hold(url, 'snapshot');
  const deployment = deployFiles(connectOver(url), { '1.sql': 'create index concurrently t_a on t (a);' }, { transaction: 'none', lockTimeout: '20ms' });
  await keepAtWork(deployment);
  await holder.end();
  expect(await deployment).toMatchObject({ state: 'succeeded' });
  expect(await sql(url, `select kind from weft.events where kind in ('statement_sent', 'statement_repaired', 'resumed')`)).toEqual([
    { kind: 'statement_sent' },
  ]);
});

it('what a session holds is given back at the end of its file', async () => {
  await sql(url, 'create table t (a int)');
  const client = await database.client();
  const files = {
    '1.sql':
      'select pg_advisory_lock(4711);\ncreate temporary table kept (n int);\nlisten nothing;\nprepare p as select 1;\nvacuum t;\nselect pg_advisory_lock(4712);',
    '2.sql': `create table public.held as select (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
  to_regclass('kept') as kept, (select count(*) from pg_listening_channels()) as channels, (select count(*) from pg_prepared_statements where name = 'p') as prepared;`,
  };
  expect(await deployFiles(connectOver(url), files, { transaction: 'none' })).toMatchObject({ state: 'succeeded' });
  expect(await sql(url, 'select * from held')).toEqual([{ locks: '0', kept: null, channels: '0', prepared: '0' }]);
  await client.end();
});

it.each([
  ['a character that it has', 'é'],
  ['a character that it has not', '€'],
])('a file that sets client_encoding garbles nothing that is handed out: %s', async (_, character) => {
  const end = await deployFiles(
    connectOver(url),
    {
      '1.sql': `create table te (a text);\nset client_encoding = 'LATIN1';\ninsert into te values ('${character}');\ncreate index concurrently te_a on te (a) where a <> '${character}';\nselect '${character}';\nvacuum te;`,
    },
    { transaction: 'none' },
  );
  expect(end).toMatchObject({ state: 'succeeded', error: null });
  expect(await sql(url, `select pg_get_indexdef('te_a'::regclass) as definition`)).toEqual([
    { definition: expect.stringContaining(`WHERE (a <> '${character}'::text)`) },
  ]);
});
