/** Following, resuming and cancelling the whole way. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { DEPLOYMENTS, inlineFiles } from '../http/requests.ts';
import { AT_THE_GATE, shutGate, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { type AnyDocument, openWorld, type World, watchBackends } from './support.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world?.stop());

interface ServerSentEvent {
  readonly event: string;
  readonly id: string | null;
  readonly data: AnyDocument;
}

/** Reads server-sent events as they come; ends with the stream, or when the reader is cancelled. */
async function* readEvents(answer: Response): AsyncGenerator<ServerSentEvent> {
  let text = '';
  for await (const part of (answer.body as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(new TextDecoderStream())) {
    text += part;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = new Map(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
      text = text.slice(end + 2);
      if (fields.has('data')) yield { event: fields.get('event') ?? '', id: fields.get('id') ?? null, data: JSON.parse(fields.get('data') ?? '') };
    }
  }
}

async function deploy(files: Record<string, string>): Promise<{ id: string; location: string; query: string }> {
  const request = world.requests.makeRequest({ files: inlineFiles(files) });
  const { answer, document } = await world.send(DEPLOYMENTS, await world.requests.post(request));
  const location = answer.headers.get('location') ?? '';
  return { id: document.id, location, query: location.slice(location.indexOf('?')) };
}

async function stateOf(location: string): Promise<string> {
  return (await world.send(location, {})).document.state;
}

async function act(type: 'resume' | 'cancel', id: string, headers: Record<string, string> = {}) {
  const request = world.requests.makeRequest({ type, deployment: id });
  return world.send(`${DEPLOYMENTS}/${id}/${type}`, await world.requests.post(request, { headers }));
}

describe('following', () => {
  test('shows a deployment from its first event to its end, and what runs in between', async () => {
    const { id, query } = await deploy({ 'follow/1.sql': 'select 1;', 'follow/2.sql': 'select pg_sleep(2);', 'follow/3.sql': 'select 3;' });
    const answer = await world.worker.fetch(`${DEPLOYMENTS}/${id}/events${query}`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const events: ServerSentEvent[] = [];
    for await (const event of readEvents(answer)) events.push(event);

    const numbered = events.filter(({ id: number }) => number !== null);
    expect(numbered.map(({ id: number }) => Number(number))).toEqual(numbered.map((_, index) => index + 1));
    expect(numbered.every(({ event, id: number, data }) => data.kind === event && String(data.number) === number)).toBe(true);
    expect(events.at(-1)).toMatchObject({ event: 'end', id: null, data: { id, state: 'succeeded' } });
    const atWork = events.filter(({ event, data }) => event === 'status' && data.live?.path === 'follow/2.sql');
    expect(atWork.length).toBeGreaterThan(0);
  });

  test('goes on behind Last-Event-ID, also when all is over', async () => {
    const { id, location, query } = await deploy({ 'again/1.sql': 'select 1;', 'again/2.sql': 'select 2;' });
    await expect.poll(() => stateOf(location), { timeout: 20_000 }).toBe('succeeded');
    const path = `${DEPLOYMENTS}/${id}/events${query}`;
    const all: ServerSentEvent[] = [];
    for await (const event of readEvents(await world.worker.fetch(path))) all.push(event);
    const rest: ServerSentEvent[] = [];
    for await (const event of readEvents(await world.worker.fetch(path, { headers: { 'last-event-id': '2' } }))) rest.push(event);
    expect(all.length).toBeGreaterThan(3);
    expect(rest).toEqual(all.slice(2));
  });

  test('closes its session when the client goes away', async () => {
    const gate = await shutGate(world.database.url);
    const { id, location, query } = await deploy({ 'gone/1.sql': AT_THE_GATE });
    await gate.reached();
    const abort = new AbortController();
    const answer = await world.worker.fetch(`${DEPLOYMENTS}/${id}/events${query}`, { signal: abort.signal });
    const events = readEvents(answer);
    while ((await events.next()).value?.event !== 'status');
    const following = "query like '%weft.list_events%' and datname = current_database() and pid <> pg_backend_pid()";
    await until(world.database.url, `exists (select from pg_stat_activity where ${following})`);
    const [follower] = await sql(world.database.url, `select pid, backend_start::text from pg_stat_activity where ${following}`);
    const isThere = () => world.count(`pg_stat_activity where pid = ${follower.pid} and backend_start = '${follower.backend_start}'`);
    expect(await isThere()).toBe(1);
    abort.abort();
    // workerd notices with the next thing that is written, a keep-alive at the latest. The deployment stands at the gate: no stream ends by itself.
    await expect.poll(isThere, { timeout: 30_000 }).toBe(0);
    expect(await stateOf(location)).toBe('running');
    await gate.open();
    await expect.poll(() => stateOf(location), { timeout: 20_000 }).toBe('succeeded');
  });

  test('who may only read leaves room for others: so many follow, so many read at a time, and a deployment is cancelled all the same', async () => {
    const gate = await shutGate(world.database.url);
    const { id, query, location } = await deploy({ 'many/1.sql': `${AT_THE_GATE} select 'many';` });
    await gate.reached();
    const most = watchBackends(world);
    const abort = new AbortController();
    const path = `${DEPLOYMENTS}/${id}/events${query}`;
    const ask = () => world.worker.fetch(path, { signal: abort.signal });
    const following = await Promise.all(Array.from({ length: LIMITS.followers_per_target_max }, ask));
    expect(new Set(following.map(({ status }) => status))).toEqual(new Set([200]));
    const more = await Promise.all(Array.from({ length: 8 }, ask));
    for (const answer of more) {
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
      expect(await answer.json()).toMatchObject({ type: 'urn:weft:problem:busy', limit: 'followers_per_target_max' });
    }
    const readings = await Promise.all(Array.from({ length: 48 }, () => world.send(location, {})));
    expect(new Set(readings.map(({ document }) => document.state))).toEqual(new Set(['running']));
    expect((await act('cancel', id)).document).toMatchObject({ id, state: 'cancelled' });
    // The deployment, who watches it, who cancels it, and those of this test.
    expect(await most()).toBeLessThanOrEqual(LIMITS.followers_per_target_max + LIMITS.readings_per_target_max + 8);
    abort.abort();
    await gate.open();
    // Who has gone makes room: the stream of what is over ends by itself.
    const again = async () => {
      const answer = await world.worker.fetch(path);
      await answer.text();
      return answer.status;
    };
    await expect.poll(again, { timeout: 20_000 }).toBe(200);
  });

  test('what is not there is a problem, and no stream', async () => {
    const answer = await world.worker.fetch(`${DEPLOYMENTS}/0190a0de-0000-7000-8000-00000000000a/events`, { headers: await world.requests.bearer() });
    expect(answer.status).toBe(404);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
  });
});

describe('cancel', () => {
  test('ends what runs; the step in flight leaves nothing behind', async () => {
    const { id, location } = await deploy({
      'cancel/1.sql': 'create table kept (id int);',
      'cancel/2.sql': 'create table lost (id int); select pg_sleep(30);',
    });
    await expect.poll(async () => (await world.send(location, {})).document.live?.path, { timeout: 20_000 }).toBe('cancel/2.sql');
    const { answer, document } = await act('cancel', id);
    expect(answer.status).toBe(200);
    expect(document).toMatchObject({ id, state: 'cancelled' });
    expect((await world.client.query("select to_regclass('lost') as lost")).rows).toEqual([{ lost: null }]);
  });

  test('of what is over changes nothing', async () => {
    const { id, location } = await deploy({ 'over/1.sql': 'select 1;' });
    await expect.poll(() => stateOf(location), { timeout: 20_000 }).toBe('succeeded');
    expect((await act('cancel', id)).document).toMatchObject({ id, state: 'succeeded' });
  });

  test('of what is not there is 404', async () => {
    expect((await act('cancel', '0190a0de-0000-7000-8000-00000000000a')).document).toMatchObject({ type: 'urn:weft:problem:deployment_not_found' });
  });
});

describe('resume', () => {
  test('goes on with what a killed backend left, exactly once', async () => {
    const files = { 'resume/1.sql': 'create table resumed (id int);', 'resume/2.sql': 'insert into resumed values (1); select pg_sleep(3);' };
    const { id, location } = await deploy(files);
    await expect.poll(async () => (await world.send(location, {})).document.live?.path, { timeout: 20_000 }).toBe('resume/2.sql');
    const { pid } = (await world.send(location, {})).document.live;
    world.relay.silence(); // so that the Worker, which would go on by itself, does not
    await sql(world.database.url, `select pg_terminate_backend(${pid}, 5000)`);
    world.relay.endSilence();
    const { answer, document } = await act('resume', id, { prefer: 'wait=30' });
    expect(document).toMatchObject({ id, state: 'succeeded' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('location')).toContain(`${DEPLOYMENTS}/${id}?token=`);
    expect(await world.count('resumed')).toBe(1);
  });

  test('of what runs attaches to it: 202 with how far it is', async () => {
    const { id, location } = await deploy({ 'attach/1.sql': 'select pg_sleep(4);' });
    await expect.poll(() => stateOf(location), { timeout: 20_000 }).toBe('running');
    const { answer, document } = await act('resume', id);
    expect(answer.status).toBe(202);
    expect(document).toMatchObject({ id, state: 'running' });
    await expect.poll(() => stateOf(location), { timeout: 20_000 }).toBe('succeeded');
  });

  test('of what is not there is 404', async () => {
    expect((await act('resume', '0190a0de-0000-7000-8000-00000000000a')).document).toMatchObject({ type: 'urn:weft:problem:deployment_not_found' });
  });
});

test('when all is over, no session is left open', async () => {
  await expect.poll(() => world.openSessions(), { timeout: 20_000 }).toBe(0);
});
