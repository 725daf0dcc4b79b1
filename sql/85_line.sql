-- Whose turn it is, how a deployment begins and goes on. Every function here is one arrow: lock, read, write, tell.

-- open -> staged, when nothing is missing any more. The place in line is given here.
create or replace function weft._settle_staged(p_deployment uuid)
  returns weft.deployment_state
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_state  weft.deployment_state;
begin
  select d.state into v_state from weft._deployments as d where d.id = p_deployment for no key update;
  if v_state = 'open' and not exists (select from weft._missing_chunks(p_deployment)) then
    perform pg_advisory_xact_lock(hashtextextended('weft: places in line', 0));  -- until the commit: places become visible in their order
    update weft._deployments as d
    set state = 'staged', place = nextval('weft._places'), staged_at = clock_timestamp()
    where d.id = p_deployment
    returning d.state into v_state;
    perform weft._tell(p_deployment, 'staged');
  end if;
  return v_state;
end
$$;

comment on function weft._settle_staged(uuid) is 'Gives a deployment its place in line as soon as all of its artifacts are here.';


create or replace function weft._missing_chunks(p_deployment uuid)
  returns table (digest bytea)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select distinct u.digest
  from weft._artifacts as a
  cross join unnest(a.chunks) as u (digest)
  where a.deployment_id = p_deployment
    and not exists (select from weft._chunks as c where c.digest = u.digest)
$$;

comment on function weft._missing_chunks(uuid) is 'Lists the chunks of a deployment that are not in the database.';


-- A client may go without a word just between what it asked for and the commit of it. Its session would hold locks for as long as
-- the network takes to notice, and whoever repeats the request would wait for it.
create or replace function weft._end_lost_sessions()
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  perform pg_terminate_backend(a.pid)
  from pg_stat_activity as a
  where a.datname = current_database() and a.usename = current_user and a.query ~ '^select weft\.(open|stage|cancel)\M'
    and a.backend_xid is not null and a.wait_event = 'ClientRead'
    and a.query_start < clock_timestamp() - make_interval(secs => weft._limit('client_silence_seconds'));
end
$$;

comment on function weft._end_lost_sessions() is 'Ends sessions of this role that hold something of Weft''s uncommitted and have waited for their client too long.';


-- The deployment that is to be worked on before p_deployment may be over: whatever stands before it in line, then itself.
-- Without p_deployment: everything that is staged or begun. What stands ahead is run under its own caller's grant: whoever's caller
-- is not among p_callers waits, and lets others pass. So does what needs secrets: those of p_deployment came along, unless p_is_lacking.
create or replace function weft._next_in_line(p_deployment uuid, p_target text, p_fence bigint, p_callers text[], p_is_lacking boolean)
  returns uuid
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_next  record;
begin
  perform weft._check_fence(p_fence, p_until_commit => true);
  loop
    select d.id, d.origin into v_next
    from weft._deployments as d
    -- a place can become visible late: what has begun goes on before anything else begins
    where d.state in ('staged', 'running')
      and (d.id = p_deployment or p_callers is null or case when d.undoes is null then d.caller else 'undo:' || d.caller end = any (p_callers))
      and case when d.id = p_deployment then not p_is_lacking
            else not exists (select from weft._parameters as s where s.deployment_id = d.id and s.is_secret and s.is_given) end
      and (p_deployment is null or d.state = 'running' or d.place <= (select m.place from weft._deployments as m where m.id = p_deployment))
    order by (d.state = 'running') desc, d.place
    limit 1;
    if not found then
      return null;
    end if;
    if weft._is_here(v_next.origin, p_target) then
      perform weft._point_lease(v_next.id, p_fence);
      return v_next.id;
    end if;
    perform weft._end(v_next.id, 'cancelled', jsonb_build_object(
      'sqlstate', 'WF017',
      'message', 'This database is a copy of the one for which the deployment was opened; what was unfinished there is not continued here.',
      'detail', format('Opened in %s; this is %s.', v_next.origin, weft._origin(p_target))));
  end loop;
end
$$;

comment on function weft._next_in_line(uuid, text, bigint, text[], boolean) is 'Chooses the deployment whose turn it is, and cancels what only a copied database brought along.';


