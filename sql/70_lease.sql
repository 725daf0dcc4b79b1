-- Which CALL runs now. A live runner is the only lock: the lease names a CALL by pid, backend start and query start, and it
-- lives exactly while pg_stat_activity shows that backend active with that query. What cannot be seen is unknown, never dead.
--
-- What each CALL asks for is read from pg_stat_get_activity, the function under that view: the same rows, without the names that the view looks up.

-- Looks at a holder. Call it with the lease row locked, after RESET ROLE: pg_stat_activity is frozen per transaction, so the
-- frozen picture is discarded here, after the lock.
create or replace function weft._look_at_holder(p_lease weft._lease)
  returns text
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_activity  record;
begin
  if p_lease.pid is null then
    return 'nobody';
  end if;
  perform pg_stat_clear_snapshot();
  select a.backend_start, a.query_start, a.state, a.state_change, a.usesysid, a.wait_event into v_activity from pg_stat_activity as a where a.pid = p_lease.pid;
  return case
    when not found then 'gone'
    -- sessions of other roles show only pid and role. The pid may belong to somebody else by now, even to a process of the server: after a
    -- restart, or when the system has reused it. But no session is older than its server, every session has a role, and the role with which
    -- it logged in never changes
    when v_activity.backend_start is null and (
      v_activity.usesysid is null or v_activity.usesysid <> p_lease.role_id or p_lease.backend_start < pg_postmaster_start_time()) then 'gone'
    when v_activity.backend_start is null then 'unknown'
    when v_activity.backend_start <> p_lease.backend_start then 'gone'
    when p_lease.directive_at is not null then case
      when p_lease.pid = pg_backend_pid() then 'nobody'  -- this is the CALL after the statement
      -- if the Sync after a statement is lost, its backend stays "active" for ever, waiting for the client
      when v_activity.state = 'active' and v_activity.wait_event is distinct from 'ClientRead' then 'alive'
      when greatest(v_activity.state_change, p_lease.directive_at) > clock_timestamp() - make_interval(secs => weft._limit('directive_silence_seconds')) then 'alive'
      else 'silent'
    end
    when v_activity.query_start = p_lease.query_start and v_activity.state = 'active' then 'alive'
    else 'gone'
  end;
end
$$;

comment on function weft._look_at_holder(weft._lease) is
  'Tells what became of the CALL that holds the lease: nobody, alive, gone, silent when it was handed a statement and its client does nothing, or unknown when its backend belongs to a role we may not look at.';


-- Takes the lease, or says who has it. Raises the fence, so that whoever held it before can no longer commit anything.
create or replace function weft._take_lease(p_deployment uuid, out fence bigint, out holder text)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_lease  weft._lease;
begin
  select l.* into v_lease from weft._lease as l for update;
  if not found then  -- a dump of the schema alone has no rows, but the engine needs this one
    insert into weft._lease (numbered_as) values ('weft._lease'::regclass) on conflict do nothing;
    select l.* into strict v_lease from weft._lease as l for update;
  end if;
  if v_lease.pid is not null then
    holder := weft._look_at_holder(v_lease);
    if holder = 'silent' then  -- the fence is raised only once the holder is seen to be gone
      begin
        perform pg_terminate_backend(v_lease.pid, 5000);
        holder := weft._look_at_holder(v_lease);
      exception when insufficient_privilege then
        null;  -- a session that we may see, but not end
      end;
    end if;
    if holder in ('alive', 'silent', 'unknown') then
      return;
    end if;
  end if;
  update weft._lease as l
  set fence = l.fence + 1,
      deployment_id = p_deployment,
      pid = pg_backend_pid(),
      backend_start = a.backend_start,
      query_start = statement_timestamp(),
      role_id = a.usesysid,
      taken_at = clock_timestamp(),
      directive_at = null
  from pg_stat_get_activity(pg_backend_pid()) as a
  returning l.fence, 'us' into strict fence, holder;
end
$$;

comment on function weft._take_lease(uuid) is 'Takes the lease for this CALL and returns its fence; the fence is null when somebody else holds it.';


-- While a statement is handed out, the lease names the backend that runs it, and no CALL.
create or replace function weft._lend_lease(p_fence bigint)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  update weft._lease as l set directive_at = clock_timestamp() where l.fence = p_fence;
end
$$;

comment on function weft._lend_lease(bigint) is 'Keeps the lease for this backend beyond the CALL, for a statement at top level.';


create or replace function weft._is_continuing()
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (
    select from weft._lease as l
    where l.pid = pg_backend_pid() and l.directive_at is not null and l.backend_start = (select a.backend_start from pg_stat_get_activity(pg_backend_pid()) as a))
$$;

comment on function weft._is_continuing() is 'Tells whether this backend was handed a statement by the CALL before this one.';


-- Every transaction of a runner begins with this. The short ones keep the row until their commit, and a block of steps takes it
-- as its last act: the share lock makes a rival who is just taking the lease wait for our commit, or makes us see that he has it.
create or replace function weft._check_fence(p_fence bigint, p_until_commit boolean default false)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- planning this takes longer than running it
  language plpgsql
as $$
begin
  if p_until_commit then
    perform from weft._lease as l where l.fence = p_fence for share;
  else
    perform from weft._lease as l where l.fence = p_fence;
  end if;
  if not found then
    raise exception 'Another runner has taken the lease: this one may change nothing any more.'
      using errcode = 'WF012', hint = 'Nothing of this transaction is in the database. The other runner goes on from where the last commit left off.';
  end if;
end
$$;

comment on function weft._check_fence(bigint, boolean) is 'Ends a runner whose lease was taken over.';


create or replace function weft._release_lease(p_fence bigint)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  update weft._lease as l
  set deployment_id = null, pid = null, backend_start = null, query_start = null, role_id = null, taken_at = null, directive_at = null
  where l.fence = p_fence;
end
$$;

comment on function weft._release_lease(bigint) is 'Gives the lease back at the end of a CALL. A CALL that dies gives it back by dying.';


-- Which database this is. Elsewhere, a copy of its rows gets a different answer.
create or replace function weft._origin(p_target text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_system  text;
begin
  begin
    select c.system_identifier::text into v_system from pg_control_system() as c;
  exception when insufficient_privilege then
    v_system := null;
  end;
  return jsonb_build_object(
    'target', p_target,
    'system', v_system,
    'database', (select d.oid::bigint from pg_database as d where d.datname = current_database()),
    'timeline', current_setting('neon.timeline_id', true));
end
$$;

comment on function weft._origin(text) is 'Names this database: the target as the driver calls it, system identifier, database, and Neon''s timeline if there is one.';


create or replace function weft._is_here(p_origin jsonb, p_target text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- what only one side knows does not count; what both know must be equal
  select jsonb_strip_nulls(p_origin) || h.known = h.known || jsonb_strip_nulls(p_origin)
  from (select jsonb_strip_nulls(weft._origin(p_target)) as known offset 0) as h
$$;

comment on function weft._is_here(jsonb, text) is 'Tells whether a row was written in this very database, not in the one it was copied from.';
