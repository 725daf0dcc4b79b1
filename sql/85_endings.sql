-- How an attempt and a deployment end, what is reported about what stays, and how the failed steps of a degraded deployment are tried
-- again.

create or replace function weft._end_attempt(p_deployment uuid, p_outcome text)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  update weft._attempts as a set ended_at = clock_timestamp(), outcome = p_outcome where a.deployment_id = p_deployment and a.ended_at is null
$$;

comment on function weft._end_attempt(uuid, text) is 'Records how the current attempt ended.';


-- How much of a file that ran statement by statement is in the database: the statements run in order, so it is always a beginning.
create or replace function weft._describe_cancelled(p_cancellation weft._cancellations)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_account  jsonb := weft._describe_cancellation(p_cancellation);
  v_detail   text := 'What had ended before stays.';
  v_file     record;
  v_last     weft._statements;
begin
  for v_file in
    select s.ordinal, s.path, count(*) as all_of_them, count(*) filter (where t.state = 'done') as done,
           min(weft._first_line(t.statement, t.line)) filter (where t.state = 'done') as first_line,
           max(weft._first_line(t.statement, t.line)) filter (where t.state = 'done') as last_line,
           min(weft._first_line(t.statement, t.line)) filter (where t.state = 'pending') as next_line
    from weft._steps as s
    join weft._statements as t on t.deployment_id = s.deployment_id and t.step = s.ordinal
    where s.deployment_id = p_cancellation.deployment_id and s.state = 'pending'
    group by s.ordinal, s.path
    order by s.ordinal
  loop
    select t.* into v_last from weft._statements as t
    where t.deployment_id = p_cancellation.deployment_id and t.step = v_file.ordinal and t.state not in ('done', 'pending') order by t.number limit 1;
    v_detail := concat(v_detail,
      format(' Of %s, which ran statement by statement, %s of %s statement%s %s in the database', v_file.path, case v_file.done when 0 then 'none' else v_file.done::text end,
        v_file.all_of_them, case when v_file.all_of_them > 1 then 's' end, case when v_file.done > 1 then 'are' else 'is' end),
      case when v_file.done = 1 then format(' (line %s)', v_file.first_line) when v_file.done > 1 then format(' (lines %s to %s)', v_file.first_line, v_file.last_line) end,
      case when v_last.number is not null then concat(
        format('; the one in line %s ', weft._first_line(v_last.statement, v_last.line)),
        case when v_last.error ->> 'sqlstate' <> '57014' then 'had failed before' else 'was ended at work' end,
        case when v_last.judge is null then null
          when v_last.judge ->> 'kind' in ('repeat', 'expression', 'vacuum') then ', and what it had committed by then stays'
          when exists (select from weft._list_remains(v_last.judge)) then ', and has left something half-made'
          else ', and has left nothing half-made' end,
        case when v_last.error ->> 'sqlstate' <> '57014' then format(': %s: %s', v_last.error ->> 'sqlstate', v_last.error ->> 'message') end) end,
      case when v_file.next_line is not null then format('; from line %s on nothing has run', v_file.next_line) end,
      '.');
    v_account := v_account || jsonb_build_object('detail', v_detail);
  end loop;
  for v_file in
    select s.path, r.account
    from weft._steps as s
    cross join lateral (select weft._tell_of_rounds(weft._recall_batch(s)) as account) as r
    where s.deployment_id = p_cancellation.deployment_id and s.state = 'pending' and s.kind = 'batch' and r.account is not null
    order by s.ordinal
  loop
    v_detail := concat(v_detail, ' ', v_file.path, ': ', v_file.account);
    v_account := v_account || jsonb_build_object('detail', v_detail);
  end loop;
  return v_account;
end
$$;

comment on function weft._describe_cancelled(weft._cancellations) is 'Says who asked to cancel, and what stays of a file that ran statement by statement.';


