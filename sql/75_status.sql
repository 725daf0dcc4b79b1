-- What a deployment looks like from outside, while it runs and afterwards: one document, the same for people, programs and HTTP.

-- What the server counts depends on the phase of the build: sessions to wait for, table blocks, index entries.
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

comment on function weft._describe_build(integer) is 'Shows how far a backend is with the index that it builds, as the server counts it; null if it builds none.';


-- A runner that waits between two looks holds nothing that pg_stat_activity could show; the last event tells for whom it waits.
create or replace function weft._describe_others(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object('waiting_for', format('others at work on %s', e.data ->> 'table'), 'blocked_by', e.data -> 'pids',
    'blockers', weft._describe_sessions(array(select p.pid::integer from jsonb_array_elements_text(e.data -> 'pids') as p (pid))))
  from (select o.kind, o.data from weft._events as o where o.deployment_id = p_deployment order by o.number desc limit 1) as e
  where e.kind = 'waiting_for_others'
$$;

comment on function weft._describe_others(uuid) is 'Shows for whom a runner waits that looks again and again; null if it does not wait.';


create or replace function weft._describe_handed_out(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'path', s.path, 'number', t.number, 'line', weft._first_line(t.statement, t.line),
    'statement', left(weft._skip_comments(t.statement), weft._limit('statement_shown_characters')))
  from weft._statements as t
  join weft._steps as s on s.deployment_id = t.deployment_id and s.ordinal = t.step
  where t.deployment_id = p_deployment and t.state in ('sent', 'cleaning')
  limit 1
$$;

comment on function weft._describe_handed_out(uuid) is
  'Shows the statement that a session was handed to be run at top level: without its client, the server finishes this one, and runs nothing after it.';


-- A block that did not get its locks, or a statement that was handed out, is tried again up to a limit.
create or replace function weft._count_attempt(p_deployment uuid, p_is_handed_out boolean)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when p_is_handed_out then (
      select jsonb_build_object('number', greatest(t.tries, 1), 'of', weft._limit('directive_attempts_count'))
      from weft._statements as t
      where t.deployment_id = p_deployment and t.state in ('sent', 'cleaning')
      limit 1)
    else jsonb_build_object('of', weft._limit('lock_attempts_count'), 'number', 1 + (
      select count(*)
      from weft._events as e
      where e.deployment_id = p_deployment and e.kind = 'lock_not_available'
        and e.number > (select coalesce(max(o.number), 0) from weft._events as o where o.deployment_id = p_deployment and o.kind <> 'lock_not_available')
        -- nothing has finished since
        and e.at > all (select t.finished_at from weft._statements as t where t.deployment_id = p_deployment and t.state = 'done')
        and e.at > all (select b.last_round_at from weft._batches as b where b.deployment_id = p_deployment and b.last_round_at is not null)
        and e.at > coalesce((select max(s.finished_at) from weft._steps as s where s.deployment_id = p_deployment and s.state in ('succeeded', 'failed')), '-infinity')))
  end
$$;

comment on function weft._count_attempt(uuid, boolean) is 'Tells which try is running, and after how many the step fails.';


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
           'waiting_for', case when a.wait_event_type = 'Lock' then concat(a.wait_event_type, ': ', a.wait_event) end, 'waiting_on', case when a.wait_event_type = 'Lock' then weft._describe_wanted(a.pid) end,
           'committing', case when a.wait_event = 'SyncRep' then a.backend_xid::text end,
           'blocked_by', b.pids,
           'blockers', weft._describe_holders(a.pid, b.pids),
           'attempt', weft._count_attempt(p_deployment, v_lease.directive_at is not null),
           'build', weft._describe_build(a.pid),
           'handed_out', case when v_lease.directive_at is not null then weft._describe_handed_out(p_deployment) end)
  into v_live
  from pg_stat_activity as a
  cross join lateral (select case when a.wait_event_type = 'Lock' then pg_blocking_pids(a.pid) else '{}' end as pids) as b
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

comment on function weft._describe_live(uuid) is 'Shows what the runner of a deployment is doing, as pg_stat_activity shows it from outside.';