-- What is in the history already is left out. False when the history has something against it: then the deployment has ended.
create or replace function weft._leave_out_applied(p_deployment weft._deployments)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_quarrel  jsonb;
begin
  if p_deployment.undoes is not null then
    return true;  -- what the history has is what it is about
  end if;
  v_quarrel := weft._settle_with_history(p_deployment);
  if v_quarrel is not null then
    perform weft._end(p_deployment.id, 'failed', v_quarrel);
  elsif p_deployment.state = 'staged' then
    perform weft._arrange_groups(p_deployment);
  end if;
  return v_quarrel is null;
end
$$;

comment on function weft._leave_out_applied(weft._deployments) is
  'Marks the steps whose artifacts the history has already, and ends a deployment that the history has something against.';


-- Of which another deployment has done the beginning, the rest is run in the same way; in one transaction all of it would run again.
create or replace function weft._go_on_with_halves(p_deployment weft._deployments)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_half  record;
begin
  if not exists (select from weft._statements as t where t.deployment_id <> p_deployment.id) then
    return;
  end if;
  for v_half in
    select s.ordinal, s.path, p.transaction
    from weft._steps as s
    join weft._phases as p on p.deployment_id = s.deployment_id and p.ordinal = s.phase
    where s.deployment_id = p_deployment.id and s.state = 'pending' and p.transaction <> 'none' and not s.options ? 'repeat'
      and exists (
        select from weft._find_earlier(p_deployment.id, s.path) as e
        join weft._statements as t on t.deployment_id = e.deployment_id and t.step = e.ordinal and t.state = 'done')
    order by p.transaction = 'auto', s.ordinal  -- what ends the deployment comes first
  loop
    if v_half.transaction <> 'auto' then
      perform weft._end(p_deployment.id, 'failed', jsonb_build_object(
        'sqlstate', 'WF021',
        'message', format('A part of %s is in the database already: an earlier deployment ran it statement by statement, and not to its end.', v_half.path),
        'detail', 'In the transaction that its phase asks for now, all of it would run, also what is there. '
          || case p_deployment.state when 'staged' then 'Nothing of this deployment was run.' else 'Another deployment of the bundle has passed this one, which goes no further.' end,
        'hint', 'With "transaction: auto" or "none" it goes on where it stopped. To run all of it from its beginning, give the file another name.',
        'path', v_half.path));
      return;
    end if;
    update weft._steps as s set is_apart = true where s.deployment_id = p_deployment.id and s.ordinal = v_half.ordinal;
  end loop;
end
$$;

comment on function weft._go_on_with_halves(weft._deployments) is
  'Marks the steps of which another deployment has run a part, so that they go on where it stopped, and ends a deployment whose phases would run all of them.';


-- staged -> running: what the catalog and the WAL were before, and which artifacts are in the history already.
create or replace function weft._begin(p_deployment uuid, p_fence bigint)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_deployment   weft._deployments;
  v_fingerprint  text;
  v_unread       jsonb;
begin
  perform weft._check_fence(p_fence);
  select d.* into v_deployment from weft._deployments as d where d.id = p_deployment and d.state in ('staged', 'running');
  if not found then
    return;
  elsif v_deployment.state = 'running' then
    if exists (  -- one that has passed it, or was at work since because it was opened again
        select from weft._deployments as o
        where o.bundle = v_deployment.bundle and o.id <> p_deployment and (o.started_at > v_deployment.started_at or o.finished_at > v_deployment.started_at or o.state = 'running')) then
      perform weft._check_fence(p_fence, p_until_commit => true);
      if v_deployment.mode <> 'baseline' and weft._leave_out_applied(v_deployment) then
        perform weft._go_on_with_halves(v_deployment);
      end if;
    end if;
    return;
  end if;
  select k.fingerprint, k.error into v_fingerprint, v_unread from weft._keep_snapshot() as k;  -- before any lock is taken
  perform weft._check_fence(p_fence, p_until_commit => true);
  select d.* into strict v_deployment from weft._deployments as d where d.id = p_deployment for no key update;
  if v_deployment.state <> 'staged' then
    return;
  end if;
  update weft._deployments as d
  set state = 'running', started_at = clock_timestamp(), wal_before = pg_current_wal_insert_lsn(), fingerprint_before = v_fingerprint,
      engine_version = weft.version(), server_version = current_setting('server_version')
  where d.id = p_deployment;
  perform weft._tell(p_deployment, 'started', p_data => jsonb_build_object('fence', p_fence));
  if v_unread is not null then
    perform weft._tell(p_deployment, 'catalog_not_read', p_data => v_unread);
  end if;
  perform weft._tell_of_drift(p_deployment, v_fingerprint);

  if v_deployment.mode = 'baseline' then
    return;  -- what the history has against it, it is there to settle
  elsif weft._leave_out_applied(v_deployment) then
    perform weft._go_on_with_halves(v_deployment);
  end if;
