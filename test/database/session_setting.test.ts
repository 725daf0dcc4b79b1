/** A setting that is secret: it reaches the session, and no log of the server, whatever the server is told to log. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import type { Message } from '../../src/database/session.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { offers } from '../support/source.ts';
import { serverLog, sql } from '../support/sql.ts';
import { open, short, simple, statement, sync, ways } from './ways.ts';

let database: TestDatabase;
let relay: Relay;

beforeAll(async () => {
  database = await emptyDatabase();
  const { hostname, port } = new URL(database.url);
  relay = await startRelay({ to: { host: hostname, port: Number(port || 5432) } });
});

afterAll(async () => {
  await relay?.stop();
  await database?.drop();
});

const setting = (value: string, name = 'weft.secrets'): Message => ({ kind: 'setting', name, value });
const shown = statement(`select current_setting('weft.secrets', true) as value`);

describe.each(ways)('a setting over %s', (way) => {
  it('is set as it is, for the rest of the session, between statements and before a CALL', async () => {
    const session = await open(relay, way, database.url);
    const value = `{"token": "it's \\ über 🧵\n$1"}`;
    const replies = await session.pipeline([
      statement('select 1 as n'),
      setting(value),
      shown,
      sync,
      setting('second'),
      simple(`select current_setting('weft.secrets') as value`),
    ]);
    expect(short(replies)).toEqual([[{ n: '1' }], [], [{ value }], [], [{ value: 'second' }]]);
    await session.close();
  });

  it('commits what stands before it, and is undone by nothing behind it', async () => {
    const session = await open(relay, way, database.url);
    const replies = await session.pipeline([setting('kept'), statement('select 1 / 0'), statement('select 2'), sync, shown]);
    expect(short(replies)).toEqual([[], '22012', 'skipped', [{ value: 'kept' }]]);
    await session.close();
  });

  it('that the server refuses is an error of its own, and the session goes on', async () => {
    const session = await open(relay, way, database.url);
    expect(short(await session.pipeline([setting('x', 'work_mem'), shown]))).toEqual(['22023', [{ value: null }]]);
    await session.close();
  });
});

it.runIf(offers('processes to stop'))('is in no log, even where the server logs every statement with its values', async () => {
  const superuser = database.superuserUrl ?? '';
  await sql(superuser, `alter database ${database.name} set log_statement = 'all'`);
  await sql(superuser, `alter database ${database.name} set log_min_duration_statement = 0`);
  const [word, secret] = [randomBytes(9).toString('hex'), randomBytes(9).toString('hex')];
  const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  await session.pipeline([statement(`select set_config('app.word', $1, false)`, word), setting(secret), shown]);
  await session.close();
  const log = await serverLog(superuser);
  expect(log).toContain(word);
  expect(log).toContain('set_config');
  expect(log).not.toContain(secret);
});