-- The final error names what could not be removed, whatever the reason.
create or replace function weft._add_remains(p_deployment uuid, p_error jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_remains  jsonb;
  v_refused  jsonb;
begin
  select jsonb_agg(r.remains order by r.remains) into v_remains
  from (
    select distinct jsonb_build_object('object', r.object, 'statement', r.statement) || case when r.is_out_of_reach then '{"needs": "superuser"}' else '{}' end::jsonb as remains
    from weft._statements as t
    cross join lateral weft._list_remains(t.judge) as r
    where t.deployment_id = p_deployment and t.state in ('sent', 'cleaning', 'failed')
  ) as r;
  if v_remains is null then
    return p_error;
  end if;
  v_refused := (select t.error -> 'refused' from weft._statements as t where t.deployment_id = p_deployment and t.error -> 'refused' is not null limit 1);
  return p_error - 'refused' || jsonb_build_object(
    'remains', v_remains,
    'detail', concat_ws(' ', p_error ->> 'detail',
      (select format('Half-made, and still in the database: %s.', string_agg(r.value ->> 'object', ', ')) from jsonb_array_elements(v_remains) as r),
      case when v_refused is not null then format('Dropping it failed: %s: %s.', v_refused ->> 'sqlstate', v_refused ->> 'message') end),
    'hint', concat_ws(' ', p_error ->> 'hint',
      (select format('To take %s away: %s; or deploy the same file again, which does it first.', case when count(*) > 1 then 'them' else 'it' end, string_agg(r.value ->> 'statement', '; '))
       from jsonb_array_elements(v_remains) as r where not r.value ? 'needs' having count(*) > 0),
      (select format('Only a superuser may drop an index of TOAST: %s.', string_agg(r.value ->> 'statement', '; '))
       from jsonb_array_elements(v_remains) as r where r.value ? 'needs' having count(*) > 0)));
end
$$;

comment on function weft._add_remains(uuid, jsonb) is 'Adds to the account of an end what a deployment leaves half-made, and the statements that remove it.';


-- A deployment that had ended degraded has left more in the database than the failed phase alone would show.
create or replace function weft._add_reopened(p_deployment uuid, p_error jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when not exists (select from weft._events as e where e.deployment_id = p_deployment and e.kind = 'reopened') then p_error
    else p_error || jsonb_build_object('detail', concat_ws(' ', p_error ->> 'detail', 'The deployment had ended degraded and was opened again: what it had committed by then stays.', (
      select format('Of what was tried again, %s %s not in the database.', string_agg(s.path, ', ' order by s.ordinal), case when count(*) > 1 then 'are' else 'is' end)
      from weft._steps as s
      where s.deployment_id = p_deployment and s.state = 'pending' and s.kind in ('run', 'load')
        and not exists (select from weft._statements as t where t.deployment_id = p_deployment and t.step = s.ordinal and t.state = 'done')
      having count(*) > 0))) end
$$;

comment on function weft._add_reopened(uuid, jsonb) is 'Adds to the account of a failure, if the deployment had been opened again, what stays and what was taken back.';


-- -> succeeded | degraded | failed | cancelled
create or replace function weft._end(p_deployment uuid, p_state weft.deployment_state, p_error jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_deployment   weft._deployments;
  v_last         weft._deployments;
  v_error        jsonb;
  v_fingerprint  text;
  v_unread       jsonb;
begin
  if p_state in ('failed', 'cancelled') then
    v_error := weft._add_hint_of_secrets(p_deployment, weft._add_remains(p_deployment, p_error));
    if v_error ? 'remains' then
      perform weft._tell(p_deployment, 'leftover', p_error ->> 'phase', p_error ->> 'path', jsonb_build_object('remains', v_error -> 'remains'));
    end if;
    if p_state = 'failed' then
      v_error := weft._add_reopened(p_deployment, v_error);
    end if;
    -- it is not running any more
    update weft._phases as p set state = p_state::text::weft.phase_state, finished_at = clock_timestamp() where p.deployment_id = p_deployment and p.state = 'running';
  end if;
  select d.* into strict v_deployment from weft._deployments as d where d.id = p_deployment;
  if v_deployment.started_at is not null then
    select k.fingerprint, k.error into v_fingerprint, v_unread from weft._keep_snapshot() as k;
    if v_unread is not null then
      perform weft._tell(p_deployment, 'catalog_not_read', p_data => v_unread);
    end if;
    v_last := weft._read_late(v_fingerprint);
    if exists (select from weft._history as h where h.bundle = v_deployment.bundle and h.table_oid is not null) then
      perform weft._tell_made_anew(p_deployment), weft._follow_tables(p_deployment);  -- in this order: the table that has the name now is not the one that had it
    end if;
  end if;
  update weft._deployments as d
  set state = p_state, finished_at = clock_timestamp(), error = v_error,
      fingerprint_after = v_fingerprint,
      fingerprint_met = case when v_fingerprint is null then m.met else d.fingerprint_met end,  -- until the catalog can be read, this is the best that is known
      fingerprint_expected = case when v_fingerprint is null then m.expected when m.expected <> m.met then weft._expect_behind(m.expected, m.met, v_fingerprint, d, p_state) else v_fingerprint end,
      has_committed = weft._has_committed(d, p_state, v_fingerprint),
      wal_after = case when d.started_at is not null then pg_current_wal_insert_lsn() end
  from weft._recall_met(v_deployment, v_last) as m
  where d.id = p_deployment
  returning d.* into v_deployment;
  if p_state in ('failed', 'cancelled') and not v_deployment.has_committed then
    perform weft._unfollow(p_deployment);
  end if;
  if v_fingerprint is not null then
    perform case when v_deployment.undoes is null then weft._tell_gone_along(v_deployment) else weft._compare_with_before(v_deployment) end, weft._forget_snapshots();
  end if;
  perform weft._end_attempt(p_deployment, p_state::text), weft._tell(p_deployment, p_state::text, v_error ->> 'phase', v_error ->> 'path', coalesce(v_error, '{}'));
  perform weft._write_receipt(p_deployment);  -- last, because it includes all of the above
end
$$;

comment on function weft._end(uuid, weft.deployment_state, jsonb) is 'Ends a deployment, with the fingerprint and the WAL position that it leaves.';


-- If a later deployment has brought the same file, its content is newer than what failed here, or has not run yet. The same holds if a later bundle no longer
-- has a repeatable file, or has it under another name: otherwise an older view would silently get into the database.
create or replace function weft._leave_to_later(p_deployment uuid, p_state weft.step_state)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_newest  uuid;  -- the newest that had an effect, other than new undo files for what was applied
  v_step    record;
begin
  select o.id into v_newest
  from weft._deployments as d
  cross join lateral (select l.* from weft._deployments as l where l.place > d.place and l.bundle || '' = d.bundle offset 0) as o
  where d.id = p_deployment and o.mode = 'apply' and o.undoes is null and o.state in ('succeeded', 'degraded')
    and exists (select from weft._steps as s where s.deployment_id = o.id and (s.state = 'succeeded' or s.undo is null))
    and not exists (select from weft._deployments as u where u.undoes = o.id and u.mode = 'apply' and u.state in ('succeeded', 'degraded'))
  order by o.place desc limit 1;
  for v_step in
    select s.ordinal, s.path, p.name as phase, coalesce(h.deployment_id, t.id, v_newest) as later_id
    from weft._deployments as d
    join weft._steps as s on s.deployment_id = d.id and s.state = p_state and s.kind <> 'check'
    join weft._phases as p on p.deployment_id = s.deployment_id and p.ordinal = s.phase
    left join lateral (
      select k.deployment_id from weft._history as k join weft._deployments as o on o.id = k.deployment_id
      where k.bundle = d.bundle and s.path in (k.path, k.applied_path) and o.place > d.place
      order by o.place desc limit 1) as h on true
    left join lateral (
      select o.id from weft._deployments as o
      join weft._steps as n on n.deployment_id = o.id and n.path = s.path and n.state = 'succeeded'
      where o.bundle = d.bundle and o.mode = 'apply' and o.undoes is null and o.place > d.place
      order by o.place desc limit 1) as t on weft._repeat_of(s.kind, s.options) = 'always'  -- of steps that are in no history
    where d.id = p_deployment and (p_state = 'failed' or weft._repeat_of(s.kind, s.options) in ('on-change', 'always'))
      and (coalesce(h.deployment_id, t.id) is not null
        or v_newest is not null and weft._repeat_of(s.kind, s.options) in ('on-change', 'always') and not exists (
          select from weft._steps as n where n.deployment_id = v_newest and n.path = s.path))
    order by s.ordinal
  loop
    update weft._steps as s
    set state = 'skipped', error = null, finished_at = clock_timestamp(), result = (coalesce(s.result, '{}') - 'continued') || jsonb_build_object('overtaken_by', v_step.later_id)
    where s.deployment_id = p_deployment and s.ordinal = v_step.ordinal;
    if p_state = 'pending' then
      delete from weft._statements as t where t.deployment_id = p_deployment and t.step = v_step.ordinal;
    end if;
    perform weft._tell(p_deployment, 'overtaken', v_step.phase, v_step.path, jsonb_build_object('by', v_step.later_id));
  end loop;
end
$$;

comment on function weft._leave_to_later(uuid, weft.step_state) is
  'Skips, in a deployment that is opened again or that others have passed, files that failed or have yet to run and that a later one has applied, and reports each.';


-- degraded -> running: the steps whose failure was tolerated are pending again. A statement that was handed out keeps its judge: it may have succeeded since.
-- Repeating the same request (by its key), because the connection broke, has no further effect.
create or replace function weft._reopen(p_deployment uuid, p_target text, p_wish jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_origin       jsonb;
  v_undo         uuid;
  v_fingerprint  text;
  v_unread       jsonb;
  v_read_at      timestamptz := clock_timestamp();
begin
  select d.origin into v_origin from weft._deployments as d where d.id = p_deployment and d.state = 'degraded' and d.mode = 'apply';
  if not found then
    return;
  elsif not weft._is_here(v_origin, p_target) then
    raise exception 'This database is a copy of the one in which deployment % ended degraded: it is not opened again here.', p_deployment
      using errcode = 'WF017', detail = format('Opened in %s; this is %s.', v_origin, weft._origin(p_target)),
            hint = 'Nothing was changed. Deploy the bundle again: that tries here what failed there, and runs nothing a second time.';
  end if;
  select k.fingerprint, k.error into v_fingerprint, v_unread from weft._keep_snapshot() as k;  -- read before any lock is taken
  perform from weft._lease as l for update;
  perform from weft._deployments as d where d.id = p_deployment and d.state = 'degraded' and d.mode = 'apply' for no key update;
  if not found or exists (select from weft._events as e where e.deployment_id = p_deployment and e.kind = 'reopened' and e.data ->> 'key' = p_wish ->> 'key') then
    return;
  end if;
  select d.id into v_undo from weft._deployments as d where d.undoes = p_deployment and d.mode = 'apply' and d.state not in ('failed', 'cancelled') order by d.created_at desc limit 1;
  if found then
    raise exception 'Deployment % has been taken back, or is going to be: by deployment %. What failed in it is not tried again.', p_deployment, v_undo
      using errcode = 'WF071', hint = 'Nothing was changed. To have it all again, deploy the bundle again.';
  end if;
  perform weft._tell(p_deployment, 'reopened', p_data => jsonb_build_object(
    'caller', 'role ' || session_user, 'ended_at', (select d.finished_at from weft._deployments as d where d.id = p_deployment)) || jsonb_strip_nulls(p_wish));
  if v_unread is not null then
    perform weft._tell(p_deployment, 'catalog_not_read', p_data => v_unread);
  end if;
  if exists (select from weft._deployments as o where o.finished_at >= v_read_at) then  -- another deployment has ended while the catalog was being read
    select k.fingerprint into v_fingerprint from weft._keep_snapshot() as k;
  end if;
  perform weft._tell_of_drift(p_deployment, v_fingerprint, true);
  perform weft._leave_to_later(p_deployment, 'failed');
  -- its object may have appeared or changed since, so it is looked up again
  update weft._statements as t set state = 'pending', judge = null, error = null, tries = 0, finished_at = null
  from weft._steps as s
  where t.deployment_id = p_deployment and t.state = 'failed' and s.deployment_id = t.deployment_id and s.ordinal = t.step and s.state = 'failed';
  -- what is tried again may break a rule of its phase, or of a later one
  update weft._steps as s set state = 'pending', is_wanted = null, error = null, finished_at = null, milliseconds = null, result = null
  from weft._phases as p
  where s.deployment_id = p_deployment and s.kind = 'check' and p.deployment_id = p_deployment and p.ordinal = s.phase and p.state = 'succeeded'
    and p.ordinal >= (select min(f.phase) from weft._steps as f where f.deployment_id = p_deployment and f.state = 'failed');
  update weft._phases as p set state = 'pending', finished_at = null
  where p.deployment_id = p_deployment and exists (select from weft._steps as s where s.deployment_id = p.deployment_id and s.phase = p.ordinal and s.state in ('failed', 'pending'));
  update weft._steps as s set state = 'pending', error = null, finished_at = null, statements = null,
    result = case when s.result #>> '{continued,by}' is not null then jsonb_build_object('continued', s.result -> 'continued') end  -- a forgotten file begins anew
  where s.deployment_id = p_deployment and s.state = 'failed';
  update weft._deployments as d set state = 'running', finished_at = null, deaths = 0, fingerprint_after = null, has_committed = false, wal_after = null where d.id = p_deployment;
  delete from weft._cancellations as c where c.deployment_id = p_deployment;
end
$$;

comment on function weft._reopen(uuid, text, jsonb) is 'Opens a degraded deployment again, for the steps whose failure was tolerated, and for the checks of their phases and of later ones.';