end
$$;

comment on function weft._begin(uuid, bigint) is 'Begins a deployment, with the fingerprint and the WAL position before; of one that was begun and then passed, leaves out what others have applied since.';


-- The next phase, with its attempt recorded; null when the deployment is over. Deaths without a word are counted here: an
-- attempt that has no end while we hold the lease has died.
create or replace function weft._begin_attempt(p_deployment uuid, p_fence bigint)
  returns weft._phases
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_phase     weft._phases;
  v_deaths    integer;
  v_canceled  weft._cancellations;
begin
  perform weft._check_fence(p_fence, p_until_commit => true);
  perform from weft._deployments as d where d.id = p_deployment and d.state = 'running' for no key update;
  if not found then
    return null;
  end if;

  select p.* into v_phase from weft._phases as p where p.deployment_id = p_deployment and p.state not in ('succeeded', 'skipped') order by p.ordinal limit 1;
  if not found then
    perform weft._forget_dropped(p_deployment);
    perform weft._end(p_deployment, case when exists (select from weft._steps as s where s.deployment_id = p_deployment and s.state = 'failed') then 'degraded' else 'succeeded' end::weft.deployment_state, null);
    return null;
  end if;

  select c.* into v_canceled from weft._cancellations as c where c.deployment_id = p_deployment;
  -- what was sent is seen to its end first, so that nothing half-made stays
  if found and not exists (select from weft._statements as t where t.deployment_id = p_deployment and t.state in ('sent', 'cleaning')) then
    perform weft._end(p_deployment, 'cancelled', weft._describe_cancelled(v_canceled));
    return null;
  end if;

  update weft._attempts as a set ended_at = clock_timestamp(), outcome = 'died' where a.deployment_id = p_deployment and a.ended_at is null;
  if found then
    update weft._deployments as d set deaths = d.deaths + 1 where d.id = p_deployment returning d.deaths into v_deaths;
    perform weft._tell(p_deployment, 'resumed', v_phase.name, p_data => jsonb_build_object('deaths', v_deaths, 'fence', p_fence));
    if v_deaths >= weft._limit('attempts_without_progress_count') then
      perform weft._end(p_deployment, 'failed', jsonb_strip_nulls(jsonb_build_object(
        'sqlstate', 'WF018',
        'message', format('Died without a word %s times at %s.', v_deaths, coalesce(weft._whereabouts(p_deployment, v_phase), v_phase.name)),
        'detail', 'The backend was gone before it could say why: an error at COMMIT, a crash, or a server short of memory. Nothing got done in between (attempts_without_progress_count).',
        'hint', 'Look into the server''s log at the times in weft.events; then deploy again.',
        'phase', v_phase.name,
        'path', weft._whereabouts(p_deployment, v_phase))));
      return null;
    end if;
  end if;

  insert into weft._attempts (deployment_id, number, fence, phase, pid)
  select p_deployment, coalesce(max(a.number), 0) + 1, p_fence, v_phase.ordinal, pg_backend_pid()
  from weft._attempts as a where a.deployment_id = p_deployment;
  update weft._phases as p
  set state = 'running', attempts = p.attempts + 1, started_at = coalesce(p.started_at, clock_timestamp())
  where p.deployment_id = p_deployment and p.ordinal = v_phase.ordinal
  returning p.* into v_phase;
  if v_phase.attempts = 1 then
    perform weft._tell(p_deployment, 'phase_started', v_phase.name);
    perform weft._call_back_lost(v_phase);
  end if;
  return v_phase;
end
$$;

