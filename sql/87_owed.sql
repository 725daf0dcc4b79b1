-- What is owed to forges: recorded with the deployment, taken by whoever comes next when it is over, and removed when it was reported.

create or replace function weft._owe(p_deployment uuid, p_owed jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  insert into weft._owed (deployment_id, key, errand, proof, held_until)
  values (p_deployment, p_owed ->> 'key', p_owed ->> 'errand', p_owed ->> 'proof', clock_timestamp() + make_interval(secs => (p_owed ->> 'seconds')::integer))
  on conflict (deployment_id, key) do update set errand = excluded.errand, proof = excluded.proof, held_until = excluded.held_until
$$;

comment on function weft._owe(uuid, jsonb) is 'Stores that a forge must be told how a deployment ends, and that whoever opens it has a number of seconds to do that.';


-- Two simultaneous callers take different ones. If one takes some and dies, others can take them when those seconds are over.
create or replace function weft.take_owed(p_seconds integer, p_count integer, p_deployment uuid default null, p_key text default null)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_taken  jsonb;
begin
  perform weft._end_unapproved();  -- because nothing runs for a deployment that waits for an approval
  with due as materialized (
    select o.deployment_id, o.key
    from weft._owed as o
    join weft._deployments as d on d.id = o.deployment_id
    where d.finished_at is not null and o.held_until <= clock_timestamp()
      and (p_deployment is null or o.deployment_id = p_deployment and o.key = p_key)
    order by o.held_until, o.owed_since
    limit p_count
    for no key update of o skip locked
  ),
  taken as (
    update weft._owed as o
    set held_until = clock_timestamp() + make_interval(secs => p_seconds), tries = o.tries + 1
    from due as u
    where o.deployment_id = u.deployment_id and o.key = u.key
    returning o.*
  )
  select coalesce(jsonb_agg(to_jsonb(t) - '{owed_since,held_until}'::text[] order by t.owed_since), '[]') into v_taken from taken as t;
  return jsonb_build_object(
    'taken', (select coalesce(jsonb_agg(t.value || jsonb_build_object('deployment', weft.status((t.value ->> 'deployment_id')::uuid)) order by t.ordinality), '[]')
              from jsonb_array_elements(v_taken) with ordinality as t),
    'is_owed', exists (select from weft._owed as o where o.deployment_id = p_deployment and o.key = p_key));
end
$$;

comment on function weft.take_owed(integer, integer, uuid, text) is
  'Takes, for some seconds, reports that forges are owed about deployments that are over: those that have been due the longest, so that each gets its turn, or the one of a deployment and key. Returns each with its deployment, and whether the one that was named is owed at all.';


create or replace function weft.settle_owed(p_settled jsonb)
  returns integer
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with settled as materialized (
    select s.* from jsonb_to_recordset(p_settled) as s (deployment uuid, key text, errand text, proof text, seconds integer)
  ),
  told as (
    delete from weft._owed as o using settled as s where o.deployment_id = s.deployment and o.key = s.key and s.errand is null
  ),
  left_owed as (
    update weft._owed as o
    set errand = s.errand, proof = s.proof, held_until = clock_timestamp() + make_interval(secs => s.seconds)
    from settled as s
    where o.deployment_id = s.deployment and o.key = s.key and s.errand is not null
  )
  select count(*)::integer from weft._owed as o join settled as s on o.deployment_id = s.deployment and o.key = s.key where s.errand is null
$$;

comment on function weft.settle_owed(jsonb) is
  'Removes reports that were made, and keeps the others for later, updated with what is known by now. Takes an array of objects with deployment, key, and, if still owed, errand, proof, and the seconds before the next try. Returns how many were made.';
