/**
 * What the campaign judges by: the catalog, the rows, and what the engine has written down; and the watcher, who compares the two from a session
 * of its own, again and again, while a deployment runs. Each look is one statement, so one snapshot: what it sees was committed together.
 */
import pg from 'pg';
import type { Story } from './stories.ts';

export const WATCHER = 'the watcher';

const look_every_ms = 10;
const leave_look_every_ms = 50;
const leave_looks_count = 200;

/** The end that every round must come to. */
export interface End {
  readonly fingerprint: string;
  readonly rows: Readonly<Record<string, readonly string[]>>;
  readonly deployments: readonly string[];
  readonly steps: readonly string[];
  readonly history: readonly string[];
  readonly more: readonly string[];
}

const OF_THE_USER = `schemaname not in ('weft', 'information_schema') and schemaname !~ '^pg_'`;

const OVER_AT = '(select max(d.finished_at) from weft._deployments as d)';

/** What nothing may leave. */
const LEFTOVERS = `
select 'invalid index' as what, i.indexrelid::regclass::text as which from pg_index as i where not (i.indisvalid and i.indisready and i.indislive)
union all
select 'backend', format('%s (%s): %s', a.pid, a.state, left(a.query, 80)) from pg_stat_activity as a
where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
union all
select 'lock', format('%s by %s', l.mode, l.pid) from pg_locks as l
where l.database = (select d.oid from pg_database as d where d.datname = current_database()) and l.pid <> pg_backend_pid() and l.locktype in ('relation', 'advisory')
  and l.pid in (select a.pid from pg_stat_activity as a where a.backend_type = 'client backend')
`;

export interface Judgement {
  readonly end: End;
  /** Where record and fact differ. */
  readonly discrepancies: readonly string[];
  readonly leftovers: readonly string[];
  /** When the deployment was over, in milliseconds since 1970; null when it is not. */
  readonly finishedAt: number | null;
  /** Times that a lock was not to be had. */
  readonly lockTimeouts: number;
}

/** Reads what a database has come to; what is left, as soon as nothing is, or after so many looks that whoever was leaving would have left. */
export async function judge(url: string, { look, more, overAt = OVER_AT }: Story): Promise<Judgement> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const ask = async (text: string) => (await client.query(text)).rows;
    const list = async (text: string): Promise<string[]> => (await ask(text)).map(({ line }) => line);
    const tell = async (text: string): Promise<string[]> => (await ask(text)).map(({ what, which }) => `${what}: ${which}`);
    let leftovers = await tell(LEFTOVERS);
    for (let looks = 1; leftovers.length > 0 && looks < leave_looks_count; looks += 1) {
      await new Promise((resolve) => setTimeout(resolve, leave_look_every_ms));
      leftovers = await tell(LEFTOVERS);
    }
    const [{ fingerprint }] = await ask('select weft.fingerprint() as fingerprint');
    const rows: Record<string, string[]> = {};
    for (const name of await list(`select format('%I.%I', schemaname, tablename) as line from pg_tables where ${OF_THE_USER} order by 1`))
      rows[name] = await list(`select t::text as line from ${name} as t order by 1`);
    const end: End = {
      fingerprint,
      rows,
      deployments: await list(`select format('%s %s', d.state, d.finished_at is not null) as line from weft._deployments as d order by 1`),
      steps: await list(`select format('%s %s %s', s.path, s.state, s.is_wanted) as line from weft._steps as s order by s.ordinal, 1`),
      more: more === undefined ? [] : await list(more),
      history: await list(`select format('%s %s', h.path, encode(h.digest, 'hex')) as line from weft._history as h order by 1`),
    };
    const [{ at }] = await ask(`select (extract(epoch from ${overAt}) * 1000)::float8 as at`);
    const [{ times }] = await ask(`select count(*)::int as times from weft._events as e where e.kind = 'lock_not_available'`);
    return { end, discrepancies: await tell(look), leftovers, finishedAt: at, lockTimeouts: times };
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Compares record and fact until it is told to stop; when its own session is lost, in another one. */
export class Watcher {
  readonly found = new Set<string>();
  looks = 0;
  readonly #url: string;
  readonly #look: string;
  readonly #watching: Promise<void>;
  #isOver = false;

  constructor(url: string, { look }: Story) {
    this.#url = url;
    this.#look = look;
    this.#watching = this.#watch();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      const client = new pg.Client({ connectionString: this.#url, application_name: WATCHER, options: '-c plan_cache_mode=force_generic_plan' });
      client.on('error', () => undefined);
      try {
        await client.connect();
        while (!this.#isOver) {
          for (const { what, which } of (await client.query({ name: 'look', text: this.#look })).rows) this.found.add(`${what}: ${which}`);
          this.looks += 1;
          await new Promise((resolve) => setTimeout(resolve, look_every_ms));
        }
      } catch (error) {
        // of class 42, 22 and so on it is the watcher who is wrong
        if (/^(?:42|22|0A)/.test((error as { code?: string }).code ?? '')) throw error;
        await new Promise((resolve) => setTimeout(resolve, look_every_ms));
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }
}
