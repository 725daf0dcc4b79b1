/** Where the Worker has the engine from: its assets, once in the life of a database; without them it says so, and changes nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { DEPLOYMENTS, inlineFiles } from '../http/requests.ts';
import { openWorld, type World } from './support.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld({ engine: false });
});
afterAll(() => world?.stop());

async function deploy(files: Record<string, string>) {
  const init = await world.requests.post(world.requests.makeRequest({ files: inlineFiles(files) }), { headers: { prefer: 'wait=30' } });
  return world.send(DEPLOYMENTS, init);
}

const schemas = async () => (await world.client.query("select to_regnamespace('weft') as weft, to_regclass('first') as first")).rows;

test('a Worker that was deployed without the engine says so to whom it cannot serve, and what to do', async () => {
  const { answer, document } = await deploy({ '1.sql': 'create table first ();' });
  expect(answer.status).toBe(500);
  expect(document.type).toMatch(/invalid_configuration$/);
  expect(document.detail).toContain('has no binding ENGINE');
  expect(document.detail).toContain('weft install');
  expect(await schemas()).toEqual([{ weft: null, first: null }]);
});

test('and serves a database that has it', async () => {
  const session = await connectTo({ connectionString: world.database.url, transport: 'tcp' })();
  await ensureEngine(session);
  await session.close();
  const { answer, document } = await deploy({ '1.sql': 'create table first ();' });
  expect(document).toMatchObject({ state: 'succeeded' });
  expect(answer.status).toBe(200);
});
