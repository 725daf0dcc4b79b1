-- The run. One CALL, alone, in autocommit. It commits as it goes, sends nothing to the wire, and in transactions needs nobody at
-- the other end.
--
-- A procedure that commits can have no SET clause, and no EXCEPTION block around its commits, so it settles the session first,
-- and every block of work is a function (floors 80 and 83) that catches what happens inside.

create or replace procedure weft.run(
    p_deployment uuid default null, p_target text default null, p_backend integer default null, inout result jsonb default null,
    p_callers text[] default null, p_report jsonb default null, p_reopen jsonb default null)
  language plpgsql
as $$
declare
  v_opened   pg_catalog.text;
  v_reported pg_catalog.text;
  v_is_owed  pg_catalog.bool;
  v_asked    pg_catalog.bool;
  v_said     pg_catalog.jsonb;  -- when the CALL before this one died
  v_state    weft.deployment_state;
  v_set      pg_catalog.text;
  v_start    pg_catalog.text;
  v_at       pg_catalog.text;
  v_is_apart pg_catalog.bool;
  v_is_undo  pg_catalog.bool;
  v_is_baseline pg_catalog.bool;
  v_is_rehearsal pg_catalog.bool;
  v_is_batch pg_catalog.bool;
  v_before   pg_catalog.jsonb;
  v_fence    pg_catalog.int8;
  v_holder   pg_catalog.text;
  v_current  pg_catalog.uuid;
  v_phase    weft._phases;
  v_first    pg_catalog.int4;
  v_last     pg_catalog.int4;
  v_behind   pg_catalog.int4;  -- up to which no step of the phase is pending
  v_is_last  pg_catalog.bool;
  v_tries    pg_catalog.int4;
  v_pause    pg_catalog.float8;
  v_outcome  weft._outcome;
  v_secrets  pg_catalog.jsonb;
  v_secrets_of pg_catalog.uuid;  -- the deployment that they are for
  v_lacking  pg_catalog.text[];
  v_values   pg_catalog.jsonb;
  v_hidden   pg_catalog.jsonb;  -- those among them that must not be written down
  v_sweeping pg_catalog.timestamptz;
  v_looking  pg_catalog.timestamptz;
