-- The report of a rehearsal, from what its block has shown and what another session has seen meanwhile; and the procedure that watches
-- from that session.

-- staged -> running, for a rehearsal: stores the state to compare with later.
create or replace function weft._prepare_rehearsal(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  insert into weft._reports (deployment_id, catalog_before, sequences_before)
  select d.id, weft._list_catalog(), weft._list_sequences()
  from weft._deployments as d
  where d.id = p_deployment and d.state = 'running' and not exists (select from weft._reports as r where r.deployment_id = d.id)
$$;

comment on function weft._prepare_rehearsal(uuid) is 'Stores, for a rehearsal, the state to compare with afterwards.';


-- What a rehearsal could not show in one transaction, in words, without glossing over anything.
create or replace function weft._list_not_shown(p_report jsonb, p_is_sampled boolean)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with statements as (
    select s.value ->> 'path' as path, t.value ->> 'line' as line, t.value #>> '{instead,why}' as why
    from jsonb_array_elements(p_report -> 'steps') as s
    cross join jsonb_array_elements(s.value -> 'statements') as t
    where t.value ? 'instead'
  ),
  found as (
    select 1 as place, w.why, w.text, (select jsonb_agg(concat_ws(':', s.path, s.line)) from statements as s where s.why = w.why) as places
    from (values
      ('none', 'These statements PostgreSQL runs in no transaction, and they have no other form: they were not rehearsed, and what comes behind them was rehearsed without their effect.'),
      ('form', 'These statements PostgreSQL runs in no transaction. They were rehearsed in the form that a transaction takes: it locks more than the deployment would, and says nothing of how long theirs takes.'),
      ('commit', 'These statements need a commit before them, and were not rehearsed.'),
      ('behind', 'These lacked something, behind statements that were not rehearsed: whether it is there once those have run, is not known.'),
      ('work', 'Others are at work on what these statements are about: the deployment would wait for them.')) as w (why, text)
    where exists (select from statements as s where s.why = w.why)
    union all
    select 2, 'batch', 'A batch commits after each round. It was rehearsed as one step of this transaction, if at all: how long its rounds take, and whom they let wait, is not shown.',
           jsonb_agg(s.value ->> 'path')
    from jsonb_array_elements(p_report -> 'steps') as s where s.value ->> 'kind' = 'batch' having count(*) > 0
    union all
    select 3, 'commits', 'The deployment commits several times; here all was one transaction, in which now() stands still. A lock that was held already is not shown a second time, and was held for longer.', null
    where (select count(distinct case s.value ->> 'transaction' when 'single' then s.value ->> 'phase' else concat_ws('/', s.value ->> 'phase', s.value ->> 'path') end)
           from jsonb_array_elements(p_report -> 'steps') as s where s.value ->> 'state' <> 'skipped') > 1
    union all
    select 4, 'waits', 'Nobody has looked from a second session: who waited, and for how long, is not known.', null where not p_is_sampled
    union all
    select 5, 'sequences', 'What sequences have given out is used up: no rollback takes it back.', jsonb_agg(q.value ->> 'sequence') from jsonb_array_elements(p_report -> 'sequences') as q having count(*) > 0
    union all
    select 6, 'sequences_unread', 'The sequences could not be read, so that nobody knows what was used up of them.', null where jsonb_typeof(p_report -> 'sequences') = 'null'
    union all
    select 7, 'rest', 'What stands behind the error was not rehearsed.', null where jsonb_typeof(p_report -> 'error') = 'object'
    union all
    select 8, 'catalog', 'The catalog could not be compared: it could not be read, or somebody had locked something of it.', null
    where jsonb_typeof(p_report -> 'catalog') = 'null' and jsonb_typeof(p_report -> 'error') = 'null'
  )
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('why', f.why, 'text', f.text, 'places', f.places)) order by f.place, f.why), '[]') from found as f
$$;

comment on function weft._list_not_shown(jsonb, boolean) is 'Says what a rehearsal has not shown, in sentences, with the places.';