-- A statement that ran in no transaction has failed, or was ended, and what it left is being removed: why, and by what statement.
-- That one counts as done as soon as nobody is working on it, and is only shown until then.
create or replace function weft._describe_cleaning(p_deployment uuid)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'path', s.path, 'line', l.line,
    'sent', (
      select e.data ->> 'sent' from weft._events as e
      where e.deployment_id = p_deployment and e.kind = 'remains_being_dropped' and e.path = s.path and (e.data ->> 'statement')::integer = t.number
        and exists (
          select from weft._lease as h
          where h.deployment_id = p_deployment and h.directive_at is not null and weft._look_at_holder(h) = 'alive')
      order by e.number desc limit 1),
    'error', t.error || jsonb_build_object('path', s.path, 'line', l.line))
  from weft._statements as t
  join weft._steps as s on s.deployment_id = t.deployment_id and s.ordinal = t.step
  cross join lateral weft._first_line(t.statement, t.line) as l (line)
  where t.deployment_id = p_deployment and t.state = 'cleaning'
  limit 1
$$;

comment on function weft._describe_cleaning(uuid) is 'Shows which leftover of a statement is being removed, and the error that made that necessary; null if there is none.';


-- Lists what the journal names, as long as it exists. The name is looked up as text, because only superusers may look into pg_toast.
create or replace function weft._list_leftovers(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(distinct jsonb_build_object('index', e.data ->> 'index', 'path', e.path, 'statement', format('drop index concurrently %s', e.data ->> 'index'))), '[]')
  from weft._events as e
  join pg_index as i on not i.indisvalid and i.indexrelid::regclass::text = e.data ->> 'index'
  where e.deployment_id = p_deployment and e.kind = 'leftover_out_of_reach'
$$;

comment on function weft._list_leftovers(uuid) is 'Lists invalid indexes that are left over and that only a superuser may drop, each with the statement for it.';


-- A file that another deployment (a baseline, above all) has recorded since belongs to that one: an undo of this one leaves it alone.
create or replace function weft._list_halves(p_deployment uuid default null)
  returns table (deployment_id uuid, step integer, path text, done integer, recorded_by uuid)
  stable
  set search_path = pg_catalog, pg_temp
  set jit = off
  language sql
as $$
  select k.deployment_id, k.step, s.path, k.done, h.deployment_id
  from (
    select t.deployment_id, t.step, count(*)::integer as done, max(t.finished_at) as at
    from weft._statements as t
    where t.state = 'done' and t.deployment_id = coalesce(p_deployment, t.deployment_id)
    group by t.deployment_id, t.step
    union all
    select b.deployment_id, b.step, b.rounds + b.rounds_before + b.rounds_replaced, coalesce(b.last_round_at, b.started_at)
    from weft._batches as b
    where b.rounds + b.rounds_before + b.rounds_replaced > 0 and b.deployment_id = coalesce(p_deployment, b.deployment_id)
  ) as k
  -- starts from what is half-done, and looks up each by its key, because there may be very many steps
  cross join lateral (select o.id, o.bundle, o.started_at from weft._deployments as o where o.id = k.deployment_id offset 0) as d
  cross join lateral (select o.path from weft._steps as o where o.deployment_id = k.deployment_id and o.ordinal = k.step and o.state <> 'succeeded' offset 0) as s
  left join lateral (
    select o.deployment_id from weft._history as o
    where o.bundle = d.bundle and s.path in (o.path, o.applied_path) and o.deployment_id <> d.id and o.applied_at >= coalesce(k.at, d.started_at)
    limit 1) as h on true
$$;

comment on function weft._list_halves(uuid) is
  'Lists files of which a deployment has run some statements or rounds, but not all, with their number, and the other deployment (a baseline, say) that has recorded each as applied since. Without a deployment: for all deployments.';


create or replace function weft._has_effects(p_deployment uuid)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (select from weft._history as h where h.deployment_id = p_deployment)
      or exists (select from weft._list_halves(p_deployment) as f where f.recorded_by is null)
$$;

comment on function weft._has_effects(uuid) is 'Tells whether anything of a deployment is still in the database, as far as the history knows.';