begin
  -- takes the secrets before anything else can read them, and reads everything before the reset
  select case when pg_catalog.current_setting('weft.secrets', true) operator(pg_catalog.<>) '' then weft._take_secrets() end,
         pg_catalog.current_setting('weft.opened', true), pg_catalog.current_setting('weft.reported', true), p_report
  into v_secrets, v_opened, v_reported, v_said;
  v_start := weft._settle_session();
  if weft._is_continuing() then  -- a file continues in this session, so what the session says about the statement is believed
    v_is_owed := true;
    v_asked := coalesce(v_reported = 'asked', false) and p_report is null;  -- a client that does not know is not asked twice
    perform set_config('weft.reported', '', false);
  else
    select weft._reset_session(), false, null, null into v_start, v_is_owed, v_reported, p_report;
  end if;
  select weft._check_call(p_deployment, case when p_backend = 0 and v_opened = p_deployment::text then pg_backend_pid() else p_backend end), weft._hurry_commit() into v_state, v_set;
  commit;  -- releases the row lock that settling took, because the lease comes first in the lock order
  if v_state = 'open' and weft._waits_for_approval(p_deployment) then
    perform weft._end_unapproved(p_deployment);
    result := weft.status(p_deployment);
    reset all;
    return;
  end if;
  select s.id, weft._find_lacking(s.id, v_secrets) into v_secrets_of, v_lacking from (select coalesce(p_deployment, weft._choose_by_secrets(v_secrets)) as id offset 0) as s;
  if p_reopen is not null and v_lacking is null then
    perform weft._reopen(p_deployment, p_target, p_reopen);
    commit;
  end if;
  if v_state not in ('staged', 'running') and weft._is_over(p_deployment) then
    result := weft.status(p_deployment);
    if p_reopen is not null and v_lacking is not null and result ->> 'state' = 'degraded' then
      result := result || jsonb_build_object('lacking', v_lacking);
    end if;
    reset all;
    return;
  end if;
  if v_secrets is not null and v_lacking is null then
    v_values := weft._read_parameters(v_secrets_of, v_secrets);  -- refuses them, if necessary, before anything is run
  end if;

  select t.fence, t.holder into v_fence, v_holder from weft._take_lease(p_deployment) as t;
  perform case when v_fence is not null then weft._number_anew() end, weft._hurry_commit();
  commit;
  if v_fence is null then
    result := weft._attach(p_deployment, v_holder);
    reset all;
    return;
  end if;

  loop
    select n.id, n.is_undo, n.is_baseline, n.is_rehearsal, weft._hurry_commit() into v_current, v_is_undo, v_is_baseline, v_is_rehearsal, v_set
    from weft._next_in_line(p_deployment, p_target, v_fence, p_callers, v_lacking is not null, v_secrets_of) as n;
    commit;
    exit when v_current is null;
    perform weft._begin(v_current, v_fence),
      case when v_is_undo then weft._hold_to_undo(v_current) end,
      case when v_is_undo or v_is_baseline then weft._take_as_applied(v_current, v_fence) end,
      case when v_is_rehearsal then weft._prepare_rehearsal(v_current) end;
    select p.given, case when p.given is not null then weft._pick_secrets(v_current, p.given) end, weft._hurry_commit() into v_values, v_hidden, v_set
    from (select weft._read_parameters(v_current, case when v_current = v_secrets_of then v_secrets end) as given offset 0) as p;
    commit;

    <<phases>>
    loop
      v_phase := weft._begin_attempt(v_current, v_fence, v_said);
      commit;  -- this one waits for the disk, so that even a death of the server is counted, and others see an end
      select null, 0, 0 into v_said, v_tries, v_behind;
      exit phases when v_phase.ordinal is null;

      loop
        select b.first_step, b.last_step, b.is_apart, b.is_batch into v_first, v_last, v_is_apart, v_is_batch from weft._next_block(v_phase, v_behind) as b;
        if v_values is not null then
          v_phase.parameters := case when v_is_apart then weft._values_of_step(v_current, v_first, v_values) else v_values end;
          v_phase.secrets := v_hidden;
        end if;
        if not (v_is_rehearsal or v_is_batch or v_is_apart) then
          v_outcome := weft._run_steps(v_current, v_phase, v_first, v_last, v_fence, v_tries + 1 >= weft._limit('lock_attempts_count'));
          if v_phase.has_repeatables and v_outcome.verdict in ('done', 'failed') then
            v_is_last := v_outcome.verdict = 'done';
            v_outcome := weft._tend_groups(v_phase, v_first, v_last, v_fence, v_outcome);
            if v_is_last and v_outcome.verdict <> 'done' then  -- it has run, and must be rolled back
              rollback;
            end if;
          end if;
        elsif v_is_rehearsal then
          v_outcome := weft._rehearse(v_current, v_start, v_fence, v_phase.parameters, v_phase.secrets);
        elsif v_is_batch then
          v_outcome := weft._run_round(v_phase, v_first, v_fence);
        else
          v_outcome := weft._prepare_step(v_phase, v_first, v_start, v_fence);
          if v_outcome.verdict is null then
            v_before := weft._session_before(v_phase, v_first, v_start);
            if v_at is distinct from concat(v_current, '/', v_first) then
              v_outcome := weft._enter_step(v_phase, v_first, v_before, v_is_owed);
              v_at := concat(v_current, '/', v_first);
            elsif v_before ? 'unsettled' then
              v_before := weft._settle_captured(v_phase, v_first, v_before, v_fence);
              commit;
            end if;
            if v_outcome.verdict is null then
              v_outcome := weft._advance_step(v_phase, v_first, v_before, v_fence, weft._is_reported(v_current, v_first, v_reported), p_report, v_is_owed and not v_asked);
            end if;
          end if;
          v_is_owed := false;
          p_report := null;
        end if;
        if v_outcome.verdict = 'interrupted' and weft._is_cancelled(v_current) then
          continue phases;  -- the next attempt finds the request to cancel
        end if;
        v_tries := case v_outcome.verdict when 'again' then v_tries + 1 else 0 end;
        if v_tries >= weft._limit('lock_attempts_count') then
          v_outcome.verdict := 'failed';
        end if;
        v_is_last := case when v_is_rehearsal then weft._record_rehearsal(v_phase, v_outcome, v_fence) else weft._record_block(v_phase, v_outcome, v_fence) end;
        commit;
        v_behind := case when v_outcome.verdict = 'done' and not (v_is_rehearsal or v_is_batch or v_is_apart or v_phase.has_repeatables) then v_last else 0 end;

        case v_outcome.verdict
          when 'done' then
            exit when v_is_last;
          when 'again', 'round' then
            -- the block was rolled back, to run again, or this was one of several rounds. The wait holds nothing
            v_pause := case v_outcome.verdict
              when 'round' then (v_outcome.error ->> 'pause_ms')::pg_catalog.float8 / 1000
              else least(weft._limit('lock_wait_between_ms') * 2 ^ (v_tries - 1), weft._limit('lock_wait_between_ms_max')) * (0.5 + random()) / 1000 end;
            while v_pause > 0 loop
              perform weft._rest(least(v_pause, 0.5));  -- so that a request to cancel is seen within a second
              commit;
              v_pause := v_pause - 0.5;
              exit when exists (select from weft._cancellations as c where c.deployment_id = v_current);
            end loop;
            commit;
          when 'whole', 'apart', 'reordered', 'called_back' then
            null;
          when 'wait' then
            perform weft._rest(weft._limit('look_again_ms') / 1000.0);
            commit;
          when 'directive', 'report' then
            result := weft._describe_directive(p_deployment, v_outcome);
            if v_outcome.verdict = 'report' then
              perform set_config('weft.reported', 'asked', false);
            else
              perform weft._lend_session(v_before, v_outcome.error ->> 'kind', v_phase);
            end if;
            return;
          when 'interrupted' then
            perform weft._release_lease(v_fence);
            result := coalesce(weft.status(p_deployment), '{}') || jsonb_build_object('interrupted', v_outcome.error || jsonb_build_object('phase', v_phase.name, 'path', v_outcome.path));
            reset all;
            return;
          when 'failed' then
            continue phases;  -- finds that the deployment is over, or continues without the step
        end case;
      end loop;
    end loop;
  end loop;

  perform weft._release_lease(v_fence);
  if weft._is_unread() then
    commit;
    v_looking := pg_catalog.clock_timestamp();
    while weft._read_behind_run(v_looking) loop
      commit;
      perform weft._rest(weft._limit('look_again_ms') / 1000.0);
      commit;
    end loop;
  end if;
  if weft._is_sweep_due() then
    perform weft._end_unapproved();
    commit;
    v_sweeping := pg_catalog.clock_timestamp();
    while weft._sweep_behind_run(v_sweeping) loop
      commit;
    end loop;
  end if;
  result := case when p_deployment is not null then weft.status(p_deployment) else weft._describe_lacking() end;
  if p_deployment is not null and v_lacking is not null then
    result := result || jsonb_build_object('lacking', v_lacking);
  end if;
  reset all;
