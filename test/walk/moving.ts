/**
 * A day on which the database becomes another one: a copy that the server makes of its files, or what pg_dump has written of it, restored into an empty one. What was
 * under way is over there (docs/RELIABILITY.md), and the walk goes on in the new one.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { readStatus } from '../../src/database/engine.ts';
import { type Deployment, type DeploymentState, isOver } from '../../src/domain/deployment.ts';
import { Problem } from '../../src/domain/problem.ts';
import { dropDatabase, withDatabase } from '../support/database.ts';
import { within } from '../support/orders.ts';
import { leave, sql } from '../support/sql.ts';
import { seeDatabase } from './catalog.ts';
import { abandonBundle, planBundle, resumeDeployment } from './deeds.ts';
import { foresee, standBehind } from './deploying.ts';
import { orderOf } from './folder.ts';
import type { Deed } from './history.ts';
import { differences } from './looks.ts';
import { expectNone, Fault, type State, type World } from './state.ts';

const call = promisify(execFile);

const everybody_leaves_tries_max = 100;

export async function moveDatabase(world: World, state: State, { how, amidMs }: Extract<Deed, { do: 'move' }>): Promise<State> {
  const id = amidMs === undefined || state.folder.files.size === 0 ? null : await abandonBundle(world.url, orderOf(state.folder), amidMs);
  const was = id === null ? 'open' : (await within(world.url, (session) => readStatus(session, id))).state;
  await leave(world.url);
  const seen = await seeDatabase(world.url);
  await leave(world.url);
  const { url } = world;
  const name = new URL(url).pathname.slice(1);
  const moved = withDatabase(url, `${name}_m`);
  await (how === 'dump' && (await isDumpable(url)) ? restoreInto : copyInto)(url, moved);
  await leave(url);
  await dropDatabase(withDatabase(url, 'postgres'), name);
  await leave(withDatabase(url, 'postgres'));
  world.url = moved;
  world.tally.moved += 1;
  expectNone(`unlike what it was, by ${how}`, differences(await seeDatabase(moved), seen, true));
  const settled = id === null || was === 'open' ? state : await settleUnfinished(world, state, id, was);
  return { ...settled, deployed: settled.deployed.map((one) => ({ ...one, isMoved: true })) };
}

async function copyInto(url: string, moved: string): Promise<void> {
  const [from, to] = [url, moved].map((each) => new URL(each).pathname.slice(1));
  await leave(url);
  for (let tries = 1; ; tries += 1) {
    try {
      await sql(withDatabase(url, 'postgres'), `create database ${to} template ${from}`);
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== '55006' || tries === everybody_leaves_tries_max) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function restoreInto(url: string, moved: string): Promise<void> {
  await sql(withDatabase(url, 'postgres'), `create database ${new URL(moved).pathname.slice(1)}`);
  const { stdout } = await call('pg_dump', ['--dbname', url], { maxBuffer: 1 << 28 });
  const restored = call('psql', ['--no-psqlrc', '--quiet', '--set', 'ON_ERROR_STOP=1', '--dbname', moved], { maxBuffer: 1 << 28 });
  restored.child.stdin?.end(stdout);
  await restored;
}

/** Whether there is a pg_dump that reads this server: an older one does not. */
async function isDumpable(url: string): Promise<boolean> {
  const [{ version }] = await sql(url, `select current_setting('server_version_num')::int / 10000 as version`);
  const said = await call('pg_dump', ['--version']).catch(() => null);
  return Number(/\d+/.exec(said?.stdout ?? '')?.[0] ?? 0) >= version;
}

/** What had been committed of it is there, and nothing goes on with the rest. */
async function settleUnfinished(world: World, state: State, id: string, was: DeploymentState): Promise<State> {
  const planned = await planBundle(world.url, orderOf(state.folder));
  const end = was === 'degraded' ? await expectLeft(world, id) : await resumeDeployment(world.url, id);
  if (isOver(was) === (end.state === 'cancelled' && end.error?.sqlstate === 'WF017'))
    throw new Fault('moved', [`what was under way is ${end.state}, ${JSON.stringify(end.error)}`]);
  return standBehind(world, state, { end, foreseen: foresee(state, planned), seen: null, others: state.others });
}

/** What ended degraded in another database is not opened again in a copy of that. @returns it as it is */
export async function expectLeft({ url }: World, id: string): Promise<Deployment> {
  const status = (): Promise<Deployment> => within(url, (session) => readStatus(session, id));
  const [seen, before] = [await seeDatabase(url), await status()];
  const refusal = await resumeDeployment(url, id).catch((error: unknown) => error);
  if (!(refusal instanceof Problem && refusal.slug === 'copied_database'))
    throw new Fault('moved', [
      `it ended degraded in another database, and to resume it here says ${refusal instanceof Error ? refusal.message : JSON.stringify(refusal)}`,
    ]);
  const end = await status();
  if (end.state !== before.state) throw new Fault('moved', [`it was ${before.state}, was not opened again, and is ${end.state}`]);
  expectNone('moved', differences(await seeDatabase(url), seen, true));
  return end;
}
