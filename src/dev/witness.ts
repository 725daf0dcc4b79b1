/**
 * What a database says of a deployment and of an index, during and after: read over a connection of its own, from PostgreSQL's catalog
 * and statistics and from the views of schema weft. What to make of it is up to the caller.
 */
import pg from 'pg';

/** An index that is there; one that was made anew has another oid. */
export interface Index {
  readonly oid: number;
  readonly valid: boolean;
}

/** How far a build is. */
export interface Progress {
  /** PostgreSQL's word for where it is. */
  readonly phase: string;
  /** The numbers of that phase and of its part, which rise from the first to the last of a build. */
  readonly part: readonly [number, number];
  /** How much of this part is done, from 0 to 99; null when nothing is counted, or all of it has been. */
  readonly percent: number | null;
}

/** One moment. */
export interface Sight {
  /** Of the deployment that came first. */
  readonly steps: number;
  readonly done: number;
  /** The step at work or next. */
  readonly next: string | null;
  /** The backend that builds an index, with its statement (without the comment above it), and since when; null when none does. */
  readonly builder: {
    readonly pid: number;
    readonly state: string;
    readonly statement: string;
    readonly backendStart: string;
    readonly queryStart: string;
  } | null;
  readonly progress: Progress | null;
  /** The index: null when there is none of that name. */
  readonly index: Index | null;
}

/** How a deployment left the database. */
export interface Outcome {
  readonly fingerprint: string;
  readonly deployments: number;
  /** Steps that ran, of all deployments together: each that ran twice counts twice. */
  readonly ran: number;
  /** Steps by which the history knows them. */
  readonly applied: number;
  /** The state of the deployment that came first. */
  readonly state: string;
  readonly index: Index | null;
  /** Invalid indexes, of whatever name. */
  readonly invalid: number;
  readonly rows: number;
  readonly tables: number;
  /** One hash over every row of every table. */
  readonly content: string;
  /** What was handed out to be run in no transaction, in order, each with the kind of its event. */
  readonly sent: readonly { readonly kind: string; readonly statement: string }[];
}

// While a backend is at the first block of a parallel scan, the server counts all of them (heapam_scan_get_blocks_done): so 100 means nothing.
const SIGHT = `
  select s.steps, s.done, s.next,
         case when b.pid is not null then jsonb_build_object(
           'pid', b.pid, 'state', b.state, 'backendStart', b.backend_start, 'queryStart', b.query_start,
           'statement', regexp_replace(b.query, '^(\\s*--[^\\n]*\\n)+\\s*', '')) end as builder,
         case when b.pid is not null then jsonb_build_object('phase', b.phase, 'part', jsonb_build_array(b.phase_number, b.part_number), 'percent', nullif(b.percent, 100)) end as progress,
         (select jsonb_build_object('oid', i.indexrelid::bigint, 'valid', i.indisvalid) from pg_index as i where i.indexrelid = to_regclass($1)) as index
    from (select count(*)::int as steps,
                 (count(*) filter (where s.state = 'succeeded'))::int as done,
                 min(s.path) filter (where s.state = 'pending') as next
            from weft.steps as s
           where s.deployment_id = (select d.id from weft.deployments as d order by d.created_at limit 1)) as s
    left join (select p.pid, a.state, a.query, a.backend_start, a.query_start, p.phase, n.param10 as phase_number, n.param11 as part_number,
                      floor(100 * case when p.blocks_total > 0 then p.blocks_done / p.blocks_total::float8
                                  when p.tuples_total > 0 then p.tuples_done / p.tuples_total::float8 end)::int as percent
                 from pg_stat_progress_create_index as p
                 join pg_stat_activity as a using (pid)
                 join pg_stat_get_progress_info('CREATE INDEX') as n using (pid)  -- which the view makes words of
                where p.datname = current_database()) as b on true`;