end
$$;

comment on procedure weft.run(uuid, text, integer, jsonb, text[], jsonb, jsonb) is
  'Runs a deployment to its end, after everything ahead of it in line; without an id, everything that is unfinished. Send it alone, in autocommit: it commits as it goes. p_backend: the backend that the session had before, 0 for the one that opened the deployment, null for no check. p_callers: those whose deployments may be run ahead of this one (and whose undos, with ''undo:'' before the name), null for all; others wait and let it pass. If the result has a directive, run its statement in the same session, alone; if that succeeds, run its report; then CALL again. p_report: the error of the statement, if the result asks for it; or, in another session, the error with which the previous CALL died, with its backend as "died". Secret parameters come through the setting weft.secrets, as a JSON object, set in the session before each CALL; without an id they go to the one unfinished deployment that they fit. A deployment that lacks some lets others pass, and the result says which. p_reopen: try the failed steps of a degraded deployment again: an object, in which "key" identifies a repeated request. Whoever calls while another CALL is running learns which one that is, and need not wait.';


-- A crash may lose the newest commits about whose turn it is: the next caller finds that out again. Attempts, results of blocks, and ends wait
-- for the disk, and for the standbys the server waits for; everything before them is then safe, too.
create or replace function weft._hurry_commit()
  returns text
  volatile
  language sql
as $$
  select pg_catalog.set_config('synchronous_commit', 'off', true)
$$;

comment on function weft._hurry_commit() is 'Lets the commit of the current transaction not wait for the disk.';


-- What must be true of a CALL before it does anything.
create or replace function weft._check_call(p_deployment uuid, p_backend integer)
  returns weft.deployment_state
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_state  weft.deployment_state;
begin
  if p_backend <> pg_backend_pid() then
    raise exception 'This connection does not keep its backend: the session was at backend % and is at % now.', coalesce(nullif(p_backend, 0)::text, 'unknown'), pg_backend_pid()
      using errcode = 'WF010', hint = 'A pooler in transaction mode is in between. Use the database''s direct address.';
  end if;
  perform weft._check_session(), weft.end_lost_sessions();
  v_state := weft._settle_staged(p_deployment);
  if v_state <> 'open' then
    return v_state;
  elsif v_state is null and p_deployment is not null then
    raise exception 'There is no deployment % in this database.', p_deployment using errcode = 'WF002', hint = 'select * from weft.deployments';
  elsif v_state = 'open' and not weft._waits_for_approval(p_deployment) then
    raise exception 'The deployment lacks % of its chunks.', (select count(distinct m.digest) from weft._missing_chunks(p_deployment) as m)
      using errcode = 'WF007', hint = 'Deploy the same bundle again: what has arrived is kept, and only the rest is sent.';
  end if;
  return v_state;
