-- What the history takes over without running anything: files that were renamed, and new bytes with the same content. The journal says
-- so.

create or replace function weft._keep_row(p_row weft._history)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select to_jsonb(p_row) || jsonb_build_object('digest', encode(p_row.digest, 'hex'))
$$;

comment on function weft._keep_row(weft._history) is 'Writes a row of the history in the form in which the step that replaced it keeps it, so that it can be restored.';


-- Stores the present rows of the history in the files' own steps, so that they can be restored if nothing is committed in the end.
create or replace function weft._keep_followed(p_deployment weft._deployments, p_findings weft._finding[])
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- such a plan looks expensive enough to be compiled
  language sql
as $$
  update weft._steps as s set replaced = weft._keep_row(h)
  from (select distinct on (o.path) o.path, case o.verdict when 'renamed' then o.data -> 'from' ->> 0 else o.path end as was
    from unnest(p_findings) as o where o.verdict in ('unchanged', 'renamed', 'reworded') order by o.path, o.verdict <> 'renamed') as f
  join weft._history as h on h.bundle = p_deployment.bundle and h.path = f.was
  where s.deployment_id = p_deployment.id and s.path = f.path and s.kind <> 'check' and s.replaced is null
$$;

comment on function weft._keep_followed(weft._deployments, weft._finding[]) is 'Stores the history''s rows of files that it is about to follow.';


-- Rows that another deployment has changed since then stay as they are.
create or replace function weft._unfollow(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- such a plan looks expensive enough to be compiled
  language sql
as $$
  update weft._history as h
  set path = k.replaced ->> 'path', digest = decode(k.replaced ->> 'digest', 'hex'), bytes_in = (k.replaced ->> 'bytes_in')::uuid,
      words = nullif(k.replaced -> 'words', 'null'), table_name = k.replaced ->> 'table_name'
  from (
    select d.bundle, s.path, s.replaced
    from weft._deployments as d
    cross join lateral (select o.path, o.replaced from weft._steps as o where o.deployment_id = d.id and o.replaced is not null and o.kind <> 'check' offset 0) as s
    where d.id = p_deployment and d.undoes is null and d.mode = 'apply' and weft._is_kept((s.replaced ->> 'bytes_in')::uuid, s.replaced ->> 'path', decode(s.replaced ->> 'digest', 'hex'))
      and (s.replaced ->> 'path' = s.path or not exists (select from weft._history as o where o.bundle = d.bundle and o.path = s.replaced ->> 'path'))
  ) as k
  where h.bundle = k.bundle and h.path = k.path and h.deployment_id = (k.replaced ->> 'deployment_id')::uuid and h.bytes_in in (p_deployment, (k.replaced ->> 'bytes_in')::uuid)
$$;

comment on function weft._unfollow(uuid) is 'Restores the rows that the history had before it followed the files of a deployment.';


-- All at once: if a folder was moved, every file has a new path, and searching all steps for each would be quadratic.
create or replace function weft._follow_findings(p_deployment weft._deployments, p_findings weft._finding[])
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- such a plan looks expensive enough to be compiled
  language plpgsql
as $$
declare
  v_finding  record;
begin
  if p_deployment.mode <> 'rehearse' then
    perform weft._keep_followed(p_deployment, p_findings);
    update weft._history as h
    set path = f.path, digest = decode(f.data ->> 'digest', 'hex'), bytes_in = p_deployment.id
    from unnest(p_findings) as f
    where f.verdict in ('unchanged', 'renamed') and h.bundle = p_deployment.bundle and h.path = case f.verdict when 'renamed' then f.data -> 'from' ->> 0 else f.path end;
  end if;
  update weft._steps as s set result = coalesce(s.result, '{}') || jsonb_build_object('history', coalesce(s.result -> 'history', '{}') || n.history)
  from (
    select f.path, jsonb_object_agg(
        case f.verdict when 'renamed' then 'renamed_from' when 'unchanged' then 'content' when 'superseded' then 'superseded_by' else 'out_of_order' end,
        case f.verdict when 'renamed' then f.data -> 'from' -> 0 when 'unchanged' then '"unchanged"' when 'superseded' then f.data -> 'by' else f.data -> 'behind' end) as history
    from unnest(p_findings) as f where f.verdict <> 'reworded' group by f.path
  ) as n
  where s.deployment_id = p_deployment.id and s.path = n.path;
  for v_finding in
    select f.ordinal, f.path, f.verdict, f.data, p.name as phase
    from unnest(p_findings) with ordinality as f (ordinal, path, verdict, data, place)
    left join (select s.path, min(s.phase) as phase from weft._steps as s where s.deployment_id = p_deployment.id group by s.path) as s on s.path = f.path
    left join weft._phases as p on p.deployment_id = p_deployment.id and p.ordinal = s.phase
    order by f.place
  loop
    if v_finding.verdict = 'reworded' then
      perform weft._follow_words(p_deployment, row(v_finding.ordinal, v_finding.path, v_finding.verdict, v_finding.data)::weft._finding);
    else
      perform weft._tell(p_deployment.id, case v_finding.verdict when 'unchanged' then 'content_unchanged' when 'late' then 'out_of_order' else v_finding.verdict end, v_finding.phase, v_finding.path,
        case v_finding.verdict when 'renamed' then jsonb_build_object('from', v_finding.data -> 'from' -> 0) else v_finding.data end);
    end if;
  end loop;
end
$$;

comment on function weft._follow_findings(weft._deployments, weft._finding[]) is 'Lets the history follow files that were renamed, or changed only in comments and white space, and reports files that run out of order.';
