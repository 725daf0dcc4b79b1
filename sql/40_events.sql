-- The journal of a deployment. A row here is a committed fact; progress inside an open transaction is shown by the
-- application_name of the runner (floor 80), which other sessions see at once.

create or replace function weft._tell(p_deployment uuid, p_kind text, p_phase text default null, p_path text default null, p_data jsonb default '{}')
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- to plan this takes longer than to do it
  language plpgsql
as $$
begin
  insert into weft._events (deployment_id, number, kind, phase, path, data)
  select p_deployment, coalesce(max(e.number), 0) + 1, p_kind, p_phase, p_path, p_data
  from weft._events as e
  where e.deployment_id = p_deployment;
end
$$;

comment on function weft._tell(uuid, text, text, text, jsonb) is
  'Writes an event with the next number of its deployment. Call it only while holding the deployment''s turn, or its row lock.';
