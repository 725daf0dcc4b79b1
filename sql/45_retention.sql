-- How long Weft keeps what nobody needs any more, and how it is removed: in small transactions, by whoever has just run something, or by
-- hand. What undo, plans and unfinished deployments need is kept however old it is; receipts and the history are never swept.

create or replace function weft._list_settings()
  returns table (name text, default_value integer, value_min integer, meaning text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  values
    ('kept_artifacts_days',    90,  0, 'Bytes of files, from the end of the deployment that brought them'),
    ('kept_deployments_count', 10,  1, 'The newest deployments of each bundle, of which everything is kept'),
    ('kept_staged_hours',      24,  1, 'Bytes that were staged for a deployment that never had all of its files'),
    ('approval_hours',         168, 1, 'For which a deployment waits for the approval of a second person, with its bytes; then it is cancelled'),
    ('kept_events_days',       365, 0, 'The journal, from the end of its deployment; how that ended, who accepted drift behind it, and what weft.status() tells of it stay'),
    ('kept_requests_days',     365, 0, 'The signed bytes of requests, from the end of the deployment; their digests stay'),
    ('sweep_every_hours',      24,  0, 'After which a run sweeps at its end; 0: behind every run')
$$;

comment on function weft._list_settings() is 'Lists what can be set for a database: how long things are kept.';


create or replace function weft._setting(p_name text)
  returns integer
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce((select s.value from weft._settings as s where s.name = p_name), (select l.default_value from weft._list_settings() as l where l.name = p_name))
$$;

comment on function weft._setting(text) is 'Tells what is set for this database, or the default.';


create or replace function weft.change_setting(p_name text, p_value integer)
  returns integer
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_known  record;
begin
  select l.* into v_known from weft._list_settings() as l where l.name = p_name;
  if not found then
    raise exception 'There is no setting "%".', p_name using errcode = 'WF092',
      hint = format('There are: %s.', (select string_agg(l.name, ', ' order by l.name) from weft._list_settings() as l));
  elsif p_value < v_known.value_min then
    raise exception '% is % at least, not %.', p_name, v_known.value_min, p_value using errcode = 'WF092', hint = 'Nothing was changed.';
  end if;
  delete from weft._settings as s where s.name = p_name;
  insert into weft._settings (name, value) select p_name, p_value where p_value is not null;
  return weft._setting(p_name);
end
$$;

comment on function weft.change_setting(text, integer) is 'Sets how long something is kept in this database, as the view weft.settings lists it; null gives the default back. Returns what is set then.';


-- Whether all bytes of a file are still here.
create or replace function weft._is_kept(p_deployment uuid, p_path text, p_digest bytea)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (
    select from weft._artifacts as a
    where a.deployment_id = p_deployment and a.path = p_path and a.digest = p_digest
      -- each is looked up by its key, because there may be very many chunks
      and not exists (select from unnest(a.chunks) as u (digest) where not exists (select from weft._chunks as c where c.digest = u.digest offset 0)))
$$;

comment on function weft._is_kept(uuid, text, bytea) is 'Tells whether the bytes of a file that a deployment brought are kept.';


-- Each condition here is a reason to keep bytes.
create or replace function weft._list_needed_chunks()
  returns table (digest bytea)
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off
  set jit = off
  language sql
as $$
  with since as materialized (
    select clock_timestamp() - make_interval(hours => weft._setting('kept_staged_hours')) as staged_at,
           clock_timestamp() - make_interval(days => weft._setting('kept_artifacts_days')) as finished_at, weft._setting('kept_deployments_count') as deployments_count
  ),
  deployments as materialized (
    select d.id, d.bundle, d.state,
           d.finished_at is null and (d.state <> 'open' or d.created_at > w.staged_at or exists (
             select from weft._protections as p where p.deployment_id = d.id and p.approve_until > clock_timestamp()))
             or d.finished_at > w.finished_at
             -- one whose files never all arrived does not count among the newest
             or d.state <> 'open' and row_number() over (partition by d.bundle, d.state = 'open' order by d.created_at desc) <= w.deployments_count
             or d.id in (select t.deployment_id from weft._statements as t)  -- something of it is half-done, and may be continued
             or d.id in (select b.deployment_id from weft._batches as b join weft._steps as s on s.deployment_id = b.deployment_id and s.ordinal = b.step where s.state <> 'succeeded') as is_whole
    from weft._deployments as d cross join since as w
  ),
  replaced as materialized (  -- what an undo of the newest gives back
    select h.bundle, decode(s.replaced ->> 'digest', 'hex') as digest
    from weft._history as h
    join weft._steps as s on s.deployment_id = h.deployment_id and s.path = h.applied_path
    where s.replaced is not null
  ),
  undos as materialized (  -- files that take back what is in the history, whoever brought them
    select s.deployment_id, s.undo as path
    from weft._steps as s
    join deployments as d on d.id = s.deployment_id
    where s.undo is not null and exists (select from weft._history as h where h.bundle = d.bundle and (h.path = s.path or h.applied_path = s.path))
  )
  select distinct u.digest
  from weft._artifacts as a
  join deployments as d on d.id = a.deployment_id
  cross join unnest(a.chunks) as u (digest)
  where d.is_whole
     or (d.bundle, a.digest) in (select h.bundle, h.digest from weft._history as h)
     or (d.bundle, a.digest) in (select r.bundle, r.digest from replaced as r)
     or (a.deployment_id, a.path) in (select n.deployment_id, n.path from undos as n)
     or d.state = 'degraded' and (a.deployment_id, a.path) in (select s.deployment_id, s.path from weft._steps as s where s.state = 'failed' or s.kind = 'check')
$$;

comment on function weft._list_needed_chunks() is
  'Lists the bytes that stay: of deployments that are not over, ended lately, or are among the newest of their bundle; of files in the history; of files that an undo runs; of tolerated failures that may be tried again, with the checks after them; and of what is half-done.';


-- Nobody may rely on bytes that are just being deleted: whoever checks which bytes are here (weft.open, weft.stage) holds this lock shared until its commit.
create or replace function weft._sweep_portion(p_waits boolean)
  returns table (what text, count bigint)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_count  bigint;
begin
  if p_waits then
    perform pg_advisory_xact_lock(hashtextextended('weft: kept chunks', 0));
  elsif not pg_try_advisory_xact_lock(hashtextextended('weft: kept chunks', 0)) then
    return query select 'nothing yet'::text, 0::bigint;
    return;
  end if;
  delete from weft._chunks as c
  where c.digest in (
    select k.digest from weft._chunks as k
    where k.staged_at < (select clock_timestamp() - make_interval(hours => weft._setting('kept_staged_hours')))
      and k.digest not in (select n.digest from weft._list_needed_chunks() as n)
    limit weft._limit('sweep_chunks_count'));
  get diagnostics v_count = row_count;
  if v_count > 0 then
    return query select 'chunks'::text, v_count;
    return;
  end if;

  with ended as materialized (
    select d.id
    from (select o.id, o.finished_at, row_number() over (partition by o.bundle order by o.created_at desc) as age from weft._deployments as o where o.finished_at is not null) as d
    where d.age > (select weft._setting('kept_deployments_count')) and d.finished_at < (select clock_timestamp() - make_interval(days => weft._setting('kept_events_days')))
  ),
  portion as materialized (
    select e.deployment_id, e.number
    from ended as d
    join weft._events as e on e.deployment_id = d.id
    where e.kind not in ('opened', 'waits_for_approval', 'approved', 'reopened', 'succeeded', 'degraded', 'failed', 'cancelled', 'drift_found', 'drift_accepted', 'catalog_not_read', 'catalog_read_late', 'order_found', 'baseline', 'baseline_withdrawn', 'forgotten', 'as_before', 'not_as_before', 'not_compared', 'leftover', 'leftover_out_of_reach')
      and exists (select from weft._events as o where o.deployment_id = e.deployment_id and o.number > e.number)
    limit weft._limit('sweep_events_count')
  )
  delete from weft._events as e using portion as p where e.deployment_id = p.deployment_id and e.number = p.number;
  get diagnostics v_count = row_count;
  if v_count > 0 then
    return query select 'events'::text, v_count;
    return;
  end if;

  update weft._deployments as d
  set request = ''
  where d.id in (
    select o.id
    from (select u.id, u.finished_at, length(u.request) as size, row_number() over (partition by u.bundle order by u.created_at desc) as age from weft._deployments as u) as o
    where o.size > 0 and o.age > (select weft._setting('kept_deployments_count')) and o.finished_at < (select clock_timestamp() - make_interval(days => weft._setting('kept_requests_days')))
    limit weft._limit('sweep_requests_count'));
  get diagnostics v_count = row_count;
  if v_count > 0 then
    return query select 'requests'::text, v_count;
  end if;
end
$$;

comment on function weft._sweep_portion(boolean) is 'Deletes one portion of what does not have to be kept, and tells what and how much; returns no row when nothing is left. While others check which bytes are here, it waits or gives up, as p_waits says.';


create or replace procedure weft.sweep(inout result jsonb default null)
  language plpgsql
as $$
declare
  v_one  pg_catalog.record;
begin
  result := '{"chunks": 0, "events": 0, "requests": 0}';
  loop
    select p.what, p.count into v_one from weft._sweep_portion(true) as p;
    exit when v_one.what is null;
    result := pg_catalog.jsonb_set(result, array[v_one.what], pg_catalog.to_jsonb((result operator(pg_catalog.->>) v_one.what)::pg_catalog.int8 operator(pg_catalog.+) v_one.count));
    commit;
  end loop;
  perform weft._note_sweep();
end
$$;

comment on procedure weft.sweep(jsonb) is 'Deletes what does not have to be kept any more, as weft.settings says, and tells how much that was. Send it alone, in autocommit: it commits each portion.';


create or replace function weft._note_sweep()
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  insert into weft._sweeps (is_the_one, swept_at) values (true, clock_timestamp()) on conflict (is_the_one) do update set swept_at = excluded.swept_at
$$;

comment on function weft._note_sweep() is 'Remembers when everything was swept last.';


create or replace function weft._is_sweep_due()
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce((select s.swept_at from weft._sweeps as s), (select d.created_at from weft._deployments as d order by d.created_at limit 1)) < clock_timestamp() - make_interval(hours => weft._setting('sweep_every_hours'))
    and not exists (select from weft._deployments as d where d.state in ('staged', 'running'))  -- whoever waits comes first
$$;

comment on function weft._is_sweep_due() is 'Tells whether the last sweep is long enough ago, and nobody waits for a run.';


-- Called after a run, when its deployment is over and committed. If this fails, the run does not.
create or replace function weft._sweep_behind_run(p_started_at timestamptz)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '100ms'
  language plpgsql
as $$
declare
  v_what  text;
begin
  if not weft._is_sweep_due() or clock_timestamp() > p_started_at + make_interval(secs => weft._limit('sweep_behind_run_ms') / 1000.0) then
    return false;
  end if;
  select p.what into v_what from weft._sweep_portion(false) as p;
  if v_what is null then
    perform weft._note_sweep();
  end if;
  return v_what <> 'nothing yet';
exception when others or query_canceled or assert_failure then
  return false;
end
$$;

comment on function weft._sweep_behind_run(timestamptz) is 'Deletes a portion of what does not have to be kept, if that is due, nobody waits for a run, and there is time left for it; tells whether there may be more.';


-- No sweep deletes a deployment; people may do so by hand. Foreign keys then clean up the tables with few rows, and this trigger those with a row for each file.
create or replace function weft._delete_along()
  returns trigger
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if exists (select from weft._history as h where old.id in (h.deployment_id, h.bytes_in)) then
    raise exception 'Deployment % has applied files, or brought their bytes: the history names it.', old.id
      using errcode = 'foreign_key_violation', hint = 'Nothing was deleted. weft.history shows which files these are.';
  end if;
  delete from weft._events as e where e.deployment_id = old.id;
  delete from weft._steps as s where s.deployment_id = old.id;
  delete from weft._artifacts as a where a.deployment_id = old.id;
  return old;
end
$$;

comment on function weft._delete_along() is 'Deletes the rows of a deployment''s files together with it, and refuses that as long as the history names it.';

create or replace trigger deployments_take_along_what_is_theirs before delete on weft._deployments
  for each row execute function weft._delete_along();

comment on trigger deployments_take_along_what_is_theirs on weft._deployments is 'Leaves no rows behind without their deployment.';