const OUTCOME = `
  select weft.fingerprint() as fingerprint,
         (select count(*)::int from weft.deployments) as deployments,
         (select count(*)::int from weft.steps as s where s.state = 'succeeded') as ran,
         (select count(*)::int from weft.history) as applied,
         (select d.state from weft.deployments as d order by d.created_at limit 1) as state,
         (select jsonb_build_object('oid', i.indexrelid::bigint, 'valid', i.indisvalid) from pg_index as i where i.indexrelid = to_regclass($1)) as index,
         (select count(*)::int from pg_index as i where not i.indisvalid) as invalid,
         (select coalesce(jsonb_agg(jsonb_build_object('kind', e.kind, 'statement', e.data ->> 'sent') order by e.at, e.number), '[]')
            from weft.events as e where e.kind in ('statement_sent', 'statement_repaired')) as sent`;

/** Whether the second look finds the same backend at the same statement, and not less far with it. */
export function goesOn(before: Sight, after: Sight): boolean {
  if (before.builder === null || after.builder === null || before.progress === null || after.progress === null) return false;
  const [was, is] = [before.builder, after.builder];
  if (was.pid !== is.pid || was.backendStart !== is.backendStart || was.queryStart !== is.queryStart || is.state !== 'active') return false;
  const [from, to] = [before.progress, after.progress];
  const steps = [to.part[0] - from.part[0], to.part[1] - from.part[1], (to.percent ?? 100) - (from.percent ?? 0)];
  return (steps.find((step) => step !== 0) ?? 0) >= 0;
}

/** A connection that looks and changes nothing. */
export class Witness {
  readonly #client: pg.Client;
  readonly #schema: string;
  readonly #index: string;

  private constructor(client: pg.Client, schema: string, index: string) {
    this.#client = client;
    this.#schema = schema;
    this.#index = index;
  }

  /** @param index which one to look for, in that schema */
  static async call(databaseUrl: string, schema: string, index: string): Promise<Witness> {
    const client = new pg.Client({ connectionString: databaseUrl, application_name: 'witness' });
    client.on('error', () => undefined);
    await client.connect();
    return new Witness(client, schema, index);
  }

  /** @returns null as long as there is no deployment */
  async look(): Promise<Sight | null> {
    try {
      const { rows } = await this.#client.query<Sight>(SIGHT, [`${this.#schema}.${this.#index}`]);
      return rows[0] === undefined || rows[0].steps === 0 ? null : rows[0];
    } catch (error) {
      if (error instanceof pg.DatabaseError && ['42P01', '3F000'].includes(error.code ?? '')) return null; // the engine is not there yet
      throw error;
    }
  }

  async tellOutcome(): Promise<Outcome> {
    const { rows: outcomes } = await this.#client.query(OUTCOME, [`${this.#schema}.${this.#index}`]);
    const { rows: tables } = await this.#client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = $1
       union all select format('%I.%I', schemaname, matviewname) from pg_matviews where schemaname = $1 order by 1`,
      [this.#schema],
    );
    // The sum does not depend on the order of the rows, and a row that is there twice counts twice.
    const each = tables.map(
      ({ name }) => `select ${pg.escapeLiteral(name)} as name, count(*) as rows, sum(hashtextextended(t::text, 0)) as sum from ${name} as t`,
    );
    const { rows: contents } = await this.#client.query(
      `select sum(c.rows)::int as rows, count(*)::int as tables, md5(string_agg(format('%s %s %s', c.name, c.rows, c.sum), E'\\n' order by c.name)) as content
         from (${each.join(' union all ')}) as c`,
    );
    return { ...outcomes[0], ...contents[0] } as Outcome;
  }

  /** Ends a backend, as an administrator would. @returns whether there was one */
  async terminate(pid: number): Promise<boolean> {
    const { rows } = await this.#client.query<{ done: boolean }>('select pg_terminate_backend($1, 10000) as done', [pid]);
    return rows[0]?.done === true;
  }

  async leave(): Promise<void> {
    await this.#client.end();
  }
}
