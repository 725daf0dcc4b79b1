/**
 * A statement that the server runs in no transaction, in the middle of a file, and what can come between: cut before it reaches the server,
 * while it is at work, after it is done and before it is reported. Whatever it was, the end is that of an undisturbed run.
 */
import pg from 'pg';
import { expect } from 'vitest';
import type { Connect, Message, Session } from '../../src/database/session.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import type { Relay } from '../../src/dev/relay.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { emptyDatabase, freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, everyRow, makeOrder, type OrderOptions, randomId, shutGate, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

export interface Case {
  readonly statement: string;
  /** What the database holds before; `$db` in any text is its name. */
  readonly before?: string;
  /** What another session does in an open transaction, so that the statement stays at work. Its own isolation is up to it. */
  readonly hold: string;
  /** What else must be as in an undisturbed run: one query. */
  readonly facts?: string;
  /** Nothing tells that it is done but the server's word: then it may run once more. */
  readonly repeats?: true;
  /** The catalog tells, but on servers before 15 a moment too late (statistics came by messages there). */
  readonly isCounted?: true;
  /** The statements of the file before and behind it; each one's effect must be there once. */
  readonly head?: string;
  readonly tail?: string;
  readonly options?: OrderOptions;
  /** As the superuser. */
  readonly asSuperuser?: true;
  /** Run by the owner when all is over, outside of the database. */
  readonly cleanUp?: string;
  /** It runs in a transaction after all. */
  readonly isOrdinary?: true;
  /** A database on another server than that of this run. */
  readonly makeDatabase?: () => Promise<TestDatabase>;
  /** What keeps the statement at work where `hold` cannot, and what tells that it is. */
  readonly holdBy?: (url: string) => Promise<Holder>;
  readonly atWork?: string;
}

/** Whatever keeps a statement at work, until it ends. */
export interface Holder {
  end(): Promise<unknown>;
}

export const DISTURBANCES = [
  'cut before it reaches the server',
  'its backend terminated while it is at work, and triggered again at once',
  'its backend terminated while it is at work, and triggered again later',
  'the connection reset while it is at work, and the backend goes on',
  'cut after it is done and before it is reported',
] as const;

export type Disturbance = (typeof DISTURBANCES)[number];

/** The one that runs waits for a lock (or for a transaction, which is one). */
const AT_WORK = `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where a.wait_event_type = 'Lock' and $directive)`;

/** Nothing half-made, whatever happened; in TOAST only superusers can drop anything. */
const HALF_MADE = `
  select c.relname::text as name from pg_index as i join pg_class as c on c.oid = i.indexrelid where not (i.indisvalid and i.indisready and i.indislive)
    and has_schema_privilege(c.relnamespace, 'usage')
  union all select c.relname::text from pg_class as c where c.relname ~ '_cc(new|old)\\d*$' and has_schema_privilege(c.relnamespace, 'usage')
  union all select i.inhrelid::regclass::text from pg_inherits as i where i.inhdetachpending`;

export async function expectNothingHalfMade(url: string): Promise<void> {
  expect(await sql(url, HALF_MADE)).toEqual([]);
}

interface Place {
  readonly database: TestDatabase;
  readonly url: string;
  /** Puts the database's name into a text. */
  readonly fill: (text: string) => string;
}

async function prepare(one: Case): Promise<Place> {
  const database = await (one.makeDatabase ?? (one.asSuperuser ? emptyDatabase : freshDatabase))();
  const url = one.asSuperuser ? (database.superuserUrl ?? database.url) : database.url;
  const fill = (text: string) => text.replaceAll('$db', database.name);
  await sql(url, 'create table journal (n int)');
  for (const text of fill(one.before ?? '').split(/;\s*\n/)) if (text.trim() !== '') await sql(url, text);
  return { database, url, fill };
}

async function leave({ database, fill }: Place, one: Case): Promise<void> {
  for (const text of fill(one.cleanUp ?? '').split(/;\s*\n/)) if (text.trim() !== '') await sql(database.superuserUrl ?? database.url, text);
  await database.drop();
}

function fileOf({ fill }: Place, one: Case): Record<string, string> {
  const { head = 'insert into journal values (1);', tail = 'insert into journal values (2);' } = one;
  return { '1.sql': fill(`${head}\n${one.statement};\n${tail}\n`), '2.sql': 'insert into journal values (3);' };
}

interface Outcome {
  readonly fingerprint: string | null;
  readonly rows: Record<string, string[]>;
  readonly facts: unknown;
}

async function outcomeOf({ url, fill }: Place, one: Case, deployment: Deployment): Promise<Outcome> {
  expect(deployment, JSON.stringify(deployment.error)).toMatchObject({ state: 'succeeded', error: null });
  await expectNothingHalfMade(url);
  expect(await sql(url, 'select * from weft._statements')).toEqual([]);
  return {
    fingerprint: deployment.fingerprint.after,
    rows: await everyRow(url),
    facts: one.facts === undefined ? null : await sql(url, fill(one.facts)),
  };
}

const undisturbed = new Map<Case, Promise<Outcome>>();

/** What nothing comes between leaves behind. */
export function runUndisturbed(one: Case): Promise<Outcome> {
  const known = undisturbed.get(one);
  if (known !== undefined) return known;
  const outcome = (async () => {
    const place = await prepare(one);
    try {
      const deployment = await deployFiles(connectOver(place.url), fileOf(place, one), { transaction: 'auto', ...one.options });
      const made = await outcomeOf(place, one, deployment);
      expect(await countSent(place.url)).toBe(one.isOrdinary ? 0 : 1);
      return made;
    } finally {
      await leave(place, one);
    }
  })();
  undisturbed.set(one, outcome);
  return outcome;
}

/** How often a statement was handed out, its repairs not counted. */
async function countSent(url: string): Promise<number> {
  const [row] = await sql(url, `select count(*)::int from weft.events where kind = 'statement_sent'`);
  return row.count;
}

async function versionOf(url: string): Promise<number> {
  const [row] = await sql(url, `select current_setting('server_version_num')::int / 10000 as major`);
  return row.major;
}

export async function kindsOf(url: string): Promise<string[]> {
  return (await sql(url, 'select kind from weft.events order by at, deployment_id, number')).map(({ kind }) => kind);
}

/** Lets something come between, and expects the end of an undisturbed run. */
export async function runDisturbed(one: Case, disturbance: Disturbance, relay: Relay): Promise<void> {
  const expected = await runUndisturbed(one);
  const place = await prepare(one);
  try {
    const deployment = await disturb(place, one, disturbance, relay);
    expect(await outcomeOf(place, one, deployment)).toEqual(expected);
    const mayRepeat = one.repeats || (one.isCounted && (await versionOf(place.url)) < 15);
    if (disturbance === DISTURBANCES[4] && !mayRepeat && !one.isOrdinary) expect(await countSent(place.url), 'sent once').toBe(1);
  } finally {
    await leave(place, one);
  }
}

async function disturb(place: Place, one: Case, disturbance: Disturbance, relay: Relay): Promise<Deployment> {
  const { url, fill } = place;
  const request = { transaction: 'auto' as const, id: randomId(), ...one.options };
  const through = connectOver(over(relay, url));
  if (one.isOrdinary && (disturbance === DISTURBANCES[0] || disturbance === DISTURBANCES[4])) {
    return cutAtTheGate(place, one, disturbance === DISTURBANCES[0] ? 'before' : 'after', request);
  }
  if (disturbance === DISTURBANCES[0] || disturbance === DISTURBANCES[4]) {
    const cutter = new Cutter(relay, disturbance === DISTURBANCES[0] ? 'before' : 'after');
    const end = await deployFiles(cutter.into(through), fileOf(place, one), request);
    expect(cutter.cuts).toBe(1);
    return end;
  }

  const holder = await (one.holdBy?.(url) ?? hold(url, fill(one.hold)));
  const stop = new AbortController();
  const { order, chunks } = await makeOrder(fileOf(place, one), request);
  const { done } = deploy({ connect: through, order, chunks, chunksAgain: true, deadlineMs: 50_000, signal: stop.signal });
  done.catch(() => undefined);
  try {
    const atWork = one.atWork ?? AT_WORK.replace('$directive', `(l.directive_at is not null) = ${!one.isOrdinary}`);
    await Promise.race([until(url, atWork, 'the statement is at work'), done.then((early) => Promise.reject(new Error(`ended: ${JSON.stringify(early)}`)))]);
    const [{ pid }] = await sql(url, 'select pid from weft._lease');
    if (disturbance === DISTURBANCES[3]) {
      relay.cutAll();
      await until(url, `exists (select from pg_stat_activity where pid = ${pid} and state = 'active')`, 'it needs no client');
      await holder.end();
      return await done;
    }
    if (disturbance === DISTURBANCES[2]) stop.abort();
    await sql(url, `select pg_terminate_backend(${pid}, 10000)`);
    if (disturbance === DISTURBANCES[1]) {
      await until(url, `(select pid from weft._lease) is distinct from ${pid}`, 'the next one is at work');
      await holder.end();
      return await done;
    }
    await done.catch(() => undefined);
    await holder.end();
    return await deployFiles(through, fileOf(place, one), request);
  } finally {
    stop.abort();
    await holder.end().catch(() => undefined);
    await done.catch(() => undefined);
  }
}

/** What runs in a transaction is cut between two: the backend is gone before its statement begins, or when it was just committed. */
async function cutAtTheGate(place: Place, one: Case, when: 'before' | 'after', request: OrderOptions): Promise<Deployment> {
  const { url } = place;
  const { head = 'insert into journal values (1);', tail = 'insert into journal values (2);' } = one;
  const gated = when === 'before' ? { ...one, head: `${head}\n${AT_THE_GATE}` } : { ...one, tail: `${AT_THE_GATE}\n${tail}` };
  const gate = await shutGate(url);
  const deployed = deployFiles(connectOver(url), fileOf(place, gated), request);
  await gate.reached();
  const [{ pid }] = await sql(url, 'select pid from weft._lease');
  await sql(url, `select pg_terminate_backend(${pid}, 10000)`);
  await gate.open();
  return deployed;
}

/** A session that holds something until it ends. */
export async function hold(url: string, text: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'the holder' });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('begin isolation level read committed');
  if (/^snapshot$/.test(text)) await client.query('rollback; begin isolation level repeatable read; select 1');
  else await client.query(text);
  return client;
}

