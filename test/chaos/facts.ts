/**
 * What the campaign judges by: the catalog, the rows, and what the engine has written down; and the watcher, who compares the two from a session
 * of its own, again and again, while a deployment runs. Each look is one statement, so one snapshot: what it sees was committed together.
 */
import pg from 'pg';
import { MARKS } from './bundle.ts';

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
}

/** Where the journal is written to, as rows of VALUES. */
const PLACES = MARKS.map(([path, number]) => `('${path}', ${number})`).join(', ');

/** Where record and fact are not the same: no row where they are. */
const DISCREPANCIES = `
select 'journal' as what, format('%s, statement %s: written %s times, recorded as done: %s', m.path, m.number, j.times, r.is_done) as which
from (values ${PLACES}) as m (path, number)
cross join lateral (select count(*) as times from public.journal as j where j.path = m.path and j.number = m.number) as j
left join weft._steps as s on s.path = m.path
left join weft._statements as t on t.deployment_id = s.deployment_id and t.step = s.ordinal and t.number = m.number
cross join lateral (select coalesce(s.state = 'succeeded' and s.is_wanted is not false or t.state = 'done', false) as is_done) as r
where j.times <> r.is_done::int
union all
select 'a stranger', j.path from public.journal as j where (j.path, j.number) not in (${PLACES})
union all
select 'history', s.path from weft._steps as s where s.kind = 'run' and (s.state = 'succeeded' and s.is_wanted is not false) <> exists (select from weft._history as h where h.path = s.path)
union all
select 'load', format('%s: %s rows, recorded as %s', s.path, n.rows, s.state)
from weft._steps as s
cross join lateral (
  select case s.path when 'data/currencies.csv' then (select count(*) from public.currency) else (select count(*) from public.rate) end as rows,
         case s.path when 'data/currencies.csv' then 3 else 2 end as wanted) as n
where s.kind = 'load' and n.rows <> case s.state when 'succeeded' then n.wanted else 0 end
union all
select 'batch', format('%s: %s rows touched, %s at most once, recorded %s', s.path, n.touched, n.most, coalesce(b.rows, 0))
from weft._steps as s
left join weft._batches as b on b.deployment_id = s.deployment_id and b.step = s.ordinal
cross join lateral (
  select sum(case s.path when 'batches/walk.sql' then o.walked else o.swept end) as touched,
         max(case s.path when 'batches/walk.sql' then o.walked else o.swept end) as most from public.orders as o) as n
where s.kind = 'batch' and (n.touched <> coalesce(b.rows, 0) or n.most > 1)
union all
select 'index', format('%s, statement %s is recorded as done, and no such index is valid', s.path, t.number)
from weft._statements as t
join weft._steps as s on s.deployment_id = t.deployment_id and s.ordinal = t.step
join (values ('indexes/1.sql', 1, 'public.orders_item'), ('indexes/2.sql', 2, 'public.copied_id'), ('mixed/1.sql', 4, 'public.late_n')) as w (path, number, name) on w.path = s.path and w.number = t.number
where t.state = 'done' and not exists (select from pg_index as i where i.indexrelid = to_regclass(w.name) and i.indisvalid and i.indisready)
union all
select 'receipt', format('%s, over: %s, receipts: %s', d.state, d.finished_at is not null, r.times)
from weft._deployments as d
cross join lateral (select count(*) as times from weft._receipts as r where r.deployment_id = d.id and r.state = d.state) as r
where r.times <> (d.finished_at is not null)::int
union all
select 'two at work', string_agg(a.pid::text, ', ') from pg_stat_activity as a
where a.datname = current_database() and a.application_name like 'weft %/%' having count(*) > 1
`;

const OF_THE_USER = `schemaname not in ('weft', 'information_schema') and schemaname !~ '^pg_'`;

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
}

/** Reads what a database has come to; what is left, as soon as nothing is, or after so many looks that whoever was leaving would have left. */
export async function judge(url: string): Promise<Judgement> {
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
      steps: await list(`select format('%s %s %s', s.path, s.state, s.is_wanted) as line from weft._steps as s order by s.ordinal`),
      history: await list(`select format('%s %s', h.path, encode(h.digest, 'hex')) as line from weft._history as h order by 1`),
    };
    const [{ at }] = await ask('select (extract(epoch from max(d.finished_at)) * 1000)::float8 as at from weft._deployments as d');
    return { end, discrepancies: await tell(DISCREPANCIES), leftovers, finishedAt: at };
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Compares record and fact until it is told to stop; when its own session is lost, in another one. */
export class Watcher {
  readonly found = new Set<string>();
  looks = 0;
  readonly #url: string;
  readonly #watching: Promise<void>;
  #isOver = false;

  constructor(url: string) {
    this.#url = url;
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
          for (const { what, which } of (await client.query({ name: 'look', text: DISCREPANCIES })).rows) this.found.add(`${what}: ${which}`);
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