create or replace function weft._describe_undone(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object('by', u.id, 'state', u.state, 'finished_at', u.finished_at, 'whole', not weft._has_effects(p_deployment))
  from weft._deployments as u
  where u.undoes = p_deployment and u.started_at is not null and u.mode = 'apply'
  order by u.place desc
  limit 1
$$;

comment on function weft._describe_undone(uuid) is 'Tells which deployment was the last to take another one back, how it ended, and whether nothing of the other is left; null if there was none.';


-- Files that an undo left alone because they have no undo, and whether their effect is gone all the same.
create or replace function weft._list_without_undo(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_agg(l.value || case when g.path is not null then '{"is_gone": true}' else '{}' end::jsonb order by l.ordinality)
  from weft._events as e
  cross join jsonb_array_elements(e.data -> 'lacking') with ordinality as l
  left join lateral (select k.path from weft._events as k where k.deployment_id = p_deployment and k.kind = 'went_with_table' and k.path = l.value ->> 'path' limit 1) as g on true
  where e.deployment_id = p_deployment and e.kind = 'opened'
$$;

comment on function weft._list_without_undo(uuid) is 'Lists the files of a deployment that had no undo when it was undone; is_gone: the effect was lost with its table.';


-- The receipt (floor 76) has the same. p_is_over: nothing of this deployment runs any more.
create or replace function weft._describe_phases(p_deployment uuid, p_is_over boolean)
  returns json
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- the receipt needs it, and so does whoever waits for the end
  set enable_nestloop = off  -- rows that were just written have no statistics, and nested loops over steps are quadratic
  set jit = off
  language sql
as $$
  select coalesce(json_agg(json_build_object(
    'name', p.name, 'transaction', p.transaction, 'when', p.condition, 'is_wanted', p.is_wanted, 'role', p.role, 'settings', p.settings, 'state', p.state, 'attempts', p.attempts,
    'started_at', p.started_at, 'finished_at', p.finished_at,
    'order_found', case when p.has_repeatables then (
      select e.data from weft._events as e where e.deployment_id = p_deployment and e.kind = 'order_found' and e.phase = p.name order by e.number desc limit 1) end,
    'steps', coalesce(g.steps, '[]')) order by p.ordinal), '[]')
  from weft._phases as p
  left join (
    select d.phase, json_agg(d.step order by d.ordinal) as steps
    from (
      select s.phase, s.ordinal, row_to_json(k) as step
      from weft._steps as s
      left join weft._artifacts as a on a.deployment_id = p_deployment and a.path = s.path
      left join (
        select v.path, count(*) filter (where v.kind = 'lock_not_available') as refused, count(*) filter (where v.kind = 'statement_found_done') as found_done
        from weft._events as v
        where v.deployment_id = p_deployment and v.kind in ('lock_not_available', 'statement_found_done')
        group by v.path
      ) as e on e.path = s.path
      left join weft._count_statements(p_deployment) as t on t.step = s.ordinal
      cross join lateral (select coalesce((s.error ->> 'runs_again')::boolean, t.runs_again, false) as runs_again) as r
      cross join lateral (  -- the names are those in the document, in the order of jsonb (by length), so that nothing has to be sorted
        select s.kind, s.path, s.rows, a.size, s.undo, s.condition as "when",
               case when s.kind = 'batch' then weft._describe_batch_of(p_deployment, s.ordinal) end as batch,
               s.error, s.state,
               case when s.state = 'succeeded' then case when s.is_apart or s.phase in (select n.ordinal from weft._phases as n where n.deployment_id = p_deployment and n.transaction = 'none') then 1 else 1 + coalesce(e.refused, 0) end end as tries,
               encode(a.digest, 'hex') as digest, s.result, s.undoes,
               case when s.state in ('pending', 'failed') and (s.kind = 'batch' or coalesce(s.statements, t.done) is not null) then
                 weft._tell_of_step(p_deployment, s.ordinal, coalesce(s.statements, t.done), r.runs_again, p_is_over) end as account,
               s.options, s.on_error, s.is_wanted,
               case when s.state = 'succeeded' then coalesce(e.found_done, 0) end as found_done,
               r.runs_again, coalesce(s.statements, t.done) as statements, s.milliseconds
      ) as k
      where s.deployment_id = p_deployment
      offset 0
    ) as d
    group by d.phase
  ) as g on g.phase = p.ordinal
  where p.deployment_id = p_deployment
$$;

comment on function weft._describe_phases(uuid, boolean) is 'Shows the phases of a deployment with their steps: states, errors, rows, and what of a half-done file is in the database.';


create or replace function weft._describe_receipt(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object('number', r.number, 'sha256', encode(r.digest, 'hex'), 'written_at', r.written_at)
  from weft._receipts as r where r.deployment_id = p_deployment order by r.number desc limit 1
$$;

comment on function weft._describe_receipt(uuid) is 'Tells which receipt of a deployment is the newest, and its SHA-256; null until the deployment is over.';


create or replace function weft._list_ahead(p_deployment weft._deployments)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(o.id order by (o.state = 'running') desc, o.place), '[]') from weft._deployments as o
  where p_deployment.finished_at is null and o.id <> p_deployment.id
    and (o.state = 'running' and p_deployment.state <> 'running' or o.state in ('staged', 'running') and o.place < p_deployment.place)
$$;

comment on function weft._list_ahead(weft._deployments) is 'Lists deployments that are run before this one.';


create or replace function weft.status(p_deployment uuid)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics, and nested loops over steps are quadratic
  set jit = off
  language plpgsql
as $$
declare
  v_live  constant jsonb := weft._describe_live(p_deployment);  -- read before the rows, so that they include everything that it has finished
begin
  -- built as text: as jsonb, each nested document would be taken apart and rewritten
  return (select weft._as_utf8(json_build_object(
      'id', d.id,
      'state', d.state,
      'target', nullif(d.target, ''),
      'bundle', d.bundle,
      'mode', d.mode,
      'undoes', d.undoes,
      'baseline', t.baseline,
      'compared', case when d.undoes is not null then weft._recall_compared(d.id) end,
      'undone_by', u.ids,
      'undone', case when u.ids is not null then weft._describe_undone(d.id) end,
      'withdrawn', t.withdrawn,
      'without_undo', case when d.undoes is not null then weft._list_without_undo(d.id) end,
      'drift_found', t.drift_found,
      'files_gone', case when d.finished_at is not null then t.files_gone end,
      'gone_along', case when d.finished_at is not null then t.gone_along end,
      'made_anew', case when d.finished_at is not null then t.made_anew end,
      'has_committed', case when d.finished_at is not null then d.has_committed end,
      'caller', d.caller,
      'source', weft._describe_source(d.signature),
      'request_id', d.request_id,
      'created_at', d.created_at,
      'staged_at', d.staged_at,
      'started_at', d.started_at,
      'finished_at', d.finished_at,
      'rests', case when d.finished_at is not null then t.rests end,
      'parameters', weft._describe_parameters(d.id),
      'approval', case when p.second_person then weft._describe_approval(d.id) end,
      'rehearsed_by', p.rehearsal,
      'phases', weft._describe_phases(d.id, d.finished_at is not null),
      'error', d.error,
      'receipt', weft._describe_receipt(d.id),
      'fingerprint', jsonb_build_object('before', d.fingerprint_before, 'after', d.fingerprint_after),
      'wal', jsonb_build_object('before', d.wal_before, 'after', d.wal_after),
      'ahead', case when d.finished_at is null then weft._list_ahead(d) else '[]' end,
      'live', case when d.finished_at is null then v_live end,
      'handed_out', case when d.finished_at is null then weft._describe_handed_out(d.id) end,
      'leftovers', case when t.has_leftovers then weft._list_leftovers(d.id) else '[]' end,
      'rehearsal', case when d.mode = 'rehearse' then (select r.report from weft._reports as r where r.deployment_id = d.id) end,
      'cancelling', c.deployment_id is not null and d.finished_at is null,
      'cancellation', case when c.deployment_id is not null then json_build_object('caller', c.caller, 'requested_at', c.requested_at) end,
      'cleaning', case when d.finished_at is null then weft._describe_cleaning(d.id) end,
      'engine_version', d.engine_version,
      'server_version', d.server_version)::text)::jsonb
    from weft._deployments as d
    left join weft._protections as p on p.deployment_id = d.id
    left join weft._cancellations as c on c.deployment_id = d.id
    cross join lateral weft._recall_told(d.id) as t
    cross join lateral (select jsonb_agg(o.id order by o.place) as ids from weft._deployments as o where o.undoes = d.id and o.started_at is not null and o.mode = 'apply') as u
    where d.id = p_deployment);
end
$$;

comment on function weft.status(uuid) is 'Shows a deployment as one document: state, phases, steps, errors, fingerprints, and what is going on right now.';
