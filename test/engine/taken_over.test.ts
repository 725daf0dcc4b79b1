/**
 * Taking over from a runner that is stopped and wakes up late (SIGSTOP): whoever is seen to live is waited for, whoever was taken over from commits
 * nothing any more, in whatever kind of phase it was.
 */
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, type Gate, shutGate, stageFiles, until } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let runner: pg.Client;
let gate: Gate | undefined;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table journal (n int); create table items (id int, seen int default 0); insert into items select generate_series(1, 10)');
  runner = new pg.Client({ connectionString: database.url });
  runner.on('error', () => undefined);
  await runner.connect();
});

afterEach(async () => {
  try {
    process.kill(pid(), 'SIGCONT');
  } catch {
    // it is gone
  }
  await runner.end().catch(() => undefined);
  await gate?.open();
  gate = undefined;
  await database.drop();
});

const pid = (): number => (runner as unknown as { processID: number }).processID;
const phases = (phase: object) => JSON.stringify({ name: 'shop', phases: [{ name: 'main', lock_timeout: '1h', ...phase }] });

const PHASES = {
  single: {
    'weft.yaml': phases({ transaction: 'single', steps: [{ run: '*.sql' }] }),
    '1.sql': 'insert into journal values (1);',
    '2.sql': `insert into journal values (2); ${AT_THE_GATE} insert into journal values (3);`,
  },
  'a step of its own': {
    'weft.yaml': phases({ transaction: 'per-step', steps: [{ run: '*.sql' }] }),
    '1.sql': 'insert into journal values (1);',
    '2.sql': `insert into journal values (2); ${AT_THE_GATE} insert into journal values (3);`,
  },
  'statement by statement': {
    'weft.yaml': phases({ transaction: 'none', steps: [{ run: '*.sql' }] }),
    '1.sql': `insert into journal values (1);\ninsert into journal select 2 from pg_advisory_xact_lock_shared(47);\ninsert into journal values (3);`,
  },
  'a batch': {
    'weft.yaml': phases({ steps: [{ batch: 'fill.sql', size: 4 }] }),
    'fill.sql': `with picked as (update items set seen = seen + 1 where id in (select id from items where seen = 0 order by id limit :size) returning id)
      insert into journal select 1 from picked where pg_advisory_xact_lock_shared(47) is not null`,
  },
};

describe.runIf(offers('processes to stop'))('a runner that is stopped in the middle, and wakes up when another one has finished', () => {
  it.each(Object.entries(PHASES))('commits nothing any more: %s', async (_name, files) => {
    gate = await shutGate(database.url);
    const id = await stageFiles(database.url, files);
    const running = runner.query(`call weft.run('${id}')`);
    running.catch(() => undefined);
    await gate.reached();
    process.kill(pid(), 'SIGSTOP');
    expect((await sql(database.url, `call weft.run('${id}')`))[0].result.attached, 'stopped is alive').toMatchObject({ holder: 'alive', pid: pid() });
    await sql(database.url, 'update weft._lease set pid = null, backend_start = null, query_start = null'); // as if nobody could be seen there
    await gate.open();
    gate = undefined;
    // what it had not committed it still has under lock; the other one waits for it, or goes on where there is none
    const end = resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 50_000 });
    await until(database.url, `(select pid from weft._lease) <> ${pid()} or exists (select from weft.deployments where state = 'succeeded')`);
    process.kill(pid(), 'SIGCONT');
    await expect(running).rejects.toMatchObject({ code: 'WF012' });
    expect(await end).toMatchObject({ state: 'succeeded' });
    const wanted = 'fill.sql' in files ? Array.from({ length: 10 }, () => 1) : [1, 2, 3];
    expect((await sql(database.url, 'select n from journal order by n')).map(({ n }) => n)).toEqual(wanted);
    expect(await sql(database.url, 'select from items where seen > 1')).toEqual([]);
  });
});

describe.runIf(offers('processes to stop'))('a session that was handed a statement, and is stopped', () => {
  it('is not taken over from while it may wake up; when it does it is ended, its statement never runs, and the next one goes on', async () => {
    const [{ source }] = await sql(database.url, `select pg_get_functiondef('weft._limit'::regproc) as source`);
    await sql(database.url, source.replace(/('directive_silence_seconds' +then) 30\b/, '$1 1'));
    const id = await stageFiles(
      database.url,
      { '1.sql': 'insert into journal values (1);', '2.sql': 'create index concurrently items_id on items (id);' },
      { transaction: 'none' },
    );
    const { directive } = (await runner.query(`call weft.run('${id}')`)).rows[0].result;
    expect(directive.statement).toContain('concurrently');
    const before = (await sql(database.url, 'select fence from weft._lease'))[0];
    process.kill(pid(), 'SIGSTOP');
    await until(database.url, `(select weft._look_at_holder(l) from weft._lease as l) = 'silent'`);
    const late = runner.query(directive.statement); // lies in its socket
    late.catch(() => undefined);
    expect((await sql(database.url, `call weft.run('${id}')`))[0].result.attached, 'it was told to end, and waited for').toMatchObject({ holder: 'silent' });
    expect((await sql(database.url, 'select fence from weft._lease'))[0], 'nobody has the lease but the one who may wake up').toEqual(before);
    const rival = resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 50_000 });
    process.kill(pid(), 'SIGCONT');
    await expect(late).rejects.toThrow();
    expect(await rival).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, 'select n from journal')).toEqual([{ n: 1 }]);
    expect(await sql(database.url, `select indexrelid::regclass::text as name, indisvalid from pg_index where indrelid = 'items'::regclass`)).toEqual([
      { name: 'items_id', indisvalid: true },
    ]);
  });
});