-- Which statement was running when somebody began to wait, and how long the rehearsal itself waited in each.
create or replace function weft._list_waits(p_deployment uuid, p_steps jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with statements as (
    select s.value ->> 'path' as path, (t.value ->> 'line')::integer as line, (t.value ->> 'started_at')::timestamptz as started_at, t.value -> 'locks' as locks
    from jsonb_array_elements(p_steps) as s
    cross join jsonb_array_elements(s.value -> 'statements') as t
  )
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
           'who', case when w.is_runner then 'rehearsal' else 'other' end, 'pid', w.pid, 'application', w.session -> 'application', 'role', w.session -> 'role', 'query', case when not w.is_runner then w.session -> 'query' end,
           'waited_for', w.waits_for, 'mode', w.mode, 'milliseconds', round((extract(epoch from w.last_seen_at - w.waits_since) * 1000)::numeric, 1),
           'blocked_by', case when w.is_runner then w.blocked_by end,
           'because_of', case when not w.is_runner then jsonb_build_object('path', c.path, 'line', c.line) end,
           'during', jsonb_build_object('path', d.path, 'line', d.line))) order by w.waits_since, w.pid), '[]')
  from weft._samples as w
  left join lateral (select s.path, s.line from statements as s where s.started_at <= w.last_seen_at order by s.started_at desc limit 1) as d on true
  left join lateral (
    select s.path, s.line from statements as s
    where s.started_at <= w.last_seen_at and s.locks @> jsonb_build_array(jsonb_build_object('object', w.waits_for))
    order by s.started_at desc limit 1
  ) as c on true
  where w.deployment_id = p_deployment
$$;

comment on function weft._list_waits(uuid, jsonb) is 'Lists who waited for a lock while a rehearsal ran, as seen from a second session: itself, and others because of it.';


