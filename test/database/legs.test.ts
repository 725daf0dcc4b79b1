/** One pipeline in legs: whoever waits for one of them does not wait for those behind it. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { sendInLegs } from '../../src/database/legs.ts';
import type { Message, Session } from '../../src/database/session.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, shutGate } from '../support/orders.ts';
import { problemOf, short, simple, statement, sync } from './ways.ts';

let database: TestDatabase;
let session: Session;

beforeAll(async () => {
  database = await emptyDatabase();
});

afterAll(() => database.drop());

beforeEach(async () => {
  session = await connectOver(database.url)();
});

afterEach(() => session.close());

const AT_THE_GATE = 'select pg_advisory_lock_shared(47)';

it('each leg is answered as soon as it stands, while the next one still runs; one may be empty, and one may fail', async () => {
  const gate = await shutGate(database.url);
  const [first, empty, second, third] = sendInLegs(session, [
    [statement('select 1 as one'), sync, statement('select 2 as two')],
    [],
    [statement('select 1 / 0'), statement('select 3 as three')],
    [simple(AT_THE_GATE)],
  ]);
  expect(short(await first)).toEqual([[{ one: '1' }], [{ two: '2' }]]);
  expect(short(await empty)).toEqual([]);
  expect(short(await second)).toEqual(['22012', 'skipped']);
  await gate.reached();
  await gate.open();
  expect(short(await third)).toHaveLength(1);
});

it('when the connection is lost, the legs that were answered stand, and the others say so', async () => {
  const gate = await shutGate(database.url);
  const [first, second, third] = sendInLegs(session, [[statement('select 1 as one')], [simple(AT_THE_GATE)], [statement('select 2 as two')]]);
  await gate.reached();
  await session.close();
  expect(short(await first)).toEqual([[{ one: '1' }]]);
  await problemOf(second, 'session_lost');
  await problemOf(third, 'session_lost');
  await gate.open();
});

it('a source that fails fails its own leg and those behind it', async () => {
  async function* failing(): AsyncGenerator<Message> {
    yield statement('select 2 as two');
    await first;
    throw new RangeError('the upload was cut');
  }
  const [first, second, third] = sendInLegs(session, [[statement('select 1 as one')], failing(), [simple('select 3 as three')]]);
  await expect(second).rejects.toThrow('the upload was cut');
  await expect(third).rejects.toThrow('the upload was cut');
  expect(short(await first)).toEqual([[{ one: '1' }]]);
});
