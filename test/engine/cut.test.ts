/**
 * Cut anything, anywhere, at any time: 52 files, and number 47 is at work when it happens. After the next trigger the database is as if
 * nothing had happened: the catalog's fingerprint, every row of every table, each file's effect once.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { CHECKOUT } from '../../src/dev/places.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { bundleFile, makeFolder } from '../cli/folder.ts';
import { AT_THE_GATE, connectOver, deployFiles, everyRow, makeOrder, type OrderOptions, openOrder, shutGate, stageOrder, until } from '../support/orders.ts';
import { type OwnServer, startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

const FILES_COUNT = 52;
const CUT_AT = 47;

/** Schema and data of many kinds; each file writes into the journal too, which has no key that would hide a second time. */
function bundle(inCutFile = ''): Record<string, string> {
  const files: Record<string, string> = { '01.sql': 'create table journal (file int); insert into journal values (1);' };
  for (let n = 2; n <= FILES_COUNT; n++) {
    const parts = [
      `insert into journal values (${n});`,
      `create table t_${n} (id int primary key, name text not null, parent int references t_${n} deferrable initially deferred);`,
      `create index on t_${n} (name); create view v_${n} as select name, count(*) from t_${n} group by name;`,
      `insert into t_${n} select i, 'row ' || i, i - 1 + (i = 1)::int from generate_series(1, 20) as i;`,
      n === CUT_AT ? `${AT_THE_GATE} ${inCutFile} update t_${n - 1} set name = name || ' changed';` : '',
      `create function f_${n}() returns int language sql as $$ select max(id) from t_${n} $$;`,
      `alter table journal add column c_${n} int default ${n};`,
    ];
    files[`${String(n).padStart(2, '0')}.sql`] = parts.join('\n');
  }
  return files;
}

let server: OwnServer;
let relay: Relay;
let undisturbed: Record<'per-step' | 'single', { fingerprint: string | null; rows: Record<string, string[]> }>;

beforeAll(async () => {
  server = await startOwnServer();
  relay = await startRelay({ to: { host: '127.0.0.1', port: server.postgres.port } });
  const leave = async (transaction: 'per-step' | 'single') => {
    const url = await server.createDatabase();
    const { error, fingerprint } = await deployFiles(connectOver(url), bundle(), { transaction });
    expect(error).toBeNull();
    return { fingerprint: fingerprint.after, rows: await everyRow(url) };
  };
  undisturbed = { 'per-step': await leave('per-step'), single: await leave('single') };
});

afterAll(async () => {
  await relay?.stop();
  await server?.postgres.stop();
});

function throughRelay(url: string): string {
  const changed = new URL(url);
  changed.port = String(relay.tcpPort);
  return changed.href;
}

/** What happens while file 47 stands at the gate. @param pid of the backend that runs it */
const disturbances: Record<string, { happens: (url: string, pid: number) => Promise<unknown>; runnerDies: boolean }> = {
  'the connection is reset': { happens: async () => relay.cutAll(), runnerDies: false },
  'the backend is terminated': { happens: (url, pid) => sql(url, `select pg_terminate_backend(${pid}, 10000)`), runnerDies: true },
  'the server is killed and started again': {
    happens: async () => {
      await server.postgres.kill9();
      await server.postgres.restart();
    },
    runnerDies: true,
  },
};

const triggers: Record<string, (url: string, id: string, request: OrderOptions) => Promise<Deployment>> = {
  'the same request once more': (url, _id, request) => deployFiles(connectOver(url), bundle(), request),
  'a resume': (url, id) => resume({ connect: connectOver(url), id, target: null, deadlineMs: 50_000 }),
  'a resume of whatever is unfinished': (url) => resume({ connect: connectOver(url), id: null, target: null, deadlineMs: 50_000 }),
  'a CALL from psql': async (url, id) => {
    await until(url, `weft.status('${id}') ->> 'live' is null`);
    return (await sql(url, `call weft.run('${id}')`))[0].result;
  },
};

const cases = Object.keys(disturbances).flatMap((disturbance) =>
  Object.keys(triggers).flatMap((trigger, index) => [
    { disturbance, trigger, transaction: 'per-step' as const },
    ...(index < 2 ? [{ disturbance, trigger, transaction: 'single' as const }] : []),
  ]),
);

