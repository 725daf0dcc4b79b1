/** A deployment that was opened before the engine's upgrade, wherever it was then, finishes after it, and each of its effects is there once. */
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { installEngine } from '../../src/database/install.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { nextEngine } from '../support/next_engine.ts';
import { AT_THE_GATE, connectOver, deployFiles, type Gate, makeOrder, openOrder, shutGate, stageFiles, stageOrder, until, within } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { expectNothingHalfMade } from './cells.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    'create table journal (n int); create table items (id int primary key, n int); insert into items select generate_series(1, 300); create table given (n int)',
  );
});

afterEach(() => database.drop());

const upgrade = (): Promise<boolean> => within(database.url, (session) => installEngine(session, 1, nextEngine()));

/** What the drive does, by hand: this Weft's own would have nothing to do with a newer engine. */
async function runToEnd(id: string, more = ''): Promise<Record<string, unknown>> {
  const client = await database.client();
  try {
    for (let text = `call weft.run('${id}'${more})`; ; text = `call weft.run('${id}')`) {
      const { result } = (await client.query(text)).rows[0];
      if (result.directive === undefined) return result;
      await client.query(result.directive.statement);
      await client.query(result.directive.report);
    }
  } finally {
    await client.end();
  }
}

/** A CALL that stands at the gate, and whose backend is ended there. */
async function dieAtTheGate(id: string): Promise<void> {
  const gate: Gate = await shutGate(database.url);
  const client = await database.client();
  client.query(`call weft.run('${id}')`).catch(() => undefined);
  await gate.reached();
  await sql(database.url, 'select pg_terminate_backend(pid, 10000) from weft._lease');
  await client.end().catch(() => undefined);
  await gate.open();
}

/** A CALL that is handed a statement. */
async function takeDirective(id: string): Promise<{ client: pg.Client; statement: string }> {
  const client = await database.client();
  const { result } = (await client.query(`call weft.run('${id}')`)).rows[0];
  return { client, statement: result.directive.statement };
}

const gone = async (client: pg.Client): Promise<void> => {
  await client.end();
  await until(database.url, `not exists (select from weft._lease as l join pg_stat_activity as a using (pid) where a.backend_start = l.backend_start)`);
};

const FILES = {
  '1.sql': 'insert into journal values (1);',
  '2.sql': `insert into journal values (2); ${AT_THE_GATE}`,
  '3.sql': 'insert into journal values (3);',
};
const BUILD = {
  '1.sql': 'insert into journal values (1);\ncreate index concurrently items_n on items (n);\ninsert into journal values (2);',
  '2.sql': 'insert into journal values (3);',
};
const phase = (words: object) => JSON.stringify({ name: 'shop', phases: [{ name: 'main', ...words }] });

/** Brings a deployment to where it is. @returns its id, and what is left to do behind the upgrade */
const STATES: Record<string, () => Promise<{ id: string; goOn?: () => Promise<unknown>; more?: string }>> = {
  'half of its files had come': async () => {
    const order = await makeOrder({ '1.sql': 'insert into journal values (1), (2);', '2.sql': 'insert into journal values (3);' });
    const session = await connectOver(database.url)();
    const opened = await openOrder(session, order);
    await stageOrder(session, order, { ...opened, missing: opened.missing.slice(0, 1) });
    return {
      id: opened.id,
      goOn: async () => {
        await stageOrder(session, order, { ...opened, missing: opened.missing.slice(1) });
        await session.close();
      },
    };
  },
  'it was staged': async () => ({ id: await stageFiles(database.url, FILES) }),
  'its runner had died between two steps': async () => {
    const id = await stageFiles(database.url, FILES);
    await dieAtTheGate(id);
    expect(await sql(database.url, 'select n from journal')).toEqual([{ n: 1 }]);
    return { id };
  },
  'its runner had died in an all-or-nothing phase': async () => {
    const id = await stageFiles(database.url, FILES, { transaction: 'single' });
    await dieAtTheGate(id);
    return { id };
  },
  'its runner had died in the middle of a batch': async () => {
    const id = await stageFiles(database.url, {
      'weft.yaml': phase({ steps: [{ batch: 'fill.sql', size: 100 }] }),
      'fill.sql': `with touched as (update items set n = 1 where id in (select id from items where n is null order by id limit :size) returning id),
        noted as (insert into journal select max(id) / 100 from touched having count(*) > 0) select id from touched where id <> 150 or pg_advisory_xact_lock_shared(47) is not null`,
    });
    await dieAtTheGate(id);
    expect(await sql(database.url, 'select n from journal')).toEqual([{ n: 1 }]);
    return { id };
  },
  'a statement was handed out, and has not run': async () => {
    const id = await stageFiles(database.url, BUILD, { transaction: 'none' });
    const { client } = await takeDirective(id);
    await gone(client);
    return { id };
  },
  'a statement was handed out, has run, and was not reported': async () => {
    const id = await stageFiles(database.url, BUILD, { transaction: 'none' });
    const { client, statement } = await takeDirective(id);
    await client.query(statement);
    await gone(client);
    return { id };
  },
  'it had ended degraded, and is opened again': async () => {
    const files = {
      'weft.yaml': phase({ steps: [{ run: '1.sql' }, { run: '2.sql', on_error: 'continue' }] }),
      '1.sql': 'insert into journal values (1), (2);',
      '2.sql': 'insert into journal select 3 from missing;',
    };
    const { id, state } = await deployFiles(connectOver(database.url), files);
    expect(state).toBe('degraded');
    await sql(database.url, 'create table missing as select 1 as n');
    return { id, more: `, p_reopen => '{}'` };
  },
};

describe('a deployment that was opened before the upgrade finishes after it', () => {
  it.each(Object.entries(STATES))('where %s', async (_where, bring) => {
    const { id, goOn, more } = await bring();
    expect(await upgrade()).toBe(true);
    await goOn?.();
    expect(await runToEnd(id, more)).toMatchObject({ id, state: 'succeeded', error: null });
    expect((await sql(database.url, 'select n from journal order by n')).map(({ n }) => n)).toEqual([1, 2, 3]);
    expect(await sql(database.url, 'select from items where n > 1')).toEqual([]);
    await expectNothingHalfMade(database.url);
    const [receipt] = await sql(database.url, `select weft.receipt('${id}')::json -> 'engine_version' as version`);
    expect(receipt.version).toMatchObject({ after: 2 });
  });
});

it('nothing is upgraded under a session that was handed a statement and is there: that is refused, and the statement is reported to the same engine', async () => {
  const id = await stageFiles(database.url, BUILD, { transaction: 'none' });
  const { client, statement } = await takeDirective(id);
  await expect(upgrade()).rejects.toMatchObject({ slug: 'interrupted', message: expect.stringContaining('A deployment is running') });
  await client.query(statement);
  await client.end();
  expect(await runToEnd(id)).toMatchObject({ state: 'succeeded', engine_version: 1 });
});
