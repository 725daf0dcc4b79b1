-- The journal of a deployment. A row here is a committed fact; progress inside an open transaction is shown by the
-- application_name of the runner (floor 80), which other sessions see at once.

create or replace function weft._tell(p_deployment uuid, p_kind text, p_phase text default null, p_path text default null, p_data jsonb default '{}')
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- planning this takes longer than running it
  language plpgsql
as $$
begin
  insert into weft._events (deployment_id, number, kind, phase, path, data)
  select d.id, e.number, p_kind, p_phase, p_path, p_data
  from weft._deployments as d
  cross join lateral (select coalesce(max(o.number), 0) + 1 as number from weft._events as o where o.deployment_id = d.id) as e
  where d.id = p_deployment
  for key share of d;  -- so that nobody deletes it before the commit
end
$$;

comment on function weft._tell(uuid, text, text, text, jsonb) is
  'Writes an event with the next number of its deployment. Call it only while holding the deployment''s turn, or its row lock.';


-- A deployment that was opened again has reported some of this at each of its ends: for files_gone the first report counts, for gone_along the last.
create or replace function weft._recall_told(
    p_deployment uuid, out baseline jsonb, out withdrawn jsonb, out drift_found jsonb, out files_gone jsonb, out gone_along jsonb, out made_anew jsonb, out reopened jsonb, out rests jsonb,
    out has_leftovers boolean)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_agg(e.data) filter (where e.kind = 'baseline') -> 0, jsonb_agg(e.data) filter (where e.kind = 'baseline_withdrawn') -> 0,
         coalesce(jsonb_agg(e.data) filter (where e.kind = 'drift_found'), '[]'),
         jsonb_agg(e.data) filter (where e.kind = 'files_gone') -> 0, jsonb_agg(e.data) filter (where e.kind = 'gone_along') -> -1,
         jsonb_agg(jsonb_build_object('path', e.path, 'kind', e.data -> 'kind', 'table', e.data -> 'table', 'runs_again', e.kind = 'went_with_table'))
           filter (where e.kind in ('table_made_anew', 'went_with_table')),
         coalesce(jsonb_agg(jsonb_build_object('at', e.at, 'caller', e.data -> 'caller')) filter (where e.kind = 'reopened'), '[]'),
         jsonb_agg(jsonb_build_object('since', e.data -> 'ended_at', 'until', e.at)) filter (where e.kind = 'reopened'),
         coalesce(bool_or(e.kind = 'leftover_out_of_reach'), false)
  from (
    select o.kind, o.at, o.path, o.data from weft._events as o
    where o.deployment_id = p_deployment
      and o.kind in ('baseline', 'baseline_withdrawn', 'drift_found', 'files_gone', 'gone_along', 'table_made_anew', 'went_with_table', 'reopened', 'leftover_out_of_reach')
    order by o.number
  ) as e
$$;

comment on function weft._recall_told(uuid) is 'Tells, from one look into a deployment''s journal, everything that its documents take from there.';