describe.runIf(offers('servers to kill'))('52 files, and file 47 at work', () => {
  it.each(cases)('$transaction: $disturbance; $trigger brings it to the same end as if nothing had happened', async ({ disturbance, trigger, transaction }) => {
    const { happens, runnerDies } = disturbances[disturbance] ?? {};
    const url = await server.createDatabase();
    const request = { transaction, id: 'the-request' };
    const order = await makeOrder(bundle(), request);
    const session = await connectOver(url)();
    const opened = await openOrder(session, order);
    await stageOrder(session, order, opened);
    await session.close();

    const gate = await shutGate(url);
    const runner = new pg.Client({ connectionString: throughRelay(url) });
    runner.on('error', () => undefined);
    await runner.connect();
    const pid = (runner as unknown as { processID: number }).processID;
    const call = runner.query(`call weft.run('${opened.id}')`).then(
      () => 'answered',
      () => 'lost',
    );
    await gate.reached();
    await happens?.(url, pid);
    expect(await call).toBe('lost');
    await runner.end().catch(() => undefined);
    const steps = await sql(url, `select count(*)::int as done from weft.steps where state = 'succeeded'`);
    expect(steps).toEqual([{ done: transaction === 'single' ? 0 : CUT_AT - 1 }]);
    if (transaction === 'single') expect(await everyRow(url), 'nothing of it').toEqual({});
    const isThere = (await sql(url, `select pid from weft._lease as l join pg_stat_activity as a using (pid, backend_start, query_start)`)).length === 1;
    expect(isThere, 'the runner needs no client').toBe(!runnerDies);

    await gate.open().catch(() => undefined);
    const end = await triggers[trigger]?.(url, opened.id, request);
    expect(end).toMatchObject({ id: opened.id, state: 'succeeded' });
    expect(end?.fingerprint.after).toBe(undisturbed[transaction].fingerprint);
    expect(await everyRow(url)).toEqual(undisturbed[transaction].rows);
    expect(await sql(url, 'select path, count(*)::int from weft.history group by path having count(*) > 1')).toEqual([]);
  });
});

describe.runIf(offers('servers to kill'))('the client killed in the middle of file 47', () => {
  /** The command line as a process of its own, killed when the run stands at the gate. */
  async function deployAndKill(url: string, files: Readonly<Record<string, string>>): Promise<void> {
    const folder = makeFolder({ 'weft.yaml': bundleFile('per-step').replace('steps:', 'lock_timeout: 1h\n    steps:'), ...files });
    const gate = await shutGate(url);
    const client = spawn(process.execPath, [join(CHECKOUT, 'src', 'cli', 'weft.js'), 'deploy', folder], {
      env: { ...process.env, DATABASE_URL: url },
      stdio: 'ignore',
    });
    const ended = once(client, 'exit');
    await gate.reached();
    client.kill('SIGKILL');
    await ended;
    await until(
      url,
      `not exists (select from pg_stat_activity where datname = current_database() and application_name = 'weft')`,
      'its other sessions are gone',
    );
    await gate.open();
  }

  it('the run goes on to its end without it, although files speak', async () => {
    const url = await server.createDatabase();
    await deployAndKill(url, bundle(`do $$ begin raise notice 'nobody hears this'; raise warning 'nor this'; end $$;`));
    await until(url, `(select state from weft.deployments) not in ('staged', 'running')`);
    expect(await sql(url, `select d.state, d.fingerprint_after, (select max(number) from weft._attempts) as attempts from weft.deployments as d`)).toEqual([
      { state: 'succeeded', fingerprint_after: undisturbed['per-step'].fingerprint, attempts: 1 },
    ]);
    expect(await everyRow(url)).toEqual(undisturbed['per-step'].rows);
  });

  it('a file that speaks on a level that cannot be silenced may end the run; the next trigger brings it to the same end', async () => {
    const url = await server.createDatabase();
    await deployAndKill(url, bundle(`do $$ begin for i in 1 .. 20000 loop raise info 'nobody hears this'; end loop; end $$;`));
    await until(url, `not exists (select from weft._lease as l join pg_stat_activity as a using (pid, backend_start, query_start))`);
    expect(await sql(url, `select count(*)::int as done from weft.steps where state = 'succeeded'`)).toEqual([{ done: CUT_AT - 1 }]);
    const end = await resume({ connect: connectOver(url), id: null, target: null, deadlineMs: 50_000 });
    expect(end).toMatchObject({ state: 'succeeded', fingerprint: { after: undisturbed['per-step'].fingerprint } });
    expect(await everyRow(url)).toEqual(undisturbed['per-step'].rows);
  });
});
