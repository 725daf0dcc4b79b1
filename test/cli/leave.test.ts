import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { leaving } from '../../src/cli/conduct.ts';
import { onSignal } from '../../src/cli/leave.ts';
import { FIRST_VIEW } from '../../src/cli/progress.ts';
import { ID, makeDeployment, makeLive, makePhase } from './deployments.ts';
import { run } from './run.ts';

describe('Ctrl-C', () => {
  it('asks to leave, and leaves at once the second time; what npm passes on is no second time', () => {
    const leave = new AbortController();
    const exits: number[] = [];
    let now = 1000;
    const react = onSignal(
      leave,
      (code) => exits.push(code),
      () => now,
    );
    react();
    expect(leave.signal.aborted).toBe(true);
    now += 100;
    react();
    expect(exits).toEqual([]);
    now += 400;
    react();
    expect(exits).toEqual([3]);
  });

  it('of a command that only reads is told without a word of a deployment: none was interrupted', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const leave = new AbortController();
    silent.once('connection', (socket) => {
      socket.on('error', () => undefined);
      leave.abort();
    });
    const { port } = silent.address() as AddressInfo;
    const { code, stderr } = await run(['status'], { env: { DATABASE_URL: `postgres://u:p@127.0.0.1:${port}/d?sslmode=disable` }, signal: leave.signal });
    silent.close();
    expect([code, stderr]).toEqual([
      3,
      expect.stringMatching(/^weft: It was interrupted, and can be resumed or repeated\.\n {2}Left before the command was done\.\n$/m),
    ]);
    expect(stderr).not.toContain('deployment');
  });
});

describe('the last words', () => {
  it('do not say that nothing runs when nothing was answered: a small bundle may run by then', () => {
    const { message, facts } = leaving(FIRST_VIEW, 'run-1');
    expect(message).toMatch(/^Left before there was an answer\. If everything has arrived in the database, it goes on there; if not, nothing runs\./);
    expect(message).toContain('repeat it with --id run-1');
    expect(facts).toEqual({ id: 'run-1' });
  });
  const HANDED_OUT = { path: 'lane/001.sql', number: 1, line: 3, statement: 'create index concurrently a_x on a (x)' };
  const left = (transaction: string, live: ReturnType<typeof makeLive> | null, more = {}) =>
    leaving(
      {
        ...FIRST_VIEW,
        session: 'ours',
        id: ID,
        deployment: makeDeployment({ phases: [makePhase('lane', transaction, 'running', { pending: 1 })], live, ...more }),
      },
      null,
    ).message;

  it('say that it goes on to its end where every transaction is a whole step', () => {
    expect(left('per-step', makeLive())).toBe(
      `Left. Deployment ${ID} goes on in the database, as backend 4711, to its end. To attach again, and continue it if need be: weft resume ${ID}. To look: weft status ${ID}. To stop it: weft cancel ${ID}.`,
    );
    const done = makePhase('lane', 'auto', 'succeeded', { done: 1 });
    expect(left('', makeLive(), { phases: [done, makePhase('then', 'single', 'running', { pending: 1 })] })).toContain('to its end.');
  });

  it.each(['auto', 'none'])('say where it stops without a client in a phase with %s', (transaction) => {
    expect(left(transaction, makeLive())).toContain(
      `Left. Deployment ${ID} goes on in the database, as backend 4711: to its end, or to the first statement that PostgreSQL runs in no transaction. That one needs a session, and waits until somebody calls.`,
    );
  });

  it('say of a statement that was handed out that the server finishes just that', () => {
    expect(left('none', makeLive({ handed_out: HANDED_OUT }))).toContain(
      `Left. Backend 4711 finishes the statement that it was handed, which PostgreSQL runs in no transaction (lane/001.sql, line 3: create index concurrently a_x on a (x)), and then ends. The rest of deployment ${ID} waits until somebody calls. To attach`,
    );
  });

  it('do not promise of one in line that it begins', () => {
    expect(left('single', null, { state: 'staged', ahead: ['A'] })).toContain(
      `Left. Deployment ${ID} is in line behind A. Whether it starts without us depends on whose CALL is running there; weft resume ${ID} makes sure that it does. To look`,
    );
  });

  const CLEANING = {
    path: 'lane/001.sql',
    line: 3,
    sent: 'drop index concurrently public.a_x',
    error: { sqlstate: '57014', message: 'Cancelled by somebody.' },
  };

  it.each(['ours', 'worker'] as const)(
    'say of one that is being cancelled what is taken away, and who sees to the end, whose session it ever is: %s',
    (session) => {
      const live = makeLive({ handed_out: HANDED_OUT });
      const deployment = makeDeployment({ phases: [makePhase('lane', 'none', 'running', { pending: 1 })], live, cancelling: true, cleaning: CLEANING });
      expect(leaving({ ...FIRST_VIEW, session, id: ID, deployment }, null).message).toBe(
        `Left. Deployment ${ID} goes no further: it is being cancelled. Backend 4711 is taking away what lane/001.sql:3 has left half-made with "drop index concurrently public.a_x", and finishes that statement without us. Whatever comes after that is left to weft cancel ${ID}, or any later call. To look: weft status ${ID}.`,
      );
    },
  );

  it('say of one that only comes to its end that it goes no further, with a clean-up and without, with somebody at work and without', () => {
    expect(left('none', null, { cancelling: true, cleaning: CLEANING })).toContain(
      `No backend is taking away what lane/001.sql:3 has left half-made: weft cancel ${ID}, or any later call, does, and ends it.`,
    );
    expect(left('none', makeLive(), { cleaning: CLEANING })).toContain(`goes no further: it has failed. Backend 4711 is taking away`);
    expect(left('none', makeLive(), { cleaning: CLEANING })).toContain(`Whatever comes after that is left to weft resume ${ID}, or any later call.`);
    expect(left('single', makeLive(), { cancelling: true })).toContain(
      `Backend 4711 has been told, and is still at work. To see it to the end: weft cancel ${ID}.`,
    );
    expect(left('single', null, { cancelling: true })).toContain(`No backend is at work on it: weft cancel ${ID}, or any later call, ends it.`);
  });

  it('are those of the command, where it is not about a bundle and there was no answer', () => {
    expect(leaving(FIRST_VIEW, null, 'Left so.').message).toBe('Left so.');
  });

  it('leave to the Worker what needs a session, where one is there', () => {
    const deployment = makeDeployment({ phases: [makePhase('lane', 'none', 'running', { pending: 1 })], live: makeLive({ handed_out: HANDED_OUT }) });
    expect(leaving({ ...FIRST_VIEW, id: ID, deployment }, null).message).toContain(
      `Left. Deployment ${ID} goes on in the database, as backend 4711, and the Worker stays with it for as long as it may.`,
    );
  });
});
