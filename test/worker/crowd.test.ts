/** A crowd before one Worker and one database: the same request is one deployment, however many send it; different ones come one after another. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { DEPLOYMENTS, inlineFiles } from '../http/requests.ts';
import { stageFiles } from '../support/orders.ts';
import { sqlAnew as sql } from '../support/sql.ts';
import { openWorld, type World, watchBackends } from './support.ts';

const CROWD = 200;
/** One more looks from time to time whether it is a held commit that all wait for. */
const SESSIONS_MAX = LIMITS.sessions_per_target_max + 1;
/** Behind that whoever waits comes in all the same: on a busy machine a crowd takes longer. */
const WATCHED_MILLISECONDS = (LIMITS.session_wait_seconds_max - 3) * 1000;

let world: World;
beforeEach(async () => {
  world = await openWorld();
  await stageFiles(world.database.url, { 'installs.sql': '' }, { bundle: 'other' });
});
afterEach(() => world?.stop());

test(`${CROWD} who send the same request at the same moment get one deployment, and ${CROWD} equal answers`, async () => {
  const files = {
    'a/1.sql': 'create table journal (n int); insert into journal values (1);',
    'a/2.sql': 'insert into journal values (2); select pg_sleep(1);',
  };
  const request = await world.requests.post(world.requests.makeRequest({ files: inlineFiles(files) }), { headers: { prefer: 'wait=150' } });
  const stop = watchBackends(world, WATCHED_MILLISECONDS);
  const answers = await Promise.all(Array.from({ length: CROWD }, () => world.send(DEPLOYMENTS, request)));
  expect(await stop()).toBeLessThanOrEqual(SESSIONS_MAX);
  expect(answers.filter(({ answer }) => answer.status !== 200).map(({ document }) => document)).toEqual([]);
  const [first] = answers;
  for (const { document } of answers) expect({ ...document, repeated: null }).toEqual({ ...first?.document, repeated: null });
  expect(answers.filter(({ document }) => !document.repeated)).toHaveLength(1);
  expect(await sql(world.database.url, `select state::text from weft.deployments where bundle = 'inline'`)).toEqual([{ state: 'succeeded' }]);
  expect(await sql(world.database.url, 'select n from journal order by n')).toEqual([{ n: 1 }, { n: 2 }]);
}, 180_000);

test(`${CROWD} who send a request each at the same moment are all served, one after another, over a few connections`, async () => {
  await sql(world.database.url, 'create table spans (who int, began timestamptz, ended timestamptz)');
  const stop = watchBackends(world, WATCHED_MILLISECONDS);
  const answers = await Promise.all(
    Array.from({ length: CROWD }, async (_, n) => {
      const text = `insert into spans values (${n}, clock_timestamp()); update spans set ended = clock_timestamp() where who = ${n};`;
      const request = world.requests.makeRequest({ folder: `b${n}`, files: inlineFiles({ [`${n}.sql`]: text }) });
      return world.send(DEPLOYMENTS, await world.requests.post(request, { headers: { prefer: 'wait=150' } }));
    }),
  );
  expect(await stop()).toBeLessThanOrEqual(SESSIONS_MAX);
  expect(answers.filter(({ document }) => document.state !== 'succeeded').map(({ document }) => document)).toEqual([]);
  expect(await sql(world.database.url, 'select count(*)::int as count, count(distinct who)::int as who from spans')).toEqual([{ count: CROWD, who: CROWD }]);
  const overlaps = 'select count(*)::int as count from spans as a join spans as b on a.who <> b.who and a.began < b.ended and b.began < a.ended';
  expect(await sql(world.database.url, overlaps)).toEqual([{ count: 0 }]);
}, 180_000);
