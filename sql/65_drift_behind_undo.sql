-- How the catalog after an undo compares with what it was, and the document of what a deployment has changed.

-- An undo should leave what the deployment had met. Changes that others made after that deployment ended, or before it was opened again, do not
-- count.
create or replace function weft._compare_undo(p_undo weft._deployments, p_limit integer, out verdict text, out reason text, out count bigint, out objects jsonb)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_undone  weft._deployments;
  v_was     text;
  v_is      text := (select s.catalog from weft._snapshots as s where s.fingerprint = p_undo.fingerprint_after);
  v_left    text;
  v_met     text;
  v_theirs  jsonb;
begin
  select d.* into strict v_undone from weft._deployments as d where d.id = p_undo.undoes;
  select s.catalog into v_was from weft._snapshots as s where s.fingerprint = v_undone.fingerprint_before;
  select s.catalog into v_left from weft._snapshots as s where s.fingerprint = v_undone.fingerprint_after;
  select s.catalog into v_met from weft._snapshots as s where s.fingerprint = p_undo.fingerprint_before;
  if p_undo.fingerprint_after is distinct from v_undone.fingerprint_before then
    reason := case
      when v_undone.fingerprint_before is null then 'The catalog could not be read when the deployment began that was undone.'
      when not weft._are_comparable(v_undone.fingerprint_before, p_undo.fingerprint_after) then 'The deployment began on another major version of PostgreSQL.'
      when v_was is null or v_is is null then 'What the catalog was before the deployment is not kept any more (deployments_with_snapshots_count).' end;
  end if;
  v_was := (select u.settled from weft._settle_unwatched(v_was, v_is) as u);
  v_theirs := (
    select jsonb_agg(jsonb_build_object('kind', o.value -> 'kind', 'identity', o.value -> 'identity'))
    from jsonb_array_elements(weft._recall_drift(v_undone.id)) as f cross join jsonb_array_elements(f.value -> 'objects') as o
    where (f.value ->> 'reopened')::boolean);
  select count(*), coalesce(
    jsonb_agg(jsonb_build_object(
      'change', case o.change when 'removed' then 'missing' else o.change end, 'kind', o.kind, 'identity', o.identity, 'before', o.before, 'after', o.after)
      || case when o.change = 'added' then jsonb_strip_nulls(jsonb_build_object('drop', weft._name_drop(o.kind, o.identity))) else '{}' end order by o.number) filter (where o.number <= p_limit), '[]')
  into count, objects
  from (
    select c.*, row_number() over (order by c.ordinality) as number
    from weft._compare_catalogs(v_was, v_is) with ordinality as c
    where reason is null and p_undo.fingerprint_after is distinct from v_undone.fingerprint_before
      and (v_undone.fingerprint_after is not distinct from p_undo.fingerprint_before or v_left is null or v_met is null
        or not exists (select from weft._compare_catalogs(v_left, v_met) as m where m.kind = c.kind and m.identity = c.identity))
      and (v_theirs is null or not v_theirs @> jsonb_build_array(jsonb_build_object('kind', c.kind, 'identity', c.identity)))
  ) as o;
  verdict := case when reason is not null then 'unknown' when count = 0 then 'same' else 'differs' end;
end
$$;

comment on function weft._compare_undo(weft._deployments, integer) is 'Compares what an undo has left with the catalog before the deployment that it took back: how many objects differ, and up to p_limit of them with both definitions.';


create or replace function weft._compare_with_before(p_undo weft._deployments)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._tell(p_undo.id, case c.verdict when 'unknown' then 'not_compared' when 'same' then 'as_before' else 'not_as_before' end, p_data => jsonb_strip_nulls(jsonb_build_object(
    'verdict', c.verdict, 'reason', c.reason, 'count', c.count, 'objects', weft._by_name_alone(c.objects))))
  from weft._compare_undo(p_undo, weft._limit('drift_told_count_max')) as c
  where p_undo.mode = 'apply' and p_undo.state = 'succeeded'
$$;

comment on function weft._compare_with_before(weft._deployments) is 'Writes into the journal of an undo that has succeeded how the catalog differs from what it was before the deployment that it took back.';


create or replace function weft._recall_compared(p_undo uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select e.data from weft._events as e where e.deployment_id = p_undo and e.kind in ('as_before', 'not_as_before', 'not_compared') order by e.number desc limit 1
$$;

comment on function weft._recall_compared(uuid) is 'Tells by name how the catalog after an undo compared with what it was before the deployment that was undone; null unless this is an undo that has succeeded.';


-- With both definitions as long as the catalogs are kept; by name as long as the journal is.
create or replace function weft._describe_compared(p_deployment weft._deployments)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_told  jsonb := case when p_deployment.undoes is not null then weft._recall_compared(p_deployment.id) end;
  v_list  record;
begin
  if v_told ->> 'verdict' = 'differs' then
    select * into v_list from weft._compare_undo(p_deployment, weft._limit('differences_listed_count_max'));
    if v_list.verdict = 'differs' and v_list.count = (v_told ->> 'count')::bigint then  -- otherwise, not all of the four catalogs are still kept
      v_told := v_told || jsonb_build_object('objects', v_list.objects);
    end if;
  end if;
  return v_told;
end
$$;

comment on function weft._describe_compared(weft._deployments) is 'Shows how the catalog after an undo compared with what it was before the deployment that was undone, with both definitions.';


create or replace function weft.describe_changes(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_look  record;
  v_list  record;
begin
  select * into v_look from weft._look_for_changes(p_deployment);
  if v_look.verdict = 'changed' then
    select * into v_list from weft._list_differences(v_look.before, v_look.after, weft._limit('differences_listed_count_max'));
  else
    select 0::bigint as count, '[]'::jsonb as objects into v_list;
  end if;
  return jsonb_build_object(
    'deployment', p_deployment, 'verdict', v_look.verdict, 'reason', v_look.reason,
    'drift_found', weft._describe_drift_found(p_deployment),
    'compared', weft._describe_compared(v_look.deployment),
    'fingerprint', jsonb_build_object('before', (v_look.deployment).fingerprint_before, 'after', (v_look.deployment).fingerprint_after),
    'count', v_list.count, 'objects', v_list.objects);
end
$$;

comment on function weft.describe_changes(uuid) is 'Shows as one document what a deployment has changed in the catalog.';