end
$$;

comment on function weft._check_call(uuid, integer) is 'Refuses a CALL through a transaction pooler, for an unknown deployment, or before the artifacts are there; tells how far the deployment is.';


create or replace function weft._check_session()
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_owner  name;
  v_lacks  text;
begin
  select pg_get_userbyid(n.nspowner), case
    when current_setting('track_activities') <> 'on' then 'activities'
    when (select a.backend_start from pg_stat_get_activity(pg_backend_pid()) as a) is null then 'itself'
    when session_user <> pg_get_userbyid(n.nspowner) and not pg_has_role(session_user, 'pg_read_all_stats', 'usage') then 'the owner'
    when exists (
      select from pg_subscription_rel as r
      where r.srrelid in ('weft._lease'::regclass, 'weft._deployments'::regclass, 'weft._history'::regclass)) then 'a history of its own' end
  into v_owner, v_lacks
  from pg_namespace as n where n.nspname = 'weft';
  if v_lacks is null then
    return;
  end if;
  case v_lacks
    when 'activities' then
      raise exception 'track_activities is off: nobody could tell a live runner from a dead one.'
        using errcode = 'WF008', hint = format('As a superuser: alter database %I set track_activities = on', current_database());
    when 'itself' then
      raise exception 'The role "%" cannot see even its own session in pg_stat_activity.', session_user
        using errcode = 'WF009', hint = format('The role has a setting "role" of another role. As an administrator: alter role %I reset role', session_user);
    when 'the owner' then
      raise exception 'The role "%" cannot see whether a session of "%", who owns Weft''s schema, is alive.', session_user, v_owner
        using errcode = 'WF009', hint = format('Deploy as %I, or: grant pg_read_all_stats to %I', v_owner, session_user);
    when 'a history of its own' then
      raise exception 'The subscription % brings rows of schema weft of another database into this one: what its history calls applied may not be here.',
          (select string_agg(distinct quote_ident(s.subname), ', ')
           from pg_subscription_rel as r join pg_subscription as s on s.oid = r.srsubid join pg_class as c on c.oid = r.srrelid where c.relnamespace = 'weft'::regnamespace)
        using errcode = 'WF026',
              hint = 'Nothing was changed. Where this database is to take over from the other one, drop the subscription first. Else publish there without schema weft, and here: alter subscription NAME refresh publication.';
  end case;
end
$$;

comment on function weft._check_session() is 'Refuses a session that could not see the holder of the lease, and a database whose history is that of another one.';


create or replace function weft._is_over(p_deployment uuid)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select d.finished_at is not null from weft._deployments as d where d.id = p_deployment
$$;

comment on function weft._is_over(uuid) is 'Tells whether a deployment is over.';


create or replace function weft._describe_directive(p_deployment uuid, p_outcome weft._outcome)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(weft.status(p_deployment), '{}') || case p_outcome.verdict
    when 'report' then '{"report": true}'
    else jsonb_build_object('directive', p_outcome.error - 'whole' || jsonb_build_object('statement', p_outcome.error ->> 'whole', 'number', p_outcome.error -> 'statement'))
  end
$$;

comment on function weft._describe_directive(uuid, weft._outcome) is 'Hands out a statement that the session is to run at top level, or asks what the server said of the last one.';


create or replace function weft._attach(p_deployment uuid, p_holder text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(weft.status(p_deployment), '{}') || jsonb_build_object('attached', jsonb_build_object(
    'holder', p_holder, 'pid', l.pid, 'since', l.taken_at, 'deployment', l.deployment_id))
  from weft._lease as l
$$;

comment on function weft._attach(uuid, text) is 'Tells a second caller which CALL is running.';


-- What a CALL that names no deployment has left in line: the first, as weft.status() shows it, and the others after it.
create or replace function weft._describe_lacking()
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with waiting as materialized (
    select d.id, d.bundle, d.place, weft._find_lacking(d.id, null) as lacking from weft._deployments as d where d.state in ('staged', 'running')
  )
  select weft.status(w.id) || jsonb_build_object('lacking', w.lacking) || coalesce((
      select jsonb_build_object('others_lacking', jsonb_agg(jsonb_build_object('id', o.id, 'bundle', o.bundle, 'lacking', o.lacking) order by o.place))
      from waiting as o where o.lacking is not null and o.id <> w.id having count(*) > 0), '{}')
  from waiting as w
  where w.lacking is not null
  order by w.place
  limit 1
$$;

comment on function weft._describe_lacking() is 'Shows the first deployment in line that waits for secrets, and names the others; null if none does.';
