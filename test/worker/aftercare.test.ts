/**
 * A run that outlives its request: the Worker that took the request is gone a second after its answer, and nobody calls again. What goes on
 * with the deployment is a message of the queue, or the schedule and its memory. Where a run needs a session, for what PostgreSQL runs in
 * no transaction, it would otherwise stand still.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { digestSecrets } from '../../src/trust/secrets.ts';
import { DEPLOYMENTS, inlineFiles } from '../http/requests.ts';
import { sql } from '../support/sql.ts';
import { openWorld, type World, type WorldOptions } from './support.ts';

const ENTRY = join(import.meta.dirname, 'mortal_entry.ts');

let world: World | undefined;
let folder: string | undefined;
afterEach(async () => {
  await world?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true });
  world = folder = undefined;
});

async function openMortalWorld(options: WorldOptions, seconds: { life: number; pause: number | null } = { life: 1, pause: 1 }): Promise<World> {
  const { life, pause } = seconds;
  world = await openWorld({ ...options, entry: ENTRY, variables: { LIFE_SECONDS: life, PAUSE_SECONDS: pause } });
  return world;
}

/** Sleeps for so long without anybody, and then needs a session for its last statement. */
const sleepThenIndex = (seconds: number) => ({
  'weft.yaml': `name: shop
phases:
  - { name: long, transaction: per-step, steps: [{ run: 'long/*.sql' }] }
  - { name: index, transaction: none, steps: [{ run: index.sql }] }
`,
  'long/1.sql': 'create table items (n int);',
  'long/2.sql': `insert into items values (1); select pg_sleep(${seconds});`,
  'index.sql': 'create index concurrently items_n on items (n);',
});

async function deploy(at: World, files: Record<string, string>, target = 'staging'): Promise<string> {
  const request = at.requests.makeRequest({ files: inlineFiles(files), target });
  const { answer, document } = await at.send(DEPLOYMENTS.replace('staging', target), await at.requests.post(request));
  expect(answer.status).toBe(202);
  return document.id;
}

/** From the database itself: asking the Worker might make it do something. */
async function stateOf(at: World, id: string): Promise<string> {
  const [row] = await sql(at.database.url, `select state::text as state from weft.deployments where id = '${id}'`);
  return row.state;
}

/** Whether the backend that has the lease is there. */
const isAtWork = (at: World) =>
  sql(at.database.url, 'select from weft._lease as l join pg_stat_activity as a on a.pid = l.pid and a.backend_start = l.backend_start').then(
    (rows) => rows.length > 0,
  );

/** What the log says that was found, look by look. */
const findings = (at: World) =>
  at.lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ message }) => message === 'look_after')
    .map(({ finding }) => finding);

async function expectDoneOnce(at: World, id: string): Promise<void> {
  await expect.poll(() => stateOf(at, id), { timeout: 30_000 }).toBe('succeeded');
  expect(await sql(at.database.url, 'select n from items')).toEqual([{ n: 1 }]);
  expect(await sql(at.database.url, `select indisvalid from pg_index where indexrelid = 'items_n'::regclass`)).toEqual([{ indisvalid: true }]);
}

