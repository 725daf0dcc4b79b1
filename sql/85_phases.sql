-- From phase to phase: which one is next, which of its steps share a transaction, and how the outcome is recorded.

-- A deployment has succeeded: objects of a file that are gone by now are meant to be gone, if something after the file has run. There are exceptions: files that
-- an undo is not about, but whose objects it took along; files that came back in a phase without call-backs before those objects were dropped; and files that
-- should have made objects again, but failed or were kept from it by a condition. They stay applied, and the next deployment that has them makes these again.
create or replace function weft._forget_dropped(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  update weft._history as h set made = weft._merge_made(h.made, null)
  from weft._deployments as d
  where d.id = p_deployment and h.bundle = d.bundle and h.made is not null and weft._list_missing(h.made) is not null
    and exists (select from weft._steps as s where s.deployment_id = d.id and s.path = h.path)
    and (d.undoes is not null and not exists (
        select from weft._steps as s join weft._phases as p on p.deployment_id = s.deployment_id and p.ordinal = s.phase
        where s.deployment_id = d.id and s.path = h.path and p.transaction = 'none')
      or d.undoes is null and not exists (
        select from weft._steps as s join weft._phases as p on p.deployment_id = s.deployment_id and p.ordinal = s.phase
        where s.deployment_id = d.id and s.path = h.path and (s.state = 'failed' or s.is_wanted = false
          or p.is_wanted = false and exists (select from weft._events as e where e.deployment_id = d.id and e.kind = 'called_back' and e.path = s.path))) and exists (
      select from weft._steps as s join weft._steps as o on o.deployment_id = s.deployment_id and o.ordinal >= s.ordinal and o.state = 'succeeded' and o.kind <> 'check'
      where s.deployment_id = d.id and s.path = h.path));
  -- files that came back have their old places, others those that they got since; as places are compared, all are set here
  update weft._history as h set place = k.ordinal
  from (
    select distinct on (s.path) d.bundle, s.path, s.ordinal
    from weft._deployments as d join weft._steps as s on s.deployment_id = d.id and s.options ? 'repeat'
    where d.id = p_deployment and d.undoes is not null
    order by s.path, s.state = 'succeeded' desc, s.ordinal
  ) as k
  where h.bundle = k.bundle and h.path = k.path and h.place is distinct from k.ordinal;
  -- what objects had is no longer needed, except for those that must still be made again
  update weft._steps as s set had = null
  where s.had is not null
    and (select o.bundle from weft._deployments as o where o.id = s.deployment_id) = (select d.bundle from weft._deployments as d where d.id = p_deployment)
    and not exists (
      select from weft._history as h
      where h.bundle = (select d.bundle from weft._deployments as d where d.id = p_deployment) and h.path = s.path and weft._list_missing(h.made) is not null)
$$;

comment on function weft._forget_dropped(uuid) is 'Forgets objects of repeatable files that a deployment has dropped; after an undo, gives their files consistent places.';


-- Called before anything can drop these objects.
create or replace function weft._note_had(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_bundle  text;
begin
  if not exists (select from weft._steps as s where s.deployment_id = p_deployment and s.state = 'pending') then
    return;
  end if;
  v_bundle := (select d.bundle from weft._deployments as d where d.id = p_deployment);
  perform weft._note_had_by(p_deployment, array(select g.ordinal from weft._list_left_out(p_deployment) as g));
  -- for objects that are already gone: what an earlier deployment noted that failed
  update weft._steps as s set had = weft._merge_had(s.had, e.had)
  from weft._list_left_out(p_deployment) as g
  join weft._history as h on h.bundle = v_bundle and h.path = g.path and h.made is not null and weft._list_missing(h.made) is not null
  cross join lateral (
    select o.had from weft._steps as o
    where o.path = g.path and o.had is not null and o.deployment_id <> p_deployment and (select d.bundle from weft._deployments as d where d.id = o.deployment_id) = v_bundle
    order by (select d.place from weft._deployments as d where d.id = o.deployment_id) desc nulls last limit 1) as e
  where s.deployment_id = p_deployment and s.ordinal = g.ordinal;
end
$$;

comment on function weft._note_had(uuid) is 'Notes what the objects of files have that do not run because they have not changed, so that nothing is lost if one is called back.';


-- What the server said when a CALL died (p_said, with the backend): an error at COMMIT itself, where the engine cannot catch it. If it is about the files or the
-- data, it is the outcome of the attempt, because another try would fail in the same way.
create or replace function weft._fail_as_said(p_phase weft._phases, p_said jsonb, p_fence bigint)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_path       text := weft._whereabouts(p_phase.deployment_id, p_phase);
  v_statement  weft._statements;
begin
  if left(p_said ->> 'sqlstate', 2) not in ('0A', '22', '23', '2B', '2F', '38', '39', '42', '44', 'P0') then
    return false;
  end if;
  select t.* into v_statement
  from weft._steps as s
  join weft._statements as t on t.deployment_id = s.deployment_id and t.step = s.ordinal and t.state <> 'done'
  where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = v_path
  order by t.number limit 1;
  if found then
    v_statement.statement := weft._without_rows(v_statement);
  end if;
  perform weft._record_block(p_phase, row('failed', v_path, weft._describe_error(
    jsonb_strip_nulls(p_said - 'died' || jsonb_build_object('context', nullif(split_part(p_said ->> 'context', 'PL/pgSQL function weft.', 1), ''),
      'detail', concat_ws(' ', p_said ->> 'detail', 'The server said it at COMMIT: what was to be committed is rolled back.'))),
    p_phase.name, v_path, weft._first_line(v_statement.statement, v_statement.line), v_statement.statement))::weft._outcome, p_fence);
  return true;
end
$$;

comment on function weft._fail_as_said(weft._phases, jsonb, bigint) is 'Ends an attempt that died at COMMIT with the server''s error, unless that may pass by itself; tells whether it did.';


-- Chooses the next phase, and records an attempt; null when the deployment is over. Silent deaths are counted here: an attempt
-- without an end, while we hold the lease, has died.
create or replace function weft._begin_attempt(p_deployment uuid, p_fence bigint, p_said jsonb default null)
  returns weft._phases
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_is_undo  boolean;
  v_phase    weft._phases;
  v_deaths   integer;
  v_number   integer;
  v_died     integer;  -- the backend of an attempt that has no end
begin
  perform weft._check_fence(p_fence, p_until_commit => true);
  select d.undoes is not null into v_is_undo from weft._deployments as d where d.id = p_deployment and d.state = 'running' for no key update;
  if not found then
    return null;
  end if;

  select p.* into v_phase from weft._phases as p where p.deployment_id = p_deployment and p.state not in ('succeeded', 'skipped') order by p.ordinal limit 1;
  if not found then
    perform
      case when v_is_undo or exists (select from weft._history as h where h.made is not null) or exists (select from weft._steps as s where s.had is not null) then weft._forget_dropped(p_deployment) end,
      case when v_is_undo then weft._forget_gone(p_deployment) end,
      weft._end(p_deployment, case when exists (select from weft._steps as s where s.deployment_id = p_deployment and s.state = 'failed') then 'degraded' else 'succeeded' end::weft.deployment_state, null);
    return null;
  end if;

  if exists (select from weft._cancellations as c where c.deployment_id = p_deployment) then
    -- a statement that was handed out is completed first, so that nothing half-made stays
    if not exists (select from weft._statements as t where t.deployment_id = p_deployment and t.state in ('sent', 'cleaning')) then
      perform weft._end(p_deployment, 'cancelled', weft._describe_cancelled(c)) from weft._cancellations as c where c.deployment_id = p_deployment;
      return null;
    end if;
  end if;

  select coalesce(max(a.number), 0) + 1, max(a.pid) filter (where a.ended_at is null) into v_number, v_died from weft._attempts as a where a.deployment_id = p_deployment;
  if v_died is not null then
    if v_died is distinct from (p_said ->> 'died')::integer then
      p_said := null;  -- it was about another attempt
    elsif weft._fail_as_said(v_phase, p_said, p_fence) then
      return weft._begin_attempt(p_deployment, p_fence);
    end if;
    perform weft._end_attempt(p_deployment, 'died');
    update weft._deployments as d set deaths = d.deaths + 1 where d.id = p_deployment returning d.deaths into v_deaths;
    perform weft._tell(p_deployment, 'resumed', v_phase.name, p_data => jsonb_build_object('deaths', v_deaths, 'fence', p_fence));
    if v_deaths >= weft._limit('attempts_without_progress_count') then
      perform weft._end(p_deployment, 'failed', jsonb_strip_nulls(jsonb_build_object(
        'sqlstate', 'WF018',
        'message', format('Died without a word %s times at %s.', v_deaths, coalesce(weft._whereabouts(p_deployment, v_phase), v_phase.name)),
        'detail', concat_ws(' ', case when p_said is not null then format('The last time, the server said: %s (%s).', p_said ->> 'message', p_said ->> 'sqlstate') end,
          'The backend was gone before it could say why: an error at COMMIT, a signal from somebody, a crash, or a server short of memory. Nothing got done in between (attempts_without_progress_count).'),
        'hint', 'Look into the server''s log at the times in weft.events; then deploy again.',
        'phase', v_phase.name,
        'path', weft._whereabouts(p_deployment, v_phase))));
      return null;
    end if;
  end if;

  with attempt as (
    insert into weft._attempts (deployment_id, number, fence, phase, pid) values (p_deployment, v_number, p_fence, v_phase.ordinal, pg_backend_pid())
  )
  update weft._phases as p
  set state = 'running', attempts = p.attempts + 1, started_at = coalesce(p.started_at, clock_timestamp())
  where p.deployment_id = p_deployment and p.ordinal = v_phase.ordinal
  returning p.* into v_phase;
  if v_phase.attempts = 1 then
    perform
      case when v_number = 1 and exists (select from weft._history as h where h.table_name is not null) then weft._note_tables(p_deployment) end,
      weft._tell(p_deployment, 'phase_started', v_phase.name),
      weft._note_other_parts(),
      case when exists (select from weft._phases as p where p.deployment_id = p_deployment and p.has_repeatables) then weft._note_had(p_deployment) end,
      case when v_phase.has_repeatables then weft._call_back_lost(v_phase) end;
  end if;
  return v_phase;
end
$$;

comment on function weft._begin_attempt(uuid, bigint, jsonb) is 'Decides what comes next: chooses the phase, counts the attempt, and ends a deployment that keeps dying, was cancelled, or has nothing left to do.';


create or replace function weft._whereabouts(p_deployment uuid, p_phase weft._phases)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- in an all-or-nothing phase, nobody knows the step
  select s.path
  from weft._steps as s
  where p_phase.transaction <> 'single' and s.deployment_id = p_deployment and s.phase = p_phase.ordinal and s.state = 'pending'
  order by s.ordinal
  limit 1
$$;

comment on function weft._whereabouts(uuid, weft._phases) is 'Names the step that a phase was at, if that can be known.';


-- The pending steps of a phase that go into one block: all of them, or the next one.
-- p_behind: the caller knows that no step up to here is pending; otherwise each call would walk past all of them.
create or replace function weft._next_block(p_phase weft._phases, p_behind integer, out first_step integer, out last_step integer, out is_apart boolean, out is_batch boolean)
  stable
  set search_path = pg_catalog, pg_temp
  set enable_bitmapscan = off  -- by the key, in its order, and no further than to the first
  set enable_sort = off
  language plpgsql
as $$
begin
  select f.ordinal,
         case when p_phase.transaction = 'single' then (
             select max(s.ordinal) from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.state = 'pending')
           when p_phase.has_repeatables then weft._end_of_group(p_phase, f.ordinal)
           else f.ordinal end,
         coalesce(f.kind = 'run' and (p_phase.transaction = 'none' or f.is_apart), false),
         coalesce(f.kind = 'batch' and p_phase.transaction <> 'single', false)
  into first_step, last_step, is_apart, is_batch
  from (values (true)) as one  -- a row even if nothing is pending
  left join lateral (
    select s.ordinal, s.kind, s.is_apart
    from weft._steps as s
    where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.state = 'pending' and s.ordinal > p_behind
    order by s.ordinal
    limit 1
  ) as f on true;
end
$$;

comment on function weft._next_block(weft._phases, integer) is 'Tells which pending steps share the next transaction, or which one runs statement by statement, or in rounds.';


-- A phase also succeeds if all failures in it are tolerated; the failed steps say so themselves.
create or replace function weft._end_phase(p_phase weft._phases)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_bitmapscan = off  -- by the key, in its order, and no further than to the first
  set enable_sort = off
  language plpgsql
as $$
declare
  v_state  weft.phase_state;
begin
  update weft._phases as p set state = case when p.is_wanted = false then 'skipped' else 'succeeded' end::weft.phase_state, finished_at = clock_timestamp()
  where p.deployment_id = p_phase.deployment_id and p.ordinal = p_phase.ordinal
    -- the last one is pending the longest, so that is where to look
    and (select s.ordinal from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.state = 'pending' order by s.ordinal desc limit 1) is null
  returning p.state into v_state;
  if v_state = 'succeeded' then
    perform weft._tell(p_phase.deployment_id, 'phase_succeeded', p_phase.name);
  end if;
  return v_state is not null;
end
$$;

comment on function weft._end_phase(weft._phases) is 'Ends a phase if none of its steps is pending any more; tells whether that was so.';


-- Called in the transaction of the block: records its effect on the deployment. Returns whether the phase has succeeded with it.
create or replace function weft._record_block(p_phase weft._phases, p_outcome weft._outcome, p_fence bigint)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_is_last  boolean := false;
begin
  perform weft._check_fence(p_fence, p_until_commit => true);
  p_outcome.error := weft._scrub(p_outcome.error, p_phase.secrets);
  case p_outcome.verdict
    when 'done' then
      update weft._deployments as d set deaths = 0 where d.id = p_phase.deployment_id and d.deaths > 0;
      v_is_last := weft._end_phase(p_phase);
      if v_is_last then
        perform weft._end_attempt(p_phase.deployment_id, 'done');
      end if;
    when 'round' then
      update weft._deployments as d set deaths = 0 where d.id = p_phase.deployment_id and d.deaths > 0;
    when 'whole' then
      update weft._steps as s set in_one_piece = true where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = p_outcome.path;
      perform weft._tell(p_phase.deployment_id, 'split_given_up', p_phase.name, p_outcome.path);
    when 'apart' then
      update weft._steps as s set is_apart = true where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = p_outcome.path;
      perform weft._tell(p_phase.deployment_id, 'run_apart', p_phase.name, p_outcome.path, p_outcome.error);
    when 'wait' then
      if (select e.kind from weft._events as e where e.deployment_id = p_phase.deployment_id order by e.number desc limit 1) <> 'waiting_for_others' then
        perform weft._tell(p_phase.deployment_id, 'waiting_for_others', p_phase.name, p_outcome.path, p_outcome.error);
      end if;
    when 'directive', 'report' then
      perform weft._lend_lease(p_fence);
      perform weft._end_attempt(p_phase.deployment_id, 'directive');
    when 'reordered' then
      null;
    when 'called_back' then
      perform weft._call_back(p_phase, p_outcome.error);
    when 'again' then
      perform weft._tell(p_phase.deployment_id, 'lock_not_available', p_phase.name, p_outcome.path, p_outcome.error);
    when 'interrupted' then
      perform weft._end_attempt(p_phase.deployment_id, 'interrupted');
      perform weft._tell(p_phase.deployment_id, 'interrupted', p_phase.name, p_outcome.path, p_outcome.error);
    when 'failed' then
      if weft._is_tolerated(p_phase.deployment_id, p_phase.ordinal, p_outcome.path, p_outcome.error) then
        perform weft._tolerate(p_phase, p_outcome);
        update weft._deployments as d set deaths = 0 where d.id = p_phase.deployment_id and d.deaths > 0;
        perform weft._end_attempt(p_phase.deployment_id, 'failed');
        return weft._end_phase(p_phase);
      end if;
      update weft._steps as s
      set state = 'failed', error = p_outcome.error, result = coalesce(p_outcome.error -> 'check', s.result), finished_at = clock_timestamp()
      where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = p_outcome.path and s.state = 'pending';
      update weft._steps as s set state = 'failed', error = l.value, finished_at = clock_timestamp()  -- the other files of a group for which no order works
      from jsonb_array_elements(p_outcome.error -> 'left') as l
      where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = l.value ->> 'path' and s.state = 'pending';
      update weft._phases as p set state = 'failed', finished_at = clock_timestamp() where p.deployment_id = p_phase.deployment_id and p.ordinal = p_phase.ordinal;
      perform weft._end_attempt(p_phase.deployment_id, 'failed');
      perform weft._tell(p_phase.deployment_id, case when p_outcome.path is null then 'phase_failed' else 'step_failed' end, p_phase.name, p_outcome.path, p_outcome.error);
      perform weft._end(p_phase.deployment_id, 'failed', p_outcome.error);
  end case;
  return v_is_last;
end
$$;

comment on function weft._record_block(weft._phases, weft._outcome, bigint) is 'Records what a block of steps came to, and tells whether it was the last of its phase.';
