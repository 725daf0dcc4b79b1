/**
 * Two o'clock, for two files of tests: 52 changesets, and number 47 builds an index concurrently when it happens. Its build is held by another session, at
 * its beginning (somebody writes to the table) or at its end (an old snapshot), so it surely runs when it is cut.
 *
 * Not every product of the seven columns is a test: of each disturbance eight rows are, chosen so that with it any three values of form, writing,
 * when and who meet in some row, and any two values of any two columns (two_am_cuts.test.ts counts them). Where the server itself was killed, the orphan has died with it, and whoever held
 * it: "at once" then means that the next trigger comes while the server is still recovering.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Connect } from '../../src/database/session.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { CHECKOUT } from '../../src/dev/places.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { makeFolder } from '../cli/folder.ts';
import { connectOver, deployFiles, everyRow, makeOrder, until } from '../support/orders.ts';
import { type OwnServer, startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

const FILES_COUNT = 52;

export const DISTURBANCES = [
  'the connection is reset',
  'the client is killed',
  'the backend is terminated',
  'the server is killed',
  'the network is silent',
] as const;
export const VALUES = {
  form: ['combined in one file', 'split over two'],
  writing: ['plain', 'if not exists'],
  when: ['at once', 'later'],
  who: ['the same caller', 'another caller'],
  rule: ['auto', 'none'],
  held: ['by an old snapshot', 'by a writer'],
} as const;

type Column = keyof typeof VALUES;
type Case = { readonly disturbance: (typeof DISTURBANCES)[number] } & { readonly [C in Column]: (typeof VALUES)[C][number] };

/** Of each disturbance eight rows: three columns take all their values, the others follow from them. */
export const CASES: readonly Case[] = DISTURBANCES.flatMap((disturbance, n) =>
  [0, 1, 2, 3, 4, 5, 6, 7].map((row) => {
    const [a, b, c, turn] = [row & 1, (row >> 1) & 1, row >> 2, n & 1] as const;
    return {
      disturbance,
      form: pick('form', a),
      writing: pick('writing', b),
      when: pick('when', c),
      who: pick('who', a ^ b ^ c ^ turn),
      rule: pick('rule', a ^ b),
      held: pick('held', a ^ c ^ turn),
    };
  }),
);

function pick<C extends Column>(column: C, index: number): (typeof VALUES)[C][number] {
  return VALUES[column][index] as (typeof VALUES)[C][number];
}

/** Each changeset writes into the journal too, which has no key that would hide a second time. */
function bundle({ form, writing, rule }: Pick<Case, 'form' | 'writing' | 'rule'>): Record<string, string> {
  const isGuarded = writing === 'if not exists';
  const table = [
    'insert into journal values (47);',
    `create table ${isGuarded ? 'if not exists ' : ''}orders (id int primary key, item int not null);`,
    `insert into orders select i, i from generate_series(1, 50) as i${isGuarded ? ' on conflict do nothing' : ''};`,
  ].join('\n');
  const index = `create index concurrently ${isGuarded ? 'if not exists ' : ''}items_name on items (name, price desc);`;
  const after = 'insert into journal values (147);';
  const files: Record<string, string> = {
    'weft.yaml': `name: shop\nphases:\n  - { name: main, transaction: ${rule}, lock_timeout: 1h, steps: [{ run: '*.sql' }] }\n`,
    '01.sql': 'create table journal (changeset int); insert into journal values (1);',
    ...(form === 'combined in one file' ? { '47.sql': `${table}\n${index}\n${after}` } : { '47a.sql': table, '47b.sql': `${index}\n${after}` }),
  };
  for (let n = 2; n <= FILES_COUNT; n++) {
    if (n === 47) continue;
    files[`${String(n).padStart(2, '0')}.sql`] = [
      `insert into journal values (${n});`,
      n % 3 === 0
        ? `create table t_${n} (id int primary key, name text not null); insert into t_${n} select i, 'row ' || i from generate_series(1, 20) as i;`
        : '',
      n % 3 === 1 ? `alter table journal add column c_${n} int default ${n};` : '',
      n % 3 === 2 ? `create view v_${n} as select name from items where id > ${n}; update items set price = price + 1 where id = ${n};` : '',
    ].join('\n');
  }
  return files;
}

/**
 * A witness in the database: whenever a row says that something is done of which the index is a part, it writes down in the same
 * transaction whether the index is whole by then.
 */
