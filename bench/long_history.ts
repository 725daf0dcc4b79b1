/**
 * A long history behind a database with one deployment: the rows that as many more before it would have left, each with other bytes of a few of its
 * files. They are copies of the one's, with ids, times, places and digests of their own, and the engine reads them as it reads what it has written.
 */

/**
 * @param count how many deployments there are to be then, with the one that is there
 * @param changed the files that had other bytes in each of them: of which this is the beginning of the path
 * @returns statements, each to be sent by itself
 */
export function renderLongHistory(count: number, changed = 'a/000'): string[] {
  return [
    `create table public.m as select d.id as old, gen_random_uuid() as new, n from weft._deployments as d cross join generate_series(2, ${count}) as n`,
    `insert into weft._deployments select (jsonb_populate_record(d, jsonb_build_object('id', m.new, 'request_id', 'r' || m.n, 'place', d.place - m.n, 'created_at', d.created_at - m.n * interval '1 hour',
     'started_at', d.started_at - m.n * interval '1 hour', 'finished_at', d.finished_at - m.n * interval '1 hour'))).* from weft._deployments as d join public.m on m.old = d.id`,
    ...['_artifacts', '_phases', '_attempts', '_receipts'].map(
      (table) =>
        `insert into weft.${table} select (jsonb_populate_record(t, jsonb_build_object('deployment_id', m.new))).* from weft.${table} as t join public.m on m.old = t.deployment_id`,
    ),
    `insert into weft._steps select (jsonb_populate_record(s, jsonb_build_object('deployment_id', m.new, 'state', 'skipped'))).* from weft._steps as s join public.m on m.old = s.deployment_id`,
    `insert into weft._events select (jsonb_populate_record(e, jsonb_build_object('deployment_id', m.new, 'at', e.at - m.n * interval '1 hour'))).* from weft._events as e join public.m on m.old = e.deployment_id`,
    `update weft._artifacts as a set digest = x.digest, chunks = array[x.digest]
   from (select m.new, o.path, sha256(convert_to(m.n || o.path, 'UTF8')) as digest from public.m join weft._artifacts as o on o.deployment_id = m.new and o.path like '${changed}%') as x
   where a.deployment_id = x.new and a.path = x.path`,
    `insert into weft._chunks (digest, content) select a.digest, convert_to(repeat(encode(a.digest, 'hex'), 20), 'UTF8') from weft._artifacts as a on conflict do nothing`,
    `insert into weft._sweeps (swept_at) values (clock_timestamp())`, // which is a matter of once a day
    'drop table public.m',
  ];
}