comment on function weft._begin_attempt(uuid, bigint) is 'Commits to the next phase: chooses it, counts the attempt, and ends a deployment that keeps dying, was cancelled, or has nothing left to do.';


create or replace function weft._whereabouts(p_deployment uuid, p_phase weft._phases)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- in an all-or-nothing phase nobody knows at which step
  select s.path
  from weft._steps as s
  where p_phase.transaction <> 'single' and s.deployment_id = p_deployment and s.phase = p_phase.ordinal and s.state = 'pending'
  order by s.ordinal
  limit 1
$$;

comment on function weft._whereabouts(uuid, weft._phases) is 'Names the step that a phase was at, where that can be known.';


-- The pending steps of a phase that go into one block: all of them, or the next one.
create or replace function weft._next_block(p_phase weft._phases, out first_step integer, out last_step integer, out is_apart boolean, out is_batch boolean)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select f.ordinal,
         case when p_phase.transaction = 'single' then (
             select max(s.ordinal) from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.state = 'pending')
           when p_phase.has_repeatables then weft._end_of_group(p_phase, f.ordinal)
           else f.ordinal end,
         coalesce(f.kind = 'run' and (p_phase.transaction = 'none' or f.is_apart), false),
         coalesce(f.kind = 'batch' and p_phase.transaction <> 'single', false)
  from (values (true)) as one  -- a row also where nothing is pending
  left join lateral (
    select s.ordinal, s.kind, s.is_apart
    from weft._steps as s
    where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.state = 'pending'
    order by s.ordinal
    limit 1
  ) as f on true
$$;

comment on function weft._next_block(weft._phases) is 'Tells which pending steps share the next transaction, or which one is run statement by statement, or in rounds.';


-- A phase succeeds also where what failed in it is tolerated: which steps those are, they say themselves.
create or replace function weft._end_phase(p_phase weft._phases)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_state  weft.phase_state;
begin
  if exists (select from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.state = 'pending') then
    return false;
  end if;
  update weft._phases as p set state = case when p.is_wanted = false then 'skipped' else 'succeeded' end::weft.phase_state, finished_at = clock_timestamp()
  where p.deployment_id = p_phase.deployment_id and p.ordinal = p_phase.ordinal
  returning p.state into v_state;
  if v_state = 'succeeded' then
    perform weft._tell(p_phase.deployment_id, 'phase_succeeded', p_phase.name);
  end if;
  return true;
end
$$;

comment on function weft._end_phase(weft._phases) is 'Ends a phase of which no step is pending any more; tells whether it was that far.';


-- In the transaction of the block: what it has brought the deployment. Returns whether the phase has succeeded with it.
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
      if exists (
          select from weft._steps as s
          where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = p_outcome.path and s.on_error = 'continue') then
        perform weft._tolerate(p_phase, p_outcome);
        update weft._deployments as d set deaths = 0 where d.id = p_phase.deployment_id and d.deaths > 0;
        perform weft._end_attempt(p_phase.deployment_id, 'failed');
        return weft._end_phase(p_phase);
      end if;
      update weft._steps as s
      set state = 'failed', error = p_outcome.error, result = coalesce(p_outcome.error -> 'check', s.result), finished_at = clock_timestamp()
      where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = p_outcome.path and s.state = 'pending';
      update weft._steps as s set state = 'failed', error = l.value, finished_at = clock_timestamp()  -- the others of a group for which there is no order
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


-- A cancel request and its signal travel apart: the signal may be here before the row can be seen.
create or replace function weft._is_cancelled(p_deployment uuid)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  for v_try in 1 .. 10 loop
    perform from weft._cancellations as c where c.deployment_id = p_deployment;
    if found then
      return true;
    end if;
    perform pg_sleep(0.05);
  end loop;
  return false;
end
$$;

comment on function weft._is_cancelled(uuid) is 'Tells whether somebody asked for the end of a deployment; waits half a second for the request behind a signal.';


create or replace function weft._rest(p_seconds double precision)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  perform pg_sleep(p_seconds);
exception when query_canceled then
  null;  -- woken: whoever called looks for a request to cancel
end
$$;

comment on function weft._rest(double precision) is 'Sleeps, a second at most, so that waiting holds nothing for long.';
