/** What is done to a deployment while it runs, as the plan says; and when each of it met something. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { PlannedFault, Relay } from '../../src/dev/relay.ts';
import type { OwnServer } from '../support/own_server.ts';
import { sqlAnew as sql } from '../support/sql.ts';
import { WATCHER } from './facts.ts';
import { type Blow, type Cut, delay_ms } from './plan.ts';
import type { Story } from './stories.ts';

/** A server of its own, and the relay before it; one round at a time. */
export interface Lane {
  readonly story: Story;
  readonly server: OwnServer;
  readonly relay: Relay;
  /** Of a database before the deployment, to be copied; its name. */
  readonly template: string;
  /** Messages to the client until a connection is made. */
  readonly handshake: number;
}

export interface Strike {
  readonly blow: Blow;
  /** Ends what still goes on of it. @returns what it has met */
  stop(): Promise<readonly Hit[]>;
}

export interface Hit {
  /** In milliseconds since 1970. */
  readonly at: number;
  /** A connection that was not made yet. */
  readonly isEarly: boolean;
}

/** A server that was stopped with all its processes for minutes may be late. */
const restart_tries_count = 3;
const hail_look_every_ms = 20;
/** Longer than it takes to kill a server. */
const held_ms = 1_000;

/** @param leave ends the client at work */
export function strike(lane: Lane, url: string, blow: Blow, leave: () => void, stays: boolean): Strike {
  switch (blow.kind) {
    case 'cut':
      return { blow, ...storm(lane, [{ ...blow, stays }], blow.connection, 1, leave) };
    case 'storm':
      return { blow, ...storm(lane, blow.of, 1, blow.cuts, leave) };
    case 'hail':
      return { blow, ...afterWaits(blow.of, (over) => terminateSomebody(lane, url, over), leave) };
    case 'power cut between':
      return { blow, ...powerCutBetween(lane, blow, () => stays || leave()) };
    default:
      return { blow, ...afterWaits([{ waitMs: blow.atMs, stays }], (over) => hit(lane, url, blow, over), leave) };
  }
}

/** Cuts one connection after another. @param first counted from the beginning of the round */
function storm(
  { relay, handshake }: Lane,
  of: readonly (Cut & { readonly stays: boolean })[],
  first: number,
  count: number,
  leave: () => void,
): Omit<Strike, 'blow'> {
  const met: Hit[] = [];
  const planned: PlannedFault[] = of.map(({ direction, after, extraBytes, how, sides, stays }, index) => {
    const where = (connection: object): boolean => relay.connections[first + index - 1] === connection;
    const fault = relay.plan({ direction, afterMessages: after, extraBytes, how, sides, where, ...(how === 'delay' ? { delayMs: delay_ms } : {}) });
    fault.fired.then(({ toClient }) => {
      met.push({ at: Date.now(), isEarly: toClient.messages < handshake });
      if (met.length >= count) cancel();
      if (!stays) leave();
    });
    return fault;
  });
  const cancel = (): void => {
    for (const fault of planned) fault.cancel();
  };
  return {
    stop: async () => {
      cancel();
      return met;
    },
  };
}

/** What follows those messages is held until the server is dead. */
function powerCutBetween(
  { relay, server, handshake }: Lane,
  { direction, after }: Extract<Blow, { kind: 'power cut between' }>,
  then: () => void,
): Omit<Strike, 'blow'> {
  const met: Hit[] = [];
  const where = (connection: object): boolean => relay.connections[0] === connection;
  const fault = relay.plan({ direction, afterMessages: after, how: 'delay', delayMs: held_ms, where });
  let done = Promise.resolve();
  fault.fired.then(({ toClient }) => {
    met.push({ at: Date.now(), isEarly: toClient.messages < handshake });
    then();
    done = cutPower(server);
    done.catch(() => undefined);
  });
  return {
    stop: async () => {
      fault.cancel();
      await done;
      return met;
    },
  };
}

/** @param act returns whether it met something */
function afterWaits(
  of: readonly { readonly waitMs: number; readonly stays: boolean }[],
  act: (over: AbortSignal) => Promise<boolean>,
  leave: () => void,
): Omit<Strike, 'blow'> {
  const isOver = new AbortController();
  const met: Hit[] = [];
  const done = (async () => {
    for (const { waitMs, stays } of of) {
      await sleep(waitMs, undefined, { signal: isOver.signal }).catch(() => undefined);
      if (isOver.signal.aborted) return;
      const at = Date.now();
      if (await act(isOver.signal)) met.push({ at, isEarly: false });
      if (!stays) leave();
    }
  })();
  done.catch(() => undefined);
  return {
    stop: async () => {
      isOver.abort();
      await done;
      return met;
    },
  };
}

async function terminateSomebody(lane: Lane, url: string, over: AbortSignal): Promise<boolean> {
  while (!(await terminate(lane, url, 'terminate'))) {
    await sleep(hail_look_every_ms, undefined, { signal: over }).catch(() => undefined);
    if (over.aborted) return false;
  }
  return true;
}

/** @returns whether there was a backend to be told */
async function terminate({ server }: Lane, url: string, signal: 'terminate' | 'cancel'): Promise<boolean> {
  const database = new URL(url).pathname.slice(1);
  const others = `from pg_stat_activity where datname = '${database}' and backend_type = 'client backend' and application_name <> '${WATCHER}'`;
  const rows = await sql(server.postgres.url, `select pg_${signal}_backend(pid) as told ${others}`).catch(() => []);
  return rows.some(({ told }) => told);
}

/** @returns whether it met something */
async function hit(
  lane: Lane,
  url: string,
  blow: Exclude<Blow, { kind: 'cut' | 'storm' | 'hail' | 'power cut between' }>,
  over: AbortSignal,
): Promise<boolean> {
  const { postgres } = lane.server;
  switch (blow.kind) {
    case 'signal':
      return terminate(lane, url, blow.signal);
    case 'power cut':
      await cutPower(lane.server);
      return true;
    case 'lock': {
      const rival = new pg.Client({ connectionString: url, application_name: WATCHER });
      rival.on('error', () => undefined);
      await rival.connect().catch(() => undefined);
      const isHeld = await rival.query(`begin; lock table ${blow.table} in access exclusive mode`).then(
        () => true,
        () => false,
      );
      await sleep(blow.forMs, undefined, { signal: over }).catch(() => undefined);
      await rival.end().catch(() => undefined);
      return isHeld;
    }
    case 'full house': {
      const limit = (count: number): Promise<boolean> =>
        sql(postgres.url, `alter database ${new URL(url).pathname.slice(1)} connection limit ${count}`).then(
          () => true,
          () => false,
        );
      const isFull = await limit(0);
      await sleep(blow.forMs, undefined, { signal: over }).catch(() => undefined);
      while (!(await limit(-1))) await sleep(50);
      return isFull;
    }
    case 'leave':
      return true;
  }
}

/** Kills the server, or what there is of it, and starts it again. */
export async function cutPower({ postgres }: OwnServer): Promise<void> {
  await postgres.kill9();
  for (let tries = 1; ; tries += 1) {
    const isUp = await postgres.restart().then(
      () => true,
      (error: unknown) => {
        if (tries >= restart_tries_count) throw error;
        return false;
      },
    );
    if (isUp) return;
  }
}
