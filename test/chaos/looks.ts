/** Parts of what the watcher asks, for whichever story: each is a SELECT of (what, which), with no row where record and fact are the same. */

/** @param marks where the journal is written to: path, and which statement of it */
export function journalLook(marks: readonly (readonly [path: string, number: number])[]): string {
  const places = marks.map(([path, number]) => `('${path}', ${number})`).join(', ');
  return `
select 'journal' as what, format('%s, statement %s: written %s times, recorded as done: %s', m.path, m.number, j.times, r.is_done) as which
from (values ${places}) as m (path, number)
cross join lateral (select count(*) as times from public.journal as j where j.path = m.path and j.number = m.number) as j
left join weft._steps as s on s.path = m.path
left join weft._statements as t on t.deployment_id = s.deployment_id and t.step = s.ordinal and t.number = m.number
cross join lateral (select coalesce(s.state = 'succeeded' and s.is_wanted is not false or t.state = 'done', false) as is_done) as r
where j.times <> r.is_done::int
union all
select 'a stranger', j.path from public.journal as j where (j.path, j.number) not in (${places})`;
}

export const RECEIPTS = `select 'receipt', format('%s, over: %s, receipts: %s', d.state, d.finished_at is not null, r.times)
from weft._deployments as d
cross join lateral (select count(*) as times from weft._receipts as r where r.deployment_id = d.id and r.state = d.state) as r
where r.times <> (d.finished_at is not null)::int`;

export const AT_WORK = `select 'two at work', string_agg(a.pid::text, ', ') from pg_stat_activity as a
where a.datname = current_database() and a.application_name like 'weft %/%' having count(*) > 1`;
