/** Where a synchronous standby is gone, commits wait for it, and nobody gets an answer: whoever waits is told why. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HELD_BY_STANDBY } from '../../src/words/waits.ts';
import { AT_THE_GATE, shutGate } from '../support/orders.ts';
import { type OwnServer, startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { makeFolder } from './folder.ts';
import { run } from './run.ts';

describe.runIf(offers('servers to kill'))('a synchronous standby that is gone', () => {
  let server: OwnServer;
  beforeAll(async () => {
    server = await startOwnServer();
  });
  afterAll(() => server?.postgres.stop());

  const awaitStandbys = async (names: string): Promise<void> => {
    await sql(server.postgres.url, `alter system set synchronous_standby_names = '${names}'`);
    await sql(server.postgres.url, 'select pg_reload_conf()');
    await expect.poll(() => sql(server.postgres.url, 'show synchronous_standby_names')).toEqual([{ synchronous_standby_names: names }]);
  };

  it('is told of by weft install while it waits, and by a deployment, also when its time is over; then both go on', async () => {
    const [first, second] = [await server.createDatabase(), await server.createDatabaseWithEngine()];
    await awaitStandbys('gone');
    const told = Promise.withResolvers<void>();
    const installing = run(['install', '--json'], { env: { DATABASE_URL: first }, onStderr: (text) => text.includes(HELD_BY_STANDBY) && told.resolve() });
    const deploy = ['deploy', makeFolder({ '1.sql': 'create table a (n int);' }), '--id', 'run-1', '--json'];
    const late = await run([...deploy, '--deadline', '7'], { env: { DATABASE_URL: second } });
    expect([late.code, late.json().problem.detail]).toEqual([3, expect.stringMatching(/^The time was over before there was an answer\./)]);
    expect(late.json().problem.detail).toContain(HELD_BY_STANDBY);
    expect(late.stderr).toContain(HELD_BY_STANDBY);
    await told.promise;
    await awaitStandbys('');
    expect((await installing).json().changed).toBe(true);
    expect((await run(deploy, { env: { DATABASE_URL: second } })).json().state).toBe('succeeded');
  });

  it('is told of by a deployment that is at work when the standby goes, once, and by weft status; then it goes on', async () => {
    const env = { DATABASE_URL: await server.createDatabaseWithEngine() };
    await awaitStandbys('');
    const gate = await shutGate(env.DATABASE_URL);
    const isTold = Promise.withResolvers<void>();
    const onStderr = (text: string) => text.includes(HELD_BY_STANDBY) && isTold.resolve();
    const deploying = run(['deploy', makeFolder({ '1.sql': AT_THE_GATE, '2.sql': 'create table b (n int);' }), '--json'], { env, onStderr });
    await gate.reached();
    await awaitStandbys('gone');
    await gate.open();
    await isTold.promise;
    const [{ id }] = await sql(env.DATABASE_URL, 'select id from weft._deployments');
    expect((await run(['status', id], { env })).stdout).toContain(
      `its last commit waits for a synchronous standby. If it is not through when you look again: ${HELD_BY_STANDBY}`,
    );
    await awaitStandbys('');
    const end = await deploying;
    expect(end.json().state).toBe('succeeded');
    expect(end.stderr.split(HELD_BY_STANDBY)).toHaveLength(2);
  });
});