export function over(relay: Relay, url: string): string {
  const changed = new URL(url);
  changed.hostname = '127.0.0.1';
  changed.port = String(relay.tcpPort);
  return changed.href;
}

/** Cuts the first directive that goes out: before it does, or when the server has run it and not yet heard the report. */
export class Cutter {
  cuts = 0;
  readonly #relay: Relay;
  readonly #when: 'before' | 'after';
  readonly #times: number;

  constructor(relay: Relay, when: 'before' | 'after', times = 1) {
    this.#relay = relay;
    this.#when = when;
    this.#times = times;
  }

  into(connect: Connect): Connect {
    return async () => this.#wrap(await connect());
  }

  #wrap(session: Session): Session {
    return {
      announcedPid: session.announcedPid,
      query: (text, values) => session.query(text, values),
      close: () => session.close(),
      pipeline: async (messages, onReply) => {
        const statement = statementOf(messages);
        if (statement !== undefined && this.cuts < this.#times) {
          this.cuts++;
          if (this.#when === 'after') {
            const [reply] = await session.pipeline([statement]);
            expect(reply).toMatchObject({ kind: 'rows' });
          }
          this.#relay.cutAll();
        }
        return session.pipeline(messages, onReply);
      },
    };
  }
}

/** What a pipeline runs at top level, if it is a directive's. */
function statementOf(messages: Iterable<Message> | AsyncIterable<Message>): Message | undefined {
  if (!Array.isArray(messages)) return undefined;
  const [first, report, sync, reset] = messages as Message[];
  const isDirective = report?.kind === 'statement' && /weft\.reported/.test(report.text) && sync?.kind === 'sync' && reset?.kind === 'simple';
  return isDirective ? first : undefined;
}
