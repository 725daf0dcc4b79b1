import { describe, expect, test } from 'vitest';
import type { Deployment, DeploymentEvent } from '../../src/domain/deployment.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { DEPLOYMENTS, ID } from './requests.ts';
import { glanceOf, type House, makeDeployment, makeEvent, makeHouse, NOW, requests } from './support.ts';

/** A house whose deployment goes through these documents, one at each look (the first is to see that it exists), with all events so far. */
function makeRunning(looks: { deployment: Deployment; events: number }[], changes: Parameters<typeof makeHouse>[0] = {}): House {
  let look = -1;
  const current = () => looks[Math.min(Math.max(look, 0), looks.length - 1)] ?? { deployment: makeDeployment(), events: 0 };
  return makeHouse({
    readGlance: async () => {
      const before = current();
      look++;
      const { deployment, events } = look === 0 ? before : current();
      return glanceOf(deployment, events);
    },
    readStatus: async () => current().deployment,
    readEvents: async (_session, _id, after) => {
      const events: DeploymentEvent[] = [];
      for (let number = after + 1; number <= current().events; number++) events.push(makeEvent(number));
      return events;
    },
    ...changes,
  });
}

async function follow(house: House, headers: Record<string, string> = {}): Promise<Response> {
  return house.fetch(`${DEPLOYMENTS}/${ID}/events`, { headers: { ...(await requests.bearer()), ...headers } });
}

function parse(text: string): { event: string | undefined; id: string | undefined; data: unknown }[] {
  const blocks = text.split('\n\n').filter((block) => block !== '' && !block.startsWith(':'));
  return blocks.map((block) => {
    const fields = Object.fromEntries(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
    return { event: fields.event, id: fields.id, data: JSON.parse(fields.data ?? 'null') };
  });
}

const running = makeDeployment({ state: 'running' });
const live = { pid: 4711, since: null, phase: 'main', step: 2, steps: 3, path: '2.sql', waiting_for: null, blocked_by: [] };

describe('following a deployment', () => {
  test('gives its events by number, its status when that changes, and its end', async () => {
    const house = makeRunning([
      { deployment: running, events: 1 },
      { deployment: running, events: 1 },
      { deployment: { ...running, live }, events: 2 },
      { deployment: makeDeployment(), events: 3 },
    ]);
    const answer = await follow(house);
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const shown = parse(await answer.text());
    expect(shown.map(({ event, id }) => [event, id])).toEqual([
      ['step_succeeded', '1'],
      ['status', undefined],
      ['step_succeeded', '2'],
      ['status', undefined],
      ['step_succeeded', '3'],
      ['end', undefined],
    ]);
    expect(shown[0]?.data).toEqual(makeEvent(1));
    expect(shown[3]?.data).toEqual({ id: ID, state: 'running', live, ahead: [] });
    expect(shown.at(-1)?.data).toEqual(makeDeployment());
    await house.settle();
    expect(house.sessions).toEqual({ opened: 1, closed: 1 });
  });

  test('goes on behind Last-Event-ID', async () => {
    const house = makeRunning([{ deployment: makeDeployment(), events: 5 }]);
    const shown = parse(await (await follow(house, { 'last-event-id': '3' })).text());
    expect(shown.map(({ id }) => id)).toEqual(['4', '5', undefined]);
  });

  test('is kept alive by comments while nothing happens, and ends without "end" when its time is up', async () => {
    const house = makeRunning([{ deployment: running, events: 0 }]);
    const text = await (await follow(house)).text();
    const comments = text.split('\n\n').filter((block) => block.startsWith(':'));
    expect(comments.length).toBeGreaterThan(LIMITS.follow_seconds_max / LIMITS.follow_keep_alive_seconds / 2);
    expect(parse(text).map(({ event }) => event)).toEqual(['status']);
    expect(house.ports.now() - NOW).toBeGreaterThanOrEqual(LIMITS.follow_seconds_max * 1000);
    await house.settle();
    expect(house.sessions).toEqual({ opened: 1, closed: 1 });
  });

  test('closes its session when the client is gone', async () => {
    const house = makeRunning([{ deployment: running, events: 1 }], { now: () => NOW });
    const reader = (await follow(house)).body?.getReader();
    await reader?.read();
    expect(house.sessions).toEqual({ opened: 1, closed: 0 });
    await reader?.cancel();
    await house.settle();
    expect(house.sessions).toEqual({ opened: 1, closed: 1 });
  });

  test('closes its session when its time is up, also of a client that stays and does not read', async () => {
    const house = makeRunning([{ deployment: running, events: 1000 }]);
    const answer = await follow(house);
    expect(answer.status).toBe(200);
    await house.settle();
    expect(house.sessions).toEqual({ opened: 1, closed: 1 });
    expect(house.ports.now() - NOW).toBe(LIMITS.follow_seconds_max * 1000);
  });

  test('ends without "end" when the session is lost, says so in the log, and closes', async () => {
    let looks = 0;
    const house = makeRunning([{ deployment: running, events: 1 }], {
      readGlance: async () => {
        if (looks++ > 1) throw new Error('lost');
        return glanceOf(running, 1);
      },
    });
    const shown = parse(await (await follow(house)).text());
    expect(shown.map(({ event }) => event)).toEqual(['step_succeeded', 'status']);
    await house.settle();
    expect(house.sessions.closed).toBe(1);
    expect(house.lines).toContainEqual(expect.objectContaining({ level: 'error', message: 'follow', deployment: ID }));
  });
});