create or replace function weft._finish_report(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_kept      weft._reports;
  v_now       jsonb := weft._list_sequences();
  v_sampling  weft._samplings;
  v_report    jsonb;
begin
  select r.* into strict v_kept from weft._reports as r where r.deployment_id = p_deployment;
  select m.* into v_sampling from weft._samplings as m where m.deployment_id = p_deployment;
  v_report := v_kept.report || jsonb_build_object(
    'sequences', case when v_kept.sequences_before is not null and v_now is not null then (
      select coalesce(jsonb_agg(jsonb_build_object('sequence', n.key, 'before', v_kept.sequences_before -> n.key, 'after', n.value) order by n.key), '[]')
      from jsonb_each(v_now) as n
      where v_kept.sequences_before ? n.key and n.value <> v_kept.sequences_before -> n.key)
      || coalesce((select jsonb_path_query_array(jsonb_agg(e.data -> 'sequences' order by e.number), '$[*][*]') from weft._events as e where e.deployment_id = p_deployment and e.kind = 'sequences_put_back'), '[]') end,
    'waits', case when v_sampling.looks > 0 then weft._list_waits(p_deployment, v_kept.report -> 'steps') end,
    'sampled', case when v_sampling.looks > 0 then jsonb_build_object('looks', v_sampling.looks, 'every_milliseconds', weft._limit('sample_every_ms'), 'from', v_sampling.first_at, 'to', v_sampling.last_at) end);
  v_report := v_report || jsonb_build_object('not_shown', weft._list_not_shown(v_report, coalesce(v_sampling.looks, 0) > 0));
  update weft._reports as r set report = v_report, reported_at = clock_timestamp(), catalog_before = null, sequences_before = null where r.deployment_id = p_deployment;
  delete from weft._samples as w where w.deployment_id = p_deployment;
end
$$;

comment on function weft._finish_report(uuid) is 'Completes the report of a rehearsal: sequences, waits, and what it has not shown.';


-- running -> succeeded | degraded | failed, for a rehearsal. Its phases and steps stay as not run.
create or replace function weft._record_rehearsal(p_phase weft._phases, p_outcome weft._outcome, p_fence bigint)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_is_degraded  boolean;
begin
  if p_outcome.verdict not in ('done', 'failed') then
    return weft._record_block(p_phase, p_outcome, p_fence);
  end if;
  perform weft._check_fence(p_fence, p_until_commit => true);
  if not exists (select from weft._reports as r where r.deployment_id = p_phase.deployment_id and r.report is not null) then  -- it gave up before its end, because it never got a lock
    perform weft._keep_report(p_phase.deployment_id, '{}', null, 0, clock_timestamp(), p_outcome.error);
  end if;
  perform weft._finish_report(p_phase.deployment_id);
  update weft._phases as p set state = 'pending', started_at = null where p.deployment_id = p_phase.deployment_id and p.state = 'running';
  if p_outcome.verdict = 'failed' then
    update weft._steps as s set state = 'failed', error = p_outcome.error, finished_at = clock_timestamp()
    where s.deployment_id = p_phase.deployment_id and s.path = p_outcome.path and s.state = 'pending';
    update weft._phases as p set state = 'failed', finished_at = clock_timestamp()
    where p.deployment_id = p_phase.deployment_id and p.name = p_outcome.error ->> 'phase';
    perform weft._end_attempt(p_phase.deployment_id, 'failed');
    perform weft._tell(p_phase.deployment_id, 'step_failed', p_outcome.error ->> 'phase', p_outcome.path, p_outcome.error);
    perform weft._end(p_phase.deployment_id, 'failed', p_outcome.error);
    return true;
  end if;
  v_is_degraded := (select r.report -> 'steps' @> '[{"state": "tolerated"}]' from weft._reports as r where r.deployment_id = p_phase.deployment_id);
  perform weft._tell(p_phase.deployment_id, 'rehearsed');
  perform weft._end(p_phase.deployment_id, case when v_is_degraded then 'degraded' else 'succeeded' end::weft.deployment_state, null);
  return true;
end
$$;

comment on function weft._record_rehearsal(weft._phases, weft._outcome, bigint) is 'Records how a rehearsal ended, and tells that it is over.';


-- One look, from another session: does the runner wait for somebody, or somebody for the runner?
create or replace function weft._look_who_waits(p_deployment uuid, out is_running boolean, out seen integer)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_lease  weft._lease;
begin
  select l.* into v_lease from weft._lease as l;
  is_running := v_lease.deployment_id = p_deployment and weft._look_at_holder(v_lease) = 'alive';
  seen := 0;
  if not is_running then
    return;
  end if;
  insert into weft._samples as s (deployment_id, pid, waits_since, waits_for, mode, is_runner, blocked_by, session, first_seen_at, last_seen_at)
  select p_deployment, w.pid, w.waitstart,
         case w.locktype when 'relation' then coalesce(weft._qualify_table(w.relation), 'something new')
           when 'advisory' then 'advisory lock ' || concat_ws('/', nullif(w.classid, 0), w.objid) when 'transactionid' then 'a row, or what else a transaction holds' when 'tuple' then 'a row' else w.locktype end,
         w.mode, w.pid = v_lease.pid, weft._describe_holders(w.pid, b.pids), weft._describe_sessions(array[w.pid]) -> 0, clock_timestamp(), clock_timestamp()
  from pg_locks as w
  cross join lateral (select pg_blocking_pids(w.pid) as pids) as b
  where not w.granted and w.waitstart is not null and (w.pid = v_lease.pid and b.pids <> '{}' or v_lease.pid = any (b.pids))
  on conflict (deployment_id, pid, waits_since) do update set last_seen_at = clock_timestamp();
  get diagnostics seen = row_count;
end
$$;

comment on function weft._look_who_waits(uuid) is 'Notes who waits for a lock of a rehearsal that is running, and for whom it waits itself.';


-- Runs in its own session, while the rehearsal runs in another. It commits each look, and ends with the rehearsal, or when nobody has run it for a while.
create or replace procedure weft.sample(p_deployment uuid)
  language plpgsql
as $$
declare
  v_seen     pg_catalog.record;
  v_looks    pg_catalog.int4 := 0;  -- that are not stored yet
  v_first    pg_catalog.timestamptz;
  v_idle_at  pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  v_set      pg_catalog.text;
begin
  v_set := weft._settle_session();
  loop
    v_seen := weft._look_who_waits(p_deployment);
    if v_seen.is_running then
      v_looks := v_looks + 1;
      v_first := coalesce(v_first, clock_timestamp());
      v_idle_at := clock_timestamp();
    end if;
    if v_looks > 0 and (v_seen.seen > 0 or v_looks >= 5 or not v_seen.is_running) then
      insert into weft._samplings as m (deployment_id, looks, first_at, last_at) values (p_deployment, v_looks, v_first, clock_timestamp())
      on conflict (deployment_id) do update set looks = m.looks + excluded.looks, last_at = excluded.last_at;
      v_looks := 0;
    end if;
    v_set := set_config('synchronous_commit', 'off', true);
    commit;
    exit when exists (select from weft._deployments as d where d.id = p_deployment and d.finished_at is not null)
      or not exists (select from weft._deployments as d where d.id = p_deployment)
      or clock_timestamp() > v_idle_at + make_interval(secs => weft._limit('sample_patience_seconds'));
    perform weft._rest(weft._limit('sample_every_ms') / 1000.0);
    commit;
  end loop;
  reset all;
end
$$;

comment on procedure weft.sample(uuid) is
  'Looks now and then for who waits for a lock because of a rehearsal that runs in another session, and for whom it waits itself; ends with the rehearsal. Send it alone, in autocommit.';
