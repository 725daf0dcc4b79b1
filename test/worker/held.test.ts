/** Where a synchronous standby is gone, commits wait for it: whoever asks the Worker for something, or follows it there, is told. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { HELD_BY_STANDBY } from '../../src/words/waits.ts';
import { makeFolder } from '../cli/folder.ts';
import { run } from '../cli/run.ts';
import { DEPLOYMENTS, inlineFiles, makeRequests, type Requests } from '../http/requests.ts';
import { AT_THE_GATE, shutGate } from '../support/orders.ts';
import { type OwnServer, startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

describe.runIf(offers('servers to kill'))('a synchronous standby that is gone', () => {
  const secret = generateSecret();
  let server: OwnServer;
  let worker: LocalWorker;
  let url: string;
  let requests: Requests;
  beforeAll(async () => {
    server = await startOwnServer();
    url = await server.createDatabaseWithEngine();
    worker = await startWorker({
      config: {
        targets: { staging: { database: 'STAGING_URL', transport: 'tcp' } },
        callers: { ci: { secrets: ['CI_SECRET'] } },
        grants: [{ caller: 'ci', targets: ['staging'], actions: ['deploy', 'cancel', 'read'] }],
      },
      secrets: { STAGING_URL: url, CI_SECRET: secret },
    });
    const secrets = { ci: secret, watcher: secret, reader: secret, stranger: secret };
    requests = makeRequests({ origin: worker.origin, secrets, now: () => Date.now(), makeId: () => 'held' });
  });
  afterAll(async () => {
    await worker?.stop();
    await server?.postgres.stop();
  });

  const awaitStandbys = async (names: string): Promise<void> => {
    await sql(server.postgres.url, `alter system set synchronous_standby_names = '${names}'`);
    await sql(server.postgres.url, 'select pg_reload_conf()');
    await expect.poll(() => sql(server.postgres.url, 'show synchronous_standby_names')).toEqual([{ synchronous_standby_names: names }]);
  };

  it('is told to whoever sends a request, with 503; when it is back, the same request is the deployment that it made', async () => {
    await awaitStandbys('gone');
    const request = requests.makeRequest({ files: inlineFiles({ '1.sql': 'create table a (n int);' }) });
    const send = async () => worker.fetch(DEPLOYMENTS, await requests.post(request, { headers: { prefer: 'wait=20' } }));
    const refused = await send();
    expect([refused.status, await refused.json()]).toEqual([
      503,
      expect.objectContaining({ type: 'urn:weft:problem:commit_held', detail: expect.stringContaining(HELD_BY_STANDBY) }),
    ]);
    await awaitStandbys('');
    const answer = await send();
    expect([answer.status, await answer.json()]).toEqual([200, expect.objectContaining({ state: 'succeeded' })]);
    expect(await sql(url, 'select count(*)::int as count from weft.deployments')).toEqual([{ count: 1 }]);
  });

  it('is told to whoever follows a deployment that is at work, in the events and once by the command line; then it goes on', async () => {
    const gate = await shutGate(url);
    const told = Promise.withResolvers<void>();
    const deploying = run(['deploy', makeFolder({ '1.sql': AT_THE_GATE, '2.sql': 'create table b (n int);' }), '--json'], {
      env: { WEFT_URL: worker.origin, WEFT_TARGET: 'staging', WEFT_CALLER: 'ci', WEFT_SECRET: secret },
      onStderr: (text) => text.includes(HELD_BY_STANDBY) && told.resolve(),
    });
    await gate.reached();
    const [{ id }] = await sql(url, "select id from weft.deployments where state = 'running'");
    await awaitStandbys('gone');
    await gate.open();
    const leave = new AbortController();
    const events = await worker.fetch(`${DEPLOYMENTS}/${id}/events`, { headers: await requests.bearer(), signal: leave.signal });
    let text = '';
    for await (const part of (events.body ?? []) as AsyncIterable<Uint8Array>) {
      text += new TextDecoder().decode(part);
      if (text.includes('"held"')) break;
    }
    leave.abort();
    expect(text).toContain(`"held":"${HELD_BY_STANDBY}"`);
    await told.promise;
    await awaitStandbys('');
    const end = await deploying;
    expect(end.json().state).toBe('succeeded');
    expect(end.stderr.split(HELD_BY_STANDBY)).toHaveLength(2);
  });
});
