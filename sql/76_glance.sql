-- What clients ask twice a second while they wait for a deployment. The whole document describes every step; the transaction that wrote
-- its rows last tells whether the document would still be the same.

create or replace function weft.glance(p_deployment uuid)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off
  language plpgsql
as $$
declare
  v_live  constant jsonb := weft._describe_live(p_deployment);  -- read before the mark, as in weft.status()
begin
  return (select weft._as_utf8(json_build_object(
      'id', d.id,
      'state', d.state,
      'ahead', weft._list_ahead(d),
      'live', case when d.finished_at is null then v_live end,
      'event', e.newest,
      'mark', concat_ws('/', d.xmin, e.newest,
        (select max(p.xmin::text::bigint) from weft._phases as p where p.deployment_id = d.id),
        (select max(s.xmin::text::bigint) from weft._steps as s where s.deployment_id = d.id),
        (select max(b.xmin::text::bigint) from weft._batches as b where b.deployment_id = d.id),
        (select max(t.xmin::text::bigint) from weft._statements as t where t.deployment_id = d.id),
        (select c.requested_at from weft._cancellations as c where c.deployment_id = d.id)))::text)::jsonb
    from weft._deployments as d
    cross join lateral (select coalesce(max(o.number), 0) as newest from weft._events as o where o.deployment_id = d.id) as e
    where d.id = p_deployment);
end
$$;

comment on function weft.glance(uuid) is
  'Shows what changes in a deployment while it runs: its state, those ahead of it, who is working on what, the number of its newest event, and a mark. While the mark stays the same, the deployment has committed nothing, and the rest of weft.status() is the same.';
