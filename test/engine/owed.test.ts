/** What forges are still to be told lies in the database beside the deployment: written when it is opened, taken by one at a time, gone when it was told. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openDeployment } from '../../src/database/engine.ts';
import { type OwedCall, settleOwed, type TakeOwed, takeOwed } from '../../src/database/owed.ts';
import type { Session } from '../../src/database/session.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { makeOrder, type OrderOptions, within } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(() => database.drop());

const OWED = { key: 'a', errand: '{"of": "the doorman"}', proof: 'cHJvb2Y=', seconds: 0 };

const withSession = <T>(ask: (session: Session) => Promise<T>): Promise<T> => within(database.url, ask);

/** Without its files, so that it stays open. */
async function open(owed: OwedCall = OWED, options: OrderOptions = {}): Promise<string> {
  const { order } = await makeOrder({ '1.sql': 'create table shelf (n int);' }, { id: 'run-1', ...options });
  return withSession(async (session) => (await openDeployment(session, { ...order, signature: null, owed })).id);
}

const take = (what: Partial<TakeOwed> = {}) => withSession((session) => takeOwed(session, { seconds: 60, count: 10, of: null, ...what }));
const cancel = (id: string) => sql(database.url, `select weft.cancel('${id}')`);
const count = async () => (await sql(database.url, 'select count(*)::int as n from weft._owed'))[0].n;

it('is due when the deployment is over, and not before', async () => {
  const id = await open();
  expect((await take()).taken).toEqual([]);
  await cancel(id);
  expect((await take()).taken).toMatchObject([{ key: 'a', errand: OWED.errand, proof: OWED.proof, tries: 1, deployment: { id, state: 'cancelled' } }]);
});

it('is nobody else’s as long as whoever opens it is about it, or whoever has taken it', async () => {
  const id = await open({ ...OWED, seconds: 600 });
  await cancel(id);
  expect((await take()).taken).toEqual([]);
  await sql(database.url, `update weft._owed set held_until = clock_timestamp()`);
  const [one, other] = await Promise.all([take(), take()]);
  expect([one.taken.length, other.taken.length].sort()).toEqual([0, 1]);
  expect(await take({ of: { deployment: id, key: 'a' } })).toEqual({ taken: [], is_owed: true });
});

it('goes when it was told, and stays with what is known by then when it was not', async () => {
  const id = await open();
  await cancel(id);
  await take();
  await withSession((session) => settleOwed(session, [{ deployment: id, key: 'a', errand: '{"knows": "more"}', proof: 'bmV3', seconds: 0 }]));
  expect((await take()).taken).toMatchObject([{ errand: '{"knows": "more"}', proof: 'bmV3', tries: 2 }]);
  await withSession((session) => settleOwed(session, [{ deployment: id, key: 'a' }]));
  expect(await take({ of: { deployment: id, key: 'a' } })).toEqual({ taken: [], is_owed: false });
});

it('is one row for each who is to be told, also when the same request comes again', async () => {
  const id = await open();
  expect(await open({ ...OWED, errand: '{"comes": "again"}' })).toBe(id);
  expect(await open({ ...OWED, key: 'b' })).toBe(id);
  await cancel(id);
  expect((await take()).taken.map(({ key, errand }) => [key, errand])).toEqual([
    ['a', '{"comes": "again"}'],
    ['b', OWED.errand],
  ]);
});

it('takes its turn: what was taken, and is due again, comes behind what has waited since', async () => {
  const id = await open();
  for (const key of ['b', 'c']) await open({ ...OWED, key });
  await cancel(id);
  const turns: unknown[] = [];
  for (let turn = 0; turn < 4; turn++) turns.push((await take({ count: 1, seconds: 0 })).taken.map(({ key, tries }) => [key, tries]));
  expect(turns).toEqual([[['a', 1]], [['b', 1]], [['c', 1]], [['a', 2]]]);
});

it('is not written for another request under the same id', async () => {
  await open();
  await sql(database.url, `update weft._deployments set request_digest = sha256('another')`);
  await open({ ...OWED, key: 'b' }).catch(() => undefined);
  expect(await count()).toBe(1);
});

it('is due of what nobody has approved in time: whoever asks ends that first', async () => {
  const id = await open(OWED, { protection: { environment: 'live', second_person: true, rehearsal_first: false } });
  expect((await take()).taken).toEqual([]);
  await sql(
    database.url,
    `update weft._protections set asked_at = clock_timestamp() - interval '8 days', approve_until = clock_timestamp() - interval '1 day'`,
  );
  expect((await take()).taken).toMatchObject([{ deployment: { id, state: 'cancelled', error: { sqlstate: 'WF097' } } }]);
});
