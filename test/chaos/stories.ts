/**
 * What a campaign is about: a database as it was before, one trigger that is sent again and again until it is over, and what record and fact must say
 * of each other all the time. The first story is the one that a deployment tells; each other one is told in a file of its own.
 */
import type { Connect } from '../../src/database/session.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { type Deployment, isOver } from '../../src/domain/deployment.ts';
import { makeOrder, type OrderOptions } from '../support/orders.ts';
import { sqlAnew as sql } from '../support/sql.ts';
import { BUNDLE, LARGE_BUNDLE, LARGE_MARKS, MARKS, TABLES } from './bundle.ts';
import { AT_WORK, journalLook, RECEIPTS } from './looks.ts';

export interface Errand {
  readonly connect: Connect;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** @returns whether it is over */
export type Trigger = (errand: Errand) => Promise<boolean>;

export interface Story {
  readonly name: string;
  /** Brings a database that has the engine to where it was before: once, and then it is copied. */
  prepare(url: string): Promise<void>;
  /** What a copy needs, undisturbed, before the first trigger. */
  begin(url: string, id: string): Promise<Trigger>;
  /** What comes behind it, and finds hardly anything to do; the first trigger may come late then. */
  newer?(id: string): Promise<Trigger>;
  /** One statement: a row (what, which) for each thing in which record and fact differ, at any moment. */
  readonly look: string;
  /** One statement: more lines that must be the same in the end. */
  readonly more?: string;
  /** An expression: when it was over. */
  readonly overAt?: string;
}

/** The same order each time. @param accepts what the trigger brought the deployment to */
export async function triggerOf(
  files: Readonly<Record<string, string>>,
  options: OrderOptions,
  accepts: (deployment: Deployment) => boolean = ({ state }) => isOver(state),
): Promise<Trigger> {
  const order = await makeOrder(files, options);
  return async (errand) => accepts(await deploy({ ...errand, ...order, chunksAgain: true }).done);
}

/** Where record and fact of the bundle of the campaign are not the same: no row where they are. */
const deployLook = (marks: typeof MARKS): string =>
  [
    journalLook(marks),
    `select 'history', s.path from weft._steps as s where s.kind = 'run' and (s.state = 'succeeded' and s.is_wanted is not false) <> exists (select from weft._history as h where h.path = s.path)`,
    `select 'load', format('%s: %s rows, recorded as %s', s.path, n.rows, s.state)
from weft._steps as s
cross join lateral (
  select case s.path when 'data/currencies.csv' then (select count(*) from public.currency) else (select count(*) from public.rate) end as rows,
         case s.path when 'data/currencies.csv' then 3 else 2 end as wanted) as n
where s.kind = 'load' and n.rows <> case s.state when 'succeeded' then n.wanted else 0 end`,
    `select 'batch', format('%s: %s rows touched, %s at most once, recorded %s', s.path, n.touched, n.most, coalesce(b.rows, 0))
from weft._steps as s
left join weft._batches as b on b.deployment_id = s.deployment_id and b.step = s.ordinal
cross join lateral (
  select sum(case s.path when 'batches/walk.sql' then o.walked else o.swept end) as touched,
         max(case s.path when 'batches/walk.sql' then o.walked else o.swept end) as most from public.orders as o) as n
where s.kind = 'batch' and (n.touched <> coalesce(b.rows, 0) or n.most > 1)`,
    `select 'index', format('%s, statement %s is recorded as done, and no such index is valid', s.path, t.number)
from weft._statements as t
join weft._steps as s on s.deployment_id = t.deployment_id and s.ordinal = t.step
join (values ('indexes/1.sql', 1, 'public.orders_item'), ('indexes/2.sql', 2, 'public.copied_id'), ('mixed/1.sql', 4, 'public.late_n')) as w (path, number, name) on w.path = s.path and w.number = t.number
where t.state = 'done' and not exists (select from pg_index as i where i.indexrelid = (select k.oid from pg_class as k where k.relnamespace = 'public'::regnamespace and k.relname = replace(w.name, 'public.', '')) and i.indisvalid and i.indisready)`,
    RECEIPTS,
    AT_WORK,
  ].join('\nunion all\n');

const deployStory = (name: string, files: Readonly<Record<string, string>>, marks: typeof MARKS): Story => ({
  name,
  prepare: async (url) => {
    await sql(url, TABLES);
  },
  begin: (_, id) => triggerOf(files, { id, bundle: 'chaos' }),
  newer: (id) => triggerOf(files, { id, bundle: 'chaos' }),
  look: deployLook(marks),
});

export const DEPLOY = deployStory('deploy', BUNDLE, MARKS);

/** The same with more than goes out in one breath: what is missing is asked for first, and the chunks come in many messages. */
export const LARGE = deployStory('large', LARGE_BUNDLE, LARGE_MARKS);