const WITNESS = `
create table weft._witnessed (what text not null, is_whole boolean not null);
create function weft._witness() returns trigger set search_path = pg_catalog, pg_temp language plpgsql as $$
declare
  v_row  jsonb := to_jsonb(new);
begin
  if v_row ->> 'state' in ('done', 'succeeded', 'skipped') and (v_row -> 'judge' ->> 'kind' = 'index' or v_row ->> 'path' ~ '^47b?[.]' or tg_table_name = '_deployments')
     or tg_table_name = '_history' and v_row ->> 'path' ~ '^47b?[.]' then
    insert into weft._witnessed
    select tg_table_name, coalesce(bool_and(i.indisvalid and i.indisready and i.indislive), false)
    from pg_index as i join pg_class as c on c.oid = i.indexrelid
    where starts_with(c.relname, 'items_name');
  end if;
  return null;
end
$$;
${['_statements', '_steps', '_history', '_deployments'].map((table) => `create trigger witness after insert or update on weft.${table} for each row execute function weft._witness();`).join('\n')}
select weft._note_other_parts(); -- it belongs to the engine, for a test
`;

let server: OwnServer;
let relay: Relay;
let undisturbed: { fingerprint: string; rows: Record<string, string[]> };

/** In a test file: a server of its own, and what nothing comes between leaves behind. */
function prepare(): void {
  beforeAll(async () => {
    server = await startOwnServer();
    relay = await startRelay({ to: { host: '127.0.0.1', port: server.postgres.port } });
    const ends = [];
    for (const form of VALUES.form) {
      const url = await makeDatabase();
      expect(await deployFiles(connectOver(url), bundle({ form, writing: 'plain', rule: 'auto' }))).toMatchObject({ state: 'succeeded', error: null });
      ends.push({ fingerprint: await fingerprint(url), rows: await everyRow(url) });
    }
    expect(ends[0]).toEqual(ends[1]);
    undisturbed = ends[0] as (typeof ends)[0];
  });

  afterEach(() => {
    relay.cutAll();
    relay.endSilence();
  });

  afterAll(async () => {
    await relay?.stop();
    await server?.postgres.stop();
  });
}

async function makeDatabase(): Promise<string> {
  const url = await server.createDatabaseWithEngine();
  await sql(url, WITNESS);
  await sql(
    url,
    `create table items (id int primary key, name text not null, price int not null); insert into items select i, 'item ' || i % 100, i from generate_series(1, 2000) as i`,
  );
  return url;
}

const fingerprint = async (url: string): Promise<string> => (await sql(url, 'select weft.fingerprint() as fingerprint'))[0].fingerprint;

function throughRelay(url: string): string {
  const changed = new URL(url);
  changed.port = String(relay.tcpPort);
  return changed.href;
}

/** Somebody because of whom the build cannot end. @returns lets it end */
async function hold(url: string, held: Case['held']): Promise<() => Promise<void>> {
  const holder = new pg.Client({ connectionString: url });
  holder.on('error', () => undefined);
  await holder.connect();
  await holder.query('begin isolation level repeatable read');
  await holder.query(held === 'by a writer' ? 'lock table items in row exclusive mode' : 'select 1');
  return () => holder.end().catch(() => undefined);
}

const PHASES: Record<Case['held'], string> = { 'by an old snapshot': 'waiting for old snapshots', 'by a writer': 'waiting for writers before build' };

interface First {
  /** The client is gone, or knows nothing any more; it does not come back. */
  leave(): Promise<void>;
}

/** The first client: the drive, through the relay, which once it is cut never gets a connection again. */
function deployThroughRelay(url: string, order: Awaited<ReturnType<typeof makeOrder>>): First {
  const abort = new AbortController();
  const connect: Connect = async () => {
    if (abort.signal.aborted) throw new Error('it does not come back');
    return connectOver(throughRelay(url))();
  };
  const { done } = deploy({ connect, ...order, deadlineMs: 50_000, signal: abort.signal });
  const ended = done.then(
    () => undefined,
    () => undefined,
  );
  return {
    leave: async () => {
      abort.abort();
      await ended;
    },
  };
}

/** The first client: the command line, a process of its own. */
function deployInChild(url: string, files: Readonly<Record<string, string>>): First {
  const client = spawn(process.execPath, [join(CHECKOUT, 'src', 'cli', 'weft.js'), 'deploy', makeFolder(files), '--id', 'the-request'], {
    env: { ...process.env, DATABASE_URL: url },
    stdio: 'ignore',
  });
  const ended = once(client, 'exit');
  return {
    leave: async () => {
      client.kill('SIGKILL');
      await ended;
    },
  };
}

/** What happens while the build is held, and the first client with it. @param again starts the next trigger */
async function disturb({ disturbance }: Case, url: string, pid: number, first: First, again: () => void): Promise<void> {
  switch (disturbance) {
    case 'the connection is reset':
      relay.cutAll();
      await first.leave();
      return again();
    case 'the client is killed':
      await first.leave();
      return again();
    case 'the backend is terminated':
      await Promise.all([sql(url, `select pg_terminate_backend(${pid}, 10000)`), first.leave()]);
      return again();
    case 'the server is killed':
      await Promise.all([server.postgres.kill9(), first.leave()]);
      again();
      return server.postgres.restart();
    case 'the network is silent':
      relay.silence();
      await first.leave();
      return again();
  }
}