describe('a deployment whose first Worker is gone', () => {
  test('stands still where a session is needed, without queue, memory and schedule, until somebody calls', async () => {
    const at = await openMortalWorld({});
    const id = await deploy(at, sleepThenIndex(2));
    await expect.poll(() => isAtWork(at), { timeout: 20_000 }).toBe(true);
    await expect.poll(() => isAtWork(at), { timeout: 20_000 }).toBe(false);
    await at.worker.runSchedule();
    expect(await stateOf(at, id)).toBe('running');
    expect(at.openSessions()).toBe(0);
    const request = at.requests.makeRequest({ type: 'resume', deployment: id });
    await at.send(`${DEPLOYMENTS}/${id}/resume`, await at.requests.post(request));
    await expectDoneOnce(at, id);
  });

  test('is brought to its end by messages of the queue', async () => {
    const at = await openMortalWorld({ aftercare: { queue: true } });
    const id = await deploy(at, sleepThenIndex(3));
    await expectDoneOnce(at, id);
    await expect.poll(() => findings(at).at(-1), { timeout: 10_000 }).toBe('over');
    expect(findings(at).slice(0, -1)).toContain('at_work');
  });

  // By hand: WEFT_TEST_TEN_MINUTES=1 npx vitest run test/worker/aftercare.test.ts -t 'ten minutes'
  test.runIf(process.env.WEFT_TEST_TEN_MINUTES === '1')(
    'of ten minutes, after ten seconds, is brought to its end by messages of the queue, as late as they are sent',
    async () => {
      const at = await openMortalWorld({ aftercare: { queue: true, memory: true } }, { life: 10, pause: null });
      const startedAt = Date.now();
      const id = await deploy(at, sleepThenIndex(600));
      await expect.poll(() => stateOf(at, id), { timeout: 20 * 60_000, interval: 1_000 }).toBe('succeeded');
      const [ran] = await sql(at.database.url, `select extract(epoch from finished_at - started_at)::int as seconds from weft.deployments where id = '${id}'`);
      await expectDoneOnce(at, id);
      process.stdout.write(
        `over ${Math.round((Date.now() - startedAt) / 1000)} s after the request; ran ${ran.seconds} s; found by the queue: ${findings(at).join(', ')}\n`,
      );
    },
    25 * 60_000,
  );

  test('is brought to its end by the schedule, which knows of it from its memory; also when all of workerd was gone in between', async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-memory-'));
    const at = await openMortalWorld({ aftercare: { memory: folder } });
    const id = await deploy(at, sleepThenIndex(2));
    await at.replaceWorker();
    await expect.poll(() => isAtWork(at), { timeout: 20_000 }).toBe(false);
    expect(await stateOf(at, id)).toBe('running');
    await at.worker.runSchedule(); // long before it is due
    expect(findings(at)).toEqual([]);
    await expect.poll(() => at.worker.runSchedule().then(() => findings(at)), { timeout: 40_000, interval: 1_000 }).toEqual(['over']);
    await expectDoneOnce(at, id);
    const before = at.relay.connections.length;
    await at.worker.runSchedule(); // it has been struck out: nobody is woken
    expect(at.relay.connections.length).toBe(before);
  }, 90_000);

  test('is brought to its end by the schedule of a target that is always looked at; an empty database there is left empty', async () => {
    const at = await openMortalWorld({ scheduled: true });
    await at.worker.runSchedule();
    expect(await sql(at.database.url, `select to_regnamespace('weft')::text as engine`)).toEqual([{ engine: null }]);
    const id = await deploy(at, sleepThenIndex(2));
    await expect.poll(() => isAtWork(at), { timeout: 20_000 }).toBe(true);
    await at.worker.runSchedule(); // somebody is at work: it leaves
    expect(await stateOf(at, id)).toBe('running');
    await expect.poll(() => isAtWork(at), { timeout: 20_000 }).toBe(false);
    await at.worker.runSchedule();
    await expectDoneOnce(at, id);
  });

  test('goes on where its backend was ended, too: the next message takes over', async () => {
    const at = await openMortalWorld({ aftercare: { queue: true } });
    const id = await deploy(at, { 'a/1.sql': 'create table items (n int);', 'a/2.sql': 'insert into items values (1); select pg_sleep(1.5);' });
    await expect.poll(() => isAtWork(at), { timeout: 20_000 }).toBe(true);
    const [killed] = await sql(at.database.url, 'select pg_terminate_backend(pid) as done from weft._lease');
    expect(killed).toEqual({ done: true });
    await expect.poll(() => stateOf(at, id), { timeout: 30_000 }).toBe('succeeded');
    expect(await sql(at.database.url, 'select n from items')).toEqual([{ n: 1 }]);
  });

  test('has its secret parameters again by the message, where they are encrypted with a key of the Worker; and waits for them where it has no key', async () => {
    const files = {
      'weft.yaml':
        'name: shop\nparameters: { token: { type: text, required: true, secret: true } }\nphases: [{ name: main, transaction: per-step, steps: [{ run: "*.sql" }] }]\n',
      '1.sql': 'create table items (n int);',
      '2.sql': "insert into items select 1 where length(weft.parameter('token')) = 12; select pg_sleep(2);",
      '3.sql': "insert into items select 2 where length(weft.parameter('token')) = 12;",
    };
    const outcomes = [];
    for (const seals of [true, false]) {
      const at = await openMortalWorld({ aftercare: { queue: true }, seals });
      const bytes = { token: 'hunter2-once' };
      const id = crypto.randomUUID();
      const secrets = await digestSecrets(bytes, at.requests.secrets.ci, { id, target: 'staging' });
      const request = at.requests.makeRequest({ id, secrets, files: inlineFiles(files) });
      const { answer, document } = await at.send(DEPLOYMENTS, await at.requests.postTar(request, {}, {}, bytes));
      expect(answer.status).toBe(202);
      await expect.poll(() => isAtWork(at), { timeout: 20_000 }).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 1_200)); // the first Worker is gone
      await sql(at.database.url, 'select pg_terminate_backend(pid) from weft._lease');
      await expect.poll(() => findings(at).at(-1), { timeout: 30_000 }).toMatch(/^(?:over|lost)$/);
      outcomes.push({ seals, state: await stateOf(at, document.id), rows: await sql(at.database.url, 'select n from items order by n') });
      expect(at.lines.join()).not.toContain('hunter2-once');
      await at.stop();
      world = undefined;
    }
    expect(outcomes).toEqual([
      { seals: true, state: 'succeeded', rows: [{ n: 1 }, { n: 2 }] },
      { seals: false, state: 'running', rows: [] },
    ]);
  }, 90_000);
});
