-- What a deployment looks like from outside, while it runs and afterwards: one document, the same for people, programs and HTTP.

-- What the server counts depends on the phase of the build: sessions to wait for, blocks of the table, entries of the index.
create or replace function weft._describe_build(p_pid integer)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'command', b.command, 'table', b.relid::regclass, 'phase', b.phase,
    'done', case u.unit when 'sessions' then b.lockers_done when 'blocks' then b.blocks_done when 'tuples' then b.tuples_done end,
    'total', case u.unit when 'sessions' then b.lockers_total when 'blocks' then b.blocks_total when 'tuples' then b.tuples_total end,
    'unit', u.unit)
  from pg_stat_progress_create_index as b
  cross join lateral (
    select case when b.phase like 'waiting for %' then 'sessions' when b.blocks_total > 0 then 'blocks' when b.tuples_total > 0 then 'tuples' end as unit
  ) as u
  where b.pid = p_pid and b.datname = current_database()
$$;

comment on function weft._describe_build(integer) is 'Shows how far a backend is with the index that it builds, as the server counts it; null when it builds none.';


-- Whoever waits between two looks holds nothing that pg_stat_activity could show: the journal's last word tells for whom.
create or replace function weft._describe_others(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object('waiting_for', format('others at work on %s', e.data ->> 'table'), 'blocked_by', e.data -> 'pids')
  from (select o.kind, o.data from weft._events as o where o.deployment_id = p_deployment order by o.number desc limit 1) as e
  where e.kind = 'waiting_for_others'
$$;

comment on function weft._describe_others(uuid) is 'Shows for whom a runner waits that looks again and again; null when it does not.';


create or replace function weft._describe_live(p_deployment uuid)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_lease  weft._lease;
  v_live   jsonb;
begin
  select l.* into v_lease from weft._lease as l where l.deployment_id = p_deployment;
  if not found or weft._look_at_holder(v_lease) <> 'alive' then
    return null;
  end if;
  select jsonb_build_object(
           'pid', a.pid, 'since', v_lease.taken_at,
           'phase', s.phase, 'step', s.step, 'steps', s.steps,
           'path', (select t.path from weft._steps as t where t.deployment_id = p_deployment and t.ordinal = s.step),
           'waiting_for', case when a.wait_event_type = 'Lock' then concat(a.wait_event_type, ': ', a.wait_event) end,
           'blocked_by', case when a.wait_event_type = 'Lock' then to_jsonb(pg_blocking_pids(a.pid)) else '[]' end,
           'build', weft._describe_build(a.pid))
  into v_live
  from pg_stat_activity as a
  left join lateral (
    select (m[1])::integer as step, (m[2])::integer as steps, m[3] as phase
    from regexp_match(a.application_name, '^weft (\d+)/(\d+) (.*)$') as m
    where m is not null
  ) as s on true
  where a.pid = v_lease.pid;
  if v_live ->> 'waiting_for' is null then
    v_live := v_live || coalesce(weft._describe_others(p_deployment), '{}');
  end if;
  return v_live;
end
$$;

comment on function weft._describe_live(uuid) is 'Shows what the runner of a deployment is at, as pg_stat_activity sees it from outside.';


-- A statement that ran in no transaction has failed, or was ended, and what it left is being taken away: why, and by what.
create or replace function weft._describe_cleaning(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'path', s.path, 'line', l.line,
    'sent', (
      select e.data ->> 'sent' from weft._events as e
      where e.deployment_id = p_deployment and e.kind = 'remains_being_dropped' and e.path = s.path and (e.data ->> 'statement')::integer = t.number
      order by e.number desc limit 1),
    'error', t.error || jsonb_build_object('path', s.path, 'line', l.line))
  from weft._statements as t
  join weft._steps as s on s.deployment_id = t.deployment_id and s.ordinal = t.step
  cross join lateral weft._first_line(t.statement, t.line) as l (line)
  where t.deployment_id = p_deployment and t.state = 'cleaning'
  limit 1
$$;

comment on function weft._describe_cleaning(uuid) is 'Shows what is being taken away of a statement, and the error because of which that is so; null when nothing is.';


create or replace function weft.status(p_deployment uuid)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics, and nested loops over steps are quadratic
  set jit = off
  language sql
as $$
  select jsonb_build_object(
    'id', d.id,
    'state', d.state,
    'target', nullif(d.target, ''),
    'bundle', d.bundle,
    'caller', d.caller,
    'request_id', d.request_id,
    'created_at', d.created_at,
    'staged_at', d.staged_at,
    'started_at', d.started_at,
    'finished_at', d.finished_at,
    'phases', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'name', p.name, 'transaction', p.transaction, 'state', p.state, 'attempts', p.attempts,
        'started_at', p.started_at, 'finished_at', p.finished_at,
        'steps', coalesce(g.steps, '[]')) order by p.ordinal), '[]')
      from weft._phases as p
      left join (
        select s.phase, jsonb_agg(jsonb_build_object(
                 'path', s.path, 'kind', s.kind, 'state', s.state, 'digest', encode(a.digest, 'hex'), 'size', a.size,
                 'milliseconds', s.milliseconds, 'rows', s.rows, 'statements', s.statements, 'error', s.error) order by s.ordinal) as steps
        from weft._steps as s
        join weft._artifacts as a on a.deployment_id = s.deployment_id and a.path = s.path
        where s.deployment_id = p_deployment
        group by s.phase
      ) as g on g.phase = p.ordinal
      where p.deployment_id = p_deployment),
    'error', d.error,
    'fingerprint', jsonb_build_object('before', d.fingerprint_before, 'after', d.fingerprint_after),
    'wal', jsonb_build_object('before', d.wal_before, 'after', d.wal_after),
    'ahead', (
      select coalesce(jsonb_agg(o.id order by (o.state = 'running') desc, o.place), '[]') from weft._deployments as o
      where d.finished_at is null and o.id <> d.id
        and (o.state = 'running' and d.state <> 'running' or o.state in ('staged', 'running') and o.place < d.place)),
    'live', case when d.finished_at is null then weft._describe_live(d.id) end,
    'cancelling', exists (select from weft._cancellations as c where c.deployment_id = d.id) and d.finished_at is null,
    'cleaning', case when d.finished_at is null then weft._describe_cleaning(d.id) end,
    'engine_version', d.engine_version,
    'server_version', d.server_version)
  from weft._deployments as d
  where d.id = p_deployment
$$;

comment on function weft.status(uuid) is 'Shows a deployment as one document: state, phases, steps, errors, fingerprints, and what is going on right now.';