/** Every row of these disturbances, on a server of their own. */
export function describeCuts(disturbances: readonly Case['disturbance'][]): void {
  describe.runIf(offers('servers to kill'))('52 changesets, and number 47 builds an index', () => {
    prepare();
    it.each(CASES.filter(({ disturbance }) => disturbances.includes(disturbance)))(
      '$disturbance; $form, written $writing ($rule), held $held; triggered again $when by $who: the same end as if nothing had happened',
      async (row) => {
        const { disturbance, when, who, held } = row;
        const url = await makeDatabase();
        const files = bundle(row);
        const request = await makeOrder(files, { id: 'the-request' });
        const letGo = await hold(url, held);
        const first = disturbance === 'the client is killed' ? deployInChild(url, files) : deployThroughRelay(url, request);
        await until(url, `exists (select from pg_stat_progress_create_index where datname = current_database() and phase = '${PHASES[held]}')`);
        const [{ pid }] = await sql(url, 'select pid from pg_stat_progress_create_index where datname = current_database()');
        const [{ id }] = await sql(url, 'select id from weft.deployments');

        const order = who === 'the same caller' ? request : await makeOrder(files, { caller: 'other' });
        const looked = Promise.withResolvers<void>();
        let end: Promise<Deployment> | undefined;
        const again = () => {
          end = deploy({ connect: connectOver(url), ...order, callers: ['direct', 'other'], onStatus: () => looked.resolve(), deadlineMs: 50_000 }).done;
          end.catch(() => undefined);
        };
        await disturb(row, url, pid, first, when === 'at once' ? again : () => undefined);
        if (when === 'at once') {
          await Promise.race([looked.promise, end]);
          if (disturbance !== 'the server is killed') {
            expect(await sql(url, `select indisvalid from pg_index where indexrelid = 'items_name'::regclass`), 'still being built').toEqual([
              { indisvalid: false },
            ]);
          }
          await letGo();
        } else {
          await letGo();
          await until(
            url,
            `not exists (select from pg_stat_activity where pid = ${pid} and backend_type = 'client backend' and (state <> 'idle' or state_change > clock_timestamp() - interval '0.2 s'))`,
            'the orphan has ended',
          );
          again();
        }

        const ended = await end;
        expect(await sql(url, 'select what from weft._witnessed where not is_whole'), 'done, it said, of an index that was not').toEqual([]);
        expect(ended).toMatchObject({ state: 'succeeded', error: null });
        expect(ended?.id === id, 'the first one, or one of its own').toBe(who === 'the same caller');
        expect(await sql(url, 'select distinct state from weft.deployments')).toEqual([{ state: 'succeeded' }]);
        expect(await sql(url, 'select from pg_index where not indisvalid')).toEqual([]);
        expect(await everyRow(url)).toEqual(undisturbed.rows);
        expect(await fingerprint(url)).toBe(undisturbed.fingerprint);
        expect(await sql(url, `select count(*)::int as applied, count(distinct deployment_id)::int as by from weft._history`)).toEqual([
          { applied: Object.keys(files).length - 1, by: 1 },
        ]);
        expect((await sql(url, 'select distinct what from weft._witnessed order by 1')).map(({ what }) => what)).toEqual([
          '_deployments',
          '_history',
          '_statements',
          '_steps',
        ]);
        expect(await sql(url, 'select pid from weft._lease')).toEqual([{ pid: null }]);
      },
    );
  });
}

/** Cut again and again, on a server of its own. */
export function describeRepeatedCuts(): void {
  describe.runIf(offers('servers to kill'))('52 changesets, of which number 47 builds an index, cut again and again', () => {
    prepare();
    it.each(VALUES.held)('held %s, repairs too: the same end as if nothing had happened', async (held) => {
      const url = await makeDatabase();
      const files = bundle({ form: 'combined in one file', writing: 'plain', rule: 'auto' });
      const letGo = await hold(url, held);
      const order = await makeOrder(files);
      for (let cut = 1; cut <= 6; cut++) {
        const first = deployThroughRelay(url, order);
        // a build, a repair, or the drop of what a repair has left: each waits for the holder in the end
        await until(
          url,
          `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where l.directive_at is not null and a.wait_event = 'virtualxid')`,
        );
        relay.silence();
        await Promise.all([sql(url, 'select pg_terminate_backend(pid, 10000) from weft._lease'), first.leave()]);
        relay.cutAll();
        relay.endSilence();
      }
      await letGo();
      const end = await deploy({ connect: connectOver(url), ...order, deadlineMs: 50_000 }).done;
      expect(end).toMatchObject({ state: 'succeeded', error: null });
      expect(await sql(url, 'select what from weft._witnessed where not is_whole'), 'done, it said, of an index that was not').toEqual([]);
      expect(await everyRow(url)).toEqual(undisturbed.rows);
      expect(await fingerprint(url)).toBe(undisturbed.fingerprint);
    });
  });
}
